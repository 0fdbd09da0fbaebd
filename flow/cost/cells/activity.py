"""Recorded activity of a lane and of the update unit: inputs and outputs of every cycle; see `drawn_activity`, too.

A lane's comes from the simulator's trace of an inference and of the beginning of a session; the
update unit's from the proxies, gradients and random draws of minibatches of that session.
"""

import numpy as np

from xnoreplay.flow.cost import workload
from xnoreplay.flow.cost.cells.gate_level import Activity, Unit
from xnoreplay.spec import lfsr
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.learning_plan import LearningPlan
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import PLANE_PHASES, Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.trace import Cycle

LEARNING_CYCLES = 4000  # of a session's beginning
UPDATE_ROWS = 60  # rows that the update unit is watched over


def lane_unit(plan: Plan) -> Unit:
    """Return one lane of the array as Verilog of its own."""
    from xnoreplay.hw import verilog
    from xnoreplay.hw.inference.array import Lane

    target = plan.target
    lane = Lane(target.channels, plan.slots, target.node_fold, plan.accumulator_bits)
    text = verilog.convert(lane, "lane")
    slot = max(1, (plan.slots - 1).bit_length())
    return Unit(
        "lane",
        text,
        {
            "valid": 1,
            "slot": slot,
            "taps": 4,
            "first": 1,
            "conjoin": 1,
            "x": target.window,
            "wen": 9,
            "waddr": slot,
            "wdata": target.window,
        },
        {"acc": plan.accumulator_bits},
    )


def traced(preset: Preset, bundle: Bundle | None) -> tuple[list[Cycle], dict[str, int]]:
    """Return cycles of an inference and of the beginning of a session, and lane 0's beats by mode."""
    from xnoreplay.sim.run import Simulator
    from xnoreplay.spec import bundle as bundles

    plan = plans.compile(preset.network, preset.target)
    met = workload.samples(preset, bundle)
    chip = Simulator(
        plan,
        bundle or bundles.random(preset.network, 0, preset.scenario.max_pixel),
        "step",
        trace=True,
    )
    chip.trace_cycles()
    chip.arrive(preset.scenario.base)
    image = np.random.default_rng(0).integers(0, 256, preset.network.image_shape, dtype=np.uint8)
    cycles = list(chip.infer(image).trace)
    if plan.generative:
        for i in np.unique(met.remembered_class, return_index=True)[1].tolist():
            chip.enter_latent(met.remembered[i], int(met.remembered_class[i]), stage=False)
    else:
        chip.remember(met.remembered, met.remembered_class)
    if plan.replay.staging:
        for latent, label in zip(met.arriving[:40], met.arriving_class[:40].tolist(), strict=True):
            chip.enter_latent(latent, label)
    chip.abort(LEARNING_CYCLES)
    cycles += chip.retrain().trace
    beats = {"xnor": 0, "and": 0}
    for cycle in cycles:
        if cycle.stream and cycle.stream.lanes & 1:
            beats["and" if cycle.phase in PLANE_PHASES else "xnor"] += 1
    return cycles, beats


def lane_activity(plan: Plan, cycles: list[Cycle]) -> Activity:
    """Return lane 0's ports over traced cycles; its sums are compared with the trace's."""
    slots = plan.slots
    held = {"x": 0}
    # What comes with an operand is there a cycle before the trace shows it in the stream register.
    control = {"valid": 0, "slot": 0, "taps": 0, "first": 0, "conjoin": 0}
    beside, inputs, pending = [], [], True
    sums = [cycle.sums[0] if cycle.sums else None for cycle in cycles]
    for t, cycle in enumerate(cycles):
        control = control | {"valid": 0}
        now: dict[str, int] = {}
        for write in cycle.writes.get("lane.file", ()):
            if write.address < slots:
                now |= {"wen": write.mask, "waddr": write.address % slots, "wdata": write.data}
        if stream := cycle.stream:
            held = {"x": stream.x}
            control = {
                "valid": stream.lanes & 1,
                "slot": stream.slot,
                "taps": stream.taps,
                "first": 0,
                "conjoin": int(cycle.phase in PLANE_PHASES),
            }
            if control["valid"] and not control["conjoin"]:
                control["first"] = int(pending)
                pending = t + 3 < len(cycles) and sums[t + 3] is not None
        beside.append(control)
        inputs.append(now | held)
    activity = Activity()
    for t, (own, following) in enumerate(zip(inputs, [*beside[1:], control], strict=True)):
        activity.inputs.append(own | following)
        shown = sums[t] if t > 2 and beside[t - 3]["valid"] else None
        activity.outputs.append({} if shown is None else {"acc": shown})
    return activity


