"""Commands on what a chip costs, and how fast its clock may be."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.commands.options import (
    BundleOption,
    DataOption,
    PresetOption,
    UntrainedOption,
    find_data,
)

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="DIAL=VALUE", help="Override a field of [target]; repeatable."),
]
SramOption = Annotated[
    Path | None,
    typer.Option(
        "--sram", metavar="FILE", help="SRAM costs of your own, from characterize --cacti."
    ),
]


LogicOption = Annotated[
    Path | None,
    typer.Option(
        "--logic", metavar="FILE", help="Logic costs of your own, from characterize --liberty."
    ),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="CORRECTION",
        help="Switch off node, supply, wires, 'long wires', glitches, counters, retraining or calibration; repeatable.",
    ),
]


def dialled(preset, settings: list[str] | None):
    """Return a preset with dials of its target set.

    Parameters
    ----------
    preset : Preset
        The preset to start from.
    settings : list of str, optional
        Dials as "NAME=VALUE".

    Raises
    ------
    SpecError
        For an unknown dial or a bad value.
    """  # noqa: DOC501  `unknown` makes a SpecError
    from xnoreplay.spec.errors import SpecError, shown, unknown

    known = {f.name: f for f in dataclasses.fields(preset.target)}
    changes: dict[str, object] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"a dial must be set as NAME=VALUE, not {shown(text)}")
        if name not in known:
            raise unknown("dial", name, known)
        changes[name] = _value(name, value, type(getattr(preset.target, name)))
    try:
        return dataclasses.replace(preset, target=dataclasses.replace(preset.target, **changes))
    except TypeError as error:
        raise SpecError(f"a dial must be of its own type: {error}") from None


def _value(name: str, text: str, kind: type) -> object:
    from xnoreplay.spec.errors import SpecError, shown

    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise SpecError(f"{name} must be an integer, not {shown(text)}") from None
    if kind is str:
        return text
    if kind is tuple:  # names, with commas between them
        return tuple(word.strip() for word in text.split(",") if word.strip())
    raise SpecError(f"{name} must be true or false, not {shown(text)}")


def chosen_bundle(preset, path: Path | None, untrained: bool):
    """Load the bundle of a preset: given, or packaged; None for random bits, also where none is packaged."""
    from xnoreplay.flow.datasets.bundles import BundleSource

    source = BundleSource.choose(preset, path, untrained)
    return source.load_checked(preset) if source.is_trained else None


def estimate(  # noqa: PLR0913  a parameter an option
    preset: PresetOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    data: DataOption = None,
    settings: SetOption = None,
    task: Annotated[int, typer.Option("--task", metavar="N", help="Which session, from 1.")] = 1,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="FIGURE",
            help="Print where the figures with this in their name come from; all for all.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here too.")
    ] = None,
    sram: SramOption = None,
    logic: LogicOption = None,
    without: WithoutOption = None,
    pads: Annotated[
        bool, typer.Option("--pads", help="Count the pins that the input comes by, too.")
    ] = False,
) -> None:
    """Price a retraining session in bits, cycles and joules.

    Of any network, target and scenario, in seconds: memory by instance and role for latent and
    native replay, time and energy an inference, sample, epoch and session, low to high. Without a
    bundle its bits are random, and the estimate says so.
    """
    from xnoreplay.flow.cost import session_cost, session_text, tables
    from xnoreplay.flow.cost.tables import laws, measured
    from xnoreplay.flow.run import files
    from xnoreplay.spec import presets

    find_data(data)
    chosen = dialled(presets.load(preset or "digits"), settings)
    tables.use_sram(sram)
    measured.use_logic(logic)
    if json is not None:
        files.require_writable(json, session_cost.WROTE)
    with laws.switched(without or (), pads):
        tree = session_cost.price_session(chosen, chosen_bundle(chosen, bundle, untrained), task)
    if json is not None:
        files.write_whole(json, files.dumps(tree))
    if explain is None:
        typer.echo(session_text.text(tree))
    else:
        typer.echo(session_text.explain(tree, "" if explain == "all" else explain))


def validate(
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every event with its cost and its mark.")
    ] = False,
    without: WithoutOption = None,
) -> None:
    """Predict published chips, each from the others.

    Predicted, published and ratio of chips that infer or learn; no figure of a chip is in the costs, laws
    and factor that it is held against. Then what it takes them to learn a class.
    """
    from xnoreplay.flow.cost import validate as validation
    from xnoreplay.flow.cost.tables import laws

    with laws.switched(without or ()):
        typer.echo(validation.text(validation.predictions(), explain))


def characterize(  # noqa: PLR0913  a parameter an option
    preset: PresetOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    data: DataOption = None,
    settings: SetOption = None,
    liberty: Annotated[
        Path | None,
        typer.Option("--liberty", metavar="FILE", help="Standard cells; also gzipped."),
    ] = None,
    cacti: Annotated[
        Path | None, typer.Option("--cacti", metavar="BINARY", help="A CACTI 7 of your own.")
    ] = None,
    node: Annotated[int, typer.Option("--node", metavar="NM", help="Node of CACTI's SRAMs.")] = 45,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", metavar="TYPE", help="hp, lop or lstp; repeatable. [default: all]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where the costs go. [default: logic.json, sram.csv]"
        ),
    ] = None,
) -> None:
    """Measure costs with your own cells or CACTI.

    With --liberty a lane, the update unit, an error path and, of generative replay, the draw unit are mapped, with clock
    gates, and run with the simulator's activity and the library's delays: glitches and wires are in what they take. With
    --cacti a new table of SRAMs is computed. Estimate takes the files with --logic and --sram.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.cost.cells import cacti as memories
    from xnoreplay.flow.cost.cells import characterize as measuring
    from xnoreplay.flow.run import files, tools
    from xnoreplay.flow.run.progress import default
    from xnoreplay.spec import presets
    from xnoreplay.spec.errors import XnoreplayError, require
    from xnoreplay.spec.target import TECHNOLOGIES

    if (liberty is None) == (cacti is None):
        raise XnoreplayError("characterize must be given --liberty or --cacti, and not both")
    find_data(data)
    path = out or Path("logic.json" if cacti is None else "sram.csv")
    files.require_writable(path, measuring.WROTE if cacti is None else memories.wrote)
    if cacti is not None:
        require.choice("node", node, [int(t.removesuffix("nm")) for t in TECHNOLOGIES])
        table = memories.tabulate(cacti, node, device or list(memories.DEVICE), default())
        files.write_whole(path, table)
        typer.echo(f"{table.count(chr(10)) - 1} SRAMs: {path}")
        return
    assert liberty is not None
    tools.require(["characterize"])
    chosen = dialled(presets.load(preset or "digits"), settings)
    tree = measuring.characterize(
        chosen, chosen_bundle(chosen, bundle, untrained), liberty, default()
    )
    files.write_whole(path, files.dumps(tree))
    typer.echo(measuring.text(tree))
    typer.echo(f"\n{path}")


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or its report.json.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one.")],
    events: Annotated[
        bool, typer.Option("--events", help="Show single event counters, too.")
    ] = False,
) -> None:
    """Say what changed between two runs.

    Every number of their reports that differs, and whether it is better or worse.
    """
    from xnoreplay.flow.report import compare as comparing

    typer.echo(comparing.text(first, second, events))


