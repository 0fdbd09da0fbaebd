"""Which tools are there, which version, and what to do about those that are not."""

from dataclasses import dataclass

from xnoreplay.flow.tools import TOOLS, Found, Tool


@dataclass(frozen=True)
class Diagnosis:
    """One tool, and what was found of it."""

    tool: Tool
    found: Found | None

    @property
    def healthy(self) -> bool:
        return self.found is not None or not self.tool.needed

    @property
    def status(self) -> str:
        if self.found is not None:
            return "found"
        return "missing" if self.tool.needed else "optional"


def examine(tools: tuple[Tool, ...] = TOOLS) -> list[Diagnosis]:
    """Look for every tool."""
    return [Diagnosis(tool, tool.find()) for tool in tools]


def text(diagnoses: list[Diagnosis]) -> str:
    """One line a tool: status, name, version or remedy, purpose.

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
