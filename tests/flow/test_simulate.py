"""The simulate step's processes that compile."""

import multiprocessing
from types import SimpleNamespace

import pytest

from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import simulate


class Worker:
    """A process that lives until it was waited for so many times."""

    pid = 1

    def __init__(self, life):
        self.life, self.waits = life, 0

    def start(self):
        pass

    def is_alive(self):
        return self.waits < self.life

    def terminate(self):
        self.waits = self.life

    def join(self, seconds=None):
        assert self.is_alive() or seconds is None, (
            "waiting for a process that has ended takes no time"
        )
        self.waits += 1


@pytest.mark.parametrize("lives", [(3, 1), (1, 3)])
def test_whoever_still_compiles_is_waited_for(monkeypatch, lives):
    left = list(lives)
    context = SimpleNamespace(Process=lambda **_: Worker(left.pop(0)))
    monkeypatch.setattr(multiprocessing, "get_context", lambda _way: context)
    simulate.compile_kernels(None, None, [], Silent())
    assert not left
