"""A little fuzzing in every test run, and all that the long runs have found."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.edits import damaged, edits
from tests.fuzz.readers import READERS, complaint, good, read

FINDINGS = Path(__file__).parent / "findings"
EXAMPLES = 25


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(tmp_path, name):
    assert read(name, good(name)[READERS[name].file], tmp_path) == ""


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_a_sentence(name):
    """The same damage in every run; `make fuzz` draws more."""

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
    @given(changes=edits(), signed=st.booleans())
    def damage(changes, signed):
        content = damaged(good(name)[READERS[name].file], changes)
        with TemporaryDirectory() as folder:
            assert complaint(read(name, content, Path(folder), signed)) == ""

    damage()


@pytest.mark.parametrize(
    "path", sorted(FINDINGS.glob("*/*")), ids=lambda p: f"{p.parent.name}-{p.name}"
)
def test_what_was_found_once_stays_mended(tmp_path, path):
    for signed in (False, True):
        assert complaint(read(path.parent.name, path.read_bytes(), tmp_path, signed)) == ""
