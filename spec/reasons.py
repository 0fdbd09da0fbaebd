"""Finds the line of a failed tool's output that names the cause."""

import re

PATTERNS = (
    # Verilator; its last lines count the errors, or repeat the command that failed
    r"%Error(-\w+)?: (?!Exiting due to|Command Failed|'make )",
    # yosys and nextpnr, behind a file's place too
    r"(^|: )ERROR: ",
    # g++, clang and Icarus Verilog; not what the linker's and make's callers add
    r"(?<!collect2: )\b(fatal |internal compiler |Internal )?[Ee]rror: (?!ld returned|linker command failed)",
    # the linker, which has no such word
    r"undefined reference to|multiple definition of|cannot find -l|cannot open output file",
    r"syntax error|Syntax error|command not found|No space left on device|Killed|Segmentation fault",
    # make
    r"\*\*\* ",
    # Verilator's last words, where it has no others
    r"%Error(-\w+)?: ",
)
"""What such a line has, the most telling first."""

ASIDE = re.compile(r"^(%?Warning\b|Note:|Info:)|: (warning|note): ", re.IGNORECASE)
LONGEST = 400  # characters of a line that a sentence repeats


def reason(output: str) -> str:
    r"""The line of a failed tool's output that says why; its last one where none does.

    A warning is no reason, and neither is the count of errors that comes after them.

    >>> reason("Warning: a wire\nERROR: no module top\nWarning: found 1 problem")
    'ERROR: no module top'
    >>> reason("")
    'no output'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if not ASIDE.search(line)]
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        return _short(lines[-1])  # Python's error
    for pattern in PATTERNS:
        found = next((line for line in telling if re.search(pattern, line)), None)
        if found is not None:
            return _short(found)
    return _short(telling[-1] if telling else lines[-1] if lines else "no output")


def _short(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
