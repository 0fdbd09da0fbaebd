/* See xnoreplay_pixels.h. Every name and every step is that of docs/pixels.md. */
#include "xnoreplay_pixels.h"

#define MOST_SIDE 4096u

static const uint8_t CHANNELS[] = {1, 2, 3, 4, 4};

/* Rows or columns of the canvas, and the one on which the image begins; negative where some are cut. */
struct frame {
    int64_t size, start;
};

static struct frame framed(int64_t whole, int64_t size)
{
    struct frame f;
    f.size = size;
    f.start = size >= whole ? (size - whole) / 2 : -((whole - size) / 2);
    return f;
}

static void frames(enum xnoreplay_fit fit, int64_t height, int64_t width, int64_t rows, int64_t columns,
                   struct frame *down, struct frame *across)
{
    int64_t tall_to = height, wide_to = width;
    int wide = width * rows > height * columns, tall = width * rows < height * columns;

    if (fit == XNOREPLAY_CROP && wide) {
        wide_to = height * columns / rows;
        if (wide_to < 1)
            wide_to = 1;
    } else if (fit == XNOREPLAY_CROP && tall) {
        tall_to = width * rows / columns;
        if (tall_to < 1)
            tall_to = 1;
    } else if (fit == XNOREPLAY_PAD && wide) {
        tall_to = (width * rows + columns - 1) / columns;
    } else if (fit == XNOREPLAY_PAD && tall) {
        wide_to = (height * columns + rows - 1) / rows;
    }
    *down = framed(height, tall_to);
    *across = framed(width, wide_to);
}

static int32_t clipped(int32_t value)
{
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* The colour of red, green and blue: one channel, or three. */
static void coloured(int32_t r, int32_t g, int32_t b, uint32_t channels, int32_t *out)
{
    out[0] = (77 * r + 150 * g + 29 * b + 128) / 256;
    if (channels == 3) {
        /* The sums stay above 0, so that a division is the shift that the page has. */
        out[1] = clipped((128 * 256 - 43 * r - 85 * g + 128 * b + 128) / 256);
        out[2] = clipped((128 * 256 + 128 * r - 107 * g - 21 * b + 128) / 256);
    }
}

static int32_t sample(const void *samples, int wide, uint8_t bits, uint64_t at)
{
    uint32_t v;

    if (!wide)
        return ((const uint8_t *)samples)[at];
    v = (uint32_t)((const uint16_t *)samples)[at] >> (bits - 8);
    return v > 255 ? 255 : (int32_t)v;
}

/* The colour of one pixel of the image. */
static void pixel(const void *samples, int wide, enum xnoreplay_layout layout, uint64_t number,
                  const struct xnoreplay_pixels *spec, uint32_t channels, int32_t *out)
{
    int32_t s[4], light[3];
    uint64_t at = number * CHANNELS[layout];
    int i, colours = layout == XNOREPLAY_GREY || layout == XNOREPLAY_GREY_ALPHA ? 1 : 3;

    for (i = 0; i < CHANNELS[layout]; i++)
        s[i] = sample(samples, wide, spec->sample_bits, at + (uint64_t)i);
    for (i = 0; i < colours; i++) {
        if (layout == XNOREPLAY_CMYK)
            light[i] = ((255 - s[i]) * (255 - s[3]) + 127) / 255;
        else if (layout == XNOREPLAY_GREY_ALPHA || layout == XNOREPLAY_RGB_ALPHA)
            light[i] = (s[i] * s[colours] + spec->background * (255 - s[colours]) + 127) / 255;
        else
            light[i] = s[i];
    }
    if (colours == 1 && channels == 1)
        out[0] = light[0];
    else
        coloured(light[0], light[colours == 3 ? 1 : 0], light[colours == 3 ? 2 : 0], channels, out);
}

/* How much of output number i, in units of 1/outputs, number y of the image covers. */
static int64_t weight(struct frame f, int64_t y, int64_t i, int64_t outputs)
{
    int64_t first = (y + f.start) * outputs, last = first + outputs;

    if (first < i * f.size)
        first = i * f.size;
    if (last > (i + 1) * f.size)
        last = (i + 1) * f.size;
    return last > first ? last - first : 0;
}

/* The first number of the image, and the one past the last, that output i may touch. */
static void touched(struct frame f, int64_t whole, int64_t i, int64_t outputs, int64_t *first, int64_t *past)
{
    *first = i * f.size / outputs - f.start;
    *past = ((i + 1) * f.size + outputs - 1) / outputs - f.start;
    if (*first < 0)
        *first = 0;
    if (*past > whole)
        *past = whole;
}

int xnoreplay_convert(const void *samples, int wide, enum xnoreplay_layout layout, uint32_t height,
                      uint32_t width, const struct xnoreplay_pixels *spec, uint32_t rows,
                      uint32_t columns, uint32_t channels, uint8_t *out)
{
    struct frame down, across;
    int64_t i, j, x, y, total;
    uint32_t c;
    int32_t back[3];

    if (!samples || !spec || !out || (unsigned)layout > XNOREPLAY_CMYK || (unsigned)spec->fit > XNOREPLAY_STRETCH)
        return -1;
    if (height < 1 || height > MOST_SIDE || width < 1 || width > MOST_SIDE || rows < 1 || rows > MOST_SIDE ||
        columns < 1 || columns > MOST_SIDE || (channels != 1 && channels != 3))
        return -1;
    if (spec->sample_bits < 8 || spec->sample_bits > 16 || spec->greatest < 1)
        return -1;
    frames(spec->fit, height, width, rows, columns, &down, &across);
    total = down.size * across.size;
    if (channels == 1)
        back[0] = spec->background;
    else
        coloured(spec->background, spec->background, spec->background, channels, back);
    for (i = 0; i < (int64_t)rows; i++) {
        for (j = 0; j < (int64_t)columns; j++) {
            int64_t sum[3] = {0, 0, 0}, covered = 0, y0, y1, x0, x1;

            touched(down, height, i, rows, &y0, &y1);
            touched(across, width, j, columns, &x0, &x1);
            for (y = y0; y < y1; y++) {
                int64_t by_row = weight(down, y, i, rows);

                for (x = x0; x < x1; x++) {
                    int64_t w = by_row * weight(across, x, j, columns);
                    int32_t value[3] = {0, 0, 0};

                    pixel(samples, wide, layout, (uint64_t)(y * width + x), spec, channels, value);
                    covered += w;
                    for (c = 0; c < channels; c++)
                        sum[c] += w * value[c];
                }
            }
            for (c = 0; c < channels; c++) {
                int64_t mean = (sum[c] + (total - covered) * back[c]) / total;

                *out++ = (uint8_t)((mean * spec->greatest + 127) / 255);
            }
        }
    }
    return 0;
}
