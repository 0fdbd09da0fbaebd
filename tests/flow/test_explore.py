"""The search: points, shared runs, fronts, answers, interrupts, and a cluster."""

import dataclasses
import json
import multiprocessing
import os
import signal
from concurrent.futures import Executor, Future
from contextlib import contextmanager

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.cost import replay_variants as native
from xnoreplay.flow.datasets.bundles import BundleSource, packaged
from xnoreplay.flow.explore import fronts, space
from xnoreplay.flow.explore import jobs as explore_jobs
from xnoreplay.flow.explore import pictures as explore_figures
from xnoreplay.flow.explore import search as explore
from xnoreplay.flow.explore import text as explore_text
from xnoreplay.flow.learning import cil
from xnoreplay.flow.output.quantities import KIB
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError, ToolError, XnoreplayError

DIGITS = presets.load("digits")
BUNDLE = packaged(DIGITS)
SWEEP = {"lanes": [4, 8], "proxy_bits": [4, 8], "staging": [True, False], "clock_hz": [50_000_000]}


class Inline(Executor):
    """Runs a job where it is submitted, and counts."""

    def __init__(self, most=10**6):
        self.done, self.most = 0, most

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        if self.done == self.most:
            future.set_exception(KeyboardInterrupt())
        else:
            self.done += 1
            future.set_result(fn(*args, **kwargs))
        return future


class Engine:
    def __init__(self, pool):
        self.pool = pool

    @contextmanager
    def executor(self):
        yield self.pool


@pytest.fixture
def pool(monkeypatch):
    inline = Inline()
    monkeypatch.setattr(explore_jobs, "engine", Engine(inline))
    return inline


def search(folder, sweep=SWEEP, seeds=1):
    return explore.search(DIGITS, BUNDLE, sweep, seeds, folder, Silent())


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    before, explore_jobs.engine = explore_jobs.engine, Engine(Inline())
    try:
        return search(tmp_path_factory.mktemp("search"))
    finally:
        explore_jobs.engine = before


def test_points_that_learn_alike_share_one_run(pool, tmp_path):
    found = search(tmp_path)
    assert len(found["points"]) == 8
    # Accuracy does not depend on lanes; counters do.
    assert pool.done == found["runs"] == 4 + 8
    pairs = {}
    for p in found["points"]:
        pairs.setdefault((p["dials"]["proxy_bits"], p["dials"]["staging"]), set()).add(p["a_final"])
    assert all(len(values) == 1 for values in pairs.values())


def test_accuracy_is_that_of_a_run_of_its_own(result):
    bundle = BundleSource.choose(DIGITS).load(DIGITS)
    target = dataclasses.replace(DIGITS.target, lanes=8, proxy_bits=4)
    preset = dataclasses.replace(DIGITS, target=target)
    expected = cil.chip(preset, bundle, cil.extract(preset, bundle).shuffled(0), 0)["a_final"]
    chosen = {"lanes": 8, "proxy_bits": 4, "staging": True, "clock_hz": 50_000_000}
    (point,) = (p for p in result["points"] if p["dials"] == chosen)
    assert point["a_final"] == expected


def test_a_stopped_search_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(explore_jobs, "engine", Engine(Inline(most=5)))
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path)
    rest = Inline()
    monkeypatch.setattr(explore_jobs, "engine", Engine(rest))
    found = search(tmp_path)
    assert rest.done == found["runs"] - 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[:-20],
        lambda _: "[]",
        lambda _: "null",
        lambda _: "[" * 100_000,
        lambda text: text.replace("a_final", "a_finas"),
        lambda _: "\0" * 40,
        lambda _: "1" * 5000,
        lambda text: json.dumps(json.loads(text)["result"]),
        lambda text: json.dumps(json.loads(text) | {"result": {}}),
        lambda text: text.replace('"forgetting": ', '"forgetting": 1'),
    ],
)
def test_a_job_file_that_is_not_whole_is_done_again(damage, tmp_path, monkeypatch):
    calls = []

    def accuracy(seed, sources):
        calls.append((seed, sources))
        return dict.fromkeys(explore_jobs.SCORES, 0.5)

    monkeypatch.setitem(explore_jobs.FUNCTIONS, "accuracy", accuracy)
    monkeypatch.setattr(explore_jobs, "engine", Engine(Inline()))
    job = explore_jobs.Job("accuracy", {"seed": 1}, "")
    sources = explore_jobs.Sources("bundle", None)

    def results():
        return explore_jobs.compute([job], sources, tmp_path, Silent())[job.name]

    first, path = results(), tmp_path / f"{job.name}.json"
    assert results() == first
    assert len(calls) == 1
    whole = path.read_bytes()
    path.write_text(damage(whole.decode()))
    assert results() == first
    assert len(calls) == 2
    assert path.read_bytes() == whole, "it is whole again"


