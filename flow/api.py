"""The Python interface: the names of `import xnoreplay as xr`, for scripts and notebooks.

A chip is driven as its host drives the hardware, and counts the same clock cycles and events.

Examples
--------
>>> import xnoreplay as xr
>>> preset = xr.load_preset("tiny")
>>> chip = xr.Chip(preset, xr.load_bundle(preset, untrained=True))
>>> images = xr.load_images(preset)
>>> classes = preset.scenario.chip_classes(images.train_labels)  # -1: not of the scenario
>>> first = (classes >= 0) & (classes < preset.scenario.base)
>>> chip.remember(images.train_images[first][:20], classes[first][:20])  # taken, refused
(8, 12)
>>> chip.classes_seen
2
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, replay
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

if TYPE_CHECKING:
    from xnoreplay.sim.run import Result


def load_preset(name_or_path: str) -> Preset:
    """Load a preset by name, or from a TOML file of the form that `xnoreplay presets show` prints.

    Raises
    ------
    SpecError
        For an unknown preset, section or field, or a value that breaks a rule.

    Examples
    --------
    >>> load_preset("digits").target.lanes
    4
    """
    return presets.load(name_or_path)


def load_bundle(preset: Preset, path: str | Path | None = None, untrained: bool = False) -> Bundle:
    """Load the weights, thresholds and proxies of a preset's network, and check their golden pairs.

    Parameters
    ----------
    preset : Preset
        Whose network the bundle is of.
    path : str or Path, optional
        A bundle file; without it the packaged bundle of the preset's network and scenario.
    untrained : bool
        Random bits in place of trained ones, to try a design before there is a training.

    Raises
    ------
    XnoreplayError
        Where no bundle fits, or both a path and random bits are asked for.
    CheckFailure
        Where the bundle's golden latents or logits are not what its weights compute.

    Examples
    --------
    >>> load_bundle(load_preset("digits")).network.latent
    128
    """
    file = Path(path) if path is not None else None
    return BundleSource.choose(preset, file, untrained).load_checked(preset)


def load_images(preset: Preset) -> Dataset:
    """Load the images of a preset's scenario as they enter the chip, with labels and their split.

    The result has ``images`` (n, height, width, channels) uint8, ``labels`` (n,) int64 as the data
    set numbers them, ``is_test`` (n,) bool, and ``train_images``, ``test_labels`` and so on.
    ``preset.scenario.chip_classes(labels)`` turns labels into the chip's classes. Images of a data set of your own are
    rows of an array on the disk (`xnoreplay.spec.rows.Rows`): an index reads those that it names, `numpy.asarray` all.

    Raises
    ------
    XnoreplayError
        Where a data set that the user brings is not there; `XNOREPLAY_DATA` names its folder.

    Examples
    --------
    >>> load_images(load_preset("digits")).test_images.shape
    (445, 8, 8, 1)
    """
    return registry.of_preset(preset)


@dataclass(frozen=True)
class Session:
    """The cost of a retraining session, without the images that were enrolled for it.

    Attributes
    ----------
    cycles : int
        Clock cycles.
    seconds : float
        The time of these cycles at the target's clock.
    counters : dict of str to int
        Events of this session alone, by name.
    """

    cycles: int
    seconds: float
    counters: dict[str, int]


class Chip:
    """A simulated chip from power-on, exact in every bit and clock cycle.

    Parameters
    ----------
    preset : Preset
        Network, target and scenario, see `load_preset`.
    bundle : Bundle
        Weights, thresholds and proxies of its network, see `load_bundle`.

    Attributes
    ----------
    plan : Plan
        Operations, addresses, cycles and memories of the design.
    simulator : sim.run.Simulator
        The chip command by command, with its trace, its memories and faults.

    Examples
    --------
    >>> preset = load_preset("digits")
    >>> chip, images = Chip(preset, load_bundle(preset)), load_images(preset)
    >>> classes = preset.scenario.chip_classes(images.train_labels)
    >>> base = classes < preset.scenario.base
    >>> chip.remember(images.train_images[base], classes[base])  # the first five classes
    (100, 578)
    >>> new, before = classes == 5, chip.cycles
    >>> chip.enrol(images.train_images[new], classes[new])
    (137, 0)
    >>> session = chip.learn()
    >>> session.counters["learn.samples"] == preset.target.epochs * (100 + 137)
    True
    >>> chip.cycles - before  # 137 images, and the session
    444671
    >>> tests = preset.scenario.chip_classes(images.test_labels)
    >>> seen = tests < chip.classes_seen
    >>> int((chip.predict(images.test_images[seen]) == tests[seen]).sum()), int(seen.sum())
    (264, 268)
    """

    def __init__(self, preset: Preset, bundle: Bundle) -> None:
        from xnoreplay.sim.run import Simulator

        self.preset = preset
        self.plan: Plan = plans.compile(preset.network, preset.target)
        self.simulator = Simulator(self.plan, bundle)

    @property
    def classes_seen(self) -> int:
        """Classes that a prediction chooses from."""
        return self.simulator.state.seen

    @property
    def counters(self) -> dict[str, int]:
        """How often every event came since power-on, by the name of its counter, whether the chip has that or not."""
        return self.simulator.counters

    @property
    def cycles(self) -> int:
        """Clock cycles in which a command ran, since power-on."""
        return self.simulator.cycles

    def memories(self) -> dict[str, np.ndarray]:
        """(rows, width) uint8 bits of every memory, by name."""
        return self.simulator.memories()

    def remember(self, images: np.ndarray, classes: Iterable[int]) -> tuple[int, int]:
        """Announce classes and put their samples into the replay memory at once, as for base classes.

        Parameters
        ----------
        images : (n, height, width, channels) uint8
        classes : (n,) int
            Chip classes, from 0; the chip has then seen all up to the greatest.

        Returns
        -------
        tuple of int
            Samples that the replay memory took, and those that it refused because their class has
            its quota.

        Raises
        ------
        SpecError
            For images or classes that the chip does not take.
        """
        numbers = self._classes(images, classes)
        self.simulator.arrive(max(max(numbers, default=-1) + 1, self.classes_seen))
        return self._enter(self.simulator.insert, images, numbers)

    def enrol(self, images: np.ndarray, classes: Iterable[int]) -> tuple[int, int]:
        """Put new samples aside for the next `learn`; a chip without a staging memory remembers them at once.

        With generative replay the samples of a call are given class after class; give all of a class in one call.

        Parameters and result are those of `remember`.
        """
        if not self.plan.replay.staging:
            return self.remember(images, classes)
        return self._enter(self.simulator.stage, images, self._classes(images, classes))

    def learn(self) -> Session:
        """Retrain the classifier from all remembered and new samples, then share the replay memory anew.

        Raises
        ------
        SpecError
            Before there is a class to learn.
        """
        before = self.counters
        self.simulator.retrain()
        self.simulator.rebalance()
        counted = {name: value - before[name] for name, value in self.counters.items()}
        cycles = counted["cycles"]
        return Session(cycles, cycles / self.preset.target.clock_hz, counted)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """(n,) int64 classes of (n, height, width, channels) images; counts nothing, changes nothing."""
        return self.simulator.predict(images)

    def infer(self, image: np.ndarray) -> "Result":
        """Infer one image, and return its prediction and the name and first cycle of each phase.

        Parameters
        ----------
        image : (height, width, channels) uint8
            One image as it enters the chip.
        """
        return self.simulator.infer(image)

    def _classes(self, images: np.ndarray, classes: Iterable[int]) -> list[int]:
        numbers = [int(c) for c in classes]
        if len(numbers) != len(images):
            raise SpecError(f"classes must be one an image, {len(images)}, not {len(numbers)}")
        return numbers

    def _enter(self, put, images: np.ndarray, classes: list[int]) -> tuple[int, int]:
        order = replay.entry_order(self.preset.target, np.array(classes, int)).tolist()
        refused = sum(put(images[i], classes[i]).refused for i in order)
        return len(classes) - refused, refused


@dataclass(frozen=True)
class Verilog:
    """A chip's Verilog.

    Attributes
    ----------
    text : str
        Of the whole design.
    top : str
        Name of its top module.
    macros : list of dict
        Memories as modules of their shapes: name, depth, width, granule, ports, instances.
    """

    text: str
    top: str
    macros: list[dict]


def generate(preset: Preset) -> Verilog:
    """Generate the chip's Verilog; the same preset gives the same text anywhere.

    Examples
    --------
    >>> chip = generate(load_preset("tiny"))
    >>> chip.top, f"module {chip.top}(" in chip.text
    ('xnoreplay', True)
    """
    from xnoreplay.hw import verilog

    text, macros = verilog.with_macros(plans.compile(preset.network, preset.target))
    return Verilog(text, verilog.TOP, macros)


@dataclass(frozen=True)
class Estimate:
    """The price of a retraining session.

    Parameters
    ----------
    tree : dict
        Every figure with its origin, as `xnoreplay estimate --json` writes it.
    """

    tree: dict

    @property
    def memory_bits(self) -> int:
        """Bits of all memories on the chip."""
        return self.tree["memory"]["bits"]

    def cycles(self, run: str = "session") -> float:
        """Return the clock cycles of an "inference", "sample", "epoch" or "session"."""
        return self.tree["runs"]["latent"][run]["cycles"]

    def joules(self, run: str = "session") -> tuple[float, float, float]:
        """Return the energy of an "inference", "sample", "epoch" or "session" in joules: low, nominal and high."""
        low, nominal, high = self.tree["runs"]["latent"][run]["total"]
        return low, nominal, high

    def __str__(self) -> str:
        """Return the tables that `xnoreplay estimate` prints."""
        from xnoreplay.flow.cost import session_text

        return session_text.text(self.tree)


def estimate(preset: Preset, bundle: Bundle | None = None, task: int = 1) -> Estimate:
    """Price a retraining session in bits, cycles and joules.

    Parameters
    ----------
    preset : Preset
        Network, target and scenario.
    bundle : Bundle, optional
        Without one, weights and latents are random bits.
    task : int
        Which session of the scenario, from 1.

    Raises
    ------
    XnoreplayError
        For a session that the scenario has not, or a design that the cost tables do not cover.

    Examples
    --------
    >>> price = estimate(load_preset("digits"), load_bundle(load_preset("digits")))
    >>> price.memory_bits, price.cycles()
    (128586, 444653)
    """
    from xnoreplay.flow.cost import session_cost

    return Estimate(session_cost.price_session(preset, bundle, task))


def draw(preset: Preset) -> str:
    """Draw the chip's block diagram as SVG text, for light and dark pages.

    Examples
    --------
    >>> draw(load_preset("digits")).startswith("<svg")
    True
    """
    from xnoreplay.flow.output import diagram

    return diagram.chip_svg(plans.compile(preset.network, preset.target), preset.name)
