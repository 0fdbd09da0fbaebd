"""Results of every step in the shapes that the report reads, with made-up accuracies."""

from functools import cache
from pathlib import Path

from xnoreplay.flow.cost import estimate, session_cost
from xnoreplay.flow.cost import replay_variants as native
from xnoreplay.flow.explore import fronts
from xnoreplay.flow.run import files
from xnoreplay.flow.upset.sessions import ALL, ONE, OUTCOMES, SAME, WRONG
from xnoreplay.flow.verify.mutation import design, score
from xnoreplay.spec import presets, registers
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

TASKS = 3


def matrix(level: float) -> list:
    """One seed's accuracy matrix; None above the diagonal."""
    return [[level - 0.1 * (t - j) if j <= t else None for j in range(TASKS)] for t in range(TASKS)]


def method(level: float) -> dict:
    scores = {
        "a_final": level,
        "a_old": level - 0.1,
        "a_new": level + 0.1,
        "average": level,
        "forgetting": 0.1,
    }
    spread = (-0.01, 0.0, 0.01)
    return {"matrix": [matrix(level + d) for d in spread]} | {
        name: [value + d for d in spread] for name, value in scores.items()
    }


def counted(plan: Plan, scale: int) -> dict:
    events = {name: scale * (i + 1) for i, name in enumerate(registers.events(plan.memories))}
    phases = {op.name: scale * op.cycles for op in plan.feature_ops}
    return {"cycles": sum(phases.values()), "counters": events, "phases": phases}


def results(plan: Plan) -> dict[str, dict]:
    simulated = {"inference": counted(plan, 1), "session": counted(plan, 100)}
    compared = {
        "what": "RTL = simulator, inference",
        "images": 50,
        "memory_bits": 1234567,
        "counters": 40,
        "phases": 12,
        "cycles": 5000,
        "equal": True,
    }
    compared_by_cosim = {
        "commands": 9,
        "images.in_full": 50,
        "predictions": 1797,
        "memory.bits": 99,
        "cycles": 7,
        "boundaries": 5,
    }
    covered = [
        {"point": "thresholds", "reached": 11, "required": 12, "hits": 1234, "why": "a wrong bit"}
    ]
    return {
        "export": {
            "digest": "aa" * 32,
            "golden": {"images": 0, "latent_bits": 0, "logits": 0},
            "provenance": {"base_test_accuracy": 0.99},
        },
        "cil": {
            "seeds": [0, 1, 2],
            "tasks": [[0, 1], [2], [3]],
            "names": ["bolt", "nut", "ring", "<pin>"],
            "by_class": [
                {"images": 10, "right": 0.8, "taken_for": 3, "times": 5},
                {"images": 10, "right": 1.0, "taken_for": None, "times": 0},
                {"images": 10, "right": 0.9, "taken_for": 0, "times": 3},
                {"images": 10, "right": 0.7, "taken_for": 1, "times": 2},
            ],
            "test_counts": [20, 10, 10],
            "methods": {"chip": method(0.8), "naive": method(0.3), "float": method(0.85)},
        },
        "simulate": simulated | {"speed": {"fast": 1e8, "stepping": 1e6}, "equality": [compared]},
        "generate": {"verilog": "xnoreplay.v", "top": "xnoreplay", "digest": "bb" * 32},
        "cosim": {
            "verilator": {
                "compared": compared_by_cosim,
                "cycles": 7,
                "seconds": 1.0,
                "cycles_per_second": 7.0,
                "coverage": covered,
            },
            "bare": {"cycles_per_second": 8e5},
        },
        "mutate": mutated(),
        "prove": proved(),
        "synth": {
            "tool": "Yosys 0.70",
            "latches": 0,
            "warnings": [],
            "checked_cells": {"$add": 3},
            "memory_bits": 99,
            "resources": {"lut4": 10, "flip_flops": 5, "block_ram": 1},
        },
        "estimate": estimate.report(plan, simulated) | {"session_cost": priced()},
        "explore": explored(),
        "upset": upset(),
    }


@cache
def priced() -> dict:
    """A session of tiny with random bits."""
    return session_cost.price_session(presets.load("tiny"), None)


