"""Bundle: the exported artefact, one safetensors file. `docs/bundle.md` is the format.

Tensors hold packed bits (least significant bit first along the last axis) and 16-bit master
proxies; metadata holds spec, format version, digest, provenance and, since version 2, the
interface. Nothing is ever unpickled.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from xnoreplay.spec import features, limits, presets, reading, whole
from xnoreplay.spec import interface as interfaces
from xnoreplay.spec.bits import ceil_div, pack_bytes, unpack_bytes
from xnoreplay.spec.errors import (
    BundleError,
    ReadError,
    SpecError,
    XnoreplayError,
    require,
    shown,
    told,
)
from xnoreplay.spec.features import Binariser, FeatureSpec
from xnoreplay.spec.interface import Interface
from xnoreplay.spec.network import COPIES, TAPS, NetworkSpec
from xnoreplay.spec.scenario import BYTE

FORMAT = "xnoreplay-bundle"
VERSION, WITH_INTERFACE = 1, 2
"""Versions of the format: bundles without an interface, and with one."""
NO_BITS = np.empty(0, np.uint8)
PREFIX = "features."
"""Of the names of a binariser's tensors."""
MASTER_BITS = 16  # a master proxy is floor(2^15 u), u in [-1, 1] the trained real weight


@dataclass(frozen=True)
class Golden:
    """Input/output pairs the exporting program computed, for whoever loads the bundle to check.

    image (n, *`NetworkSpec.image_shape`) uint8; latent (n, latent) uint8 bits;
    logit (n, base) int32, the integer sums of the classes the classifier was trained on.
    """

    image: np.ndarray
    latent: np.ndarray
    logit: np.ndarray


@dataclass(frozen=True)
class Bundle:
    """A trained network.

    conv : per convolution, (filters, 3, 3, in_channels / groups) uint8 bits
    lgap : (channels, height, width) uint8 bits, the depthwise kernels
    dense : (latent, lgap_bits) uint8 bits
    hidden : (hidden, latent) int16 master proxies
    output : (classes, COPIES, latent + hidden) int16 master proxies; latent inputs first;
        rows of classes not trained yet are pairs of mean zero, whose weights cancel
    thresholds : (sum of levels,) uint8; a thermometer bit is pixel >= threshold
    interface : what becomes of data before they enter the chip, and names of its classes; None where nobody said
    binariser : what makes latents of features, where the interface is one of features

    Of a network without convolutions `conv`, `lgap`, `dense` and `thresholds` are empty, and a file has none of them; the
    images of `golden` are the packed latents, which a file has once.
    """

    network: NetworkSpec
    conv: tuple[np.ndarray, ...]
    lgap: np.ndarray
    dense: np.ndarray
    hidden: np.ndarray
    output: np.ndarray
    thresholds: np.ndarray
    golden: Golden
    provenance: dict = field(default_factory=dict)
    interface: Interface | None = None
    binariser: Binariser | None = None


