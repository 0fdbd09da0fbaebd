"""Amaranth's simulator with the same values, whose clock cycles of a whole chip take less time.

Amaranth compiles a design to Python functions. Their text masks operands that are never wider than the mask, calls a
method for every signal that a function drives, changed or not, and writes into every memory in every clock, whether its
port is enabled or not. Here that text is edited before Python compiles it; `test_engine` holds every value to Amaranth's.
"""

import re
from unittest import mock

from amaranth.sim import Simulator, _pyrtl, pysim

INDEX = re.compile(r"slots\[(\d+)\]")
NAME = re.compile(r"slot_(\d+)")
VALUE = re.compile(r"\((0x[0-9a-f]+) & slots\[(\d+)\]\.curr\)")
MASKS = re.compile(r"(= |\()(0x[0-9a-f]+) & \((0x[0-9a-f]+) & ")
UPDATE = re.compile(r"^( *)slots\[(\d+)\]\.update\((next_\d+), (-?\d+)\)$", re.MULTILINE)
WRITE = re.compile(r"^( *)(slots\[\d+\]\.write\(.*, (write_en_\d+)\))$", re.MULTILINE)


def simulator(design) -> Simulator:
    """A simulator of a design with this engine."""
    return Simulator(design, engine=Engine)


class Engine(pysim.PySimEngine):
    """Amaranth's engine, whose functions are edited."""

    def __init__(self, design) -> None:
        state = pysim._PyEngineState()
        edited = Edited(state)
        with (
            mock.patch.object(pysim, "_PyEngineState", return_value=state),
            mock.patch.object(_pyrtl, "compile", lambda text, *_: edited.text(text), create=True),
            mock.patch.object(_pyrtl, "exec", edited.define, create=True),
        ):
            super().__init__(design)


class Edited:
    """The functions of a design, whose signals and memories are `state.slots`."""

    def __init__(self, state) -> None:
        self.state, self.slots = state, state.slots

    def text(self, text: str) -> str:
        """The text of a function, edited."""
        text = UPDATE.sub(self._update, VALUE.sub(self._value, text))
        text = WRITE.sub(r"\1if \3: \2", text).replace(" << 0)", ")").replace(" >> 0)", ")")
        for _ in range(2):  # of three masks, the outer two and then the one that is left
            text = MASKS.sub(_narrower, text)
        return INDEX.sub(r"slot_\1", text)

    def define(self, text: str, names: dict) -> None:
        """Compile a function, with the signals that it names among its globals."""
        names["pending"] = self.state.pending
        names |= {f"slot_{n}": self.slots[int(n)] for n in set(NAME.findall(text))}
        exec(compile(text, "<string>", "exec"), names)

    def _value(self, found: re.Match) -> str:
        """A signal without its mask, where the mask keeps all that the signal can be."""
        mask, number = int(found[1], 16), int(found[2])
        signal = self.slots[number].signal
        whole = not signal.shape().signed and _covers(mask, len(signal))
        return f"slots[{number}].curr" if whole else found[0]

    def _update(self, found: re.Match) -> str:
        """What `_PySignalState.update` does, in place, where the function drives the whole signal."""
        indent, number, value, mask = found[1], int(found[2]), found[3], int(found[4])
        if not _covers(mask, len(self.slots[number].signal)):
            return found[0]
        slot = f"slots[{number}]"
        return (
            f"{indent}if {slot}.next != {value}:\n"
            f"{indent}    {slot}.next = {value}\n"
            f"{indent}    pending.add({slot})"
        )


def _covers(mask: int, bits: int) -> bool:
    """Whether a mask keeps so many of the lowest bits."""
    return mask & (1 << bits) - 1 == (1 << bits) - 1


def _narrower(found: re.Match) -> str:
    """The inner of two masks of low bits, where the outer keeps all that it leaves."""
    outer, inner = int(found[2], 16), int(found[3], 16)
    return f"{found[1]}({found[3]} & " if _covers(outer, inner.bit_length()) else found[0]
