"""The paper's experiments on a preset, as tables with the paper's numbers beside ours, and figures.

Each row and seed is one file of the folder, so a stopped run goes on where it was, and a change of
anything that a number depends on computes it again.
"""

import dataclasses
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xnoreplay.flow.datasets import latent_files as latents
from xnoreplay.flow.learning import cil, systems
from xnoreplay.flow.learning.paper import published, tables
from xnoreplay.flow.learning.systems import LOSSES, Variant
from xnoreplay.flow.output import quantities
from xnoreplay.flow.run import code, files, locks, records
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.workers import side_by_side
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets, whole
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, XnoreplayError, unknown
from xnoreplay.spec.presets import Preset

MEGABITS = (0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0)
"""Memories compared, in 10^6 bits, where no others are asked for."""
PAPER_MEGABITS = 5.0
WORDS = {"supervised": "supervised", "semi": "semi-supervised", "distilled": "distilled"}
CODE = ("flow/learning/systems.py",)
NATIVE = ("model/training/native.py",)
"""Modules that compute a row; and those that only a row of native replay needs. See `xnoreplay.flow.run.code`."""
_FILLING = threading.Lock()  # rows that start together share what the first one loads
ROWS, RESULT, TABLES = "rows", "result.json", "tables.md"
STEP = "reproduce"  # in the record of its folder
KINDS = (".svg", ".pdf")
WRITTEN = (
    records.RECORD,
    RESULT,
    TABLES,
    *(f"{name}{kind}" for name in tables.PICTURES for kind in KINDS),
)
"""Files of the folder that a run replaces."""
NAMES = ("Systems", "Losses", "Memory", "Sessions", "Extractors")  # first words of tables


@dataclass(frozen=True)
class Row:
    """One line of a table: a system on a variant of the preset.

    Parameters
    ----------
    table, label : str
        The table that the line is of, and its first cell.
    variant : Variant
        The system.
    preset : Preset
        With the scenario.
    paper : str
        a_final in percent as the paper or its predecessor has it, or ''.
    bundle : int
        Index of the source whose latents are used; the first is the one that is reproduced.
    """

    table: str
    label: str
    variant: Variant
    preset: Preset
    paper: str = ""
    bundle: int = 0


@dataclass(frozen=True)
class Source:
    """A bundle; the checkpoint that it was exported from, for native replay; and a file of its latents."""

    bundle: Bundle
    checkpoint: Path | None = None
    latents: Path | None = None
    cache: dict = field(default_factory=dict, compare=False)

    @property
    def trainings(self) -> list[dict]:
        """List the provenance of the last training and of those it went on from, to the first."""
        found = [self.bundle.provenance]
        while start := bundles.entry_of(found[-1], "start", dict):
            found.append(start)
        return found

    @property
    def classes(self) -> str:
        """Which classes any of the trainings saw: "base" or "all"."""
        seen = max(bundles.entry_of(part, "trained_classes", int) for part in self.trainings)
        base = bundles.entry_of(self.bundle.provenance, "base_classes", int)
        return "all" if base and seen > base else "base"

    @property
    def objective(self) -> str:
        """The objective of the last training, one of `xnoreplay.model.training.recipe.OBJECTIVES`."""
        return _objective(self.bundle.provenance)

    @property
    def others(self) -> list[str]:
        """Objectives of earlier trainings, where they are neither plain nor the last one's."""
        return sorted(
            {_objective(part) for part in self.trainings} - {"supervised", self.objective}
        )

    @property
    def augmented(self) -> bool:
        """Whether the last training moved or mirrored images; it did, if the bundle does not say."""
        recipe = bundles.entry_of(self.bundle.provenance, "recipe", dict)
        return bool(recipe.get("shift", 1) or recipe.get("flipped"))

    @property
    def label(self) -> str:
        """The source in words."""
        name = {"base": "the base classes (RPT)", "all": "all classes (FPT)"}[self.classes]
        kind = WORDS[self.objective] + ("" if self.augmented else ", images not moved")
        epochs, *before = [str(part.get("epochs", "?")) for part in self.trainings]
        if before:
            some = f", some {' and '.join(WORDS[n] for n in self.others)}," if self.others else ""
            epochs = f"{' + '.join(reversed(before))} epochs of other trainings{some} and {epochs}"
        return f"extractor of {name}, {kind}, {epochs} epochs"


