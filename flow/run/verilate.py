"""Verilog -> a compiled simulation, by Verilator and the C++ compiler, kept by digest.

What is kept is whole or is built anew: each folder lists the digests of its files, which are looked at before
it is used. A cache that can only be read is read; what it lacks is built in a temporary one.

Verilator's own make file compiles its run-time library anew for every design, which takes longer
than a small chip; here the library is compiled once and kept beside the designs. A run of the compiler
reads several generated files, because the headers that each run reads take longer than a small file. Unknown values are
0 (`--x-initial 0`): the chip's registers and memories all have reset values, and Icarus, which knows
X, agrees.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xnoreplay.flow.run import files, locks, processes
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import caches
from xnoreplay.spec.errors import ToolError
from xnoreplay.spec.machine import cores
from xnoreplay.spec.memories import identifier
from xnoreplay.spec.reasons import reason
from xnoreplay.spec.registers import COUNTERS, SEEN_REGISTERS

TOP = "xnoreplay"
KIND = "cosim"  # of `caches`
FLAGS = (
    "-DVERILATOR=1",
    "-DVM_COVERAGE=0",
    "-DVM_SC=0",
    "-DVM_TIMING=0",
    "-DVM_TRACE_FST=0",
    "-DVM_TRACE_SAIF=0",
    "-std=gnu++17",
)
OFTEN, ONCE = 250_000, 1_000_000
"""Bytes of C++ that take the compiler longer than the headers do: of what runs in every clock, and of what runs once."""
MOST = 2_000_000  # bytes of C++ that one run of the compiler reads, so that it needs little memory
MOST_PLAIN = 6_000_000  # the same of what is not optimised
KEEP = 20  # compiled designs in the cache, 1 to 2 MB each
RUNTIME = ("verilated", "verilated_threads", "verilated_dpi", "verilated_vpi")
TRACER = ("verilated_vcd_c",)
BARE_RUNTIME = ("verilated", "verilated_threads")
HEADERS = ("verilated.h", "verilated_dpi.h", "verilated_vpi.h")
"""Of the run-time library: what a design and its main program include."""
DIGESTS = "digests.json"  # in each folder of the cache: SHA-256 of its other files, by name
OURS = r"(cocotb|traced|bare|served|runtime|headers)-[0-9a-f]{20}"  # names of the cache's folders


@dataclass(frozen=True)
class Built:
    """A compiled simulation: its folder, and the seconds that building took (0 where it was kept)."""

    folder: Path
    seconds: float
    kept: bool


class Source(NamedTuple):
    """A C++ file to be compiled: option of the compiler, and bytes, those of the generated files that it includes."""

    path: Path
    level: str
    size: int


def execute(arguments: Iterable[object], env: dict[str, str], cwd: Path | None = None) -> str:
    """Run a command that must succeed and return its output; ToolError names the line that says why it failed."""
    command = [str(a) for a in arguments]
    command[0] = shutil.which(command[0], path=env.get("PATH")) or command[0]
    try:
        done = processes.run_program(command, env, cwd)
    except OSError as error:
        raise ToolError(f"{command[0]} must be installed for co-simulation: {error}") from None
    text = done.stdout + done.stderr
    if done.returncode:
        raise ToolError(
            f"{Path(command[0]).name} must succeed, but ended with {done.returncode}: {reason(text)}"
        )
    return text


def verilator_root(env: dict[str, str]) -> Path:
    """Return the folder of Verilator's run-time library."""
    if "VERILATOR_ROOT" in env:
        return Path(env["VERILATOR_ROOT"])
    return Path(execute(["verilator", "--getenv", "VERILATOR_ROOT"], env).strip())


