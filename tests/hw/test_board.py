"""A board's reset, button and light, without a chip."""

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from xnoreplay.hw.board import HELD, Board, Wiring


def run(wires, program):
    """Drive a board without a PLL, whose oscillator is a clock of the simulation."""
    board = Board(wires, "")
    m = Module()
    m.submodules.board = board
    simulator = Simulator(m)

    async def bench(context):
        async def resets(clocks):
            found = []
            for _ in range(clocks):
                context.set(board.clk, 1)
                await context.delay(1e-9)
                context.set(board.clk, 0)
                await context.delay(1e-9)
                found.append(context.get(board.reset))
            return found

        await program(context, board, resets)

    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("inverted", [frozenset(), frozenset({"button", "busy"})])
def test_a_reset_comes_at_power_on_and_after_the_button(inverted):
    up = int("button" in inverted)

    async def program(context, board, resets):
        context.set(board.button, up)
        assert context.get(board.reset) == 1
        found = await resets(2 * HELD)
        first = found.index(0)
        assert HELD < first <= HELD + 3  # two registers of the button, one of the reset
        assert not any(found[first:])
        context.set(board.button, 1 - up)
        assert (await resets(20))[5:] == [1] * 15
        context.set(board.button, up)
        found = await resets(2 * HELD)
        assert HELD < found.index(0) <= HELD + 4
        assert sum(found) == found.index(0)

    run(Wiring(inverted), program)


def test_a_press_of_a_few_clocks_is_a_whole_reset():
    async def program(context, board, resets):
        await resets(2 * HELD)
        context.set(board.button, 1)
        await resets(2)
        context.set(board.button, 0)
        assert sum(await resets(2 * HELD)) >= HELD

    run(Wiring(), program)


def test_the_light_is_on_while_the_chip_works_and_high_pins_are_1():
    for inverted in (False, True):

        async def program(context, board, resets, inverted=inverted):
            for working in (0, 1):
                context.set(board.working, working)
                await resets(1)
                assert context.get(board.busy) == working ^ inverted
            assert context.get(board.high) == 0b11

        run(Wiring(frozenset({"busy"} if inverted else ()), 2), program)