def _objective(provenance: dict) -> str:
    recipe = bundles.entry_of(provenance, "recipe", dict)
    if recipe.get("distilled") or "teacher" in provenance:
        return "distilled"
    return "semi" if recipe.get("twins") else "supervised"


def rows(
    preset: Preset, sources: list[Source], native: bool, memories: Sequence[float] = MEGABITS
) -> list[Row]:
    """List every line, in the order of the tables; the paper's numbers are for its own scenario alone."""
    lines = [
        *_system_rows(preset),
        *_loss_rows(preset),
        *_memory_rows(preset, native, memories),
        *_session_rows(preset),
        *_extractor_rows(preset, sources),
    ]
    if (preset.scenario.dataset, preset.scenario.base, preset.scenario.step) == published.SCENARIO:
        return lines
    return [dataclasses.replace(row, paper="") for row in lines]


def _system_rows(preset: Preset) -> Iterator[Row]:
    for rule, name in (("float", "float Adam"), ("chip", "chip's integers")):
        for system in systems.SYSTEMS[:-1]:
            known = published.LATENT_RPT[True] if system == "latent" else ""
            yield Row(f"Systems, {name}", system, Variant(system, rule), preset, known)


def _loss_rows(preset: Preset) -> Iterator[Row]:
    for loss, name in LOSSES.items():
        for balanced, kind in ((True, "weighted"), (False, "plain")):
            known = published.LATENT_RPT[balanced] if loss == "cce" else ""
            variant = Variant(loss=loss, balanced=balanced, megabits=PAPER_MEGABITS)
            yield Row("Losses, latent replay, float", f"{kind} {name}", variant, preset, known)


def _memory_rows(preset: Preset, native: bool, memories: Sequence[float]) -> Iterator[Row]:
    kinds = [("latent", "float"), ("latent", "chip")] + [("native", "float")] * native
    for system, rule in kinds:
        read_off = published.NATIVE_MEMORY if system == "native" else published.LATENT_MEMORY
        for megabits in memories:
            variant = Variant(system, rule, megabits=megabits)
            slots = variant.capacity(preset)
            if rule == "chip" and slots < preset.network.classes:
                continue  # the chip needs a latent of each class
            what = "images" if system == "native" else "latents"
            label = f"{megabits:.15g} Mb: {slots:,} {what}"
            table = f"Memory, {system} replay, {rule}"
            yield Row(table, label, variant, preset, read_off.get(megabits, ""))


def _session_rows(preset: Preset) -> Iterator[Row]:
    rest = preset.scenario.classes - preset.scenario.base
    for size in dict.fromkeys((preset.scenario.step, 10, 2)):
        if isinstance(size, tuple) or rest % size:
            continue
        other = presets.vary(preset, "scenario", step=size)
        for rule in systems.RULES:
            label = f"{other.scenario.tasks} sessions of {size}, {rule}"
            yield Row("Sessions, latent replay", label, Variant(rule=rule), other)


def _extractor_rows(preset: Preset, sources: list[Source]) -> Iterator[Row]:
    for i, source in enumerate(sources):
        known = published.EXTRACTORS.get((source.classes, source.objective), "")
        if source.others or not source.augmented:
            known = ""  # the paper's was trained otherwise
        for rule in systems.RULES:
            label = f"{source.label}, {rule}"
            yield Row(
                "Extractors, latent replay", label, Variant(rule=rule), preset, known, bundle=i
            )


