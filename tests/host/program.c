/* The life of tests/host/program.py in C, over a chip that flow/verify/served.cpp serves on stdin and stdout.
 * Arguments: network.bin, a file of images, number of images. Findings go to stderr, a line each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xnoreplay_chip.h"

enum { KEPT = 2, NEW = 3 };

static size_t missing; /* bytes that a sample lacks at its end */

/* The connection, which served_bus.c has. */
int bus_read(uint32_t address, uint32_t *word);
int bus_write(uint32_t address, uint32_t word);
int bus_stream(const uint8_t *bytes, size_t count);
void bus_pause(void);

static int read_word(void *context, uint32_t address, uint32_t *data)
{
    (void)context;
    return bus_read(address, data);
}

static int write_word(void *context, uint32_t address, uint32_t data)
{
    (void)context;
    return bus_write(address, data);
}

/* A write on a bus that tells no answers. */
static int write_mute(void *context, uint32_t address, uint32_t data)
{
    (void)write_word(context, address, data);
    return 0;
}

static int stream(void *context, const uint8_t *bytes, size_t count)
{
    (void)context;
    return bus_stream(bytes, count - missing);
}

static int let_work(void *context)
{
    (void)context;
    bus_pause();
    return 0;
}

/* Connections without a chip: one whose words are all 0, and one that fails. */
static int read_zero(void *context, uint32_t address, uint32_t *data)
{
    (void)context, (void)address;
    *data = 0;
    return 0;
}

static int read_nothing(void *context, uint32_t address, uint32_t *data)
{
    (void)context, (void)address, (void)data;
    return -1;
}

static void must(int error, const char *what)
{
    if (error) {
        fprintf(stderr, "error: %s gave %d\n", what, error);
        exit(1);
    }
}

static void classify_all(struct xnoreplay *x, const char *name, const uint8_t *images, size_t count, size_t size)
{
    fprintf(stderr, "%s", name);
    for (size_t i = 0; i < count; i++) {
        uint16_t label = 0;
        must(xnoreplay_classify(x, images + i * size, &label), "classify");
        fprintf(stderr, " %u", label);
    }
    fprintf(stderr, "\n");
}

static void *whole_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    static uint8_t buffer[2][1 << 22];
    static int used;
    void *at = buffer[used++];
    must(f == NULL, "fopen");
    *size = fread(at, 1, sizeof buffer[0], f);
    fclose(f);
    return at;
}

