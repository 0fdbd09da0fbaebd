/* Vectors of features as latents that enter an xnoreplay chip: the rule of docs/features.md, in C99.
 *
 * No memory is allocated and no state is kept. Of floating point only a multiplication by a power of two, the floor and
 * comparisons are used, which round nothing. */
#ifndef XNOREPLAY_FEATURES_H
#define XNOREPLAY_FEATURES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A trained binarisation: the tensors features.* of a bundle, row by row. */
struct xnoreplay_features {
    uint32_t features; /* of a vector, 1 to 65536 */
    uint32_t latent;   /* bits, at least 1 */
    uint32_t taps;     /* features that one bit looks at, 1 to 256 */
    const int16_t *exponent;  /* features */
    const int32_t *offset;    /* features */
    const uint16_t *tap;      /* latent * taps */
    const int8_t *weight;     /* latent * taps */
    const int32_t *threshold; /* latent */
};

/* Turn one vector into a latent.
 *
 * x       features numbers; a float or an integer of at most 53 bits is a double without rounding
 * values  features int16_t that the function works with
 * out     (latent + 7) / 8 bytes: bit i of the latent is bit i % 8 of byte i / 8, and the bits past the last are 0
 *
 * Returns 0, or -1 for an argument outside its range or a number that is not finite; then out is not written. */
int xnoreplay_latent(const struct xnoreplay_features *rule, const double *x, int16_t *values, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