def reproduce(  # noqa: PLR0913  each is a choice of the experiment
    preset: Preset,
    sources: list[Source],
    seeds: Iterable[int],
    folder: Path,
    progress: Progress,
    native: bool = False,
    workers: int = 1,
    only: Iterable[str] = (),
    memories: Iterable[float] = MEGABITS,
) -> dict:
    """Score every row over the seeds, and write tables and figures into the folder.

    A seed orders the samples, fills the memory and starts the chip's registers; the class order is
    the preset's.

    Parameters
    ----------
    preset : Preset
        With the scenario.
    sources : list of Source
        The first is the one to reproduce; others are compared with it.
    seeds : iterable of int
        Seeds that a score is a mean over.
    folder : Path
        Where results of rows, tables and figures go.
    progress : Progress
        Shows how far the rows are.
    native : bool
        Whether native replay runs, too: it needs PyTorch and the data set's images, and hours.
    workers : int
        Rows computed side by side; of native replay one.
    only : iterable of str
        First words of the tables wanted, as "Losses"; all if empty.
    memories : iterable of float
        Of the tables "Memory", in 10^6 bits, in any order.

    Returns
    -------
    dict
        The tree that `tables.markdown` and `tables.pictures` take.

    Raises
    ------
    SpecError
        For no seed, an unknown table, or a data set that the paper has not.
    """
    seeds = list(seeds)
    if not seeds:
        raise SpecError("seeds must name at least one seed, not none")
    if preset.scenario.dataset not in ("cifar100", "digits"):
        raise SpecError(
            "the scenario to reproduce must be of data set 'cifar100', or 'digits' to try the "
            f"command, not {preset.scenario.dataset!r}"
        )
    lines, folder = _only(rows(preset, sources, native, sorted(set(memories))), only), Path(folder)
    preset.scenario.check_session()
    _require_own(folder)
    start = time.monotonic()
    with locks.locked(folder), locks.interruptible() as check:
        _require_own(folder)
        files.sweep(
            folder,
            re.compile("|".join(map(re.escape, WRITTEN)) + r"|latents-\w+\.safetensors").fullmatch,
        )
        files.sweep(folder / ROWS, re.compile(r"\w+\.json").fullmatch)
        results = _results(lines, sources, seeds, folder, progress, workers)
        check()
        result = _together(preset, sources, seeds, lines, results)
        drawn = tables.pictures(result)
        _claim(folder, start)
        files.write_whole(folder / RESULT, files.dumps(result))
        files.write_whole(folder / TABLES, tables.markdown(result) + "\n")
        for name, picture in drawn.items():
            picture.save(folder / name)
        for name in set(tables.PICTURES) - drawn.keys():  # of other tables, by an earlier run
            for kind in KINDS:
                (folder / f"{name}{kind}").unlink(missing_ok=True)
        _claim(folder, start)
        check()
    return result


def _require_own(folder: Path) -> None:
    """Raise XnoreplayError where the folder has a file that another program wrote by a name that this command writes."""
    locks.check_lock(folder)
    record = records.step_record(folder)
    own = record["outputs"] if record.get("step") == STEP else {}
    for name in WRITTEN:
        path = folder / name
        if whole.is_there(path) and not (
            whole.is_file(path) and (name in own or name == records.RECORD and own)
        ):
            raise XnoreplayError(
                f"{path} must be new or what reproduce wrote, but is somebody else's; move it away or choose "
                "another folder"
            )
    if whole.is_there(folder / ROWS) and not whole.is_folder(folder / ROWS):
        raise XnoreplayError(f"{folder / ROWS} must be a folder, but is a link or a file")


def _claim(folder: Path, start: float) -> None:
    """Record every name that may be written, with digests of the files that are there."""
    digests = {
        name: files.file_digest(folder / name) if (folder / name).exists() else ""
        for name in WRITTEN
        if name != records.RECORD
    }
    files.write_whole(
        folder / records.RECORD, files.dumps(records.record_of(STEP, {}, digests, start))
    )


def _results(
    lines: list[Row],
    sources: list[Source],
    seeds: list[int],
    folder: Path,
    progress: Progress,
    workers: int,
) -> list[list[dict]]:
    """Compute the result of each seed for every line; what several tables share is computed once.

    Native replay trains on every core: its rows run one after the other, when the others are done.
    """
    names: list[list[str]] = []
    work: dict[str, tuple[dict, Row, int]] = {}
    for row in lines:
        recipes = [_recipe(row, seed, sources[row.bundle]) for seed in seeds]
        names.append([_digest(recipe) for recipe in recipes])
        work |= {n: (r, row, s) for n, r, s in zip(names[-1], recipes, seeds, strict=True)}

    def one(name: str) -> dict:
        recipe, row, seed = work[name]
        path = folder / ROWS / f"{name}.json"
        result = _kept(path)
        if result is None:
            result = files.plain(
                _computed(row, seed, sources[row.bundle], folder, seeds, progress.note)
            )
            kept = {"recipe": recipe, "result": result, "digest": _digest(result)}
            files.write_whole(path, files.dumps(kept))
        return result

    alone = [name for name, (_, row, _) in work.items() if row.variant.system == "native"]
    shared = [name for name in work if name not in alone]
    results = {}
    with progress.task("reproduce", len(work)) as task:
        for group, at_once in ((shared, workers), (alone, 1)):
            for name, result in zip(group, side_by_side(one, group, at_once), strict=True):
                results[name] = result
                _, row, seed = work[name]
                task.advance(1, f"{row.table}: {row.label}, seed {seed}")
    return [[results[name] for name in of_row] for of_row in names]


