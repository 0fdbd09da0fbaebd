"""NetworkSpec: the topology of a fully-binarised network, and nothing else.

The chain is fixed: thermometer, 3x3 binary convolutions, LGAP, dense latent, and a DenseSkip
classifier of one hidden layer. A network without convolutions is the classifier alone, which is given
latents. What varies is in the fields; what follows from them is a property.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from xnoreplay.spec import limits
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import SpecError, require, shown

TAPS = 9  # positions of a 3x3 window
COPIES = 2  # binary weights of each input of the output layer ("duplicate")
IMAGE_FIELDS = {"height": 0, "width": 0, "colour": "", "levels": (), "pad_bit": 0}
"""Fields that say what becomes of an image, and what each is in a network without convolutions, where it is left out."""
LOGIT_SCALE_C = 5  # c in alpha = 1 / sqrt(c * fan_in * classes), arXiv 2503.07107


@dataclass(frozen=True)
class Conv:
    """A 3x3 binary convolution, stride 1, padded to the same size, optionally max-pooled by 2.

    Parameters
    ----------
    filters : int
        Output channels, a multiple of `groups`.
    groups : int
        Groups of channels that do not see each other; it divides input and output channels.
    pool : bool
        2x2 max-pooling after the sign: the OR of four bits.
    skip : bool
        Its integer sums also count the input of the convolution before, bit by bit as -1 or +1
        times a weight, before the sign: a residual connection around the two. The weight is the power of two
        nearest to the square root of a sum's number of products.
    """

    filters: int
    groups: int = 1
    pool: bool = False
    skip: bool = False


@dataclass(frozen=True)
class MapShape:
    """A binary feature map."""

    height: int
    width: int
    channels: int

    @property
    def pixels(self) -> int:
        """Pixels of the map."""
        return self.height * self.width

    @property
    def bits(self) -> int:
        """Bits of the map, one a pixel and channel."""
        return self.pixels * self.channels


def _given(absent: Any) -> Any:
    """A field that a spec file must give; `absent` is what it is where it may be left out."""
    return field(default=absent, metadata={"given": True})


@dataclass(frozen=True)
class NetworkSpec:
    """Topology of a fully-binarised network.

    Without convolutions (``convs = []``) the network is the classifier alone: it is given latents, and has no `height`,
    `width`, `colour`, `levels` and `pad_bit`. The most of each number is in `xnoreplay.spec.limits.MOST`.

    Parameters
    ----------
    name : str
        What reports call it.
    height : int
        Rows of the input image, in pixels.
    width : int
        Columns of the input image, in pixels.
    colour : str
        ``"grey"`` (one channel) or ``"ycbcr"`` (three).
    levels : tuple of int
        Thermometer bits of each input channel, 1 to 255 each.
    convs : tuple of Conv
        Convolutions from first to last, at most 100. None, ``[]``: a network that is given latents, not images; the four
        fields before are then left out.
    latent : int
        Bits of the latent, which is the feature extractor's output; without convolutions, what the chip is given.
    hidden : int
        Bits of the classifier's hidden layer.
    classes : int
        Classes that the classifier has room for, at least 2: rows of its output layer.
    pad_bit : int
        The bit outside a feature map's edge: 0 (-1) or 1 (+1).

    Raises
    ------
    SpecError
        Where a field breaks a rule; the message states the rule and the value.
    """

    name: str
    height: int = _given(0)
    width: int = _given(0)
    colour: str = _given("")
    levels: tuple[int, ...] = _given(())
    convs: tuple[Conv, ...] = _given(())
    latent: int = _given(0)
    hidden: int = _given(0)
    classes: int = _given(0)
    pad_bit: int = 0

    maps: tuple[MapShape, ...] = field(init=False, repr=False, compare=False)
    """Feature maps: the thermometer's, then each convolution's (pooled) output. None without convolutions."""

    def __post_init__(self) -> None:
        require.name("name of a network", self.name)
        if not isinstance(self.convs, tuple) or not all(isinstance(c, Conv) for c in self.convs):
            raise SpecError(f"convs must be a list of convolutions, not {shown(self.convs)}")
        if self.convs:
            self._check_image()
        else:
            self._check_no_image()
        for name in ("latent", "hidden", "classes"):
            limits.count(name, getattr(self, name))
        if self.classes < 2:
            raise SpecError(f"classes must be at least 2, not {self.classes}")
        object.__setattr__(self, "maps", tuple(self._trace_maps()) if self.convs else ())
        if self.convs and self.maps[-1].pixels < 2:
            raise SpecError(
                "the last feature map must have at least 2 pixels to average over, not "
                f"{self.maps[-1].pixels}"
            )

    def _check_no_image(self) -> None:
        for name, absent in IMAGE_FIELDS.items():
            value = getattr(self, name)
            if value != absent or isinstance(value, bool):
                raise SpecError(
                    f"{name} must be left out of a network without convolutions, which is given latents, not "
                    f"{shown(value)}"
                )

    def _check_image(self) -> None:
        for name in ("height", "width"):
            limits.count(name, getattr(self, name))
        require.choice("colour", self.colour, ("grey", "ycbcr"))
        require.choice("pad_bit", self.pad_bit, (0, 1))
        if not isinstance(self.levels, tuple):
            raise SpecError(f"levels must be a list, one entry a channel, not {shown(self.levels)}")
        if len(self.levels) != self.image_channels:
            raise SpecError(
                f"levels must have one entry per {self.colour} channel "
                f"({self.image_channels}), not {len(self.levels)}"
            )
        for i, n in enumerate(self.levels):
            require.positive(f"levels[{i}]", n)
            most, why = limits.MOST["levels"]
            if n > most:
                raise SpecError(f"levels[{i}] must be at most {most}, {why}, not {shown(n)}")
        limits.count("convs", len(self.convs), "convolutions in convs")

    def _trace_maps(self):
        shape = before = MapShape(self.height, self.width, sum(self.levels))
        yield shape
        for i, conv in enumerate(self.convs):
            for name in ("filters", "groups"):
                limits.count(name, getattr(conv, name), f"convs[{i}].{name}")
            for name in ("pool", "skip"):
                require.flag(f"convs[{i}].{name}", getattr(conv, name))
            for what, channels in (("in", shape.channels), ("out", conv.filters)):
                if channels % conv.groups:
                    raise SpecError(
                        f"convs[{i}].groups must divide its {channels} {what}put channels, "
                        f"but {conv.groups} does not"
                    )
            if shape.width < 2 or shape.height < 2:
                raise SpecError(
                    f"convs[{i}] must see a map of at least 2x2 pixels, not "
                    f"{shape.height}x{shape.width}"
                )
            if conv.pool and (shape.height % 2 or shape.width % 2):
                raise SpecError(
                    f"convs[{i}].pool must see an even map, not {shape.height}x{shape.width}"
                )
            if conv.skip:
                self._check_skip(i, before, MapShape(shape.height, shape.width, conv.filters))
            step = 2 if conv.pool else 1
            before = shape
            shape = MapShape(shape.height // step, shape.width // step, conv.filters)
            yield shape

    @staticmethod
    def _check_skip(i: int, added: MapShape, sums: MapShape) -> None:
        if i == 0:
            raise SpecError(
                "convs[0].skip must be false, because no convolution comes before, not True"
            )
        if added != sums:
            raise SpecError(
                f"convs[{i}].skip must join maps of equal shape, not the "
                f"{added.height}x{added.width}x{added.channels} that convs[{i - 1}] sees and the "
                f"{sums.height}x{sums.width}x{sums.channels} that convs[{i}] makes"
            )

    @property
    def takes_images(self) -> bool:
        """Whether the chip is given images; else it is given latents."""
        return bool(self.convs)

    @property
    def image_channels(self) -> int:
        """Channels of an image: 3 of colour, or 1 of grey; 0 where the chip is given latents."""
        return {"ycbcr": 3, "grey": 1}.get(self.colour, 0)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the uint8 sample that enters the chip.

        (height, width, channels) of an image. Without convolutions (bytes,) of a latent, ceil(latent / 8) of them: bit i
        is bit i % 8 of byte i // 8 and the bits past the last are ignored, as `spec.bits.pack_bytes` packs it.
        """
        if not self.takes_images:
            return (ceil_div(self.latent, 8),)
        return self.height, self.width, self.image_channels

    def conv_fan_in(self, i: int) -> int:
        """Inputs of one filter of convolution i."""
        return TAPS * self.maps[i].channels // self.convs[i].groups

    def skip_weight(self, i: int) -> int:
        """k, what one bit of the skip adds to a sum of convolution i; 0 without a skip.

        The sum of n products of random signs has deviation sqrt(n). k is the power of two nearest
        to that, 2^j with 2^(2j-1) <= n < 2^(2j+1): convolution and skip weigh alike, whatever the
        fan-in. It is even, so that it moves a threshold by the whole number k / 2.
        """
        return 1 << self.conv_fan_in(i).bit_length() // 2 if self.convs[i].skip else 0

    def conv_variance(self, i: int) -> int:
        """Variance of a sum of convolution i, skip included, where all signs are random."""
        return self.conv_fan_in(i) + self.skip_weight(i) ** 2

    @property
    def lgap_map(self) -> MapShape:
        """The feature map that LGAP averages; of no size without convolutions."""
        return self.maps[-1] if self.maps else MapShape(0, 0, 0)

    @property
    def lgap_bits(self) -> int:
        """Bits that leave LGAP: the average-pooling path, then the depthwise path."""
        return 2 * self.lgap_map.channels

    @property
    def output_inputs(self) -> int:
        """Inputs of the output layer before duplication: latent bits, then hidden bits."""
        return self.latent + self.hidden

    @property
    def output_fan_in(self) -> int:
        """Binary weights of one output row."""
        return COPIES * self.output_inputs

    @property
    def fe_weight_bits(self) -> int:
        """Weight bits of the frozen feature extractor."""
        convs = sum(c.filters * self.conv_fan_in(i) for i, c in enumerate(self.convs))
        return convs + self.lgap_map.bits + self.latent * self.lgap_bits

    @property
    def classifier_weight_bits(self) -> int:
        """Weight bits of the classifier, both copies of the output layer included."""
        return self.hidden * self.latent + self.classes * self.output_fan_in

    @property
    def weight_bits(self) -> int:
        """Weight bits of the whole network."""
        return self.fe_weight_bits + self.classifier_weight_bits

    @property
    def thermometer_bits(self) -> int:
        """Thermometer bits of a pixel, all channels together."""
        return sum(self.levels)

    @property
    def native_image_bits(self) -> int:
        """Bits of one stored sample: of an image, each channel in natural binary; of a latent, its own.

        As the paper counts them: N thermometer bits are stored in ceil(log2 N) bits, which makes
        32 + 16 + 16 levels 13 bits a pixel and an image 13 latents (arXiv 2503.07107). N bits tell
        N + 1 values apart, so this is the least that native replay can need. A single level is one bit.
        """
        if not self.takes_images:
            return self.latent
        depth = sum(max(1, (n - 1).bit_length()) for n in self.levels)
        return self.height * self.width * depth

    @property
    def alpha(self) -> float:
        """Scale of a logit: 1 / sqrt(c * fan_in * classes), arXiv 2503.07107."""
        return 1 / math.sqrt(LOGIT_SCALE_C * self.output_fan_in * self.classes)
