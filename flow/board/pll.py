"""The dividers of an ECP5's PLL for a clock.

Bounds: Lattice FPGA-DS-02012, ECP5 and ECP5-5G Family Data Sheet, table of sysCLOCK PLL timing. Parameters and the
attributes of the loop filter are those that Project Trellis' ``ecppll`` writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil

from xnoreplay.spec.errors import SpecError

MOST_DIVIDER = 128
INPUT = 8_000_000, 400_000_000
COMPARED = 10_000_000, 400_000_000
OSCILLATOR = 400_000_000, 800_000_000
OUTPUT = 3_125_000, 400_000_000
"""Hz, least and most: of the input, of the phase detector, of the inner oscillator, and of an output."""
MIDDLE = sum(OSCILLATOR) // 2
MOST_OFF = Fraction(1, 1000)
"""By how much of itself a clock may miss what was asked for."""
FILTER = {
    "ICP_CURRENT": "12",
    "LPF_RESISTOR": "8",
    "MFG_ENABLE_FILTEROPAMP": "1",
    "MFG_GMCREF_SEL": "2",
}


@dataclass(frozen=True)
class Pll:
    """An EHXPLLL: CLKOP goes back to the phase detector as it is, CLKOS is the clock.

    Parameters
    ----------
    source : int
        Hz at CLKI.
    reference, times, divider : int
        CLKI_DIV; CLKOP_DIV, by which the inner oscillator is faster than the phase detector; and CLKOS_DIV.
    """

    source: int
    reference: int
    times: int
    divider: int

    @property
    def oscillator(self) -> Fraction:
        """Hz of the inner oscillator."""
        return Fraction(self.source * self.times, self.reference)

    @property
    def clock(self) -> Fraction:
        """Hz of CLKOS."""
        return self.oscillator / self.divider

    def parameters(self) -> dict[str, int | str]:
        """Return the cell's parameters that are not as by default."""
        return {
            "CLKI_DIV": self.reference,
            "CLKFB_DIV": 1,
            "FEEDBK_PATH": "CLKOP",
            "CLKOP_ENABLE": "ENABLED",
            "CLKOP_DIV": self.times,
            "CLKOP_CPHASE": self.times - 1,
            "CLKOS_ENABLE": "ENABLED",
            "CLKOS_DIV": self.divider,
            "CLKOS_CPHASE": self.divider - 1,
        }

    def attributes(self) -> dict[str, str]:
        """Return the cell's attributes."""
        return {
            "FREQUENCY_PIN_CLKI": f"{self.source / 1e6:g}",
            "FREQUENCY_PIN_CLKOS": f"{float(self.clock) / 1e6:g}",
            **FILTER,
        }


@cache
def settings(source: int) -> tuple[Pll, ...]:
    """Return every setting of the dividers that keeps within the bounds, the fastest phase detector first."""
    return tuple(_settings(source))


def _settings(source: int) -> Iterator[Pll]:
    for reference in range(1, MOST_DIVIDER + 1):
        compared = Fraction(source, reference)
        if not COMPARED[0] <= compared <= COMPARED[1]:
            continue
        for times in range(ceil(OSCILLATOR[0] / compared), int(OSCILLATOR[1] / compared) + 1):
            fast = times * compared
            for divider in range(ceil(fast / OUTPUT[1]), MOST_DIVIDER + 1):
                if fast / divider >= OUTPUT[0]:
                    yield Pll(source, reference, times, divider)


def of_clock(source: int, clock: int) -> Pll:
    """Return the setting whose clock is nearest to what is asked for, of those the oscillator nearest to its middle.

    Parameters
    ----------
    source, clock : int
        Hz at CLKI, and asked for.

    Raises
    ------
    SpecError
        Where the PLL makes no clock that is within `MOST_OFF`.

    >>> made = of_clock(25_000_000, 80_000_000)
    >>> made.reference, made.times, made.divider, int(made.clock)
    (1, 16, 5, 80000000)
    """
    low, high = INPUT
    if not low <= source <= high:
        raise SpecError(
            f"the oscillator of a board with a PLL must have {low / 1e6:g} to {high / 1e6:g} MHz, "
            f"not {source / 1e6:g}"
        )

    def distance(pll: Pll) -> tuple[Fraction, Fraction]:
        return abs(pll.clock - clock), abs(pll.oscillator - MIDDLE)

    best = min(settings(source), key=distance)
    if abs(best.clock - clock) > MOST_OFF * clock:
        raise SpecError(
            f"clock must be one that the PLL makes of {source / 1e6:g} MHz within {float(MOST_OFF):.1%}, "
            f"{OUTPUT[0] / 1e6:g} to {OUTPUT[1] / 1e6:g} MHz, not {clock / 1e6:g} MHz, to which {float(best.clock) / 1e6:g} "
            "is the nearest"
        )
    return best
