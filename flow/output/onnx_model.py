"""Extractor and classifier as ONNX models, which compute the chip's bits.

Every number in a model is exact. Values are +1 and -1, and what is summed are products of these, in single precision:
every partial sum is an integer of at most 2^24 (the widest layer has 9 x 65,536 inputs, the largest map 4,096 x 4,096
pixels), which single precision holds exactly, in whatever order a runtime adds. A sign is taken at -1/2, not at 0: a
runtime whose convolutions go by a transform with fractions (Winograd) may miss an integer by less than that, and nothing
changes.
"""

import hashlib
from pathlib import Path
from types import ModuleType

import numpy as np

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import reading
from xnoreplay.spec.bits import sign, signed
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, ToolError
from xnoreplay.spec.reference import Classifier

EXTRACTOR, CLASSIFIER = "extractor.onnx", "classifier.onnx"
"""Names of the two files."""
PRODUCER = "xnoreplay"
OPSET, IR = 17, 8
"""Versions of the operators and of the file format: of 2022, so that older runtimes read them."""
QONNX, QONNX_VERSION = "qonnx.custom_op.general", 1
"""Domain of QONNX's quantisers, of which `BipolarQuant` is the sign: +1 for 0 and above, else -1."""


class _Graph:
    """A model under construction: each method adds nodes and returns the name of their result.

    qonnx : whether signs and binary weights are QONNX's `BipolarQuant` nodes
    """

    def __init__(self, qonnx: bool) -> None:
        self.onnx, self.qonnx = _library(), qonnx
        self.nodes: list = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, values: np.ndarray) -> str:
        """A constant; equal ones are kept once."""
        kept = np.ascontiguousarray(values)
        digest = hashlib.sha256(repr((kept.dtype.str, kept.shape)).encode() + kept.tobytes())
        name = f"c_{digest.hexdigest()[:12]}"
        self.constants[name] = kept
        return name

    def real(self, values: object) -> str:
        """A constant in single precision."""
        return self.constant(np.asarray(values, np.float32))

    def node(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes) -> str:
        """A node of one result."""
        result = name or f"{kind.lower()}_{len(self.nodes)}"
        made = self.onnx.helper.make_node(
            kind, list(inputs), [result], name=result, domain=domain, **attributes
        )
        self.nodes.append(made)
        return result

    def signs(self, of: str) -> str:
        """+1 where a value is at least 0, else -1."""
        if self.qonnx:
            return self.node("BipolarQuant", of, self.real(1), domain=QONNX)
        return self.choose(self.node("GreaterOrEqual", of, self.real(-0.5)))

    def choose(self, true: str) -> str:
        """+1 where true, else -1."""
        return self.node("Where", true, self.real(1), self.real(-1))

    def weights(self, bits: np.ndarray) -> str:
        """Binary weights, +1 and -1."""
        values = self.real(signed(bits))
        return (
            self.node("BipolarQuant", values, self.real(1), domain=QONNX) if self.qonnx else values
        )

    def bytes_of(self, signs: str, name: str) -> str:
        """Bits as bytes: 1 for +1, 0 for -1."""
        one = self.node("GreaterOrEqual", signs, self.real(0))
        return self.node("Cast", one, name=name, to=self.onnx.TensorProto.UINT8)

    def model(self, name: str, given: tuple, results: list[tuple], about: dict[str, str]) -> bytes:
        """The model as the bytes of its file; `given` and `results` are name, type and shape without the samples."""
        helper = self.onnx.helper
        samples = 1 if self.qonnx else "n"  # readers of QONNX want whole shapes

        def info(name: str, kind: str, shape: tuple):
            code = getattr(self.onnx.TensorProto, kind)
            return helper.make_tensor_value_info(name, code, [samples, *shape])

        graph = helper.make_graph(
            self.nodes,
            name,
            [info(*given)],
            [info(*result) for result in results],
            [self.onnx.numpy_helper.from_array(a, n) for n, a in self.constants.items()],
        )
        domains = [helper.make_opsetid("", OPSET)]
        if self.qonnx:
            domains.append(helper.make_opsetid(QONNX, QONNX_VERSION))
        model = helper.make_model(graph, opset_imports=domains, producer_name=PRODUCER)
        model.ir_version = IR
        helper.set_model_props(model, about)
        self.onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)