def test_a_fifo_in_place_of_a_job_file_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "job.json")
    assert explore_jobs._kept(tmp_path / "job.json", "accuracy") is None


def killed(*_):
    """A job whose process is killed in it; pickled by name."""
    explore_jobs._notes.joinpath(str(os.getpid())).write_text(json.dumps(["accuracy", {"seed": 7}]))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(explore_jobs, "run_job", killed)
    monkeypatch.setattr(explore_jobs, "engine", explore_jobs.Engine(processes=2))
    before = set(multiprocessing.active_children())
    jobs = [explore_jobs.Job("accuracy", {"seed": n}, "") for n in range(4)]
    with pytest.raises(
        XnoreplayError,
        match="must not end before its work, but one did: .*signal 9 in accuracy of seed 7",
    ):
        explore_jobs.compute(jobs, explore_jobs.Sources("x", None), tmp_path, Silent())
    assert set(multiprocessing.active_children()) <= before


def test_an_interrupt_ends_the_workers():
    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt), explore_jobs.Engine(processes=1).executor() as pool:  # noqa: PT012
        pool.submit(signal.pause)
        raise KeyboardInterrupt
    assert pool.workers
    assert set(multiprocessing.active_children()) <= before


def test_processes_and_this_one_find_the_same(monkeypatch, tmp_path, result):
    monkeypatch.setattr(explore_jobs, "engine", explore_jobs.Engine(processes=2))
    small = {"lanes": [4], "proxy_bits": [4], "staging": [True], "clock_hz": [50_000_000]}
    assert search(tmp_path, small)["points"][0] == result["points"][0]


def test_a_dask_cluster_finds_the_same(monkeypatch, tmp_path, result):
    pytest.importorskip("distributed")
    monkeypatch.setattr(explore_jobs, "engine", explore_jobs.Engine(1, explore_jobs.LOCAL))
    small = {"lanes": [4], "proxy_bits": [4], "staging": [True], "clock_hz": [50_000_000]}
    assert search(tmp_path, small)["points"][0] == result["points"][0]


@pytest.mark.usefixtures("pool")
def test_a_scenario_without_sessions(tmp_path):
    preset = presets.vary(DIGITS, "scenario", base=DIGITS.scenario.classes)
    path = tmp_path / "bundle"
    bundles.write(bundles.random(preset.network, 0), path)
    with pytest.raises(
        SpecError, match="base must be less than the scenario's 10 classes .* not 10"
    ):
        explore.search(preset, path, {"lanes": [2, 4]}, 1, tmp_path, Silent())


def test_a_scheduler_that_is_none(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("Timed out")

    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ToolError, match="scheduler nowhere must be a running Dask scheduler"):
        explore_jobs._client("nowhere", None)


def made_up(*points):
    """A result of points (a_final, memory, energy, dials)."""
    table = [
        {
            "dials": dials,
            "replay": dials.get("replay", native.LATENT),
            "a_final": a,
            "a_final_spread": 0.0,
            "memory": memory,
            "energy": [energy / 2, energy, energy * 2],
            "cycles": 10,
            "area": [1.0, 1.0, 1.0],
            "samples": 1,
            "seconds": 1.0,
            "inference_energy": [1, 1, 1],
        }
        for a, memory, energy, dials in points
    ]
    names = dict.fromkeys(name for p in table for name in p["dials"])
    sweep = {k: sorted({p["dials"][k] for p in table if k in p["dials"]}) for k in names}
    on_fronts = {cost: fronts.front(table, cost) for cost in fronts.COSTS}
    return {
        "preset": "x",
        "points": table,
        "refused": [],
        "sweep": sweep,
        "fronts": on_fronts,
        "runs": 1,
        "seeds": 1,
        "accuracy": "1 seeds",
    }


POINTS = made_up(
    (0.80, 100, 5.0, {"proxy_bits": 8, "staging": True, "replay": "latent"}),
    (0.795, 60, 6.0, {"proxy_bits": 4, "staging": True, "replay": "latent"}),
    (0.70, 50, 1.0, {"proxy_bits": 8, "staging": False, "replay": "latent"}),
    (0.60, 70, 9.0, {"proxy_bits": 8, "staging": True, "replay": "images"}),
)


