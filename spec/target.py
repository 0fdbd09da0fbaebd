"""Parameters of the hardware: lanes, word widths, memory sizes, learning constants, technology."""

from dataclasses import dataclass

from xnoreplay.spec import limits
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.codes import KINDS, PARITY, PROTECTED
from xnoreplay.spec.errors import SpecError, require, shown, unknown
from xnoreplay.spec.events import COUNTER_BITS, Group
from xnoreplay.spec.network import TAPS

TECHNOLOGIES = ("90nm", "65nm", "45nm", "32nm", "22nm")
DEVICE_TYPES = ("hp", "lop", "lstp")
REPLAYS = ("stored", "generative")
GENERATIVE = ("replay_components", "mean_bits", "drawn_per_class", "staged_per_class")
"""Fields that have a meaning with generative replay alone."""
GROUPS = tuple(group.value for group in Group)
"""Groups of event counters, as a spec file names them."""
MOST_LATENTS = 1 << 16
"""Of both memories together: the longest walk of an address register."""

NEVER = 1 << 62
"""A cycle that no chip comes to: more than a century at 1 GHz."""
MOST_WATCHDOG = 40
"""Bits of a watchdog: at 1 GHz more than a quarter of an hour."""


@dataclass(frozen=True)
class TargetSpec:
    """Parameters of the hardware: lanes, word widths, memory sizes, learning constants, technology.

    The most of each number that has no range here is in `xnoreplay.spec.limits.MOST`.

    Parameters
    ----------
    name : str
        What reports call it.
    lanes : int
        L, lanes of the binary array; a power of two that divides `channels`.
    channels : int
        G, channels of one window tap and bits of one feature-map word; a power of two.
    batch : int
        B, the most samples of one minibatch; a power of two, at least 1.
    proxy_bits : int
        n, bits of a proxy weight, 2 to 12.
    delta_bits : int
        b, bits of a quantised delta, 2 to 8.
    proxies_per_pair : int
        1: the top two bits of a proxy are the pair of weights. 2: one proxy for each weight.
    hidden_learns : bool
        Whether the hidden layer is retrained on the chip, or stays as exported.
    replay_capacity : int
        M, latents in the replay memory: at least one for every class of the network, and with the staging
        memory at most 65,536.
    staging_capacity : int
        Latents of a session's new samples kept aside, or 0 for no staging memory; with the replay memory at
        most 65,536.
    epochs : int
        Epochs of one session, 1 to 1,000; the rate halves at 3, 4 and 5 sixths of them.
    most_error_units : int
        Samples whose errors are computed at once, as far as lanes and minibatch allow; each takes a
        unit with a multiplier of its own. A power of two.
    rate_shift : int
        The update shifts a summed gradient right by ``delta_bits - proxy_bits + rate_shift``. -8 to 16.
    clock_hz : int
        Clock of the energy and time estimates, in Hz.
    technology : str
        Node of the SRAMs in the energy estimate: "90nm", "65nm", "45nm", "32nm" or "22nm".
    device_type : str
        ITRS device type of these SRAMs: "hp" for speed, "lop" for low operating power, "lstp" for low standby power.
    replay : str
        "stored": latents of old classes are kept. "generative": they are drawn from the means of each
        class's components, `replay_capacity` has no meaning, and the next four fields have one.
    replay_components : int
        Components of a class, 1 to `drawn_per_class`, at most 16.
    mean_bits : int
        Bits of a mean, 1 to 4.
    drawn_per_class : int
        Samples of a class in an epoch: its staged ones, and draws for the rest. 1 to 4,096.
    staged_per_class : int
        The most samples of one class that staging takes.
    counter_bits : int
        Bits of an event counter: 48, 32, or 0 for a chip without event counters, where `counters` has no meaning.
    counters : tuple of str
        Groups of event counters that the chip has: "cycles", "array", "memories", "learning".
    parity : tuple of str
        Memories whose words have a parity bit, which finds a wrong bit: of "weights.fe", "weights.lgap", "replay.latent",
        "replay.label", "staging.latent", "staging.label".
    ecc : tuple of str
        Memories, of the same, whose words have a code that corrects one wrong bit and finds two.
    watchdog_bits : int
        The chip aborts a command that still runs in its cycle 2^watchdog_bits, waits for its sample included; 1 to 40, and
        enough for every command whose sample comes at once. 0: no watchdog.
    """

    name: str
    lanes: int
    channels: int
    batch: int
    proxy_bits: int = 8
    delta_bits: int = 6
    proxies_per_pair: int = 1
    hidden_learns: bool = False
    replay_capacity: int = 100
    staging_capacity: int = 0
    epochs: int = 6
    most_error_units: int = 1
    rate_shift: int = 5
    clock_hz: int = 50_000_000
    technology: str = "45nm"
    device_type: str = "lstp"
    replay: str = "stored"
    replay_components: int = 5
    mean_bits: int = 2
    drawn_per_class: int = 96
    staged_per_class: int = 10
    counter_bits: int = 48
    counters: tuple[str, ...] = GROUPS
    parity: tuple[str, ...] = ()
    ecc: tuple[str, ...] = ()
    watchdog_bits: int = 0

    def __post_init__(self) -> None:
        require.name("name of a target", self.name)
        for name in ("lanes", "channels", "batch", "most_error_units"):
            value = getattr(self, name)
            limits.count(name, value)
            if value & (value - 1):
                raise SpecError(f"{name} must be a power of two, not {value}")
        if self.channels % self.lanes:
            raise SpecError(
                f"lanes must divide the window's {self.channels} channels, not {self.lanes}"
            )
        require.between("proxy_bits", self.proxy_bits, 2, 12)
        require.between("delta_bits", self.delta_bits, 2, 8)
        require.choice("proxies_per_pair", self.proxies_per_pair, (1, 2))
        require.choice("hidden_learns", self.hidden_learns, (False, True))
        require.between("replay_capacity", self.replay_capacity, 1, MOST_LATENTS)
        require.between("staging_capacity", self.staging_capacity, 0, MOST_LATENTS)
        if self.replay_capacity + self.staging_capacity > MOST_LATENTS:
            raise SpecError(
                f"replay_capacity and staging_capacity together must be at most {MOST_LATENTS} latents, "
                f"the longest walk, not {self.replay_capacity + self.staging_capacity}"
            )
        require.between("epochs", self.epochs, 1, limits.MOST["epochs"].most)
        require.between("rate_shift", self.rate_shift, -8, 16)
        limits.count("clock_hz", self.clock_hz)
        require.choice("technology", self.technology, TECHNOLOGIES)
        require.choice("device_type", self.device_type, DEVICE_TYPES)
        self._check_generative()
        self._check_counters()
        for kind in KINDS:
            self._check_code(kind)
        require.between("watchdog_bits", self.watchdog_bits, 0, MOST_WATCHDOG)
        if self.node_fold > self.channels:
            raise SpecError(
                f"batch must fit a node of the window, at most {TAPS * self.channels} samples, "
                f"not {self.batch}"
            )

    def _check_generative(self) -> None:
        require.choice("replay", self.replay, REPLAYS)
        for name in GENERATIVE:
            limits.count(name, getattr(self, name))
        if self.replay_components > self.drawn_per_class:
            raise SpecError(
                f"replay_components must be at most the {self.drawn_per_class} latents that are drawn of a "
                f"class in an epoch, not {self.replay_components}"
            )

    def _check_counters(self) -> None:
        require.choice("counter_bits", self.counter_bits, COUNTER_BITS)
        given = self.counters
        if not isinstance(given, tuple | list):
            raise SpecError(f"counters must be a list of groups, not {shown(given)}")
        for n, group in enumerate(given):
            if group not in GROUPS:
                raise unknown("group of counters", group, GROUPS)
            if group in given[:n]:
                raise SpecError(f"counters must name a group once, not {shown(group)} twice")
        # In one order, so that targets with the same counters are equal.
        object.__setattr__(self, "counters", tuple(g for g in GROUPS if g in given))

    def _check_code(self, kind: str) -> None:
        given = getattr(self, kind)
        if not isinstance(given, tuple | list):
            raise SpecError(f"{kind} must be a list of memories, not {shown(given)}")
        for n, name in enumerate(given):
            if name not in PROTECTED:
                raise unknown(f"memory of {kind}", name, PROTECTED)
            if name in given[:n]:
                raise SpecError(f"{kind} must name a memory once, not {shown(name)} twice")
            if kind != PARITY and name in self.parity:
                raise SpecError(f"a memory must have parity or {kind}, not both as {shown(name)}")
        # In one order, so that targets with the same codes are equal.
        object.__setattr__(self, kind, tuple(name for name in PROTECTED if name in given))

    def code_of(self, memory: str) -> str:
        """The code of a memory: of `spec.codes.KINDS`, or "" for none."""
        return next((kind for kind in KINDS if memory in getattr(self, kind)), "")

    @property
    def watchdog_cycles(self) -> int:
        """Cycles after which the chip aborts a command: `NEVER` without a watchdog."""
        return 1 << self.watchdog_bits if self.watchdog_bits else NEVER

    @property
    def counted(self) -> tuple[str, ...]:
        """Groups of event counters that the chip has: none where a counter has no bits."""
        return self.counters if self.counter_bits else ()

    @property
    def replay_slots(self) -> int:
        """Latents that the replay memory keeps: none with generative replay."""
        return self.replay_capacity if self.replay == "stored" else 0

    @property
    def window(self) -> int:
        """W, cells of one lane: nine taps of G channels."""
        return TAPS * self.channels

    @property
    def node_fold(self) -> int:
        """Channels whose nine cells join in one learning node: the least 2^k with 9 2^k >= B."""
        return 1 << max(0, (ceil_div(self.batch, TAPS) - 1).bit_length())

    @property
    def segment(self) -> int:
        """S, learning nodes of one lane: columns whose gradient one beat gives."""
        return self.channels // self.node_fold

    @property
    def error_units(self) -> int:
        """P, samples whose errors are computed at once; a power of two that divides L and B."""
        return min(self.most_error_units, self.lanes, self.batch)

    @property
    def cells(self) -> int:
        """One-bit cells of the array."""
        return self.lanes * self.window
