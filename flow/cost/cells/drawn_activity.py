"""Recorded activity of an error path and of the unit that draws latents: inputs and outputs of every cycle.

A path's logits, labels, class weights and deltas are those of minibatches of a session with all classes seen; the draw
unit's planes are those of means that samples of the session have given.
"""

import numpy as np

from xnoreplay.flow.cost import workload
from xnoreplay.flow.cost.cells.activity import learner_of
from xnoreplay.flow.cost.cells.gate_level import Activity, Unit
from xnoreplay.spec import generative, lfsr
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bits import signed
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.learning import DECAYS, class_weights
from xnoreplay.spec.lfsr import WIDE_BITS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.timeline import (
    DELTA_STAGE,
    PROBABILITY_STAGE,
    READ_LATENCY,
    TOTAL_STAGE,
    error_cycles,
    reciprocal_begins,
    second_reading,
)

CYCLES = 3000
"""Of a unit, at least, where the session has so many."""
TAKEN = 24  # samples of the component that is drawn from


def place(plan: Plan) -> int:
    """Return which path of the error unit stands for all: the middle one, whose draws a cycle are their mean."""
    return (plan.target.error_units - 1) // 2


def error_unit(plan: Plan) -> Unit:
    """Return one path of the error unit as Verilog of its own."""
    from xnoreplay.hw import verilog
    from xnoreplay.hw.learning.error import ErrorPath

    path = ErrorPath(plan, place(plan))
    text = verilog.convert(path, "error_path")
    label = plan.memory("batch.label").width
    inputs = {
        "logit": path.logit_bits,
        "largest": path.logit_bits,
        "label": label,
        "take_label": 1,
        "weight": plan.memory("table.weight").width,
        "take_weight": 1,
        "clear": 1,
        "add": 1,
        "normalise": 1,
        "divide": 1,
        "row": (plan.network.classes - 1).bit_length(),
        "decay": DECAYS.bit_length(),
        "start": 32,
        "restart": 1,
        "walk": 1,
        "draw": 1,
    }
    outputs = {"random": 32, "target": label, "delta": plan.rule.delta_bits}
    return Unit("error_path", text, inputs, outputs)


def error_activity(preset: Preset, bundle: Bundle | None) -> tuple[Activity, int]:
    """Return a path's ports over minibatches of a session, and how many samples it had."""
    from xnoreplay.sim.fast import arithmetic

    plan, net, target = plans.compile(preset.network, preset.target), preset.network, preset.target
    met = workload.samples(preset, bundle)
    learner = learner_of(preset, bundle)
    learner.arrive(preset.scenario.classes)
    seen, units = learner.seen, target.error_units
    pool = np.concatenate([met.remembered, met.arriving])
    labels = np.concatenate([met.remembered_class, met.arriving_class]).astype(np.int64)
    counts = np.bincount(labels, minlength=seen).tolist()
    weights = np.array(class_weights(counts), np.int64)
    work, constants, rule = learner._work, learner._c, learner.rule
    order = np.random.default_rng(0).permutation(len(labels))
    activity, samples, own = Activity(), 0, place(plan)
    for first in range(0, len(order), target.batch):
        chosen = order[first : first + target.batch]
        n = len(chosen)
        work.v[:n, : net.latent] = signed(pool[chosen]).astype(np.int8)
        work.label[:n] = labels[chosen]
        arithmetic.forward(learner.proxies, work, n, seen)
        state = int(learner.proxies.random[0])
        sums = work.s[:n, :seen].copy()
        arithmetic.errors(constants, learner.proxies, work, n, seen, weights, rule.delta_shift(0))
        for group in range(0, n, units):
            started = state
            for _ in range(min(units, n - group) * seen):
                state = lfsr.draw(state)
            if group + own < n:
                _group(
                    activity,
                    labels=labels[chosen[group : group + units]].tolist(),
                    own=own,
                    sums=sums[group + own].tolist(),
                    deltas=work.q[:seen, group + own].tolist(),
                    weights=weights.tolist(),
                    started=started,
                )
                samples += 1
        arithmetic.update(constants, learner.proxies, work, n, seen)
        if len(activity.inputs) > CYCLES:
            break
    return activity, samples


