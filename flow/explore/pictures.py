"""Pareto fronts of a sweep as pictures."""

from pathlib import Path

from xnoreplay.flow.cost import replay_variants
from xnoreplay.flow.explore import space
from xnoreplay.flow.explore.fronts import COSTS, cost_of
from xnoreplay.flow.output import plots
from xnoreplay.flow.output.plots import COLOURS, INK, Picture
from xnoreplay.flow.output.quantities import KIB, si

AXES = {
    "energy": ("energy of a session", "J"),
    "memory": ("memory on chip, KiB", ""),
    "cycles": ("cycles of a session", ""),
    "area": ("area of cells, mm²", ""),
}
DECADE = 10
SHORT = {
    replay_variants.LATENT: "latent",
    replay_variants.IMAGES: "native, frozen",
    replay_variants.RETRAINED: "native",
    space.DRAWN: "generative",
}
COLOUR = dict(zip(SHORT, COLOURS, strict=False))
"""Of a way of replay, in the pictures and on the report's page."""


def front(result: dict, cost: str) -> Picture:
    """Draw every point's accuracy over a cost, and the front as a line."""
    points = [p for p in result["points"] if p["a_final"] is not None]
    values = [value(p, cost) for p in points]
    factor, title = axis(points, cost)

    def paint(axes) -> None:
        for replay, colour in COLOUR.items():
            for staged, fill in ((True, colour), (False, "white")):
                chosen = [
                    (v / factor, 100 * p["a_final"])
                    for v, p in zip(values, points, strict=True)
                    if p["replay"] == replay and _staged(p) == staged
                ]
                if chosen:
                    x, y = zip(*chosen, strict=True)
                    where = "with" if staged else "without"
                    axes.scatter(
                        x,
                        y,
                        s=18,
                        color=fill,
                        edgecolors=colour,
                        linewidths=0.9,
                        alpha=0.8,
                        label=f"{SHORT[replay]}, {where} staging",
                    )
        for fronts, name, style in (
            (result["fronts"], "Pareto front", "-"),
            (result.get("stored_fronts", {}), "without generative replay", "--"),
        ):
            best = [result["points"][i] for i in fronts.get(cost, ())]
            if best:
                axes.plot(
                    [value(p, cost) / factor for p in best],
                    [100 * p["a_final"] for p in best],
                    color=INK,
                    linewidth=1.1,
                    linestyle=style,
                    zorder=0,
                    drawstyle="steps-post",
                    label=name,
                )
        if max(values) > DECADE * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(title)
        axes.set_ylabel("a_final, %")
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:,g}")
        axes.grid(color=plots.BAND, linewidth=0.5)
        axes.legend(frameon=False, fontsize=7.5, loc="lower right")

    return plots.draw(7.2, 3.4, paint)


def axis(points: list[dict], cost: str) -> tuple[float, str]:
    """Return what an axis divides a cost by, and its title with the unit, whose SI prefix suits the dearest point."""
    title, unit = AXES[cost]
    most = max((value(p, cost) for p in points), default=0)
    factor, prefix = si(most) if unit and most else (1.0, "")
    return factor, f"{title}, {prefix}{unit}" if unit else title


def value(point: dict, cost: str) -> float:
    """Return a point's cost as `AXES` has it: bits as KiB."""
    found = cost_of(point, cost)
    return found / KIB if cost == "memory" else found


def _staged(point: dict) -> bool:
    return bool(point["dials"].get("staging", True))


def write(result: dict, out: Path) -> None:
    """Write pareto-COST.svg and .pdf of every front."""
    for cost in COSTS:
        if result["fronts"]:
            front(result, cost).save(out / f"pareto-{cost}")
