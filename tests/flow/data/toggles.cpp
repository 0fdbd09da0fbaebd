// Clocks the bench for so many cycles and writes the toggles of every net of the design as SAIF.
#include <cstdlib>

#include "Vbench.h"
#include "verilated.h"
#include "verilated_saif_c.h"

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    context.traceEverOn(true);
    Vbench bench(&context);
    VerilatedSaifC trace;
    bench.trace(&trace, 99);
    trace.open("toggles.saif");
    const long cycles = std::atol(argv[1]);
    for (long i = 0; i < 2 * cycles; ++i) {
        bench.clk = i & 1;
        bench.eval();
        trace.dump(context.time());
        context.timeInc(1);
    }
    trace.close();
    return 0;
}