def extractor(bundle: Bundle, qonnx: bool = False) -> bytes:
    """The feature extractor: images (n, height, width, channels) uint8 to latents (n, latent) uint8, bits 0 and 1.

    Parameters
    ----------
    bundle : Bundle
    qonnx : bool
        Signs and binary weights as QONNX's `BipolarQuant`, for FINN and other readers of QONNX, one sample a call. Plain
        runtimes do not know it.

    Returns
    -------
    bytes
        Of the model's file, the same for the same bundle.

    Raises
    ------
    SpecError
        For a network that is given latents, which has no extractor.
    ToolError
        Where the library `onnx` is missing.
    """
    net = bundle.network
    if not net.takes_images:
        raise SpecError(
            f"the extractor must be of a network with convolutions, but {net.name} is given latents"
        )
    graph = _Graph(qonnx)
    pixels = graph.node("Cast", "image", to=graph.onnx.TensorProto.FLOAT)
    pixels = graph.node("Transpose", pixels, perm=[0, 3, 1, 2])  # (n, channels, height, width)
    channel = graph.constant(np.repeat(np.arange(net.image_channels), net.levels))
    values = graph.node("Gather", pixels, channel, axis=1)
    thresholds = graph.real(bundle.thresholds.reshape(1, -1, 1, 1))
    maps = [graph.choose(graph.node("GreaterOrEqual", values, thresholds))]
    edge = graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    for i, (layer, weight) in enumerate(zip(net.convs, bundle.conv, strict=True)):
        padded = graph.node("Pad", maps[i], edge, graph.real(2 * net.pad_bit - 1))
        kernel = graph.weights(weight.transpose(0, 3, 1, 2))  # (filters, channels, 3, 3)
        sums = graph.node("Conv", padded, kernel, group=layer.groups, kernel_shape=[3, 3])
        if layer.skip:
            more = graph.node("Mul", maps[i - 1], graph.real(net.skip_weight(i)))
            sums = graph.node("Add", sums, more)
        out = graph.signs(sums)
        if layer.pool:
            out = graph.node("MaxPool", out, kernel_shape=[2, 2], strides=[2, 2])
        maps.append(out)
    kernel = graph.weights(bundle.lgap[None])
    weighted = graph.node("Mul", maps[-1], kernel)
    axes = graph.constant(np.array([2, 3]))
    paths = [
        graph.signs(graph.node("ReduceSum", part, axes, keepdims=0))
        for part in (maps[-1], weighted)
    ]
    pooled = graph.node("Concat", *paths, axis=1)  # (n, 2 channels)
    sums = graph.node("MatMul", pooled, graph.weights(bundle.dense.T))
    graph.bytes_of(graph.signs(sums), "latent")
    return graph.model(
        f"{net.name} extractor",
        ("image", "UINT8", net.image_shape),
        [("latent", "UINT8", (net.latent,))],
        _about(bundle),
    )


def classifier(bundle: Bundle, learned: Classifier, seen: int, qonnx: bool = False) -> bytes:
    """The classifier: latents (n, latent) uint8, bits 0 and 1, to the integer sums of the classes seen.

    Results are `sums` (n, seen) int32 and `class` (n,) int64, the chip class of the greatest sum; ties go to the lower.

    Parameters
    ----------
    bundle : Bundle
        That the classifier started from.
    learned : Classifier
        At power-on, or after sessions.
    seen : int
        Classes seen, at least 1.
    qonnx : bool
        As of `extractor`.

    Returns
    -------
    bytes
        Of the model's file.

    Raises
    ------
    SpecError
        Where no class is seen.
    ToolError
        Where the library `onnx` is missing.
    """
    if seen < 1:
        raise SpecError(f"the classifier must have seen a class to be a model, not {seen}")
    net, graph = bundle.network, _Graph(qonnx)
    bits = graph.node("Cast", "latent", to=graph.onnx.TensorProto.FLOAT)
    latent = graph.choose(graph.node("GreaterOrEqual", bits, graph.real(1)))
    hidden = graph.weights(sign(learned.hidden).T)
    inputs = graph.node("Concat", latent, graph.signs(graph.node("MatMul", latent, hidden)), axis=1)
    copies = learned.output_weights()[:seen]  # (seen, copies, latent + hidden)
    parts = [graph.weights(copies[:, i].T) for i in range(copies.shape[1])]
    sums = graph.node("MatMul", inputs, graph.node("Sum", *parts))
    graph.node("Cast", sums, name="sums", to=graph.onnx.TensorProto.INT32)
    graph.node("ArgMax", sums, name="class", axis=1, keepdims=0)
    return graph.model(
        f"{net.name} classifier",
        ("latent", "UINT8", (net.latent,)),
        [("sums", "INT32", (seen,)), ("class", "INT64", ())],
        _about(bundle),
    )


def is_ours(path: Path) -> bool:
    """Tell whether a file is an ONNX model that this module wrote; OSError and ReadError where it cannot be read."""
    with reading.opened(path) as file:
        return file.read(len(_BEGIN)) == _BEGIN


_BEGIN = bytes([0x08, IR, 0x12, len(PRODUCER)]) + PRODUCER.encode()
"""First bytes of a model: version of the format, then its producer."""


def _about(bundle: Bundle) -> dict[str, str]:
    """What a model says of itself."""
    about = {"bundle": bundles.digest(bundle)}
    if bundle.interface is not None:
        about["class_names"] = "\n".join(bundle.interface.class_names)
    return about


def _library() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise ToolError(
            f"an ONNX model must have the library onnx to be written (pip install 'xnoreplay[onnx]'), but: {error}"
        ) from None
    return onnx