def upset() -> dict:
    """A campaign of upsets of two places, with made-up numbers."""
    made = []
    for name, harmed in (("cls.top", 0.5), ("replay.label", 0.25), (ALL, 0.4)):
        records = [
            {
                "number": n,
                "upsets": 2,
                "outcome": outcome,
                "a_final": a_final,
                "digest": "0",
                "errors": 0,
            }
            for n, outcome, a_final in ((4, WRONG, 0.1), (5, SAME, 0.5))
        ]
        rate = {
            "rate": 1e-3,
            "quiet": 7,
            "upsets": 2.0,
            "shares": dict.fromkeys(OUTCOMES, 0.0) | {SAME: 1 - harmed, WRONG: harmed},
            "harmed": harmed,
            "told": {"corrected": 1, "wrong": 0, "unnoticed": 1},
            "a_final": 0.6,
            "records": records,
        }
        one = rate | {"rate": ONE, "records": [dict(r) for r in records]}
        place = {"name": name, "role": "", "bits": 100, "one": one, "rates": [rate], "bears": None}
        made.append(place)
    return {
        "preset": "tiny",
        "sessions": 9,
        "seed": 0,
        "a_final": 0.6,
        "cycles": 9,
        "images": 3,
        "outcomes": OUTCOMES,
        "places": made,
        "replayed": {"sessions": 2, "upsets": 4, "cycles": 99, "places": {"cls.top": 2}},
    }


def mutated() -> dict:
    """Three mutants: one is killed, one equivalent, and one survives."""
    drawn = tuple(design.Mutant(n, "catalogue", "end", "m", f"line {n}") for n in range(1, 4))
    verdicts = {
        1: {
            "number": 1,
            "script": "short",
            "verdict": "killed",
            "reason": "memory",
            "first": "command 3",
        },
        2: {"number": 2, "script": "proof", "verdict": "equivalent", "proof": "equal"},
        3: {"number": 3, "script": "whole", "verdict": "survived"},
    }
    return {"preset": "tiny", "seed": 1} | score.summary(design.Mutants("", "", 2, drawn), verdicts)


def proved() -> dict:
    """One property that holds in every cycle, one within a bound, and a planted fault that is found."""
    row = {"sentence": "It holds.", "units": ["host"], "method": "pdr", "seconds": 1.0}
    rows = [
        row | {"name": "axi.one", "status": "proved", "cycles": 0, "reached": 3},
        row | {"name": "axi.two", "status": "bounded", "cycles": 40, "reached": 4},
    ]
    fault = {"unit": "host", "signal": "start", "value": "1"}
    planted = [{"name": "axi.one", "fault": fault, "found": True, "cycles": 5, "seconds": 1.0}]
    return {"depth": 2, "properties": rows, "planted": planted, "modules": []}


def explored() -> dict:
    """Four designs of a sweep, with made-up numbers."""
    points = [
        {
            "dials": {"staging": staging, "replay": replay, "proxy_bits": bits},
            "replay": replay,
            "samples": 9,
            "a_final": a,
            "a_final_spread": 0.01,
            "memory": memory,
            "cycles": 100,
            "seconds": 1e-3,
            "energy": [e, 2 * e, 3 * e],
            "inference_energy": [e, e, e],
            "inference_cycles": 10,
            "area": [0.1, 0.2, 0.3],
        }
        for staging, replay, bits, a, memory, e in (
            (True, native.LATENT, 8, 0.8, 9000, 1e-6),
            (True, native.LATENT, 4, 0.795, 8000, 2e-6),
            (False, native.LATENT, 8, 0.7, 7000, 1e-6),
            (True, native.IMAGES, 8, 0.6, 90000, 9e-6),
        )
    ]
    sweep = {
        "staging": [True, False],
        "replay": [native.LATENT, native.IMAGES],
        "proxy_bits": [4, 8],
    }
    return {
        "preset": "tiny",
        "sweep": sweep,
        "seeds": 3,
        "accuracy": "3 seeds",
        "points": points,
        "refused": [],
        "runs": 4,
        "fronts": {cost: fronts.front(points, cost) for cost in fronts.COSTS},
    }


def write(folder: Path, preset: Preset, steps: dict[str, dict], failed: dict[str, str]) -> dict:
    """Step folders as a run leaves them; returns the inputs of the report."""
    inputs = {}
    for name, result in steps.items():
        inputs[name] = folder / name
        inputs[name].mkdir(parents=True)
        files.write_json(inputs[name] / "result.json", result)
        files.write_json(
            inputs[name] / "step.json",
            {
                "step": name,
                "version": "0",
                "code": "",
                "inputs": {},
                "config": {"preset": presets.to_dict(preset)},
                "failure": failed.get(name, ""),
                "seconds": 1.5,
                "outputs": files.tree_digests(inputs[name]),
            },
        )
    return inputs
