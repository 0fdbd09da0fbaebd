"""A proof of a chip: properties, planted faults that break them, equivalence; side by side, and going on where it was stopped."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.run import files, workers
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.verify.prove import catalogue, design, engine, equivalence
from xnoreplay.flow.verify.prove.design import Chip, Statement
from xnoreplay.flow.verify.prove.engine import COVERED, DEPTH, Method
from xnoreplay.flow.verify.prove.property import Property
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.machine import cores
from xnoreplay.spec.plan import Plan

JOBS = "jobs"
SECONDS = 600.0
"""After which one question to a solver is given up, and the property is open."""
FAR, SOON = 100, 60.0
"""A planted fault is first looked for in so many cycles, one after another, for so many seconds; then by the property's method."""
DECIDING = ("aiger.py", "design.py", "engine.py", "run.py")
"""Files of this room that decide a property; what the others say of it is in its statement."""
SIDE_BY_SIDE = 2
PROVED, BOUNDED, BROKEN, OPEN = "proved", "bounded", "broken", "open"
UNREACHED = "unreached"
"""The property's precondition is met in none of the first `COVERED` cycles, so that it says nothing."""


@dataclass(frozen=True)
class Choice:
    """What is proved.

    Parameters
    ----------
    properties : tuple of str
        Names, or beginnings of names up to a dot; all without any.
    planted : bool
        Also plant the faults of each property.
    equivalence : bool
        Also compare each module with its netlist.
    library : Path, optional
        Liberty file whose cells the netlist has; gates without it.
    """

    properties: tuple[str, ...] = ()
    planted: bool = False
    equivalence: bool = False
    library: Path | None = None


@dataclass(frozen=True)
class Job:
    """One thing to decide: what it is called, what decides it, and what it is a function of."""

    name: str
    work: Callable[[Path], dict]
    key: str


def prove(  # noqa: PLR0913  one chip, one choice, and where files go
    plan: Plan,
    verilog: str,
    choice: Choice,
    out: Path,
    scratch: Path,
    progress: Progress,
) -> dict:
    """Prove a chip's Verilog.

    Parameters
    ----------
    plan : Plan
    verilog : str
        The chip's text.
    choice : Choice
    out : Path
        Receives a waveform of each property that is broken.
    scratch : Path
        Folder of what was decided before; a job that is found there is not repeated.
    progress : Progress
        Shows how many jobs are left.

    Returns
    -------
    dict
        ``properties``, ``planted`` and ``modules``: a row for each, in their order.

    Raises
    ------
    CheckFailure
        Where a property is broken, open or says nothing, a planted fault breaks none, or a module is not its netlist.
    """
    known = catalogue.properties(plan)
    chosen = catalogue.chosen(plan, choice.properties)
    jobs = list(_jobs(known, chosen, verilog, choice, out))
    (scratch / JOBS).mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict]] = {"properties": [], "planted": [], "modules": []}

    def one(job: Job) -> dict:
        return _decided(job, scratch)

    with progress.task(
        "proof: properties and modules (the first use prepares yosys)", len(jobs)
    ) as task:
        for job, row in zip(
            jobs, workers.side_by_side(one, jobs, min(SIDE_BY_SIDE, cores())), strict=True
        ):
            rows[job.name.partition("/")[0]].append(row)
            task.advance(note=row["name"])
    result = {"depth": DEPTH, **rows}
    if sentence := verdict(result):
        raise CheckFailure(sentence, result)
    return result


def _jobs(
    known: dict[str, Property],
    chosen: list[Property],
    verilog: str,
    choice: Choice,
    out: Path,
) -> Iterator[Job]:
    room = Path(__file__)
    code = _digest(*(room.with_name(n).read_text(encoding="utf-8") for n in DECIDING))
    chip = Chip(verilog)
    for p in chosen:
        statement = given(p, known)
        problem = design.problem(chip, statement)
        assumed = [(known[n].method, known[n].depth) for n in (*p.given, *p.given_before)]
        key = _digest(code, repr(p), repr(assumed), problem.chip, problem.proof)
        yield Job(
            f"properties/{p.name}",
            lambda folder, p=p, problem=problem: within(  # type: ignore[misc]
                p, known, decided(p, problem, folder, out)
            ),
            key,
        )
    for p in chosen if choice.planted else ():
        for number, fault in enumerate(p.faults):
            problem = design.problem(Chip(fault.planted(verilog)), given(p, known))
            yield Job(
                f"planted/{p.name}-{number}",
                lambda folder, p=p, f=fault, problem=problem: planted(p, f, problem, folder),  # type: ignore[misc]
                _digest(
                    code, repr((p.name, p.method, p.depth, fault)), problem.chip, problem.proof
                ),
            )
    for name in equivalence.names(chip) if choice.equivalence else ():
        cells = liberty.text_of(choice.library) if choice.library else ""
        mapping = "".join(
            room.with_name(f"{own}.py").read_text(encoding="utf-8")
            for own in ("equivalence", "combinational", "graph")
        )
        yield Job(
            f"modules/{name}",
            lambda folder, name=name: compared(chip, name, folder, choice.library),  # type: ignore[misc]
            _digest(code, mapping, equivalence.source(chip, name), cells),
        )


