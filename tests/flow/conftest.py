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
