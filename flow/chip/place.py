"""Place and route with nextpnr: the clock of the chip, or of its array alone, over several seeds.

A placement is an annealing that starts from a seed, so one clock is one draw: the report has each
seed's, and their median. Some draws the router never ends on: the last few wires push each other off.
Such a seed is given up, and reported as not routed.
"""

import hashlib
import re
import shutil
import statistics
from collections import Counter
from contextlib import suppress
from pathlib import Path

from xnoreplay.flow.chip import families, synth
from xnoreplay.flow.chip.devices import ECP5, Device
from xnoreplay.flow.run import files, tools
from xnoreplay.flow.run.progress import Progress, Task
from xnoreplay.flow.run.records import why_foreign
from xnoreplay.spec.errors import CheckFailure, SpecError, ToolError
from xnoreplay.spec.plan import Plan

STEP = "place"  # in the record of its folder
UNITS = ("chip", "array")
CLOCKS = ("CLK", "WCK", "CLKA", "CLKB", "CLKR", "CLKW")  # of cells
CONSTANTS = ("GND", "VCC")  # cells
MINUTES = 30.0  # of one seed, before it is given up


def verilog_of(unit: str, plan: Plan, framed: bool = True) -> tuple[str, str]:
    """Return text and top module of one of `UNITS`, the chip in a frame of registers or with its own pins.

    Some 200 pins that lie anywhere around the device would pull the chip apart: in an FPGA it has a master or a bridge
    beside it. Where each pin has its site, and a bitstream is made, they are what is asked for.
    """
    from xnoreplay.hw import verilog
    from xnoreplay.hw.harness import Harness
    from xnoreplay.hw.inference import array
    from xnoreplay.hw.parts.macros import Macros
    from xnoreplay.hw.top import Chip

    if unit == "chip" and not framed:
        return verilog.generate(plan), verilog.TOP
    top = f"{unit}_harness"
    if unit == "array":
        return verilog.convert(Harness(array.of_plan(plan)), top), top
    macros = Macros()  # the chip's memories, as `generate` writes them
    text = verilog.convert(Harness(Chip(plan)), top, macros)
    return f"{text}\n{macros.verilog()}", top


def check_folder(folder: Path) -> None:
    """Refuse a folder that placing would replace, but that holds something else.

    Raises
    ------
    SpecError
        Where it has files and no placement's record, a file that the record does not list, or is no folder.
    """
    if why := why_foreign(folder, STEP):
        raise SpecError(f"--out must be new, empty or of an earlier placement, but {folder} {why}")


class TooLarge(CheckFailure):
    """A design that does not fit the device with any seed."""


def placement(report: dict, name: str) -> dict:
    """Return used and available resources, and the least clock in Hz, from nextpnr's report."""
    try:
        clocks = {net: 1e6 * f["achieved"] for net, f in report["fmax"].items()}
        counts = report["utilization"].items()
        used = {k: v for k, v in counts if v["used"] and v["available"]}  # some are no parts of it
    except (KeyError, TypeError):
        raise ToolError(f"{name} must have fmax and utilization, but has not") from None
    if not clocks:
        raise ToolError(f"{name} must have the clock of a net, but has none")
    return {"utilization": used, "clock_hz": min(clocks.values())}


def critical(report: dict) -> dict:
    """Return the longest path between two registers of a clock, from nextpnr's report, in names of the Verilog.

    Returns
    -------
    dict
        ns, logic_ns and routing_ns; start, end: registers; through: signals on the way, in order; units: what part of the
        delay lies behind signals of each instance, in ns, most first. Empty where the report has no such path.
    """
    paths = [
        path["path"]
        for path in report.get("critical_paths", [])
        if path["from"] == path["to"] and path["from"].startswith("posedge")
    ]
    if not paths:
        return {}
    steps = max(paths, key=lambda path: sum(step["delay"] for step in path))
    routed = sum(step["delay"] for step in steps if step["type"] == "routing")
    whole = sum(step["delay"] for step in steps)
    names = [own_name(step.get("net", "")) for step in steps]
    named = [name for name in names if name]
    through = [name for i, name in enumerate(named) if not i or name != named[i - 1]]
    units: Counter[str] = Counter()
    unit = _scope(through[0]) if through else "top"
    for step, name in zip(steps, names, strict=True):
        unit = _scope(name) if name else unit
        units[unit] += step["delay"]
    end = own_name(steps[-1]["to"]["cell"])
    return {
        "ns": round(whole, 2),
        "logic_ns": round(whole - routed, 2),
        "routing_ns": round(routed, 2),
        "start": through[0] if through else own_name(steps[0]["to"]["cell"]),
        "end": end,
        "through": through[1:],
        "units": {name: round(ns, 2) for name, ns in units.most_common()},
    }