def place(
    preset: PresetOption = None,
    settings: SetOption = None,
    unit: Annotated[
        str, typer.Option("--unit", metavar="NAME", help="chip, or array: its lanes alone.")
    ] = "chip",
    family: Annotated[
        str,
        typer.Option("--family", metavar="NAME", help="ecp5, or gowin: the GW5AST-138C."),
    ] = "ecp5",
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Placements, a seed each, from 0.")
    ] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for nextpnr's reports. [default: runs/PRESET-UNIT-placed, or -gowin]",
        ),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option("--minutes", metavar="N", help="Minutes after which a seed is given up."),
    ] = 30.0,
) -> None:
    """Place and route, and print the clock of every seed.

    Of the chip, or of its array alone between registers; minutes a seed. It goes on where it was stopped. Gowin's fastest
    placement is also packed into a bitstream, with ports at sites that nextpnr chooses.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.chip import place as placing
    from xnoreplay.flow.chip.devices import PLACED
    from xnoreplay.flow.run import files, locks, tools
    from xnoreplay.flow.run.progress import default
    from xnoreplay.flow.run.records import RESULT, SCRATCH, own_folder, own_scratch, require_scratch
    from xnoreplay.spec import limits, plan, presets, whole
    from xnoreplay.spec.errors import require

    require.choice("unit", unit, placing.UNITS)
    require.choice("family", family, PLACED)
    limits.count("seeds", seeds)
    limits.number("minutes", minutes)
    chosen = dialled(presets.load(preset or "digits"), settings)
    device = PLACED[family]
    tools.require(["generate", device.tools.step])
    suffix = "placed" if family == "ecp5" else family
    folder = (out or Path("runs") / f"{chosen.name}-{unit}-{suffix}").absolute()
    placing.check_folder(folder)
    scratch = folder.with_name(f"{folder.name}{SCRATCH}")
    require_scratch(scratch)
    compiled = plan.compile(chosen.network, chosen.target)
    try:
        with own_scratch(scratch), locks.locked(scratch), locks.interruptible():
            files.sweep(folder.parent, folder.name.__eq__)
            with own_folder(folder, placing.STEP) as part:
                result = placing.place_unit(
                    unit, compiled, seeds, part, scratch, default(), minutes, device
                )
                files.write_json(part / RESULT, result)
    except placing.TooLarge:  # there is nothing to go on from
        whole.clear(scratch)
        raise
    typer.echo(placing.text(result))
    typer.echo(f"\nreports: {folder}")


COMMANDS = (estimate, characterize, validate, compare, place)
