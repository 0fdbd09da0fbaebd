/* See xnoreplay_features.h. Every name and every step is that of docs/features.md. */
#include "xnoreplay_features.h"

#include <math.h>
#include <stddef.h>

#define MOST_FEATURES 65536u
#define MOST_TAPS 256u
#define MOST_LEVEL 1073741823

static int16_t value(double x, int exponent, int32_t offset)
{
    double scaled = ldexp(x, exponent);
    int32_t level;

    if (scaled == 0.0 && x < 0.0) /* too small for a double, but below 0 */
        level = -1;
    else if (scaled >= (double)MOST_LEVEL)
        level = MOST_LEVEL;
    else if (scaled <= -(double)MOST_LEVEL)
        level = -MOST_LEVEL;
    else
        level = (int32_t)floor(scaled);
    level -= offset;
    return (int16_t)(level < -32768 ? -32768 : level > 32767 ? 32767 : level);
}

int xnoreplay_latent(const struct xnoreplay_features *rule, const double *x, int16_t *values, uint8_t *out)
{
    uint32_t i, j, k;

    if (rule->features < 1 || rule->features > MOST_FEATURES || rule->latent < 1 || rule->taps < 1 ||
        rule->taps > MOST_TAPS)
        return -1;
    for (j = 0; j < rule->features; j++) {
        if (!isfinite(x[j]) || rule->exponent[j] < -1023 || rule->exponent[j] > 1023 ||
            rule->offset[j] < -MOST_LEVEL || rule->offset[j] > MOST_LEVEL)
            return -1;
        values[j] = value(x[j], rule->exponent[j], rule->offset[j]);
    }
    for (i = 0; i < rule->latent; i++)
        for (k = 0; k < rule->taps; k++)
            if (rule->tap[(size_t)i * rule->taps + k] >= rule->features)
                return -1;
    for (i = 0; i < (rule->latent + 7) / 8; i++)
        out[i] = 0;
    for (i = 0; i < rule->latent; i++) {
        const uint16_t *tap = rule->tap + (size_t)i * rule->taps;
        const int8_t *weight = rule->weight + (size_t)i * rule->taps;
        int32_t sum = 0; /* below 2^30: 256 taps of 127 times 2^15 */

        for (k = 0; k < rule->taps; k++)
            sum += (int32_t)weight[k] * values[tap[k]];
        if (sum >= rule->threshold[i])
            out[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return 0;
}
