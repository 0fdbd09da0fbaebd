"""What a chip may be called in its files, so that tools read them and several chips fit one design."""

import re

from xnoreplay.spec.errors import SpecError, shown

MOST = 32  # characters
C = frozenset(
    """
alignas alignof auto bool break case char const constexpr continue default do double else enum extern false float
for goto if inline int long nullptr register restrict return short signed sizeof static static_assert struct switch
thread_local true typedef typeof typeof_unqual union unsigned void volatile while
""".split()
)
"""Keywords of ISO/IEC 9899:2024, 6.4.1, but for those that begin with an underscore."""

CPP = frozenset(
    """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class
co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default
delete do double dynamic_cast else enum explicit export extern false final float for friend goto if import inline
int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq override private protected
public register reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch
template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
wchar_t while xor xor_eq
""".split()
)
"""Keywords of ISO/IEC 14882:2020, 5.11, with alternative tokens and identifiers of special meaning."""


def reserved() -> dict[str, frozenset[str]]:
    """By language, the words that no module, header or model of a simulator can be called."""
    from xnoreplay.hw import language

    return {
        # std is a package of SystemVerilog
        "Verilog": language.SYSTEMVERILOG | language.VERILOG_AMS | {"std"},
        "VHDL": language.VHDL,
        "C": C,
        "C++": CPP,
    }


_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ENDS = re.compile(r"_(uart|spi|axi|(ram|file)_[0-9]+x[0-9]+(_g[0-9]+)?)$")


def checked(prefix: str) -> str:
    """Return a prefix that the names of files, modules, macros of C and of the address map can begin with.

    It is one word, or several with an underscore between them: Verilator writes two underscores in a row as others. It
    is no word of `reserved`. Its letters are small: macros of C have them large, and some file systems do not tell them
    apart. It does not end as modules beside the chip's own do, or the modules of two chips could have one name, as
    could files of a folder.

    Raises
    ------
    SpecError
        Where the prefix breaks one of these rules.

    >>> checked("left_eye")
    'left_eye'
    """
    if len(prefix) > MOST or not _NAME.fullmatch(prefix):
        raise SpecError(
            f"prefix must be a small letter and up to {MOST - 1} small letters and digits, with a single '_' between any "
            f"two, not {shown(prefix)}"
        )
    for name, words in reserved().items():
        if prefix in words:
            raise SpecError(f"prefix must not be a reserved word of {name}, as is {shown(prefix)}")
    if end := _ENDS.search(prefix):
        raise SpecError(
            f"prefix must not end in {shown(end.group())}, as a module beside the chip does, but {shown(prefix)} does"
        )
    return prefix
