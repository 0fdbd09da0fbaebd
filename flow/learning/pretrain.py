"""Steps `pretrain` and `export`: from images to the bundle that every other step starts from."""

import os
import shutil
from pathlib import Path

from xnoreplay.flow.datasets.bundles import (
    BUNDLE,
    BundleSource,
    check_binariser,
    check_golden,
    load_checked,
)
from xnoreplay.flow.run.step import Context
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset


def pretrain(context: Context) -> dict:
    """Train the network on the base classes; an interrupted training goes on from its checkpoint."""
    from xnoreplay.flow.datasets import registry

    preset, file = presets.from_dict(context.config["preset"]), context.config["start"]
    dataset = registry.of_preset(preset)
    choices = {n: context.config[n] for n in ("seed", "epochs", "all_classes", "objective")}
    start = load_checked(preset, Path(file)) if file else None
    if not preset.network.takes_images:
        from xnoreplay.model import latent_classifier

        path = latent_classifier.pretrain(
            preset, dataset, context.out, start=start, report=context.progress.note, **choices
        )
        return {"checkpoint": path.name, "seed": context.config["seed"]}
    from xnoreplay.model.training import pretrain as training

    context.scratch.mkdir(parents=True, exist_ok=True)
    path = training.pretrain(
        preset,
        dataset,
        context.scratch,
        augment=context.config["augment"],
        start=start,
        report=context.progress.note,
        **choices,
    )
    shutil.copyfile(path, context.out / path.name)
    return {"checkpoint": path.name, "seed": context.config["seed"]}


def is_follower() -> bool:
    """Tell whether torchrun started this process to take part in another one's pre-training."""
    return int(os.environ.get("RANK", "0")) > 0


def follow() -> None:
    """Take part in the leading process's pre-training until its step has ended."""
    from xnoreplay.flow.datasets import registry
    from xnoreplay.model.training import pretrain as training

    training.follow(registry.of_preset)


def release_followers() -> None:
    """End the processes that torchrun started beside this one, if there are any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from xnoreplay.model.training import distributed

        distributed.join()
        distributed.broadcast(None)
        distributed.leave()


def export(context: Context) -> dict:
    """Write the run's bundle: trained, from a file, or random; and check its golden pairs."""
    preset = presets.from_dict(context.config["preset"])
    if "pretrain" in context.inputs:
        bundle = _trained(context, preset)
    else:
        file = context.config["bundle"]
        untrained = context.config["untrained"]
        bundle = BundleSource.choose(preset, Path(file) if file else None, untrained).load(preset)
        if bundle.binariser is not None:
            from xnoreplay.flow.datasets import registry

            check_binariser(bundle, registry.of_preset(preset))
    golden = check_golden(bundle)
    digest = bundles.write(bundle, context.out / BUNDLE)
    return {"digest": digest, "golden": golden, "provenance": bundle.provenance}


def _trained(context: Context, preset: Preset) -> Bundle:
    from xnoreplay.flow.datasets import registry

    dataset = registry.of_preset(preset)
    checkpoint = context.inputs["pretrain"] / context.result("pretrain")["checkpoint"]
    if not preset.network.takes_images:
        from xnoreplay.model import latent_classifier

        return latent_classifier.export_bundle(preset, dataset, checkpoint, dataset.binariser)
    from xnoreplay.model import export as exporting

    return exporting.export_bundle(preset, dataset, checkpoint)
