"""A new SRAM table from a user's CACTI: its configuration file, and its report."""

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from xnoreplay.flow.cost.tables import LEAST_DEPTH, SRAM_COLUMNS
from xnoreplay.flow.run import processes, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import reading
from xnoreplay.spec.errors import ToolError, XnoreplayError, shown
from xnoreplay.spec.machine import cores

CAPACITIES = tuple(1 << k for k in range(4, 15))  # kbit
WIDTHS = (32, 64, 128, 256, 512, 1024)
DEVICE = {"hp": "itrs-hp", "lop": "itrs-lop", "lstp": "itrs-lstp"}
REPORTED = {
    "access_ns": (r"^\s*Access time \(ns\):\s*(\S+)", 1),
    "cycle_ns": (r"^\s*Cycle time \(ns\):\s*(\S+)", 1),
    "read_pj": (r"^\s*Total dynamic read energy per access \(nJ\):\s*(\S+)", 1000),
    "write_pj": (r"^\s*Total dynamic write energy per access \(nJ\):\s*(\S+)", 1000),
    "leakage_mw": (r"^\s*Total leakage power of a bank \(mW\):\s*(\S+)", 1),
}
SIDES = r"^\s*Cache height x width \(mm\):\s*(\S+) x (\S+)"


def configuration(kbit: int, width: int, node: int, device_type: str) -> str:
    """Return CACTI's configuration of one single-port RAM, as the packaged table's entries had it."""
    device = DEVICE[device_type]
    lines = [
        f"-size (bytes) {kbit * 1024 // 8}",
        f"-block size (bytes) {width // 8}",
        "-associativity 1",
        "-read-write port 1",
        "-exclusive read port 0",
        "-exclusive write port 0",
        "-single ended read ports 0",
        "-UCA bank count 1",
        f"-technology (u) {node / 1000:.3f}",
        "-page size (bits) 8192",
        "-burst length 8",
        "-internal prefetch width 8",
        *(
            f'-{part} array {what} type - "{device}"'
            for part in ("Data", "Tag")
            for what in ("cell", "peripheral")
        ),
        f"-output/input bus width {width}",
        "-operating temperature (K) 300",
        '-cache type "ram"',
        '-tag size (b) "default"',
        '-access mode (normal, sequential, fast) - "normal"',
        "-design objective (weight delay, dynamic power, leakage power, cycle time, area) 0:100:100:0:10",
        "-deviate (delay, dynamic power, leakage power, cycle time, area) "
        + ":".join(["10000000"] * 5),
        "-NUCAdesign objective (weight delay, dynamic power, leakage power, cycle time, area) 100:100:0:0:100",
        "-NUCAdeviate (delay, dynamic power, leakage power, cycle time, area) 10:10000:10000:10000:10000",
        '-Optimize ED or ED^2 (ED, ED^2, NONE): "NONE"',
        '-Cache model (NUCA, UCA)  - "UCA"',
        "-NUCA bank count 0",
        '-Wire signaling (fullswing, lowswing, default) - "default"',
        '-Wire inside mat - "semi-global"',
        '-Wire outside mat - "semi-global"',
        '-Interconnect projection - "conservative"',
        "-Core count 8",
        '-Cache level (L2/L3) - "L3"',
        '-Add ECC - "false"',
        '-Print level (DETAILED, CONCISE) - "CONCISE"',
        '-Print input parameters - "false"',
        '-Force cache config - "false"',
        # CACTI 7 reads an external interface even where there is none.
        '-dram_type "DDR3"',
        '-io state "WRITE"',
        "-addr_timing 1.0",
        "-mem_density 4 Gb",
        "-bus_freq 800 MHz",
        "-duty_cycle 1.0",
        "-activity_dq 1.0",
        "-activity_ca 0.5",
        "-num_dq 72",
        "-num_dqs 18",
        "-num_ca 25",
        "-num_clk 2",
        "-num_mem_dq 2",
        "-mem_data_width 8",
        "-rtt_value 10000",
        "-ron_value 34",
        "-num_bobs 1",
        "-capacity 80",
        "-num_channels_per_bob 1",
        '-DIMM model "ALL"',
        '-mirror_in_bob "F"',
    ]
    return "\n".join(lines) + "\n"


