"""Errors for users, and the checks that raise them.

A message is one sentence that states the rule and the value.
"""

import difflib
import operator
import re
import sys
from collections.abc import Iterable


class XnoreplayError(Exception):
    """Bad input or a missing tool. The command line prints it and exits with code 1."""


class SpecError(XnoreplayError, ValueError):
    """A specification that breaks a rule."""


class BundleError(XnoreplayError, ValueError):
    """A bundle that is damaged, truncated, altered or foreign."""


class ImageError(XnoreplayError, ValueError):
    """An image of the wrong shape or type."""


class FeatureError(XnoreplayError, ValueError):
    """A vector of features of the wrong length, or with what is no finite number."""


class ReadError(XnoreplayError, ValueError):
    """A file that cannot be read as what it must be."""


class ToolError(XnoreplayError):
    """An external tool that is missing or failed."""


class CheckFailure(Exception):
    """A design that failed a check. The command line prints it and exits with code 2."""


TOLD = 200  # characters of another library's message that a sentence repeats
OBJECT = re.compile(r"<([\w.]+) object at 0x[0-9a-f]+>")
SHOWN = 60  # characters of a user's value that a sentence repeats
NEAR = 0.6  # least likeness, 0 to 1, of a name that is suggested: difflib's own
LISTED, FEW = 50, 5  # names above which a sentence lists so few, the nearest
LONGEST_NAME = 100  # characters; it is a folder's name with more around it, and those end at 255


def told(error: Exception) -> str:
    r"""What an error of another library says, as a sentence repeats it: one line, its first `TOLD` characters.

    >>> told(ValueError("not a table:\n  no rows"))
    'not a table: no rows'
    """
    text = OBJECT.sub(r"\1", " ".join(str(error).split()))
    return text if len(text) <= TOLD else text[:TOLD] + "..."


def shown(value: object) -> str:
    """A user's value as a sentence repeats it: its `repr`, or the first `SHOWN` characters of that.

    >>> shown("a"), shown("a" * 1000)
    ("'a'", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa... (1,002 characters)")
    """
    try:
        text = repr(value)
    except (
        ValueError,
        RecursionError,
    ):  # Python writes no integer of over 4,300 digits, nor deep nesting
        size = f" of {value.bit_length():,} bits" if isinstance(value, int) else ""
        return f"a value{size} that is too long to write out"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def printable(text: str, keep: str = "") -> str:
    r"""A text with an escape in place of each character that no terminal shows, such as half of a surrogate pair.

    Parameters
    ----------
    text : str
        Of a user: a file's name, or a sentence that repeats one.
    keep : str
        Characters that stay as they are.

    >>> print(printable("a\x1b[2J\n"))
    a\x1b[2J\n
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


class require:
    """Checks of single values; each raises SpecError with a sentence that states rule and value."""

    @staticmethod
    def positive(name: str, value: object) -> None:
        """Check an integer that is at least 1, without a bound above: one that is counted, not chosen."""
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpecError(f"{name} must be a positive integer, not {shown(value)}")

    @staticmethod
    def between(name: str, value: object, low: int, high: int) -> None:
        """Check an integer from `low` to `high`."""
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise SpecError(f"{name} must be an integer from {low} to {high}, not {shown(value)}")

    @staticmethod
    def name(what: str, value: object) -> None:
        """Check a name that can also be a folder's: letters, digits, and - _ . inside."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise SpecError(
                f"{what} must be a word of letters, digits, '.', '-' and '_', not {shown(value)}"
            )
        if len(value) > LONGEST_NAME:
            raise SpecError(
                f"{what} must have at most {LONGEST_NAME} characters, not {len(value):,}"
            )

    @staticmethod
    def flag(name: str, value: object) -> None:
        """Check a Boolean value."""
        if not isinstance(value, bool):
            raise SpecError(f"{name} must be true or false, not {shown(value)}")

    @staticmethod
    def whole(name: str, value: object) -> int:
        """Check a Python or NumPy integer, and return it as a Python integer."""
        numpy = sys.modules.get("numpy")  # nobody has a Boolean of NumPy before someone imports it
        flag = isinstance(value, bool) or (numpy and isinstance(value, numpy.bool_))
        if flag or not hasattr(value, "__index__"):
            raise SpecError(f"{name} must be an integer, not {shown(value)}")
        try:
            return operator.index(value)
        except TypeError:  # an array of several
            raise SpecError(f"{name} must be an integer, not {shown(value)}") from None

    @staticmethod
    def choice(name: str, value: object, choices: Iterable) -> None:
        """Check that a value is one of the choices, in type too."""
        choices = list(choices)
        # Types count: True is not 1 here, and 0.0 is not 0.
        if not any(type(value) is type(c) and value == c for c in choices):
            raise SpecError(f"{name} must be {' or '.join(map(repr, choices))}, not {shown(value)}")


def _is_word(name: object) -> bool:
    """Whether a name is a text that is short enough to look for a near one."""
    return isinstance(name, str) and len(name) <= LONGEST_NAME


def unknown(kind: str, name: object, known: Iterable[str]) -> SpecError:
    """The error for a name that is not known: it lists those that are, of many the nearest few, and suggests one that is near.

    >>> str(unknown("preset", "digit", ["digits", "tiny"]))
    "preset must be one of digits, tiny, not 'digit'; did you mean 'digits'?"
    >>> str(unknown("preset", "nosuch", ["digits", "tiny"]))
    "preset must be one of digits, tiny, not 'nosuch'"
    >>> str(unknown("pin", "C", (f"{bank}{n}" for bank in "ABC" for n in range(1, 21))))
    "pin must be one of 60 names, such as C9, C8, C7, C6, C5, not 'C'; did you mean 'C9'?"
    """
    known = sorted(known)
    # The nearest name takes long to find for a long text, and says nothing of one.
    word = str(name) if _is_word(name) else ""
    near = difflib.get_close_matches(word, known, n=1, cutoff=NEAR) if word else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(known)
    if len(known) > LISTED:
        few = difflib.get_close_matches(word, known, n=FEW, cutoff=0)
        listed = f"{len(known)} names, such as {', '.join(few)}"
    return SpecError(f"{kind} must be one of {listed}, not {shown(name)}{hint}")
