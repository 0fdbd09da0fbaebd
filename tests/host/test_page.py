"""docs/drivers.md: its Python runs, its C compiles, and its table has every call."""

import doctest
import re
import subprocess
from pathlib import Path

from xnoreplay.flow.chip import host_files
from xnoreplay.host import driver
from xnoreplay.spec import bundle, plan, presets

PAGE = Path(__file__).parents[2] / "docs" / "drivers.md"


def test_its_python_runs():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0


def test_its_c_compiles(tmp_path):
    tiny = presets.load("tiny")
    compiled = plan.compile(tiny.network, tiny.target)
    host_files.write(compiled, bundle.random(tiny.network, 0), tmp_path)
    (listing,) = re.findall(r"^```c\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "main.c").write_text(listing)
    options = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    host = tmp_path / host_files.FOLDER
    subprocess.run(["gcc", *options, f"-I{host}", tmp_path / "main.c"], check=True)
    rows = re.findall(r"^\| `?([\w.]+)`?(?:, `([\w.]+)`)? \|", PAGE.read_text(), re.MULTILINE)
    assert {p.name for p in host.iterdir()} <= {name for row in rows for name in row}


def test_every_call_of_the_driver_is_in_its_table():
    told = set(re.findall(r"`(\w+)\(", PAGE.read_text()))
    for name in ("load", "announce", "classify", "remember", "enrol", "learn", "save", "restore"):
        assert name in told
        assert callable(getattr(driver.Driver, name))
        if name not in ("save", "restore"):
            assert f"`{name}`" in PAGE.read_text()
