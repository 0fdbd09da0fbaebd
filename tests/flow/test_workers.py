import threading

import numpy as np
import pytest

from xnoreplay.flow import cil, workers
from xnoreplay.flow.workers import side_by_side, still_wanted


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_the_order_of_the_jobs(count):
    def square(x):
        still_wanted()
        return x * x

    assert list(side_by_side(square, range(10), count)) == [x * x for x in range(10)]


def test_a_job_at_work_ends_where_it_asks_once_another_has_failed():
    waiting, asked = threading.Event(), []

    def job(name):
        if name == "fails":
            waiting.wait()
            raise ValueError(name)
        waiting.set()
        while True:
            asked.append(name)
            still_wanted()

    with pytest.raises(ValueError, match="fails"):
        list(side_by_side(job, ["fails", "goes on"], 2))
    assert asked
    still_wanted()  # this thread runs no job


def test_a_scenario_that_is_given_up_ends_before_its_next_task():
    class Scenario:
        tasks, task_of = 5, np.zeros(1, int)

    samples, started, done = cil.Latents(*(np.zeros(1, int),) * 4), threading.Event(), []

    def session(task):
        done.append(task)
        if task == 2:
            started.set()
            assert workers._here.ended.wait(60)

    def job(name):
        if name == "interrupted":
            started.wait()
            raise KeyboardInterrupt
        return cil.evaluate(Scenario, samples, session, lambda z: z)

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(job, ["interrupted", "scenario"], 2))
    assert done == [0, 1, 2]