class Verilate:
    """Compiles designs in one environment.

    Parameters
    ----------
    env : dict
        Of `flow.run.tools.verilator_env`.
    optimise : str
        The compiler's option for the design.
    cache : Path, optional
    traced : bool
        Whether the simulation can write a waveform. That keeps signals which are optimised away
        otherwise, so a comparison does without.
    """

    def __init__(
        self,
        env: dict[str, str],
        optimise: str = "-O2",
        cache: Path | None = None,
        traced: bool = False,
    ) -> None:
        self.env, self.optimise, self.traced = env, optimise, traced
        self.flags = [*FLAGS, *tracing(traced)]
        self.names = RUNTIME + TRACER if traced else RUNTIME
        self.cache = cache or caches.folder(KIND) or caches.writable(KIND)
        self.root = verilator_root(env)
        # Where it lies, also when it is reached by another path; see `tools.plain_root`.
        self.origin = str((self.root / "include").resolve())
        self.version = execute(["verilator", "--version"], env).strip()
        self.include = [f"-I{self.root}/include", f"-I{self.root}/include/vltstd"]

    def runtime(self, names: tuple[str, ...], progress: Progress) -> Path:
        """Return a folder with files of the run-time library, compiled once for each version of Verilator and the compiler.

        Designs with a waveform and without have them in common: the library does not ask whether there is one.

        Parameters
        ----------
        names : tuple of str
            `RUNTIME` or `TRACER`.
        progress : Progress
            Told where the folder was damaged.
        """
        compiler = execute(["g++", "--version"], self.env).splitlines()[0]
        flags = [*FLAGS, *tracing(False)]
        digest = _digest([self.version, compiler, self.origin, *flags, *names])

        def make(folder: Path) -> None:
            paths = [self.root / "include" / f"{n}.cpp" for n in names]
            sources = [Source(p, "-O1", p.stat().st_size) for p in paths]
            for _ in self._compile(sources, folder, flags):
                pass

        return self._kept(f"runtime-{digest}", make, progress)

    def _headers(self, progress: Progress) -> list[str]:
        """Options that have the compiler read the run-time library's headers as it compiled them once.

        For designs without optimisation and waveform alone: of theirs the headers are a quarter, and the file has 70 MB.
        """
        if self.optimise != "-O0" or self.traced:
            return []
        compiler = execute(["g++", "--version"], self.env).splitlines()[0]
        digest = _digest([self.version, compiler, self.origin, *self.flags, *HEADERS])

        def make(folder: Path) -> None:
            text = "".join(f"#include <{name}>\n" for name in HEADERS)
            (folder / "all.h").write_text(text, encoding="utf-8")
            given = [*self.flags, *self.include, "-x", "c++-header", self.optimise]
            execute(["g++", *given, "-c", "all.h", "-o", "all.h.gch"], self.env, folder)

        return ["-include", str(self._kept(f"headers-{digest}", make, progress) / "all.h")]

    def _kept(self, name: str, make: Callable[[Path], None], progress: Progress) -> Path:
        """Return the cache's folder of a name; what `make` writes, where it is not there whole."""
        target = self.cache / name
        if whole(target):
            _touch(target)
        else:
            _tell_of_damage(target, progress)
            with files.whole_folder(_free(target)) as folder:
                make(folder)
                _seal(folder)
        return target

    def _compile(self, sources: list[Source], folder: Path, flags: list[str]) -> Iterator[int]:
        """Compile files side by side; yield the size in bytes of each that is done."""

        def one(source: Source) -> int:
            execute(
                [
                    "g++",
                    *flags,
                    "-I.",
                    *self.include,
                    source.level,
                    "-c",
                    source.path,
                    "-o",
                    f"{source.path.stem}.o",
                ],
                self.env,
                folder,
            )
            return source.size

        with processes.pool(cores()) as pool:
            for done in as_completed([pool.submit(one, source) for source in sources]):
                yield done.result()

    def _sources(self, generated: list[Path], main: Path) -> list[Source]:
        """What the compiler reads of a design and its main program, the largest files after `main`.

        What runs once is compiled without optimisation. Where nothing is optimised, all of it takes the compiler little
        longer than the headers do, so that one file has it all.
        """
        if self.optimise == "-O0":
            return _joined([*generated, main], main.with_name("all"), "-O0", MOST_PLAIN, MOST_PLAIN)
        once = [p for p in generated if p.stem.endswith("Slow")]
        often = [p for p in generated if p not in once]
        sources = _joined(often, main.with_name("often"), self.optimise, OFTEN, MOST)
        sources += _joined(once, main.with_name("once"), "-O0", ONCE, MOST)
        sources.sort(key=lambda source: -source.size)
        return [Source(main, "-O1", main.stat().st_size), *sources]

    def build(  # noqa: PLR0913  a build is text, options, two files, libraries and a link line
        self,
        verilog: str,
        name: str,
        options: list[str],
        control: str,
        main: Path,
        libraries: tuple[str, ...],
        link: list[str],
        progress: Progress,
    ) -> Built:
        """Build a design with a main program, or take it from the cache if it is there.

        Parameters
        ----------
        verilog : str
            Text of the design, whose top is `xnoreplay`.
        name : str
            First part of the cache folder's name.
        options : list of str
            Further arguments of Verilator.
        control : str
            Text of Verilator's configuration file.
        main : Path
            C++ file with the main program.
        libraries : tuple of str
            Names of `RUNTIME` or `TRACER` that the program is linked with.
        link : list of str
            Further arguments of the linker.
        progress : Progress
            Shows the time that compiling takes.
        """
        parts = [
            self.version,
            verilog,
            control,
            *options,
            self.optimise,
            main.read_text(),
            *link,
            name,
            self.origin,
            *self.flags,
        ]
        name = f"{name}-{_digest(parts)}"
        target = self.cache / name
        if whole(target):
            _touch(target)
            return Built(target, 0.0, True)
        start = time.monotonic()
        self._make_writable()
        target = self.cache / name
        with locks.in_turn(self.cache):
            if whole(target):  # another process was faster
                return Built(target, 0.0, True)
            _tell_of_damage(target, progress)
            self._prune()
            self._build(target, verilog, options, control, main, libraries, link, progress)
        return Built(target, time.monotonic() - start, False)

    def _make_writable(self) -> None:
        """Take a temporary cache where nothing can be added to this one."""
        reason = caches.unusable(self.cache)
        if not reason:
            return
        place = caches.writable(KIND)
        if place != self.cache:
            self.cache = place
        else:  # it is a folder of the caller's
            raise ToolError(f"the cache {self.cache} must be writable, but is not: {reason}")

    def _prune(self) -> None:
        """Remove what a killed process left, and the designs that were not used for longest."""
        files.sweep(self.cache, re.compile(r".+-[0-9a-f]{20}").fullmatch)
        caches.prune(self.cache, OURS, KEEP)

    def _build(  # noqa: PLR0913  what `build` takes
        self, target, verilog, options, control, main, libraries, link, progress
    ) -> None:
        flags = [*self.flags, *self._headers(progress)]
        groups = [group for group in (RUNTIME, TRACER) if set(group) & set(libraries)]
        folders = [(self.runtime(group, progress), group) for group in groups]
        library = {name: place / f"{name}.o" for place, group in folders for name in group}
        with files.whole_folder(_free(target)) as folder:
            (folder / "top.v").write_text(verilog, encoding="utf-8")
            (folder / "public.vlt").write_text(control, encoding="utf-8")
            name = target.name.partition("-")[0]
            progress.note(f"compiling the Verilog with Verilator, {name}")
            execute(
                [
                    "verilator",
                    "--cc",
                    "--prefix",
                    "Vtop",
                    "--top-module",
                    TOP,
                    "--Mdir",
                    ".",
                    "-O3",
                    "--x-assign",
                    "0",
                    "--x-initial",
                    "0",
                    "--timescale",
                    "1ns/1ps",
                    "-Wno-fatal",
                    "-Wno-lint",
                    "-Wno-style",
                    *options,
                    "public.vlt",
                    "top.v",
                ],
                self.env,
                folder,
            )
            generated = sorted(folder.glob("*.cpp"))
            shutil.copy(main, folder / "main.cpp")
            sources = self._sources(generated, folder / "main.cpp")
            size = sum(source.size for source in sources)
            with progress.task(f"compiling {name}, bytes of C++", size) as task:
                for done in self._compile(sources, folder, flags):
                    task.advance(done)
            objects = sorted(folder.glob("*.o")) + [library[n] for n in libraries]
            execute(["g++", "-o", TOP, *objects, "-pthread", *link], self.env, folder)
            for path in folder.iterdir():
                if path.name != TOP and path.suffix not in (".v", ".vlt"):
                    path.unlink()
            _seal(folder)


