#include "xnoreplay_host.h"
#include "xnoreplay_registers.h"

/* Words before the content of a file: what it is, the chip's identity in two, number and check of the content. */
enum { KIND, IDENTITY_LOW, IDENTITY_HIGH, COUNT, CHECK, HEAD };

static const uint32_t DEFAULT_POLLS = 1000000000u;
static const uint64_t SLOWER = 2; /* times as long as its cycles take that a command is given, for a slower clock */

/* A callback's answer as an error of ours. */
static int told(int answer)
{
    if (answer == 0)
        return XNOREPLAY_OK;
    if (answer == XNOREPLAY_SLVERR)
        return XNOREPLAY_NOT_NOW;
    return answer == XNOREPLAY_DECERR ? XNOREPLAY_NO_SUCH : XNOREPLAY_BUS;
}

/* Whether there is an open chip. */
static int usable(const struct xnoreplay *x)
{
    return x && x->chip && x->bus.read && x->bus.write;
}

int xnoreplay_read(struct xnoreplay *x, uint32_t address, uint32_t *data)
{
    if (!usable(x) || !data)
        return XNOREPLAY_ARGUMENT;
    return told(x->bus.read(x->bus.context, address, data));
}

int xnoreplay_write(struct xnoreplay *x, uint32_t address, uint32_t data)
{
    if (!usable(x))
        return XNOREPLAY_ARGUMENT;
    return told(x->bus.write(x->bus.context, address, data));
}

static uint32_t now(const struct xnoreplay *x)
{
    return x->bus.milliseconds ? x->bus.milliseconds(x->bus.context) : 0;
}

