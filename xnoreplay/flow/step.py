"""Steps of a run: functions of a configuration and of the folders that earlier steps left.

A run folder holds one folder a step. A step writes into a temporary sibling, which is renamed into
place whole, with a `step.json` that records what it was made from. A step whose record still
matches is not repeated.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import xnoreplay
from xnoreplay.flow import files, guard
from xnoreplay.flow.progress import Progress, clock
from xnoreplay.spec.errors import CheckFailure, XnoreplayError, unknown

RECORD, RESULT, SCRATCH = "step.json", "result.json", ".resume"
RECORDED = {
    "step": str, "version": str, "code": str, "config": dict, "inputs": dict, "outputs": dict,
    "seconds": int | float, "failure": str,
}  # fmt: skip
"""What a whole record has."""
PACKAGE = Path(xnoreplay.__file__).parent


@dataclass(frozen=True)
class Context:
    """What a running step sees.

    config : the step's own part of the configuration
    out : folder to write in; nothing else may be written
    inputs : folder of each step it needs, and of each it uses that has run
    scratch : folder that outlives an interrupt, for whole files a repetition goes on from; it is
        removed when the step succeeds
    """

    config: dict
    out: Path
    inputs: dict[str, Path]
    scratch: Path
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
    files : tuple of str
        Keys of the configuration that hold the path of a user's own file, or None. The record
        knows such a file by its content, so moving it changes nothing.
    asked : bool
        It runs only where it is named, not with those around it.
    lesser : str
        Key of the configuration that is true where the step must do with less, or ''. A result that
        had more stays up to date.
    beside : tuple of str
        Folders inside its own that other work adds later: no output of the step, gone when it runs
        again.
    """

    name: str
    run: Callable[[Context], dict]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    code: tuple[str, ...] = ("spec",)
    files: tuple[str, ...] = ()
    asked: bool = False
    lesser: str = ""
    beside: tuple[str, ...] = ()


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


def step_record(folder: Path) -> dict:
    """What the step of a folder has recorded; nothing, where that is not there or not whole."""
    try:
        record = files.read_json(folder / RECORD)
        whole = all(isinstance(record[key], kind) for key, kind in RECORDED.items())
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    return record if whole else {}


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

    def write_settings(self, name: str, tree: dict) -> None:
        """Remember the run's settings, whole or not at all."""
        part = self.folder / f".{name}{files.PART}"
        with guard.locked(self.folder):
            try:
                files.write_json(part, tree)
                part.replace(self.folder / name)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise guard.disk_error("set-up", error) from error

    def require(self, name: str) -> list[str]:
        """A step and all it needs, in order."""
        if name not in self.steps:
            raise unknown("step", name, self.steps)
        wanted = {name}
        for candidate in reversed(self.steps):
            if candidate in wanted:
                wanted.update(self.steps[candidate].needs)
        return [s for s in self.steps if s in wanted]

    def between(self, first: str, last: str) -> list[str]:
        """The steps from one to another, both included; of others none that must be asked for."""
        order = list(self.steps)
        for name in (first, last):
            if name not in order:
                raise unknown("step", name, order)
        chosen = order[order.index(first) : order.index(last) + 1]
        if not chosen:
            raise XnoreplayError(f"--from {first} must not come after --to {last}")
        return [n for n in chosen if n in (first, last) or not self.steps[n].asked]

    def span(self, first: str, last: str) -> list[str]:
        """The same, and all they need."""
        needed = {n for name in self.between(first, last) for n in self.require(name)}
        return [name for name in self.steps if name in needed]

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
        with guard.locked(self.folder), guard.interruptible() as check:
            for name in names:
                self.outcomes[name] = self._bring(self.steps[name], name in force)
                check()
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
        except Exception as error:
            if not guard.is_disk_error(error):
                raise
            raise guard.disk_error(step.name, error) from error
        seconds = time.monotonic() - start
        if failure:
            self.progress.note(f"[{step.name}] failed its check after {clock(seconds)}: {failure}")
            return Outcome(step.name, "failed", seconds, failure)
        self.progress.note(f"[{step.name}] done in {clock(seconds)}")
        return Outcome(step.name, "done", seconds)

    def _execute(self, step: Step, recipe: dict, start: float) -> str:
        """Run a step in a new folder; returns the failed check's sentence, or ''."""
        failure = ""
        scratch = self.folder / SCRATCH / step.name
        with files.whole_folder(self.folder / step.name) as out:
            context = Context(
                self.configs[step.name], out, self._inputs(step), scratch, self.progress
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
        shutil.rmtree(scratch, ignore_errors=True)
        return failure

    def _inputs(self, step: Step) -> dict[str, Path]:
        names = step.needs + tuple(u for u in step.uses if self.record(u))
        return {name: self.folder / name for name in names}

    def _recipe(self, step: Step) -> dict:
        config = files.plain(self.configs[step.name])
        inputs = {
            f"{name}/{path}": digest
            for name in self._inputs(step)
            for path, digest in self.record(name)["outputs"].items()
        }
        for key in step.files:
            path = config.pop(key)
            inputs[f"file {key}"] = _user_file_digest(key, Path(path)) if path else None
        return {
            "step": step.name,
            "version": xnoreplay.__version__,
            "code": code_digest(step.code),
            "config": config,
            "inputs": inputs,
        }

    def pending(self, names: Iterable[str]) -> list[str]:
        """Those of the steps that would run now."""
        return [n for n in names if not self._is_current(self.steps[n])]

    def _is_current(self, step: Step) -> bool:
        if not all(self._succeeded(need) for need in step.needs):
            return False
        return self._up_to_date(step.name, self._recipe(step))

    def record(self, name: str) -> dict:
        return step_record(self.folder / name)

    def _succeeded(self, name: str) -> bool:
        return self.record(name).get("failure") == ""

    def _up_to_date(self, name: str, recipe: dict) -> bool:
        if not self._succeeded(name):
            return False
        record, lesser = self.record(name), self.steps[name].lesser
        if lesser and recipe["config"][lesser] and record["config"].get(lesser) is False:
            recipe = recipe | {"config": recipe["config"] | {lesser: False}}
        if any(record.get(key) != value for key, value in recipe.items()):
            return False
        skip = (RECORD, *self.steps[name].beside)
        return record["outputs"] == files.tree_digests(self.folder / name, skip)


def _user_file_digest(key: str, path: Path) -> str:
    try:
        return files.file_digest(path)
    except OSError as error:
        raise XnoreplayError(
            f"{key} {path} must be a readable file: {error.strerror}"
        ) from None


def error_evidence(error: CheckFailure) -> dict:
    """Evidence a CheckFailure carries beside its sentence: its second argument, if a dict."""
    evidence = error.args[1] if len(error.args) > 1 else {}
    return evidence if isinstance(evidence, dict) else {}
