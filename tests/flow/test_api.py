"""The Python interface: its names, what it refuses, and that it says what the packages say."""

import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import pytest

import xnoreplay as xr
from xnoreplay.flow import api
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError, XnoreplayError

NAMES = [n for n in xr.__all__ if n != "__version__"]


@pytest.fixture(scope="module")
def tiny():
    preset = xr.load_preset("tiny")
    return preset, xr.load_bundle(preset, untrained=True), xr.load_images(preset)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_documented_and_typed(name):
    found = getattr(xr, name)
    assert found is getattr(api, name)
    assert found.__doc__
    functions = (
        [found]
        if inspect.isfunction(found)
        else [f for n, f in vars(found).items() if inspect.isfunction(f) and not n.startswith("_")]
    )
    for function in functions:
        assert function.__doc__, function
        assert "return" in function.__annotations__, function


def test_names_are_those_of_the_interface():
    own = {
        n
        for n, v in vars(api).items()
        if getattr(v, "__module__", "") == api.__name__ and n[0] != "_"
    }
    assert own == set(NAMES)
    assert set(NAMES) <= set(dir(xr))
    with pytest.raises(AttributeError, match="no attribute 'Chop'"):
        _ = xr.Chop


@pytest.mark.parametrize("module", ["xnoreplay", "xnoreplay.flow.cli"])
def test_import_loads_nothing(module):
    """Neither the package nor its command line, whose help is there at once."""
    code = f"import sys, {module}; print([m for m in ('numpy', 'numba', 'amaranth') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_chip_is_the_simulator_command_by_command(tiny):
    preset, bundle, images = tiny
    classes = preset.scenario.chip_classes(images.train_labels)
    chip, simulator = (
        xr.Chip(preset, bundle),
        Simulator(plans.compile(preset.network, preset.target), bundle),
    )
    base = (classes >= 0) & (classes < preset.scenario.base)
    new = classes == preset.scenario.base
    taken, refused = chip.remember(images.train_images[base][:20], classes[base][:20])
    simulator.arrive(int(classes[base][:20].max()) + 1)
    results = [
        simulator.insert(i, int(c))
        for i, c in zip(images.train_images[base][:20], classes[base][:20], strict=True)
    ]
    assert refused == sum(r.refused for r in results) > 0
    assert taken == 20 - refused > 0
    taken, refused = chip.enrol(images.train_images[new][:9], classes[new][:9])
    staged = [
        simulator.stage(i, int(c))
        for i, c in zip(images.train_images[new][:9], classes[new][:9], strict=True)
    ]
    assert refused == sum(r.refused for r in staged) > 0
    before = simulator.cycles
    simulator.retrain()
    simulator.rebalance()
    session = chip.learn()
    assert session.cycles == session.counters["cycles"] == simulator.cycles - before
    assert session.seconds == session.cycles / preset.target.clock_hz
    assert chip.counters == simulator.counters
    for name, bits in simulator.memories().items():
        assert (chip.memories()[name] == bits).all()
    image = images.test_images[0]
    assert (
        chip.infer(image).prediction
        == simulator.infer(image).prediction
        == chip.predict(image[None])[0]
    )


def test_without_staging_new_samples_are_remembered_at_once(tiny):
    preset, bundle, images = tiny
    target = dataclasses.replace(preset.target, staging_capacity=0)
    chip = xr.Chip(dataclasses.replace(preset, target=target), bundle)
    assert chip.enrol(images.train_images[:4], [0, 1, 2, 3]) == (4, 0)
    assert chip.classes_seen == 4
    assert chip.learn().counters["learn.samples"] == 4 * target.epochs


def test_what_it_refuses(tiny, tmp_path):
    preset, bundle, images = tiny
    chip = xr.Chip(preset, bundle)
    with pytest.raises(SpecError, match="classes must be one an image, 3, not 2"):
        chip.remember(images.train_images[:3], [0, 1])
    with pytest.raises(SpecError, match="seen must be"):
        chip.remember(images.train_images[:1], [4])
    with pytest.raises(SpecError):
        chip.learn()
    with pytest.raises(XnoreplayError, match="must have a bundle, but none is packaged"):
        xr.load_bundle(preset)
    with pytest.raises(XnoreplayError, match="must not be asked for together"):
        xr.load_bundle(preset, tmp_path / "x", untrained=True)


def test_a_bundle_file_is_read(tiny, tmp_path):
    preset, bundle, _ = tiny
    bundles.write(bundle, tmp_path / "b.safetensors")
    again = xr.load_bundle(preset, str(tmp_path / "b.safetensors"))
    assert np.array_equal(again.hidden, bundle.hidden)


def test_an_estimate_is_the_commands(tiny):
    from xnoreplay.flow.cost import session_cost, session_text

    preset, bundle, _ = tiny
    price, tree = xr.estimate(preset, bundle), session_cost.price_session(preset, bundle)
    assert str(price) == session_text.text(tree)
    plan = plans.compile(preset.network, preset.target)
    assert price.memory_bits == sum(m.bits for m in plan.memories)
    low, nominal, high = price.joules("inference")
    assert 0 < low < nominal < high < price.joules()[2]
    assert price.cycles("inference") == plan.infer_cycles(preset.network.classes)


def test_a_picture_and_a_text_are_the_commands(tiny):
    from xnoreplay.flow.output import diagram
    from xnoreplay.hw import verilog

    preset = tiny[0]
    plan = plans.compile(preset.network, preset.target)
    assert xr.draw(preset) == diagram.chip_svg(plan, preset.name)
    assert xr.generate(preset).text == verilog.generate(plan)


def test_generative_replay_does_not_depend_on_how_classes_are_mixed(tiny):
    """A call gives class after class, because the chip has the counters of one."""
    preset, bundle, images = tiny
    drawn = presets.vary(preset, "target", replay="generative", replay_components=2)
    classes, means = np.array([1, 0, 1, 0, 0, 1]), []
    for order in (np.arange(6), np.argsort(classes, kind="stable")):
        chip = xr.Chip(drawn, bundle)
        assert chip.remember(images.images[order], classes[order]) == (6, 0)
        means.append(chip.memories()["replay.mean"])
    assert np.array_equal(*means)
