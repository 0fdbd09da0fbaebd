"""Verilog that is not ours is a program: what of it a simulator is given without being asked to trust it.

A simulator carries out ``$system``, opens files for ``$fopen`` and ``$readmemh``, calls C for an import of
``DPI-C`` and compiles C++ for ``$c``. A comparison needs none of these, so a text that holds one is refused.
It is read as a lexer reads it: comments, strings and escaped identifiers are told from code. Where two tools
may read a text differently, as with pasted macros, it is refused, too: what hides something here must
not show it there.
"""

import re

from xnoreplay.spec.errors import SpecError

HARMLESS = frozenset(
    {
        "$signed",
        "$unsigned",
        "$clog2",
        "$bits",
        "$countones",
        "$onehot",
        "$onehot0",
        "$isunknown",
        "$itor",
        "$rtoi",
        "$time",
        "$stime",
        "$realtime",
        "$random",
        "$urandom",
        "$display",
        "$info",
        "$warning",
        "$error",
        "$fatal",
        "$finish",
        "$stop",
    }
)
"""System tasks and functions that touch nothing outside of the simulation. None is the beginning of the
name of one that does: a macro could append the rest."""

DIRECTIVES = frozenset(
    {
        "define",
        "undef",
        "ifdef",
        "ifndef",
        "elsif",
        "else",
        "endif",
        "timescale",
        "default_nettype",
        "resetall",
        "celldefine",
        "endcelldefine",
        "begin_keywords",
        "end_keywords",
        "unconnected_drive",
        "nounconnected_drive",
    }
)
"""Compiler directives that read no file and pass nothing on to another language."""

INTERNAL = re.compile(r"\\\$(?:\d+|signal|like|\w+\$[\w$.:/]*)")
r"""Escaped identifiers that Amaranth and yosys make up. Others that begin with `$` are read as system tasks:
Icarus Verilog calls ``\$fopen`` so."""

TOKENS = re.compile(
    r"""
    (?P<line>//[^\n]*)
    | (?P<block>/\*.*?(?:\*/|\Z))
    | (?P<string>"(?:[^"\\\n]|\\.)*(?:"|(?=\n)|\Z))
    | (?P<escaped>\\[^ \t\n]*)
    | (?P<system>\$[\w$]*)
    | (?P<macro>`\w*)
    | (?P<foreign>\b(?:import|export)\b(?!\s+\w+\s*::))
    """,
    re.VERBOSE | re.DOTALL,
)
"""What in a text can matter; all between is names, numbers and signs."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Characters that end a line or a name for one tool and not for another."""

TAKEN = ("include", "systemc", "verilator", "uselib", "pragma", "protect", "line")
"""Beginnings of directives that a macro must not be named like: the directive would still be one."""

PLAIN_STRING = re.compile(r'"(?:[^"\\\n`$]|\\[nt\\"])*"')
DEFINITION = re.compile(r"`define\s+(\w+)")


def check(verilog: str, what: str) -> None:
    """Refuse Verilog that reaches out of its simulation.

    Parameters
    ----------
    verilog : str
        The text.
    what : str
        Its file, for the sentence.

    Raises
    ------
    SpecError
        For the first system task, directive or import that is not known to be harmless; names its line.
    """  # noqa: DOC501, DOC502  `_refusal` makes the SpecError
    defined = {n for n in DEFINITION.findall(verilog) if not n.startswith(TAKEN)}
    if found := CONTROL.search(verilog):
        raise _refusal(what, verilog, found, f"the control character {found.group()!r}")
    before = None
    for token in TOKENS.finditer(verilog):
        reason = _reason(token, verilog, defined, before)
        if reason:
            raise _refusal(what, verilog, token, reason)
        before = token


def _refusal(what: str, verilog: str, found: re.Match, reason: str) -> SpecError:
    line = verilog.count("\n", 0, found.start()) + 1
    return SpecError(
        f"{what} must not reach out of its simulation, but line {line} has {reason}; "
        "add --trust to run it all the same"
    )


def _reason(token: re.Match, verilog: str, defined: set[str], before: re.Match | None) -> str:
    """Why a token is refused; empty where it is not."""
    text, kind = token.group(), token.lastgroup
    if kind == "system":
        # A name such as sum$1 has its number found here.
        return "" if text in HARMLESS or text[1:].isdecimal() else _shown(text)
    if kind == "escaped":
        if not text[1:] or any(sign in text for sign in ('"', "`", "//", "/*")):
            return "" if _continues(token, verilog) else f"the escaped name {_shown(text)}"
        harmless = text[1:2] != "$" or INTERNAL.fullmatch(text) or text[1:] in HARMLESS
        return "" if harmless else _shown(text)
    if kind == "macro":
        known = text[1:] in DIRECTIVES or text[1:] in defined
        return "" if known else f"the directive {_shown(text)}"
    if kind == "string":
        joined = (
            before is not None and before.lastgroup == "string" and before.end() == token.start()
        )
        return "" if PLAIN_STRING.fullmatch(text) and not joined else f"the string {_shown(text)}"
    if kind == "block":
        if len(text) < 4 or not text.endswith("*/"):
            return "a comment without an end"
        return "a comment in a macro" if _in_macro(token.start(), verilog) else ""
    if kind == "line":
        return "a continued comment" if text.rstrip().endswith("\\") else ""
    return f"{text} of another language"


def _continues(token: re.Match, verilog: str) -> bool:
    """Whether a lone backslash continues the line of a macro."""
    return (
        token.group() == "\\"
        and verilog[token.end() : token.end() + 1] == "\n"
        and _in_macro(token.start(), verilog)
    )


def _in_macro(place: int, verilog: str) -> bool:
    """Whether a place is on a line of a macro's definition, or on one that continues it."""
    start = verilog.rfind("\n", 0, place) + 1
    while start > 1 and verilog[start - 2] == "\\":
        start = verilog.rfind("\n", 0, start - 1) + 1
    return "`define" in verilog[start:place]


def _shown(text: str) -> str:
    return text if len(text) <= 40 and text.isprintable() else repr(text[:40])
