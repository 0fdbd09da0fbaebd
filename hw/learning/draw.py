"""Random latents from the means of a component; `spec/generative.py` is their meaning."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.lfsr import wide_next
from xnoreplay.hw.parts.ports import HostPort
from xnoreplay.spec.generative import power_on
from xnoreplay.spec.lfsr import WIDE_BITS, WIDE_STEPS


def joined(word: Value, plane: Value, random: Value) -> Value:
    """Moves each bit's probability of 1 halfway to 1 where the plane has a 1, and halfway to 0 where it has a 0."""
    return (plane & (word | random)) | (~plane & word & random)


class DrawUnit(wiring.Component):
    """One word of a latent from the planes of its means and one random word more than those.

    In a cycle with ``step`` every wide register steps, and its new bits join ``word``, which has them after the
    cycle: with ``first`` they are the word, else ``word or random`` where ``plane`` is 1 and ``word and random``
    where it is 0. After a first step and those of the planes, the lowest first, ``word`` is the word of
    `spec.generative.Components.draw`. Any number of cycles without ``step`` may lie between. No backpressure.

    Parameters
    ----------
    channels : int
        G, bits of a word; a power of two.

    Members
    -------
    step, first : In(1)
    plane : In(channels), of the component's means; of no meaning in a first step
    word : Out(channels)
    host : the host's access to draw.state; a register that it writes does not step
    states : Out(63) a register, as ``state0`` and on
    """

    def __init__(self, channels: int):
        self.channels = channels
        self.seeds = power_on(channels)
        states = {f"state{i}": Out(WIDE_BITS, init=seed) for i, seed in enumerate(self.seeds)}
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "plane": In(channels),
                "word": Out(channels),
                "host": In(HostPort(len(self.seeds), WIDE_BITS)),
                **states,
            }
        )

    def state(self, index: int) -> Value:
        """The state of one wide register."""
        return getattr(self, f"state{index}")

    def elaborate(self, _platform):
        """Wire the registers, their step and the planes' bits."""
        m = Module()
        steps = min(self.channels, WIDE_STEPS)
        random = []
        word = Signal(WIDE_BITS)
        m.d.comb += self.host.rdata.eq(word)
        for i in range(len(self.seeds)):
            new, following = wide_next(self.state(i), steps)
            random.append(new)
            chosen = self.host.addr == i if len(self.seeds) > 1 else Const(1, 1)
            with m.If(self.host.ren & chosen):
                m.d.sync += word.eq(self.state(i))
            with m.If(self.host.wen & chosen):
                m.d.sync += self.state(i).eq(self.host.wdata)
            with m.Elif(self.step):
                m.d.sync += self.state(i).eq(following)
        r = Cat(*random)
        with m.If(self.step):
            m.d.sync += self.word.eq(joined(self.word, self.plane, r))
            with m.If(self.first):
                m.d.sync += self.word.eq(r)
        return m