def _bit_shapes(net: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of bits of a network, by name; none without convolutions."""
    if not net.takes_images:
        return {}
    shapes: dict[str, tuple[int, ...]] = {
        f"conv{i}.weight": (c.filters, net.conv_fan_in(i)) for i, c in enumerate(net.convs)
    }
    shapes["lgap.weight"] = (net.lgap_map.channels, net.lgap_map.pixels)
    shapes["dense.weight"] = (net.latent, net.lgap_bits)
    return shapes


def _tensors(bundle: Bundle) -> dict[str, np.ndarray]:
    """A bundle's tensors, by name, as its file holds them."""
    net = bundle.network
    bits = {f"conv{i}.weight": w for i, w in enumerate(bundle.conv)}
    bits |= {"lgap.weight": bundle.lgap, "dense.weight": bundle.dense}
    tensors = {
        name: pack_bytes(bits[name].reshape(shape)) for name, shape in _bit_shapes(net).items()
    }
    if net.takes_images:
        tensors["thermometer.threshold"] = bundle.thresholds
        tensors["golden.image"] = bundle.golden.image
    if bundle.binariser is not None:
        tensors |= {PREFIX + n: getattr(bundle.binariser, n) for n in features.shapes(1, 1, 1)}
    return tensors | {
        "hidden.proxy": bundle.hidden,
        "output.proxy": bundle.output,
        "golden.latent": pack_bytes(bundle.golden.latent),
        "golden.logit": bundle.golden.logit,
    }


def _expected(
    net: NetworkSpec, golden: int, base: int, binariser: tuple[int, int] | None = None
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every tensor that a bundle must have, by name.

    binariser : features and taps, where the bundle has one
    """

    def packed(shape):
        return (*shape[:-1], ceil_div(shape[-1], 8)), "uint8"

    spec = {name: packed(shape) for name, shape in _bit_shapes(net).items()}
    spec["hidden.proxy"] = ((net.hidden, net.latent), "int16")
    spec["output.proxy"] = ((net.classes, COPIES, net.output_inputs), "int16")
    if net.takes_images:
        spec["thermometer.threshold"] = ((net.thermometer_bits,), "uint8")
        spec["golden.image"] = ((golden, *net.image_shape), "uint8")
    spec["golden.latent"] = packed((golden, net.latent))
    spec["golden.logit"] = ((golden, base), "int32")
    if binariser is not None:
        width, taps = binariser
        spec |= {PREFIX + n: s for n, s in features.shapes(width, net.latent, taps).items()}
    return spec


def check(bundle: Bundle) -> None:
    """Refuse a bundle made by hand whose arrays are not those of its network; one that `read` gives is right.

    Parameters
    ----------
    bundle : Bundle
        Of any origin.

    Raises
    ------
    SpecError
        Where `conv`, `lgap`, `dense`, `hidden`, `output` or `thresholds` has another shape or dtype than `Bundle` says, or
        bits other than 0 and 1.
    """
    net = bundle.network
    if not isinstance(net, NetworkSpec):
        raise SpecError(f"network of a bundle must be a NetworkSpec, not {shown(net)}")
    bits, given = _bits_of_arrays(net), {"hidden": bundle.hidden, "output": bundle.output}
    expected = {name: (shape, "uint8") for name, shape in bits.items()}
    expected["hidden"] = ((net.hidden, net.latent), "int16")
    expected["output"] = ((net.classes, COPIES, net.output_inputs), "int16")
    if net.takes_images:
        layers = bundle.conv if isinstance(bundle.conv, tuple) else ()
        given |= {f"conv[{i}]": weight for i, weight in enumerate(layers)}
        given |= {"lgap": bundle.lgap, "dense": bundle.dense, "thresholds": bundle.thresholds}
        expected["thresholds"] = ((net.thermometer_bits,), "uint8")
    for name, array in given.items():
        if not isinstance(array, np.ndarray):
            raise SpecError(f"{name} of a bundle must be an array, not {shown(array)}")
    if wrong := mismatch(given, expected):
        raise SpecError(f"bundle: {wrong}")
    for name in bits:
        if given[name].max() > 1:
            raise SpecError(f"{name} of a bundle must be bits, 0 and 1, not {given[name].max()}")


def _bits_of_arrays(net: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Shape of each array of bits of a `Bundle`, by name; none without convolutions."""
    if not net.takes_images:
        return {}
    shapes: dict[str, tuple[int, ...]] = {
        f"conv[{i}]": (c.filters, 3, 3, net.conv_fan_in(i) // TAPS) for i, c in enumerate(net.convs)
    }
    shapes["lgap"] = (net.lgap_map.channels, net.lgap_map.height, net.lgap_map.width)
    shapes["dense"] = (net.latent, net.lgap_bits)
    return shapes


def digest(bundle: Bundle) -> str:
    """SHA-256 over the network, the provenance, the interface if there is one, and every tensor in name order."""
    return _digest(bundle.network, bundle.provenance, _tensors(bundle), bundle.interface)


def _digest(
    net: NetworkSpec,
    provenance: dict,
    tensors: dict[str, np.ndarray],
    interface: Interface | None = None,
) -> str:
    """SHA-256 over a network, a provenance, an interface if there is one, and tensors in name order."""
    h = hashlib.sha256()
    trees = [presets.network_to_dict(net), provenance]
    for tree in trees if interface is None else [*trees, interfaces.to_dict(interface)]:
        h.update(json.dumps(tree, sort_keys=True).encode() + b"\n")
    for name in sorted(tensors):
        a = np.ascontiguousarray(tensors[name])
        h.update(f"\n{name} {a.dtype.str} {a.shape}\n".encode())
        h.update(a.tobytes())
    return h.hexdigest()


def write(bundle: Bundle, path: Path) -> str:
    """Write a bundle whole or not at all; returns its digest."""
    tensors = {k: np.ascontiguousarray(v) for k, v in _tensors(bundle).items()}
    made, said = bundle.binariser, bundle.interface
    assert (made is not None) == (said is not None and isinstance(said.rule, FeatureSpec))
    expected = _expected(
        bundle.network,
        len(bundle.golden.image),
        bundle.golden.logit.shape[1],
        None if made is None else (made.features, made.tap.shape[1]),
    )
    for name, (shape, dtype) in expected.items():
        actual = tensors[name]
        assert (actual.shape, actual.dtype) == (shape, dtype), (name, actual.shape, actual.dtype)
    digest_ = _digest(bundle.network, bundle.provenance, tensors, bundle.interface)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "network": json.dumps(presets.network_to_dict(bundle.network), sort_keys=True),
        "digest": digest_,
        "provenance": json.dumps(bundle.provenance, sort_keys=True),
    }
    if bundle.interface is not None:
        tree = interfaces.to_dict(bundle.interface)
        metadata |= {
            "version": str(WITH_INTERFACE),
            "interface": json.dumps(tree, sort_keys=True),
        }
    write_tensors(Path(path), tensors, metadata)
    return digest_


def write_tensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all; equal content makes equal files."""
    content = _ordered(safetensors.numpy.save(tensors, metadata=metadata))
    with whole.whole_file(path) as part:
        part.write_bytes(content)


def read_tensors(
    path: Path, what: str, form: str, framework: str = "numpy"
) -> tuple[dict, dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    what : the kind of file, for the sentence of an error
    form : what its metadata must give as "format"
    framework : whose tensors they become, as the library names it

    Raises
    ------
    XnoreplayError
        For a file that is missing, damaged or foreign.
    """
    try:
        if Path(path).is_dir():
            raise XnoreplayError(f"{what} {path} must be a file, not a folder")
        _check_tensors(Path(path), what)
        with safetensors.safe_open(path, framework=framework) as f:
            metadata = f.metadata() or {}
            if metadata.get("format") != form:
                raise XnoreplayError(
                    f"{what} {path}: field 'format' must be {form!r}, not {shown(metadata.get('format'))}"
                )
            return _all_tensors(f), metadata
    except (OSError, ReadError, safetensors.SafetensorError) as error:
        raise XnoreplayError(f"{what} {path} must be a whole file: {told(error)}") from None


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, nothing for any other; raises OSError and ReadError."""
    reading.check_file(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as f:
            return f.metadata() or {}
    except (safetensors.SafetensorError, MemoryError):  # it maps the whole file
        return {}


def _check_tensors(path: Path, what: str) -> None:
    """Refuse a file whose tensors would take more memory than may be taken: SpecError; raises as `check_file`, too."""
    reading.check_file(path)
    limits.check_memory(f"{what} {path}", path.stat().st_size)


def _all_tensors(file) -> dict:
    """Every tensor of an open file; SafetensorError for a type that its framework lacks, as bfloat16."""
    try:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (TypeError, AttributeError) as error:
        raise safetensors.SafetensorError(
            f"a tensor's type cannot be read: {told(error)}"
        ) from None


def mismatch(
    tensors: dict[str, np.ndarray], expected: dict[str, tuple[tuple[int, ...], str]]
) -> str:
    """The first tensor that is not of the expected shape and dtype, as a sentence; '' if all are."""
    for name, (shape, dtype) in expected.items():
        if name not in tensors:
            return f"tensor {shown(name)} must be present, but is not"
        actual = tensors[name]
        if actual.shape != shape or actual.dtype != dtype:
            return (
                f"tensor {shown(name)} must be {dtype} of shape {shape}, "
                f"not {actual.dtype} of shape {actual.shape}"
            )
    for name in sorted(tensors.keys() - expected.keys()):
        return f"tensor {shown(name)} must not be present"
    return ""


def entry_of(provenance: dict, name: str, kind: type):
    """Return an entry of a bundle's provenance, which may hold anything; `kind()` where it has none of that kind."""
    value = provenance.get(name)
    return value if isinstance(value, kind) else kind()


def share(provenance: dict, name: str) -> float | None:
    """An accuracy of a bundle's provenance, a fraction; None where it has no number from 0 to 1 of that name."""
    value = provenance.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return value


def _ordered(raw: bytes) -> bytes:
    """A safetensors file with its header's keys in order, so that equal bundles are equal files.

    raw : the file as the library writes it, whose order of metadata changes from process to process
    """
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.dumps(json.loads(raw[8:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors stay aligned
    return len(header).to_bytes(8, "little") + header + raw[start:]


def read(path: Path) -> Bundle:
    """Read and verify a bundle.

    Raises
    ------
    BundleError
        For a file that is missing, damaged, truncated, altered or foreign; names the field.
    """
    path = Path(path)
    try:
        if path.is_dir():  # fails for a name that is too long
            raise BundleError(f"bundle {path} must be a file, not a folder")
        _check_tensors(path, "bundle")
        with safetensors.safe_open(path, framework="numpy") as f:
            metadata = f.metadata() or {}
            net, interface = _check_metadata(path, metadata)
            tensors = _all_tensors(f)
    except (OSError, ReadError) as error:
        raise BundleError(f"bundle {path} must be a readable file: {_reason(error)}") from None
    except safetensors.SafetensorError as error:
        raise BundleError(
            f"bundle {path} must be a whole safetensors file: {told(error)}"
        ) from None
    counted = tensors.get("golden.image" if net.takes_images else "golden.latent", np.empty(0))
    golden = counted.shape[:1] or (0,)
    logit = tensors.get("golden.logit", np.empty(0)).shape[-1:] or (0,)
    binariser = _features_of(tensors, interface)
    if wrong := mismatch(tensors, _expected(net, golden[0], logit[0], binariser)):
        raise BundleError(f"bundle {path}: {wrong}")
    if not 1 <= logit[0] <= net.classes:
        raise BundleError(
            f"bundle {path}: tensor 'golden.logit' must have 1 to {net.classes} columns, the trained classes, "
            f"not {logit[0]}"
        )
    provenance = _json(path, metadata, "provenance")
    actual_digest = _digest(net, provenance, tensors, interface)
    if actual_digest != metadata["digest"]:
        raise BundleError(
            f"bundle {path}: field 'digest' must match the content, {actual_digest[:12]}, "
            f"not {shown(metadata['digest'][:12])}"
        )
    bundle = replace(
        _assemble(net, tensors, provenance),
        interface=interface,
        binariser=_binariser(path, tensors) if binariser else None,
    )
    for name, packed in _tensors(bundle).items():
        if (packed != tensors[name]).any():
            raise BundleError(f"bundle {path}: tensor {shown(name)} must have 0 in its unused bits")
    return bundle


def _features_of(
    tensors: dict[str, np.ndarray], interface: Interface | None
) -> tuple[int, int] | None:
    """Features and taps of the binariser that a bundle must have; None where it must have none."""
    if interface is None or not isinstance(interface.rule, FeatureSpec):
        return None
    exponent, tap = (tensors.get(PREFIX + n, np.empty(0)) for n in ("exponent", "tap"))
    return (exponent.shape[:1] or (0,))[0], tap.shape[-1] if tap.ndim == 2 else 0


def _binariser(path: Path, tensors: dict[str, np.ndarray]) -> Binariser:
    """The binariser of a file's tensors, whose shapes have been checked; raises BundleError."""
    try:
        return Binariser(**{n: tensors[PREFIX + n] for n in features.shapes(1, 1, 1)})
    except SpecError as error:
        raise BundleError(f"bundle {path}: tensors {PREFIX}*: {error}") from None


def _check_metadata(path: Path, metadata: dict[str, str]) -> tuple[NetworkSpec, Interface | None]:
    """The network and the interface of a bundle's header, after a check of the header; raises BundleError."""
    for name in ("format", "version", "network", "digest", "provenance"):
        if name not in metadata:
            raise BundleError(f"bundle {path}: field {name!r} must be present, but is not")
    if metadata["format"] != FORMAT:
        raise BundleError(
            f"bundle {path}: field 'format' must be {FORMAT!r}, not {shown(metadata['format'])}"
        )
    if metadata["version"] not in (str(VERSION), str(WITH_INTERFACE)):
        raise BundleError(
            f"bundle {path}: field 'version' must be {VERSION} or {WITH_INTERFACE}, not "
            f"{shown(metadata['version'])}"
        )
    network, provenance = (_json(path, metadata, name) for name in ("network", "provenance"))
    if not isinstance(provenance, dict):
        raise BundleError(
            f"bundle {path}: field 'provenance' must be an object, not {shown(metadata['provenance'])}"
        )
    try:
        net = presets.network_from_dict(network)
    except SpecError as error:
        raise BundleError(f"bundle {path}: field 'network': {error}") from None
    return net, _interface(path, metadata, net)


def _interface(path: Path, metadata: dict[str, str], net: NetworkSpec) -> Interface | None:
    """The interface of a bundle's header, None in version 1; raises BundleError."""
    wanted = metadata["version"] == str(WITH_INTERFACE)
    if wanted != ("interface" in metadata):
        raise BundleError(
            f"bundle {path}: field 'interface' must be present in version {WITH_INTERFACE} alone, but is "
            f"{'missing' if wanted else 'there'} in version {metadata['version']}"
        )
    if not wanted:
        return None
    try:
        interface = interfaces.from_dict(_json(path, metadata, "interface"))
        if len(interface.class_names) > net.classes:
            raise SpecError(
                f"class_names must be at most the network's {net.classes} classes, not "
                f"{len(interface.class_names)}"
            )
    except SpecError as error:
        raise BundleError(f"bundle {path}: field 'interface': {error}") from None
    return interface


def _json(path: Path, metadata: dict[str, str], name: str):
    """A field of a bundle's header, which must be JSON; raises BundleError."""
    try:
        return reading.json_of(metadata[name], f"bundle {path}: field {name!r}")
    except ReadError as error:
        raise BundleError(str(error)) from None


def _reason(error: Exception) -> str:
    """Why a file could not be read, in one sentence."""
    return getattr(error, "strerror", None) or str(error)


def _assemble(net: NetworkSpec, tensors: dict[str, np.ndarray], provenance: dict) -> Bundle:
    """The bundle of a file's tensors, which have been checked."""
    shapes = _bit_shapes(net)
    bits = {name: unpack_bytes(tensors[name], shape[-1]) for name, shape in shapes.items()}
    lgap = net.lgap_map
    return Bundle(
        network=net,
        conv=tuple(
            bits[f"conv{i}.weight"].reshape(c.filters, 3, 3, net.conv_fan_in(i) // TAPS)
            for i, c in enumerate(net.convs)
        ),
        lgap=bits.get("lgap.weight", NO_BITS).reshape(lgap.channels, lgap.height, lgap.width),
        dense=bits.get("dense.weight", NO_BITS).reshape(net.latent, net.lgap_bits),
        hidden=tensors["hidden.proxy"],
        output=tensors["output.proxy"],
        thresholds=tensors.get("thermometer.threshold", NO_BITS),
        golden=Golden(
            tensors["golden.image" if net.takes_images else "golden.latent"],
            unpack_bytes(tensors["golden.latent"], net.latent),
            tensors["golden.logit"],
        ),
        provenance=provenance,
    )


def random(net: NetworkSpec, seed: int, max_pixel: int = BYTE) -> Bundle:
    """A bundle of random bits, for tests and for trying a spec before it is trained.

    max_pixel : the greatest pixel of its images, 1 to 255: thresholds lie within their range

    SpecError where its arrays would take more memory than `xnoreplay.spec.limits` allows.
    """
    require.between("max_pixel", max_pixel, 1, BYTE)
    needed = net.fe_weight_bits + 2 * (net.hidden * net.latent + net.classes * net.output_fan_in)
    limits.check_memory(f"a bundle of network {net.name}", 2 * needed)
    rng = np.random.default_rng(seed)

    def bits(*shape):
        return rng.integers(0, 2, shape, dtype=np.uint8)

    def proxies(*shape):
        return rng.integers(-(1 << 12), 1 << 12, shape, dtype=np.int16)

    lgap = net.lgap_map
    return Bundle(
        network=net,
        conv=tuple(
            bits(c.filters, 3, 3, net.conv_fan_in(i) // TAPS) for i, c in enumerate(net.convs)
        ),
        lgap=bits(lgap.channels, lgap.height, lgap.width),
        dense=bits(net.latent, net.lgap_bits),
        hidden=proxies(net.hidden, net.latent),
        output=proxies(net.classes, COPIES, net.output_inputs),
        thresholds=np.concatenate([NO_BITS, *(_thresholds(rng, n, max_pixel) for n in net.levels)]),
        golden=Golden(
            np.empty((0, *net.image_shape), np.uint8),
            np.empty((0, net.latent), np.uint8),
            np.empty((0, net.classes), np.int32),
        ),
        provenance={"random_seed": seed},
    )


def _thresholds(rng: np.random.Generator, levels: int, max_pixel: int) -> np.ndarray:
    """(levels,) uint8 of one channel, ascending, such that pixels 0 to `max_pixel` lie on both sides.

    They are distinct, and below the greatest pixel, while there are values enough.
    """
    most = max_pixel - 1 if levels < max_pixel else max_pixel
    found = rng.choice(most, levels, replace=levels > most) + 1
    return np.sort(found).astype(np.uint8)
