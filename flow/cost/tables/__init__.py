"""Cost of an event: tables with unit and source, scaled to a target. `README.md` says how."""

import csv
import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from xnoreplay.flow.cost.tables import laws
from xnoreplay.flow.cost.tables.stored import CostError, Place, energy_factor, packaged
from xnoreplay.spec import reading
from xnoreplay.spec.errors import SpecError, shown, told, unknown
from xnoreplay.spec.target import DEVICE_TYPES, TargetSpec

__all__ = ["CostError", "Place", "energy_factor"]  # of `stored`, for those who price

FEMTO, PICO, MILLI = 1e-15, 1e-12, 1e-3
KBIT = 1024
FLAVOUR = {"hp": "hp", "lop": "hp", "lstp": "lp"}  # of the scaling fit, by ITRS device type
LEAST_DEPTH = 32  # below, and below the table's capacities, memories are built of standard cells
SRAM_COLUMNS = (
    "device_type",
    "node_nm",
    "capacity_kbit",
    "width_bits",
    "read_pj",
    "write_pj",
    "leakage_mw",
    "area_mm2",
    "access_ns",
    "cycle_ns",
)
MODEL_ERROR = 0.3  # assumed allowance for CACTI's error, see README.md


@dataclass(frozen=True)
class Cost:
    """Energy of one event or power, low to high, in SI units, with where it comes from."""

    low: float
    nominal: float
    high: float
    source: str

    def __mul__(self, factor: float) -> "Cost":
        return Cost(self.low * factor, self.nominal * factor, self.high * factor, self.source)


@dataclass(frozen=True)
class MemoryCost:
    """Costs of one instance: joules of a word read and of a word written, and watts."""

    read: Cost
    write: Cost
    leakage: Cost
    area: float | None
    """mm2, or None for a memory of standard cells."""


_own_sram: Path | None = None


def use_sram(path: Path | None) -> None:
    """Take SRAM costs from a user's table, as `characterize --cacti` writes it; without a path, from ours again.

    Raises
    ------
    CostError
        For a file that is no such table.
    """
    global _own_sram
    if path is not None:
        _rows_of(path)
    _own_sram = path
    for cached in (table, _grid, limits, sram_at):
        cached.cache_clear()


@contextmanager
def packaged_sram():
    """Take SRAM costs from the package's table for a block of code."""
    own = _own_sram
    if own is not None:
        use_sram(None)
    try:
        yield
    finally:
        if own is not None:
            use_sram(own)


