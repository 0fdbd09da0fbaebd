"""What tests of compiled chips and of their costs share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def quick_to_compile():
    """Compile chips without optimisation, and keep all of them.

    Tests wait longer for the compiler than for the simulation.
    """
    from xnoreplay.flow.run import verilate
    from xnoreplay.flow.verify.cosim import chip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chip, "optimisation", lambda _text: "-O0")
        patch.setattr(verilate, "KEEP", 200)
        yield


@pytest.fixture(scope="module")
def counted_alone():
    """Estimate without corrections, so that figures can be reckoned by hand; `test_corrections` has those."""
    from xnoreplay.flow.cost.tables import laws

    with laws.switched(laws.SWITCHES):
        yield