def test_a_front_has_what_no_other_beats():
    assert POINTS["fronts"]["memory"] == [2, 1, 0]
    assert POINTS["fronts"]["energy"] == [2, 0]


WAYS = made_up(
    (0.80, 100 * KIB, 5.0, {"replay": "latent", "replay_bits": 9}),
    (0.70, 40 * KIB, 3.0, {"replay": "latent", "replay_bits": 4}),
    (0.81, 60 * KIB, 6.0, {"replay": "generative", "mean_bits": 2}),
)


def test_fronts_with_and_without_generative_replay():
    assert WAYS["fronts"]["memory"] == [1, 2]
    assert explore.stored_fronts(WAYS["points"])["memory"] == [1, 0]
    WAYS["stored_fronts"] = explore.stored_fronts(WAYS["points"])
    assert "memory of a session, without generative replay" in explore_text.text(WAYS)
    assert "without generative replay" in explore_figures.front(WAYS, "memory").svg


def test_both_ways_at_equal_memory_and_at_equal_accuracy():
    answer = dict(explore_text.answers(WAYS))["Generative against stored replay"]
    rows = [[c.strip() for c in line.split("  ") if c.strip()] for line in answer.splitlines()]
    assert ["40.0 KiB", "none fits", "70.0 ± 0.0"] in rows
    assert ["60.0 KiB", "81.0 ± 0.0", "70.0 ± 0.0"] in rows
    drawn = ["60.0 KiB", "10 cycles", "6 J"]
    assert ["80.0", *drawn, "100.0 KiB", "10 cycles", "5 J"] in rows
    assert ["81.0", *drawn, "none", "none", "none"] in rows


def test_dials_without_meaning_are_left_out_of_a_point():
    sweep = {"replay": ["latent", "generative"], "replay_bits": [6400, 12_800], "mean_bits": [1, 2]}
    valid, _ = space.points(DIGITS, sweep)
    assert [p.dials for p in valid] == [
        {"replay": "latent", "replay_bits": 6400},
        {"replay": "latent", "replay_bits": 12_800},
        {"replay": "generative", "mean_bits": 1},
        {"replay": "generative", "mean_bits": 2},
    ]
    assert [p.preset.target.replay for p in valid] == ["stored"] * 2 + ["generative"] * 2


def test_a_preset_that_draws_is_explored_so(pool, tmp_path):
    drawn = presets.vary(
        DIGITS, "target", replay="generative", staging_capacity=0, drawn_per_class=16, epochs=1
    )
    sweep = {"mean_bits": [1, 2], "replay": ["generative", "latent"]}
    found = explore.search(drawn, BUNDLE, sweep, 1, tmp_path, Silent())
    assert pool.done == 2 * 3
    bundle = BundleSource.choose(DIGITS).load(DIGITS)
    one = presets.vary(drawn, "target", mean_bits=1)
    expected = cil.chip(one, bundle, cil.extract(one, bundle).shuffled(0), 0)["a_final"]
    point = found["points"][0]
    assert (point["replay"], point["samples"], point["a_final"]) == ("generative", 0, expected)
    assert point["memory"] == sum(m.bits for m in plans.compile(one.network, one.target).memories)
    assert found["points"][1]["dials"] == {"replay": "latent"}
    assert found["stored_fronts"]["memory"] == [1]
    explore.write(found, tmp_path)
    assert (tmp_path / "points.csv").read_text().splitlines()[2].startswith(",latent,")
    assert space.points(drawn, {"lanes": [4]})[0][0].replay == "generative"


def test_answers_by_hand():
    points = POINTS["points"]
    assert explore_text.cheapest(points, "memory") is points[1]
    assert explore_text.cheapest(points, "energy") is points[0]
    assert explore_text.within(points, "memory", 60) is points[1]
    assert explore_text.within(points, "memory", 10) is None
    text = dict(explore_text.answers(POINTS))
    assert "4 bits lose less than a point" in text["How few proxy bits"]
    assert "staging adds +10.0 points on the mean of 1 pairs" in text["Staging on or off"]
    assert "at the same energy:" in text["Latent against native replay"]


def test_pictures_and_table_are_written(result, tmp_path):
    explore.write(result, tmp_path)
    for cost in fronts.COSTS:
        assert (tmp_path / f"pareto-{cost}.svg").read_text().startswith("<?xml")
        assert (tmp_path / f"pareto-{cost}.pdf").read_bytes().startswith(b"%PDF")
    rows = (tmp_path / "points.csv").read_text().splitlines()
    assert len(rows) == 1 + len(result["points"])
    assert explore_figures.front(result, "energy").svg.startswith("<svg")