/* Milliseconds that a command is given; 0 is the longest. */
static uint32_t patience(const struct xnoreplay *x, uint8_t command)
{
    if (x->timeout)
        return x->timeout;
    uint64_t most = SLOWER * 1000u * x->chip->most_cycles[command] / x->chip->clock_hz + XNOREPLAY_SLACK;
    return most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

static int wait_for(struct xnoreplay *x, uint8_t command, uint32_t *status)
{
    const uint32_t start = now(x), most = patience(x, command);
    for (uint32_t i = 0; i < x->polls; i++) {
        /* Before the read: a program that was held up itself looks once more. */
        int late = now(x) - start >= most;
        int error = xnoreplay_read(x, XNOREPLAY_REG_STATUS, status);
        if (error)
            return error;
        if (!(*status & XNOREPLAY_STATUS_BUSY))
            return XNOREPLAY_OK;
        if (late)
            return XNOREPLAY_HANGS;
        if (x->bus.pause && (error = told(x->bus.pause(x->bus.context))))
            return error;
    }
    return XNOREPLAY_HANGS;
}

int xnoreplay_wait(struct xnoreplay *x, uint32_t *status)
{
    return usable(x) && status ? wait_for(x, 0, status) : XNOREPLAY_ARGUMENT;
}

int xnoreplay_open(struct xnoreplay *x, const struct xnoreplay_chip *chip, const struct xnoreplay_bus *bus)
{
    uint32_t word = 0;
    if (!x)
        return XNOREPLAY_ARGUMENT;
    x->chip = NULL; /* which every call refuses */
    if (!chip || !bus || !bus->read || !bus->write)
        return XNOREPLAY_ARGUMENT;
    x->chip = chip;
    x->bus = *bus;
    x->polls = DEFAULT_POLLS;
    x->timeout = 0;
    int error = xnoreplay_read(x, XNOREPLAY_REG_ID, &word);
    if (!error)
        error = word == XNOREPLAY_ID ? xnoreplay_wait(x, &word) : XNOREPLAY_NO_CHIP;
    if (error && error != XNOREPLAY_HANGS)
        x->chip = NULL;
    return error;
}

/* Whether the chip is idle, as an error: what a bus that tells no answers would not say of a write. */
static int idle(struct xnoreplay *x)
{
    uint32_t status = 0;
    int error = xnoreplay_read(x, XNOREPLAY_REG_STATUS, &status);
    if (error)
        return error;
    return status & XNOREPLAY_STATUS_BUSY ? XNOREPLAY_NOT_NOW : XNOREPLAY_OK;
}

/* The end of a command that was taken: STATUS as an error. */
static int ended(struct xnoreplay *x, uint8_t command)
{
    uint32_t status = 0;
    int error = wait_for(x, command, &status);
    if (error)
        return error;
    if (!(status & XNOREPLAY_STATUS_FINISHED))
        return XNOREPLAY_ABORTED;
    return status & XNOREPLAY_STATUS_REFUSED ? XNOREPLAY_REFUSED : XNOREPLAY_OK;
}

int xnoreplay_command(struct xnoreplay *x, uint8_t command, uint16_t argument, const uint8_t *image)
{
    const uint32_t bit = command < 32 ? 1u << command : 0, word = command | (uint32_t)argument << 16;
    uint32_t taken = 0;
    if (!usable(x) || !(bit & XNOREPLAY_COMMANDS))
        return XNOREPLAY_ARGUMENT;
    if ((bit & XNOREPLAY_TAKES_IMAGE) ? !image || !x->bus.stream : image != NULL)
        return XNOREPLAY_ARGUMENT;
    if (argument && !(bit & XNOREPLAY_TAKES_ARGUMENT))
        return XNOREPLAY_ARGUMENT;
    int error = idle(x);
    if (!error)
        error = xnoreplay_write(x, XNOREPLAY_REG_COMMAND, word);
    /* A bus that tells no answers says OKAY to a command that the chip refused, which COMMAND does not read as. */
    if (!error)
        error = xnoreplay_read(x, XNOREPLAY_REG_COMMAND, &taken);
    if (error)
        return error;
    if (taken != word)
        return XNOREPLAY_NOT_NOW;
    if (image) {
        size_t count = (size_t)x->chip->height * x->chip->width * x->chip->channels;
        error = told(x->bus.stream(x->bus.context, image, count));
        if (error)
            return error;
    }
    return ended(x, command);
}

/* CRC-32 of IEEE 802.3 over words, low bytes first; begins with 0. */
static uint32_t crc(uint32_t sum, uint32_t word)
{
    sum ^= word;
    for (int bit = 0; bit < 32; bit++)
        sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
    return sum;
}

static uint32_t check_of(const uint32_t *words, size_t count)
{
    uint32_t sum = 0xFFFFFFFFu;
    for (size_t i = 0; i < count; i++)
        sum = crc(sum, words[i]);
    return ~sum;
}

/* Whether words are a whole file of this kind, of this chip. */
static int genuine(const struct xnoreplay_chip *chip, uint32_t kind, const uint32_t *words, size_t count)
{
    if (count < HEAD || words[KIND] != kind || words[COUNT] != count - HEAD)
        return 0;
    if (words[IDENTITY_LOW] != (uint32_t)chip->identity || words[IDENTITY_HIGH] != (uint32_t)(chip->identity >> 32))
        return 0;
    return words[CHECK] == check_of(words + HEAD, count - HEAD);
}

static int write_window(struct xnoreplay *x, const struct xnoreplay_window *w, const uint32_t *words)
{
    for (uint32_t row = 0; row < w->rows; row++)
        for (uint32_t chunk = 0; chunk < w->chunks; chunk++) {
            int error = xnoreplay_write(x, w->base + 4 * (row * w->stride + chunk), *words++);
            if (error)
                return error;
        }
    return XNOREPLAY_OK;
}

static size_t window_words(const struct xnoreplay_window *w)
{
    return (size_t)w->rows * w->chunks;
}

/* Whether words are memories of this chip one after another, each the number of its window and then its rows. */
static int fits(const struct xnoreplay_chip *chip, const uint32_t *words, size_t count)
{
    for (size_t at = 0; at < count;) {
        if (words[at] >= chip->window_count)
            return 0;
        size_t rows = window_words(&chip->windows[words[at++]]);
        if (rows > count - at)
            return 0;
        at += rows;
    }
    return 1;
}

/* Whether the chip would take so many classes, as an error; nothing is written. */
static int announceable(struct xnoreplay *x, uint16_t classes)
{
    uint32_t status = 0, seen = 0;
    int error = xnoreplay_read(x, XNOREPLAY_REG_STATUS, &status);
    if (!error)
        error = xnoreplay_read(x, XNOREPLAY_REG_SEEN, &seen);
    if (error)
        return error;
    if (status & XNOREPLAY_STATUS_STALE)
        return XNOREPLAY_STALE;
    if (status & XNOREPLAY_STATUS_BUSY || classes < seen || classes > x->chip->classes)
        return XNOREPLAY_NOT_NOW;
    return XNOREPLAY_OK;
}

int xnoreplay_load(struct xnoreplay *x, const uint32_t *words, size_t count, uint16_t classes)
{
    if (!usable(x) || !words)
        return XNOREPLAY_ARGUMENT;
    if (!genuine(x->chip, XNOREPLAY_KIND_NETWORK, words, count) || !fits(x->chip, words + HEAD, count - HEAD))
        return XNOREPLAY_FOREIGN;
    int error = classes ? announceable(x, classes) : idle(x);
    if (error)
        return error;
    for (size_t at = HEAD; at < count;) {
        const struct xnoreplay_window *w = &x->chip->windows[words[at++]];
        error = write_window(x, w, words + at);
        if (error)
            return error;
        at += window_words(w);
    }
    return classes ? xnoreplay_announce(x, classes) : XNOREPLAY_OK;
}

int xnoreplay_announce(struct xnoreplay *x, uint16_t classes)
{
    return xnoreplay_command(x, XNOREPLAY_ARRIVE, classes, NULL);
}

int xnoreplay_classify(struct xnoreplay *x, const uint8_t *image, uint16_t *label)
{
    uint32_t word = 0;
    if (!label)
        return XNOREPLAY_ARGUMENT;
    int error = xnoreplay_command(x, XNOREPLAY_INFER, 0, image);
    if (!error)
        error = xnoreplay_read(x, XNOREPLAY_REG_PREDICTION, &word);
    *label = (uint16_t)word;
    return error;
}

int xnoreplay_remember(struct xnoreplay *x, const uint8_t *image, uint16_t label)
{
    return xnoreplay_command(x, XNOREPLAY_INSERT, label, image);
}

int xnoreplay_enrol(struct xnoreplay *x, const uint8_t *image, uint16_t label)
{
    if (!usable(x))
        return XNOREPLAY_ARGUMENT;
    return xnoreplay_command(x, x->chip->staging ? XNOREPLAY_STAGE : XNOREPLAY_INSERT, label, image);
}

int xnoreplay_learn(struct xnoreplay *x)
{
    int error = xnoreplay_command(x, XNOREPLAY_RETRAIN, 0, NULL);
    return error ? error : xnoreplay_command(x, XNOREPLAY_REBALANCE, 0, NULL);
}

int xnoreplay_abort(struct xnoreplay *x)
{
    return xnoreplay_write(x, XNOREPLAY_REG_ABORT, 1);
}

int xnoreplay_counter(struct xnoreplay *x, size_t index, uint64_t *value)
{
    uint32_t low = 0, high = 0;
    if (!x || !x->chip || !value)
        return XNOREPLAY_ARGUMENT;
    if (index >= x->chip->counter_count)
        return XNOREPLAY_NO_SUCH;
    uint32_t at = XNOREPLAY_REG_COUNTERS + 8 * (uint32_t)index;
    int error = xnoreplay_read(x, at, &low);
    if (!error)
        error = xnoreplay_read(x, at + 4, &high);
    *value = (uint64_t)high << 32 | low;
    return error;
}

size_t xnoreplay_state_words(const struct xnoreplay_chip *chip)
{
    if (!chip)
        return 0;
    size_t count = HEAD + chip->register_count;
    for (size_t i = 0; i < chip->window_count; i++)
        if (!chip->windows[i].scratch)
            count += window_words(&chip->windows[i]);
    return count;
}

int xnoreplay_save(struct xnoreplay *x, uint32_t *words, size_t count)
{
    if (!usable(x) || !words || count < xnoreplay_state_words(x->chip))
        return XNOREPLAY_ARGUMENT;
    const struct xnoreplay_chip *chip = x->chip;
    uint32_t status = 0, *to = words + HEAD;
    int error = xnoreplay_wait(x, &status);
    if (error)
        return error;
    if (status & XNOREPLAY_STATUS_STALE)
        return XNOREPLAY_STALE;
    for (size_t i = 0; i < chip->window_count; i++) {
        const struct xnoreplay_window *w = &chip->windows[i];
        for (uint32_t row = 0; row < w->rows && !w->scratch; row++)
            for (uint32_t chunk = 0; chunk < w->chunks; chunk++) {
                error = xnoreplay_read(x, w->base + 4 * (row * w->stride + chunk), to++);
                if (error)
                    return error;
            }
    }
    for (size_t i = 0; i < chip->register_count; i++) {
        error = xnoreplay_read(x, chip->registers[i], to++);
        if (error)
            return error;
    }
    words[KIND] = XNOREPLAY_KIND_STATE;
    words[IDENTITY_LOW] = (uint32_t)chip->identity;
    words[IDENTITY_HIGH] = (uint32_t)(chip->identity >> 32);
    words[COUNT] = (uint32_t)(to - words - HEAD);
    words[CHECK] = check_of(words + HEAD, words[COUNT]);
    return XNOREPLAY_OK;
}

int xnoreplay_restore(struct xnoreplay *x, const uint32_t *words, size_t count)
{
    if (!usable(x) || !words)
        return XNOREPLAY_ARGUMENT;
    const struct xnoreplay_chip *chip = x->chip;
    if (count != xnoreplay_state_words(chip) || !genuine(chip, XNOREPLAY_KIND_STATE, words, count))
        return XNOREPLAY_FOREIGN;
    int error = idle(x);
    if (error)
        return error;
    words += HEAD;
    for (size_t i = 0; i < chip->window_count; i++) {
        const struct xnoreplay_window *w = &chip->windows[i];
        if (w->scratch)
            continue;
        error = w->read_only ? XNOREPLAY_OK : write_window(x, w, words);
        if (error)
            return error;
        words += window_words(w);
    }
    for (size_t i = 0; i < chip->register_count; i++) {
        error = xnoreplay_write(x, chip->registers[i], *words++);
        if (error)
            return error;
    }
    return xnoreplay_command(x, XNOREPLAY_RESTORE, 0, NULL);
}
