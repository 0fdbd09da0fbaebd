"""Systems of class-incremental learning: memories, what each learns, bounds, and refusals."""

import dataclasses
import threading

import numpy as np
import pytest

from xnoreplay.flow.cli import main
from xnoreplay.flow.datasets.bundles import packaged
from xnoreplay.flow.learning import cil, predictions, systems
from xnoreplay.flow.learning.systems import Memory, Variant
from xnoreplay.flow.run.workers import side_by_side
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.target import MOST_LATENTS

DIGITS, FULL, TINY = (presets.load(n) for n in ("digits", "3mb-stored", "tiny"))


@pytest.fixture(scope="module")
def bundle():
    return bundles.read(packaged(DIGITS))


@pytest.fixture(scope="module")
def latents(bundle):
    return cil.extract(DIGITS, bundle)


def run(variant, bundle, latents, **given):
    return systems.learn_variant(variant, DIGITS, bundle, latents.shuffled(0), 0, **given)


def test_iso_memory_is_thirteen_latents_an_image():
    for megabits, slots, images in ((0.05, 48, 3), (5, 4_882, 375), (25, 24_414, 1_878)):
        assert Variant("latent", megabits=megabits).capacity(FULL) == slots
        assert Variant("native", megabits=megabits).capacity(FULL) == images
    assert Variant("latent").capacity(FULL) == FULL.target.replay_capacity
    for slots in range(1, 2_000):  # however a decimal fraction is rounded
        assert Variant(megabits=slots * 128 / 1e6).capacity(DIGITS) == slots


def test_memory_is_shared_equally_and_classes_only_lose_samples():
    labels = np.repeat(np.arange(6), 20)
    memory = Memory(23, seed=1)
    memory.admit(labels, range(3))
    before = [set(h) for h in memory.held]
    assert sorted(len(h) for h in before) == [7, 8, 8]
    memory.admit(labels, range(3, 6))
    assert sorted(len(h) for h in memory.held) == [3, 4, 4, 4, 4, 4]
    assert all(set(h) <= b for h, b in zip(memory.held, before, strict=False))
    for label, held in enumerate(memory.held):
        assert (labels[held] == label).all()
    assert len(memory.indices) == len(set(memory.indices)) == 23


def test_a_memory_of_fewer_samples_than_classes_serves_some():
    memory = Memory(4, seed=0)
    memory.admit(np.arange(6), range(6))
    assert sorted(len(h) for h in memory.held) == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("capacity", [48, 97, 37, 488, 4_882])
def test_a_memory_stays_full(capacity):
    labels = np.repeat(np.arange(100), 500)
    memory = Memory(capacity, seed=0)
    for seen in range(50, 101, 10):
        memory.admit(labels, range(len(memory.held), seen))
        assert len(memory.indices) == capacity
        sizes = [len(h) for h in memory.held]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("rule", systems.RULES)
def test_every_system_lies_where_it_should(bundle, latents, rule):
    final, new = {}, {}
    for system in systems.SYSTEMS[:-1]:
        scores = run(Variant(system, rule), bundle, latents)
        final[system], new[system] = scores["a_final"], scores["a_new"]
    assert final["naive-reset"] < 0.25  # one class of ten is learnt
    assert final["naive"] < final["latent"] < final["cumulative"] + 0.05
    assert final["cumulative-reset"] > 0.75
    assert new["naive-reset"] > 0.95


def test_the_chip_s_latent_replay_is_that_of_the_cil_step(bundle, latents):
    a = run(Variant("latent", "chip"), bundle, latents)
    b = cil.chip(DIGITS, bundle, latents.shuffled(0), 0)
    np.testing.assert_array_equal(a["predictions"], b["predictions"])


def test_more_memory_helps_and_weighting_keeps_old_classes(bundle, latents):
    small, large = (
        np.mean([run(Variant(megabits=mb), bundle, latents)["a_final"]]) for mb in (0.0008, 0.02)
    )
    assert small < large
    weighted, plain = (
        run(Variant(balanced=b, megabits=0.002), bundle, latents) for b in (True, False)
    )
    assert weighted["a_old"] > plain["a_old"]
    assert weighted["a_new"] < plain["a_new"]


def test_a_memory_of_everything_is_one_that_a_chip_can_have(latents):
    scenario = DIGITS.scenario
    largest = max(np.bincount(latents.train_class))
    assert cil.most_latents(scenario, latents) == largest * scenario.classes
    many = dataclasses.replace(latents, train_class=np.zeros(10_000, np.int64))
    assert cil.most_latents(scenario, many) == MOST_LATENTS  # as with CORe50's 2,398 a class


def test_a_fresh_chip_knows_nothing(bundle):
    learner = cil.power_on(DIGITS.target, systems.fresh(bundle, 0), 0)
    assert not learner.proxies.output_weight.any()  # every pair cancels
    assert 0.4 < (learner.proxies.hidden_weight > 0).mean() < 0.6


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"system": "latents"}, "system must be 'naive' or .* not 'latents'"),
        ({"rule": "chip", "loss": "sh"}, "chip's rule must have .* not latent, .* squared hinge"),
        (
            {"rule": "chip", "balanced": False},
            "chip's rule must have .* weighted cross-entropy, not",
        ),
        ({"rule": "chip", "system": "native"}, "chip's rule must have a frozen feature extractor"),
        ({"system": "naive", "megabits": 1}, "system 'naive' must have no memory, not 1 Mb"),
        ({"megabits": 0}, "must have more than 0 Mb, not 0"),
        (
            {"megabits": float("inf")},
            r"Mb of a memory must be a number above 0 and at most 1,000,000 \(10\^12 bits\), not inf",
        ),
        ({"megabits": 1e303}, r"at most 1,000,000 \(10\^12 bits\), not 1e\+303"),
        ({"epochs": 0}, "epochs must be a positive integer, not 0"),
    ],
)
def test_variants_that_there_are_not(fields, sentence):
    with pytest.raises(SpecError, match=sentence):
        Variant(**fields)


