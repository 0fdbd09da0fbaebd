// The chip's Verilog as a process that answers a host's transfers: what `served.py` and a C program speak to.
//
// Requests on standard input: 'R' and an address, 'W' with address and data, 'P' with a number and as many pixels
// of PIXEL_BYTES bytes, 'D' to drop those that wait, 'T' with a number of clocks; numbers are 32-bit words, low byte
// first. A request is answered by one word: AXI's response of 'R' and 'W', or 0; an 'R' by a second one with its data.
// Pixels wait in the process until the chip takes them.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "Vtop.h"
#include "verilated.h"

static Vtop *top;
static uint64_t clocks = 0;
static std::deque<uint32_t> pixels;

double sc_time_stamp() { return static_cast<double>(clocks); }

static void tick() {
    top->s_axis_pixel_tvalid = !pixels.empty();
    if (!pixels.empty()) top->s_axis_pixel_tdata = pixels.front();
    top->clk = 0;
    top->eval();
    // Readiness does not depend on the offer, so it is settled before the edge.
    const bool taken = !pixels.empty() && top->s_axis_pixel_tready;
    top->clk = 1;
    top->eval();
    clocks++;
    if (taken) pixels.pop_front();
}

static uint32_t word() {
    uint8_t b[4];
    if (std::fread(b, 1, 4, stdin) != 4) std::exit(0);
    return b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24;
}

static void answer(uint32_t value) {
    const uint8_t b[4] = {static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8),
                          static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 24)};
    std::fwrite(b, 1, 4, stdout);
}

static uint32_t await(const uint8_t &valid) {
    for (int i = 0; !valid; i++) {
        if (i == 1000) std::exit(3);  // the port is held to answer within a few clocks
        tick();
    }
    return 0;
}

static void write() {
    top->s_axil_awaddr = word();
    top->s_axil_wdata = word();
    top->s_axil_wstrb = 15;
    top->s_axil_awvalid = top->s_axil_wvalid = top->s_axil_bready = 1;
    tick();  // both channels are empty between transfers
    top->s_axil_awvalid = top->s_axil_wvalid = 0;
    await(top->s_axil_bvalid);
    answer(top->s_axil_bresp);
    tick();
}

static void read() {
    top->s_axil_araddr = word();
    top->s_axil_arvalid = top->s_axil_rready = 1;
    tick();
    top->s_axil_arvalid = 0;
    await(top->s_axil_rvalid);
    answer(top->s_axil_rresp);
    answer(top->s_axil_rdata);
    tick();
}

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    const int bytes = argc > 1 ? std::atoi(argv[1]) : 1;
    top = new Vtop;
    top->rst = 1;
    for (int i = 0; i < 3; i++) tick();
    top->rst = 0;
    tick();
    for (int kind; (kind = std::getchar()) != EOF;) {
        if (kind == 'R') {
            read();
        } else if (kind == 'W') {
            write();
        } else if (kind == 'P') {
            for (uint32_t n = word(); n; n--) {
                uint32_t pixel = 0;
                for (int i = 0; i < bytes; i++) pixel |= static_cast<uint32_t>(std::getchar() & 255) << 8 * i;
                pixels.push_back(pixel);
            }
            answer(0);
        } else if (kind == 'D') {
            pixels.clear();
            answer(0);
        } else if (kind == 'T') {
            for (uint32_t n = word(); n; n--) tick();
            answer(0);
        } else {
            return 2;
        }
        std::fflush(stdout);
    }
    top->final();
    delete top;
    return 0;
}
