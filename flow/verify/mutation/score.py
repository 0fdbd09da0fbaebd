"""The mutation score: of many small faults of a chip, the share that the co-simulation notices."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from xnoreplay.flow.run import temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.verify.cosim.compare import WITH, ScriptDifference
from xnoreplay.flow.verify.cosim.script import Script
from xnoreplay.flow.verify.cosim.session import Setup
from xnoreplay.flow.verify.mutation.design import Mutants
from xnoreplay.flow.verify.mutation.server import Server
from xnoreplay.spec.errors import CheckFailure, XnoreplayError

KILLED, SURVIVED, EQUIVALENT = "killed", "survived", "equivalent"
PATIENCE = 2  # times the clocks of the design itself, after which a mutant is given up
MARGIN = 10_000  # clocks that are added to these
LATE = "not ended after"  # of the test bench's sentence on a mutant that was given up
REASONS = {
    "load": "what the host wrote does not read back",
    "port": "a signal of the host port",
    "response": "the answer to a command, or to a transfer",
    "time": "a command, or the script, does not end in time",
    "bus": "the bus does not answer, or not as it must",
    "cycles": "a phase or a command takes another number of cycles",
    "trace": "a line of the trace",
    "replay": "an insertion or an eviction",
    "register": "a register",
    "inside": "a register after a reset or an abort, a strobe, or a memory that does not what it was given",
    "memory": "a memory",
    "counter": "an event counter",
    "stop": "the simulation stops",
}
"""What shows a mutant: the first difference of the command that differs."""


@dataclass(frozen=True)
class Trial:
    """What a worker needs to judge mutants.

    Parameters
    ----------
    setup : Setup
        With the compiled design of all mutants.
    scripts : dict of str to Script
        Tried one after another, until one shows the mutant.
    clocks : dict of str to int
        After so many clocks of a script a mutant is given up.
    """

    setup: Setup
    scripts: dict[str, Script]
    clocks: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Of what is simulated: its build, whose name is a digest, and the scripts' names."""
        return f"{self.setup.build} {sorted(self.scripts)}"


_servers: dict[str, Server] = {}


def server_of(trial: Trial) -> Server:
    """Return this process's simulator for a trial; it is started at the first call and ends with the process."""
    if trial.key not in _servers:
        close()
        made = Server(trial.setup, temporary.root() / f"mutants-{len(_servers)}")
        for name, script in trial.scripts.items():
            made.add(name, script)
        _servers[trial.key] = made
    return _servers[trial.key]


def close() -> None:
    """End this process's simulators."""
    while _servers:
        _servers.popitem()[1].close()


def judged(trial: Trial, script: str, number: int) -> dict:
    """Simulate one mutant with one script and return its verdict.

    Parameters
    ----------
    trial : Trial
    script : str
        Name of one of its scripts.
    number : int
        Of the mutant; 0 is the design itself.

    Returns
    -------
    dict
        number, script, and verdict: `KILLED` or `SURVIVED`. Of a killed one also reason, a key of `REASONS`, and
        first, the first difference as text, which begins with the command.
    """
    try:
        outcome, ended = server_of(trial).compare(number, script, trial.clocks.get(script, 0))
    except CheckFailure as error:
        reason = "time" if LATE in str(error) else "bus"
        return _killed(number, script, reason, str(error))
    if outcome.differences:
        first = outcome.differences[0]
        return _killed(number, script, reason_of(first), str(first))
    if not ended:
        return _killed(number, script, "stop", "the simulation must come to its end")
    return {"number": number, "script": script, "verdict": SURVIVED}


def _killed(number: int, script: str, reason: str, first: str) -> dict:
    return {
        "number": number,
        "verdict": KILLED,
        "script": script,
        "reason": reason,
        "first": first,
    }


def reason_of(found: ScriptDifference) -> str:
    """Return the key of `REASONS` for a difference."""
    signal, what = found.signal.removeprefix("bus "), found.what
    if found.command < 0:
        return "load"
    if what.startswith("host port"):
        return "port"
    if found.got.startswith("still in "):
        return "time"
    if signal.startswith(("response", "answer")):
        return "response"
    if signal.startswith(WITH):
        return "inside"
    if signal.startswith(("register", "counter")):
        return signal.partition(" ")[0]
    if "cycle" in signal or signal in ("phase boundary", "phases", "end of command"):
        return "cycles"
    if signal.startswith("replay event"):
        return "replay"
    return "memory" if "rows differ" in what else "trace"


def bounded(trial: Trial, script: str) -> Trial:
    """Hold the design itself to the model, and say after how many clocks of a script a mutant is given up.

    Raises
    ------
    CheckFailure
        Where the design differs, so that no mutant can be judged.
    """
    outcome, ended = server_of(trial).compare(0, script)
    if outcome.differences or not ended:
        first = next(iter(outcome.differences), "the simulation stops")
        raise CheckFailure(
            f"the design itself must equal the simulator in the script {script}, but: {first}"
        )
    clocks = PATIENCE * outcome.clocks + MARGIN
    return replace(trial, clocks=trial.clocks | {script: clocks})


