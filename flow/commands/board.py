"""The command that makes a bitstream for a board."""

from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.commands.costs import SetOption, dialled
from xnoreplay.flow.commands.options import BundleOption, DataOption, PresetOption, UntrainedOption
from xnoreplay.flow.commands.options import find_data as finds


def build(  # noqa: PLR0913  a parameter an option
    board: Annotated[
        str,
        typer.Option(
            "--board", metavar="NAME", help="ulx3s-85f, orangecrab-85f or tang-mega-138k."
        ),
    ],
    preset: PresetOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    data: DataOption = None,
    settings: SetOption = None,
    clock: Annotated[
        float | None,
        typer.Option("--clock", metavar="MHZ", help="Clock of the chip. [default: the preset's]"),
    ] = None,
    baud: Annotated[
        int | None,
        typer.Option("--baud", metavar="N", help="Bits a second of the UART. [default: 115200]"),
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            "--pin",
            metavar="SIGNAL=SITE",
            help="Wire clk, button, uart_rx, uart_tx or busy to this pin of the FPGA; repeatable.",
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate",
            help="Also simulate the bitstream's netlist on its pins, and compare it with the simulator.",
        ),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", help="Placements tried until one meets the clock."),
    ] = 3,
    minutes: Annotated[
        float,
        typer.Option("--minutes", metavar="N", help="Minutes after which a seed is given up."),
    ] = 30.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="[default: runs/PRESET-BOARD]"),
    ] = None,
) -> None:
    """Make a bitstream for a board.

    The chip behind its UART, with the board's clock, reset and pins; and a program of first steps on it. It goes on
    where it was stopped.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.board import boards, building
    from xnoreplay.flow.board import first_steps as steps
    from xnoreplay.flow.chip import place
    from xnoreplay.flow.commands.specfile import to_toml
    from xnoreplay.flow.datasets.bundles import BundleSource
    from xnoreplay.flow.run import files, locks, tools
    from xnoreplay.flow.run.progress import default
    from xnoreplay.flow.run.records import (
        RESULT,
        SCRATCH,
        own_folder,
        own_scratch,
        require_own,
        require_scratch,
    )
    from xnoreplay.spec import bundle as bundles
    from xnoreplay.spec import limits, plan, presets, whole

    limits.count("seeds", seeds)
    limits.number("minutes", minutes)
    if clock is not None:
        limits.number("megahertz", clock, "clock")
    if baud is not None:
        limits.count("baud", baud)
    chosen = dialled(presets.load(preset or "digits"), settings)
    tools.require(["generate", "build", *(["build --simulate"] if simulate else [])])
    wired = boards.load(board, pin or ())
    tools.require([wired.fpga.tools.step])
    hertz = 1e6 * clock if clock is not None else chosen.target.clock_hz
    clocks = building.clocking(wired, hertz, baud)
    compiled = plan.compile(chosen.network, chosen.target)
    building.check(wired, compiled)
    finds(data)
    network = BundleSource.choose(chosen, bundle, untrained).load_checked(chosen)
    folder = (out or Path("runs") / f"{chosen.name}-{board}").absolute()
    require_own(folder, building.STEP)
    scratch = folder.with_name(f"{folder.name}{SCRATCH}")
    require_scratch(scratch)
    design, progress = building.Design(wired, compiled, clocks), default()
    try:
        with own_scratch(scratch), locks.locked(scratch), locks.interruptible():
            files.sweep(folder.parent, folder.name.__eq__)
            with own_folder(folder, building.STEP) as part:
                result = building.make(design, seeds, minutes, part, scratch, progress)
                (part / steps.SPEC).write_text(to_toml(chosen), encoding="utf-8")
                bundles.write(network, part / steps.BUNDLE)
                (part / steps.SCRIPT).write_text(steps.script(result), encoding="utf-8")
                if simulate:
                    result["simulated"] = steps.simulated(part, result, chosen, network, progress)
                files.write_json(part / RESULT, result)
    except place.TooLarge:  # there is nothing to go on from
        whole.clear(scratch)
        raise
    typer.echo(building.text(result, folder))
    typer.echo(f"run:   python {folder / steps.SCRIPT} PORT, such as /dev/ttyUSB0")


COMMANDS = (build,)
