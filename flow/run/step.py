"""Steps of a run: functions of a configuration and of the folders that earlier steps left.

A run folder holds one folder a step. A step writes into a temporary sibling, which is renamed into
place whole, with a `step.json` that records what it was made from. A step whose record still
matches is not repeated. A step replaces only a folder that carries its own record and nothing that the
record does not list: what else there is belongs to somebody else, and the run refuses.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xnoreplay
from xnoreplay.flow.run import code, files, locks
from xnoreplay.flow.run.progress import Progress, clock
from xnoreplay.flow.run.records import (
    RECORD,
    RESULT,
    SCRATCH,
    clear_scratch,
    is_added_later,
    own_scratch,
    require_own,
    require_scratch,
    require_whole,
    step_record,
    why_foreign,
)
from xnoreplay.spec import reading, whole
from xnoreplay.spec.errors import CheckFailure, XnoreplayError, unknown


@dataclass(frozen=True)
class Context:
    """What a running step is given.

    Parameters
    ----------
    config : dict
        The step's own part of the configuration.
    out : Path
        Folder to write in; nothing else may be written.
    inputs : dict of str to Path
        Folder of each step that it needs, and of each step that it uses and that has run.
    scratch : Path
        Folder that outlives an interrupt, for whole files that a repetition goes on from; it is removed when the step
        succeeds.
    progress : Progress
        Where the step shows how far it is.
    """

    config: dict
    out: Path
    inputs: dict[str, Path]
    scratch: Path
    progress: Progress

    def result(self, step: str) -> dict:
        """Return the result of an earlier step, whose folder the run has held to its record."""
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
        Modules and folders of the package that compute its result. A change in them, or in what they import however
        far, repeats the step; see `flow.run.code.deciding`.
    files : tuple of str
        Keys of the configuration that hold the path of a user's own file, or None. The record
        knows such a file by its content, so moving it changes nothing.
    only_by_name : bool
        The step runs only where a command names it, not with the steps around it.
    weaker_if : str
        Name of a bool in the step's configuration, or ''. The bool is true where the result shows less than it
        could, as a co-simulation with random images shows where a data set is missing. A result that was recorded
        while it was false stays up to date while it is true.
    added_later : tuple of str
        Files that other work adds to the step's folder, as patterns of paths; the name of a folder stands for all
        in it. They are no outputs of the step, and are removed when it runs again.
    """

    name: str
    run: Callable[[Context], dict]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    code: tuple[str, ...] = ("spec",)
    files: tuple[str, ...] = ()
    only_by_name: bool = False
    weaker_if: str = ""
    added_later: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a step ended: `kept` (up to date), `done`, `failed` (a check) or `skipped`."""

    step: str
    status: str
    seconds: float = 0.0
    message: str = ""


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
    written : tuple of str
        Files of the folder itself that set-up writes.
    """

    def __init__(
        self,
        folder: Path,
        steps: dict[str, Step],
        configs: dict[str, dict],
        progress: Progress,
        written: tuple[str, ...] = (),
    ) -> None:
        self.folder, self.steps, self.configs, self.progress = folder, steps, configs, progress
        self.written = written
        self.outcomes: dict[str, Outcome] = {}

    def write_settings(self, name: str, tree: dict) -> None:
        """Write the run's settings, whole or not at all.

        Parameters
        ----------
        name : str
            Of the file.
        tree : dict
            Plain values.

        Raises
        ------
        XnoreplayError
            Where the disk is full, or another run uses the folder.
        """  # noqa: DOC501  `disk_error` makes an XnoreplayError
        with self.locked():
            try:
                with whole.whole_file(self.folder / name) as part:
                    files.write_json(part, tree)
            except OSError as error:
                raise locks.disk_error("set-up", error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder during the block, and clear what a killed run left in it of steps and settings."""
        with locks.locked(self.folder):
            files.sweep(self.folder, lambda name: name in self.steps or name in self.written)
            yield

    def require_ready(self, names: Iterable[str]) -> None:
        """Refuse before any work what the named steps would stop at; nothing is written.

        Raises
        ------
        XnoreplayError
            Names the first file or folder in a step's place that no run wrote, or a user's file that cannot be read.
        """
        for folder in (self.folder.resolve(), *self.folder.resolve().parents):
            if step_record(folder):
                raise XnoreplayError(
                    f"run folder {self.folder} must not lie in a step's folder, which takes nothing else, but "
                    f"{folder} has a {RECORD}"
                )
        locks.check_lock(self.folder)
        scratch = self.folder / SCRATCH
        for path in (self.folder / name for name in self.written):
            if whole.is_there(path) and not whole.is_file(path):
                raise XnoreplayError(f"{path} must be a plain file, but is a link or no file")
        if whole.is_there(scratch) and not whole.is_folder(scratch):
            raise XnoreplayError(f"{scratch} must be a folder, but is a link or a file")
        for name in names:
            step = self.steps[name]
            require_own(self.folder / name, name, step.added_later)
            require_scratch(scratch / name)
            for key in step.files:
                if given := self.configs[name].get(key):
                    _require_user_file(key, Path(given))
                    self._require_kept(name, key, Path(given))

    def _require_kept(self, step: str, key: str, path: Path) -> None:
        """Raise XnoreplayError for a user's file that is edited in the folder of an earlier step, which replaces it."""
        for name in self.steps:
            folder = (self.folder / name).resolve()
            if name == step or not path.resolve().is_relative_to(folder):
                continue
            inside = path.resolve().relative_to(folder).as_posix()
            if self.record(name).get("outputs", {}).get(inside) != files.file_digest(path):
                raise XnoreplayError(
                    f"{key} {path} must be as step {name} wrote it, or lie elsewhere, but it is edited in the "
                    "folder that the step replaces; copy it out of there"
                )

    def require(self, name: str) -> list[str]:
        """List a step and all steps that it needs, in order.

        Raises
        ------
        XnoreplayError
            For an unknown step.
        """  # noqa: DOC501  `unknown` makes a SpecError
        if name not in self.steps:
            raise unknown("step", name, self.steps)
        wanted = {name}
        for candidate in reversed(self.steps):
            if candidate in wanted:
                wanted.update(self.steps[candidate].needs)
        return [s for s in self.steps if s in wanted]

    def between(self, first: str, last: str) -> list[str]:
        """List the steps from one to another, both included, without steps that run only by name.

        Raises
        ------
        XnoreplayError
            For an unknown step, and where `first` comes after `last`.
        """  # noqa: DOC501  `unknown` makes a SpecError
        order = list(self.steps)
        for name in (first, last):
            if name not in order:
                raise unknown("step", name, order)
        chosen = order[order.index(first) : order.index(last) + 1]
        if not chosen:
            raise XnoreplayError(f"--from {first} must not come after --to {last}")
        return [n for n in chosen if n in (first, last) or not self.steps[n].only_by_name]

    def span(self, first: str, last: str) -> list[str]:
        """List the steps of `between`, and every step that one of them needs, directly or through others.

        Returns
        -------
        list of str
            Names in the order they run.

        Raises
        ------
        XnoreplayError
            For an unknown step, and where `first` comes after `last`.
        """
        needed = {n for name in self.between(first, last) for n in self.require(name)}
        return [name for name in self.steps if name in needed]

    def update(self, names: Iterable[str], force: Iterable[str] = ()) -> list[Outcome]:
        """Bring steps up to date, in order.

        A failed check does not stop the steps that do not need it.

        Raises
        ------
        XnoreplayError
            For bad input, a missing tool, a full disk, or a folder that is not a step's own; steps that
            ended before keep their work.
        KeyboardInterrupt
            The step that was interrupted leaves nothing.
        """
        names, force = list(names), set(force)
        self.require_ready(names)
        with self.locked(), locks.interruptible() as check:
            for name in names:
                self.outcomes[name] = self._update_step(self.steps[name], name in force)
                check()
        return list(self.outcomes.values())

    def _update_step(self, step: Step, force: bool) -> Outcome:
        for need in step.needs:
            if not self._succeeded(need):
                message = f"needs {need}, which has not succeeded"
                self.progress.note(f"[{step.name}] skipped: {message}")
                return Outcome(step.name, "skipped", message=message)
        for folder in self._inputs(step).values():
            require_whole(folder)
        recipe = self._recipe(step)
        if not force and self._up_to_date(step.name, recipe):
            clear_scratch(
                self.folder / SCRATCH / step.name
            )  # one that was interrupted while it was cleared
            self.progress.note(f"[{step.name}] up to date")
            return Outcome(step.name, "kept", self.record(step.name)["seconds"])
        self.progress.note(f"[{step.name}] started")
        start = time.monotonic()
        try:
            failure = self._execute(step, recipe, start)
        except Exception as error:
            if not locks.is_disk_error(error):
                raise
            raise locks.disk_error(step.name, error) from error
        seconds = time.monotonic() - start
        if failure:
            self.progress.note(f"[{step.name}] failed its check after {clock(seconds)}: {failure}")
            return Outcome(step.name, "failed", seconds, failure)
        self.progress.note(f"[{step.name}] done in {clock(seconds)}")
        return Outcome(step.name, "done", seconds)

    def _execute(self, step: Step, recipe: dict, start: float) -> str:
        """Run a step in a new folder; return the failed check's sentence, or ''."""
        failure = ""
        scratch = own_scratch(self.folder / SCRATCH / step.name)
        target = self.folder / step.name

        def check(folder: Path) -> None:
            if why := why_foreign(folder, step.name, step.added_later):
                raise XnoreplayError(
                    f"{target} must stay as it was while step {step.name} ran, but {why}"
                )

        with scratch as kept, files.whole_folder(target, check) as out:
            context = Context(self.configs[step.name], out, self._inputs(step), kept, self.progress)
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
            "code": code.digest(step.code),
            "config": config,
            "inputs": inputs,
        }

    def pending(self, names: Iterable[str]) -> list[str]:
        """List which of these steps `update` would carry out now; nothing is written.

        A step is among them where a step that it needs has not succeeded, or where its own record is missing, is of
        a failed check, or does not have its present configuration, code, inputs and files.
        """
        return [n for n in names if not self._is_current(self.steps[n])]

    def _is_current(self, step: Step) -> bool:
        if not all(self._succeeded(need) for need in step.needs):
            return False
        return self._up_to_date(step.name, self._recipe(step))

    def record(self, name: str) -> dict:
        """Return the record of a step of this run; {} where there is none, or none that is whole."""
        return step_record(self.folder / name)

    def _succeeded(self, name: str) -> bool:
        return self.record(name).get("failure") == ""

    def _up_to_date(self, name: str, recipe: dict) -> bool:
        if not self._succeeded(name):
            return False
        record, weaker_if = self.record(name), self.steps[name].weaker_if
        if weaker_if and recipe["config"][weaker_if] and record["config"].get(weaker_if) is False:
            recipe = recipe | {"config": recipe["config"] | {weaker_if: False}}
        if any(record.get(key) != value for key, value in recipe.items()):
            return False
        added_later = self.steps[name].added_later
        if why_foreign(self.folder / name, name, added_later):
            return False
        found = files.tree_digests(
            self.folder / name, lambda n: n == RECORD or is_added_later(n, added_later)
        )
        return record["outputs"] == found


def _require_user_file(key: str, path: Path) -> None:
    try:
        reading.check_size(path)
        reading.opened(path).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise XnoreplayError(f"{key} {path} must be a readable file: {reason}") from None


def _user_file_digest(key: str, path: Path) -> str:
    _require_user_file(key, path)
    return files.file_digest(path)


def error_evidence(error: CheckFailure) -> dict:
    """Return the evidence that a CheckFailure carries beside its sentence: its second argument, if that is a dict."""
    evidence = error.args[1] if len(error.args) > 1 else {}
    return evidence if isinstance(evidence, dict) else {}
