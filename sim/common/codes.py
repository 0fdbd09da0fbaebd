"""Codes of a simulated chip's memories: which rows have wrong bits, and what their readers are told.

The arrays of `State` hold the word that a reader is given. Of the rows whose bits are not as written, the pattern of wrong
bits is kept beside them, check bits included; of a word that was written it is all that the codes have to say, because they
are linear. Without a flip there is no pattern, and nothing here costs a cycle.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import part
from xnoreplay.spec.codes import Code, Verdict
from xnoreplay.spec.memories import Mem
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import coded, error_bit

UNNOTICED = 3
"""Stands beside the numbers of `Verdict` for a row with wrong bits that its code takes for right."""


class Wrong(NamedTuple):
    """What the decoders of all memories with a code say of each row."""

    mem: np.ndarray  # (coded,) int64, the memories' numbers of `Mem`
    start: np.ndarray  # (coded,) int64, where their rows begin in `verdict`
    # (coded, 4) int64, bits of ERRORS that a read of a row sets, by verdict
    sets: np.ndarray
    verdict: (
        np.ndarray
    )  # (rows,) int64: 0 for a row as it was written, else of `Verdict` or `UNNOTICED`


class Codes:
    """The rows of a chip's memories that have wrong bits.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        memories = coded(plan.memories)
        self.codes: dict[str, Code] = {m.name: m.coded for m in memories if m.coded}
        self._place = {m.name: n for n, m in enumerate(memories)}
        ends = np.cumsum([0, *(m.depth for m in memories)])
        sets = np.zeros((len(memories), UNNOTICED + 1), np.int64)
        for n, memory in enumerate(memories):
            for verdict in (Verdict.CORRECTED, Verdict.WRONG):
                bit = error_bit(memory.name, verdict is Verdict.CORRECTED)
                sets[n, verdict] = 1 << bit
        numbers = {mem.declaration.name: int(mem) for mem in Mem}
        mem = np.array([numbers[m.name] for m in memories], np.int64)
        self.wrong = Wrong(mem, ends[:-1].astype(np.int64), sets, np.zeros(ends[-1], np.int64))
        self._features = {m.name for m in memories if m.role == "weights"}
        self._patterns: dict[tuple[str, int], int] = {}

    def patterns(self) -> dict[tuple[str, int], int]:
        """Wrong bits of each row that has any, by memory and row; those of rows written since are dropped."""
        if self._patterns:
            verdict = self.wrong.verdict
            kept = self._patterns.items()
            self._patterns = {key: p for key, p in kept if verdict[self._row(*key)]}
        return self._patterns

    def touched(self, features: bool) -> bool:
        """Whether a memory has wrong bits that an operation may read or write: of an image's features, or another one."""
        return any((name in self._features) is features for name, _ in self.patterns())

    def effect(self, name: str, row: int) -> int:
        """Bits in which a reader of a row is given another word than was written."""
        pattern = self.patterns().get((name, row), 0)
        return self.codes[name].effect(pattern)[0] if pattern else 0

    def flip(self, name: str, row: int, bit: int) -> int:
        """Change a bit of a row, check bits included; the bits that change for its readers."""
        before = self.effect(name, row)
        self._put(name, row, self._patterns.get((name, row), 0) ^ 1 << bit)
        return before ^ self.effect(name, row)

    def stored(self, name: str, words: list[int]) -> list[int]:
        """What the rows of a memory hold, check bits above, where its readers are given these words."""
        code = self.codes[name]
        rows = [code.encode(word) for word in words]
        for (memory, row), pattern in self.patterns().items():
            if memory == name:
                rows[row] = code.encode(words[row] ^ self.effect(name, row)) ^ pattern
        return rows

    def wrote(self, name: str, first: int = 0, count: int | None = None) -> None:
        """Forget the wrong bits of rows that were written: so many from the first, or all after it."""
        if name not in self.codes:
            return
        for row in self._among(name, first, count):
            self._put(name, row, 0)

    def read(self, name: str, first: int = 0, count: int | None = None) -> int:
        """Bits of ERRORS that reads of rows set: of so many from the first, or of all after it."""
        found = 0
        for row in self._among(name, first, count):
            verdict = self.wrong.verdict[self._row(name, row)]
            found |= int(self.wrong.sets[self._place[name], verdict])
        return found

    def _among(self, name: str, first: int, count: int | None) -> list[int]:
        """Rows of a memory with wrong bits: of so many from the first, or of all after it."""
        rows = (row for memory, row in self.patterns() if memory == name)
        return [row for row in rows if row >= first and (count is None or row < first + count)]

    def verdicts(self) -> dict[str, dict[str, int]]:
        """Rows with wrong bits by memory, and by what a read of them finds: "corrected", "wrong" or "unnoticed"."""
        found: dict[str, dict[str, int]] = {}
        for name, row in self.patterns():
            told = int(self.wrong.verdict[self._row(name, row)])
            counts = found.setdefault(name, dict.fromkeys(("corrected", "wrong", "unnoticed"), 0))
            counts["unnoticed" if told == UNNOTICED else Verdict(told).name.lower()] += 1
        return found

    def copied(self) -> np.ndarray:
        """Every wrong bit: (bits, 3) int64 of memory, as a number of `Mem`, row and bit."""
        found = [
            (self.wrong.mem[self._place[name]], row, bit)
            for (name, row), pattern in sorted(self.patterns().items())
            for bit in range(pattern.bit_length())
            if pattern >> bit & 1
        ]
        return np.array(found, np.int64).reshape(-1, 3)

    def put(self, copied: np.ndarray) -> None:
        """Take over what `copied` returned; the words that readers are given are not touched."""
        self._patterns = {}
        self.wrong.verdict[:] = 0
        names = {int(mem): name for mem, name in zip(self.wrong.mem, self._place, strict=True)}
        for mem, row, bit in copied.tolist():
            name = names[mem]
            self._put(name, row, self._patterns.get((name, row), 0) ^ 1 << bit)

    def fits(self, copied: np.ndarray) -> bool:
        """Whether an array can be one of `copied`."""
        if copied.dtype != np.int64 or copied.ndim != 2 or copied.shape[1] != 3:
            return False
        sizes = dict(zip(self.wrong.mem.tolist(), self.codes.values(), strict=True))
        depths = np.diff([*self.wrong.start, len(self.wrong.verdict)])
        rows = dict(zip(self.wrong.mem.tolist(), depths.tolist(), strict=True))
        return all(
            mem in sizes
            and 0 <= row < rows[mem]
            and 0 <= bit < sizes[mem].width + sizes[mem].checks
            for mem, row, bit in copied.tolist()
        )

    def _row(self, name: str, row: int) -> int:
        return int(self.wrong.start[self._place[name]]) + row

    def _put(self, name: str, row: int, pattern: int) -> None:
        at = self._row(name, row)
        if not pattern:
            self._patterns.pop((name, row), None)
            self.wrong.verdict[at] = 0
            return
        self._patterns[name, row] = pattern
        self.wrong.verdict[at] = self.codes[name].effect(pattern)[1] or UNNOTICED


@part
def note_reads(wrong, read):
    """Bits of ERRORS that the reads of a cycle set; read: (memories,) addresses by `Mem`, or -1."""
    found = 0
    for i in range(wrong.mem.shape[0]):
        row = read[wrong.mem[i]]
        if row >= 0:
            found |= wrong.sets[i, wrong.verdict[wrong.start[i] + row]]
    return found


@part
def note_writes(wrong, ports):
    """Forget the wrong bits of rows that a cycle writes; a write is of the whole row."""
    for i in range(wrong.mem.shape[0]):
        for n in range(ports.count[0]):
            if ports.mem[n] == wrong.mem[i]:
                wrong.verdict[wrong.start[i] + ports.address[n]] = 0