def _rows_of(path: Path) -> tuple[dict[str, str], ...]:
    try:
        rows = tuple(csv.DictReader(reading.text(path, reading.MOST_SPEC).splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise CostError(f"SRAM table {path} must be readable, but: {told(error)}") from None
    if not rows:
        raise CostError(f"SRAM table {path} must have at least one row, not none")
    known: set[tuple[str, ...]] = set()
    for i, row in enumerate(rows, 1):
        try:
            _check_sram(row)
        except SpecError as error:
            raise CostError(f"SRAM table {path} must be readable, but row {i}: {error}") from None
        key = tuple(row[column] for column in SRAM_COLUMNS[:4])
        if key in known:
            raise CostError(
                f"SRAM table {path} must have one row of each SRAM, but row {i} repeats {', '.join(key)}"
            )
        known.add(key)
    return rows


def _check_sram(row: dict[str, str]) -> None:
    """Raise SpecError, with the column, where a row of an SRAM table has a figure that cannot be."""
    for column in SRAM_COLUMNS:
        if row.get(column) is None:
            raise SpecError(f"column {column} must be there, but is not")
    if row["device_type"] not in DEVICE_TYPES:
        raise unknown("device_type", row["device_type"], DEVICE_TYPES)
    for column in SRAM_COLUMNS[1:4]:
        text = row[column].strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
            raise SpecError(
                f"{column} must be an integer from 1 to 999999999, not {shown(row[column])}"
            )
    for column in SRAM_COLUMNS[4:]:
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise SpecError(f"{column} must be a finite number above 0, not {shown(row[column])}")


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a table of this folder, or of the user's SRAM table in place of ours."""
    if name == "sram.csv" and _own_sram is not None:
        return _rows_of(_own_sram)
    return packaged(name)


def node_of(target: TargetSpec) -> int:
    """Return the node of a target's technology in nm."""
    return int(target.technology.removesuffix("nm"))


@cache
def supply(node: int, device_type: str) -> float:
    """Return the supply voltage of a node and device type.

    Raises
    ------
    CostError
        Where the table has none.
    """
    for row in table("supply.csv"):
        if (int(row["node_nm"]), row["device_type"]) == (node, device_type):
            return float(row["supply_v"])
    raise CostError(f"supply.csv must have a supply for {node} nm {device_type}, but has none")


def scale(joules: float, row: dict[str, str], target: TargetSpec) -> float:
    """Scale a figure from a row's node, flavour and supply to a target's."""
    return laws.scale(joules, place_in(row), place_of(target))


def place_of(target: TargetSpec) -> Place:
    """Return the node, flavour and supply of a target."""
    node, device = node_of(target), target.device_type
    return Place(node, FLAVOUR[device], supply(node, device))


def place_in(row: dict[str, str]) -> Place:
    """Return the node, flavour and supply of a table's row."""
    return Place(int(row["node_nm"]), row["flavour"], float(row["supply_v"]))


def _sources(name: str, place: Place, without: str = "") -> list[tuple[float, str]]:
    """Return what each source of a logic cost comes to at a node, flavour and supply, J, least first.

    Parameters
    ----------
    name : str
        Of `logic.csv`.
    place : Place
        Of the design that is priced.
    without : str
        A chip whose own figure is no source, neither of the cost nor of the laws that scale it.

    Raises
    ------
    CostError
        For a cost that is not in the table.
    """
    return [
        (joules, f"{r['source']} [{r['node_nm']} nm, {r['supply_v']} V, {r['mark']}]")
        for joules, r in _scaled_rows(name, place, without)
    ]


def _scaled_rows(name: str, place: Place, without: str) -> list[tuple[float, dict[str, str]]]:
    rows = [
        r
        for r in table("logic.csv")
        if r["cost"] == name and (not r["chip"] or r["chip"] != without)
    ]
    if not rows:
        raise CostError(f"logic.csv must have the cost {name!r}, but has none")
    scaled = (
        (laws.scale(float(r["femtojoule"]) * FEMTO, place_in(r), place, without), r) for r in rows
    )
    return sorted(scaled, key=lambda pair: pair[0])


def lacks(name: str, what: str, place: Place, without: str = "") -> bool:
    """Tell whether the nominal source of a logic cost has no wires, or no glitches; of two sources, the greater."""
    rows = _scaled_rows(name, place, without)
    return what in rows[len(rows) // 2][1]["lacks"]


def sorted_cost(sources: list[tuple[float, str]]) -> Cost:
    """Return a cost whose low, nominal and high are three sources in order of size."""
    (low, a), (nominal, b), (high, c) = sorted(sources)
    return Cost(low, nominal, high, f"low: {a}; nominal: {b}; high: {c}")


def logic(name: str, target: TargetSpec) -> Cost:
    """Return the joules of one event of the logic on a target."""
    return sorted_cost(_sources(name, place_of(target)))


def logic_at(name: str, place: Place, without: str = "") -> Cost:
    """Return the joules of one event of the logic at a node, flavour and supply, without a chip's own figures.

    One source gives all three bounds; of two, the geometric mean is nominal.
    """
    sources = _sources(name, place, without)
    if len(sources) == len(("low", "nominal", "high")):
        return sorted_cost(sources)
    (low, a), (high, b) = sources[0], sources[-1]
    return Cost(low, math.sqrt(low * high), high, a if len(sources) == 1 else f"{a}; {b}")


@cache
def _grid(node: int, device_type: str) -> dict[tuple[int, int], dict[str, str]]:
    return {
        (int(r["capacity_kbit"]) * KBIT, int(r["width_bits"])): r
        for r in table("sram.csv")
        if (int(r["node_nm"]), r["device_type"]) == (node, device_type)
    }


def _between(value: int, axis: list[int]) -> tuple[int, int, float]:
    """Find the neighbours of a value on an axis, and its place between them in logarithms."""
    low = max(a for a in axis if a <= value)
    high = min(a for a in axis if a >= value)
    return low, high, math.log(value / low) / math.log(high / low) if high > low else 0.0


@cache
def limits(node: int, device_type: str) -> tuple[int, int, int, int]:
    """Return least and greatest capacity, and least and greatest width of the SRAM table, in bits.

    Raises
    ------
    CostError
        For a technology without a table.
    """
    grid = _grid(node, device_type)
    if not grid:
        known = sorted({f"{r['node_nm']}nm {r['device_type']}" for r in table("sram.csv")})
        raise CostError(
            f"technology must be one with a table of SRAM costs, {', '.join(known)}, not "
            f"{node}nm {device_type}"
        )
    sizes, widths = ({key[i] for key in grid} for i in range(2))
    return min(sizes), max(sizes), min(widths), max(widths)


def sram(column: str, bits: int, width: int, target: TargetSpec) -> float:
    """Return a figure of one SRAM on a target; see `sram_at`."""
    return sram_at(column, bits, width, node_of(target), target.device_type)


@lru_cache(
    maxsize=4096
)  # a design's few memories are priced again for each phase, variant and session
def sram_at(column: str, bits: int, width: int, node: int, device: str) -> float:
    """Return a figure of one SRAM between the entries of the table, in the table's unit.

    Raises
    ------
    CostError
        For a capacity or a width outside the table: see README.md for what is done with those.
    """
    least, most, narrow, wide = limits(node, device)
    if not least <= bits <= most:
        raise CostError(
            f"capacity of an SRAM must be from {least // KBIT:,} to {most // KBIT:,} kbit, those of "
            f"the table, not {bits / KBIT:,.6g} kbit"
        )
    if not narrow <= width <= wide:
        raise CostError(
            f"width of an SRAM must be from {narrow} to {wide} bits, those of the table, not {width}"
        )
    grid = _grid(node, device)
    b0, b1, tb = _between(bits, sorted({b for b, _ in grid}))
    w0, w1, tw = _between(width, sorted({w for _, w in grid}))

    def corner(b: int, w: int) -> float:
        present = sorted(size for size, wide in grid if size >= b and wide == w)
        if not present:
            raise CostError(
                f"the SRAM table must have words of {w} bits in {b // KBIT:,} kbit or more, but has none"
            )
        return math.log(float(grid[present[0], w][column]))

    along = [(1 - tw) * corner(b, w0) + tw * corner(b, w1) for b in (b0, b1)]
    return math.exp((1 - tb) * along[0] + tb * along[1])


def memory(depth: int, width: int, target: TargetSpec) -> MemoryCost:
    """Price one instance of `depth` words of `width` bits, however large: see README.md."""
    least, most, narrow, wide = limits(node_of(target), target.device_type)
    if depth * width < least or depth < LEAST_DEPTH:
        return _standard_cells(depth, width, target)
    parts = -(-width // wide)
    slice_ = -(-width // parts)
    banks = -(-depth * slice_ // most)
    bits, word = -(-depth // banks) * slice_, max(narrow, slice_)
    bits = min(max(bits, least, LEAST_DEPTH * word), most)
    where = f"{_origin()}, {target.technology} {target.device_type}, +-30 % assumed"

    def cost(column: str, unit: float, count: int) -> Cost:
        value = sram(column, bits, word, target) * unit * count
        return Cost(value * (1 - MODEL_ERROR), value, value * (1 + MODEL_ERROR), where)

    return MemoryCost(
        cost("read_pj", PICO, parts),
        cost("write_pj", PICO, parts),
        cost("leakage_mw", MILLI, parts * banks),
        sram("area_mm2", bits, word, target) * parts * banks,
    )


def access_ns(depth: int, width: int, target: TargetSpec) -> float:
    """Return the nanoseconds from address to word of one instance; 0 for a memory of standard cells."""
    least, most, narrow, wide = limits(node_of(target), target.device_type)
    if depth * width < least or depth < LEAST_DEPTH:
        return 0.0
    slice_ = -(-width // -(-width // wide))
    word = max(narrow, slice_)
    bits = min(max(depth * slice_, least, LEAST_DEPTH * word), most)
    return sram("access_ns", bits, word, target)


def _origin() -> str:
    return "CACTI 7" if _own_sram is None else f"SRAM table {_own_sram.name}"


def gate_um2(node: int) -> Cost:
    """Return the um2 of a gate at a node, scaled by the square of the node; placement is not counted."""
    return sorted_cost(
        [
            (float(r["um2"]) * (node / int(r["node_nm"])) ** 2, r["source"])
            for r in table("gate_area.csv")
        ]
    )


def _standard_cells(depth: int, width: int, target: TargetSpec) -> MemoryCost:
    place = place_of(target)
    flip_flop = logic("register_bit", target).low
    measured, source = _sources("scm_bit", place)[0]
    least, _, narrow, wide = limits(node_of(target), target.device_type)
    word = min(max(width, narrow), wide)
    size = max(least, LEAST_DEPTH * word)

    def cost(column: str) -> Cost:
        smallest = sram(column, size, word, target) * PICO / word
        third = (
            smallest,
            f"a bit of the smallest SRAM of its width, {size // KBIT} kbit, {_origin()}",
        )
        if column == "read_pj" and depth < LEAST_DEPTH:
            mux, cell = _sources("mux_bit", place)[0]
            # Of a new word half the bits differ, at each of its multiplexers.
            inputs = max(1, depth - 1)
            third = (mux * inputs / 2, f"{inputs} multiplexers a bit, half switch: {cell}")
        bit = sorted_cost([(flip_flop, "one flip-flop clocked"), (measured, source), third])
        return bit * width

    leak = sram("leakage_mw", least, narrow, target) * MILLI / least * depth * width
    leakage = Cost(
        leak * (1 - MODEL_ERROR),
        leak,
        leak * (1 + MODEL_ERROR),
        f"the smallest SRAM's leakage a bit, {_origin()}, +-30 % assumed",
    )
    return MemoryCost(cost("read_pj"), cost("write_pj"), leakage, None)


def published(target: TargetSpec) -> list[dict]:
    """Return the energy a binary operation of published chips, as published and scaled to the target, J."""
    return [
        {
            "chip": r["chip"],
            "published": float(r["femtojoule_per_op"]) * FEMTO,
            "scaled": scale(float(r["femtojoule_per_op"]) * FEMTO, r, target),
            "technology": f"{r['node_nm']} nm, {r['supply_v']} V",
            "scope": r["scope"],
            "source": r["source"],
        }
        for r in table("published.csv")
    ]
