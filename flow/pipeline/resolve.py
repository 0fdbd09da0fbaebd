"""From what a user chose, and what the run folder remembers, to the settings of a run."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xnoreplay.flow.datasets.bundles import BUNDLE, BundleSource, packaged
from xnoreplay.flow.pipeline import options
from xnoreplay.flow.pipeline.options import Memory
from xnoreplay.flow.pipeline.settings import SETTINGS, START, Settings, remembered
from xnoreplay.flow.run import files
from xnoreplay.flow.run.records import step_record
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError, XnoreplayError, shown
from xnoreplay.spec.presets import Preset


def resolve(
    folder: Path | None, chosen: dict[str, Any], forget: Iterable[str] = ()
) -> tuple[Path, Settings]:
    """Find the run folder, and its settings: what is chosen, else what its last run had, else the defaults.

    A folder that has a bundle keeps it until another one is asked for, or until a training that was asked for is
    done. What a training went on from, and for how long, is forgotten where the network or the scenario becomes
    another one.

    Parameters
    ----------
    folder : Path, optional
        The run folder; `runs/PRESET` without it.
    chosen : dict
        Values by name: of `Settings`, and preset, bundle, untrained, order_seed and step. None, and False for
        `untrained`, is what was left open.
    forget : iterable of str
        Settings that are not taken from the folder.

    Raises
    ------
    SpecError
        Where a value that was chosen breaks a rule.
    XnoreplayError
        Where a value of the folder breaks a rule, its file cannot be read, or a training is asked for with a bundle.
    """
    chosen = {name: value for name, value in chosen.items() if value is not None}
    scenario = {n: chosen.pop(n) for n in ("order_seed", "step") if n in chosen}
    bundle, untrained = chosen.pop("bundle", None), chosen.pop("untrained", False)
    if "preset" in chosen:
        chosen["preset"] = presets.load(chosen["preset"])
    if folder is None:
        chosen.setdefault("preset", presets.PRESETS["digits"])
        folder = Path("runs") / chosen["preset"].name
    recorded = _read(folder)
    merged = {"simulator": "both" if shutil.which("iverilog") else "verilator"} | recorded | chosen
    merged["preset"] = presets.vary(merged["preset"], "scenario", **scenario)
    before, now = recorded["preset"], merged["preset"]
    if (before.network, before.scenario) != (now.network, now.scenario):
        forget = (*forget, *remembered(Memory.TRAINING))
    for name in forget:
        if name not in chosen:
            merged.pop(name, None)
    if bundle or untrained:
        if "own_training" in chosen:
            raise XnoreplayError(
                "a training must be without a bundle or untrained bits: it makes the bundle"
            )
        merged["own_training"] = False
        source = BundleSource.choose(now, bundle, untrained)
    else:
        asked_now = "own_training" in chosen
        source = _source_of_folder(folder, now, asked_now, merged.get("own_training", False))
    merged["source"] = source
    try:
        return folder, Settings(**merged)
    except SpecError as error:
        kept = [name for name in merged.keys() & recorded.keys() if name not in chosen]
        if not _breaks_alone(recorded, kept):
            raise
        raise XnoreplayError(
            f"{folder / SETTINGS} has a setting that cannot be: {error}; give that option anew, or remove "
            "the file and name the preset again: what the steps left stays"
        ) from None


def _read(folder: Path) -> dict:
    """Read what a run folder remembers, as arguments of `Settings`; the preset alone where it has no file."""
    try:
        recorded = files.read_json(folder / SETTINGS)
        recorded["preset"] = presets.from_dict(recorded["preset"])
        own = folder / START
        recorded["start"] = own if recorded.get("start") and own.exists() else None
        known = options.of_fields(Settings)
        if strange := recorded.keys() - {"preset", *remembered()}:
            raise ValueError(f"{shown(sorted(strange)[0])} is no setting")
    except (FileNotFoundError, NotADirectoryError):
        return {"preset": presets.PRESETS["digits"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SpecError) as error:
        raise XnoreplayError(
            f"{folder / SETTINGS} must be the settings of a run, but is not: {error}; remove it and name the "
            "preset again: what the steps left stays"
        ) from None
    restored = {
        name: known[name].restore(value) for name, value in recorded.items() if name in known
    }
    return recorded | restored


def _breaks_alone(recorded: dict, names: Iterable[str]) -> bool:
    """Tell whether what a folder remembers breaks a rule, whatever a user chose beside it."""
    kept = {name: recorded[name] for name in names}
    try:
        Settings(**{"preset": recorded["preset"], "source": BundleSource("random")} | kept)
    except SpecError:
        return True
    return False


def _source_of_folder(
    folder: Path, preset: Preset, asked_now: bool, own_training: bool
) -> BundleSource:
    """Decide where the bundle of a run comes from when its command names none.

    Parameters
    ----------
    folder : Path
        Of the run.
    preset : Preset
        Of the run.
    asked_now : bool
        Whether this command trains.
    own_training : bool
        Whether a training was asked for after any other bundle.

    Returns
    -------
    BundleSource
        The training, where it is asked for now, or was and has been done. Else the bundle that the folder has. Else
        the training, if there is one. Else the packaged bundle; the training, where the data set is the user's own.
    """
    is_trained = (folder / "pretrain").is_dir()
    if asked_now or (own_training and is_trained):
        return BundleSource("training")
    kept = _kept_source(folder, preset)
    if kept is not None:
        return kept
    chosen = BundleSource.choose(preset)
    if is_trained or (preset.scenario.source is not None and not chosen.is_trained):
        return BundleSource("training")
    return chosen


def _kept_source(folder: Path, preset: Preset) -> BundleSource | None:
    """Find where the bundle that a folder has came from; None where another one is due.

    The packaged one is due anew, as another version may have another; but not where a training,
    done before the packaged one was asked for, would take its place.
    """
    record = step_record(folder / "export")
    try:
        network, untrained = record["config"]["preset"]["network"], record["config"]["untrained"]
        failure, given = record["failure"], record["inputs"]["file bundle"]
    except (KeyError, TypeError):
        return None
    if failure or network != presets.network_to_dict(preset.network):
        return None
    if untrained:
        return BundleSource("random")
    source = packaged(preset)
    anew = source and files.file_digest(source) == given and not (folder / "pretrain").is_dir()
    if given is None or anew:
        return None
    return BundleSource("file", folder / "export" / BUNDLE)
