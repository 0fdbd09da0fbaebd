/* Pixels of a decoded image as they enter an xnoreplay chip: the rule of docs/pixels.md, in C99.
 *
 * No memory is allocated, no state is kept, and no floating point is used. */
#ifndef XNOREPLAY_PIXELS_H
#define XNOREPLAY_PIXELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the samples of one pixel follow each other. */
enum xnoreplay_layout {
    XNOREPLAY_GREY = 0,
    XNOREPLAY_GREY_ALPHA = 1,
    XNOREPLAY_RGB = 2,
    XNOREPLAY_RGB_ALPHA = 3,
    XNOREPLAY_CMYK = 4 /* amounts of ink: 0 is white paper */
};

enum xnoreplay_fit {
    XNOREPLAY_CROP = 0,   /* the largest centred part of the network's proportions */
    XNOREPLAY_PAD = 1,    /* the whole image, centred on the background */
    XNOREPLAY_STRETCH = 2 /* the whole image, whatever its proportions */
};

struct xnoreplay_pixels {
    enum xnoreplay_fit fit;
    uint8_t background;  /* grey value around a padded image and below transparent pixels */
    uint8_t sample_bits; /* bits that 16-bit samples use, 8 to 16 */
    uint8_t greatest;    /* greatest value of a pixel that enters the chip, 1 to 255 */
};

/* Convert one image.
 *
 * samples   height * width pixels, row by row; uint8_t where wide is 0, else uint16_t
 * out       rows * columns * channels bytes, row by row, the channels of a pixel together:
 *           grey where channels is 1, Y, Cb, Cr where it is 3
 *
 * Returns 0, or -1 for an argument outside its range; then nothing is written. Height, width, rows
 * and columns are 1 to 4096. */
int xnoreplay_convert(const void *samples, int wide, enum xnoreplay_layout layout,
                      uint32_t height, uint32_t width, const struct xnoreplay_pixels *spec,
                      uint32_t rows, uint32_t columns, uint32_t channels, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
