"""Which modules a design in yosys's own text has, and where they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Hierarchy:
    """The modules of a design in RTLIL.

    Parameters
    ----------
    rtlil : str
        Of the whole design.
    """

    rtlil: str

    @cached_property
    def modules(self) -> dict[str, str]:
        """Text of each module by name."""
        texts = re.findall(r"^module .*\n(?:.*\n)*?end\n", self.rtlil, re.MULTILINE)
        names = [re.search(r"^module \\(\S+)", text, re.MULTILINE) for text in texts]
        return {name[1]: text for name, text in zip(names, texts, strict=True) if name}

    @cached_property
    def instances(self) -> dict[str, list[tuple[str, str]]]:
        """(module, name) of the instances in each module."""
        found = {}
        for name, text in self.modules.items():
            pairs = re.findall(r"^  cell \\(\S+) \\(\S+)$", text, re.MULTILINE)
            found[name] = [(kind, cell) for kind, cell in pairs if kind in self.modules]
        return found

    def parents(self, module: str) -> list[str]:
        """Modules that have an instance of a module."""
        return [name for name, cells in self.instances.items() if module in dict(cells)]

    def paths(self, scope: str, module: str, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Yield (prefix of names, module) of what lies between a module and one inside it, both ends included."""
        if scope == module:
            yield prefix, module
            return
        for kind, cell in self.instances[scope]:
            inner = list(self.paths(kind, module, f"{prefix}{cell}."))
            if inner:
                yield from inner
                yield prefix, scope

    def all(self, module: str, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Yield (dotted path, module) of the instances in a module and in those inside of it."""
        for kind, cell in self.instances[module]:
            yield f"{prefix}{cell}", kind
            yield from self.all(kind, f"{prefix}{cell}.")


def box(module: str) -> str:
    """A module without what is in it: its ports, as a black box."""
    lines = module.splitlines()
    head = next(line for line in lines if line.startswith("module "))
    ports = [line for line in lines if re.match(r"  wire .*(?:input|output) \d+ ", line)]
    return "\n".join(["attribute \\blackbox 1", head, *ports, "end", ""])
