"""One measurement: draw mutants, judge each by co-simulation, and prove what of the rest is equivalent."""

import json
import random
from pathlib import Path

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import code, files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.tools import verilator_env
from xnoreplay.flow.run.verilate import Verilate, cocotb_build
from xnoreplay.flow.verify.cosim import at_rest, optimisation
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.cosim.script import Script
from xnoreplay.flow.verify.cosim.session import Setup
from xnoreplay.flow.verify.cosim.step import script_of
from xnoreplay.flow.verify.mutation import design, proofs, score
from xnoreplay.flow.verify.mutation.design import Mutants
from xnoreplay.flow.verify.mutation.score import EQUIVALENT, SURVIVED, Pool, Record, Trial
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset

RECORD = "mutants.jsonl"  # the verdicts, a line each; kept where a run is stopped
PROOF = "{} proof"  # in the place of a script's name in the record, of a way of `proofs`
IMAGES = 50  # compared in full, as cosim does without --images
CODE = ("flow/verify/cosim/bench/mutants.py", "flow/verify/mutation/measure.py")
"""Modules that decide a verdict; see `xnoreplay.flow.run.code`."""


def scripts_of(preset: Preset, bundle: Bundle, progress: Progress) -> dict[str, Script]:
    """The scripts that a mutant is tried with, in their order: a short one, which shows most, and that of `cosim`.

    A large network has that of `cosim` alone.
    """
    data = registry.first_of_each(registry.of_preset_or_random(preset, progress))
    plan = plans.compile(preset.network, preset.target)
    asked = {"short": "icarus", "whole": "verilator"}
    if plan.is_large(preset.scenario.base):
        asked.pop("short")
    return {
        name: script_of(preset, bundle, data, IMAGES, simulator)
        for name, simulator in asked.items()
    }


def measure(  # noqa: PLR0913  a design, how many mutants of which seed, two folders and the workers
    preset: Preset,
    bundle: Bundle,
    verilog: str,
    count: int,
    seed: int,
    scratch: Path,
    work: Path,
    pool: Pool,
    progress: Progress,
) -> dict:
    """Measure the mutation score of the co-simulation of a design.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    verilog : str
        The generated text.
    count : int
        Mutants to draw.
    seed : int
        Of the draw.
    scratch : Path
        Keeps the verdicts, for a repetition after an interrupt.
    work : Path
        For files of the tools; it must not be there yet.
    pool : Pool
        Opens the executor that mutants are judged by.
    progress : Progress

    Returns
    -------
    dict
        That of `score.summary`, with preset and seed.

    Raises
    ------
    CheckFailure
        Where the design itself differs from the simulator.
    SpecError
        For more mutants than the design has lines and bits for.
    """  # noqa: DOC502  raised by what is called
    mutants = design.draw(verilog, count, seed, work / "design", progress)
    verilate = Verilate(verilator_env(), optimisation(mutants.verilog))
    wanted = at_rest.watches(verilog)
    built = cocotb_build(verilate, at_rest.watched(mutants.verilog, wanted), progress, (SELECT,))
    with progress.task("commands of the scripts"):
        scripts = scripts_of(preset, bundle, progress)
    setup = Setup(
        preset, bundle, "verilator", built.folder, at_rest=at_rest.names(mutants.verilog, wanted)
    )
    trial = Trial(setup, scripts)
    plan = trial.setup.plan
    texts = [
        json.dumps([name, *(step.plain(plan) for step in script.steps)], default=str)
        for name, script in scripts.items()
    ]
    record = Record(scratch / RECORD, score.stamp(mutants, texts, code.digest(CODE)))
    verdicts: dict[int, dict] = {}
    left, last = [m.number for m in mutants.mutants], [*scripts][-1]
    random.Random(seed).shuffle(left)  # so that what is judged at any time is a fair sample
    prover = _Prover(mutants, work / "proofs", record, pool, progress)

    def still(found: dict[int, dict]) -> list[int]:
        """Numbers of those that go on, after what was found."""
        verdicts.update(found)
        return [n for n in left if verdicts[n]["verdict"] == SURVIVED]

    for name in scripts:
        if name == last:  # which takes longer than most proofs
            left = still(prover.prove(left, proofs.QUICK))
        trial = _bounded(trial, name, left, record, progress)
        left = still(score.judge_all(trial, name, left, record, pool, progress))
    still(prover.prove(left, proofs.SLOW))
    found = {"preset": preset.name, "seed": seed} | score.summary(mutants, verdicts)
    return files.plain(found)


def _bounded(
    trial: Trial, script: str, numbers: list[int], record: Record, progress: Progress
) -> Trial:
    """Try a script with the design itself, unless all mutants are judged already."""
    known = record.read()
    if all((n, script) in known for n in numbers):
        return trial
    try:
        with progress.task(f"the design itself, script {script}"):
            return score.bounded(trial, script)
    finally:
        score.close()


class _Prover:
    """Proofs that mutants are equivalent, beside what is recorded.

    Parameters
    ----------
    mutants : Mutants
    folder : Path
        For files; it must not be there yet.
    record : Record
        Verdicts are read from it and added to it.
    pool : Pool
    progress : Progress
    """

    def __init__(
        self, mutants: Mutants, folder: Path, record: Record, pool: Pool, progress: Progress
    ) -> None:
        self.mutants, self.folder, self.record = mutants, folder, record
        self.pool, self.progress = pool, progress

    def prove(self, numbers: list[int], how: str) -> dict[int, dict]:
        """Verdicts after the proofs of `how`, `QUICK` or `SLOW` of `proofs`; what is recorded is not tried again."""
        known, name = self.record.read(), PROOF.format(how)
        verdicts = {n: known[n, name] for n in numbers if (n, name) in known}
        left = [n for n in numbers if n not in verdicts]
        if left and not self.folder.exists():
            proofs.prepare(self.mutants, self.folder, self.progress)
        for number, proof in proofs.prove(
            self.mutants, left, how, self.folder, self.pool, self.progress
        ):
            verdict = {"number": number, "script": name, "verdict": SURVIVED}
            if proof:
                verdict |= {"verdict": EQUIVALENT, "proof": proof}
            self.record.add(verdict)
            verdicts[number] = verdict
        return verdicts