def _kept(path: Path) -> dict | None:
    """Read a row's result from its file, if that is there and as it was written; None otherwise."""
    try:
        row = files.read_json(path)
        return row["result"] if row["digest"] == _digest(row["result"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _together(
    preset: Preset,
    sources: list[Source],
    seeds: list[int],
    lines: list[Row],
    results: list[list[dict]],
) -> dict:
    """Gather what `reproduce` returns."""
    done = []
    for row, of_row in zip(lines, results, strict=True):
        scores = {name: [r[name] for r in of_row] for name in of_row[0]}
        variant = dataclasses.asdict(row.variant)
        done.append(
            {"table": row.table, "label": row.label, "paper": row.paper, **variant, **scores}
        )
    return {
        "seeds": seeds,
        "chip_epochs": preset.target.epochs,
        "float_epochs": cil.FLOAT_EPOCHS,
        "native_epochs": systems.NATIVE_EPOCHS,
        "hardware": sorted({r["hardware"] for of_row in results for r in of_row}),
        "bundles": [{**s.bundle.provenance, "label": s.label} for s in sources],
        "rows": done,
    }


def _only(lines: list[Row], wanted: Iterable[str]) -> list[Row]:
    """Choose the lines of the wanted tables, or all."""
    known = list(dict.fromkeys(_word(row) for row in lines))
    wanted = list(wanted) or known
    for name in wanted:
        if name not in known:
            raise unknown("table", name, known)
    return [row for row in lines if _word(row) in wanted]


def _word(row: Row) -> str:
    return row.table.replace(",", "").split()[0]


def _recipe(row: Row, seed: int, source: Source) -> dict:
    """Collect all that a result depends on, as plain values."""
    native = row.variant.system == "native"
    return {
        "variant": dataclasses.asdict(row.variant),
        "preset": presets.to_dict(row.preset),
        "bundle": bundles.digest(source.bundle),
        "checkpoint": files.file_digest(source.checkpoint) if native and source.checkpoint else "",
        "seed": seed,
        "code": code.digest(CODE, () if native else NATIVE),
    }


def _digest(tree: dict) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:20]


def _computed(
    row: Row,
    seed: int,
    source: Source,
    folder: Path,
    seeds: list[int],
    report: Callable[[str], None],
) -> dict:
    from xnoreplay.model.training.hardware import processor

    native = row.variant.system == "native"
    samples = _samples(source, row.preset, folder, seed, native, seeds)
    start = time.monotonic()
    scores = systems.learn_variant(
        row.variant,
        row.preset,
        source.bundle,
        samples,
        seed,
        images=samples if native else None,
        checkpoint=source.checkpoint,
        report=report,
    )
    scores.pop("predictions")
    counts = samples.test_counts(row.preset.scenario)
    return {
        **scores,
        "curve": quantities.seen_curve(scores["matrix"], counts),
        "seconds": time.monotonic() - start,
        "hardware": processor(),
    }


def _samples(
    source: Source, preset: Preset, folder: Path, seed: int, native: bool, seeds: list[int]
) -> cil.Latents:
    """Return latents or images in the order of a seed, each made once; simulated latents stay in a file."""
    kind = "images" if native else "latents"
    with _FILLING:
        if kind not in source.cache:
            whole = systems.pictures(preset) if native else _latents(source, preset, folder)
            source.cache[kind] = whole if native else {s: whole.shuffled(s) for s in seeds}
    known = source.cache[kind]
    return known.shuffled(seed) if native else known[seed]


def _latents(source: Source, preset: Preset, folder: Path) -> cil.Latents:
    file = source.latents
    if file is None and latents.packaged(source.bundle) is None:
        file = folder / f"latents-{bundles.digest(source.bundle)[:20]}.safetensors"
        if not file.exists():
            latents.write(cil.simulated(preset, source.bundle), file)
    return cil.extract(preset, source.bundle, file)
