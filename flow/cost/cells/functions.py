"""Functions of a Liberty file's pins as truth tables."""

import re
from collections.abc import Sequence

from xnoreplay.spec.errors import shown

WORD = re.compile(r"\s*([A-Za-z_][\w.\[\]]*|[01]|[()!'*&+|^])")
MOST_INPUTS = 6
"""Of a function: its table has a bit for each of their values, in 64 bits."""


def names(*functions: str) -> list[str]:
    """Return the names in functions, each once, in the order in which they come.

    >>> names("!(A&B)", "B | IQ")
    ['A', 'B', 'IQ']
    """
    found = (
        word for text in functions for word in _words(text) if word[0].isalpha() or word[0] == "_"
    )
    return list(dict.fromkeys(found))


def table(function: str, inputs: Sequence[str]) -> int:
    """Return a function's truth table: bit k is its value where input j has bit j of k.

    Operators are those of Liberty, the strongest first: ``!`` before and ``'`` behind what they invert, ``^``, then
    ``&``, ``*`` or a space, then ``|`` or ``+``.

    Raises
    ------
    ValueError
        For a text that is no function, a name that is none of the inputs, and more than `MOST_INPUTS` inputs.

    >>> bin(table("!(A&B)", "AB")), bin(table("A B' + C", "ABC"))
    ('0b111', '0b11110010')
    """
    if len(inputs) > MOST_INPUTS:
        raise ValueError(f"a function must have at most {MOST_INPUTS} inputs, not {len(inputs)}")
    rows = 1 << len(inputs)
    columns = {
        name: sum((row >> j & 1) << row for row in range(rows)) for j, name in enumerate(inputs)
    }
    reader = _Reader(_words(function), columns, (1 << rows) - 1)
    value = reader.either()
    if reader.left:
        raise ValueError(f"function {shown(function)} must be whole, but {reader.left[-1]} is left")
    return value


def renamed(function: str, name: str, text: str) -> str:
    """Return a function with a text in the place of a name.

    >>> renamed("IQN & A", "IQN", "(!IQ)")
    '(!IQ) & A'
    """
    return " ".join(text if word == name else word for word in _words(function))


def _words(function: str) -> list[str]:
    found, at = [], 0
    text = function.strip()
    while at < len(text):
        match = WORD.match(text, at)
        if match is None:
            raise ValueError(f"a function must have names and operators, not {shown(text[at:])}")
        found.append(match[1])
        at = match.end()
    return found


class _Reader:
    """Reads words from the first on; every method returns the column of values of what it has read."""

    def __init__(self, words: list[str], columns: dict[str, int], full: int) -> None:
        self.left, self.columns, self.full = words[::-1], columns, full

    def next_is(self, *words: str) -> bool:
        return bool(self.left) and self.left[-1] in words

    def either(self) -> int:
        value = self.both()
        while self.next_is("|", "+"):
            self.left.pop()
            value |= self.both()
        return value

    def both(self) -> int:
        value = self.differs()
        while self.left and not self.next_is("|", "+", ")"):
            if self.next_is("&", "*"):
                self.left.pop()
            value &= self.differs()
        return value

    def differs(self) -> int:
        value = self.one()
        while self.next_is("^"):
            self.left.pop()
            value ^= self.one()
        return value

    def one(self) -> int:
        if not self.left:
            raise ValueError("a function must have a name where it ends")
        word = self.left.pop()
        if word == "!":
            return self.full & ~self.one()
        if word == "(":
            value = self.either()
            if not self.next_is(")"):
                raise ValueError("a function must have a ) for each (")
            self.left.pop()
        elif word in self.columns:
            value = self.columns[word]
        elif word in ("0", "1"):
            value = self.full * int(word)
        else:
            raise ValueError(f"a function must be of its cell's pins, but has {shown(word)}")
        while self.next_is("'"):
            self.left.pop()
            value = self.full & ~value
        return value