_MADE = re.compile(
    r"_(LUT\d|TRELLIS_FF|CCU2C|PFUMX|L6MUX21|TRELLIS_DPR16X4|DP16KD|MULT18X18D"  # of ECP5
    r"|DFF\w*?|ALU|MUX2_LUT\d|RAM16SDP\d|SDPX?9?B|DPX?9?B|MULT\d+X\d+|[IO]BUF)_.*"  # of Gowin
)
_MACRO = re.compile(r"\.array\..*")


def _scope(name: str) -> str:
    return name.rpartition(".")[0] or "top"


def own_name(net: str) -> str:
    """Return the signal of the Verilog that a net of the mapped design is named after; '' for one that only the tools name.

    What is in a frame is named as without it.

    >>> own_name("unit.host.slave.reads_next_LUT4_C_D[2]"), own_name("replay_label.array.rows.0.4_WRE"), own_name("$nextpnr_7")
    ('host.slave.reads_next', 'replay_label', '')
    """
    if net.startswith("$"):
        return ""
    net = net.removeprefix("unit.")
    return re.sub(r"\[\d+\]$|\$\d+$", "", _MACRO.sub("", _MADE.sub("", net)))


def place_unit(  # noqa: PLR0913  what is placed on what, how often, how long, and where files go
    unit: str,
    plan: Plan,
    count: int,
    out: Path,
    scratch: Path,
    progress: Progress,
    minutes: float = MINUTES,
    device: Device = ECP5,
) -> dict:
    """Map a unit, then place it once a seed.

    Parameters
    ----------
    unit : str
        One of `UNITS`.
    plan : Plan
        Of the chip.
    count : int
        How many seeds.
    out : Path
        Where reports go.
    scratch : Path
        Where whole files wait for a repetition of a run that was stopped.
    progress : Progress
        Shows how far the seeds are.
    minutes : float
        Time by the clock after which a seed is given up.
    device : Device
        What it is placed on.

    Returns
    -------
    dict
        unit; lanes and window of the array; widest: the net that drives most inputs, but for the clock, and
        how many; and what `seeds` returns.

    Raises
    ------
    CheckFailure
        `TooLarge` where the unit does not fit the device; else where no seed is routed.
    """
    text, top = verilog_of(unit, plan, framed=bool(device.tools.unconstrained))
    asked = plan.target.clock_hz
    # What was placed for another clock is another placement.
    work = scratch / hashlib.sha256(f"{asked} {device} {text}".encode()).hexdigest()
    work.mkdir(parents=True, exist_ok=True)
    netlist = mapped(text, top, work, progress, device.family)
    net, loads = next(iter(fan_out(netlist, top).items()))
    if not device.tools.unconstrained and not (work / device.tools.sites).exists():
        files.write_whole(work / device.tools.sites, spread(netlist["modules"][top], device))
    found = seeds(work, count, asked, out, progress, minutes, device)
    return {
        "unit": unit,
        "lanes": plan.target.lanes,
        "window": plan.target.window,
        "widest": {"net": net, "loads": loads},
        **found,
    }


def mapped(text: str, top: str, work: Path, progress: Progress, family: str = "ecp5") -> dict:
    """Return the netlist of a text for a family, made in a folder or kept there; see `fan_out`."""
    with suppress(ToolError):  # of what is kept and not whole: it is made again
        return synth.load(work / synth.NETLIST)
    (work / synth.SOURCE).write_text(text, encoding="utf-8")
    part = f"part-{synth.NETLIST}"
    script = [
        f"read_verilog {synth.SOURCE}",
        *families.commands(family, top, part),
        "",
    ]
    (work / "place.ys").write_text("\n".join(script), encoding="utf-8")
    with progress.task(f"yosys: map to {families.TITLES[family]} (the first use prepares it)"):
        synth.yosys(work, "place")
    (work / part).replace(work / synth.NETLIST)
    return synth.load(work / synth.NETLIST)


