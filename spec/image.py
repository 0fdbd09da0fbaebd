"""Memory images: a bundle laid out in the words of a plan's memories.

Rows are arrays of bits, (depth, width) uint8; `docs/microarchitecture.md` is the layout.
"""

from collections.abc import Callable

import numpy as np

from xnoreplay.spec.bits import ceil_div, padded, sign
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Convolution, Plan
from xnoreplay.spec.reference import Classifier

WHOLE_LANE = 32
"""Channels of a lane's file above which its halves have a read address each: one register for 576 bits is
so far from most of them that its wires, and not the logic, set the array's clock."""


def lane_columns(channels: int) -> list[list[int]]:
    """Bits of a lane's word, by their place in it, that each part of the lane's file holds."""
    size = channels // 2 if channels > WHOLE_LANE else channels
    return [
        [t * channels + c for t in range(TAPS) for c in range(start, start + size)]
        for start in range(0, channels, size)
    ]


def bank_row(plan: Plan, row: int) -> tuple[int, int]:
    """Bank, and row in it, that hold a row of cls.top of the memory map.

    >>> from xnoreplay.spec import plan, presets
    >>> digits = presets.load("digits")
    >>> base = plan.compile(digits.network, digits.target).output.weight_base
    >>> [bank_row(plan.compile(digits.network, digits.target), base + n) for n in (0, 2, 3, 4)]
    [(0, 32), (1, 0), (1, 1), (0, 34)]
    """
    base, beats = plan.output.weight_base, plan.output.beats
    if row < base:
        return 0, row
    pair, beat = divmod(row - base, beats)
    return pair % COPIES, (0 if pair % COPIES else base) + pair // COPIES * beats + beat


def vector_words(parts: list[np.ndarray], word: int) -> np.ndarray:
    """Lay parts (..., n_i) of bits end to end, each on a word boundary: (..., words, word)."""
    flat = np.concatenate([padded(part, word) for part in parts], axis=-1)
    return flat.reshape(*flat.shape[:-1], -1, word)


def vector_beats(parts: list[np.ndarray], word: int) -> np.ndarray:
    """Lay parts (..., n_i) of bits end to end, each on a word boundary, in beats of nine words.

    Returns (..., beats, 9 * word).
    """
    words = vector_words(parts, word)
    flat = words.reshape(*words.shape[:-2], -1)
    return padded(flat, TAPS * word).reshape(*words.shape[:-2], -1, TAPS * word)


def planes(values: np.ndarray, bits: int, word: int) -> np.ndarray:
    """Lay (..., n) integers out as planes of words: (rows, word) bits.

    Each n integers start on a word boundary; of a word the plane of the lowest bits comes first, `bits` planes in all.
    """
    cells = np.arange(bits)
    parts = vector_words([values.reshape(-1, values.shape[-1])], word)
    rows = parts[:, :, None, :] >> cells[:, None] & 1
    return rows.reshape(-1, word).astype(np.uint8)


