"""What is read: for each kind of file a good one, and its reader."""

import dataclasses
import io
import json
import pickle
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from tests.flow import sample_run, test_recorded
from tests.flow.test_user_costs import LOGIC
from xnoreplay.flow.cost import tables
from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.cost.tables import measured
from xnoreplay.flow.datasets import array_file, cifar100, image_files, latent_files, vectors
from xnoreplay.flow.datasets import own as own_images
from xnoreplay.flow.explore import space
from xnoreplay.flow.learning import predictions
from xnoreplay.flow.report import compare
from xnoreplay.flow.report import page as report
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import RECORD, RESULT, result_of
from xnoreplay.flow.verify.cosim import again, recorded
from xnoreplay.flow.verify.cosim import script as scripts
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, snapshot
from xnoreplay.spec.errors import XnoreplayError

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
MOST = 1000  # characters of a sentence


class _Signed(str):
    """A digest that equals every other: the file's author wrote the right one."""

    def __eq__(self, _other: object) -> bool:
        return True

    def __ne__(self, _other: object) -> bool:
        return False

    __hash__ = str.__hash__


@dataclasses.dataclass(frozen=True)
class Reader:
    """One kind of file.

    file : its name below a folder; `make` writes a good one, and what must lie beside it
    read : reads what lies in the folder
    digests : modules whose `_digest` holds content to what the file says of it
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    digests: tuple[Any, ...] = ()

    @contextmanager
    def signed(self):
        """A block in which every digest fits, so that damage comes through to what lies behind it."""
        kept = [(module, module._digest) for module in self.digests]
        try:
            for module, _ in kept:
                module._digest = lambda *_: _Signed("0" * 64)
            yield
        finally:
            for module, digest in kept:
                module._digest = digest


def _bundle(folder: Path) -> None:
    bundles.write(bundles.random(TINY.network, 0), folder / "bundle.safetensors")


def _latents(folder: Path) -> None:
    bits = np.eye(12, dtype=np.uint8)
    labels = np.arange(12) % 4
    kept = latent_files.LatentSet("digits", "0" * 64, bits, labels, labels == 0)
    latent_files.write(kept, folder / "latents.safetensors")


def _predictions(folder: Path) -> None:
    labels = np.arange(6) % 3
    predictions.write(
        folder / "p.safetensors", labels, labels // 2, {"chip": np.zeros((2, 6), int)}, {"seeds": [0]}
    )  # fmt: skip


def _state(folder: Path) -> None:
    chip = Simulator(PLAN, bundles.random(TINY.network, 0))
    snapshot.write(PLAN, chip.snapshot(), folder / "state.safetensors")


SPEC = """\
preset = "digits"
name = "mine"
[network]
height = 8
latent = 64
convs = [{ filters = 16 }, { filters = 16, groups = 2, pool = true }]
[target]
lanes = 4
rate_shift = 3
replay = "generative"
counters = ["cycles", "array"]
[scenario]
classes = 10
base = 5
class_order = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
"""
SWEEP = '[sweep]\nlanes = [2, 4, 8]\nproxy_bits = [4, 6]\nreplay = ["latent", "generative"]\nclock_hz = 50000000\n'
CELLS = Path(__file__).parents[1] / "flow" / "data" / "cells.lib"


def _text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def _spec(folder: Path) -> None:
    preset = presets.from_file(folder / "mine.toml")
    plans.compile(preset.network, preset.target)


def _sram(folder: Path) -> None:
    try:
        tables.use_sram(folder / "sram.csv")
    finally:
        tables.use_sram(None)


def _sram_rows() -> str:
    packaged = Path(tables.__file__).parent / "sram.csv"
    return "".join(packaged.read_text(encoding="utf-8").splitlines(keepends=True)[:40])


def _measured(folder: Path) -> None:
    (folder / "logic.json").write_text(json.dumps(LOGIC), encoding="utf-8")


@cache
def _sample() -> dict[str, bytes]:
    """Files of a run folder with every step, by path."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        sample_run.write(root, TINY, sample_run.results(PLAN), {})
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def _run(folder: Path) -> None:
    for name, content in _sample().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _inputs(folder: Path) -> dict[str, Path]:
    return {p.parent.name: p.parent for p in folder.glob(f"*/{RESULT}")}


def _report(folder: Path) -> None:
    metrics = [{"name": "cycles", "value": 5, "unit": "", "better": "lower", "origin": "counted"}]
    (folder / "report.json").write_text(json.dumps({"preset": "tiny", "metrics": metrics}), encoding="utf-8")  # fmt: skip


def _npy(folder: Path) -> None:
    np.save(folder / "a.npy", np.arange(24.0).reshape(4, 6))


def _image(name: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / name)

    return make


def _archive(folder: Path) -> None:
    labels = np.arange(8) % 2
    np.savez(folder / "set.npz", images=np.zeros((8, 4, 4), np.uint8), labels=labels)