def spread(module: dict, device: Device) -> str:
    """Return a site for each port of a mapped module, for a tool that chooses none.

    Parameters
    ----------
    module : dict
        As yosys' ``write_json`` lays it out; its clock is the port ``clk``.
    device : Device

    Raises
    ------
    TooLarge
        Where it has more ports than the package has pins that are nothing else.
    """
    pins = device.pins()
    free = [pin for pin, others in pins.items() if not others]
    clock = next(
        pin for pin, others in pins.items() if any(other.startswith("MGCLKT") for other in others)
    )
    ports = [
        f"{name}[{i}]" if len(port["bits"]) > 1 else name
        for name, port in module["ports"].items()
        for i in range(len(port["bits"]))
        if name != "clk"
    ]
    if len(ports) > len(free):
        raise TooLarge(
            f"the design must have at most {len(free)} ports for {device.package}, not {len(ports)}"
        )
    sited = [("clk", clock), *zip(ports, free, strict=False)]
    return "\n".join(line for port, site in sited for line in device.site_lines(port, site, ()))


def fan_out(netlist: dict, top: str) -> dict[str, int]:
    """Count the inputs that each net of a mapped module drives, the clock's and constants left out, most first.

    Parameters
    ----------
    netlist : dict
        As yosys' ``write_json`` lays it out.
    top : str
        Name of the module.
    """
    module = netlist["modules"][top]
    drives: Counter[int] = Counter()
    others = set()
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["type"] in CONSTANTS:
                others.update(bits)
            if cell["port_directions"][port] != "input":
                continue
            nets = [bit for bit in bits if isinstance(bit, int)]
            if port in CLOCKS:
                others.update(nets)
            drives.update(nets)
    names: dict[int, str] = {}
    for name, net in sorted(module["netnames"].items(), key=lambda item: "$" in item[0]):
        for i, bit in enumerate(net["bits"]):
            names.setdefault(bit, f"{name}[{i}]" if len(net["bits"]) > 1 else name)
    return {names[bit]: n for bit, n in drives.most_common() if bit not in others}


def seeds(
    work: Path,
    count: int,
    asked: float,
    out: Path,
    progress: Progress,
    minutes: float = MINUTES,
    device: Device = ECP5,
) -> dict:
    """Place the netlist that is in a folder with seeds 0 .. count - 1; those placed there are kept.

    Parameters
    ----------
    work : Path
        Folder with the netlist.
    count : int
        How many seeds.
    asked : float
        Clock in Hz that nextpnr aims at.
    out : Path
        Where reports and logs are copied to.
    progress : Progress
        Shows how far the seeds are.
    minutes : float
        Time by the clock after which a seed is given up.
    device : Device
        What it is placed on.

    Returns
    -------
    dict
        device; asked; minutes; seeds: one clock in Hz each, None where it was given up; least, median
        and most of them; utilization; critical: what `critical` returns of the slowest seed, with that seed; and
        bitstream, the name of a file, of the fastest seed, where ports have sites.

    Raises
    ------
    CheckFailure
        Where the design does not fit, or no seed is routed.
    """
    sites = "" if device.tools.unconstrained else device.tools.sites
    found: list[dict | None] = []
    paths: list[dict] = []
    with progress.task(f"nextpnr: place and route, seeds 0 to {count - 1}", count) as task:
        for seed in range(count):
            try:
                report, log = placed(work, seed, asked, minutes, progress, device, sites)
            except tools.TooLong:
                (work / f"part-{seed}.json").unlink(missing_ok=True)
                _collect(work, out, f"nextpnr-{seed}.log")
                found.append(None)
                task.advance(1, f"seed {seed}: not routed in {minutes:g} minutes")
                continue
            found.append(placement(synth.load(report), report.name))
            paths.append(critical(synth.load(report)) | {"seed": seed})
            _collect(work, out, report.name, log.name)
            task.advance(1, f"seed {seed}")
    routed = [p for p in found if p]
    if not routed:
        raise CheckFailure(
            f"the design must be routed with one of {count} seeds at {asked / 1e6:g} MHz in "
            f"{minutes:g} minutes each, but is with none; more minutes or a lower clock_hz may help"
        )
    clocks = [p["clock_hz"] for p in routed]
    reached = [p["clock_hz"] if p else None for p in found]
    return {
        "device": {"size": device.size, "package": device.package, "speed": device.speed},
        "title": device.title,
        "asked": asked,
        "minutes": minutes,
        "seeds": reached,
        "least": min(clocks),
        "median": statistics.median(clocks),
        "most": max(clocks),
        "utilization": routed[0]["utilization"],
        "critical": max(paths, key=lambda path: path.get("ns", 0)),
        **(
            {"bitstream": packed(work, reached.index(max(clocks)), out, device, progress)}
            if sites
            else {}
        ),
    }


