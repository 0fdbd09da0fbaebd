"""What `generate` leaves for a host's program: C headers, driver and network, and the map in SystemRDL."""

import hashlib
import json
import shutil
import zlib
from pathlib import Path

import numpy as np

from xnoreplay.spec import host_map, image, registers, snapshot
from xnoreplay.spec.bits import pack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.memories import identifier
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Register, Response, Status, Window

FOLDER = "host"  # of the generated folder
HEAD = 5  # words before the content of a file of the C driver
DRIVER = ("xnoreplay_host.h", "xnoreplay_host.c")
SOURCES = Path(__file__).parents[2] / "host" / "c"
REGISTERS, NETWORK = "xnoreplay_registers.h", "network.bin"
KINDS = {"NETWORK": 0x4E4E5258, "STATE": 0x53535258}
"""First words of files of the C driver: XRNN and XRSS in ASCII, low byte first."""


def write(plan: Plan, bundle: Bundle, out: Path, prefix: str = "xnoreplay") -> list[str]:
    """Write the files into a new folder below `out`; their names, sorted.

    See `chip_header` and `system_rdl` for the prefix.
    """
    folder = out / FOLDER
    folder.mkdir()
    for name in DRIVER:
        shutil.copy(SOURCES / name, folder / name)
    texts = {
        REGISTERS: registers_header(),
        f"{prefix}_chip.h": chip_header(plan, prefix),
        f"{prefix}.rdl": system_rdl(plan, prefix),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="ascii")
    network(plan, bundle).tofile(folder / NETWORK)
    return sorted(p.name for p in folder.iterdir())


def identity(plan: Plan) -> int:
    """64 bits that tell a chip's files from another's: of the network and of what decides memories and rule."""
    told = json.dumps(snapshot.identity(plan), sort_keys=True)
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "little")


def _file(plan: Plan, kind: str, content: np.ndarray) -> np.ndarray:
    """Words of a file of the C driver: kind, identity, number of words and CRC-32, then the content."""
    chip = identity(plan)
    words = content.astype("<u4")
    head = [KINDS[kind], chip & 0xFFFFFFFF, chip >> 32, len(words), zlib.crc32(words.tobytes())]
    return np.concatenate([np.array(head, "<u4"), words])


def network(plan: Plan, bundle: Bundle) -> np.ndarray:
    """Words of a trained network as the C driver loads it.

    Returns
    -------
    (n,) uint32
        After the head of a file, each memory that a host loads: the number of its window among the chip's, then its
        rows, low words first.

    Raises
    ------
    SpecError
        Where the bundle is of another network.
    """
    images = image.load(plan, bundle)
    parts = []
    for i, window in enumerate(registers.windows(plan.memories)):
        if window.memory.name in images:
            parts += [np.array([i]), _words(window, images[window.memory.name])]
    return _file(plan, "NETWORK", np.concatenate(parts))


def state(plan: Plan, saved: snapshot.Snapshot) -> np.ndarray:
    """A snapshot as the words of `xnoreplay_save`, (n,) uint32; `of_state` is the other way."""
    parts = [_words(w, saved.memories[w.memory.name]) for w in snapshot.windows(plan)]
    parts.append(np.array([saved.registers[r] for r in registers.writable(plan.memories)]))
    return _file(plan, "STATE", np.concatenate(parts))


def _words(window: Window, rows: np.ndarray) -> np.ndarray:
    packed = pack_bytes(rows)
    whole = np.zeros((len(rows), 4 * window.chunks), np.uint8)
    whole[:, : packed.shape[1]] = packed
    return whole.reshape(-1).view("<u4")


def _defines(values: dict[str, int], prefix: str = "xnoreplay") -> list[str]:
    return [f"#define {prefix.upper()}_{name} {value:#x}u" for name, value in values.items()]


