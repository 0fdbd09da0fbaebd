"""Step `generate`: the chip's Verilog, and what the host writes into its memories at power-on."""

import hashlib
from pathlib import Path

import numpy as np

from xnoreplay.flow.progress import Progress
from xnoreplay.spec import image, plan
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset

VERILOG, IMAGES = "xnoreplay.v", "memories"


def hex_text(rows: np.ndarray) -> str:
    """Rows of bits, (depth, width) uint8, as $readmemh reads them: one word a line.

    >>> hex_text(np.array([[1, 0, 0, 0, 1], [0, 1, 1, 1, 1]], np.uint8))
    '11\\n1e\\n'
    """
    digits = -(-rows.shape[1] // 4)
    return "".join(f"{to_int(row):0{digits}x}\n" for row in rows)


def run(preset: Preset, bundle: Bundle, out: Path, progress: Progress) -> dict:
    """Write the Verilog and the memory images.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
        Its weights and thresholds go into the memory images; the Verilog is the same for all.
    out : Path
        Receives ``xnoreplay.v`` and ``memories/NAME.hex``.
    """
    from xnoreplay.hw import verilog

    compiled = plan.compile(preset.network, preset.target)
    with progress.task("Verilog"):
        text = verilog.generate(compiled)
    (out / VERILOG).write_text(text, encoding="utf-8")
    (out / IMAGES).mkdir()
    images = image.load(compiled, bundle)
    for name, rows in images.items():
        (out / IMAGES / f"{name}.hex").write_text(hex_text(rows), encoding="ascii")
    return {
        "verilog": VERILOG,
        "top": verilog.TOP,
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "lines": text.count("\n"),
        "memories": sorted(images),
    }
