"""What tests of compiled chips share."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def quick_to_compile():
    """Compile small chips as large ones are, with -O1, and keep all of them.

    Tests wait longer for the compiler than for the simulation.
    """
    from xnoreplay.flow.run import verilate
    from xnoreplay.flow.verify.cosim import chip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chip, "LARGE_TEXT", 0)
        patch.setattr(verilate, "KEEP", 200)
        yield