def registers_header() -> str:
    """C header of what is the same on every chip: registers, bits of STATUS, answers, commands, kinds of files."""
    taking = {
        "COMMANDS": list(Command),
        "TAKES_IMAGE": [c for c in Command if c.image],
        "TAKES_ARGUMENT": [c for c in Command if c.argument],
    }
    lines = [
        "/* Registers and commands of every xnoreplay chip, as byte addresses and numbers. */",
        "#ifndef XNOREPLAY_REGISTERS_H",
        "#define XNOREPLAY_REGISTERS_H",
        "",
        *_defines({"ID": registers.ID}),
        *_defines({f"REG_{r.name}": int(r) for r in Register}),
        "",
        *_defines({f"STATUS_{bit.name}": 1 << bit for bit in Status}),
        "",
        *_defines({r.name: int(r) for r in Response}),
        "",
        *(
            f"{line} /* {command.meaning} */"
            for line, command in zip(
                _defines({c.name: int(c) for c in Command}), Command, strict=True
            )
        ),
        "",
        "/* Bit n is 1 for command n: those that there are, and those that take an image or an argument. */",
        *_defines({name: sum(1 << c for c in which) for name, which in taking.items()}),
        "",
        *_defines({f"KIND_{name}": value for name, value in KINDS.items()}),
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def chip_header(plan: Plan, prefix: str = "xnoreplay") -> str:
    """C header of one chip: its windows, counters and sizes, and the description that the driver takes.

    Its names begin with the prefix, so that a program can have the headers of several chips.
    """
    told = host_map.host_map(plan)
    # Of a latent, one row of transfers: the driver sends so many bytes.
    sent = told.get(
        "pixels", {"height": 1, "width": plan.input.pixels, "channels": plan.input.byte_lanes}
    )
    windows = [
        f'    {{"{w["name"]}", {w["base"]:#x}u, {w["stride"]}, {w["chunks"]}, {w["rows"]}, {w["width"]}, '
        f"{w['read_only']:d}, {w['scratch']:d}}},"
        for w in told["windows"]
    ]
    numbered = {0: max(told["most_cycles"].values())}
    numbered |= {told["commands"][name]: cycles for name, cycles in told["most_cycles"].items()}
    lines = [
        f"/* The chip of network {plan.network.name}: what the driver must know of it. */",
        f"#ifndef {prefix.upper()}_CHIP_H",
        f"#define {prefix.upper()}_CHIP_H",
        "",
        f'#include "{DRIVER[0]}"',
        f'#include "{REGISTERS}"',
        "",
        *_defines(
            {f"WINDOW_{identifier(w['name']).upper()}": w["base"] for w in told["windows"]}, prefix
        ),
        "",
        *_defines(
            {f"COUNTER_{identifier(name).upper()}": i for i, name in enumerate(told["counters"])},
            prefix,
        ),
        "",
        "/* The most cycles of each command, without waits for the stream. */",
        *_defines({f"MOST_CYCLES_{name}": n for name, n in told["most_cycles"].items()}, prefix),
        "/* For which the chip is busy after a reset. */",
        *_defines({"RESET_CYCLES": told["reset_cycles"]}, prefix),
        "",
        f"static const struct xnoreplay_window {prefix}_chip_windows[] = {{",
        *windows,
        "};",
        f"static const uint32_t {prefix}_chip_registers[] = {{",
        *(f"    XNOREPLAY_REG_{name}," for name in told["register_values"]),
        "};",
        f"static const char *const {prefix}_chip_counters[] = {{",
        *([f'    "{name}",' for name in told["counters"]] or ["    0,"]),  # C has no empty list
        "};",
        f"static const uint64_t {prefix}_chip_most_cycles[] = {{",
        *(f"    {numbered.get(n, 0)}ull," for n in range(max(numbered) + 1)),
        "};",
        f"static const struct xnoreplay_chip {prefix}_chip = {{",
        f"    {identity(plan):#x}ull,",
        f"    {sent['height']}, {sent['width']}, {sent['channels']}, {told['network']['classes']},",
        f"    {plan.replay.staging > 0:d},",
        f"    {prefix}_chip_windows,",
        f"    {len(windows)},",
        f"    {prefix}_chip_registers,",
        f"    {len(told['register_values'])},",
        f"    {prefix}_chip_counters,",
        f"    {len(told['counters'])},",
        f"    {told['counter_bits']},",
        f"    {plan.target.clock_hz}ull,",
        f"    {prefix}_chip_most_cycles,",
        "};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def system_rdl(plan: Plan, prefix: str = "xnoreplay") -> str:
    """The address map in SystemRDL 2.0: control registers, counters, and a memory for each window.

    A memory has an entry for each 32-bit word of the window, `stride` a row. A counter is a register of 64 bits that is
    read in two halves. The map is called as the prefix, so that one description can have several chips.
    """
    lines = [
        f"addrmap \\{prefix} {{",
        f'    name = "xnoreplay chip of network {plan.network.name}";',
        "    default regwidth = 32;",
        "    default accesswidth = 32;",
        "    addressing = regalign;",
        "    littleendian;",
        "",
        "    addrmap {",
        '        desc = "Control registers and event counters.";',
    ]
    for register in registers.present(plan.memories):
        if register is not Register.COUNTERS:
            lines += _rdl_register(register)
    for i, name in enumerate(registers.counters(plan.memories, plan.target)):
        at = Register.COUNTERS + 8 * i
        lines += [
            "        reg {",
            "            regwidth = 64;",
            f'            desc = "{_text(registers.meaning(name))}";',
            f"            field {{ sw = r; hw = w; }} count[{plan.target.counter_bits - 1}:0];",
            f"        }} \\counter_{identifier(name)} @ {at:#x};",
        ]
    lines.append("    } control @ 0;")
    for window in registers.windows(plan.memories):
        memory = window.memory
        access = "r" if memory.name in registers.READ_ONLY else "rw"
        about = (
            f"{memory.depth} rows of {memory.width} bits, {window.chunks} words each and "
            f"{window.stride} from one to the next: {memory.declaration.layout}"
        )
        lines += [
            "    external mem {",
            f"        mementries = {memory.depth * window.stride};",
            "        memwidth = 32;",
            f"        sw = {access};",
            f'        desc = "{_text(about)}";',
            f"    }} \\{identifier(memory.name)} @ {window.base:#x};",
        ]
    return "\n".join([*lines, "};", ""])


def _rdl_register(register: Register) -> list[str]:
    """A control register in SystemRDL."""
    software = "rw" if register.values else "r"
    fields = [(f.high, f.low, f.name, software, f.meaning) for f in register.fields]
    if register is Register.STATUS:
        fields = [(int(b), int(b), b.name.lower(), "r", b.meaning) for b in Status]
    if register is Register.COMMAND:
        fields = [(f.high, f.low, f.name, "rw", f.meaning) for f in register.fields]
    if register is Register.ABORT:
        fields = [(31, 0, "any", "w", "a write of any value ends the running command")]
    if register is Register.ERRORS:
        fields = [(f.high, f.low, f.name, "rw", f.meaning) for f in register.fields]
    if register is Register.ID:
        fields = [(31, 0, "value", "r", "XNRP in ASCII")]
    lines = ["        reg {", f'            desc = "{_text(register.bits)}";']
    for high, low, name, access, meaning in fields:
        inner = f'sw = {access}; hw = {"na" if register is Register.ID else "rw"}; desc = "{_text(meaning)}";'
        reset = f" = {registers.ID:#x}" if register is Register.ID else ""
        lines.append(f"            field {{ {inner} }} \\{name}[{high}:{low}]{reset};")
    return [*lines, f"        }} \\{register.name} @ {int(register):#x};"]


def _text(words: str) -> str:
    """A sentence inside a string of SystemRDL."""
    return words.replace("\\", "\\\\").replace('"', '\\"')
