"""Chips that are generated once."""

import functools

import pytest

from tests.host.chips import CHIPS, Generated
from xnoreplay.flow.chip import generate
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans


@pytest.fixture(scope="session")
def chips(tmp_path_factory):
    """`chips(name)` is one of `CHIPS`."""

    @functools.cache
    def made(name: str) -> Generated:
        preset = CHIPS[name]
        folder = tmp_path_factory.mktemp(f"generated_{name}")
        bundle = bundles.random(preset.network, 0)
        generate.write_verilog(preset, bundle, folder, Silent())
        return Generated(preset, plans.compile(preset.network, preset.target), bundle, folder)

    return made


@pytest.fixture
def chip(chips, request):
    """A chip of `CHIPS`, by the name that the test is given."""
    return chips(request.param)
