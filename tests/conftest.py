"""Settings every test shares."""

import os

from hypothesis import settings

collect_ignore = ["by_avalanche.py"]  # a command; its library is not one of the project's

# A drawn case may compile a kernel or a chip; time limits would make results depend on the machine.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


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