def values(rows: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Inverse of `planes`, for integers that lie `count` in a row: (rows, count) int64."""
    word = rows.shape[1]
    cells = rows.reshape(-1, ceil_div(count, word), bits, word).astype(np.int64)
    found = (cells << np.arange(bits)[:, None]).sum(2)
    return found.reshape(len(found), -1)[:, :count]


def conv_words(op: Convolution, weight: np.ndarray, word: int) -> np.ndarray:
    """(tiles * L * beats, W) bits of one convolution from (filters, 3, 3, channels) bits."""
    filters, channels = len(weight), weight.shape[3]
    groups = op.tiles // op.group_tiles
    image = np.zeros((groups, op.group_tiles * op.lanes, op.beats * word, TAPS), np.uint8)
    grouped = weight.reshape(groups, filters // groups, TAPS, channels)
    image[:, : filters // groups, :channels] = grouped.transpose(0, 1, 3, 2)
    beats = image.reshape(-1, op.beats, word, TAPS).transpose(0, 1, 3, 2)
    return beats.reshape(-1, TAPS * word)


def weights_fe(plan: Plan, bundle: Bundle) -> np.ndarray:
    """Content of weights.fe: every convolution, then the dense latent layer."""
    word = plan.target.channels
    parts = [conv_words(op, w, word) for op, w in zip(plan.convolutions, bundle.conv, strict=True)]
    channels = plan.network.lgap_map.channels
    dense = vector_beats([bundle.dense[:, :channels], bundle.dense[:, channels:]], word)
    return np.concatenate([*parts, dense.reshape(-1, TAPS * word)])


def weights_lgap(plan: Plan, bundle: Bundle) -> np.ndarray:
    """Content of weights.lgap: word group * pixels + pixel."""
    word = plan.target.channels
    channels = plan.network.lgap_map.channels
    kernel = bundle.lgap.reshape(channels, -1).T  # (pixels, channels)
    return vector_words([kernel], word).transpose(1, 0, 2).reshape(-1, word)


def cls_top(plan: Plan, classifier: Classifier) -> np.ndarray:
    """Content of cls.top: hidden rows, then both copies of every class's row."""
    word, latent = plan.target.channels, plan.network.latent
    hidden = vector_beats([sign(classifier.hidden)], word).reshape(-1, TAPS * word)
    weights = classifier.output_weights()
    output = vector_beats([weights[..., :latent], weights[..., latent:]], word)
    assert output.shape[1] == COPIES
    return np.concatenate([hidden, output.reshape(-1, TAPS * word)])


def cls_top_columns(plan: Plan) -> np.ndarray:
    """Which bits of cls.top are weights: (rows, width) uint8. Others are of columns that do not exist, and 0 in every classifier."""
    return cls_top(plan, full(plan))


def full(plan: Plan) -> Classifier:
    """A classifier all bits of whose proxies are 1, so that its memories have a 1 wherever a column exists."""
    net, rule = plan.network, plan.rule
    most = (1 << rule.proxy_bits - 1) - 1
    shape = (net.classes, rule.proxies_per_pair, net.output_inputs)
    return Classifier(rule, np.full((net.hidden, net.latent), most), np.full(shape, most))


def segments(plan: Plan, codes: np.ndarray) -> np.ndarray:
    """Codes (rows, columns, copies) by segments of S columns: (rows, segments, S * copies).

    Columns past a part's end are 0; column i of a segment comes before column i + 1, and its
    copies are neighbours.
    """
    width = plan.target.segment * codes.shape[2]
    return padded(codes.reshape(len(codes), -1), width).reshape(len(codes), -1, width)


def low_bits(codes: np.ndarray, bits: int) -> np.ndarray:
    """The lowest bits of codes (rows, segments, n): (rows * segments, n * bits) bits."""
    unpacked = codes[..., None] >> np.arange(bits) & 1
    return unpacked.reshape(-1, codes.shape[2] * bits).astype(np.uint8)


def proxy_low_bits(plan: Plan, classifier: Classifier) -> dict[str, np.ndarray]:
    """The low bits of the proxies, which only retraining reads: memory name -> bits.

    A proxy in offset binary is theta + 2^(n-1); its top bits are in cls.top.
    """
    rule, latent = plan.rule, plan.network.latent
    half = 1 << rule.proxy_bits - 1
    images = {}
    if low := rule.low_bits:
        codes = (classifier.output + half).transpose(0, 2, 1)
        parts = [segments(plan, codes[:, :latent]), segments(plan, codes[:, latent:])]
        images["cls.low"] = low_bits(np.concatenate(parts, axis=1), low)
    if plan.target.hidden_learns:
        codes = segments(plan, (classifier.hidden + half)[:, :, None])
        images["cls.hidden_low"] = low_bits(codes, rule.proxy_bits - 1)
    return images


def proxies(plan: Plan, memory: Callable[[str], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The proxies that memories hold: (hidden, latent) and (classes, proxies, latent + hidden) int64.

    memory : gives the (depth, width) bits of a memory by its name

    Of a frozen hidden layer the memories hold only the signs: its proxies are the ends of the range.
    """
    net, rule = plan.network, plan.rule
    word, latent, half = plan.target.channels, net.latent, 1 << rule.proxy_bits - 1
    top = memory("cls.top")
    hidden = top[: plan.output.weight_base].reshape(net.hidden, -1)[:, :latent]
    rows = top[plan.output.weight_base :].reshape(net.classes, COPIES, -1)
    start = plan.replay.words * word
    output = np.concatenate([rows[..., :latent], rows[..., start : start + net.hidden]], axis=2)
    pairs = output.transpose(0, 2, 1).astype(np.int64)  # (classes, columns, COPIES)
    copies = rule.proxies_per_pair
    if copies == 1:
        pairs = 2 * pairs[..., :1] + pairs[..., 1:]
    low: np.ndarray | int = 0
    if rule.low_bits:
        low = _low_codes(plan, memory("cls.low"), net.classes, copies, [latent, net.hidden])
    output = ((pairs << rule.low_bits) + low - half).transpose(0, 2, 1)
    if not plan.target.hidden_learns:
        return np.where(hidden, half - 1, -half), output
    low = _low_codes(plan, memory("cls.hidden_low"), net.hidden, 1, [latent])
    hidden = (hidden.astype(np.int64)[..., None] << rule.proxy_bits - 1) + low - half
    return hidden[..., 0], output


def _low_codes(
    plan: Plan, bits: np.ndarray, rows: int, copies: int, parts: list[int]
) -> np.ndarray:
    """(rows, columns, copies) low bits of a layer's proxies; inverse of `segments` and `low_bits`."""
    segment = plan.target.segment
    fields = bits.reshape(rows, -1, segment, copies, bits.shape[1] // (segment * copies))
    codes = (fields.astype(np.int64) << np.arange(fields.shape[-1])).sum(-1)
    columns, first = [], 0
    for part in parts:
        taken = ceil_div(part, segment)
        block = codes[:, first : first + taken].reshape(rows, -1, copies)
        columns.append(block[:, :part])
        first += taken
    return np.concatenate(columns, axis=1)


def load(plan: Plan, bundle: Bundle) -> dict[str, np.ndarray]:
    """What the host writes at power-on: memory name -> (depth, width) bits.

    Raises
    ------
    SpecError
        Where the bundle was exported for another network.
    """
    if bundle.network != plan.network:
        raise SpecError(
            f"the bundle must hold network {plan.network.name!r} as specified, not "
            f"{bundle.network.name!r} with other fields"
        )
    classifier = Classifier.load(bundle, plan.target)
    images = {}
    if plan.network.takes_images:
        images = {
            "weights.fe": weights_fe(plan, bundle),
            "weights.lgap": weights_lgap(plan, bundle),
        }
    images["cls.top"] = cls_top(plan, classifier)
    if plan.network.takes_images:
        thresholds = np.unpackbits(bundle.thresholds[:, None], axis=1, bitorder="little")
        images["thermometer.threshold"] = thresholds
    images |= proxy_low_bits(plan, classifier)
    for name, image in images.items():
        memory = plan.memory(name)
        assert image.shape == (memory.depth, memory.width), (name, image.shape)
    return images
