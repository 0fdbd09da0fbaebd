"""NetworkSpec: what a topology derives, and which topologies it refuses."""

import dataclasses

import pytest

from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import Conv, NetworkSpec

DIGITS = presets.load("digits").network


def test_3mb_has_the_papers_weight_bits():
    net = presets.load("3mb").network
    convs = [c.filters * net.conv_fan_in(i) for i, c in enumerate(net.convs)]
    assert convs == [73_728, 147_456, 147_456, 294_912, 294_912, 589_824]
    assert net.lgap_map.bits == 8_192
    assert net.latent * net.lgap_bits == 1_048_576
    assert net.hidden * net.latent == 131_072
    assert net.classes * net.output_fan_in == 230_400
    assert net.weight_bits == 2_966_528


def test_3mb_res_has_about_the_same():
    net = presets.load("3mb-res").network
    convs = [c.filters * net.conv_fan_in(i) for i, c in enumerate(net.convs)]
    assert convs == [576 * c.filters for c in net.convs]
    assert sum(convs) == 1_695_744
    assert net.classes * net.output_fan_in == 115_200
    assert net.weight_bits == 2_998_784
    assert net.lgap_map == presets.load("3mb").network.lgap_map
    assert [net.skip_weight(i) for i, c in enumerate(net.convs) if c.skip] == [32] * 5


def test_a_native_image_is_thirteen_latents():
    net = presets.load("3mb").network
    assert net.native_image_bits == 13_312 == 13 * net.latent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, not 1"),
        ({"latent": 0}, "latent must be a positive integer, not 0"),
        ({"hidden": 2.5}, "hidden must be a positive integer, not 2.5"),
        ({"colour": "rgb"}, "colour must be 'grey' or 'ycbcr', not 'rgb'"),
        ({"pad_bit": 2}, "pad_bit must be 0 or 1, not 2"),
        ({"levels": (16, 16)}, "levels must have one entry per grey channel (1), not 2"),
        ({"levels": (256,)}, "levels[0] must be at most 255, the steps of a byte, not 256"),
        (
            {"convs": ()},
            "height must be left out of a network without convolutions, which is given latents, not 8",
        ),
        (
            {"convs": (Conv(32), Conv(30, groups=4))},
            "convs[1].groups must divide its 30 output channels, but 4 does not",
        ),
        (
            {"convs": (Conv(33), Conv(32, groups=2))},
            "convs[1].groups must divide its 33 input channels, but 2 does not",
        ),
        (
            {"convs": (Conv(16, skip=True), Conv(32))},
            "convs[0].skip must be false, because no convolution comes before, not True",
        ),
        (
            {"convs": (Conv(32), Conv(32, skip=True))},
            (
                "convs[1].skip must join maps of equal shape, not the 8x8x16 that convs[0] sees and "
                "the 8x8x32 that convs[1] makes"
            ),
        ),
        (
            {"convs": (Conv(32, pool=True), Conv(16, skip=True))},
            (
                "convs[1].skip must join maps of equal shape, not the 8x8x16 that convs[0] sees and "
                "the 4x4x16 that convs[1] makes"
            ),
        ),
        (
            {"convs": (Conv(32), Conv(16, skip=1))},
            "convs[1].skip must be true or false, not 1",
        ),
        ({"height": 7}, "convs[1].pool must see an even map, not 7x8"),
        (
            {"convs": (Conv(8, pool=True), Conv(8, pool=True), Conv(8, pool=True))},
            "the last feature map must have at least 2 pixels to average over, not 1",
        ),
    ],
)
def test_a_broken_rule_is_named(change, message):
    with pytest.raises(SpecError) as error:
        dataclasses.replace(DIGITS, **change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("channels", "weight"), [(1, 4), (2, 4), (4, 8), (15, 16), (16, 16), (64, 32), (128, 32)]
)
def test_a_skip_weighs_about_as_much_as_the_sum_it_joins(channels, weight):
    convs = (Conv(channels), Conv(channels, pool=True), Conv(channels), Conv(channels, skip=True))
    net = dataclasses.replace(DIGITS, convs=convs)
    fan_in = net.conv_fan_in(3)
    assert net.skip_weight(3) == weight
    assert fan_in / 2 < weight**2 <= 2 * fan_in
    assert net.skip_weight(2) == 0


def without_convolutions(**fields):
    return NetworkSpec(**{"name": "features", "latent": 64, "hidden": 32, "classes": 6} | fields)


def test_a_network_without_convolutions_is_the_classifier_alone():
    net = without_convolutions()
    assert not net.takes_images
    assert net.convs == net.maps == net.levels == ()
    assert net.image_shape == (8,)
    assert without_convolutions(latent=65).image_shape == (9,)
    assert net.fe_weight_bits == net.thermometer_bits == net.lgap_bits == net.image_channels == 0
    assert net.weight_bits == 32 * 64 + 6 * 2 * (64 + 32)
    assert net.native_image_bits == 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 8),
        ("width", True),
        ("colour", "grey"),
        ("levels", (16,)),
        ("levels", [16]),
        ("pad_bit", 1),
        ("pad_bit", False),
    ],
)
def test_fields_of_an_image_are_refused_without_convolutions(field, value):
    with pytest.raises(SpecError) as error:
        without_convolutions(**{field: value})
    assert str(error.value).startswith(
        f"{field} must be left out of a network without convolutions, which is given latents, not "
    )


@pytest.mark.parametrize("field", ["latent", "hidden", "classes"])
def test_fields_of_the_classifier_must_be_given_without_convolutions(field):
    with pytest.raises(SpecError) as error:
        without_convolutions(**{field: 0})
    assert str(error.value) == f"{field} must be a positive integer, not 0"
