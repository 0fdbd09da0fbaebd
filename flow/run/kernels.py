"""Compiling kernels before they are needed, in processes side by side.

A kernel is compiled where it is first called. So what is done here is work that calls kernels, and its results are of
no use: each process leaves them in the cache, and notes that they are there.
"""

import multiprocessing
from collections.abc import Callable
from typing import NamedTuple

from xnoreplay.flow.run import processes
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec.machine import cores


class Work(NamedTuple):
    """Something that calls kernels.

    function, arguments : what is called, which another process can be given
    seconds : of a processor that its kernels take to compile, roughly
    """

    function: Callable[..., object]
    arguments: tuple
    seconds: int


def compile_ahead(works: dict[str, Work], progress: Progress) -> None:
    """Do work for its kernels' sake, by name, in as many processes as there are cores.

    Each does its share of what no process has done since a kernel changed; none is begun where there is no such work. A
    process that fails costs only its time: whoever calls a kernel compiles what the cache lacks.
    """
    from xnoreplay.sim import run  # noqa: F401  imports the kernels that a note is of
    from xnoreplay.sim.common import ahead

    left = {name: work for name, work in works.items() if not ahead.is_noted(name)}
    if not left:
        return
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=prepare, args=({name: left[name] for name in share},), daemon=True)
        for share in shares({name: work.seconds for name, work in left.items()}, cores())
    ]
    with progress.task("compile the simulator's kernels") as task:
        try:
            with processes.without_sigint():
                for worker in workers:
                    worker.start()
            while alive := [worker for worker in workers if worker.is_alive()]:
                alive[0].join(1.0)
                task.advance(0, "only the first time")
        finally:
            for worker in workers:
                if worker.pid is not None:
                    worker.terminate()
                    worker.join()


def shares(seconds: dict[str, int], count: int) -> list[list[str]]:
    """Divide work by name among at most `count` processes, so that all end at about the same time.

    >>> shares({"image": 11, "load": 6, "session": 12, "replay": 7}, 2)
    [['session', 'load'], ['image', 'replay']]
    """
    parts: list[list[str]] = [[] for _ in range(min(count, len(seconds)))]
    for name in sorted(seconds, key=lambda name: -seconds[name]):
        min(parts, key=lambda part: sum(seconds[n] for n in part)).append(name)
    return parts


def prepare(works: dict[str, Work]) -> None:
    """Do some work, and note that its kernels are there: a process of `compile_ahead`."""
    from xnoreplay.sim.common import ahead

    processes.die_with_parent()
    for name, work in works.items():
        work.function(*work.arguments)
        ahead.note(name)
