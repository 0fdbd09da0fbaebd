"""What tests of compiled chips share."""

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
