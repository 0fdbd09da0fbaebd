// The chip's Verilog, in which bits of flip-flops change: what `flops.py` compiles and starts.
//
// Every variable that is public is a register whose bits may change. Without further arguments the program prints the
// registers, a line each: path and bits. With the name of a file it reads 32-bit words from there:
//
//   writes, then so many pairs of address and data: the state that each trial begins with; the last write is a command
//   writes of a session, then so many pairs: its commands
//   images, transfers of one, the word that begins one, then the transfers of each image
//   addresses: of COMMAND, of what is read after an image, of ABORT
//   cycles that the session, and an image, may take at most
//   reads, then so many addresses: what is read at the end
//   trials, then of each: bit 0 is 0 for a session with all images after it, 1 for the images alone, bit 1 asks for a reset
//   where ABORT would do; the number of the register in the order of the list, or 0xffffffff for none; the bit; the clock
//   after whose edge it changes, from the start on
//
// and prints a line for each trial: ENDED or one of the others below, the clocks of the session or of the first image,
// and the words that were read. A trial is a copy of the process, so that it costs no new state. After one that did not
// end, the state is written once more, and the same done again without a flip.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_syms.h"

// How a trial ended: by itself; by ABORT after the most cycles; by a reset, because the host port or ABORT did not help.
enum { ENDED = 0, ABORTED = 1, RESET = 2 };
constexpr uint64_t PATIENCE = 1000;  // clocks in which the host port answers, and ABORT has ended a command

struct Register {
    std::string path;
    void *data;
    uint32_t bits;
};

struct Silent {};  // the host port does not answer
struct Stuck {};   // a command goes on after the most cycles

static Vtop *top;
static std::vector<uint32_t> words;
static size_t at = 0;
static std::vector<Register> registers;
static uint64_t clocks = 0, when = 0;
static const Register *chosen = nullptr;
static uint32_t chosen_bit = 0;

double sc_time_stamp() { return static_cast<double>(clocks); }

static uint32_t next() { return words.at(at++); }

static void flip(const Register &r, uint32_t bit) {
    if (r.bits <= 8) {
        *static_cast<uint8_t *>(r.data) ^= static_cast<uint8_t>(1u << bit);
    } else if (r.bits <= 16) {
        *static_cast<uint16_t *>(r.data) ^= static_cast<uint16_t>(1u << bit);
    } else if (r.bits <= 32) {
        *static_cast<uint32_t *>(r.data) ^= 1u << bit;
    } else if (r.bits <= 64) {
        *static_cast<uint64_t *>(r.data) ^= static_cast<uint64_t>(1) << bit;
    } else {
        static_cast<uint32_t *>(r.data)[bit / 32] ^= 1u << bit % 32;
    }
}

static void tick() {
    top->clk = 0;
    top->eval();
    top->clk = 1;
    top->eval();
    clocks++;
    if (chosen && clocks == when) {
        flip(*chosen, chosen_bit);
        chosen = nullptr;
        top->eval();
    }
}

static void bus_write(uint32_t address, uint32_t data) {
    top->s_axil_awaddr = address;
    top->s_axil_wdata = data;
    top->s_axil_wstrb = 15;
    top->s_axil_awvalid = top->s_axil_wvalid = top->s_axil_bready = 1;
    tick();  // both channels are empty between transfers
    top->s_axil_awvalid = top->s_axil_wvalid = 0;
    for (uint64_t i = 0; !top->s_axil_bvalid; i++) {
        if (i == PATIENCE) throw Silent();
        tick();
    }
    tick();
}

static uint32_t bus_read(uint32_t address) {
    top->s_axil_araddr = address;
    top->s_axil_arvalid = top->s_axil_rready = 1;
    tick();
    top->s_axil_arvalid = 0;
    for (uint64_t i = 0; !top->s_axil_rvalid; i++) {
        if (i == PATIENCE) throw Silent();
        tick();
    }
    const uint32_t data = top->s_axil_rdata;
    tick();
    return data;
}

static void wait_idle(uint64_t until) {
    while (top->busy) {
        if (clocks > until) throw Stuck();
        tick();
    }
}

static void begin(uint32_t address, uint32_t data) {
    bus_write(address, data);
    for (int i = 0; i < 3; i++) tick();  // BUSY is 1 by then
}

struct Script {
    std::vector<uint32_t> state, session, images, reads;
    uint32_t count, transfers, word, command, result, abort, most_session, most_image;
};

static void write_state(const Script &s) {
    for (size_t i = 0; i < s.state.size(); i += 2) {
        if (s.state[i] == s.command) {
            begin(s.state[i], s.state[i + 1]);
            wait_idle(clocks + s.most_session);
        } else {
            bus_write(s.state[i], s.state[i + 1]);
        }
    }
}

static void do_session(const Script &s) {
    const uint64_t until = clocks + s.most_session;
    for (size_t i = 0; i < s.session.size(); i += 2) {
        begin(s.session[i], s.session[i + 1]);
        wait_idle(until);
    }
}

