"""What a reset leaves as it was: registers of the Verilog that an ASIC may power up with any value.

An FPGA's registers begin at the values of their declarations, those of an ASIC do not. So here is a table of the
registers without a reset, with the reason why none needs one; `unreset` finds in a text which there are.
"""

import re
from dataclasses import dataclass

from xnoreplay.spec.errors import CheckFailure

NAME = r"(\\\S+|\w+)"
MODULE = re.compile(rf"^module {NAME} ?\(.*?^endmodule", re.MULTILINE | re.DOTALL)
CLOCKED = re.compile(rf"^  always @\(posedge clk\)\n    {NAME} +<= (.*?) *;$", re.MULTILINE)
_RESET = re.compile(rf"^    if \(rst\) begin\n      {NAME} +=[^;]*;\n    end\n  end$", re.MULTILINE)
_WAIVED = re.compile(
    r"^/\* verilator lint_off PROCASSINIT \*/.*\n", re.MULTILINE
)  # no start, no waiver
_START = re.compile(
    rf"^(  (?:output )?reg (?:signed )?(?:\[[^\]]*\] )?{NAME}) +=[^;]*;$", re.MULTILINE
)


@dataclass(frozen=True)
class Unreset:
    """Registers without a reset.

    Parameters
    ----------
    module, registers : str
        Patterns of the names of modules, and of their registers, that are matched whole.
    why : str
        Why nothing reads what is in them at power-up.
    """

    module: str
    registers: str
    why: str

    def __contains__(self, place: tuple[str, str]) -> bool:
        """Whether a register, the pair of its module and its name, is one of these."""
        module, name = place
        return bool(re.fullmatch(self.module, module) and re.fullmatch(self.registers, name))


LANE = r"xnoreplay\.array\.lane\d+"
FOLLOWS = (
    "it follows in each cycle what is beside it, so a cycle of reset makes it that of an idle chip"
)
TABLE = (
    Unreset(r"xnoreplay\.(back|dense|front)", r"held_\w+|op_\w+\$\d+", FOLLOWS),
    Unreset(r"xnoreplay\.dense", r"has_classes", FOLLOWS),
    Unreset(r"xnoreplay\.learning\.plane_unit", r"banks|came|last_class|n\d_worths\d+", FOLLOWS),
    Unreset(r"xnoreplay\.learning\.update_unit", r"few\d|(read|step|write)_granule", FOLLOWS),
    Unreset(r"xnoreplay\.replay", r"enters|full\$\d+|walk_end|walks_(admit|evict)", FOLLOWS),
    Unreset(
        r"xnoreplay\.learning\.plane_unit",
        r"last_at",
        "the planes of a row load it before its beats",
    ),
    Unreset(
        r"xnoreplay\.host",
        r"(commits|enters|fits)_\w+|legal",
        "they judge in each cycle the write that may be served in the next, and a cycle of reset serves none",
    ),
    Unreset(LANE, r"enabled|conjoin|x_first", "the beat that x_valid marks has loaded them"),
    Unreset(LANE, r"c_first|n_first", "they follow x_first as c_valid and n_valid follow x_valid"),
    Unreset(
        LANE, r"count\d+|pair\d+|sums", "the beat that c_valid or n_valid marks has loaded them"
    ),
    Unreset(LANE, r"total", "the first beat of a sum loads it"),
    Unreset(rf"{LANE}\.file", r"slot\d+", "the beat that reads the file has loaded them"),
    Unreset(
        r"xnoreplay\.array",
        r"w_(lanes|taps|slot|data|own|words)",
        "a cycle of reset gives them no lane; what they hold before it is written where no word counts yet",
    ),
    Unreset(
        r"xnoreplay\..*",
        r"late_(en|addr|data)",
        "a cycle of reset gives them no enable; what they hold before it is written where no word counts yet",
    ),
    Unreset(
        r"xnoreplay\.learning\.error_unit",
        r"whole|again|past|finish",
        "they follow the number of classes seen within three cycles, and an error phase is later than that",
    ),
    Unreset(
        r"xnoreplay\.thermometer", r"threshold\d+", "the host writes them, as it does a memory"
    ),
    Unreset(
        r"xnoreplay\.replay", r"count_host__rdata", "a read of the host loads it, and then answers"
    ),
)


def unreset(text: str) -> list[tuple[str, str]]:
    r"""List module and name of each register that a clock sets and `rst` does not.

    Parameters
    ----------
    text : str
        The logic of a generated text, as `hw.verilog` writes it: without its memories.

    >>> unreset("module a (clk);\n  always @(posedge clk)\n    b <= c;\nendmodule\n")
    [('a', 'b')]
    """
    places = []
    for module in MODULE.finditer(text):
        reset = set(_RESET.findall(module[0]))
        places += [
            (module[1].removeprefix("\\"), name.removeprefix("\\"))
            for name, source in CLOCKED.findall(module[0])
            if source not in reset
        ]
    return places


def check(text: str) -> dict[str, int]:
    """Return how many registers of a generated text have no reset, by the reason why they need none.

    Raises
    ------
    CheckFailure
        For a register without a reset that is not in `TABLE`, and for a text whose registers are written otherwise.
    """
    clocked, clocks = len(CLOCKED.findall(text)), len(re.findall(r"@\(posedge ", text))
    if clocked != clocks:
        raise CheckFailure(
            f"each of the {clocks} clocked blocks must set a register in one line, but {clocks - clocked} do otherwise"
        )
    counted: dict[str, int] = {}
    for place in unreset(text):
        why = next((row.why for row in TABLE if place in row), None)
        if why is None:
            raise CheckFailure(
                f"a register must have a reset, or stand in the table of those that need none, but "
                f"{place[1]} of {place[0]} does neither"
            )
        counted[why] = counted.get(why, 0) + 1
    return counted


def unstarted(text: str) -> str:
    r"""Return a text whose declarations start no register, so that a simulation begins with unknown values.

    >>> print(unstarted("  reg [3:0] a = 4'h0;\n  reg \\b$1  = 1'h1;\n  reg c;"))
      reg [3:0] a;
      reg \b$1 ;
      reg c;
    """
    text = _WAIVED.sub("", text)
    return _START.sub(lambda m: f"{m[1]} ;" if "\\" in m[1] else f"{m[1]};", text)