def file_unit(plan: Plan) -> Unit:
    """Return a lane's file as Verilog of its own."""
    from xnoreplay.hw import verilog
    from xnoreplay.hw.inference.array import LaneFile

    window = plan.target.window
    text = verilog.convert(LaneFile(plan.slots, plan.target.channels), "lane_file")
    slot = max(1, (plan.slots - 1).bit_length())
    inputs = {"load": 1, "slot": slot, "wtaps": TAPS, "wslot": slot, "wword": window}
    return Unit("lane_file", text, inputs, {"word": window})


def file_activity(plan: Plan, lane: Activity) -> Activity:
    """Return the ports of a lane's file while the lane has its own; a word all of whose taps were written is compared."""
    channels, activity = plan.target.channels, Activity()
    words, written = [0] * plan.slots, [0] * plan.slots
    slot = -1  # before the first load the word is of no meaning
    for ports in lane.inputs:
        known = slot >= 0 and written[slot] == (1 << TAPS) - 1
        activity.outputs.append({"word": words[slot]} if known else {})
        load, taps, row = ports.get("valid", 0), ports.get("wen", 0), ports.get("waddr", 0)
        activity.inputs.append(
            {
                "load": load,
                "slot": ports.get("slot", 0),
                "wtaps": taps,
                "wslot": row,
                "wword": ports.get("wdata", 0),
            }
        )
        if load:
            slot = ports["slot"]
        mask = sum(((1 << channels) - 1) << t * channels for t in range(TAPS) if taps >> t & 1)
        words[row] = words[row] & ~mask | ports.get("wdata", 0) & mask
        written[row] |= taps
    return activity


def update_unit(plan: Plan) -> Unit:
    """Return the update unit as Verilog of its own."""
    from amaranth.hdl import Shape

    from xnoreplay.hw import verilog
    from xnoreplay.hw.learning.planes import stage_layout, sum_bits
    from xnoreplay.hw.learning.update import UpdateUnit

    unit = UpdateUnit(plan, sum_bits(plan))
    text = verilog.convert(unit, "update_unit")
    stage = Shape.cast(stage_layout(plan)).width
    low = plan.memory("cls.low")
    top = plan.memory("cls.top")
    inputs = {
        "of_output": 1,
        "of_hidden": 1,
        "look": stage,
        "read": stage,
        "step": stage,
        "write": stage,
        "gradient": unit.sum_bits * unit.segment,
        "random": 32,
        "low_read__data": low.width,
        "top_rdata": COPIES * top.width,
    }
    return Unit("update_unit", text, inputs, {"low_write__data": low.width})


def learner_of(preset: Preset, bundle: Bundle | None):
    """Return a learner with the replay of a preset; without a bundle its weights are random bits."""
    from xnoreplay.sim.generative import GenerativeLearner
    from xnoreplay.sim.learner import Learner
    from xnoreplay.spec import bundle as bundles

    kind = GenerativeLearner if preset.target.replay == GenerativeLearner.WAY else Learner
    given = bundle or bundles.random(preset.network, 0, preset.scenario.max_pixel)
    return kind(given, preset.target)


