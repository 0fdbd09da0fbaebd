"""What a user chooses for a run.

To add an option, add a field to `Settings`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnoreplay.flow.pipeline import options
from xnoreplay.flow.pipeline.options import COMMANDS, Memory, Option, option
from xnoreplay.spec.errors import SpecError, shown

if TYPE_CHECKING:  # the command line's help needs neither, and no NumPy
    from xnoreplay.flow.datasets.bundles import BundleSource
    from xnoreplay.spec.presets import Preset

SETTINGS = "run.json"
"""File of a run folder with the settings that it remembers."""
START = "start.safetensors"
"""A run folder's own copy of the bundle that its training went on from: that may be the folder's own,
which the export replaces, or be gone when a later step asks whether the training is up to date."""
SIMULATORS = ("verilator", "icarus", "both")

_BUNDLE = tuple(c for c in COMMANDS if c != "pretrain")
_IMAGES = tuple(c for c in COMMANDS if c not in ("generate", "prove", "synth", "report"))


@dataclass(frozen=True)
class Request:
    """What a command of a run folder is asked for, as the user gave it: None, and False, is left open.

    The fields are options like those of `Settings`, but no settings by themselves: they name the preset, change its
    scenario, choose the bundle, or say where and how the command works.

    Parameters
    ----------
    settings : dict
        Values of `Settings` by name.
    """

    preset: str | None = option(
        None,
        "A preset's name, or a TOML file.",
        "NAME|FILE",
        commands=COMMANDS,
        default_text="the run folder's, or digits",
    )
    out: Path | None = option(
        None, "Run folder.", "FOLDER", commands=COMMANDS, default_text="runs/PRESET"
    )
    bundle: Path | None = option(
        None, "Start from this bundle, not the packaged one.", "FILE", commands=_BUNDLE
    )
    untrained: bool = option(
        False, "Start from random bits, to try a spec untrained.", commands=_BUNDLE, switch=True
    )
    force: bool = option(False, "Repeat even what is up to date.", commands=COMMANDS, switch=True)
    data: Path | None = option(
        None,
        "Folder with data sets that you bring: CIFAR-100, CORe50.",
        "FOLDER",
        commands=_IMAGES,
        default_text="XNOREPLAY_DATA",
    )
    order_seed: int | None = option(
        None,
        "Seed of the class order; no other seed changes it.",
        "N",
        commands=("pretrain", "cil"),
        default_text="the preset's",
    )
    step: int | None = option(
        None, "New classes in each session.", "N", commands=("cil",), default_text="the preset's"
    )
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def chosen(self) -> dict[str, Any]:
        """What `resolve` takes: the settings, and what the other options say of preset and bundle."""
        names = ("preset", "bundle", "untrained", "order_seed", "step")
        return {name: getattr(self, name) for name in names} | self.settings


def _objectives() -> Iterable[str]:
    from xnoreplay.model.training.recipe import OBJECTIVES

    return OBJECTIVES


def _families() -> Iterable[str]:
    from xnoreplay.flow.chip.families import COMMANDS as families

    return families


@dataclass(frozen=True)
class Settings:
    """Everything that decides the steps of a run; checked before anything is written or remembered.

    Each field below `source` is an option, see `xnoreplay.flow.pipeline.options.option`: its type and default, and
    what `--help` says of it.

    Parameters
    ----------
    preset : Preset
        Network, machine and scenario.
    source : BundleSource
        Where the bundle comes from.

    Raises
    ------
    SpecError
        Where a setting breaks a rule; the message states the rule and the value.
    """

    preset: "Preset"
    source: "BundleSource"
    seeds: int = option(
        3,
        "Seeds an accuracy is a mean over.",
        "N",
        steps=("cil", "explore"),
        in_run=True,
        memory=Memory.FOLDER,
    )
    images: int = option(
        50,
        "Images compared on every bit, counter and cycle; of a large network, two.",
        "N",
        steps=("cosim",),
        in_run=True,
        memory=Memory.FOLDER,
    )
    simulator: str = option(
        "verilator",
        "verilator, icarus, or both.",
        "NAME",
        steps=("cosim",),
        in_run=True,
        memory=Memory.FOLDER,
        choices=lambda: SIMULATORS,
        default_text="the run folder's, or both where Icarus is installed",
    )
    baud: int | None = option(
        None,
        "Bits a second of the chip's UART.",
        "N",
        steps=("generate",),
        memory=Memory.FOLDER,
        default_text="115200, or the next lower that the clock makes",
    )
    prefix: str = option(
        "xnoreplay",
        "What the names of the Verilog's modules begin with in PREFIX.v, in small letters, so that two chips fit one design.",
        "NAME",
        steps=("generate",),
        memory=Memory.FOLDER,
    )
    place: bool = option(
        False,
        "Also place and route for ECP5.",
        steps=("synth",),
        in_run=True,
        memory=Memory.FOLDER,
    )
    objective: str = option(
        "supervised",
        "supervised; semi: with Barlow Twins; or distilled: with a real-valued teacher.",
        "NAME",
        steps=("pretrain",),
        memory=Memory.FOLDER,
        choices=_objectives,
    )
    all_classes: bool = option(
        False,
        "Train on every class, to see what a better extractor gives.",
        steps=("pretrain",),
        memory=Memory.FOLDER,
        off="--base-classes",
    )
    epochs: int | None = option(
        None,
        "Epochs of the training.",
        "N",
        steps=("pretrain",),
        memory=Memory.TRAINING,
        bound="training epochs",
        default_text="the data set's recipe",
    )
    start: Path | None = option(
        None,
        "Go on training this network, at half the learning rate.",
        "BUNDLE",
        steps=("pretrain",),
        memory=Memory.TRAINING,
        default_text="none, also where the folder's last training had one",
    )
    augment: bool = option(
        True,
        "Move and mirror the images.",
        steps=("pretrain",),
        memory=Memory.FOLDER,
    )
    dump: bool = option(
        False,
        "Also leave predictions.safetensors, of every sample.",
        steps=("cil",),
        memory=Memory.FOLDER,
    )
    faults: tuple[str, ...] = option(
        (),
        "Plant a fault, to see it found; repeatable.",
        "FAULT",
        steps=("cosim",),
        flag="--fault",
    )
    verilog: Path | None = option(
        None,
        "Compare this file, not the generated one. It is run as a program: see --trust.",
        "FILE",
        steps=("cosim",),
    )
    trust: bool = option(
        False,
        "Also run Verilog that reaches out of its simulation: $system, $fopen, $readmemh, "
        "`include, DPI. It is refused otherwise.",
        steps=("cosim",),
        switch=True,
    )
    netlist: bool = option(
        False,
        "Compare the gates that yosys maps the Verilog to; with --liberty, that library's cells.",
        steps=("cosim",),
        switch=True,
    )
    mutants: int = option(500, "Mutants to draw.", "N", steps=("mutate",))
    mutant_seed: int = option(
        1,
        "Seed of the draw of mutants.",
        "N",
        steps=("mutate",),
        flag="--seed",
    )
    families: tuple[str, ...] = option(
        ("ecp5",),
        "ecp5, ice40, xcup (UltraScale+) or gowin (GW5A); repeatable.",
        "NAME",
        steps=("synth",),
        flag="--family",
        choices=_families,
    )
    liberty: Path | None = option(
        None,
        "Map to this library's cells: synth also does, for area; cosim --netlist compares them, "
        "prove --equivalence proves them.",
        "FILE",
        steps=("cosim", "prove", "synth"),
    )
    properties: tuple[str, ...] = option(
        (),
        "Prove this property, or those whose names begin so; repeatable.",
        "NAME",
        steps=("prove",),
        default_text="all",
        flag="--property",
    )
    planted: bool = option(
        False,
        "Also plant the faults of each property, and see them found.",
        steps=("prove",),
        switch=True,
    )
    equivalence: bool = option(
        False,
        "Also prove each module equal to its netlist: of gates, or of --liberty's cells.",
        steps=("prove",),
        switch=True,
    )
    sweep: dict[str, list] | None = option(
        None,
        "Values to try by dial; without any, explore takes its own.",
        steps=("explore",),
        commands=(),  # explore makes it of --sweep or --spec
        memory=Memory.FOLDER,
    )
    sessions: int = option(
        100,
        "Sessions with upsets, of each memory and rate.",
        "N",
        steps=("upset",),
        memory=Memory.FOLDER,
    )
    rates: tuple[str, ...] = option(
        (),
        "Probability that a bit changes in a session; repeatable.",
        "P",
        steps=("upset",),
        memory=Memory.FOLDER,
        flag="--rate",
        default_text="1e-9 to 1e-3",
    )
    memories: tuple[str, ...] = option(
        (),
        "Change bits of this memory or register alone; repeatable.",
        "NAME",
        steps=("upset",),
        memory=Memory.FOLDER,
        flag="--memory",
        default_text="each by itself, then all together",
    )
    replays: int = option(
        20,
        "Sessions that are repeated in the Verilog.",
        "N",
        steps=("upset",),
        memory=Memory.FOLDER,
    )
    flip_flops: int | None = option(
        None,
        "Flip-flops of the Verilog that change, each in a session of its own, and as many while an image is recognised.",
        "N",
        steps=("upset",),
        memory=Memory.FOLDER,
    )
    own_training: bool = option(
        False,
        "True once `--from pretrain` was given and no bundle since.",
        memory=Memory.TRAINING,
    )

    def __post_init__(self) -> None:
        from xnoreplay.flow.chip import naming
        from xnoreplay.flow.explore import space
        from xnoreplay.flow.upset import campaign
        from xnoreplay.model.training.recipe import recipe_of
        from xnoreplay.spec import plan

        for name, declared in options.of_fields(type(self)).items():
            declared.check(name, getattr(self, name))
        naming.checked(self.prefix)
        campaign.checked_rates(self.rates)
        if self.memories:
            compiled = plan.compile(self.preset.network, self.preset.target)
            campaign.checked_places(compiled, self.memories)
        if self.sweep is not None:
            if not isinstance(self.sweep, dict) or not all(
                isinstance(v, list) for v in self.sweep.values()
            ):
                raise SpecError(f"a sweep must be lists of values by dial, not {shown(self.sweep)}")
            space.checked(self.sweep)
        recipe_of(self.preset.scenario.dataset, self.objective, self.augment)  # refuses some pairs

    def of_step(self, step: str) -> dict:
        """Return the settings that a step's configuration holds, by name, as plain values."""
        return {
            name: declared.plain(getattr(self, name))
            for name, declared in options.of_fields(type(self)).items()
            if step in declared.steps
        }

    def remembered(self) -> dict:
        """Return what `run.json` holds: plain values by name; of `start` whether the folder has a copy."""
        from xnoreplay.spec import presets

        kept = {name: table()[name].plain(getattr(self, name)) for name in remembered()}
        return {"preset": presets.to_dict(self.preset), **kept, "start": self.start is not None}


@cache
def table() -> dict[str, Option]:
    """Return every option of the commands of a run folder by name: those of `Request`, then those of `Settings`."""
    return options.of_fields(Request) | options.of_fields(Settings)


def offered(command: str) -> dict[str, Option]:
    """Return the options that a command of `options.COMMANDS` offers, by name."""
    return {name: declared for name, declared in table().items() if command in declared.commands}


def remembered(*kinds: Memory) -> tuple[str, ...]:
    """Name the settings that a run folder remembers; with `kinds`, those of these alone."""
    wanted = kinds or (Memory.FOLDER, Memory.TRAINING)
    return tuple(name for name, declared in table().items() if declared.memory in wanted)
