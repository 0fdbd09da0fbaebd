"""Several processes train what one trains."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model.training import checkpoint, distributed, pretrain

pytestmark = pytest.mark.torch

PROGRAM = """
import dataclasses, os, sys
from pathlib import Path
from xnoreplay.flow.datasets import registry
from xnoreplay.model.training import distributed, pretrain, recipe
from xnoreplay.spec import presets

recipe.RECIPES["digits"] = recipe.Recipe(
    batch=7, mirrored=True, activation=1.0, reconstruction=1.0, threads=1
)
preset, (out, *objectives) = presets.load("tiny"), sys.argv[1:]

def load(preset):
    whole = registry.of_preset(preset)
    every = slice(None, None, 25)
    labels = whole.labels[every]
    return dataclasses.replace(
        whole, images=whole.images[every], labels=labels, is_test=registry.split(labels, 2)
    )

if int(os.environ.get("RANK", "0")):
    pretrain.follow(load)
else:
    for objective in objectives:
        folder = Path(out) / objective
        pretrain.pretrain(preset, load(preset), folder, seed=1, epochs=1, objective=objective)
    distributed.broadcast(None)
    distributed.leave()
"""


def start(processes, *command, **environment):
    """Run a command in so many processes, as torchrun does where they are several."""
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--no-python",
        f"--nproc-per-node={processes}",
    ]
    done = subprocess.run(
        [*(torchrun if processes > 1 else ()), sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def test_two_processes_compute_what_one_does(tmp_path):
    """Every term's gradient, batch statistics included; Adam makes small differences visible.

    One start trains with each objective in turn: to load PyTorch takes longer than the training.
    """
    objectives = "supervised", "semi", "distilled"
    for processes in (1, 2):
        start(processes, "-c", PROGRAM, str(tmp_path / str(processes)), *objectives)
    for objective in objectives:
        paths = [tmp_path / str(n) / objective / pretrain.CHECKPOINT for n in (1, 2)]
        one, two = map(checkpoint.load, paths)
        assert two[1]["hardware"] == f"2 x {one[1]['hardware']}"
        for name, tensor in one[0].items():
            if name.startswith("model.") and tensor.is_floating_point():
                torch.testing.assert_close(two[0][name], tensor, rtol=0, atol=2e-4)


def test_the_command_under_torchrun(tmp_path, monkeypatch):
    """The leading process runs the step; the others take part, and end where it is up to date."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    code = (
        "from xnoreplay.model.training import recipe; import sys; from xnoreplay.flow import cli; "
        "recipe.RECIPES['digits'] = recipe.Recipe(epochs=1, batch=256); sys.exit(cli.main())"
    )
    command = "-c", code, "pretrain", "--preset", "tiny", "--out", str(tmp_path / "run")
    first, again = start(2, *command), start(2, *command)
    assert len(re.findall(r"epoch 1/1 \| step 0000\d/0000\d", first)) == 1
    assert (tmp_path / "run" / "pretrain" / pretrain.CHECKPOINT).is_file()
    assert "[pretrain] up to date" in again


def test_shares_cover_a_minibatch():
    for count in (2, 3, 7, 64):
        for processes in (1, 2, 3, 5):
            parts = [
                distributed.Processes(r, processes, torch.device("cpu")).share(count)
                for r in range(processes)
            ]
            assert [i for p in parts for i in range(count)[p]] == list(range(count))
            sizes = [p.stop - p.start for p in parts]
            assert max(sizes) - min(sizes) <= 1
