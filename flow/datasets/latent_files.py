"""Latents of a whole data set as one file: retraining then needs neither its images nor a download.

A latent file belongs to one bundle, by digest. It is a safetensors file of bits packed along the
last axis, least significant first, and of the data set's labels.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import safetensors

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec.bits import pack_bytes, unpack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import XnoreplayError

FORMAT = "xnoreplay-latents-1"
FIELDS = ("dataset", "bundle", "digest")


@dataclass(frozen=True)
class LatentSet:
    """Latents of a whole data set, with its labels and split.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    bundle : str
        Digest of the bundle whose feature extractor made the latents.
    latents : ndarray
        (n, latent) uint8 bits.
    labels : ndarray
        (n,) int64, as the data set numbers them.
    is_test : ndarray
        (n,) bool.
    """

    dataset: str
    bundle: str
    latents: np.ndarray
    labels: np.ndarray
    is_test: np.ndarray


def write(stored: LatentSet, path: Path) -> None:
    """Write a latent file, whole or not at all."""
    tensors = {
        "latent": pack_bytes(stored.latents),
        "label": stored.labels.astype(np.uint16),
        "is_test": stored.is_test.astype(np.uint8),
    }
    metadata = {
        "format": FORMAT,
        "dataset": stored.dataset,
        "bundle": stored.bundle,
        "digest": _digest(tensors),
    }
    bundles.write_tensors(Path(path), tensors, metadata)


def read(path: Path, bits: int) -> LatentSet:
    """Read and verify a latent file.

    Parameters
    ----------
    path : Path
        Of the file.
    bits : int
        Bits of each latent.

    Raises
    ------
    XnoreplayError
        For a file that is missing, damaged, altered or of another kind.
    """
    tensors, metadata = bundles.read_tensors(path, "latent file", FORMAT)
    for name in FIELDS:
        if name not in metadata:
            raise XnoreplayError(f"latent file {path}: field {name!r} must be present, but is not")
    if _digest(tensors) != metadata["digest"]:
        raise XnoreplayError(
            f"latent file {path}: field 'digest' must match the content, but does not"
        )
    n = (tensors.get("label", np.empty(0)).shape or (0,))[0]
    expected = {
        "label": ((n,), "uint16"),
        "is_test": ((n,), "uint8"),
        "latent": ((n, -(-bits // 8)), "uint8"),
    }
    if wrong := bundles.mismatch(tensors, expected):
        raise XnoreplayError(f"latent file {path}: {wrong}")
    return LatentSet(
        metadata["dataset"],
        metadata["bundle"],
        unpack_bytes(tensors["latent"], bits),
        tensors["label"].astype(np.int64),
        tensors["is_test"].astype(bool),
    )


def of(bundle: Bundle, path: Path) -> LatentSet:
    """Read the latents that a bundle made from a file.

    Raises
    ------
    XnoreplayError
        Also for latents that another bundle made.
    """
    stored = read(path, bundle.network.latent)
    if stored.bundle != bundles.digest(bundle):
        raise XnoreplayError(
            f"latent file {path} must be of the bundle {bundles.digest(bundle)[:12]}, not of "
            f"{stored.bundle[:12]}; write it with xnoreplay latents"
        )
    return stored


def packaged(bundle: Bundle) -> LatentSet | None:
    """Read the packaged latents that a bundle made; None where there are none."""
    digest = bundles.digest(bundle)
    for path in sorted(Path(str(resources.files("xnoreplay"))).glob("data/latents/*.safetensors")):
        with safetensors.safe_open(path, framework="numpy") as f:
            if (f.metadata() or {}).get("bundle") != digest:
                continue
        return read(path, bundle.network.latent)
    return None


def _digest(tensors: dict[str, np.ndarray]) -> str:
    h = hashlib.sha256()
    for name in sorted(tensors):
        a = np.ascontiguousarray(tensors[name])
        h.update(f"\n{name} {a.dtype.str} {a.shape}\n".encode())
        h.update(a.tobytes())
    return h.hexdigest()
