"""A waveform read back, standing where the test bench has the running chip.

What the test bench looks at then comes from the FST, by names and with values of the file alone.
"""

from bisect import bisect_right
from pathlib import Path
from types import SimpleNamespace

import pywellen


class Signal:
    """A signal at the time of its file; `number` of `cosim.view` reads it."""

    def __init__(self, chip: "FstChip", var) -> None:
        self.chip, self.bits = chip, var.bitwidth
        self.times, self.values = zip(*var.tv, strict=True)
        self._handle = SimpleNamespace(get_signal_val_binstr=self.text)

    def text(self) -> str:
        value = self.values[bisect_right(self.times, self.chip.time) - 1]
        return f"{value:0{self.bits}b}" if isinstance(value, int) else value

    def __len__(self) -> int:
        return self.bits


class Rows:
    """Rows of a memory, which nobody may read: an FST has those of small ones alone."""

    def __getitem__(self, row: int) -> None:
        return None


class Scope:
    """An instance: its signals and inner instances are attributes."""

    def __init__(self, chip: "FstChip", path: str) -> None:
        self._chip, self._path = chip, path

    def __getattr__(self, name: str):
        path = f"{self._path}.{name}"
        if name == "rows":
            return Rows()
        if path in self._chip.signals:
            return self._chip.signal(path)
        if path in self._chip.scopes:
            return Scope(self._chip, path)
        raise AttributeError(path)


class FstChip(Scope):
    """The top of an FST. `time` is when signals are read."""

    def __init__(self, path: Path, top: str) -> None:
        super().__init__(self, top)
        self.time = 0
        self.signals = {v.full_name: v for v in pywellen.Waveform(str(path)).all_vars()}
        parts = [name.split(".")[:-1] for name in self.signals]
        self.scopes = {".".join(p[:n]) for p in parts for n in range(1, len(p) + 1)}
        self._read: dict[str, Signal] = {}

    def signal(self, path: str) -> Signal:
        if path not in self._read:
            self._read[path] = Signal(self, self.signals[path])
        return self._read[path]

    def edges(self) -> list[int]:
        """Times of the clock's rising edges."""
        clock = self.clk
        return [t for t, v in zip(clock.times, clock.values, strict=True) if v == 1]