def _group(  # noqa: PLR0913  what one group of samples is
    activity: Activity,
    *,
    labels: list[int],
    own: int,
    sums: list[int],
    deltas: list[int],
    weights: list[int],
    started: int,
) -> None:
    """Add the cycles of one group of samples, of which the path has one: `hw.learning.error.ErrorUnit` gives its strobes."""
    seen = len(sums)
    whole, again = reciprocal_begins(seen), second_reading(seen)
    deltas_from = again + DELTA_STAGE
    state = started
    for _ in range(own * seen + 1):
        state = lfsr.draw(state)
    logit = activity.inputs[-1]["logit"] if activity.inputs else 0
    for t in range(error_cycles(seen, 1)):
        for begins in (READ_LATENCY, again + READ_LATENCY):
            if begins <= t < begins + seen:
                logit = sums[t - begins]
        shown = labels[min(max(t - READ_LATENCY, 0), len(labels) - 1)]
        weighed = labels[min(max(t - 2 * READ_LATENCY, 0), len(labels) - 1)]
        drawing = t >= deltas_from
        activity.inputs.append(
            {
                "logit": logit,
                "largest": max(sums),
                "label": shown,
                "take_label": int(t == own + READ_LATENCY),
                "weight": weights[weighed],
                "take_weight": int(t == own + 2 * READ_LATENCY),
                "clear": int(t == 0),
                "add": int(TOTAL_STAGE <= t < whole),
                "normalise": int(t == whole),
                "divide": int(whole < t < again),
                "row": t - again - PROBABILITY_STAGE,
                "start": started,
                "restart": int(t == 0),
                "walk": int(t < seen),
                "draw": int(drawing),
            }
        )
        out = {}
        if drawing:
            out = {"random": state, "delta": deltas[t - deltas_from], "target": labels[own]}
            state = lfsr.draw(state)
        activity.outputs.append(out)


def draw_unit(plan: Plan) -> Unit:
    """Return the unit that draws latents as Verilog of its own."""
    from xnoreplay.hw import verilog
    from xnoreplay.hw.learning.draw import DrawUnit

    channels = plan.target.channels
    unit = DrawUnit(channels)
    text = verilog.convert(unit, "draw_unit")
    inputs = {"step": 1, "first": 1, "plane": channels, "host__wen": 1, "host__wdata": WIDE_BITS}
    places = len(unit.seeds)
    if places > 1:
        inputs["host__addr"] = (places - 1).bit_length()
    return Unit("draw_unit", text, inputs, {"word": channels})


def draw_activity(preset: Preset, bundle: Bundle | None) -> tuple[Activity, int]:
    """Return the draw unit's ports while latents are drawn from a component, and how many planes of means that took."""
    net, target = preset.network, preset.target
    met = workload.samples(preset, bundle)
    pool = np.concatenate([met.remembered, met.arriving])
    held = generative.Components(1, 1, net.latent, target.mean_bits)
    for z in pool[
        np.concatenate([met.remembered_class, met.arriving_class]) == met.arriving_class[0]
    ][:TAKEN]:
        held.take(z, 0)
    means, channels = held.mean[0, 0], target.channels
    states = generative.power_on(channels)
    activity, planes = Activity(), 0
    for i, state in enumerate(states):  # cells have no value at power-on
        activity.inputs.append({"host__wen": 1, "host__addr": i, "host__wdata": state})
        activity.outputs.append({})
    due: dict[str, int] = {}
    while len(activity.inputs) < CYCLES:
        latent = held.draw(0, 0, states, channels)
        for first in range(0, net.latent, channels):
            values = means[first : first + channels].tolist()
            for plane in (None, *range(target.mean_bits)):
                bits = (
                    0 if plane is None else sum((m >> plane & 1) << j for j, m in enumerate(values))
                )
                activity.inputs.append({"step": 1, "first": int(plane is None), "plane": bits})
                activity.outputs.append(due)
                due = {}
            planes += target.mean_bits
            if len(values) == channels:
                due = {
                    "word": sum(int(b) << j for j, b in enumerate(latent[first : first + channels]))
                }
    activity.inputs.append({})
    activity.outputs.append(due)
    return activity, planes
