"""Settings every test shares."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

# Of this process, which has not loaded NumPy yet, and of all that it starts: a worker of the tests has one core, and
# threads that wait for each other's share of a small product on a busy machine take ten times what the product takes.
os.environ["OMP_NUM_THREADS"] = "1"

from xnoreplay.flow.run import progress
from xnoreplay.spec import caches

FOLDER = Path(__file__).parent
collect_ignore = ["by_avalanche.py"]  # a command; its library is not one of the project's

# A drawn case may compile a kernel or a chip; time limits would make results depend on the machine.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


NEW_OBJECTS = 200_000  # between two searches for garbage; 700 is Python's own


def pytest_collection_finish():
    """Look for garbage seldom, and not among the modules and tests, which stay.

    Amaranth makes millions of small objects of a chip: a third of what it takes to write the Verilog was such a search.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 10, 5)


def pytest_addoption(parser):
    parser.addoption(
        "--designs",
        type=int,
        default=4,
        metavar="N",
        help="drawn designs whose Verilog every installed tool reads (60 take some ten minutes)",
    )


def pytest_generate_tests(metafunc):
    if "drawn" in metafunc.fixturenames:
        metafunc.parametrize("drawn", range(metafunc.config.getoption("--designs")))


@pytest.fixture(autouse=True, scope="session")
def compiled(tmp_path_factory):
    """Give all workers of a test run one cache of compiled simulations, which is not the user's."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen") else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(caches.CACHE, str(shared / "cache"))
        yield


@pytest.fixture(autouse=True, scope="session")
def patient():
    """Let a command be silent at its start as long as later: a busy machine adds no line to what a test compares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "FIRST", progress.QUIET)
        yield


@pytest.fixture(scope="session")
def verilog_of_tiny():
    """The Verilog of the preset `tiny`, which takes a few seconds to generate."""
    from xnoreplay.hw import verilog
    from xnoreplay.spec import plan, presets

    tiny = presets.load("tiny")
    return verilog.generate(plan.compile(tiny.network, tiny.target))


LONGEST = (
    "flow/test_packaged_3mb.py",
    "flow/test_documents.py",
    "flow/test_cosim.py",
    "flow/test_waves.py",
    "test_equivalence.py",
    "flow/test_characterize.py",
    "flow/test_mutate.py",
    "flow/test_host_port.py",
    "flow/test_coverage.py",
    "flow/test_resets.py",
    "flow/test_latent_chips.py",
    "hw/test_language.py",
    "test_resets.py",
    "flow/test_bench.py",
    "host/test_cocotb.py",
    "flow/test_prove.py",
    "flow/test_upset.py",
    "flow/test_use_rtl.py",
    "flow/test_cells.py",
    "flow/test_place.py",
    "flow/test_many_classes.py",
    "flow/test_fusesoc.py",
    "model/test_teacher.py",
    "model/test_distributed.py",
)
"""Files with tests of some twenty seconds or more, and those whose tests share what takes long to make. They run first:
no worker begins such a test when the others are done, nor takes half of such a file from another one."""


def pytest_collection_modifyitems(items):
    names = {str(FOLDER / name): rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: names.get(str(item.path), len(names)))