def test_the_chip_needs_a_latent_of_each_class(bundle, latents):
    with pytest.raises(SpecError, match="at least one latent for each of 10 classes, not 6"):
        run(Variant("latent", "chip", megabits=0.0008), bundle, latents)


def test_the_command_prints_scores_and_leaves_predictions(tmp_path, capsys):
    file = tmp_path / "p.safetensors"
    code = main(
        [
            "systems",
            "--system",
            "latent",
            "--system",
            "naive",
            "--loss",
            "sh",
            "--plain",
            "--buffer",
            "0.01",
            "--step",
            "5",
            "--seeds",
            "2",
            "--epochs",
            "2",
            "--dump",
            str(file),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    labels = ["latent, float, plain squared hinge, 0.01 Mb", "naive, float, plain squared hinge"]
    assert [line.split("|")[1].strip() for line in lines[2:]] == labels
    _, task, predicted, about = predictions.read(file)
    assert set(predicted) == {f"{label}/{seed}" for label in labels for seed in (0, 1)}
    assert about["dataset"] == "digits"
    assert task.max() == 1  # one session of five classes


def test_a_memory_for_systems_that_have_none_is_refused(capsys):
    assert main(["systems", "--system", "naive", "--system", "cumulative", "--buffer", "5"]) == 1
    assert (
        "--buffer must be with latent or native: the others have no memory"
        in capsys.readouterr().err
    )


def test_variants_are_told_apart_and_run_once(capsys):
    sizes = ["0.01", "0.0100000001", "0.01"]
    assert (
        main(
            [
                "systems",
                "--epochs",
                "1",
                "--seeds",
                "1",
                *(a for s in sizes for a in ("--buffer", s)),
            ]
        )
        == 0
    )
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [f"latent, float, weighted CCE, {size} Mb" for size in sizes[:2]]


def test_another_class_order_needs_another_bundle(tmp_path, capsys):
    assert main(["systems", "--order-seed", "3"]) == 1
    assert "none is packaged for its network and scenario" in capsys.readouterr().err
    path = tmp_path / "random.safetensors"
    bundles.write(bundles.random(TINY.network, 0), path)  # random bits fit any order
    orders = []
    for seed in ("3", "4"):
        file = tmp_path / seed
        arguments = ["--preset", "tiny", "--bundle", str(path), "--epochs", "1", "--seeds", "1"]
        assert main(["systems", *arguments, "--order-seed", seed, "--dump", str(file)]) == 0
        orders.append(predictions.read(file)[3]["class_order"])
    assert orders[0] != orders[1]


def test_native_replay_learns_and_forgets_less_with_more_memory(bundle, monkeypatch):
    training = pytest.importorskip("xnoreplay.model.training.loop")
    monkeypatch.setattr(training, "REPORT_SECONDS", 0)
    latents, images = cil.extract(DIGITS, bundle), systems.pictures(DIGITS)
    np.testing.assert_array_equal(latents.test_class, images.test_class)
    scenario = dataclasses.replace(DIGITS.scenario, step=5)
    preset = dataclasses.replace(DIGITS, scenario=scenario)
    old = {}
    for megabits in (0.002, 0.2):
        variant = Variant("native", megabits=megabits, epochs=8)
        lines: list[str] = []
        scores = systems.learn_variant(
            variant,
            preset,
            bundle,
            latents.shuffled(0),
            0,
            images=images.shuffled(0),
            report=lines.append,
        )
        assert lines[0].startswith("native replay, seed 0, 10 classes | epoch 1/8 | step 00001/")
        old[megabits] = scores["a_old"]
        assert scores["matrix"][0][0] > 0.95  # the base classifier is the bundle's
    assert old[0.002] < old[0.2]
    assert scores["a_new"] > 0.5
    with pytest.raises(SpecError, match="must have the data set's images"):
        systems.learn_variant(variant, preset, bundle, latents, 0)


def test_native_replay_that_is_given_up_ends_in_the_middle_of_a_session(bundle, monkeypatch):
    training = pytest.importorskip("xnoreplay.model.training.loop")
    monkeypatch.setattr(training, "REPORT_SECONDS", 0)
    images, begun, lines = systems.pictures(DIGITS), threading.Event(), []

    def report(line):
        lines.append(line)
        begun.set()

    def job(name):
        if name == "fails":
            assert begun.wait(60)
            raise ZeroDivisionError
        variant = Variant("native", megabits=0.002, epochs=50)
        systems.learn_variant(variant, DIGITS, bundle, images, 0, images=images, report=report)

    with pytest.raises(ZeroDivisionError):
        list(side_by_side(job, ["native", "fails"], 2))
    assert lines
    assert not any("epoch 50/50" in line for line in lines)
