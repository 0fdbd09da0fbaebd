"""Steps in which bits of memories change by themselves, so that the chip meets what no command leaves in them.

See `spec.upset`. A logit that is above the largest, a label of no class, and feature maps that no extractor gives come by no
other way; what the chip then does must be what the simulator does, too.
"""

from dataclasses import replace

import numpy as np

from xnoreplay.flow.verify.cosim.building import SHORT, spans
from xnoreplay.flow.verify.cosim.kinds import drive_on
from xnoreplay.flow.verify.cosim.resets import RESET
from xnoreplay.flow.verify.cosim.script import Step
from xnoreplay.spec import upset
from xnoreplay.spec.upset import Place

ROUNDS = 6  # of every command that is short; a longer one is carried out once
OFTEN = 2  # times that a place changes in a command
MAPS = "feature maps"
WORKING = ("minibatch", "tables", MAPS)
"""Roles of places that change in every phase of a command, since what is in them is soon written again."""
PHASES = 16  # of a command, in which they change
DRAWN = 4096
"""Bits that feature maps have at most, so that they are drawn whole at the begin of each phase of an inference."""


def build(chip, images: np.ndarray, label: int, rng: np.random.Generator, look: dict) -> list[Step]:
    """Steps with upsets of every memory in every command that learns, and in an inference.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on.
    images : ndarray
        (n, height, width, channels) uint8: images of the script.
    label : int
        A class of the network.
    rng : numpy Generator
        Draws cycles, rows and bits.
    look : dict
        Fields of each step, that say what is looked at after it.

    Returns
    -------
    list of Step
        The last one is a reset.
    """
    plan, steps, infer = chip.plan, [], Step("infer", 0, 0)
    places = {n: p for n, p in upset.places(plan).items() if p.role != upset.REGISTER_ROLE}

    def do(step: Step) -> None:
        drive_on(step, chip, images)
        steps.append(replace(step, **look))

    for number in range(ROUNDS):
        do(Step("arrive", plan.network.classes))
        for step in (
            Step("stage", label, 0),
            Step("insert", 0, 0),
            Step("epoch"),
            Step("retrain"),
            Step("rebalance"),
            infer,
        ):
            found = spans(chip, step, images)
            begin, end = found[0][1], found[-1][2]
            if number and end - begin > SHORT:
                continue
            drawn = []
            for name, place in places.items():
                runs = [(begin, end)] * OFTEN
                if place.role in WORKING:
                    runs = [(first, last) for _, first, last in found[:PHASES]]
                for first, last in runs:
                    row, bit = int(rng.integers(place.rows)), int(rng.integers(place.bits))
                    drawn.append((int(rng.integers(first, last)) - begin, name, row, bit))
            do(replace(step, upsets=tuple(sorted(drawn))))
        found = spans(chip, infer, images)
        begin = found[0][1]
        for _, first, _ in found:
            if upsets := _maps(places, first - begin, rng):
                do(replace(infer, upsets=upsets))
        do(Step(RESET))
    return steps


def _maps(places: dict[str, Place], cycle: int, rng: np.random.Generator) -> tuple:
    """Upsets in one cycle of each bit of the feature maps, with a probability of a half."""
    maps = {n: p for n, p in places.items() if p.role == MAPS}
    if sum(p.rows * p.bits for p in maps.values()) > DRAWN:
        return ()
    return tuple(
        (cycle, name, int(row), int(bit))
        for name, place in maps.items()
        for row, bit in np.argwhere(rng.integers(0, 2, (place.rows, place.bits)))
    )