def _collect(work: Path, out: Path, *names: str) -> None:
    if work != out:
        for name in names:
            if (work / name).exists():
                shutil.copyfile(work / name, out / name)


class Follower:
    """A call that moves a task of 100 units along with nextpnr's log."""

    def __init__(self, log: Path, task: Task) -> None:
        self.log, self.task, self.done = log, task, 0

    def __call__(self) -> None:
        """Read the log, and advance the task by what it says."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        share, note = how_far(text)
        done = max(self.done, round(100 * share))  # a bar does not go back where arcs are ripped up
        self.task.advance(done - self.done, note)
        self.done = done


def how_far(log: str) -> tuple[float, str]:
    """Return the share of a placement that is done, roughly, and what nextpnr does now, from its log so far.

    How many iterations the placer needs is not known before; the router counts the arcs it has left.
    Over the presets routing takes about the second half.
    """
    if "Routing complete" in log:
        return 1.0, "timing"
    if arcs := re.search(r"Routing (\d+) arcs", log):
        rows = re.findall(
            r"^Info: +\d+ \|.*\| +(\d+)\| +[\d.]+ +[\d.]+\|$", log[arcs.end() :], re.MULTILINE
        )
        every = int(arcs[1])
        left = min(int(rows[-1]), every) if rows else every
        return 1 - 0.55 * left / max(every, 1), f"routing: {left:,} of {every:,} arcs left"
    if "simulated annealing placer" in log:
        rounds = re.findall(r"^Info:   at iteration #(\d+): ", log, re.MULTILINE)
        return 0.4, f"refining the placement: iteration {rounds[-1] if rounds else 1}"
    rounds = re.findall(r"^Info: +at iteration #(\d+), ", log, re.MULTILINE)
    if rounds:
        return 0.35 - 0.3 * 0.9 ** int(rounds[-1]), f"placing: iteration {rounds[-1]}"
    return 0.0, "packing, and a first placement"


def kept(report: Path) -> bool:
    """Tell whether a seed's report is there and whole."""
    try:
        return bool(placement(files.read_json(report), report.name))
    except (OSError, ValueError, AttributeError, RecursionError, ToolError):
        return False


