// A board's design on its pins: oscillator, button, serial line. The design is Verilator's, or with the macro GATES a netlist of
// gates. Arguments: clocks of a bit; what the button is while up; with GATES, the file that `gates.py` writes.
// Standard input: 'S' n and n bytes to send; 'G' n m: up to n bytes received within m clocks more, answered by their
// number and the bytes; 'B' n m: the button is down for n clocks, then up for m, answered by the number of clocks so
// far. Numbers are 32-bit words, low byte first. The oscillator is taken for the chip's clock, see EHXPLLL in ecp5_cells.v.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>

#ifdef GATES
#include "gates.h"
#else
#include "Vtop.h"
#include "verilated.h"
#endif

static Vtop *top;
static uint64_t clocks = 0;
static int per_bit, up;
static std::deque<uint8_t> received;

#ifndef GATES
double sc_time_stamp() { return static_cast<double>(clocks); }
#endif

static void tick() {
    static int wait = 0, bits = 0;
    static unsigned shift = 0;
    top->clk = 0;
    top->eval();
    top->clk = 1;
    top->eval();
    clocks++;
    if (bits == 0) {
        if (!top->uart_tx) bits = 10, wait = per_bit / 2;
    } else if (--wait == 0) {
        shift = shift >> 1 | static_cast<unsigned>(top->uart_tx) << 9;
        wait = per_bit;
        if (--bits == 0) {
            if (!(shift & 512) || (shift & 1)) std::exit(4);  // no stop bit, or no start bit
            received.push_back(static_cast<uint8_t>(shift >> 1));
        }
    }
}

static uint32_t word() {
    uint8_t b[4];
    if (std::fread(b, 1, 4, stdin) != 4) std::exit(0);
    return b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24;
}

static void answer(uint32_t value) {
    for (int i = 0; i < 4; i++) std::putchar(value >> 8 * i & 255);
}

static void level(int value) {
    top->uart_rx = value;
    for (int i = 0; i < per_bit; i++) tick();
}

int main(int argc, char **argv) {
    per_bit = std::atoi(argv[1]);
    up = std::atoi(argv[2]);
#ifdef GATES
    top = new Vtop(argv[3]);
#else
    Verilated::commandArgs(argc, argv);
    top = new Vtop;
#endif
    top->uart_rx = 1;
    top->button = up;
    for (int kind; (kind = std::getchar()) != EOF;) {
        if (kind == 'S') {
            for (uint32_t n = word(); n; n--) {
                const int byte = std::getchar();
                level(0);
                for (int i = 0; i < 8; i++) level(byte >> i & 1);
                level(1);
            }
        } else if (kind == 'G') {
            const uint32_t want = word();
            for (uint32_t left = word(); left && received.size() < want; left--) tick();
            const uint32_t got = received.size() < want ? received.size() : want;
            answer(got);
            for (uint32_t i = 0; i < got; i++) std::putchar(received.front()), received.pop_front();
            std::fflush(stdout);
        } else if (kind == 'B') {
            top->button = !up;
            for (uint32_t n = word(); n; n--) tick();
            top->button = up;
            for (uint32_t n = word(); n; n--) tick();
            answer(static_cast<uint32_t>(clocks));
            std::fflush(stdout);
        } else {
            return 2;
        }
    }
    top->final();
    return 0;
}
