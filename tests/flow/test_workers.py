"""Jobs side by side: their order, and how they end when one fails or nobody waits for them."""

import threading
import time

import numpy as np
import pytest

from xnoreplay.flow.learning import cil
from xnoreplay.flow.run.workers import Abandoned, side_by_side, still_wanted


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_the_order_of_the_jobs(count):
    def square(x):
        still_wanted()
        return x * x

    assert list(side_by_side(square, range(10), count)) == [x * x for x in range(10)]
    assert list(side_by_side(str, range(20), count)) == [str(i) for i in range(20)]


def turning(ended):
    """A job that asks for half a minute whether it is still wanted; it says how it came to an end."""
    for _ in range(30_000):
        try:
            still_wanted()
        except Abandoned:
            ended.append("abandoned")
            raise
        time.sleep(0.001)
    ended.append("by itself")


@pytest.mark.parametrize("first", [True, False])
def test_after_an_error_jobs_at_work_end_and_no_other_starts(first):
    """Also where the results of another job are waited for when it comes."""
    started, ended = [], []

    def job(name):
        started.append(name)
        if name == "fails":
            raise ValueError(name)
        turning(ended)

    jobs = ["fails", "turns"] if first else ["turns", "fails"]
    with pytest.raises(ValueError, match="fails"):
        list(side_by_side(job, [*jobs, "later", "later still"], 2))
    assert set(started) <= {"fails", "turns", "later"}
    assert "by itself" not in ended
    still_wanted()  # this thread runs no job


def test_after_an_error_no_further_job_starts_on_one_thread():
    started = []

    def work(job):
        started.append(job)
        if job == 1:
            raise ZeroDivisionError
        time.sleep(0.05)
        return job

    with pytest.raises(ZeroDivisionError):
        list(side_by_side(work, range(50), 1))
    assert len(started) < 50


def test_a_scenario_that_is_given_up_ends_before_its_next_task():
    class Scenario:
        tasks, task_of = 5, np.zeros(1, int)

    samples, started, done = cil.Latents(*(np.zeros(1, int),) * 4), threading.Event(), []

    def session(task):
        done.append(task)
        if task == 2:
            started.set()
            with pytest.raises(Abandoned):
                turning([])

    def job(name):
        if name == "interrupted":
            assert started.wait(60)
            raise KeyboardInterrupt
        return cil.evaluate(Scenario, samples, session, lambda z: z)

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(job, ["interrupted", "scenario"], 2))
    assert done == [0, 1, 2]
