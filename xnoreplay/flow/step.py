"""Steps of a run: functions of a configuration and of the folders that earlier steps left.

A run folder holds one folder a step. A step writes into a temporary sibling, which is renamed into
place whole, with a `step.json` that records what it was made from. A step whose record still
matches is not repeated.
"""

import errno
import fcntl
import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import xnoreplay
from xnoreplay.flow import files
from xnoreplay.flow.progress import Progress, clock
from xnoreplay.spec.errors import CheckFailure, XnoreplayError, unknown

RECORD, RESULT, LOCK = "step.json", "result.json", ".lock"
PACKAGE = Path(xnoreplay.__file__).parent


@dataclass(frozen=True)
class Context:
    """What a running step sees.

    config : the step's own part of the configuration
    out : folder to write in; nothing else may be written
    inputs : folder of each step it needs, and of each it uses that has run
    """

    config: dict
    out: Path
    inputs: dict[str, Path]
    progress: Progress

    def result(self, step: str) -> dict:
        """What an earlier step returned."""
        return files.read_json(self.inputs[step] / RESULT)


@dataclass(frozen=True)
class Step:
    """One step.

    Parameters
    ----------
    name : str
        Also its folder's.
    run : callable
        Context -> result, plain values that go into `result.json`. Raises CheckFailure for a
        design that fails a check, after writing the evidence.
    needs : tuple of str
        Steps that must have succeeded.
    uses : tuple of str
        Steps whose folders it reads where they are there.
    code : tuple of str
        Files and folders of the package that decide its result: a change repeats the step.
    files : callable
        Configuration -> paths of the user's own files that it reads.
    """

    name: str
    run: Callable[[Context], dict]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    code: tuple[str, ...] = ("spec",)
    files: Callable[[dict], Iterable[Path]] = field(default=lambda _config: ())


@dataclass(frozen=True)
class Outcome:
    """How a step ended: `kept` (up to date), `done`, `failed` (a check) or `skipped`."""

    step: str
    status: str
    seconds: float = 0.0
    message: str = ""


def code_digest(parts: Iterable[str]) -> str:
    """SHA-256 over the package's source files below the given parts, in path order."""
    h = hashlib.sha256()
    for part in sorted(parts):
        path = PACKAGE / part
        sources = sorted(path.rglob("*")) if path.is_dir() else [path]
        for source in sources:
            if source.is_file() and "__pycache__" not in source.parts:
                h.update(f"{source.relative_to(PACKAGE).as_posix()}\n".encode())
                h.update(source.read_bytes())
    return h.hexdigest()


