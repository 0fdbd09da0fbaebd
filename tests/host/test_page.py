"""docs/drivers.md: its Python runs, its C compiles, and its table has every call."""

import doctest
import re
import subprocess
from pathlib import Path

from tests.host.chips import C99
from xnoreplay.flow.chip import host_files
from xnoreplay.flow.commands.specfile import to_toml
from xnoreplay.host import driver
from xnoreplay.spec import bundle, plan, presets

HOST = Path(__file__).parents[2] / "docs" / "host.md"
PAGE = Path(__file__).parents[2] / "docs" / "drivers.md"


def test_its_python_runs(tmp_path, monkeypatch):
    """In a folder with what the commands of the page leave."""
    monkeypatch.chdir(tmp_path)
    tiny = presets.load("tiny")
    (tmp_path / "runs/tiny/export").mkdir(parents=True)
    bundle.write(bundle.random(tiny.network, 0), tmp_path / "runs/tiny/export/bundle.safetensors")
    text = to_toml(tiny)
    # The two fields as docs/host.md has them.
    told = re.search(r"set its `(counter_bits = .*?)` and `(counters = .*?)`", HOST.read_text())
    for field in told.groups():
        name = field.split(" ")[0]
        text, count = re.subn(rf"^{name} = .*$", field, text, flags=re.MULTILINE)
        assert count == 1
    (tmp_path / "mine.toml").write_text(text)
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 25
    assert found.failed == 0


def test_its_c_compiles(tmp_path):
    tiny = presets.load("tiny")
    compiled = plan.compile(tiny.network, tiny.target)
    host_files.write(compiled, bundle.random(tiny.network, 0), tmp_path)
    (listing,) = re.findall(r"^```c\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "main.c").write_text(listing)
    host = tmp_path / host_files.FOLDER
    subprocess.run([*C99, "-fsyntax-only", f"-I{host}", tmp_path / "main.c"], check=True)
    rows = re.findall(r"^\| `?([\w.]+)`?(?:, `([\w.]+)`)? \|", PAGE.read_text(), re.MULTILINE)
    assert {p.name for p in host.iterdir()} <= {name for row in rows for name in row}


def test_its_time_outs_are_the_drivers():
    source = (Path(host_files.__file__).parents[2] / "host/c/xnoreplay_host.c").read_text()
    (c,) = re.findall(r"DEFAULT_POLLS = (\d+)u", source)
    assert f"in C {int(c):,}, a field" in PAGE.read_text()
    assert f"in Python {driver.POLLS:,}, an argument" in PAGE.read_text()


def test_every_call_of_the_driver_is_in_its_table():
    told = set(re.findall(r"`(\w+)\(", PAGE.read_text()))
    for name in ("load", "announce", "classify", "remember", "enrol", "learn", "save", "restore"):
        assert name in told
        assert callable(getattr(driver.Driver, name))
        if name not in ("save", "restore"):
            assert f"`{name}`" in PAGE.read_text()
