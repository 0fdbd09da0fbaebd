"""Fuzz every reader for some time: ``python -m tests.fuzz --minutes 60 [--only NAME]``.

A file that is neither read nor refused in a sentence is a finding: it is written, as small as Hypothesis can make it, to
``build/fuzz/READER-DIGEST`` with the error beside it, and the program ends with 2. Copy it to ``tests/fuzz/findings/READER``
once it is mended. A reader that takes more than `HANG` seconds ends the program with a traceback; the file is then
``build/fuzz/last``. What was found is tried again at the next start.
"""

import argparse
import faulthandler
import hashlib
import resource
import sys
import time
import traceback
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fuzz.edits import damaged, edits
from tests.fuzz.readers import READERS, complaint, good, read

OUT = Path("build/fuzz")
HANG = 120  # seconds that reading one small file may take
MEMORY = 8 << 30  # bytes that the program may map, so that a reader that takes too much fails
ROUND = 200  # damaged files of a reader before it is the next one's turn


def fuzz(name: str, content_kept: Path) -> tuple[int, str]:
    """Damage a reader's file `ROUND` times.

    Returns
    -------
    int
        Files that were read or refused.
    str
        What went wrong with the smallest that was neither, and where it is kept; "" where there was none.
    """
    done, smallest = 0, b""

    @settings(
        max_examples=ROUND,
        deadline=None,
        database=DirectoryBasedExampleDatabase(OUT / "examples" / name),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(changes=edits(), signed=st.booleans())
    def damage(changes, signed):
        nonlocal done, smallest
        content = damaged(good(name)[READERS[name].file], changes)
        smallest = content  # Hypothesis ends with the smallest that fails
        content_kept.write_bytes(content)
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            with TemporaryDirectory() as folder:
                wrong = complaint(sentence := read(name, content, Path(folder), signed))
        finally:
            faulthandler.cancel_dump_traceback_later()
        assert not wrong, f"{wrong}: {sentence}"
        done += 1

    try:
        damage()
    except Exception as error:  # noqa: BLE001 - whatever a reader raises is the finding
        kept = OUT / f"{name}-{hashlib.sha256(smallest).hexdigest()[:12]}"
        kept.write_bytes(smallest)
        kept.with_name(kept.name + ".txt").write_text(traceback.format_exc(), encoding="utf-8")
        return done, f"{kept}: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
    return done, ""


def main() -> int:
    """Fuzz in turns until the time is over."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--only", choices=READERS, action="append", help="may be given several times"
    )
    given_ = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    OUT.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * given_.minutes
    files, findings = 0, {}
    for name in cycle(given_.only or READERS):
        if time.monotonic() > end:
            break
        done, found = fuzz(name, OUT / "last")
        files += done
        if found:
            findings.setdefault(name, found)
            print(found, flush=True)
        left = max(0, end - time.monotonic())
        print(
            f"{name:20} | {files:,} files | {len(findings)} readers with findings | {left / 60:.1f} min left",
            flush=True,
        )
    return 2 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
