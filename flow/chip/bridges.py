"""The chip behind a UART and behind SPI: Verilog beside that of the chip."""

from pathlib import Path

from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.plan import Plan

BAUDS = (115_200, 57_600, 38_400, 19_200, 9_600, 4_800, 2_400, 1_200, 300)
"""Rates that are tried without a choice, in this order."""
MOST_OFF = 0.02
"""By how much of itself a rate may miss what was asked for: a bit is looked at in its middle, ten bits after the start."""


def clocks_of(clock_hz: int, baud: int | None) -> tuple[int, int] | None:
    """The bits a second of a chip's UART, and the clock cycles of a bit.

    Parameters
    ----------
    clock_hz : int
    baud : int, optional
        Without it, the first of `BAUDS` that the clock makes.

    Returns
    -------
    (int, int) or None
        None where no rate was chosen, and the clock makes none of `BAUDS`.

    Raises
    ------
    SpecError
        Where the clock does not make the rate that was chosen.

    >>> clocks_of(50_000_000, None), clocks_of(1_000, None)
    ((115200, 434), None)
    """
    from xnoreplay.hw.host.uart import LEAST_CLOCKS

    for rate in BAUDS if baud is None else (baud,):
        clocks = round(clock_hz / rate)
        if clocks >= LEAST_CLOCKS and abs(clock_hz / clocks - rate) <= MOST_OFF * rate:
            return rate, clocks
    if baud is None:
        return None
    raise SpecError(
        f"baud must be at most a {LEAST_CLOCKS}th of the clock of {clock_hz:,} Hz, and within {MOST_OFF:.0%} of what a "
        f"whole number of its cycles makes, not {baud:,}"
    )


def write(plan: Plan, out: Path, baud: int | None) -> dict:
    """Write the bridges' Verilog files.

    Returns
    -------
    dict
        ``uart``: ``verilog``, ``top``, ``baud`` and ``clocks`` of a bit, None where the clock makes no rate;
        ``spi``: ``verilog``, ``top`` and ``clocks``, the least cycles in one of the serial clock's; ``axi``: ``verilog``
        and ``top`` of the chip with AXI's own pins.
    """
    from xnoreplay.hw import verilog
    from xnoreplay.hw.host.spi import LEAST_CLOCKS

    rate = clocks_of(plan.target.clock_hz, baud)
    found: dict = {
        "uart": rate and {"top": verilog.UART, "baud": rate[0], "clocks": rate[1]},
        "spi": {"top": verilog.SPI, "clocks": LEAST_CLOCKS},
        "axi": {"top": verilog.AXI},
    }
    texts = {"spi": verilog.spi(plan), "axi": verilog.axi(plan)}
    if rate:
        texts["uart"] = verilog.uart(plan, rate[1])
    for bridge, text in texts.items():
        found[bridge]["verilog"] = f"{found[bridge]['top']}.v"
        (out / found[bridge]["verilog"]).write_text(text, encoding="utf-8")
    return found
