"""Where a preset's bundle comes from, and whether it fits."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.bits import sign, signed
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure, SpecError, XnoreplayError
from xnoreplay.spec.presets import Preset

if TYPE_CHECKING:
    from xnoreplay.flow.datasets.registry import Dataset

BUNDLE = "bundle.safetensors"
"""Name of a run's bundle in the folder of its step `export`."""


@dataclass(frozen=True)
class BundleSource:
    """Where the bundle of a command or a run comes from, decided once.

    Parameters
    ----------
    kind : str
        "packaged": the file of this package that fits the preset. "file": one that the user names, or that a run
        folder has. "random": random bits, to try a spec before it is trained. "training": the run's own
        pre-training.
    path : Path, optional
        The file of "packaged" and "file"; None where none is packaged, and for the other kinds.
    """

    kind: Literal["packaged", "file", "random", "training"]
    path: Path | None = None

    @classmethod
    def choose(
        cls, preset: Preset, path: Path | None = None, untrained: bool = False
    ) -> "BundleSource":
        """Return the source of a command that gives a file, asks for random bits, or leaves it open.

        Parameters
        ----------
        preset : Preset
            Whose packaged bundle is taken where the command leaves it open.
        path : Path, optional
            The file that the command gives.
        untrained : bool
            Whether it asks for random bits.

        Raises
        ------
        XnoreplayError
            Where a file is given and random bits are asked for, too.
        """
        if path and untrained:
            raise XnoreplayError("a bundle and untrained bits must not be asked for together")
        if untrained:
            return cls("random")
        if path:
            return cls("file", path)
        return cls("packaged", packaged(preset))

    @property
    def is_trained(self) -> bool:
        """Whether there is a file of trained bits: false for random bits, and where none is packaged."""
        return self.path is not None

    def load(self, preset: Preset) -> Bundle:
        """Read the bundle, or draw its random bits.

        Parameters
        ----------
        preset : Preset
            Whose network and scenario the bundle must be of.

        Raises
        ------
        XnoreplayError
            Where none is packaged, or the file's is of another network or scenario.
        """
        assert self.kind != "training", "a training is exported, not loaded"
        if self.kind == "random":
            return bundles.random(preset.network, 0, preset.scenario.max_pixel)
        if self.path is None:
            raise XnoreplayError(
                f"preset {preset.name!r} must have a bundle, but none is packaged for its network and "
                "scenario: train one with xnoreplay run --from pretrain, give one with --bundle, or "
                "try random bits with --untrained"
            )
        bundle = bundles.read(self.path)
        differences = _differences(bundle, preset)
        if differences:
            raise XnoreplayError(
                f"the bundle must be of the network and scenario of preset {preset.name!r}, but "
                f"differs in {', '.join(differences)}"
            )
        return bundle

    def load_checked(self, preset: Preset) -> Bundle:
        """Read the bundle and hold it to its golden pairs.

        Raises
        ------
        XnoreplayError
            As `load`.
        CheckFailure
            As `check_golden`.
        """
        bundle = self.load(preset)
        check_golden(bundle)
        return bundle


def packaged(preset: Preset) -> Path | None:
    """Return the file of the packaged bundle that fits a preset's network and scenario, or None."""
    for path in sorted(Path(str(resources.files("xnoreplay"))).glob("data/*.safetensors")):
        if not _differences(bundles.read(path), preset):
            return path
    return None


def load_checked(preset: Preset, path: Path | None = None) -> Bundle:
    """Read a preset's bundle from a file, or without one the packaged bundle, and check its golden pairs.

    Raises
    ------
    XnoreplayError
        Where no bundle fits.
    CheckFailure
        Where the golden pairs differ.
    """
    return BundleSource.choose(preset, path).load_checked(preset)


def _differences(bundle: Bundle, preset: Preset) -> list[str]:
    """Name the fields in which a bundle is not the preset's; a random bundle fits any scenario."""
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
    if bundle.interface is not None:
        differing += preset.scenario.interface.differences(bundle.interface)
    return sorted(differing)


def check_binariser(bundle: Bundle, dataset: "Dataset") -> None:
    """Refuse a bundle whose binarisation is not the one that is trained on a data set; SpecError."""
    carried = bundle.binariser
    if carried is not None and not carried.same_as(dataset.binariser):
        raise SpecError(
            f"the data set {dataset.name} must be the one whose binarisation the bundle carries, but another one is "
            "trained on it"
        )


def check_golden(bundle: Bundle) -> dict[str, int]:
    """Compare what the reference computes for a bundle's golden images with what the exporting program computed.

    Parameters
    ----------
    bundle : Bundle
        With its golden images, latents and logits.

    Returns
    -------
    dict
        How many images, latent bits and logits were compared.

    Raises
    ------
    CheckFailure
        Names the first golden image that differs.
    """
    from xnoreplay.spec import reference  # here, because `--help` must not wait for it

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
