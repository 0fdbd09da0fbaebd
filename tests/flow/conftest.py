"""What tests of compiled chips share."""

import pytest

from xnoreplay.spec import caches


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """One cache of compiled simulations for all workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen") else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(caches.CACHE, str(shared / "cache"))
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_to_compile():
    """Compile small chips as large ones are, with -O1: tests wait longer for the compiler than for the simulation."""
    from xnoreplay.flow.verify.cosim import chip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chip, "LARGE_TEXT", 0)
        yield
