"""Waveforms: an FST of a window of cycles, with a layout for each viewer.

The script is carried out once more, up to the window's end, by a simulation that can trace: a
comparison without a waveform is not slowed, and what precedes the window leaves nothing behind.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from xnoreplay.flow.run import files
from xnoreplay.flow.run.records import own_folder, require_own
from xnoreplay.flow.verify.cosim import session, window
from xnoreplay.flow.verify.cosim.chip import DesignUnderTest
from xnoreplay.flow.verify.cosim.script import Script
from xnoreplay.flow.verify.cosim.waves import layout
from xnoreplay.flow.verify.cosim.waves.fst import Enumeration, Waveform, convert
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.plan import Plan

SIMULATOR = "verilator"  # the one that records
FOLDER = "waves"
FST, GTKWAVE, SURFER = "waves.fst", "waves.gtkw", "waves.sucl"
ROOM = 8_000_000_000  # bytes of VCD that a window may take while it is written
CHARACTERS = 80  # of Verilog for each byte of VCD in a cycle, at least; 3mb has 79


def enumerations(plan: Plan) -> tuple[Enumeration, ...]:
    """Signals whose values have names, and the names."""
    from xnoreplay.hw import generative, replay
    from xnoreplay.hw.learning import balance, fit, planes

    states: dict[str, Any] = {
        ".replay": generative.State if plan.generative else replay.State,
        **({".replay.fit": fit.State} if plan.generative else {}),
        ".learning.balance": balance.State,
        ".learning.plane_unit": planes.State,
    }
    commands = {c.value: c.name.lower() for c in Command}
    kinds = tuple(commands.get(n, "-") for n in range(1 << 8))
    return (
        Enumeration("phase", (".phase", ".next_phase"), plan.phases),
        Enumeration("command", (".sequencer.command", ".sequencer.kind"), kinds),
        *(
            Enumeration(
                f"{unit.rpartition('.')[2]}_state",
                (f"{unit}.state",),
                tuple(s.name.lower() for s in kind),
            )
            for unit, kind in states.items()
        ),
    )


def write(
    design: DesignUnderTest, script: Script, text: str, spans: list[tuple[int, int]], target: Path
) -> dict:
    """Write the waveform of a window of a script, in a folder of its own.

    Parameters
    ----------
    text : str
        The window, as `window.parse` reads it.
    spans : list
        Cycles (first, past the last) of each command.
    target : Path
        Receives a folder FIRST-LAST with `FST`, `GTKWAVE` and `SURFER`, whole.

    Returns
    -------
    dict
        ``folder``; how many ``signals``; ``start``, ``stop``, ``first`` and ``last`` of `Waveform`.

    Raises
    ------
    SpecError
        Where the run has no such window, or it is too long.
    XnoreplayError
        Where the folder is there already and is somebody else's.
    CheckFailure
        Where chip and simulator differ in it or before; the waveform is there if the chip came to
        the window.
    """  # noqa: DOC501, DOC502  raised and made by what is called
    first, last = window.resolve(text, spans)
    check_room(design.verilog, first, last)
    folder = target / f"{first}-{last}"
    require_own(folder, FOLDER)
    setup, _ = design.setup(SIMULATOR, waves=(first, last))
    index = next(n for n, (_, stop) in enumerate(spans) if last < stop)
    work = design.work / FOLDER
    outcome = session.compare(setup, quiet(script, index), work, "recording", design.progress)
    vcd = work / window.VCD
    if not vcd.exists():
        raise _not_reached(text, outcome)
    files.sweep(target, re.compile(r"\d+-\d+").fullmatch)
    with own_folder(folder, FOLDER) as part:
        wave = convert(vcd, part / FST, last, enumerations(setup.plan), design.progress)
        vcd.unlink()
        _lay_out(wave, part, folder)
    design.progress.note(
        f"waveform of cycles {wave.first} to {wave.last}: gtkwave {folder / GTKWAVE}, "
        f"or surfer -c {folder / SURFER} {folder / FST}"
    )
    if outcome.differences:
        raise CheckFailure(f"the Verilog must equal the simulator, but: {outcome.differences[0]}")
    if wave.last < last:
        raise _not_reached(text, outcome)
    return {
        "folder": str(folder),
        "signals": len(wave.signals),
        **{name: getattr(wave, name) for name in ("start", "stop", "first", "last")},
    }


def check_simulator(name: str) -> None:
    """Refuse, with SpecError, a choice of simulators without the one that records waveforms."""
    if name not in (SIMULATOR, "both"):
        raise SpecError(f"--waves must be recorded by {SIMULATOR}, not by {name}")


def quiet(script: Script, index: int) -> Script:
    """The steps of a script up to `index`, with nothing looked at and nothing traced."""
    steps = (
        replace(s, memories=(), before=(), trace=False, windows=(), bus=False)
        for s in script.steps[: index + 1]
    )
    return replace(script, steps=tuple(steps))


def check_room(verilog: str, first: int, last: int) -> None:
    """Refuse, with SpecError, a window whose VCD of this Verilog may take more than `ROOM` bytes."""
    most = ROOM * CHARACTERS // len(verilog)
    if last - first >= most:
        raise SpecError(
            f"--waves must be of at most {most:,} cycles of this chip, not {last - first + 1:,}"
        )


def _not_reached(text: str, outcome: session.Outcome) -> CheckFailure:
    found = f": {outcome.differences[0]}" if outcome.differences else ""
    return CheckFailure(f"the chip must come to the cycles {text} of --waves, but does not{found}")


def _lay_out(wave: Waveform, part: Path, folder: Path) -> None:
    texts = {
        GTKWAVE: layout.gtkwave(wave, folder.absolute(), FST),
        SURFER: layout.surfer(wave),
    }
    for name, content in texts.items():
        (part / name).write_text(content, encoding="utf-8")
