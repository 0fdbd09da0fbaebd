"""Layouts for waveform viewers: the signals of an FST by unit of the chip.

Only signals that the FST has are named. GTKWave gets a save file, Surfer a command file.
"""

import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim.waves.fst import CYCLES, Signal, Waveform
from xnoreplay.spec.registers import SEEN_REGISTERS

PORTS = ("ren", "raddr", "rdata", "wen", "waddr", "wdata")
MACRO = ".array"  # the instance that holds a memory's rows, below each memory
UNITS = {
    "sequencer": ("sequencer",),
    "array": ("array",),
    "thermometer": ("thermometer",),
    "input": ("latent_input",),
    "convolution": ("front",),
    "pool": ("back",),
    "LGAP": ("lgap",),
    "dense": ("dense",),
    "learning": ("learning",),
    "replay": ("replay", "draw", "open_class", "random_walk", "random_error", "random_update"),
    "counters": ("counters",),
}
"""Groups after chip and host, and the scopes below the top of each. What is inside a scope is a group inside."""
INNER = {
    "front.line_buffer": "window",
    "learning.forward_rows": "forward",
    "learning.error_unit": "error",
    "learning.plane_unit": "planes",
    "learning.back_unit": "back",
    "learning.update_unit": "update",
}
"""Inner groups whose scope has another name."""
ZOOM = -5.0  # of GTKWave: dozens of cycles in its window
ENUMERATION = ("\n@10000028\n", "\n@100000028\n")
"""Flags of a right-justified binary trace whose values are shown as the FST names them. pyvcd does not
know that flag; it is given one that nothing here uses, and the text the other."""
REPEATED = ("clk", "rst", "abort")  # inputs that every unit has


@dataclass
class Group:
    """Signals that viewers show under a name, and groups inside."""

    name: str
    signals: list[Signal] = field(default_factory=list)
    inner: list["Group"] = field(default_factory=list)
    scope: str = ""

    def every(self) -> Iterable[Signal]:
        """All signals of the group, and of inner groups."""
        yield from self.signals
        for group in self.inner:
            yield from group.every()


def groups(wave: Waveform) -> list[Group]:
    """The layout: chip, host, the units, and the ports of every memory."""
    scopes: dict[str, list[Signal]] = defaultdict(list)
    for signal in wave.signals:
        scopes[signal.scope].append(signal)
    memories = {scope for scope in scopes if scope.endswith(MACRO) and scope != f"{TOP}{MACRO}"}
    holders = {scope.removesuffix(MACRO) for scope in memories}

    def pick(scope: str, names: Iterable[str]) -> list[Signal]:
        by_name = {s.name: s for s in scopes[scope]}
        return [by_name[name] for name in names if name in by_name]

    def group(name: str, scope: str) -> Group:
        inside = [
            s for s in scopes if s.rpartition(".")[0] == scope and s not in holders | memories
        ]
        return Group(
            name,
            [s for s in scopes[scope] if _tells(s)],
            [group(INNER.get(_local(s), s.rpartition(".")[2]), s) for s in inside],
            scope,
        )

    counted = CYCLES.rpartition(".")
    bus = [s.name for s in scopes[TOP] if s.name.startswith(("s_axil_", "s_axis_")) and _tells(s)]
    found = [
        Group("chip", pick(TOP, ("clk", "rst", "busy", "phase")) + pick(counted[0], counted[2:])),
        Group("host", pick(TOP, bus), [Group("registers", pick(f"{TOP}.host", SEEN_REGISTERS))]),
    ]
    for name, parts in UNITS.items():
        there = [f"{TOP}.{part}" for part in parts if f"{TOP}.{part}" in scopes]
        if there:
            first, *others = (group(name, scope) for scope in there)
            for other in others:
                other.name = _local(other.scope)
            first.inner += others
            found.append(first)
    ports = [
        Group(_local(s.removesuffix(MACRO)), pick(s, PORTS), scope=s) for s in sorted(memories)
    ]
    found.append(Group("memories", [], ports))
    return found


def _tells(signal: Signal) -> bool:
    """Whether a signal is no other's copy: those have a number after a dollar sign, an index, or a prefix."""
    copied = set("$[") & set(signal.name) or signal.name.startswith("add_")
    return not copied and signal.name not in REPEATED


def _local(scope: str) -> str:
    return scope.removeprefix(f"{TOP}.")


def gtkwave(wave: Waveform, folder: Path, fst: str) -> str:
    """A save file for GTKWave.

    Parameters
    ----------
    wave : Waveform
    folder : Path
        Where both files will be: GTKWave wants whole paths, and finds files moved together.
    fst : str
        Name of the waveform's file.
    """
    from vcd.gtkw import GTKWFlag, GTKWSave

    out = io.StringIO()
    save = GTKWSave(out)
    save.dumpfile(str(folder / fst), abspath=False)
    save.savefile(str((folder / fst).with_suffix(".gtkw")), abspath=False)
    save.timestart(wave.start)
    save.zoom_markers(ZOOM)
    save.treeopen(f"{TOP}.")
    save.sst_expanded(True)

    def lay(group: Group, opened: bool) -> None:
        with save.group(group.name, closed=not opened):
            for signal in group.signals:
                path = f"{signal.path}{signal.bounds}"
                if any(e.fits(signal) for e in wave.enumerations):
                    save.trace(path, datafmt="bin", extraflags=GTKWFlag.ttranslated)
                else:
                    save.trace(path, datafmt="dec" if signal.path == CYCLES else "hex")
            for inner in group.inner:
                lay(inner, opened=False)

    for n, group in enumerate(groups(wave)):
        lay(group, opened=n == 0)
    return out.getvalue().replace(*ENUMERATION)


def surfer(wave: Waveform) -> str:
    """A command file for Surfer: signals of chip and host, and scopes as folded groups."""
    lines: list[str] = []

    def add(group: Group) -> None:
        lines.append(f"scope_add_as_group {group.scope}")
        for inner in group.inner:
            add(inner)

    for group in groups(wave):
        if group.scope:
            add(group)
            continue
        lines.append(f"divider_add {group.name}")
        lines += [f"variable_add {signal.path}" for signal in group.signals]
        for inner in group.inner:
            if inner.scope:
                lines.append(f"scope_add_as_group {inner.scope}")
            else:
                lines += [f"variable_add {signal.path}" for signal in inner.signals]
    return "\n".join([*lines, "group_fold_all", "zoom_fit", ""])
