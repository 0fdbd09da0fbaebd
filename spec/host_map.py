"""What a host needs to know of one chip, as plain data: the description that files for programs are made of.

`manifest.json`, the C header and the SystemRDL file of `generate` are this description in three forms. The numbers
are those of `xnoreplay.spec.registers` and `xnoreplay.spec.commands`, from which the chip's decoder is made too.
"""

from typing import Any

from xnoreplay.spec import learning_plan, registers
from xnoreplay.spec.commands import Command, Operand, Rule
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Response, Status

PIXEL_ORDER = (
    "rows from the top, pixels of a row from the left; channel 0 of a pixel in the low byte"
)
LATENT_ORDER = (
    "parts of the latent from bit 0; the lowest bit of a part in bit 0; other bits are ignored"
)


def host_map(plan: Plan) -> dict[str, Any]:
    """What a host addresses on this chip, and what it may write there.

    Returns
    -------
    dict
        ``id``: what ID reads as. ``registers``: byte offset by name, that of COUNTERS the first counter's.
        ``register_values``: least and greatest value of each register that an idle chip lets the host set.
        ``status``: number of a bit by name. ``responses``: value of BRESP and RRESP by name.
        ``commands``: number by name. ``command_rules``: of each command, see `command_rule`.
        ``windows``: of each memory that the host reaches ``name``, ``base`` (byte address), ``stride``
        (words from a row to the next), ``chunks`` (words that a row takes), ``rows``, ``width`` (bits of a
        row), ``read_only``, ``scratch`` (no command hands it to a later one: a save leaves it out) and ``layout``
        (what a row holds). ``counters``: names in the order of their registers; empty where the chip counts nothing.
        ``counter_bits``: of each counter, the low 32 in one word, the others in the next; 0 where the chip counts
        nothing. ``stream``: see `stream`. ``pixels``: ``height``, ``width``, ``channels``, ``bits`` of a channel, and
        ``order``; absent where the chip is given latents. ``network``: ``classes`` and ``latent``. ``most_cycles``: see
        `learning_plan.command_cycles`. ``reset_cycles``: for which the chip is busy after a reset.
    """
    counters = registers.counters(plan.memories, plan.target)
    return {
        "id": registers.ID,
        "registers": {r.name: int(r) for r in registers.present(plan.memories)},
        "register_values": {
            r.name: [values.start, values.stop - 1]
            for r, values in registers.writable(plan.memories).items()
        },
        "status": {bit.name: int(bit) for bit in Status},
        "responses": {r.name: int(r) for r in Response},
        "commands": {c.name: int(c) for c in Command},
        "command_rules": {c.name: command_rule(c) for c in Command},
        "windows": [
            {
                "name": w.memory.name,
                "base": w.base,
                "stride": w.stride,
                "chunks": w.chunks,
                "rows": w.memory.depth,
                "width": w.memory.width,
                "read_only": w.memory.name in registers.READ_ONLY,
                "scratch": w.memory.declaration.scratch,
                "layout": w.memory.declaration.layout,
            }
            for w in registers.windows(plan.memories)
        ],
        "counters": list(counters),
        "counter_bits": plan.target.counter_bits if counters else 0,
        "stream": stream(plan),
        **({"pixels": pixels(plan.network)} if plan.network.takes_images else {}),
        "network": {"classes": plan.network.classes, "latent": plan.network.latent},
        "most_cycles": learning_plan.command_cycles(plan),
        "reset_cycles": plan.forgotten.depth,
    }


def stream(plan: Plan) -> dict[str, Any]:
    """How a sample enters.

    Returns
    -------
    dict
        ``name``: what the names of the stream's pins begin with. ``data_bits``: of TDATA. ``transfers``: of a sample, each
        a pixel or a part of a latent. ``order``: of what is sent. Where latents are given, also ``latent``, its bits, and
        ``part``, bits of it in a transfer.
    """
    entry = plan.input
    told = {
        "name": entry.stream,
        "data_bits": 8 * entry.byte_lanes,
        "transfers": entry.pixels,
        "order": LATENT_ORDER if entry.part else PIXEL_ORDER,
    }
    return told | ({"latent": entry.channels, "part": entry.part} if entry.part else {})


def pixels(network: NetworkSpec) -> dict[str, Any]:
    """Shape and order of what the pixel stream takes for one image."""
    height, width, channels = network.image_shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "bits": 8,
        "order": PIXEL_ORDER,
    }


def command_rule(command: Command) -> dict[str, Any]:
    """When a chip takes a command, and what it needs.

    Returns
    -------
    dict
        ``argument``: what it is, "" for none. ``rules``: comparisons that must all hold, each a list of left side,
        relation and right side; a side is "argument", "seen", "classes" or a number. ``image``: it takes an image
        from the pixel stream. ``counted``: it is refused while STALE is 1. ``changes``: memories and registers that
        it may change. Every command is refused while the chip is busy.
    """
    return {
        "argument": command.title or command.argument,
        "rules": [_sides(rule) for rule in command.rules],
        "image": command.image,
        "counted": command.counted,
        "changes": list(command.changes),
    }


def _sides(rule: Rule) -> list[str | int]:
    right = rule.right.name.lower() if isinstance(rule.right, Operand) else rule.right
    return [rule.left.name.lower(), rule.relation, right]
