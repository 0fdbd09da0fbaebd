/* The connection of a C program to a chip that flow/verify/served.cpp serves on two pipes: the functions that
 * docs/host.md asks for. The variable CHIP of the environment has the pipes' numbers, that of the answers and that of
 * the requests; without it they are stdin and stdout. */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "xnoreplay_chip.h"

enum { GONE = 7 };

int bus_read(uint32_t address, uint32_t *word);
int bus_write(uint32_t address, uint32_t word);
int bus_stream(const uint8_t *bytes, size_t count);
void bus_pause(void);

static FILE *answers, *requests;

static void ask(int kind)
{
    int from = 0, to = 1;
    const char *told = getenv("CHIP");
    if (!answers && (!told || sscanf(told, "%d %d", &from, &to) == 2)) {
        answers = fdopen(from, "rb");
        requests = fdopen(to, "wb");
    }
    fputc(kind, requests);
}

static void put(uint32_t word)
{
    for (int i = 0; i < 4; i++)
        fputc((int)(word >> 8 * i & 255), requests);
}

static int get(uint32_t *word)
{
    uint8_t b[4];
    fflush(requests);
    if (fread(b, 1, 4, answers) != 4)
        return GONE;
    *word = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return 0;
}

static int answered(void)
{
    uint32_t word = 0;
    int error = get(&word);
    return error ? error : (int)word;
}

int bus_read(uint32_t address, uint32_t *word)
{
    ask('R');
    put(address);
    int answer = answered();
    return get(word) ? GONE : answer;
}

int bus_write(uint32_t address, uint32_t word)
{
    ask('W');
    put(address);
    put(word);
    return answered();
}

int bus_stream(const uint8_t *bytes, size_t count)
{
    ask('P');
    put((uint32_t)count / xnoreplay_chip.channels);
    fwrite(bytes, 1, count, requests);
    return answered();
}

void bus_pause(void)
{
    ask('T');
    put(1000);
    answered();
}
