// First sign of life: the chip in Verilator, from its reset until it is idle, and what ID and STATUS read as.
// Ends with 0 where both are right.

#include <cstdio>
#include <cstdint>

#include "VPREFIX.h"
#include "verilated.h"

static VPREFIX *top;

double sc_time_stamp() { return 0; }

static void tick() {
    top->clk = 0;
    top->eval();
    top->clk = 1;
    top->eval();
}

static uint32_t read(uint32_t address) {
    top->s_axil_araddr = address;
    top->s_axil_arvalid = top->s_axil_rready = 1;
    tick();  // the channel is empty between transfers
    top->s_axil_arvalid = 0;
    for (int i = 0; i < 100 && !top->s_axil_rvalid; i++) tick();
    const uint32_t data = top->s_axil_rdata;
    tick();
    return data;
}

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    top = new VPREFIX;
    top->rst = 1;
    for (int i = 0; i < 3; i++) tick();
    top->rst = 0;
    tick();
    for (int i = 0; i < 1000000 && top->busy; i++) tick();
    const uint32_t id = read(0x00), status = read(0x08);
    std::printf("ID %#010x, STATUS %u\n", static_cast<unsigned>(id), static_cast<unsigned>(status));
    top->final();
    delete top;
    return !(id == 0x584e5250 && status == 0);
}
