"""The work of `explore`: independent jobs, on this machine's cores or on a Dask cluster.

A job is a function of plain values, and its result is a file named by a digest of them, so that a
sweep goes on where it was stopped. The jobs know the bundle and the latents by path: the workers
of a cluster must see the same files.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xnoreplay.flow.cost import workload
from xnoreplay.flow.datasets import latent_files as latents
from xnoreplay.flow.learning import cil
from xnoreplay.flow.run import files, processes, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.workers import one_thread
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets
from xnoreplay.spec.errors import ToolError, XnoreplayError
from xnoreplay.spec.machine import cores

SCORES = ("a_final", "a_old", "a_new", "forgetting")
LOCAL = "local"
EXTRA = "pip install 'xnoreplay[cluster]'"


@dataclass(frozen=True)
class Job:
    """A function as `function_of` names it, its plain arguments, and a stamp of all else it reads."""

    function: str
    arguments: dict
    stamp: str

    @property
    def name(self) -> str:
        """The digest of all that the result depends on."""
        text = json.dumps([self.function, self.arguments, self.stamp], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def __str__(self) -> str:
        seed = f" of seed {self.arguments['seed']}" if "seed" in self.arguments else ""
        return f"{self.function.rpartition(':')[2]}{seed}"


@dataclass(frozen=True)
class Sources:
    """Files that jobs read: the bundle, the data set's latents where there are any, and a snapshot of upsets' start."""

    bundle: str
    latents: str | None = None
    state: str | None = None


def run_job(function: str, arguments: dict, sources: Sources) -> dict:
    """Carry a job out in a worker, and return its result."""
    with one_thread(), _noted(Job(function, arguments, "")):
        return function_of(function)(sources=sources, **arguments)


_notes: Path | None = None  # folder in which a worker of `Engine` notes its job


@contextmanager
def _noted(job: Job) -> Iterator[None]:
    """Write down which job this process does; the note stays if the process is killed."""
    if _notes is None:
        yield
        return
    note = _notes / str(os.getpid())
    note.write_text(json.dumps([job.function, job.arguments]), encoding="utf-8")
    yield
    note.unlink()


@cache
def _bundle(path: str) -> bundles.Bundle:
    return bundles.read(Path(path))


@cache
def _latents(path: str, bundle: str) -> latents.LatentSet:
    return latents.read(Path(path), _bundle(bundle).network.latent)


def accuracy(preset: dict, seed: int, sources: Sources) -> dict:
    """Return the scores of one class-incremental run in the chip's integers."""
    chosen, bundle = presets.from_dict(preset), _bundle(sources.bundle)
    if sources.latents is None:
        raise XnoreplayError("accuracy must be measured on latents, but there are none")
    met = cil.of_scenario(chosen, _latents(sources.latents, sources.bundle)).shuffled(seed)
    scores = cil.chip(chosen, bundle, met, seed)
    return {name: scores[name] for name in SCORES}


def counting(preset: dict, sources: Sources) -> dict:
    """Return the counters by phase of one inference and of the first session of latent replay."""
    chosen, bundle = presets.from_dict(preset), _bundle(sources.bundle)
    stored = _latents(sources.latents, sources.bundle) if sources.latents else None
    met = workload.samples(chosen, bundle, stored=stored)
    return {
        "inference": workload.inference(chosen, bundle).phases,
        "session": workload.session(chosen, bundle, met).phases,
    }


FUNCTIONS: dict[str, Callable[..., dict]] = {"accuracy": accuracy, "counting": counting}
WHOLE = {"accuracy": set(SCORES), "counting": {"inference", "session"}}
"""What a whole result of each function of this module has."""


def function_of(name: str) -> Callable[..., dict]:
    """Return the function of a job: one of `FUNCTIONS`, or MODULE:NAME of another module.

    >>> function_of("xnoreplay.flow.explore.jobs:accuracy") is accuracy
    True
    """
    module, _, other = name.partition(":")
    return getattr(importlib.import_module(module), other) if other else FUNCTIONS[name]


@dataclass
class Engine:
    """Where jobs run: processes of this machine, or a Dask scheduler's workers.

    Parameters
    ----------
    processes : int, optional
        Processes of this machine; all cores without it.
    scheduler : str, optional
        Address of a Dask scheduler, or `LOCAL` for a Dask cluster of this machine.
    """

    processes: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.processes is not None:
            limits.count("jobs", self.processes)

    @contextmanager
    def executor(self):
        """Make an executor as of `concurrent.futures`; the end of the block drops what has not begun.

        An error or an interrupt ends the jobs at work, too.

        Yields
        ------
        concurrent.futures.Executor
            Takes the jobs.
        """
        if self.scheduler is None:
            with temporary.folder("explore") as notes:
                pool = _Pool(self.processes or cores(), notes)
                try:
                    yield pool
                except BaseException:
                    pool.end()
                    raise
                pool.shutdown()
            return
        client = _client(self.scheduler, self.processes)
        try:
            with client.get_executor() as pool:
                yield pool
        finally:
            client.close()