def test_without_a_trained_extractor_there_is_no_accuracy(pool, tmp_path):
    path = tmp_path / "random.safetensors"
    bundles.write(bundles.random(DIGITS.network, 0), path)
    found = explore.search(DIGITS, path, {"lanes": [4]}, 1, tmp_path / "s", Silent())
    assert pool.done == 1
    assert found["points"][0]["a_final"] is None
    assert "no latents of a trained extractor" in explore_text.text(found)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            {"lanes": [3]},
            "at least one valid point, but none of its 1 is; the first: lanes must be",
        ),
        ({"window": [100]}, "window must be nine taps of channels, not 100 cells"),
        (
            {"replay": ["laten"]},
            "replay must be 'latent' or 'images' or 'retrained' or 'generative', ",
        ),
        (
            {"replay": ["generative"], "drawn_per_class": [4]},
            "must be at most the 4 latents that are",
        ),
        ({"replay": ["generative"], "mean_bits": [0]}, "mean_bits must be .*, not 0"),
        (
            {"replay": ["generative"], "drawn_per_class": [1 << 13]},
            "drawn_per_class must be .* 4,096",
        ),
        ({"clock_hz": [-1]}, "clock_hz must be a positive integer, not -1"),
        ({"clock_hz": [10**10]}, "clock_hz must be at most .* ns to read, not 10,000,000,000"),
        ({"technology": ["7nm"]}, "technology must be '90nm'"),
        ({"replay_bits": [100]}, "replay_capacity must be"),
    ],
)
def test_sweeps_with_no_valid_point(sweep, message):
    with pytest.raises(SpecError, match=message):
        space.points(DIGITS, sweep)


def test_what_cannot_be_built_is_told_and_left_out():
    valid, refused = space.points(DIGITS, {"lanes": [3, 4]})
    assert [p.dials for p in valid] == [{"lanes": 4}]
    assert refused == [{"dials": {"lanes": 3}, "reason": "lanes must be a power of two, not 3"}]


def test_a_buffer_holds_more_latents_than_images():
    bits = 12_800
    valid, _ = space.points(DIGITS, {"replay_bits": [bits], "replay": ["latent", "images"]})
    assert [p.preset.target.replay_capacity for p in valid] == [bits // 128, bits // 256]


def test_sweep_files(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('[sweep]\nlanes = [2, 4]\nreplay = "latent"\n')
    assert space.from_file(path) == {"lanes": [2, 4], "replay": ["latent"]}
    path.write_text("[sweep]\nlane = [2]\n")
    with pytest.raises(SpecError, match="did you mean 'lanes'?"):
        space.from_file(path)
    path.write_text("[sweep\n")
    with pytest.raises(SpecError, match=r"sweep file .*sweep.toml must be readable TOML"):
        space.from_file(path)
    with pytest.raises(SpecError, match="dial lanes must have at least one value, not none"):
        space.parse(["lanes="])


def test_the_command(capsys, tmp_path, pool, monkeypatch):
    monkeypatch.setattr(explore_jobs, "Engine", lambda _jobs, _scheduler: Engine(pool))
    out = tmp_path / "run"
    arguments = [
        "explore",
        "--out",
        out,
        "--seeds",
        "1",
        "--sweep",
        "lanes=4,8",
        "--sweep",
        "proxy_bits=4",
    ]
    assert cli.main([str(a) for a in arguments]) == 0
    text = capsys.readouterr().out
    assert "The cheapest design that loses less than a point of a_final" in text
    assert len(files.read_json(out / "explore" / "result.json")["points"]) == 2
    done = pool.done
    assert cli.main(["explore", "--out", str(out)]) == 0, "the folder remembers its sweep"
    assert pool.done == done
    assert (
        cli.main(
            ["explore", "--out", str(out), "--sweep", "lanes=2,4,8", "--sweep", "proxy_bits=4"]
        )
        == 0
    )
    assert pool.done == done + 1, "a wider sweep runs what is new: counters of two lanes"


def test_a_scenario_without_sessions_is_refused_at_once(tmp_path):
    preset = presets.vary(presets.load("tiny"), "scenario", base=4, step=1)
    with pytest.raises(SpecError, match="base must be less than the scenario's 4 classes for a se"):
        explore.search(preset, tmp_path / "no.bundle", {}, 1, tmp_path, Silent())
