"""The pins around the chip: its interrupt, and the place of TLAST."""

import pytest
from amaranth.sim import Simulator

from xnoreplay.hw import bridges
from xnoreplay.spec.registers import Register

PIXELS = 5  # no power of two, so that a count must end by itself


def run(bench):
    """A bench in which `step` makes a clock of a port whose chip is not there."""
    ports = bridges.AxiPorts(1, PIXELS)
    simulator = Simulator(ports)

    async def process(ctx):
        async def step(count=1):
            for _ in range(count):
                for level in (0, 1):
                    ctx.set(ports.aclk, level)
                    await ctx.delay(1e-6)

        ctx.set(ports.aresetn, 0)
        await step(2)
        ctx.set(ports.aresetn, 1)
        await step()
        await bench(ctx, ports, step)

    simulator.add_testbench(process)
    simulator.run()


def test_the_interrupt_lasts_from_the_end_of_a_command_until_status_is_read():
    async def bench(ctx, ports, step):
        found = []

        async def look(address):
            ctx.set(ports.s_axil_araddr, address)
            ctx.set(ports.s_axil_arvalid, 1)
            ctx.set(ports.s_axil_arready, 1)
            await step()
            ctx.set(ports.s_axil_arvalid, 0)
            found.append(ctx.get(ports.irq))

        for busy in (1, 1, 0, 0):
            ctx.set(ports.chip_busy, busy)
            await step()
            found.append(ctx.get(ports.irq))
        await look(Register.PREDICTION)
        await look(Register.STATUS + 0x1000000)
        await look(Register.STATUS)
        await step(3)
        found.append(ctx.get(ports.irq))
        assert found == [0, 0, 1, 1, 1, 1, 0, 0]
        # A look in the very cycle in which a command ends does not lose its end.
        ctx.set(ports.chip_busy, 1)
        await step()
        ctx.set(ports.chip_busy, 0)
        await look(Register.STATUS)
        assert found[-1] == 1

    run(bench)


@pytest.mark.parametrize(
    ("lasts", "expected"),
    [
        ([0, 0, 0, 0, 1] * 3, 0),
        ([0, 0, 0, 0, 0], 1),  # none at the end
        ([0, 0, 0, 0, 1, 0, 1], 1),  # too early
    ],
)
def test_a_last_pixel_at_another_place_is_an_error(lasts, expected):
    async def bench(ctx, ports, step):
        for last in lasts:
            ctx.set(ports.s_axis_pixel_tlast, last)
            ctx.set(ports.s_axis_pixel_tvalid, 1)
            ctx.set(ports.ready, 0)
            await step()  # it waits, which counts nothing
            ctx.set(ports.ready, 1)
            await step()
        assert ctx.get(ports.pixel_error) == expected

    run(bench)


def test_a_command_that_was_aborted_in_a_sample_leaves_no_error():
    """The sample of the next command begins anew."""

    async def bench(ctx, ports, step):
        for lasts in ([0, 0], [0, 0, 0, 0, 1]):
            ctx.set(ports.chip_busy, 1)
            ctx.set(ports.s_axis_pixel_tvalid, 1)
            ctx.set(ports.ready, 1)
            for last in lasts:
                ctx.set(ports.s_axis_pixel_tlast, last)
                await step()
            ctx.set(ports.chip_busy, 0)
            ctx.set(ports.ready, 0)
            await step(2)
        assert ctx.get(ports.pixel_error) == 0

    run(bench)


def test_a_reset_takes_the_error_away():
    async def bench(ctx, ports, step):
        ctx.set(ports.ready, 1)
        ctx.set(ports.s_axis_pixel_tvalid, 1)
        for last in (0, 1):
            ctx.set(ports.s_axis_pixel_tlast, last)
            await step()
        assert ctx.get(ports.pixel_error) == 1
        ctx.set(ports.s_axis_pixel_tvalid, 0)
        ctx.set(ports.aresetn, 0)
        await step()
        ctx.set(ports.aresetn, 1)
        assert ctx.get(ports.pixel_error) == 0

    run(bench)
