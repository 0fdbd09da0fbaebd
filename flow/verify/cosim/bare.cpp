// Bare Verilator: the same chip without cocotb, as fast as the Verilog itself is simulated.
//
// Reads 32-bit words from the file it is given. Seven come first: writes before the images, images,
// transfers of an image, address of COMMAND, address of what is read after each image, writes after
// the images, reads after these. Then follow the writes, as pairs of address and data; those after
// the images; the addresses to read; and of each image its command and its transfers. Prints a line
// with the cycles of the images and their processor seconds, one with what was read after each
// image, and one with what was read at the end.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

static Vtop *top;
static uint64_t clocks = 0;

double sc_time_stamp() { return static_cast<double>(clocks); }

static void tick() {
    top->clk = 0;
    top->eval();
    top->clk = 1;
    top->eval();
    clocks++;
}

static void die(const char *what) {
    std::fprintf(stderr, "error: %s\n", what);
    std::exit(1);
}

static void bus_write(uint32_t address, uint32_t data) {
    top->s_axil_awaddr = address;
    top->s_axil_wdata = data;
    top->s_axil_wstrb = 15;
    top->s_axil_awvalid = top->s_axil_wvalid = top->s_axil_bready = 1;
    tick();  // both channels are empty between transfers
    top->s_axil_awvalid = top->s_axil_wvalid = 0;
    for (int i = 0; !top->s_axil_bvalid; i++) {
        if (i == 100) die("a write was not answered");
        tick();
    }
    if (top->s_axil_bresp) die("a write was refused");
    tick();
}

static uint32_t bus_read(uint32_t address) {
    top->s_axil_araddr = address;
    top->s_axil_arvalid = top->s_axil_rready = 1;
    tick();
    top->s_axil_arvalid = 0;
    for (int i = 0; !top->s_axil_rvalid; i++) {
        if (i == 100) die("a read was not answered");
        tick();
    }
    uint32_t data = top->s_axil_rdata;
    tick();
    return data;
}

static void wait_idle();

static void write_all(const std::vector<uint32_t> &words, size_t &at, uint32_t writes, uint32_t command) {
    for (uint32_t i = 0; i < writes; i++) {
        const uint32_t address = words.at(at++), data = words.at(at++);
        bus_write(address, data);
        for (int k = 0; k < 3 && address == command; k++) tick();
        wait_idle();
    }
}

static void wait_idle() {
    for (uint64_t i = 0; top->busy; i++) {
        if (i == 100000000) die("a command did not end");
        tick();
    }
}

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    FILE *f = argc > 1 ? std::fopen(argv[1], "rb") : nullptr;
    if (!f) die("the script must be readable");
    std::vector<uint32_t> words;
    uint32_t word;
    while (std::fread(&word, sizeof word, 1, f) == 1) words.push_back(word);
    std::fclose(f);
    size_t at = 0;
    const uint32_t writes = words.at(at++), images = words.at(at++), pixels = words.at(at++);
    const uint32_t command_address = words.at(at++), result_address = words.at(at++);
    const uint32_t later = words.at(at++), reads = words.at(at++);

    top = new Vtop;
    top->rst = 1;
    for (int i = 0; i < 3; i++) tick();
    top->rst = 0;
    tick();
    wait_idle();  // the chip empties its replay memory
    write_all(words, at, writes, command_address);
    size_t after = at;
    at += 2 * later + reads;

    std::vector<uint32_t> found;
    const uint64_t first = clocks;
    const std::clock_t start = std::clock();
    for (uint32_t i = 0; i < images; i++) {
        bus_write(command_address, words.at(at++));
        uint32_t sent = 0;
        top->s_axis_pixel_tvalid = 1;
        while (sent < pixels) {
            top->s_axis_pixel_tdata = words.at(at + sent);
            // Readiness does not depend on the offer, so it is settled before the edge.
            const bool taken = top->s_axis_pixel_tready;
            tick();
            sent += taken;
        }
        top->s_axis_pixel_tvalid = 0;
        at += pixels;
        wait_idle();
        found.push_back(bus_read(result_address));
        std::fputc('\n', stderr);  // an empty line: one image more
    }
    const double spent = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%llu %.6f\n", static_cast<unsigned long long>(clocks - first), spent);
    for (uint32_t p : found) std::printf("%u ", p);
    std::printf("\n");
    write_all(words, after, later, command_address);
    for (uint32_t i = 0; i < reads; i++) std::printf("%u ", bus_read(words.at(after++)));
    std::printf("\n");
    top->final();
    delete top;
    return 0;
}
