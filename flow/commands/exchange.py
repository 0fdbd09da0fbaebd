"""Command that writes a trained network for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.commands.data import FolderOption, StateOption, trained
from xnoreplay.flow.commands.options import BundleOption, PresetOption, UntrainedOption


def onnx(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where extractor and classifier go.")
    ],
    preset: PresetOption = None,
    out: FolderOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    state: StateOption = None,
    qonnx: Annotated[
        bool,
        typer.Option(
            "--qonnx", help="Signs and weights as QONNX's quantisers, not as plain operators."
        ),
    ] = False,
) -> None:
    """Write a trained network as ONNX models.

    The extractor takes images to latents, the classifier latents to the chip's integer sums, with the weights of power-on
    or of a state. ONNX Runtime computes the same bits from them.
    """
    from xnoreplay.flow.output import onnx_model
    from xnoreplay.flow.run import files
    from xnoreplay.sim.run import Simulator
    from xnoreplay.spec import plan, snapshot
    from xnoreplay.spec.reference import Classifier

    paths = [folder / onnx_model.EXTRACTOR, folder / onnx_model.CLASSIFIER]
    for path in paths:
        files.require_writable(path, onnx_model.is_ours)
    chosen, source = trained(preset, out, bundle, untrained)
    read = source.load_checked(chosen)
    learned, seen = Classifier.load(read, chosen.target), read.golden.logit.shape[1]
    if state is not None:
        compiled = plan.compile(chosen.network, chosen.target)
        chip = Simulator(compiled, read)
        chip.resume(snapshot.read(compiled, state, chosen.scenario.interface, read))
        learned = Classifier(compiled.rule, *chip.proxies())
        seen = chip.state.seen
    models = [
        onnx_model.extractor(read, qonnx) if chosen.network.takes_images else None,
        onnx_model.classifier(read, learned, seen, qonnx),
    ]
    for path, model in zip(paths, models, strict=True):
        if model is not None:
            files.write_whole(path, model)
            typer.echo(f"{path.stem}: {path}")


COMMANDS = (onnx,)