static uint32_t do_image(const Script &s, uint32_t n) {
    const uint64_t until = clocks + s.most_image;
    begin(s.command, s.word);
    top->s_axis_pixel_tvalid = 1;
    for (uint32_t sent = 0; sent < s.transfers && top->busy;) {  // a command that has ended takes no more
        top->s_axis_pixel_tdata = s.images.at(static_cast<size_t>(n) * s.transfers + sent);
        // Readiness does not depend on the offer, so it is settled before the edge.
        const bool taken = top->s_axis_pixel_tready;
        tick();
        sent += taken;
        if (clocks > until) {
            top->s_axis_pixel_tvalid = 0;
            throw Stuck();
        }
    }
    top->s_axis_pixel_tvalid = 0;
    wait_idle(until);
    return bus_read(s.result);
}

// Carries out a session with its images, or images alone; what was read, and the clocks of the session or first image.
static std::vector<uint32_t> carry_out(const Script &s, bool images_alone, uint64_t &took) {
    std::vector<uint32_t> found;
    const uint64_t first = clocks;
    if (!images_alone) {
        do_session(s);
        took = clocks - first;
    }
    for (uint32_t n = 0; n < s.count; n++) {
        found.push_back(do_image(s, n));
        if (images_alone && !n) took = clocks - first;
    }
    for (const uint32_t address : s.reads) found.push_back(bus_read(address));
    return found;
}

static void reset() {
    top->s_axil_awvalid = top->s_axil_wvalid = top->s_axil_arvalid = top->s_axis_pixel_tvalid = 0;
    top->rst = 1;
    for (int i = 0; i < 3; i++) tick();
    top->rst = 0;
    tick();
    wait_idle(clocks + 10000000);  // the chip empties its replay memory
}

static void trial(const Script &s, bool images_alone, bool by_reset) {
    int ended = ENDED;
    uint64_t took = 0;
    std::vector<uint32_t> found;
    try {
        found = carry_out(s, images_alone, took);
    } catch (const Stuck &) {
        ended = ABORTED;
    } catch (const Silent &) {
        ended = RESET;
    }
    chosen = nullptr;
    if (ended == ABORTED && by_reset) ended = RESET;
    if (ended == ABORTED) {
        try {
            bus_write(s.abort, 1);
            wait_idle(clocks + PATIENCE);
            write_state(s);
            found = carry_out(s, images_alone, took);
        } catch (const Stuck &) {
            ended = RESET;
        } catch (const Silent &) {
            ended = RESET;
        }
    }
    if (ended == RESET) {  // what is still thrown here ends the copy, which prints nothing then
        reset();
        write_state(s);
        found = carry_out(s, images_alone, took);
    }
    std::printf("%d %llu", ended, static_cast<unsigned long long>(took));
    for (const uint32_t word : found) std::printf(" %u", word);
    std::printf("\n");
    std::fflush(stdout);
}

static std::vector<uint32_t> some(size_t count) {
    std::vector<uint32_t> found(count);
    for (uint32_t &word : found) word = next();
    return found;
}

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    top = new Vtop;
    for (const auto &scope : *Verilated::scopeNameMap()) {
        if (!scope.second->varsp()) continue;
        for (const auto &var : *scope.second->varsp()) {
            const VerilatedVar &v = var.second;
            registers.push_back({std::string(scope.first) + " " + var.first, v.datap(), v.entBits()});
        }
    }
    if (argc < 2) {
        for (const Register &r : registers) std::printf("%s %u\n", r.path.c_str(), r.bits);
        return 0;
    }
    FILE *f = std::fopen(argv[1], "rb");
    if (!f) return 2;
    uint32_t word;
    while (std::fread(&word, sizeof word, 1, f) == 1) words.push_back(word);
    std::fclose(f);

    Script s;
    s.state = some(2 * static_cast<size_t>(next()));
    s.session = some(2 * static_cast<size_t>(next()));
    s.count = next(), s.transfers = next(), s.word = next();
    s.images = some(static_cast<size_t>(s.count) * s.transfers);
    s.command = next(), s.result = next(), s.abort = next();
    s.most_session = next(), s.most_image = next();
    s.reads = some(next());
    reset();
    write_state(s);
    for (uint32_t n = next(); n; n--) {
        const uint32_t kind = next();
        const uint32_t number = next(), bit = next(), clock = next();
        std::fflush(stdout);
        const pid_t child = fork();
        if (child < 0) return 3;
        if (!child) {
            if (number != 0xffffffff) {
                chosen = &registers.at(number), chosen_bit = bit, when = clocks + clock;
            }
            try {
                trial(s, kind & 1, kind & 2);
            } catch (const Stuck &) {
                _exit(4);
            } catch (const Silent &) {
                _exit(4);
            }
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) < 0) return 3;
        if (!WIFEXITED(status) || WEXITSTATUS(status)) std::printf("9 0\n");
    }
    return 0;
}
