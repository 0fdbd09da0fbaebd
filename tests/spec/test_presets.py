"""Presets by name and from files."""

import pytest

from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import NetworkSpec


@pytest.mark.parametrize("name", presets.PRESETS)
def test_round_trip(name):
    preset = presets.load(name)
    assert presets.from_dict(presets.to_dict(preset)) == preset


def test_an_unknown_preset_suggests_the_nearest():
    with pytest.raises(SpecError) as error:
        presets.load("digit")
    expected = "preset must be one of 3mb, 3mb-res, 3mb-stored, digits, tiny, not 'digit'; did you mean 'digits'?"
    assert str(error.value) == expected


def test_a_file_overrides_fields_of_a_preset(tmp_path):
    path = tmp_path / "wide.toml"
    path.write_text('preset = "digits"\n[target]\nlanes = 8\n')
    preset = presets.load(str(path))
    assert preset.name == "wide"
    assert preset.target.lanes == 8
    assert preset.network == presets.load("digits").network


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'preset = "digts"',
            "preset must be one of 3mb, 3mb-res, 3mb-stored, digits, tiny, not 'digts'",
        ),
        ('preset = "digits"\n[targets]\n', "section must be one of"),
        ('preset = "digits"\n[target]\nlane = 2\n', "did you mean 'lanes'?"),
        ("[network]\nheight = 8\n", "section 'network' must give classes, colour, convs"),
        ('preset = "digits"\ntarget = 3\n', "section 'target' must be a table of fields, not 3"),
        ('preset = "digits"\n[network]\nconvs = [{groups = 2}]\n', "convs[0] must give filters"),
        ("preset = ", "must be readable TOML"),
        (
            'preset = ["digits"]\n',
            "preset must be one of 3mb, 3mb-res, 3mb-stored, digits, tiny, not",
        ),
        ('preset = "digits"\nname = "../x"\n', "name must be a word of letters, digits"),
        ('preset = "digits"\nname = 3\n', "name must be a word of letters, digits"),
        ('preset = "digits"\n[scenario]\norder_seed = -1\n', "order_seed must be an integer"),
        ('preset = "digits"\n[network]\nlevels = 16\n', "levels must be a list, one entry a"),
        ('preset = "digits"\n[network]\npad_bit = 0.0\n', "pad_bit must be 0 or 1, not 0.0"),
        ('preset = "digits"\n[target]\nhidden_learns = 1\n', "hidden_learns must be False or"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        presets.load(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value) or "TOML" in message


FEATURES = """
[network]
name = "features"
convs = []
latent = 64
hidden = 32
classes = 6
[target]
name = "features"
lanes = 4
channels = 16
batch = 16
[scenario]
dataset = "random"
classes = 6
base = 4
step = 1
"""


def test_a_file_of_a_network_without_convolutions_leaves_images_out(tmp_path):
    path = tmp_path / "features.toml"
    path.write_text(FEATURES)
    preset = presets.load(str(path))
    assert preset.network == NetworkSpec("features", latent=64, hidden=32, classes=6)
    tree = presets.to_dict(preset)
    assert tree["network"] == {
        "name": "features",
        "convs": [],
        "latent": 64,
        "hidden": 32,
        "classes": 6,
    }
    assert presets.from_dict(tree) == preset


def test_a_preset_gives_its_image_to_no_network_without_convolutions(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('preset = "tiny"\n[network]\nconvs = []\n[scenario]\ndataset = "random"\n')
    preset = presets.load(str(path))
    assert preset.network == NetworkSpec("tiny", latent=12, hidden=5, classes=4)
    path.write_text('preset = "tiny"\n[network]\nconvs = []\nlevels = [4]\n')
    with pytest.raises(SpecError) as error:
        presets.load(str(path))
    assert str(error.value) == (
        "levels must be left out of a network without convolutions, which is given latents, not (4,)"
    )
    path.write_text('preset = "tiny"\n[network]\nconvs = []\n')
    with pytest.raises(SpecError) as error:
        presets.load(str(path))
    assert str(error.value) == (
        "dataset of network tiny, which is given latents, must be 'random' or features of your own, not 'digits'"
    )


def test_convolutions_are_left_out_by_saying_so(tmp_path):
    path = tmp_path / "features.toml"
    path.write_text(FEATURES.replace("convs = []\n", ""))
    with pytest.raises(SpecError) as error:
        presets.load(str(path))
    assert str(error.value) == (
        "section 'network' must give colour, convs, height, levels, width, or name a preset to start from; "
        "a network that is given latents, not images, says convs = []"
    )