def _vectors(folder: Path) -> None:
    labels, x = np.arange(8) % 2, np.arange(24.0).reshape(8, 3)
    np.savez(folder / "set.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)


def _image_table(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    drawn = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(drawn, "png")
    rows = [{"image": {"bytes": drawn.getvalue(), "path": None}, "label": n % 2} for n in range(8)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "set.parquet")


def _vector_table(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"features": [0.5, n], "label": n % 2} for n in range(8)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "set.parquet")


def _look(listed: Any) -> None:
    for _ in listed.samples(1):
        pass


def _blocks(found: Any) -> None:
    vectors.look(found, (0, 1), Silent())


def _pickled(folder: Path) -> None:
    content = {b"data": np.zeros((100, 3072), np.uint8), b"fine_labels": list(range(100))}
    (folder / "train").write_bytes(pickle.dumps(content))


def _checkpoint(folder: Path) -> None:
    import torch

    from xnoreplay.model.training import checkpoint
    from xnoreplay.model.training.recipe import Recipe

    model = torch.nn.Linear(3, 2)
    recipe = dataclasses.asdict(Recipe())
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()  # a checkpoint has the moments of every weight
    state = {"epoch": 1, "steps": 4, "within": 0, "config": {"epochs": 2, "recipe": recipe}}
    checkpoint.save(folder / "c.safetensors", model, optimizer, state)


def _resumed(folder: Path) -> None:
    import torch

    from xnoreplay.model.training import checkpoint

    model = torch.nn.Linear(3, 2)
    tensors, _ = checkpoint.load(folder / "c.safetensors")
    checkpoint.restore(tensors, model, torch.optim.Adam(model.parameters()))


def _comparison(folder: Path) -> None:
    test_recorded.written(folder)


RECORDED = f"{again.RECORD}/{recorded.RECORD}"
READERS = {
    "checkpoint": Reader("c.safetensors", _checkpoint, _resumed),
    "comparison": Reader(RECORDED, _comparison, lambda f: recorded.read(f / again.RECORD)),
    "comparison's memories": Reader(
        f"{again.RECORD}/{scripts.CONTENTS}", _comparison, lambda f: recorded.read(f / again.RECORD)
    ),
    "bundle": Reader("bundle.safetensors", _bundle, lambda f: bundles.read(f / "bundle.safetensors"), (bundles,)),
    "latents": Reader("latents.safetensors", _latents, lambda f: latent_files.read(f / "latents.safetensors", 12), (latent_files,)),
    "predictions": Reader("p.safetensors", _predictions, lambda f: predictions.read(f / "p.safetensors")),
    "state": Reader("state.safetensors", _state, lambda f: snapshot.read(PLAN, f / "state.safetensors"), (snapshot,)),
    "spec": Reader("mine.toml", _text("mine.toml", SPEC), _spec),
    "sweep": Reader("sweep.toml", _text("sweep.toml", SWEEP), lambda f: space.from_file(f / "sweep.toml")),
    "liberty": Reader("cells.lib", _text("cells.lib", CELLS.read_text(encoding="utf-8")), lambda f: liberty.read(f / "cells.lib")),
    "SRAM table": Reader("sram.csv", _text("sram.csv", _sram_rows()), _sram),
    "logic costs": Reader("logic.json", _measured, lambda f: measured.read(f / "logic.json")),
    "result": Reader(f"cil/{RESULT}", _run, lambda f: report.read(TINY, _inputs(f))),
    "record": Reader(f"cil/{RECORD}", _run, lambda f: result_of(f / "cil")),
    "report": Reader("report.json", _report, lambda f: compare.read(f / "report.json")),
    "array": Reader("a.npy", _npy, lambda f: array_file.read(f / "a.npy")),
    "PNG": Reader("a.png", _image("a.png"), lambda f: image_files.decode(f / "a.png")),
    "TIFF": Reader("a.tiff", _image("a.tiff"), lambda f: image_files.decode(f / "a.tiff")),
    "BMP": Reader("a.bmp", _image("a.bmp"), lambda f: image_files.decode(f / "a.bmp")),
    "JPEG": Reader("a.jpg", _image("a.jpg"), lambda f: image_files.decode(f / "a.jpg")),
    "WebP": Reader("a.webp", _image("a.webp"), lambda f: image_files.decode(f / "a.webp")),
    "archive of images": Reader("set.npz", _archive, lambda f: _look(own_images.listing(f / "set.npz"))),
    "archive of vectors": Reader("set.npz", _vectors, lambda f: _blocks(vectors.listing(f / "set.npz"))),
    "table of images": Reader("set.parquet", _image_table, lambda f: _look(own_images.listing(f / "set.parquet"))),
    "table of vectors": Reader("set.parquet", _vector_table, lambda f: _blocks(vectors.listing(f / "set.parquet"))),
    "pickle of CIFAR": Reader("train", _pickled, lambda f: cifar100._split(f / "train", 100)),
}  # fmt: skip


@cache
def good(name: str) -> dict[str, bytes]:
    """Files of a good folder, by path."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        READERS[name].make(root)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def read(name: str, content: bytes, folder: Path, signed: bool = False) -> str:
    """Read a file of this content, in a folder that has all else.

    Returns
    -------
    str
        The sentence by which it was refused, "" where it was read. Any other exception is a finding.
    """
    reader = READERS[name]
    for path, raw in good(name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if path == reader.file else raw)
    try:
        if signed:
            with reader.signed():
                reader.read(folder)
        else:
            reader.read(folder)
    except XnoreplayError as error:
        return str(error)
    return ""


def complaint(sentence: str) -> str:
    """What is wrong with the sentence of a refusal, as an engineer would say it; "" where nothing is."""
    if len(sentence) > MOST:
        return f"it has {len(sentence)} characters"
    for sign in ("\n", "Traceback", " object at 0x", "<class "):
        if sign in sentence:
            return f"it has {sign!r}"
    return ""