def placed(
    work: Path,
    seed: int,
    asked: float,
    minutes: float,
    progress: Progress,
    device: Device = ECP5,
    sites: str = "",
) -> tuple[Path, Path]:
    """Return report and log of one seed, kept or made; `routed_name` lies beside them where a bitstream comes of it.

    Parameters
    ----------
    work : Path
        Folder with the netlist.
    seed : int
    asked : float
        Clock in Hz that nextpnr aims at.
    minutes : float
        Time by the clock after which the seed is given up.
    progress : Progress
    device : Device
    sites : str
        Name of the file with the sites of the ports; "" where nextpnr chooses them.

    Raises
    ------
    TooLarge
        Where the design does not fit.
    tools.TooLong
        Where the seed is given up.
    ToolError
        Where nextpnr is missing, or fails.
    """
    name, router = routed_name(seed), device.tools
    report, part, log = (
        work / f"placed-{seed}.json",
        f"part-{seed}.json",
        work / f"nextpnr-{seed}.log",
    )
    becomes = bool(sites)  # only a design with sites is packed
    if kept(report) and (not becomes or (work / name).exists()):
        return report, log
    log.unlink(missing_ok=True)
    where = (
        [option.format(sites) for option in router.constraints] if sites else router.unconstrained
    )
    try:
        with progress.task(f"seed {seed}, percent", 100) as task:
            tools.output(
                [
                    router.nextpnr,
                    *device.options(),
                    *("--json", synth.NETLIST),
                    *where,
                    *("--report", part),
                    *((router.routed, f"part-{name}") if becomes else ()),
                    *("--seed", str(seed)),
                    *("--freq", f"{asked / 1e6:g}"),
                    *("--log", log.name),
                    "--timing-allow-fail",
                    "-q",
                ],
                cwd=work,
                seconds=60 * minutes,
                look=Follower(log, task),
            )
    except tools.TooLong:
        raise
    except ToolError:
        if needed := too_large(log):
            raise TooLarge(f"the design must fit the {device.title}, but {needed}") from None
        raise
    # The report says that both are whole, so it comes last.
    if becomes:
        (work / f"part-{name}").replace(work / name)
    (work / part).replace(report)
    return report, log


def routed_name(seed: int) -> str:
    """Return the name of the file that a seed's bitstream is packed from."""
    return f"routed-{seed}"


def packed(work: Path, seed: int, out: Path, device: Device, progress: Progress) -> str:
    """Pack a seed's bitstream into a folder, and return its name there."""
    name, command = device.tools.bitstream, device.tools.pack
    with progress.task(
        f"{command[0].removeprefix('yowasp-')}: bitstream (the first use prepares it)"
    ):
        names = {"routed": routed_name(seed), "made": f"part-{name}"}
        tools.output([part.format(**names) for part in command], cwd=work)
    shutil.copyfile(work / f"part-{name}", out / name)
    return name


def too_large(log: Path) -> str:
    """Return what a nextpnr log says that the device has too few of, in a clause; '' where the design fits."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    for kind, used, available in re.findall(r"(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", text):
        if int(used) > int(available) > 0:
            return f"needs {int(used):,} {kind} of {int(available):,}"
    match = re.search(r"ERROR: (.*)", text)
    return match.group(1) if match and "Unable to place" in match.group(1) else ""


def text(result: dict) -> str:
    """Return the clocks of a placement as text, a line a seed."""
    device, clocks = result["device"], result["seeds"]
    lines = [
        f"seed {seed}: {clock / 1e6:.2f} MHz"
        if clock
        else f"seed {seed}: not routed in {result['minutes']:g} minutes"
        for seed, clock in enumerate(clocks)
    ]
    return "\n".join(
        [
            f"{result['unit']}, {result['lanes']} lanes of {result['window']} cells",
            f"{result['title']}, speed grade {device['speed']}, {result['asked'] / 1e6:g} MHz asked",
            *lines,
            f"median {result['median'] / 1e6:.2f} MHz"
            + ("" if all(clocks) else " of those routed"),
            *path_lines(result["critical"]),
            f"widest net but for the clock: {result['widest']['net']}, {result['widest']['loads']:,} inputs",
            *(
                f"{kind}: {n['used']:,} of {n['available']:,}"
                for kind, n in result["utilization"].items()
            ),
            *([f"bitstream: {result['bitstream']}"] if "bitstream" in result else []),
        ]
    )


def path_lines(path: dict) -> list[str]:
    """Lines about the longest path; none where the report had none."""
    if "ns" not in path:
        return []
    (owner, most), *others = path["units"].items()
    whole = f"{path['ns']:.2f} ns, {path['logic_ns']:.2f} of logic and {path['routing_ns']:.2f} of routing"
    return [
        f"longest path, seed {path['seed']}: {whole}",
        "  " + " > ".join([path["start"], *path["through"], path["end"]]),
        "  "
        + "; ".join([f"owned by {owner}, {most:.2f} ns", *(f"{n} {ns:.2f}" for n, ns in others)]),
    ]
