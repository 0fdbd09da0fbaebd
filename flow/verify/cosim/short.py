"""The script for a slow simulator: every command and a few images."""

from dataclasses import replace

import numpy as np

from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.verify import scenario
from xnoreplay.flow.verify.cosim import edges
from xnoreplay.flow.verify.cosim.building import others, port
from xnoreplay.flow.verify.cosim.script import Script, Step, changing, memories
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset


def build(preset: Preset, plan: Plan, data: Dataset, bundle: Bundle, images: int = 2) -> Script:
    """The script for a slow simulator: every command and a few images, with everything compared."""
    corner = edges.images(plan, bundle, data.max_pixel, "short")
    whole = memories(plan)
    classes = scenario.by_class(preset.scenario, data)
    base = preset.scenario.base
    classes_seen = preset.scenario.seen_first
    new = classes_seen - 1
    stage = {"brief": True, "transfers": 40}
    plain = [
        *edges.refused(plan.network.classes, 0),
        Step("arrive", base),
        *(Step("insert", k, int(classes[k][0])) for k in range(min(2, base))),
        *(Step("infer", 0, i) for i in range(images)),
        *(Step("stage", new, int(i)) for i in classes[new][:2]),
        Step("epoch"),
        Step("retrain"),
        Step("retrain", abort=100),
        Step("rebalance"),
        Step("restore"),
    ]
    plain += others([*plain, Step("infer")], 0, classes_seen, plan.network.classes)
    plain += [Step("infer", 0, i) for i in range(images)]
    learns = next(n for n, s in enumerate(plain) if s.command == "retrain")
    steps = [
        replace(s, memories=changing(plan, n >= learns), bus=True, trace=s.command != "refuse")
        for n, s in enumerate(plain)
    ]
    steps[-1] = replace(steps[-1], memories=whole)
    steps.insert(0, port(plan, 1, changing(plan, False), **stage))
    corners = [Step("infer", 0, len(data.images) + n, bus=True) for n in range(len(corner))]
    last = port(plan, 2, whole, infers=True, commands=True, **stage)
    pictures = np.concatenate([data.images, corner])
    return Script((*steps, *corners, last), pictures, length="short")
