"""Step `generate`: the chip's Verilog, and the contents of its memories that the host writes at power-on."""

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnoreplay.flow.chip import bridges, fusesoc, host_files, naming
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import image, plan
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.host_map import host_map
from xnoreplay.spec.presets import Preset

VERILOG, IMAGES, MANIFEST = "xnoreplay.v", "memories", "manifest.json"


def hex_text(rows: np.ndarray) -> str:
    r"""Return rows of bits, (depth, width) uint8, as $readmemh reads them: one word a line.

    >>> hex_text(np.array([[1, 0, 0, 0, 1], [0, 1, 1, 1, 1]], np.uint8))
    '11\n1e\n'
    """
    digits = -(-rows.shape[1] // 4)
    return "".join(f"{to_int(row):0{digits}x}\n" for row in rows)


def program(compiled: plan.Plan) -> list[dict]:
    """List the operations that the sequencer walks, in order, with every field of the plan.

    ``phase`` is the sequencer's number; ``cycles`` is left out where data decide it.
    """
    ops = [*compiled.feature_ops, compiled.hidden, compiled.output]
    table = []
    for op in ops:
        row = {"operation": op.name, "phase": compiled.phases.index(op.name)}
        row |= {k: v for k, v in dataclasses.asdict(op).items() if k != "name"}
        if hasattr(op, "cycles"):
            row["cycles"] = op.cycles
        table.append(row)
    replay = dataclasses.asdict(compiled.replay)
    known = {row["phase"] for row in table} | {0}
    for phase, name in enumerate(compiled.phases):
        if phase not in known:
            table.append({"operation": name, "phase": phase, **replay})
    return table


def ports(text: str, top: str) -> list[dict]:
    r"""List the ports of the top module, in the order of the file.

    >>> ports("module top(a, b);\n  input [3:0] a;\n  output b;\nendmodule\n", "top")
    [{'name': 'a', 'direction': 'input', 'bits': 4}, {'name': 'b', 'direction': 'output', 'bits': 1}]
    """
    body = re.search(rf"^module {top}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    found = re.findall(
        r"^\s*(input|output)\s+(?:\[(\d+):0\]\s+)?(\w+)\s*;",
        body.group(0) if body else "",
        re.MULTILINE,
    )
    return [
        {"name": name, "direction": way, "bits": int(high or 0) + 1} for way, high, name in found
    ]


@dataclass(frozen=True)
class Names:
    """How a chip is called, and how fast its UART is.

    Parameters
    ----------
    prefix : str
        What the names of modules begin with in the file for designs of several chips, those of the C header, and what
        the address map is called. `naming.checked` says what it may be.
    baud : int, optional
        Bits a second of the UART; see `bridges.clocks_of`.

    Raises
    ------
    SpecError
        Where `naming.checked` refuses the prefix.
    """

    prefix: str = "xnoreplay"
    baud: int | None = None

    def __post_init__(self) -> None:
        naming.checked(self.prefix)


def write_verilog(
    preset: Preset,
    bundle: Bundle,
    out: Path,
    progress: Progress,
    names: Names | None = None,
) -> dict:
    """Write the Verilog and the memory images.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
        Its weights and thresholds go into the memory images; the Verilog is the same for all.
    out : Path
        Receives ``xnoreplay.v``, ``memories/NAME.hex``, and ``manifest.json``: ports, program,
        memories, the macros that hold them (`hw.parts.macros`), and the host's map (`spec.host_map`); ``host/``,
        the files of `host_files`; ``xnoreplay_uart.v``, ``xnoreplay_spi.v`` and ``xnoreplay_axi.v``, see `bridges`;
        ``PREFIX.core`` and ``smoke.cpp`` for FuseSoC and, of a prefix other than ``xnoreplay``, ``PREFIX.v`` with all
        modules.
    progress : Progress
        Shows the time that the Verilog takes.
    names : Names, optional
        Without it, the defaults of `Names`.
    """
    from xnoreplay.hw import verilog

    names = names or Names()
    compiled = plan.compile(preset.network, preset.target)
    with progress.task("Verilog"):
        text, macros = verilog.with_macros(compiled)
        buses = bridges.write(compiled, out, names.baud)
    (out / VERILOG).write_text(text, encoding="utf-8")
    sources = [VERILOG, *(b["verilog"] for b in buses.values() if b)]
    if names.prefix != verilog.TOP:
        whole = "\n".join((out / name).read_text(encoding="utf-8") for name in sources)
        sources = [f"{names.prefix}.v"]
        (out / sources[0]).write_text(verilog.prefixed(whole, names.prefix), encoding="utf-8")
        for bus in filter(None, buses.values()):
            top = names.prefix + bus["top"].removeprefix(verilog.TOP)
            bus |= {"top": top, "verilog": sources[0]}
    core = f"{names.prefix}.core"
    (out / core).write_text(fusesoc.core(names.prefix, sources), encoding="ascii")
    (out / fusesoc.SMOKE).write_text(fusesoc.smoke(names.prefix), encoding="ascii")
    host = host_files.write(compiled, bundle, out, names.prefix)
    (out / IMAGES).mkdir()
    images = image.load(compiled, bundle)
    for name, rows in images.items():
        (out / IMAGES / f"{name}.hex").write_text(hex_text(rows), encoding="ascii")
    files.write_json(
        out / MANIFEST,
        {
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "ports": ports(text, verilog.TOP),
            "program": program(compiled),
            "memories": [dataclasses.asdict(m) | {"bits": m.bits} for m in compiled.memories],
            "macros": macros,
            "bridges": buses,
            **host_map(compiled),
        },
    )
    return {
        "verilog": VERILOG,
        "top": verilog.TOP,
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "lines": text.count("\n"),
        "memories": sorted(images),
        "host": host,
        "core": core,
    }
