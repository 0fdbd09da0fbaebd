"""Options that commands share, and where they look for data sets."""

import os
from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.datasets import user_files as brought

PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME|FILE",
        help="A preset's name, or a TOML file. [default: the run folder's, or digits]",
    ),
]
LonePresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME|FILE", help="A preset's name, or a TOML file. [default: digits]"
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Run folder. [default: runs/PRESET]", metavar="FOLDER"),
]
BundleOption = Annotated[
    Path | None,
    typer.Option("--bundle", help="Start from this bundle, not the packaged one.", metavar="FILE"),
]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="Start from random bits, to try a spec untrained.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", help="Holds data sets that you bring. [default: XNOREPLAY_DATA]"
    ),
]
OrderSeedOption = Annotated[
    int | None,
    typer.Option(
        "--order-seed",
        metavar="N",
        help="Another class order, apart from every other seed. [default: the preset's]",
    ),
]
StepOption = Annotated[
    int | None,
    typer.Option("--step", metavar="N", help="Classes a session brings. [default: the preset's]"),
]
DumpOption = Annotated[
    bool | None,
    typer.Option("--dump/--no-dump", help="Also leave predictions.safetensors, of every sample."),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Of the pre-training, for native replay: its real proxies.",
    ),
]
LatentsOption = Annotated[
    Path | None,
    typer.Option(
        "--latents",
        metavar="FILE",
        help="Of the bundle, as xnoreplay latents writes them. [default: packaged, or made]",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Computed side by side. [default: all cores]"),
]
ObjectiveOption = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="supervised; semi: with Barlow Twins; or distilled: with a real-valued teacher. "
        "[default: the run folder's, or supervised]",
    ),
]
AugmentOption = Annotated[
    bool | None,
    typer.Option(
        "--augment/--no-augment",
        help="Move and mirror the images. [default: the run folder's, or --augment]",
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option("--epochs", metavar="N", help="Of the training. [default: the data set's recipe]"),
]
StartOption = Annotated[
    Path | None,
    typer.Option(
        "--start",
        metavar="BUNDLE",
        help="Go on training this network, at half the learning rate. [default: none, also where "
        "the folder's last training had one]",
    ),
]
AllClassesOption = Annotated[
    bool | None,
    typer.Option(
        "--all-classes/--base-classes",
        help="Train on every class, to see what a better extractor gives.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Repeat even what is up to date.")]
SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        help="Seeds an accuracy is a mean over. [default: the run folder's, or 3]",
    ),
]
LoneSeedsOption = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", help="Seeds an accuracy is a mean over. [default: 3]"),
]
ImagesOption = Annotated[
    int | None,
    typer.Option(
        "--images",
        metavar="N",
        help="Images compared on every bit, counter and cycle; of a large network, two. "
        "[default: the run folder's, or 50]",
    ),
]
SimulatorOption = Annotated[
    str | None,
    typer.Option(
        "--simulator",
        metavar="NAME",
        help="verilator, icarus, or both. [default: the run folder's, or both where Icarus is installed]",
    ),
]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="FAULT", help="Plant a fault, to see it found; repeatable."),
]
ReplayOption = Annotated[
    Path | None,
    typer.Option(
        "--replay",
        metavar="FOLDER",
        help="See a recorded difference again. Its Verilog is run as a program: see --trust.",
    ),
]
VerilogOption = Annotated[
    Path | None,
    typer.Option(
        "--verilog",
        metavar="FILE",
        help="Hold this file, not the generated one. It is run as a program: see --trust.",
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Also run Verilog that reaches out of its simulation: $system, $fopen, $readmemh, "
        "`include, DPI. It is refused otherwise.",
    ),
]
WavesOption = Annotated[
    str | None,
    typer.Option(
        "--waves",
        metavar="FIRST:LAST|command:N",
        help="Also leave a waveform of these cycles, or of a command of the script.",
    ),
]
FamilyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help="ecp5, ice40 or xcup (UltraScale+); repeatable. [default: ecp5]",
    ),
]
LibertyOption = Annotated[
    Path | None,
    typer.Option("--liberty", metavar="FILE", help="Also map to this library's cells, for area."),
]
PlaceOption = Annotated[
    bool | None, typer.Option("--place/--no-place", help="Also place and route for ECP5.")
]


def find_data(folder: Path | None) -> None:
    """Let every step find the data sets; a folder stands before the variable."""
    if folder is not None:
        os.environ[brought.VARIABLE] = str(folder)
