"""What all tests share: their order, a cache that is not the user's, and one thread for matrix products."""

from itertools import groupby
from pathlib import Path

import numpy as np  # noqa: F401  its library is looked at
from threadpoolctl import threadpool_info

from tests.conftest import FOLDER, LONGEST
from xnoreplay.spec import caches


def test_the_longest_files_are_there():
    assert [name for name in LONGEST if not (FOLDER / name).is_file()] == []


def test_the_longest_files_come_first(request):
    """Each file's tests stay together, for they share what was built for them."""
    files = [path for path, _ in groupby(item.path for item in request.session.items)]
    assert len(files) == len(set(files))
    ranks = [LONGEST.index(name) for name in map(relative, files) if name in LONGEST]
    assert ranks == sorted(ranks)
    assert all(relative(path) in LONGEST for path in files[: len(ranks)])


def test_the_user_s_cache_is_left_alone(tmp_path):
    """Builds lie in the folder of this run's temporary files, or for several workers in the one above theirs."""
    cache = caches.folder("cosim")
    assert cache.parent.name == "cache"
    assert tmp_path.is_relative_to(cache.parents[1])
    assert not cache.is_relative_to(Path.home() / ".cache")


def test_matrix_products_have_one_thread():
    """NumPy asks when it is loaded, so this fails where it is loaded before `tests.conftest`."""
    found = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert found == {1}


def relative(path) -> str:
    return str(path.relative_to(FOLDER)) if path.is_relative_to(FOLDER) else str(path)
