"""What tests of energies share."""

import pytest


def near(value, rel=1e-9):
    """Compare approximately, without pytest's absolute tolerance, which is above most energies."""
    return pytest.approx(value, rel=rel, abs=0)
