"""The work of `explore`: independent jobs, on this machine's cores or on a Dask cluster.

A job is a function of plain values, and its result is a file named by a digest of them, so that a
sweep goes on where it was stopped. The jobs know the bundle and the latents by path: the workers
of a cluster must see the same files.
"""

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xnoreplay.flow import cil, files, latents, workload
from xnoreplay.flow.progress import Progress
from xnoreplay.flow.workers import one_thread
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets
from xnoreplay.spec.errors import ToolError, XnoreplayError
from xnoreplay.spec.machine import cores

SCORES = ("a_final", "a_old", "a_new", "forgetting")
LOCAL = "local"
EXTRA = "pip install 'xnoreplay[cluster]'"


@dataclass(frozen=True)
class Job:
    """A function of this module by name, its plain arguments, and a stamp of all else it reads."""

    function: str
    arguments: dict
    stamp: str

    @property
    def name(self) -> str:
        """Digest of what the result depends on."""
        text = json.dumps([self.function, self.arguments, self.stamp], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Sources:
    """Files that jobs read: the bundle, and the data set's latents where there are any."""

    bundle: str
    latents: str | None


def run_job(function: str, arguments: dict, sources: Sources) -> dict:
    """Carry a job out; what a worker calls."""
    with one_thread():
        return FUNCTIONS[function](sources=sources, **arguments)


@cache
def _bundle(path: str) -> bundles.Bundle:
    return bundles.read(Path(path))


@cache
def _latents(path: str, bundle: str) -> latents.LatentSet:
    return latents.read(Path(path), _bundle(bundle).network.latent)


def accuracy(preset: dict, seed: int, sources: Sources) -> dict:
    """Scores of one class-incremental run in the chip's integers."""
    chosen, bundle = presets.from_dict(preset), _bundle(sources.bundle)
    if sources.latents is None:
        raise XnoreplayError("accuracy must be measured on latents, but there are none")
    met = cil.of_scenario(chosen, _latents(sources.latents, sources.bundle)).shuffled(seed)
    scores = cil.chip(chosen, bundle, met, seed)
    return {name: scores[name] for name in SCORES}


def counting(preset: dict, sources: Sources) -> dict:
    """Counters by phase of one inference and of the first session of latent replay."""
    chosen, bundle = presets.from_dict(preset), _bundle(sources.bundle)
    stored = _latents(sources.latents, sources.bundle) if sources.latents else None
    met = workload.samples(chosen, bundle, stored=stored)
    return {
        "inference": workload.inference(chosen, bundle).phases,
        "session": workload.session(chosen, bundle, met).phases,
    }


FUNCTIONS: dict[str, Callable[..., dict]] = {"accuracy": accuracy, "counting": counting}


@dataclass
class Engine:
    """Where jobs run: processes of this machine, or a Dask scheduler's workers.

    processes : of this machine, all cores if None
    scheduler : address of a Dask scheduler, or `LOCAL` for a Dask cluster of this machine
    """

    processes: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.processes is not None:
            limits.count("jobs", self.processes)

    @contextmanager
    def executor(self):
        """An executor as of `concurrent.futures`; leaving it drops what has not begun."""
        if self.scheduler is None:
            pool = ProcessPoolExecutor(
                self.processes or cores(), multiprocessing.get_context("spawn"), _begin
            )
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
            return
        client = _client(self.scheduler, self.processes)
        try:
            with client.get_executor() as pool:
                yield pool
        finally:
            client.close()


def _begin() -> None:
    """The first process decides on an interrupt; its workers end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _client(address: str, processes: int | None):
    try:
        from distributed import Client
    except ImportError:
        raise ToolError(f"distributed must be installed for --scheduler; {EXTRA}") from None
    try:
        if address == LOCAL:
            return Client(n_workers=processes or cores(), threads_per_worker=1,
                          dashboard_address=None)  # fmt: skip
        return Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise ToolError(f"scheduler {address} must be a running Dask scheduler, but: {error}") from None


engine = Engine()
"""Where the next sweep runs; the command line sets it, because it is no part of the result."""


def run(jobs: Iterable[Job], sources: Sources, folder: Path, progress: Progress) -> dict[str, dict]:
    """Results by job name; those that `folder` has are not repeated."""
    unique = {job.name: job for job in jobs}
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in unique:
        path = folder / f"{name}.json"
        if path.exists():
            results[name] = files.read_json(path)
    left = [job for name, job in unique.items() if name not in results]
    if results:
        progress.note(f"explore: {len(results)} of {len(unique)} runs are there already")
    if left:
        with engine.executor() as pool, progress.task("explore", len(left)) as task:
            _finish(pool, left, sources, folder, results, task)
    return results


def _finish(pool: Executor, jobs: list[Job], sources: Sources, folder: Path, results: dict, task) -> None:
    futures = {pool.submit(run_job, j.function, j.arguments, sources): j for j in jobs}

    def keep(future: Future) -> None:
        job = futures[future]
        results[job.name] = future.result()
        files.write_whole(folder / f"{job.name}.json", files.dumps(results[job.name]))
        task.advance(1, job.function)

    try:
        for future in as_completed(futures):
            keep(future)
    except BaseException:
        for future, job in futures.items():
            ended = future.done() and not future.cancelled() and not future.exception()
            if ended and job.name not in results:
                keep(future)
            future.cancel()
        raise
