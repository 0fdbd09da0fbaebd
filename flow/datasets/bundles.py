"""Bundles of a preset: the packaged one, or a user's."""

from importlib import resources
from pathlib import Path

import numpy as np

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets, reference
from xnoreplay.spec.bits import sign, signed
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure, XnoreplayError
from xnoreplay.spec.presets import Preset

BUNDLE = "bundle.safetensors"
"""Name of a run's bundle in the folder of its step `export`."""


def one_source(bundle: Path | None, untrained: bool) -> None:
    """XnoreplayError where bits are asked for from a file and at random."""
    if bundle and untrained:
        raise XnoreplayError("a bundle and untrained bits must not be asked for together")


def packaged(preset: Preset) -> Path | None:
    """The packaged bundle that fits a preset's network and scenario, if there is one."""
    for path in sorted(Path(str(resources.files("xnoreplay"))).glob("data/*.safetensors")):
        if not _differences(bundles.read(path), preset):
            return path
    return None


def load(preset: Preset, path: Path | None) -> Bundle:
    """A preset's bundle from a file, or without one the packaged bundle that fits.

    Raises
    ------
    XnoreplayError
        Where none is packaged, or the file's is of another network or scenario.
    """
    path = path or packaged(preset)
    if path is None:
        raise XnoreplayError(
            f"preset {preset.name!r} must have a bundle, but none is packaged for its network and "
            "scenario: train one with xnoreplay run --from pretrain, give one with --bundle, or "
            "try random bits with --untrained"
        )
    bundle = bundles.read(path)
    differences = _differences(bundle, preset)
    if differences:
        raise XnoreplayError(
            f"the bundle must be of the network and scenario of preset {preset.name!r}, but "
            f"differs in {', '.join(differences)}"
        )
    return bundle


def checked(preset: Preset, path: Path | None) -> Bundle:
    """The same, held to its golden pairs: CheckFailure where they differ."""
    bundle = load(preset, path)
    check_golden(bundle)
    return bundle


def _differences(bundle: Bundle, preset: Preset) -> list[str]:
    """Fields in which a bundle is not the preset's; a random one fits any scenario."""
    ours, theirs = (presets.network_to_dict(n) for n in (preset.network, bundle.network))
    differing = [f"network.{name}" for name in ours if ours[name] != theirs[name]]
    scenario = {
        "dataset": preset.scenario.dataset,
        "base_classes": preset.scenario.base,
        "class_order": preset.scenario.order.tolist(),
    }
    for name, value in scenario.items():
        if bundle.provenance.get(name, value) != value:
            differing.append(f"scenario {name}")
    return sorted(differing)


def check_golden(bundle: Bundle) -> dict[str, int]:
    """Hold the reference to what the exporting program computed, bit for bit.

    Returns
    -------
    dict
        How many images, latent bits and logits were compared.

    Raises
    ------
    CheckFailure
        Names the first golden image that differs.
    """
    golden = bundle.golden
    z = reference.golden_latents(bundle)
    hidden = sign(signed(z) @ signed(sign(bundle.hidden)).T)
    base = golden.logit.shape[1]
    weights = signed(sign(bundle.output[:base])).sum(1)
    logit = signed(np.concatenate([z, hidden], axis=1)) @ weights.T
    for what, expected, got in (("latent", golden.latent, z), ("logits", golden.logit, logit)):
        wrong = np.flatnonzero((expected != got).any(axis=1))
        if wrong.size:
            raise CheckFailure(
                f"the {what} of golden image {wrong[0]} must be what the bundle says, but the "
                f"reference computes other ones in {wrong.size} of {len(expected)} images"
            )
    return {"images": len(z), "latent_bits": z.size, "logits": logit.size}
