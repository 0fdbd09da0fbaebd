"""A memory is one entry of `spec/memories.py`, an event one of `spec/events.py`: everything else follows.

A copy of the packages gets one more entry in each table, and the line of a unit that counts the event;
`declared_chip.py` then reports what simulator, Verilog, estimate, test bench and documents know of them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xnoreplay
from xnoreplay.spec import registers
from xnoreplay.spec.memories import DECLARATIONS, Mem

PACKAGE = Path(xnoreplay.__file__).parent
MEMORY = """
    PAD = Declaration("pad.word", "buffers", lambda p: Size(3, 40), window=20, scratch=True)
"""
EVENT = """    PADDED = "pad.rounds", Group.CYCLES, "cycles before an operation", "nothing moves but the counter"
"""
EDITS = {
    "spec/memories.py": ("\n\nDECLARATIONS = ", f"{MEMORY}\n\nDECLARATIONS = "),
    "spec/events.py": ("    NODES = ", f"{EVENT}    NODES = "),
    "hw/sequencer.py": (
        '{"cycles": self.busy}',
        '{"cycles": self.busy, "pad.rounds": self.enter}',
    ),
}
"""The text that is replaced in a file, and by what."""


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> dict:
    """What the copy knows; without the JIT, whose kernels would be compiled anew."""
    copy = tmp_path_factory.mktemp("copy")
    left_out = shutil.ignore_patterns("__pycache__", "data", "model")
    shutil.copytree(PACKAGE, copy / "xnoreplay", ignore=left_out)
    for name, (old, new) in EDITS.items():
        path = copy / "xnoreplay" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, name
        path.write_text(text.replace(old, new), encoding="utf-8")
    program = Path(__file__).with_name("declared_chip.py")
    environment = os.environ | {"PYTHONPATH": str(copy), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-P", str(program)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_simulator_keeps_and_counts_them(facts):
    word = 0x12_3456_789A
    assert facts["simulated"] == {
        "rows": [0, word + 1, word],
        "read": word,
        "counters": {"pad.rounds": 5, "pad.word.reads": 1, "pad.word.writes": 1},
    }


def test_the_verilog_has_instance_window_and_counters(facts):
    assert facts["generated"]["instances"] == ["pad_word", "pad_rounds", "memory_pad_word__ren"]


def test_the_host_addresses_them(facts):
    host = facts["generated"]["map"]
    (window,) = (w for w in host["windows"] if w["name"] == "pad.word")
    assert window["base"] == 21 << 24
    assert (window["rows"], window["width"], window["chunks"]) == (3, 40, 2)
    assert [n for n in host["counters"] if n.startswith("pad.")] == [
        "pad.rounds",
        "pad.word.reads",
        "pad.word.writes",
    ]


def test_a_scratch_memory_is_not_saved(facts):
    assert "cls.top" in facts["saved"]
    assert "pad.word" not in facts["saved"]


def test_an_event_that_no_unit_counts_is_an_error(facts):
    assert (
        facts["generated"]["uncounted"]
        == "a unit of the chip must count 'pad.rounds', but none does"
    )


def test_the_estimate_prices_them(facts):
    assert facts["estimated"] == {"rows": {"reads": 3, "leakage": 1}, "bits": 120}


def test_the_test_bench_finds_them(facts):
    assert facts["viewed"] == {
        "row": "chip.pad_word.array.rows[1]",
        "ren": "chip.pad_word.ren",
        "counter": "chip.counters.pad_rounds",
        "line": "7 input pad.word.r@2",
    }


def test_a_waveform_groups_their_ports(facts):
    assert facts["waves"] == {"pad_word": ["ren", "raddr", "rdata"]}


def test_the_documents_list_them(facts):
    rows = facts["documented"]["rows"]
    assert rows[0] == "| `0x15000000` | `pad.word` | read, write while idle | 3 x 40 | 3 x 40 |"
    assert [row.split("`")[1] for row in rows[1:]] == [
        "pad.rounds",
        "pad.word.reads",
        "pad.word.writes",
    ]
    assert facts["documented"]["drawn"]


def test_windows_are_numbered_without_a_gap():
    """A number that is given twice, or left out, would move a window."""
    numbers = sorted(d.window for d in DECLARATIONS.values() if d.window is not None)
    assert numbers == list(range(len(numbers)))
    assert [DECLARATIONS[name].window for name in registers.HOST_MEMORIES] == numbers


def test_members_are_numbered_by_their_place():
    assert [int(mem) for mem in Mem] == list(range(len(Mem)))
    assert len(DECLARATIONS) == len(Mem)