class _Pool(ProcessPoolExecutor):
    """Processes of this machine that write down which job they do, for a sentence when one is killed.

    Parameters
    ----------
    notes : Path
        Folder for what they write down.
    """

    def __init__(self, count: int, notes: Path) -> None:
        super().__init__(count, multiprocessing.get_context("spawn"), _begin, (notes,))
        self.notes, self.others = notes, set(multiprocessing.active_children())
        self.workers: list = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        with processes.without_sigint():
            future = super().submit(fn, *args, **kwargs)
        known = self.others.union(self.workers)  # a submission may begin one worker more
        self.workers += [w for w in multiprocessing.active_children() if w not in known]
        return future

    def killed(self) -> list[str]:
        """Describe the workers that died by themselves: their signals and jobs."""
        for worker in self.workers:
            worker.join(1.0)
        died = [w for w in self.workers if w.exitcode not in (0, None)]
        first = [w for w in died if w.exitcode != -signal.SIGTERM] or died
        return [f"{_end_of(w.exitcode)} {self._job_of(w.pid)}" for w in first]

    def _job_of(self, pid: int) -> str:
        try:
            function, arguments = files.read_json(self.notes / str(pid))
        except (OSError, ValueError):
            return "between two jobs"
        return f"in {Job(function, arguments, '')}"

    def end(self) -> None:
        """End the workers now."""
        for worker in self.workers:
            with suppress(ValueError, OSError):
                worker.kill()
        self.shutdown(cancel_futures=True)


def _end_of(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


def _begin(notes: Path) -> None:
    """Prepare a worker: it leaves interrupts to the first process, and ends when that ends."""
    global _notes
    _notes = notes
    processes.die_with_parent()


def _client(address: str, processes: int | None):
    try:
        from distributed import Client
    except ImportError:
        raise ToolError(f"distributed must be installed for --scheduler; {EXTRA}") from None
    try:
        if address == LOCAL:
            return Client(
                n_workers=processes or cores(), threads_per_worker=1, dashboard_address=None
            )
        return Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise ToolError(
            f"scheduler {address} must be a running Dask scheduler, but: {error}"
        ) from None


engine = Engine()
"""Where the next sweep runs; the command line sets it, because it is no part of the result."""


def compute(
    jobs: Iterable[Job],
    sources: Sources,
    folder: Path,
    progress: Progress,
    label: str = "explore",
) -> dict[str, dict]:
    """Return results by job name; those that `folder` has are not computed again. label: of the work, for its progress."""
    unique = {job.name: job for job in jobs}
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: _kept(folder / f"{name}.json", job.function) for name, job in unique.items()}
    results = {name: result for name, result in kept.items() if result is not None}
    left = [job for name, job in unique.items() if name not in results]
    if results:
        progress.note(f"{label}: {len(results)} of {len(unique)} runs are there already")
    if left:
        with engine.executor() as pool, progress.task(label, len(left)) as task:
            _finish(pool, staggered(left), sources, folder, results, task, label)
    return results


def staggered(jobs: list[Job]) -> list[Job]:
    """Order jobs so that processes which begin side by side compile different kernels: one of each function first.

    The others follow function by function, those of the first one while another process still compiles for the second.

    >>> [f"{j.function}{j.stamp}" for j in staggered([Job(f, {}, s) for s in "abc" for f in ("accuracy", "counting")])]
    ['accuracya', 'countinga', 'accuracyb', 'accuracyc', 'countingb', 'countingc']
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.function, []).append(job)
    return [g[0] for g in groups.values()] + [job for g in groups.values() for job in g[1:]]


def _kept(path: Path, function: str) -> dict | None:
    """Return the result in a job's file, or None where it is not there or not whole."""
    try:
        if not path.is_file():
            return None
        tree = files.read_json(path)
        whole = (
            tree["sha256"] == _digest(tree["result"])
            and not WHOLE.get(function, set()) - tree["result"].keys()
        )
        return tree["result"] if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _digest(result: dict) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def _finish(
    pool: Executor, jobs: list[Job], sources: Sources, folder: Path, results: dict, task, label: str
) -> None:
    futures: dict[Future, Job] = {}

    def keep(future: Future) -> None:
        job = futures[future]
        results[job.name] = future.result()
        plain = files.plain(results[job.name])
        tree = {"sha256": _digest(plain), "result": plain}
        files.write_whole(folder / f"{job.name}.json", files.dumps(tree))
        task.advance(1, job.function.rpartition(":")[2])

    try:
        for job in jobs:
            futures[pool.submit(run_job, job.function, job.arguments, sources)] = job
        for future in as_completed(futures):
            keep(future)
    except BaseException as error:
        for future, job in futures.items():
            ended = future.done() and not future.cancelled() and not future.exception()
            if ended and job.name not in results:
                keep(future)
            future.cancel()
        if isinstance(error, BrokenProcessPool) and isinstance(pool, _Pool):
            told = "; ".join(pool.killed()) or "for an unknown reason"
            raise XnoreplayError(
                f"a process of {label} must not end before its work, but one did: {told}; "
                "what was finished is kept, and the same command goes on"
            ) from None
        raise
