"""What the table of commands says that a command changes is what it changes."""

import numpy as np

from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets, registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.commands import Command

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, *TINY.network.image_shape), dtype=np.uint8)
LAST = PLAN.network.classes - 1
SCRIPT = [
    (Command.ARRIVE, 2, None),
    *((Command.INSERT, n % 2, n) for n in range(8)),
    (Command.ARRIVE, LAST, None),  # classes that are above their new share are trimmed
    (Command.STAGE, 0, 8),
    (Command.STAGE, LAST, 9),
    (Command.EPOCH, 0, None),
    (Command.RETRAIN, 0, None),
    (Command.REBALANCE, 0, None),
    *((Command.INFER, 0, n) for n in range(12)),
]


def kept(chip: Simulator) -> dict[str, object]:
    """What outlasts a command, by name: what a snapshot has but scratch memories, and PREDICTION."""
    names = [w.memory.name for w in snapshots.windows(PLAN)]
    found: dict[str, object] = {name: chip.memory_ints(name) for name in names}
    shown = (registers.Register.PREDICTION, *registers.writable(PLAN.memories))
    return found | {r.name: getattr(chip.state, r.name.lower()) for r in shown}


def test_what_outlasts_a_command_changes_as_the_table_says():
    chip = Simulator(PLAN, BUNDLE)
    changed: dict[Command, set[str]] = {command: set() for command in Command}
    for command, argument, image in SCRIPT:
        before = kept(chip)
        chip.carry_out(command, argument, None if image is None else IMAGES[image])
        after = kept(chip)
        changed[command] |= {name for name in after if after[name] != before[name]}
    labels = chip.memories()["replay.label"]
    chip.write("replay.label", np.roll(labels, 1, axis=0))
    chip.write("replay.count", 1 - chip.memories()["replay.count"])
    before = kept(chip)
    chip.restore()
    changed[Command.RESTORE] = {name for name, value in kept(chip).items() if value != before[name]}
    for command, names in changed.items():
        assert names == {n for n in command.changes if n in before}, command.name
    drawn = presets.vary(TINY, "target", replay="generative", hidden_learns=True)
    elsewhere = {m.name for m in plan.compile(drawn.network, drawn.target).memories}
    elsewhere -= {m.name for m in PLAN.memories}
    assert {n for c in Command for n in c.changes} - before.keys() <= elsewhere