class Record:
    """The verdicts of a run, a line each, so that it goes on where it was stopped.

    Parameters
    ----------
    path : Path
    stamp : str
        Digest of all that a verdict depends on; lines of another one do not count.
    """

    def __init__(self, path: Path, stamp: str) -> None:
        self.path, self.stamp = path, stamp

    def read(self) -> dict[tuple[int, str], dict]:
        """Return the verdicts by number and script; a line that is not whole is passed over."""
        found: dict[tuple[int, str], dict] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return found
        for line in lines:
            try:
                tree = json.loads(line)
                if tree["stamp"] == self.stamp:
                    verdict = tree["verdict"]
                    found[verdict["number"], verdict["script"]] = verdict
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
        return found

    def add(self, verdict: dict) -> None:
        """Append a verdict."""
        text = json.dumps({"stamp": self.stamp, "verdict": verdict})
        with self.path.open("a", encoding="utf-8") as out:
            out.write(f"\n{text}\n")  # what was not written to its end stays a line of its own


def stamp(mutants: Mutants, scripts: Iterable[str], code: str) -> str:
    """Digest of what verdicts depend on: the mutants, what is asked of them, and the code that judges."""
    h = hashlib.sha256()
    for part in (mutants.verilog, *scripts, code):
        h.update(part.encode() + b"\0")
    return h.hexdigest()[:20]


Pool = Callable[[], AbstractContextManager[Executor]]
"""Opens an executor of processes, as `flow.explore.jobs.Engine.executor` does: of this machine, or of a Dask cluster."""


def finished(futures: list[Future]) -> Iterator:
    """Yield what jobs return, in the order in which they end.

    Raises
    ------
    XnoreplayError
        Where a process ends before its work.
    """
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise XnoreplayError(
            "a process of mutate must not end before its work, but one did; what was judged is kept, and the "
            "same command goes on"
        ) from None


def judge_all(
    trial: Trial, script: str, numbers: list[int], record: Record, pool: Pool, progress: Progress
) -> dict[int, dict]:
    """Judge mutants side by side with one script; those that are recorded are not judged again.

    Returns
    -------
    dict of int to dict
        Verdicts by number; see `judged`.

    Raises
    ------
    XnoreplayError
        Where a process ends before its work.
    """  # noqa: DOC502  raised by `finished`
    known = record.read()
    verdicts = {n: known[n, script] for n in numbers if (n, script) in known}
    left = [n for n in numbers if n not in verdicts]
    if verdicts:
        whole = len(verdicts) + len(left)
        progress.note(f"mutate: {len(verdicts)} of {whole} are judged already, script {script}")
    if not left:
        return verdicts
    killed = sum(v["verdict"] == KILLED for v in verdicts.values())
    label = f"mutants, script {script}"
    with pool() as executor, progress.task(label, len(left)) as task:
        futures = [executor.submit(judged, trial, script, number) for number in left]
        for verdict in finished(futures):
            record.add(verdict)
            verdicts[verdict["number"]] = verdict
            killed += verdict["verdict"] == KILLED
            task.advance(1, f"{killed} of {len(verdicts)} killed")
    return verdicts


def summary(mutants: Mutants, verdicts: dict[int, dict]) -> dict:
    """The table of a run.

    Parameters
    ----------
    mutants : Mutants
    verdicts : dict of int to dict
        Of each mutant.

    Returns
    -------
    dict
        mutants, killed, equivalent, survived: how many; score: killed of those that are not equivalent, as a
        fraction; reasons, scripts and proofs: how many by name; kinds: of each [drawn, killed, equivalent];
        survivors: their texts; verdicts: all, each with the mutant's fields.
    """
    rows = [m.plain() | verdicts[m.number] for m in mutants.mutants]
    count = Counter(row["verdict"] for row in rows)
    killed = [row for row in rows if row["verdict"] == KILLED]
    kinds: dict[str, list[int]] = {}
    for row in rows:
        entry = kinds.setdefault(row["kind"], [0, 0, 0])
        entry[0] += 1
        entry[1] += row["verdict"] == KILLED
        entry[2] += row["verdict"] == EQUIVALENT
    real = len(rows) - count[EQUIVALENT]
    alive = {n for n, v in verdicts.items() if v["verdict"] == SURVIVED}
    return {
        "mutants": len(rows),
        KILLED: count[KILLED],
        EQUIVALENT: count[EQUIVALENT],
        SURVIVED: count[SURVIVED],
        "score": count[KILLED] / real if real else 1.0,
        "reasons": dict(Counter(row["reason"] for row in killed).most_common()),
        "scripts": dict(Counter(row["script"] for row in killed).most_common()),
        "proofs": dict(
            Counter(row["proof"] for row in rows if row["verdict"] == EQUIVALENT).most_common()
        ),
        "kinds": dict(sorted(kinds.items())),
        "survivors": [str(m) for m in mutants.mutants if m.number in alive],
        "verdicts": rows,
    }
