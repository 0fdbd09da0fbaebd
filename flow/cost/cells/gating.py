"""Clock gates before the flip-flops that share an enable, as yosys puts them."""

from xnoreplay.flow.cost.cells import liberty

LEAST_GATED = 4
"""Flip-flops of one enable that a clock gate pays for: the multiplexers of fewer are smaller than the gate."""
FLIP_FLOPS = ("SDFFCE_PP0P", "SDFFCE_PP1P", "SDFF_PP0", "SDFF_PP1", "DFFE_PP", "DFF_P")
"""Kinds of yosys of which an enable, where there is one, opens for a reset, too."""


def commands(gate: liberty.ClockGate, selection: str = "") -> list[str]:
    """Return the commands of yosys that put clock gates before flip-flops that share an enable.

    The registers here have a synchronous reset that needs no enable: the gate opens for either.
    """
    tied = f" -tie_lo {gate.test}" if gate.test else ""
    pins = f"{gate.enable}:{gate.clock}:{gate.out}"
    line = f"clockgate -pos {gate.name} {pins}{tied} -min_net_size {LEAST_GATED} {selection}"
    return [
        "dfflegalize " + " ".join(f"-cell $_{kind}_ 01" for kind in FLIP_FLOPS),
        "opt_merge",
        "opt_clean",  # one name for what is one net, which the next commands compare
        "dffunmap -srst-only",
        line.rstrip(),
        "opt_clean",
    ]
