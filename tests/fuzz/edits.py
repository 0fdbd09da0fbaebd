"""Damage of a file: what transfers, editors and people do to it."""

import re
from typing import NamedTuple

from hypothesis import strategies as st

TOKENS = (
    *(b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b'"', b"'", b"{", b"[" * 2000, b"]", b",", b":", b"\n", b"#"),
    *(b"9" * 5000, str(1 << 31).encode(), str(1 << 63).encode(), b"0.5", b"1e-320", b"\x00", b"\xff\xfe", b"\\ud800", b"\xed\xa0\x80"),
    *("é".encode(), b"../..", b"%s%n", b"(" * 300, b"\r", b"U8", b"F64", b"<f8", b"|O8", b"[0]", b"[1, 99999999999]"),
)  # fmt: skip
"""What is put into a file: numbers out of range, open brackets, other encodings, names of types and shapes."""

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9.]*")
MOST_TEXT = 1 << 16  # bytes from the start in which numbers and words are looked for


class Edit(NamedTuple):
    """One change. where, length : of 2^16, how far into the file or list, and how much of it. token : what is put there."""

    kind: str
    where: int
    length: int
    token: bytes


def _flip(raw: bytes, at: int, edit: Edit) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1 << edit.length % 8]) + raw[at + 1 :] if raw else raw


def _insert(raw: bytes, at: int, edit: Edit) -> bytes:
    return raw[:at] + edit.token + raw[at:]


def _overwrite(raw: bytes, at: int, edit: Edit) -> bytes:
    return raw[:at] + edit.token + raw[at + len(edit.token) :]


def _cut(raw: bytes, at: int, edit: Edit) -> bytes:
    return raw[:at] + raw[at + 1 + len(raw) * edit.length // (1 << 18) :]


def _end(raw: bytes, at: int, _edit: Edit) -> bytes:
    return raw[:at]


def _repeat(raw: bytes, at: int, edit: Edit) -> bytes:
    length = 1 + len(raw) * edit.length // (1 << 18)
    return raw[: at + length] + raw[at:]


def _one_of(pattern: re.Pattern[bytes], raw: bytes, edit: Edit) -> bytes:
    found = list(pattern.finditer(raw[:MOST_TEXT]))
    if not found:
        return raw
    match = found[edit.where * len(found) >> 16]
    return raw[: match.start()] + edit.token + raw[match.end() :]


def _number(raw: bytes, _at: int, edit: Edit) -> bytes:
    return _one_of(NUMBER, raw, edit)


def _word(raw: bytes, _at: int, edit: Edit) -> bytes:
    return _one_of(WORD, raw, edit)


KINDS = {
    "flip": _flip,
    "insert": _insert,
    "overwrite": _overwrite,
    "cut": _cut,
    "end": _end,
    "repeat": _repeat,
    "number": _number,
    "word": _word,
}


def edits():
    """Lists of one to four changes."""
    small = st.integers(0, (1 << 16) - 1)
    token = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))
    return st.lists(st.builds(Edit, st.sampled_from(sorted(KINDS)), small, small, token), min_size=1, max_size=4)  # fmt: skip


def damaged(raw: bytes, changes: list[Edit]) -> bytes:
    """Make the changes, one after another."""
    for edit in changes:
        raw = KINDS[edit.kind](raw, len(raw) * edit.where >> 16, edit)
    return raw
