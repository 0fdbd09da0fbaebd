"""Curves of a campaign of upsets."""

from pathlib import Path

from xnoreplay.flow.output import plots
from xnoreplay.flow.output.plots import COLOURS, GREY, INK, Picture
from xnoreplay.flow.upset.sessions import ALL

SHOWN = len(COLOURS)  # places that are named: those that are harmed most


def curves(result: dict, field: str, title: str) -> Picture:
    """Draw a field of each rate over the rate, a line a place; the most harmed ones have colours, `ALL` is black."""

    def paint(axes) -> None:
        every = sorted(result["places"], key=_harm, reverse=True)
        named = [p["name"] for p in every if p["name"] != ALL and _harm(p)][:SHOWN]
        for place in reversed(every):
            rates = [r["rate"] for r in place["rates"]]
            values = [100 * r[field] for r in place["rates"]]
            name = place["name"]
            colour = INK if name == ALL else GREY
            if name in named:
                colour = COLOURS[named.index(name)]
            axes.plot(
                rates,
                values,
                color=colour,
                linewidth=1.8 if name == ALL else 1.1,
                marker="o",
                markersize=2.5,
                label=name if name == ALL or name in named else None,
                zorder=3 if name in named else 2,
            )
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("probability that a bit changes in a session")
        axes.set_ylabel(title)
        axes.grid(color=plots.BAND, linewidth=0.5)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=7.5)

    return plots.draw(7.2, 3.4, paint)


def _harm(place: dict) -> float:
    return sum(r["harmed"] for r in place["rates"])


PICTURES = {
    "a_final": ("a_final", "a_final, %"),
    "harmed": ("harmed", "sessions that are harmed, %"),
}
"""Name of each picture's files, with the field of `campaign.share_of` and the title of its axis."""


def write(result: dict, out: Path) -> None:
    """Write each of `PICTURES` as .svg and .pdf."""
    for name, (field, title) in PICTURES.items():
        curves(result, field, title).save(out / name)
