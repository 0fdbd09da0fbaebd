"""What somebody who has a folder for an ASIC flow, and nothing else, must know of the chip: its `README.md`."""

import re
from collections.abc import Iterator

PORTS = """\
| port | what it does |
|---|---|
| `clk` | its rising edge |
| `ren`, `raddr`, `rdata` | `rdata` is the word at `raddr` from the edge on at which `ren` is 1, and holds while `ren` is 0, through writes as well. A row past the last may be read; what comes then is not used |
| `wen`, `waddr`, `wdata` | bit i of `wen` writes bits i * mask and up of the row at `waddr`, with the same edge |
"""


def paths(logic: str, top: str) -> dict[str, list[str]]:
    r"""Return the paths of all instances below the top by the name of their module, with dots between the levels.

    Parameters
    ----------
    logic : str
        Verilog, as `hw.verilog` writes it.
    top : str
        Name of a module.

    >>> text = "module t(c);\n  \\t.a  one (\n  );\nendmodule\nmodule \\t.a (c);\n  m array (\n  );\nendmodule\n"
    >>> paths(text, "t")
    {'t.a': ['one'], 'm': ['one.array']}
    """
    inside = {
        module[1]: [(of, name) for of, name in _INSTANCE.findall(module[0])]
        for module in _MODULE.finditer(logic)
    }
    found: dict[str, list[str]] = {}

    def walk(module: str, above: str) -> None:
        for of, name in inside.get(module, ()):
            found.setdefault(of, []).append(f"{above}{name}")
            walk(of, f"{above}{name}.")

    walk(top, "")
    return found


def readme(manifest: dict, outside: float) -> str:
    """Return the text of a folder's `README.md`.

    Parameters
    ----------
    manifest : dict
        What the folder's ``manifest.json`` holds.
    outside : float
        ns that what lies outside takes on each side.
    """
    cleared = " and ".join(f"`{name}`" for name in manifest["power_up"]["cleared_by_reset"])
    period = manifest["clock_ns"]
    facts = (
        ("top module", f"`{manifest['top']}`"),
        (
            "clock",
            (
                f"`clk`, its rising edge; {period:.3f} ns, {1e3 / period:g} MHz: `clock_hz` of the target, which is asked "
                "for; nothing here was timed"
            ),
        ),
        (
            "reset",
            "`rst`, active high, synchronous: 1 for one rising edge of `clk` at least; timed as any other input",
        ),
        (
            "power-up",
            (
                f"any value in any flip-flop and any SRAM. After a reset the chip empties {cleared}, and "
                "`busy` is 1 meanwhile; what else is read was written before, by the host or by the chip"
            ),
        ),
        (
            "inputs and outputs",
            (
                f"all belong to `clk`; {outside:.3f} ns outside on each side, and 0 for hold. What drives an input, and an "
                "output's load, are yours"
            ),
        ),
        (
            "small memories",
            f"{manifest['memory_registers']:,} bits, flip-flops of `rtl/registers.v`",
        ),
        (
            "macros",
            f"{manifest['macro_instances']} instances, {manifest['macro_bits']:,} bits; layouts are yours",
        ),
        ("memory test, scan, pads", "none"),
    )
    lines = [f"# {manifest['top']} for an ASIC flow", "", "| what | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    if manifest["macros"]:
        lines += ["", "## Macros", "", *_macros(manifest["macros"])]
    return "\n".join([*lines, ""])


def _macros(rows: list[dict]) -> Iterator[str]:
    yield "| module | words | bits | mask | ports | instances | why no cycle reads the row that it writes |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        where = ", ".join(f"`{path}`" for path in row["paths"])
        yield (
            f"| `{row['macro']}` | {row['depth']:,} | {row['width']} | {row['mask']} | {row['ports']} | {where} | "
            f"{row['collision']} |"
        )
    yield ""
    yield "`1RW`: no cycle reads and writes; one address port is enough, `waddr` while a bit of `wen` is 1 and `raddr` otherwise."
    yield "`1R1W`: a cycle may read one row and write another. A host reads and writes memories only while `busy` is 0."
    yield ""
    yield PORTS.rstrip()


_MODULE = re.compile(r"^module \\?(\S+?) ?\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  \\?((?!module\b)[\w.$]+) +\\?([\w.$]+) +\($", re.MULTILINE)
