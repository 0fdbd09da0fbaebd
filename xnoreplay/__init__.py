"""xnoreplay: an FPGA/ASIC co-design flow for fully-binarised networks that keep learning.

`import xnoreplay as xr` gives the names below, each documented in `xnoreplay.flow.api`; they are
loaded when they are first used, so that the import itself takes no time.
"""

from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if (Path(__file__).parent / "spec").is_file():
    raise ImportError(
        "xnoreplay/spec, hw, sim, model and flow must be symbolic links to the folders at the top, but this checkout "
        "has plain files in their place; clone again with git -c core.symlinks=true clone"
    )

if TYPE_CHECKING:
    from xnoreplay.flow.api import (
        Chip,
        Estimate,
        Session,
        Verilog,
        draw,
        estimate,
        generate,
        load_bundle,
        load_images,
        load_preset,
    )

__all__ = [
    "Chip",
    "Estimate",
    "Session",
    "Verilog",
    "__version__",
    "draw",
    "estimate",
    "generate",
    "load_bundle",
    "load_images",
    "load_preset",
]


def __getattr__(name: str):
    """A name of the Python interface, imported at its first use."""
    if name in __all__:
        from xnoreplay.flow import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