class Run:
    """A run folder and the steps that fill it.

    Parameters
    ----------
    folder : Path
    steps : dict of str to Step
        In the order they run.
    configs : dict of str to dict
        The configuration of each step, plain values.
    progress : Progress
    """

    def __init__(
        self, folder: Path, steps: dict[str, Step], configs: dict[str, dict], progress: Progress
    ) -> None:
        self.folder, self.steps, self.configs, self.progress = folder, steps, configs, progress
        self.outcomes: dict[str, Outcome] = {}

    def require(self, name: str) -> list[str]:
        """A step and all it needs, in order."""
        if name not in self.steps:
            raise unknown("step", name, self.steps)
        wanted = {name}
        for candidate in reversed(self.steps):
            if candidate in wanted:
                wanted.update(self.steps[candidate].needs)
        return [s for s in self.steps if s in wanted]

    def run(self, names: Iterable[str], force: Iterable[str] = ()) -> list[Outcome]:
        """Bring steps up to date, in order.

        A failed check does not stop the steps that do not need it.

        Raises
        ------
        XnoreplayError
            For bad input, a missing tool, or a full disk; steps that ended before keep their work.
        KeyboardInterrupt
            The step that was interrupted leaves nothing.
        """
        force = set(force)
        with self._locked(), _terminate_as_interrupt():
            for name in names:
                self.outcomes[name] = self._bring(self.steps[name], name in force)
        return list(self.outcomes.values())

    def _bring(self, step: Step, force: bool) -> Outcome:
        for need in step.needs:
            if not self._succeeded(need):
                message = f"needs {need}, which has not succeeded"
                self.progress.note(f"[{step.name}] skipped: {message}")
                return Outcome(step.name, "skipped", message=message)
        recipe = self._recipe(step)
        if not force and self._up_to_date(step.name, recipe):
            self.progress.note(f"[{step.name}] up to date")
            return Outcome(step.name, "kept", self.record(step.name)["seconds"])
        self.progress.note(f"[{step.name}] started")
        start = time.monotonic()
        try:
            failure = self._execute(step, recipe, start)
        except OSError as error:
            raise _disk_error(step.name, error) from error
        seconds = time.monotonic() - start
        if failure:
            self.progress.note(f"[{step.name}] failed its check after {clock(seconds)}: {failure}")
            return Outcome(step.name, "failed", seconds, failure)
        self.progress.note(f"[{step.name}] done in {clock(seconds)}")
        return Outcome(step.name, "done", seconds)

    def _execute(self, step: Step, recipe: dict, start: float) -> str:
        """Run a step in a new folder; returns the failed check's sentence, or ''."""
        failure = ""
        with files.whole_folder(self.folder / step.name) as out:
            context = Context(
                self.configs[step.name], out, self._inputs(step), self.progress
            )
            try:
                files.write_json(out / RESULT, step.run(context))
            except CheckFailure as error:
                failure = str(error.args[0]) if error.args else "a check failed"
                files.write_json(out / RESULT, {"failure": failure, **error_evidence(error)})
            record = recipe | {
                "outputs": files.tree_digests(out),
                "seconds": round(time.monotonic() - start, 3),
                "failure": failure,
            }
            files.write_json(out / RECORD, record)
        return failure

    def _inputs(self, step: Step) -> dict[str, Path]:
        names = step.needs + tuple(u for u in step.uses if (self.folder / u / RECORD).exists())
        return {name: self.folder / name for name in names}

    def _recipe(self, step: Step) -> dict:
        config = self.configs[step.name]
        inputs = {
            f"{name}/{path}": digest
            for name in self._inputs(step)
            for path, digest in self.record(name)["outputs"].items()
        }
        # A user's file is known by its content, so that moving it changes nothing.
        inputs |= {f"file {i}": files.file_digest(p) for i, p in enumerate(step.files(config))}
        return {
            "step": step.name,
            "version": xnoreplay.__version__,
            "code": code_digest(step.code),
            "config": files.json.loads(files.dumps(config)),
            "inputs": inputs,
        }

    def record(self, name: str) -> dict:
        return files.read_json(self.folder / name / RECORD)

    def _succeeded(self, name: str) -> bool:
        try:
            return not self.record(name)["failure"]
        except (OSError, ValueError, KeyError):
            return False

    def _up_to_date(self, name: str, recipe: dict) -> bool:
        if not self._succeeded(name):
            return False
        record = self.record(name)
        if any(record.get(key) != value for key, value in recipe.items()):
            return False
        return record["outputs"] == files.tree_digests(self.folder / name, skip=(RECORD,))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCK).open("w")
        except OSError as error:
            raise XnoreplayError(
                f"run folder {self.folder} must be a writable folder: {error.strerror}"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise XnoreplayError(
                    f"run folder {self.folder} must be free, but another run is using it"
                ) from None
            files.sweep(self.folder)
            yield


def error_evidence(error: CheckFailure) -> dict:
    """Evidence a CheckFailure carries beside its sentence: its second argument, if a dict."""
    evidence = error.args[1] if len(error.args) > 1 else {}
    return evidence if isinstance(evidence, dict) else {}


def _disk_error(step: str, error: OSError) -> XnoreplayError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return XnoreplayError(
            f"step {step} must have room to write, but the disk is full; nothing of it was kept"
        )
    return XnoreplayError(f"step {step} stopped, and nothing of it was kept: {error}")


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, so that a stopped job cleans up after itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
