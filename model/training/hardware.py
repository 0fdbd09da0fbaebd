"""The machine, in words: reported numbers say what computed them."""

import platform
from pathlib import Path

from xnoreplay.spec.machine import cores


def processor() -> str:
    """Return the processor's name and how many cores this process may use.

    >>> "core" in processor()
    True
    """
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # no Linux
    return f"{name}, {cores()} core{'s' if cores() > 1 else ''}"
