"""Reference, simulator in both modes, and hardware: one meaning.

The hardware runs in Amaranth's own simulator here, over random tiny specs; co-simulation holds its
Verilog to the simulator at full size.
"""

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.hw.chip_bench import (
    ARRIVE,
    EPOCH,
    INFER,
    INSERT,
    REBALANCE,
    STAGE,
    random_image,
    run_chip,
)
from tests.hw.test_chip import cases
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles


def simulate(chip: Simulator, command, argument, pixels):
    """One command on the simulator."""
    verbs = {
        ARRIVE: lambda: chip.arrive(argument),
        INSERT: lambda: chip.insert(pixels, argument),
        STAGE: lambda: chip.stage(pixels, argument),
        REBALANCE: chip.rebalance,
        EPOCH: chip.epoch,
        INFER: lambda: chip.infer(pixels),
    }
    return verbs[command]()


@settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate])
@given(plan=cases(), seed=st.integers(0, 2**32 - 1))
def test_hardware_equals_both_modes(plan, seed):
    rng = np.random.default_rng(seed)
    bundle = bundles.random(plan.network, seed)
    base = plan.network.classes - 1
    commands = [(ARRIVE, base, None)]
    commands += [(INSERT, n % base, random_image(rng, plan)) for n in range(4)]
    commands += [(INFER, 0, random_image(rng, plan))]
    commands += [(STAGE, base, random_image(rng, plan)) for _ in range(3)]
    commands += [(REBALANCE, 0, None), (EPOCH, 0, None), (INFER, 0, random_image(rng, plan))]
    hardware = run_chip(plan, bundle, commands)

    for mode in ("fast", "step"):
        chip = Simulator(plan, bundle, mode)
        for (command, argument, pixels), observed in zip(commands, hardware, strict=True):
            start = chip.cycles
            result = simulate(chip, command, argument, pixels)
            assert [(name, cycle - start) for name, cycle in result.phases] == observed.phases
            assert chip.cycles - start == observed.cycles
            assert chip.counters == observed.counters
            for name, rows in observed.memories.items():
                assert chip.memory_ints(name) == rows, name
            assert chip.state.lfsr_walk == observed.lfsr_walk
            assert result.refused == observed.refused
            if command == INFER:
                assert result.prediction == observed.prediction
