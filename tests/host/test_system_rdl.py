"""The address map in SystemRDL, read by the language's own compiler and by what makes headers of it."""

import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from peakrdl_cheader.exporter import CHeaderExporter
from peakrdl_ipxact import IPXACTExporter
from systemrdl import RDLCompiler
from systemrdl.messages import MessagePrinter
from systemrdl.node import MemNode, RegNode

from xnoreplay.flow.chip import host_files
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, registers
from xnoreplay.spec.memories import identifier
from xnoreplay.spec.registers import Register, Status


class Heard(MessagePrinter):
    """Keeps what the compiler has to say."""

    def __init__(self):
        self.lines = []

    def emit_message(self, lines):
        self.lines += lines


FEW = presets.vary(presets.load("tiny"), "target", counter_bits=32, counters=("array",))
DESCRIBED = {"tiny": presets.load("tiny"), "digits": presets.load("digits"), "few counters": FEW}


@pytest.fixture(scope="module", params=DESCRIBED)
def described(request, tmp_path_factory):
    preset = DESCRIBED[request.param]
    plan = plans.compile(preset.network, preset.target)
    path = tmp_path_factory.mktemp("rdl") / "xnoreplay.rdl"
    path.write_text(host_files.system_rdl(plan), encoding="ascii")
    heard = Heard()
    compiler = RDLCompiler(message_printer=heard)
    compiler.compile_file(str(path))
    root = compiler.elaborate()
    assert heard.lines == []
    return plan, root


def test_every_word_of_the_map_is_there(described):
    plan, root = described
    nodes = {node.inst_name: node for node in root.top.children()}
    nodes |= {node.inst_name: node for node in nodes["control"].children()}
    found = {n.inst_name: n.absolute_address for n in nodes.values() if isinstance(n, RegNode)}
    counters = registers.counters(plan.memories, plan.target)
    there = registers.present(plan.memories)
    expected = {r.name: int(r) for r in there if r is not Register.COUNTERS}
    expected |= {
        f"counter_{identifier(n)}": Register.COUNTERS + 8 * i for i, n in enumerate(counters)
    }
    assert found == expected
    memories = {n.inst_name: n for n in nodes.values() if isinstance(n, MemNode)}
    windows = {identifier(w.memory.name): w for w in registers.windows(plan.memories)}
    assert memories.keys() == windows.keys()
    for name, window in windows.items():
        node, memory = memories[name], window.memory
        assert node.absolute_address == window.base
        last = window.address(memory.depth - 1, window.chunks - 1)
        assert last < node.absolute_address + node.size <= last + 4 * window.stride
        assert node.is_sw_writable == (memory.name not in registers.READ_ONLY)
    status = {f.inst_name: f.low for f in nodes["STATUS"].fields()}
    assert status == {bit.name.lower(): int(bit) for bit in Status}
    written = {n.inst_name for n in nodes.values() if isinstance(n, RegNode) and n.has_sw_writable}
    assert written == {r.name for r in there if r.values or r.strobe}


def test_a_c_header_made_of_it_has_the_offsets_of_ours(described, tmp_path):
    """Its structure of registers, asked by a C program for the place of each."""
    plan, root = described
    header = tmp_path / "map.h"
    CHeaderExporter().export(root, path=str(header))
    ours = tmp_path / host_files.REGISTERS
    ours.write_text(host_files.registers_header(), encoding="ascii")
    # Windows are memories outside of the map; those of the largest counter and the last register say enough.
    there = registers.present(plan.memories)
    names = [r.name for r in there if r is not Register.COUNTERS]
    asserts = [
        f"_Static_assert(offsetof(xnoreplay_t, control.{name}) == XNOREPLAY_REG_{name}, {name!r});".replace(
            "'", '"'
        )
        for name in names
    ]
    counters = registers.counters(plan.memories, plan.target)
    asserts += [
        f'_Static_assert(offsetof(xnoreplay_t, control.counter_{identifier(n)}) == XNOREPLAY_REG_COUNTERS + {8 * i}, "");'
        for i, n in enumerate(counters)
    ]
    program = ["#include <stddef.h>", '#include "map.h"', f'#include "{ours.name}"', *asserts]
    (tmp_path / "main.c").write_text("\n".join([*program, "int main(void) { return 0; }", ""]))
    subprocess.run(["gcc", "-std=gnu11", "-fsyntax-only", "main.c"], cwd=tmp_path, check=True)


def test_ip_xact_made_of_it_has_every_window(described, tmp_path):
    plan, root = described
    IPXACTExporter().export(root, str(tmp_path / "map.xml"))
    text = ElementTree.parse(tmp_path / "map.xml").getroot()
    names = {e.text for e in text.iter() if re.fullmatch(r"\{.*\}name", e.tag)}
    assert {identifier(w.memory.name) for w in registers.windows(plan.memories)} <= names


def test_one_description_has_two_chips(tmp_path):
    """Their prefixes are the maps' names; one that SystemRDL knows as a keyword is a name, too."""
    preset = DESCRIBED["tiny"]
    plan = plans.compile(preset.network, preset.target)
    heard = Heard()
    compiler = RDLCompiler(message_printer=heard)
    for name in ("left", "mem"):
        (tmp_path / name).mkdir()
        bundle = bundles.random(preset.network, 0)
        written = host_files.write(plan, bundle, tmp_path / name, name)
        assert [n for n in written if n.endswith(".rdl")] == [f"{name}.rdl"]
        compiler.compile_file(str(tmp_path / name / host_files.FOLDER / f"{name}.rdl"))
    both = tmp_path / "both.rdl"
    both.write_text("addrmap both { left first @ 0; \\mem second @ 0x10000000; };\n")
    compiler.compile_file(str(both))
    chips = list(compiler.elaborate("both").top.children())
    assert heard.lines == []
    assert [c.type_name for c in chips] == ["left", "mem"]
    maps = [[(n.inst_name, n.raw_address_offset) for n in c.children()] for c in chips]
    assert maps[0] == maps[1]
