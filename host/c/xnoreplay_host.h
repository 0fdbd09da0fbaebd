/* Driver of an xnoreplay chip, in C99: the calls of xnoreplay.host.driver in Python.
 *
 * No memory is allocated and no state is kept but in the structures that the caller owns. One chip is described by
 * `struct xnoreplay_chip`, which `xnoreplay generate` writes into xnoreplay_chip.h. */
#ifndef XNOREPLAY_HOST_H
#define XNOREPLAY_HOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What every call returns: 0, or one of these. */
enum xnoreplay_error {
    XNOREPLAY_OK = 0,
    XNOREPLAY_REFUSED = 1,  /* the chip took the command and refused its sample, or a label of a restored state */
    XNOREPLAY_NOT_NOW = 2,  /* SLVERR: not in this state, or not with this value; nothing has changed */
    XNOREPLAY_NO_SUCH = 3,  /* DECERR: nothing lies at this address */
    XNOREPLAY_NO_CHIP = 4,  /* ID is not that of an xnoreplay chip */
    XNOREPLAY_HANGS = 5,    /* still busy after the time that it was given, or after `polls` reads of STATUS */
    XNOREPLAY_ABORTED = 6,  /* the command did not come to its end */
    XNOREPLAY_STALE = 7,    /* the counts of labels are stale: restore first */
    XNOREPLAY_FOREIGN = 8,  /* words of another chip, or damaged, or none of a file of this kind */
    XNOREPLAY_BUS = 9,      /* the connection failed: a callback returned another number than 0, 2 and 3 */
    XNOREPLAY_ARGUMENT = 10 /* the call is wrong: see below; nothing was sent */
};

/* XNOREPLAY_ARGUMENT is the answer to a pointer that is NULL, where nothing says that it may be; to a chip that was not
 * opened, where `struct xnoreplay` began as zeros; to a command that there is not; to an image or an argument for a
 * command that takes none; and to room for a state that is too small. */

/* One memory that the host reaches. Word c of row r lies at base + 4 * (r * stride + c). */
struct xnoreplay_window {
    const char *name;
    uint32_t base, stride, chunks, rows, width;
    uint8_t read_only; /* the chip alone writes it */
    uint8_t scratch;   /* no command hands it to a later one: it is not saved */
};

/* One chip; see xnoreplay_chip.h of the generated folder. */
struct xnoreplay_chip {
    uint64_t identity; /* of the network and of what decides the memories */
    uint32_t height, width, channels; /* of an image; where latents are given 1, transfers, bytes of a transfer */
    uint32_t classes;
    uint8_t staging; /* it has a staging memory */
    const struct xnoreplay_window *windows;
    size_t window_count;
    const uint32_t *registers; /* byte offsets of those that a saved state has */
    size_t register_count;
    const char *const *counters;
    size_t counter_count;
    uint32_t counter_bits; /* of each; it wraps at 2 to their power */
    uint64_t clock_hz;     /* of the target, cycles a second */
    const uint64_t *most_cycles; /* that a command takes, by its number; the most of all at number 0 */
};

/* The connection. Each function but the last returns the chip's answer, 0 (OKAY), 2 (SLVERR) or 3 (DECERR), or a negative
 * number where the connection failed. */
struct xnoreplay_bus {
    void *context; /* passed to the functions */
    int (*read)(void *context, uint32_t address, uint32_t *data);
    int (*write)(void *context, uint32_t address, uint32_t data);
    /* Offers the bytes of an image: rows from the top, pixels from the left, channel 0 of a pixel first. Where latents
     * are given, those of the latent's transfers, the low byte of each first. May be NULL where no call has an image. */
    int (*stream)(void *context, const uint8_t *bytes, size_t count);
    /* Lets the chip work; called where STATUS has shown BUSY. May be NULL. */
    int (*pause)(void *context);
    /* Milliseconds since any moment, modulo 2^32: what a command's time is measured by. May be NULL; then `polls` alone
     * ends a wait. */
    uint32_t (*milliseconds)(void *context);
};

struct xnoreplay {
    const struct xnoreplay_chip *chip;
    struct xnoreplay_bus bus;
    uint32_t polls; /* reads of STATUS after which a command is said to hang */
    /* Milliseconds after which a command is said to hang. 0: twice what its `most_cycles` take at `clock_hz`, and
     * XNOREPLAY_SLACK. */
    uint32_t timeout;
};

#define XNOREPLAY_SLACK 1000u

/* Looks at ID, and waits until the chip is idle. After another error it is not open, and every call refuses it with
 * XNOREPLAY_ARGUMENT. After XNOREPLAY_HANGS it is open: it waits for the rest of a sample of an earlier program, most
 * likely, which xnoreplay_abort ends. */
int xnoreplay_open(struct xnoreplay *x, const struct xnoreplay_chip *chip, const struct xnoreplay_bus *bus);

/* A word at a byte address. */
int xnoreplay_read(struct xnoreplay *x, uint32_t address, uint32_t *data);
int xnoreplay_write(struct xnoreplay *x, uint32_t address, uint32_t data);

/* Waits until the chip is idle, and gives STATUS as it is then. */
int xnoreplay_wait(struct xnoreplay *x, uint32_t *status);

/* Carries out a command of xnoreplay_chip.h and waits for its end. `image` has height * width * channels bytes where the
 * command takes one, and is NULL elsewhere; `argument` is 0 where it takes none. XNOREPLAY_REFUSED where the sample found
 * no room. XNOREPLAY_NOT_NOW also where the bus tells no answers and COMMAND does not read as the command that was written. */
int xnoreplay_command(struct xnoreplay *x, uint8_t command, uint16_t argument, const uint8_t *image);

/* Writes a trained network, the words of network.bin of the generated folder, and announces `classes` where that is
 * not 0. Before anything is written: XNOREPLAY_FOREIGN for other words; XNOREPLAY_STALE where classes cannot be announced
 * before a restore; XNOREPLAY_NOT_NOW for fewer classes than were announced, or more than the network has. */
int xnoreplay_load(struct xnoreplay *x, const uint32_t *words, size_t count, uint16_t classes);

int xnoreplay_announce(struct xnoreplay *x, uint16_t classes);
int xnoreplay_classify(struct xnoreplay *x, const uint8_t *image, uint16_t *label);
int xnoreplay_remember(struct xnoreplay *x, const uint8_t *image, uint16_t label);
/* A sample of the next session; a chip without staging memory remembers it at once. */
int xnoreplay_enrol(struct xnoreplay *x, const uint8_t *image, uint16_t label);
int xnoreplay_learn(struct xnoreplay *x);
int xnoreplay_abort(struct xnoreplay *x);

/* Counter `index` of the idle chip's `counters`; XNOREPLAY_NO_SUCH where the chip has no such one. */
int xnoreplay_counter(struct xnoreplay *x, size_t index, uint64_t *value);

/* Words that a saved state has; 0 where `chip` is NULL. */
size_t xnoreplay_state_words(const struct xnoreplay_chip *chip);
/* Saves the idle chip into `words`, which has room for `count`, `xnoreplay_state_words` at least; or restores it from so
 * many. A restore that fails on its way leaves parts of both states in the chip: restore again. */
int xnoreplay_save(struct xnoreplay *x, uint32_t *words, size_t count);
int xnoreplay_restore(struct xnoreplay *x, const uint32_t *words, size_t count);

#ifdef __cplusplus
}
#endif

#endif