def update_activity(preset: Preset, bundle: Bundle | None) -> tuple[Activity, int]:
    """Return the update unit's ports over some rows of an output update, and how many segments the rows have.

    Proxies, gradients and draws are those of the session; a segment takes as many beats as the
    planes of its row need.
    """
    from xnoreplay.hw.learning.planes import stage_layout
    from xnoreplay.sim.fast import arithmetic
    from xnoreplay.spec.bits import signed
    from xnoreplay.spec.learning import class_weights

    plan, net, target = plans.compile(preset.network, preset.target), preset.network, preset.target
    extra, met = LearningPlan(plan), workload.samples(preset, bundle)
    learner = learner_of(preset, bundle)
    learner.arrive(preset.scenario.seen(1))
    pool = np.concatenate([met.remembered, met.arriving])
    labels = np.concatenate([met.remembered_class, met.arriving_class]).astype(np.int64)
    weights = np.array(
        class_weights(np.bincount(labels, minlength=learner.seen).tolist()), np.int64
    )
    order = np.random.default_rng(0).permutation(len(labels))
    work, constants, rule = learner._work, learner._c, learner.rule
    layout = stage_layout(plan)
    beats: list[dict] = []
    for first in range(0, len(order), target.batch):
        chosen = order[first : first + target.batch]
        n = len(chosen)
        work.v[:n, : net.latent] = signed(pool[chosen]).astype(np.int8)
        work.label[:n] = labels[chosen]
        arithmetic.forward(learner.proxies, work, n, learner.seen)
        arithmetic.errors(
            constants, learner.proxies, work, n, learner.seen, weights, rule.delta_shift(0)
        )
        state = int(learner.proxies.random[1])
        before = learner.proxies.output.copy()
        deltas, inputs = work.q[: learner.seen, :n].copy(), work.v[:n].astype(np.int64)
        arithmetic.update(constants, learner.proxies, work, n, learner.seen)
        for row in range(learner.seen):
            planes = int(work.planes[0, row])
            if not planes or len({b["row"] for b in beats}) > UPDATE_ROWS:
                continue
            gradient = deltas[row].astype(np.int64) @ inputs
            state = _row(
                beats,
                plan,
                extra,
                row,
                gradient,
                before[row],
                learner.proxies.output[row],
                state,
                -(-planes // target.lanes),
            )
        if len(beats) > 40 * UPDATE_ROWS:
            break
    return _played(beats, layout, plan), sum(b["last"] for b in beats)


def _row(  # noqa: PLR0913  what one row of the update unit is given
    beats, plan, extra, row, gradient, before, after, state, groups
) -> int:
    """Add the beats of one row, and return the state of the random register after it."""
    net, segment = plan.network, plan.target.segment
    spans = ((0, net.latent, 0), (net.latent, net.output_inputs, extra.latent_segments))
    for start, stop, base in spans:
        for first in range(start, stop, segment):
            last = min(first + segment, stop)
            state = lfsr.draw(state)
            index = base + (first - start) // segment
            channel = first - start
            word = channel // plan.target.channels + (plan.replay.words if start else 0)
            part = channel % plan.target.channels // segment
            for group in range(groups):
                beats.append(
                    {
                        "row": row,
                        "index": index,
                        "word": word,
                        "part": part,
                        "last": group == groups - 1,
                        "random": state,
                        "gradient": gradient[first:last],
                        "before": before[:, first:last],
                        "after": after[:, first:last].copy(),
                    }
                )
    return state


def _codes(theta: np.ndarray, bits: int) -> np.ndarray:
    """Return proxies in offset binary."""
    return theta.astype(np.int64) + (1 << bits - 1)


def _played(beats: list[dict], layout, plan: Plan) -> Activity:
    """Return the ports in each cycle: a beat's row is looked up, then the beat is read, stepped and written, each a cycle later."""
    n, segment = plan.rule.proxy_bits, plan.target.segment
    from xnoreplay.hw.learning.planes import sum_bits

    wide = sum_bits(plan)
    low_bits = plan.rule.low_bits
    granules = plan.memory("cls.top").width // segment
    activity = Activity()
    stages = [
        layout.const(
            {
                "beat": 1,
                "last": b["last"],
                "row": b["row"],
                "index": b["index"],
                "word": b["word"],
                "part": b["part"],
            }
        ).as_bits()
        for b in beats
    ]
    for t in range(len(beats) + 3):
        now, out = {"of_output": 1}, {}
        if t < len(beats):
            now["look"] = stages[t]
        if 0 < t <= len(beats):
            b = beats[t - 1]
            now |= {
                "read": stages[t - 1],
                "top_rdata": _tops(_codes(b["before"], n), b, plan, granules),
                "gradient": sum(
                    (int(g) & (1 << wide) - 1) << wide * i for i, g in enumerate(b["gradient"])
                ),
            }
        if 1 < t <= len(beats) + 1:
            b = beats[t - 2]
            now |= {
                "step": stages[t - 2],
                "random": b["random"],
                "low_read__data": _low(_codes(b["before"], n), low_bits),
            }
        if t > 2:
            b = beats[t - 3]
            now["write"] = stages[t - 3]
            if b["last"]:
                out["low_write__data"] = _low(_codes(b["after"], n), low_bits)
        activity.inputs.append(now)
        activity.outputs.append(out)
    return activity


def _low(codes: np.ndarray, bits: int) -> int:
    copies = len(codes)
    return sum(
        (int(codes[c, i]) & (1 << bits) - 1) << bits * (i * copies + c)
        for i in range(codes.shape[1])
        for c in range(copies)
    )


def _tops(codes: np.ndarray, beat: dict, plan: Plan, granules: int) -> int:
    """Return both copies' rows of cls.top, with the segment's top bits in their granule."""
    n, segment, width = plan.rule.proxy_bits, plan.target.segment, plan.memory("cls.top").width
    copies = len(codes)
    word = beat["word"]
    place = (word % 9) * plan.target.node_fold + beat["part"]
    value = 0
    for e in range(COPIES):
        source, bit = (codes[e], n - 1) if copies == COPIES else (codes[0], n - 1 - e)
        for i, code in enumerate(source):
            value |= (int(code) >> bit & 1) << e * width + place * segment + i
    assert place < granules
    return value
