"""Records of folders: what made a folder, whether it is whole, and what may be replaced.

A folder that a step or another work wrote has a `step.json` with the digests of its files. Such a folder is replaced
only by the same work, and only if it has nothing that the record does not list.
"""

import fnmatch
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import xnoreplay
from xnoreplay.flow.run import files
from xnoreplay.spec import whole
from xnoreplay.spec.errors import XnoreplayError, shown

RECORD, RESULT, SCRATCH = "step.json", "result.json", ".resume"
RECORDED = {
    "step": str,
    "version": str,
    "code": str,
    "config": dict,
    "inputs": dict,
    "outputs": dict,
    "seconds": int | float,
    "failure": str,
}
"""What a whole record has."""
LONGEST = 1e12
"""Seconds that no step takes."""


def step_record(folder: Path) -> dict:
    """Return what a step has recorded in its folder; {} where there is no record, or none that is whole."""
    path = folder / RECORD
    try:
        record = files.read_json(path) if whole.is_file(path) else {}
    except (OSError, ValueError):
        return {}
    return record if _is_whole(record) else {}


def _is_whole(record: object) -> bool:
    if not isinstance(record, dict):
        return False
    if not all(isinstance(record.get(key), kind) for key, kind in RECORDED.items()):
        return False
    digests = all(isinstance(digest, str) for digest in record["outputs"].values())
    return digests and not isinstance(record["seconds"], bool) and 0 <= record["seconds"] < LONGEST


def why_foreign(folder: Path, step: str, added_later: tuple[str, ...] = ()) -> str:
    """Say why a step may not replace a folder, as the end of a sentence; '' where it may.

    A step may replace nothing at all, an empty folder, and one that has the record of the same step and only
    files that are in the record or of `added_later`.
    """
    if not whole.is_there(folder):
        return ""
    if folder.is_symlink():
        return "is a symbolic link"
    if not whole.is_folder(folder):
        return "is no folder"
    try:
        found = [
            p for p in whole.contents(folder) if p != folder / whole.MARK or not whole.is_mark(p)
        ]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not found:
        return ""
    record = step_record(folder)
    if record.get("step") != step:
        what = f"is of step {shown(record['step'])}" if record else f"has no whole {RECORD} of it"
        return f"{what}, so it is somebody else's"
    known = {RECORD, *record["outputs"]}
    for path in found:
        name = path.relative_to(folder).as_posix()
        if not (whole.is_file(path) and (name in known or is_added_later(name, added_later))):
            return f"has {shown(name)}, which no run put there"
    return ""


def is_added_later(name: str, added_later: tuple[str, ...]) -> bool:
    """Tell whether a path relative to a step's folder is of a file that other work adds to the folder."""
    return any(fnmatch.fnmatchcase(name, p) or name.startswith(f"{p}/") for p in added_later)


def require_own(folder: Path, step: str, added_later: tuple[str, ...] = ()) -> None:
    """Raise XnoreplayError where a step may not replace a folder; see `why_foreign`."""
    if why := why_foreign(folder, step, added_later):
        raise XnoreplayError(
            f"{folder} must be new, empty or what {step} wrote, but {why}; move it away or choose another folder"
        )


@contextmanager
def own_folder(target: Path, step: str, config: dict | None = None) -> Iterator[Path]:
    """Write a whole folder with a record, for work outside the steps of a run; it replaces only one of the same work.

    Parameters
    ----------
    target : Path
        The folder.
    step : str
        Name of the work, for the record.
    config : dict, optional
        What the work was asked for, plain values.

    Yields
    ------
    Path
        The folder to write in, which takes the place of `target` when the block ends without an error.

    Raises
    ------
    XnoreplayError
        Where the folder that is there was not written by the same work.
    """
    start = time.monotonic()
    with files.whole_folder(target, lambda folder: require_own(folder, step)) as part:
        yield part
        files.write_json(
            part / RECORD, record_of(step, config or {}, files.tree_digests(part), start)
        )


def record_of(step: str, config: dict, outputs: dict[str, str], start: float) -> dict:
    """Make the record of work outside the steps of a run, as `step.json` has it.

    Parameters
    ----------
    step : str
        Name of the work, which `why_foreign` compares.
    config : dict
        What the work was asked for, plain values.
    outputs : dict of str to str
        SHA-256 of each file, by its path relative to the folder.
    start : float
        `time.monotonic` when the work began, in seconds.

    Returns
    -------
    dict
        Every key of `RECORDED`; ``code`` and ``failure`` are '', ``inputs`` is {}.
    """
    seconds = round(time.monotonic() - start, 3)
    return {
        "step": step,
        "version": xnoreplay.__version__,
        "code": "",
        "config": config,
        "inputs": {},
        "outputs": outputs,
        "seconds": seconds,
        "failure": "",
    }


def require_whole(folder: Path) -> None:
    """Compare the files of a step's folder with the digests in its record.

    Raises
    ------
    XnoreplayError
        Names the first file that is not as the step wrote it.
    """
    record = step_record(folder)
    if not record:
        raise XnoreplayError(f"{folder / RECORD} must be the whole record of a step, but is not")
    for name, digest in record["outputs"].items():
        path = folder / name
        try:
            same = files.file_digest(path) == digest
        except (OSError, ValueError):
            same = False
        if not same:
            raise XnoreplayError(
                f"{path} must be as step {shown(record['step'])} wrote it, but its SHA-256 is not the recorded "
                "one: repeat the step, or bring the file back"
            )


def result_of(folder: Path) -> dict:
    """Return the result in a step's folder.

    Raises
    ------
    XnoreplayError
        Where a file of the folder is damaged.
    """
    require_whole(folder)
    try:
        result = files.read_json(folder / RESULT)
    except OSError as error:
        raise XnoreplayError(f"{folder / RESULT} must be readable: {error.strerror}") from None
    if not isinstance(result, dict):
        raise XnoreplayError(f"{folder / RESULT} must be a JSON object, not {shown(result)}")
    return result


def require_scratch(folder: Path) -> None:
    """Raise XnoreplayError for a scratch folder that no run made and that is not empty."""
    if not whole.is_there(folder) or whole.is_marked(folder):
        return
    if not whole.is_folder(folder) or any(folder.iterdir()):
        raise XnoreplayError(
            f"{folder} must be new, empty or what a stopped run left, but is somebody else's; move it away"
        )


def clear_scratch(folder: Path) -> None:
    """Clear a marked scratch folder, and the folder of them all where it is empty then; leave any other."""
    if whole.is_marked(folder):
        with suppress(OSError):
            whole.clear(folder)
            folder.parent.rmdir()


@contextmanager
def own_scratch(folder: Path) -> Iterator[Path]:
    """Make a marked scratch folder; it is cleared when the block succeeds, and where nothing is in it."""
    made = not folder.parent.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if not whole.is_marked(folder):
        require_scratch(folder)
        whole.mark(folder)
    succeeded = False
    try:
        yield folder
        succeeded = True
    finally:
        with suppress(OSError):
            if succeeded or not [p for p in folder.iterdir() if p.name != whole.MARK]:
                whole.clear(folder)
                if made:
                    folder.parent.rmdir()