def tracing(traced: bool) -> list[str]:
    """Options of the compiler that say whether a waveform is written."""
    return [f"-DVM_TRACE={traced:d}", f"-DVM_TRACE_VCD={traced:d}"]


def _joined(generated: list[Path], stem: Path, level: str, least: int, most: int) -> list[Source]:
    """Write files that include generated ones, each in one of them and each of them of about the same size.

    There are as many as cores, fewer where they would have less than `least` bytes, and more where they would have more
    than `most`. Verilator's make file joins files likewise, for all names in them differ.

    Parameters
    ----------
    generated : list of Path
        Files of C++, none of which is divided.
    stem : Path
        Folder of the generated files, and what the names of the new ones begin with.
    level : str
        The compiler's option for the new files.
    least, most : int
    """
    sizes = {p.name: p.stat().st_size for p in generated}
    total = sum(sizes.values())
    count = max(min(cores(), total // least), -(-total // most), 1)
    parts: list[list[str]] = [[] for _ in range(min(count, len(sizes)))]
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        min(parts, key=lambda part: sum(sizes[n] for n in part)).append(name)
    made = []
    for number, part in enumerate(parts):
        path = stem.with_name(f"{stem.name}_{number}.cpp")
        path.write_text("".join(f'#include "{name}"\n' for name in part), encoding="utf-8")
        made.append(Source(path, level, sum(sizes[name] for name in part)))
    return made


def whole(folder: Path) -> bool:
    """Tell whether a folder of the cache has the files that it had when it was made."""
    try:
        expected = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        program = folder / TOP
        runs = not program.exists() or os.access(program, os.X_OK)
        return runs and bool(expected) and expected == _digests(folder)
    except (OSError, ValueError, RecursionError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    found = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    return {p.name: files.file_digest(p) for p in found if p.name != DIGESTS}


def _seal(folder: Path) -> None:
    """Write the digests of a cache folder's files into it."""
    files.write_json(folder / DIGESTS, _digests(folder))


def _touch(folder: Path) -> None:
    """Note that a cache folder was used now; a cache that can only be read is left as it is."""
    with suppress(OSError):
        os.utime(folder)


def _tell_of_damage(target: Path, progress: Progress) -> None:
    if os.path.lexists(target):
        progress.note(f"what is kept in {target} is damaged; it is built anew")


def _free(target: Path) -> Path:
    """Remove a file or link that stands where a cache folder is to be made; return the folder's path."""
    if re.fullmatch(OURS, target.name) and (target.is_symlink() or target.is_file()):
        target.unlink()
    return target


def _digest(parts: list[str]) -> str:
    h = hashlib.sha256()
    for part in parts:
        h.update(part.encode() + b"\0")
    return h.hexdigest()[:20]


PUBLIC = (
    ("flat_rw", "xnoreplay", ("clk", "rst", "s_axi*", "phase", "busy")),
    ("flat_rw", "xnoreplay", ("seen", "quota", "staged")),
    ("flat_rw", "*random_*", ("state",)),
    ("flat_rw", "xnoreplay_*", ("rows",)),
    ("flat_rd", "xnoreplay_ram_*", ("met",)),
    ("flat_rw", "*thermometer", ("threshold*",)),
    ("flat_rw", "*open_class", ("open0",)),
    ("flat_rw", "*draw", ("state*",)),
    ("flat_rw", "*counters", (*map(identifier, COUNTERS), "pending_*", "fresh", "writing")),
    ("flat_rd", "*host", SEEN_REGISTERS),
    ("flat_rd", "*", ("ren", "raddr", "rbank", "rplane", "wen", "waddr", "wdata", "wvalue")),
    ("flat_rd", "*balance", ("inverse_read",)),
    ("flat_rd", "*array", ("x_valid", "x", "done", "acc")),
    ("flat_rd", "*array", ("wlanes", "wtaps", "wslot", "wown", "wwords")),
    ("flat_rd", "*", ("at_rest_*",)),
)
"""What the test bench looks at: access, modules, variables. All else is Verilator's to optimise."""


def cocotb_build(
    verilate: Verilate, verilog: str, progress: Progress, inputs: tuple[str, ...] = ()
) -> Built:
    """Build a design with cocotb's main program; where `verilate` is traced, one that writes a waveform.

    `inputs` are names of further inputs that the test bench sets.
    """
    import cocotb_tools.config as config

    libs = config.libs_dir
    main = Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    options = ["--vpi", "--trace-vcd", "--trace-max-width", "0"] if verilate.traced else ["--vpi"]
    # Not -Wl, which a comma in the path would end.
    link = ["-Xlinker", "-rpath", "-Xlinker", str(libs), f"-L{libs}", "-lcocotbvpi_verilator"]
    name = "traced" if verilate.traced else "cocotb"
    return verilate.build(
        verilog, name, options, configuration(inputs), main, verilate.names, link, progress
    )


def configuration(inputs: tuple[str, ...] = ()) -> str:
    """Return Verilator's control file that makes `PUBLIC`, and further inputs of the top, visible."""
    lines = [
        f'public_{access} -module "{module}" -var "{variable}"'
        for access, module, variables in (*PUBLIC, ("flat_rw", TOP, inputs))
        for variable in variables
    ]
    return "\n".join(["`verilator_config", *lines, ""])
