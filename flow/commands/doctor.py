"""The command `doctor`: which tools are installed, what to do about missing ones, and which caches are used."""

import os
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.run.tools import TOOLS, Found, Tool
from xnoreplay.spec import caches


@dataclass(frozen=True)
class Diagnosis:
    """A tool, and what was found of it; None where it is missing."""

    tool: Tool
    found: Found | None

    @property
    def healthy(self) -> bool:
        """Whether the tool is there, or the demo does without it."""
        return self.found is not None or not self.tool.needed

    @property
    def status(self) -> str:
        """The word for it: "found", "missing" or "optional"."""
        if self.found is not None:
            return "found"
        return "missing" if self.tool.needed else "optional"


def examine(tools: tuple[Tool, ...] = TOOLS) -> list[Diagnosis]:
    """Look for every tool.

    Parameters
    ----------
    tools : tuple of Tool
        The tools to look for.
    """
    return [Diagnosis(tool, tool.find()) for tool in tools]


def text(diagnoses: list[Diagnosis]) -> str:
    """Return the diagnoses as text, a line a tool: status, name, version or remedy, purpose.

    >>> tool = Tool("saw", "cuts", True, "buy one", lambda: None)
    >>> print(text([Diagnosis(tool, None)]))
    missing   saw  -  cuts  -> buy one
    """
    names = max(len(d.tool.name) for d in diagnoses)
    versions = max(len(d.found.version) if d.found else 1 for d in diagnoses)
    lines = []
    for d in diagnoses:
        version = d.found.version if d.found else "-"
        line = f"{d.status:8}  {d.tool.name:{names}}  {version:{versions}}  {d.tool.purpose}"
        lines.append(line if d.found else f"{line}  -> {d.tool.remedy}")
    return "\n".join(lines)


def caches_text() -> str:
    """Return a line for each cache: whether a file could be written there just now, what it keeps, where."""
    beside = Path(
        os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parents[2] / "sim" / "__pycache__"
    )
    own, user, yowasp = caches.CACHE, "XDG_CACHE_HOME", os.environ.get("YOWASP_CACHE_DIR")
    rows = (
        ("kernels of the simulator", [beside, caches.folder("kernels")], own),
        ("compiled simulations of cosim", [caches.folder("cosim")], own),
        ("yosys and nextpnr", [Path(yowasp) if yowasp else caches.home()], user),
    )
    width = max(len(what) for what, _, _ in rows)
    return "\n".join(
        _cache_line(f"{what:{width}}", places, variable) for what, places, variable in rows
    )


def _cache_line(what: str, places: list[Path | None], variable: str) -> str:
    reasons = [caches.unusable(place) for place in places]
    good = next((p for p, reason in zip(places, reasons, strict=True) if not reason), None)
    if good is not None:
        return f"kept      {what}  {good}"
    return (
        f"not kept  {what}  {places[-1] or 'a cache'} cannot be written ({reasons[-1]}); a temporary one is "
        f"used -> set {variable} to a folder that can be written"
    )
