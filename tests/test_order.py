"""The order of the tests: those that take longest begin first."""

from itertools import groupby

from tests.conftest import FOLDER, LONGEST


def test_the_longest_files_are_there():
    assert [name for name in LONGEST if not (FOLDER / name).is_file()] == []


def test_the_longest_files_come_first(request):
    """Each file's tests stay together, for they share what was built for them."""
    files = [path for path, _ in groupby(item.path for item in request.session.items)]
    assert len(files) == len(set(files))
    ranks = [LONGEST.index(name) for name in map(relative, files) if name in LONGEST]
    assert ranks == sorted(ranks)
    assert all(relative(path) in LONGEST for path in files[: len(ranks)])


def relative(path) -> str:
    return str(path.relative_to(FOLDER)) if path.is_relative_to(FOLDER) else str(path)
