"""Experiments side by side, each with one thread for its matrix products.

Products of a minibatch are too small to share, and threads that wait for each other on a busy
machine make them a hundred times slower.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
_here = threading.local()


class Abandoned(Exception):
    """Raised in a job of `side_by_side` whose result nobody waits for any more."""


def one_thread() -> AbstractContextManager:
    """Limit matrix products of this process to one thread during the block."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def side_by_side(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[Result]:
    """Run jobs in so many threads, and yield their results in the order of the jobs.

    After an error or an interrupt no further job starts, and those at work end where they next ask
    `still_wanted`.

    Yields
    ------
    object
        What `work` returns for each job.
    """
    ended, failed = threading.Event(), []

    def one(job: Job) -> Result:
        _here.ended = ended
        still_wanted()
        try:
            return work(job)
        except Abandoned:
            raise
        except BaseException as error:
            failed.append(error)
            ended.set()
            raise

    with one_thread(), ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(one, job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        except Abandoned:
            raise failed[0] from None
        finally:
            ended.set()


def still_wanted() -> None:
    """End the present job of `side_by_side` if it was given up; do nothing otherwise.

    Raises
    ------
    Abandoned
        In a job that was given up; `side_by_side` catches it.
    """
    ended: threading.Event | None = getattr(
        _here, "ended", None
    )  # of the pool that works in this thread
    if ended is not None and ended.is_set():
        raise Abandoned