def given(p: Property, known: dict[str, Property]) -> Statement:
    """Return a property's statement with the properties that it assumes, and the declarations of both, each line once."""
    statement = p.statement
    text = statement.text

    def of(own: str, names: tuple[str, ...]) -> str:
        nonlocal text
        assumed = [own]
        for name in names:
            other = known[name].statement
            text = design.joined(text, other.text)
            assumed.append(f"~({other.when}) | ({other.holds})")
        return " & ".join(f"({part})" for part in assumed)

    assume, before = of(statement.assume, p.given), of(statement.before, p.given_before)
    return replace(statement, text=text, assume=assume, before=before)


def within(p: Property, known: dict[str, Property], row: dict) -> dict:
    """Return a property's row, bounded where it is proved with the help of one that is."""
    weak = [known[n] for n in (*p.given, *p.given_before) if known[n].method is Method.BOUNDED]
    if row["status"] != PROVED or not weak:
        return row
    least = min(weak, key=lambda other: other.depth)
    why = f"it assumes {least.name}, which is"
    return row | {"status": BOUNDED, "cycles": least.depth, "why": why}


def decided(p: Property, problem: design.Problem, folder: Path, out: Path) -> dict:
    """Decide a property; the waveform of a break goes to `out`."""
    started = time.monotonic()
    engine.model(problem, folder)
    found = engine.decide(folder, p.method, p.depth, SECONDS)
    status = {False: BROKEN, None: OPEN, True: PROVED if found.unbounded else BOUNDED}[found.holds]
    row: dict[str, Any] = {
        "name": p.name,
        "sentence": p.sentence,
        "units": list(p.statement.keep),
        "memories": list(p.statement.memories),
        "method": p.method.value,
        "given": [*p.given, *p.given_before],
        "status": status,
        "cycles": found.cycles,
        "why": p.why,
    }
    if found.holds is False:
        row["waves"] = f"{p.name}.vcd"
        engine.write_waves(folder, out / row["waves"])
    else:
        reached = engine.never_before(folder, "reached", COVERED, SECONDS)
        row["reached"] = reached.cycles if reached.status == "high" else None
        if reached.status != "high":
            row["status"] = UNREACHED
    return row | {"seconds": round(time.monotonic() - started, 1)}


def planted(p: Property, fault: Any, problem: design.Problem, folder: Path) -> dict:
    """Look whether a planted fault breaks a property, and after how many cycles of a trace.

    A property that is proved by induction counts as broken, too, where it is no longer inductive: the trace
    then begins in any state.
    """
    started = time.monotonic()
    engine.model(problem, folder)
    found = engine.Decision(None)
    if p.method is Method.PDR:  # it is slow with a break that is many cycles away
        soon = engine.never_before(folder, "bad", FAR, SOON)
        if soon.status == "high":
            found = engine.Decision(False, cycles=soon.cycles)
    if found.holds is None:
        found = engine.decide(folder, p.method, p.depth, SECONDS)
    inductive = p.method is Method.INDUCTION and found.holds is None
    return {
        "name": p.name,
        "fault": {k: v for k, v in asdict(fault).items() if v is not None},
        "found": found.holds is False or inductive,
        "cycles": found.cycles,
        "seconds": round(time.monotonic() - started, 1),
    }


def compared(chip: Chip, name: str, folder: Path, library: Path | None) -> dict:
    """Compare a module with its netlist."""
    started = time.monotonic()
    found = equivalence.compare(chip, name, folder, library)
    return {"name": name, **asdict(found), "seconds": round(time.monotonic() - started, 1)}


def verdict(result: dict) -> str:
    """Return what fails, in a sentence; '' where nothing does."""
    for row in result["properties"]:
        if row["status"] == BROKEN:
            return (
                f"property {row['name']} must hold, but is broken {row['cycles']} cycles after the start of a trace, "
                f"see {row['waves']}: {row['sentence']}"
            )
        if row["status"] == OPEN:
            return f"property {row['name']} must be decided in {SECONDS:g} seconds, but is open"
        if row["status"] == UNREACHED:
            return f"property {row['name']} must say something, but its precondition is never met"
    for row in result["planted"]:
        if not row["found"]:
            return f"a planted fault must break property {row['name']}, but {row['fault']} does not"
    for row in result["modules"]:
        if not row["equal"]:
            return (
                f"module {row['name']} must equal its netlist, but {row['unproved']} of {row['pairs']} pairs are "
                "not proved equal"
            )
    return ""


def _decided(job: Job, scratch: Path) -> dict:
    """Return a job's row: the one that is there, or else a new one."""
    slug = job.name.replace("/", "-").replace("\\", "")
    file, folder = scratch / JOBS / f"{slug}.json", scratch / slug
    try:
        kept = files.read_json(file)
        if kept["key"] == job.key and (not kept["row"].get("waves")):
            return kept["row"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    row = job.work(folder)
    shutil.rmtree(folder, ignore_errors=True)
    files.write_json(file, {"key": job.key, "row": row})
    return row


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