int main(int argc, char **argv)
{
    static uint32_t saved[1 << 20], again[1 << 20];
    struct xnoreplay x;
    const struct xnoreplay_bus bus = {NULL, read_word, write_word, stream, let_work, NULL};
    const struct xnoreplay_chip *chip = &xnoreplay_chip;
    size_t size = (size_t)chip->height * chip->width * chip->channels, bytes, image_bytes;
    must(argc != 3, "number of arguments");
    uint32_t *network = whole_file(argv[1], &bytes);
    const uint8_t *images = whole_file(argv[2], &image_bytes);
    size_t count = image_bytes / size;

    must(xnoreplay_open(&x, chip, &bus), "open");
    network[7] ^= 1; /* one bit of the content */
    fprintf(stderr, "damaged %d", xnoreplay_load(&x, network, bytes / 4, 2));
    network[7] ^= 1;
    network[1] ^= 1; /* one bit of the chip's identity */
    fprintf(stderr, " %d\n", xnoreplay_load(&x, network, bytes / 4, 2));
    network[1] ^= 1;
    must(xnoreplay_load(&x, network, bytes / 4, 2), "load");
    fprintf(stderr, "remembered");
    for (int i = 0; i < 2 * KEPT; i++)
        fprintf(stderr, " %d", xnoreplay_remember(&x, images + (size_t)i * size, (uint16_t)(i % 2)));
    fprintf(stderr, "\n");
    classify_all(&x, "before", images, count, size);
    fprintf(stderr, "enrolled");
    for (size_t i = count - NEW; i < count; i++)
        fprintf(stderr, " %d", xnoreplay_enrol(&x, images + i * size, 2));
    fprintf(stderr, "\n");
    if (!chip->staging)
        must(xnoreplay_announce(&x, 3), "announce");
    classify_all(&x, "ready", images, count, size);
    must(xnoreplay_state_words(chip) > sizeof saved / 4, "room for the state");
    must(xnoreplay_save(&x, saved, sizeof saved / 4), "save");
    must(xnoreplay_learn(&x), "learn");
    classify_all(&x, "learned", images, count, size);
    fprintf(stderr, "counters");
    for (size_t i = 0; i < chip->counter_count; i++) {
        uint64_t value = 0;
        must(xnoreplay_counter(&x, i, &value), "counter");
        fprintf(stderr, " %llu", (unsigned long long)value);
    }
    fprintf(stderr, "\nrefused %d %d\n", xnoreplay_announce(&x, 1), xnoreplay_write(&x, 0xFF000000u, 0));
    fprintf(stderr, "foreign %d\n", xnoreplay_restore(&x, network, bytes / 4));
    must(xnoreplay_restore(&x, saved, xnoreplay_state_words(chip)), "restore");
    must(xnoreplay_save(&x, again, sizeof again / 4), "save");
    must(memcmp(saved, again, 4 * xnoreplay_state_words(chip)), "a second save");
    classify_all(&x, "restored", images, count, size);
    /* A sample without its end, a look and a command meanwhile, and a whole sample after the abort. */
    uint32_t word = 0;
    uint16_t label = 0;
    missing = chip->channels;
    x.polls = 20;
    fprintf(stderr, "cut %d", xnoreplay_classify(&x, images, &label));
    fprintf(stderr, " %d", xnoreplay_read(&x, chip->windows[0].base, &word));
    fprintf(stderr, " %d", xnoreplay_announce(&x, 3));
    struct xnoreplay mute = x; /* its bus tells no answers */
    mute.bus.write = write_mute;
    const int unheard[] = {
        xnoreplay_classify(&mute, images, &label),
        xnoreplay_load(&mute, network, bytes / 4, 0),
        xnoreplay_restore(&mute, saved, xnoreplay_state_words(chip)),
    };
    fprintf(stderr, " %d", xnoreplay_abort(&x));
    missing = 0;
    must(xnoreplay_wait(&x, &word), "wait");
    must(xnoreplay_classify(&x, images, &label), "classify");
    fprintf(stderr, " %u\nunheard %d %d %d\n", label, unheard[0], unheard[1], unheard[2]);
    must(xnoreplay_write(&x, XNOREPLAY_REG_SEEN, 3), "write of SEEN"); /* which makes the counts of labels stale */
    fprintf(stderr, "stale %d", xnoreplay_save(&x, again, sizeof again / 4));
    fprintf(stderr, " %d", xnoreplay_learn(&x));
    fprintf(stderr, " %d\n", xnoreplay_command(&x, XNOREPLAY_RESTORE, 0, NULL));
    struct xnoreplay none;
    const struct xnoreplay_bus zero = {NULL, read_zero, write_word, stream, NULL, NULL};
    const struct xnoreplay_bus gone = {NULL, read_nothing, write_word, stream, NULL, NULL};
    fprintf(stderr, "dead %d", xnoreplay_open(&none, chip, &zero));
    fprintf(stderr, " %d", xnoreplay_load(&none, network, bytes / 4, 0));
    fprintf(stderr, " %d", xnoreplay_open(&none, chip, &gone));
    fprintf(stderr, " %d\n", xnoreplay_learn(&none));
    fprintf(stderr, "state");
    for (size_t i = 0; i < xnoreplay_state_words(chip); i++)
        fprintf(stderr, " %u", saved[i]);
    fprintf(stderr, "\n");
    return 0;
}
