"""The wheel and the source archive: what is in them, and that an installed package needs no checkout."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import xnoreplay

ROOT = Path(__file__).parents[1]
ELSE = (".*", "runs", "build", "dist", "extractors", "__pycache__", "*.egg-info")
"""Files of a checkout that no archive is made of."""
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]  # the builds replace the arguments
build_meta.build_wheel(folder)
build_meta.build_sdist(folder)
"""


def package_files(root: Path) -> set[str]:
    """Paths of all files of the package below a checkout, those behind its symbolic links included."""
    found = set()
    for folder, folders, names in os.walk(root / "xnoreplay", followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {Path(folder, name).relative_to(root).as_posix() for name in names}
    return found


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> tuple[Path, Path]:
    """A wheel and a source archive, built from a copy of the checkout as `pip install .` builds them."""
    source, made = tmp_path_factory.mktemp("source") / "xnoreplay", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*ELSE))
    subprocess.run([sys.executable, "-c", BUILD, made], cwd=source, check=True, capture_output=True)
    return next(made.glob("*.whl")), next(made.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory) -> Path:
    """A folder with nothing but the installed wheel."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--target", folder]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, archives[0]], check=True)
    return folder


def test_the_wheel_has_every_file_of_the_package(archives):
    with zipfile.ZipFile(archives[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == package_files(ROOT)


def test_the_source_archive_has_every_file_of_the_package(archives):
    """In place of the links to the folders at the top it has the files themselves, so that it can be unpacked anywhere."""
    with tarfile.open(archives[1]) as archive:
        members = {m.name.partition("/")[2]: m for m in archive if not m.isdir()}
    assert not [name for name, member in members.items() if not member.isfile()]
    assert {name for name in members if name.startswith("xnoreplay/")} == package_files(ROOT)
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "constraints.txt"):
        assert name in members
    assert {"docs/tutorial.md", "tests/conftest.py", "tests/flow/data/cells.lib"} <= members.keys()


def test_an_installed_package_needs_no_checkout(installed, tmp_path):
    """The command line of the wheel, started in an empty folder."""

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "xnoreplay", *arguments]
        env = {**os.environ, "PYTHONPATH": str(installed)}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    code = "import xnoreplay; print(xnoreplay.__file__)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    place = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=env, text=True)
    assert Path(place.strip()).is_relative_to(installed)
    assert (installed / "bin" / "xnoreplay").is_file()

    assert xnoreplay.__version__ in run("--version")
    run("draw", "--preset", "tiny", "chip.svg")
    assert (tmp_path / "chip.svg").read_text(encoding="utf-8").startswith("<svg")
    run("generate", "--preset", "tiny", "--untrained", "--out", "tiny")
    assert re.search(r"^module \w+", (tmp_path / "tiny/generate/xnoreplay.v").read_text(), re.M)
    assert run("validate").count("\n") > 3  # reads the tables of costs


def test_the_version_is_one():
    """The package, how it is cited and its changelog name the same version."""
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited[1] == xnoreplay.__version__
    versions = re.findall(r"^## (\d\S*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert versions[0] == xnoreplay.__version__