def parse(text: str) -> dict[str, float]:
    """Read the figures of a report, in the units of the table.

    Raises
    ------
    ToolError
        Where a figure is missing; names it.
    """
    row = {}
    for column, (pattern, factor) in REPORTED.items():
        match = re.search(pattern, text, re.MULTILINE)
        if match is None:
            raise ToolError(f"CACTI's report must have {column}, but has none")
        row[column] = float(match.group(1)) * factor
    sides = re.search(SIDES, text, re.MULTILINE)
    if sides is None:
        raise ToolError("CACTI's report must have the height and width of the cache, but has none")
    row["area_mm2"] = float(sides.group(1)) * float(sides.group(2))
    return row


def sizes() -> list[tuple[int, int]]:
    """Return (kbit, width) of every entry."""
    return [(k, w) for k in CAPACITIES for w in WIDTHS if k * 1024 >= LEAST_DEPTH * w]


def tabulate(binary: Path, node: int, device_types: Iterable[str], progress: Progress) -> str:
    """Compute a table as `tables.use_sram` takes it; entries that CACTI cannot organise are left out.

    Raises
    ------
    ToolError
        Where the binary is none, or not one entry could be computed; the sentence has its reason.
    XnoreplayError
        For a device type that is none.
    """
    binary = binary.resolve()
    if not os.access(binary, os.X_OK) or not binary.is_file():
        raise ToolError(f"CACTI {binary} must be a program that can be run, but is not")
    for device_type in device_types:
        if device_type not in DEVICE:
            raise XnoreplayError(
                f"device type must be one of hp, lop, lstp, not {shown(device_type)}"
            )
    wanted = [(d, k, w) for d in device_types for k, w in sizes()]
    rows, reason = [], ""
    with progress.task("CACTI", len(wanted)) as task, processes.pool(cores()) as pool:
        results = pool.map(lambda entry: _one(binary, node, *entry), wanted)
        for (device_type, kbit, width), found in zip(wanted, results, strict=True):
            task.advance(1, f"{kbit} kbit")
            if isinstance(found, str):
                reason = reason or found
                continue
            figures = {c: f"{v:.6g}" for c, v in found.items()}
            rows.append(
                {
                    "device_type": device_type,
                    "node_nm": node,
                    "capacity_kbit": kbit,
                    "width_bits": width,
                }
                | figures
            )
    if not rows:
        raise ToolError(
            f"CACTI must compute at least one SRAM, but computed none; the first: {reason}"
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, SRAM_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def wrote(path: Path) -> bool:
    """Tell whether a file is one that `xnoreplay characterize --cacti` writes."""
    return reading.text(path).startswith(",".join(SRAM_COLUMNS) + "\n")


def _one(
    binary: Path, node: int, device_type: str, kbit: int, width: int
) -> dict[str, float] | str:
    """Return the figures of one SRAM, or the reason why there are none."""
    with temporary.folder("cacti") as work:
        path = work / "sram.cfg"
        path.write_text(configuration(kbit, width, node, device_type), encoding="utf-8")
        # CACTI looks for its technology files beside itself.
        try:
            done = processes.run_program([binary, "-infile", path], cwd=binary.parent)
        except OSError as error:  # its interpreter is missing, or it is for another machine
            raise ToolError(
                f"cacti {binary} must be a program that can be run, but: {error.strerror}"
            ) from None
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()
            return lines[-1] if lines else f"it ended with {done.returncode}"
        try:
            return parse(done.stdout)
        except ToolError as error:
            return str(error)
