"""Pictures of the report: matplotlib figures as SVG text that goes into the page."""

import io
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xnoreplay.flow.output.quantities import quantity
from xnoreplay.spec import whole

INK, GREY, BAND = "#1f2933", "#9aa5b1", "#d9e2ec"
COLOURS = ("#1d4e89", "#d1495b", "#66a182", "#edae49", "#6c4f8d", "#00798c", "#8d6e63", "#546e7a")


STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "xnoreplay",
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Picture:
    """One figure: an svg element for a page, and the two files a paper takes."""

    svg: str
    svg_file: str
    pdf_file: bytes

    def save(self, path: Path) -> None:
        """Write path.svg and path.pdf, each whole."""
        for suffix, content in ((".svg", self.svg_file.encode()), (".pdf", self.pdf_file)):
            with whole.whole_file(path.with_suffix(suffix)) as part:
                part.write_bytes(content)


def draw(
    width: float, height: float, paint: Callable, columns: int = 1, top: float = 1.0
) -> Picture:
    """Draw a picture of so many inches; paint receives its axes, an array where there are columns.

    Above `top`, a fraction of the height, is room for a legend of the whole figure.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(1, columns, figsize=(width, height))
        try:
            paint(axes)
            figure.tight_layout(rect=(0, 0, 1, top))
            text, pdf = io.StringIO(), io.BytesIO()
            figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
            figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
        finally:
            pyplot.close(figure)
    return Picture(_inline(text.getvalue()), text.getvalue(), pdf.getvalue())


def _inline(text: str) -> str:
    """Return the svg element alone, with its identifiers made unlike those of other pictures."""
    text = text[text.index("<svg") :]
    salt = f"f{len(text)}-"
    text = re.sub(r'\bid="', f'id="{salt}', text)
    text = re.sub(r"url\(#", f"url(#{salt}", text)
    return re.sub(r'xlink:href="#', f'xlink:href="#{salt}', text)


def bars(
    labels: list[str],
    values: list[float],
    axis: str,
    low: list[float] | None = None,
    high: list[float] | None = None,
) -> Picture:
    """Draw horizontal bars, the first on top; whiskers from low to high where given."""
    places = range(len(labels))
    whiskers = None
    if low is not None and high is not None:
        whiskers = [
            [v - a for v, a in zip(values, low, strict=True)],
            [b - v for v, b in zip(values, high, strict=True)],
        ]

    def paint(axes) -> None:
        axes.barh(
            places,
            values,
            xerr=whiskers,
            color=COLOURS[0],
            height=0.62,
            error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2},
        )
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.set_xlabel(axis)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:,g}")

    return draw(7.2, 0.6 + 0.24 * len(labels), paint)


def tornado(swings: list[tuple[str, float, float]], nominal: float, unit: str) -> Picture:
    """Draw bars from low to high about a nominal value on a logarithmic axis, the first on top."""
    from matplotlib.ticker import NullFormatter

    def paint(axes) -> None:
        for i, (_, low, high) in enumerate(swings):
            axes.barh([i], [nominal - low], left=[low], color=COLOURS[0], height=0.62)
            axes.barh([i], [high - nominal], left=[nominal], color=COLOURS[1], height=0.62)
        axes.axvline(nominal, color=INK, linewidth=0.9)
        axes.set_yticks(range(len(swings)), [name for name, _, _ in swings])
        axes.invert_yaxis()
        axes.set_xscale("log")
        low, high = min(s[1] for s in swings), max(s[2] for s in swings)
        axes.set_xlim(low / 1.1, high * 1.1)
        axes.set_xticks([low, nominal, high])
        axes.xaxis.set_major_formatter(lambda v, _: quantity(float(v), unit))
        axes.xaxis.set_minor_formatter(NullFormatter())

    return draw(7.2, 0.6 + 0.24 * len(swings), paint)


def stacked(shares: dict[str, float], axis: str) -> Picture:
    """Draw one bar of parts with a legend."""

    def paint(axes) -> None:
        left = 0.0
        for i, (name, value) in enumerate(shares.items()):
            axes.barh(
                [0], [value], left=[left], color=COLOURS[i % len(COLOURS)], label=name, height=0.5
            )
            left += value
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, left or 1)
        axes.set_xlabel(axis)
        axes.legend(
            ncols=4, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8
        )

    return draw(7.2, 1.35, paint)


def curves(
    series: dict[str, tuple[list[float], list[float]]], axis: str, ticks: list[str]
) -> Picture:
    """Draw lines over sessions, each a (mean, spread) pair of lists, with a band of one spread."""

    def paint(axes) -> None:
        for i, (name, (middle, width)) in enumerate(series.items()):
            low = [m - w for m, w in zip(middle, width, strict=True)]
            high = [m + w for m, w in zip(middle, width, strict=True)]
            x, colour = range(len(middle)), COLOURS[i % len(COLOURS)]
            axes.plot(x, middle, marker="o", markersize=3.5, color=colour, label=name)
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_ylabel(axis)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.grid(axis="y", color=BAND, linewidth=0.6)
        axes.legend(frameon=False, loc="lower left", ncols=2, fontsize=8)

    return draw(7.2, 3.0, paint)


def against(
    series: dict[str, tuple[list[float], list[float], list[float]]],
    horizontal: str,
    vertical: str,
    dashed: Container[str] = (),
    ticks: Iterable[float] | None = None,
) -> Picture:
    """Draw fractions with whiskers of one spread over a logarithmic axis: (x, mean, spread) each.

    Parameters
    ----------
    series : dict
        Points by name.
    horizontal, vertical : str
        Names of the axes.
    dashed : iterable of str
        Names of series that are not ours.
    ticks : iterable of float, optional
        Numbers to stand on the horizontal axis; every x of a point if not given.
    """
    known = {v for x, _, _ in series.values() for v in x} if ticks is None else set(ticks)

    def paint(axes) -> None:
        for i, (name, (x, middle, width)) in enumerate(series.items()):
            style = "--" if name in dashed else "-"
            axes.errorbar(
                x,
                middle,
                yerr=width,
                marker="o",
                markersize=3.5,
                linewidth=1.2,
                linestyle=style,
                capsize=2,
                color=COLOURS[i % len(COLOURS)],
                label=name,
            )
        axes.set_xscale("log")
        axes.set_xticks(sorted(known))
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(horizontal)
        _fractions(axes, vertical)

    return draw(7.2, 3.0, paint)


def columns(
    labels: list[str], series: dict[str, tuple[list[float], list[float]]], vertical: str
) -> Picture:
    """Draw bars of fractions side by side at each label, with whiskers: (mean, spread) each."""

    def paint(axes) -> None:
        width = 0.8 / max(1, len(series))
        for i, (name, (middle, whisker)) in enumerate(series.items()):
            x = np.arange(len(labels)) + (i - (len(series) - 1) / 2) * width
            axes.bar(
                x,
                middle,
                width,
                yerr=whisker,
                color=COLOURS[i % len(COLOURS)],
                label=name,
                error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 2},
            )
        axes.set_xticks(range(len(labels)), [label.replace(" ", "\n", 1) for label in labels])
        _fractions(axes, vertical)

    return draw(7.2, 3.0, paint)


def _fractions(axes, vertical: str) -> None:
    """Give axes a vertical axis of percent with its grid, and a legend."""
    axes.set_ylabel(vertical)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    axes.grid(axis="y", color=BAND, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, ncols=4, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))


def images(pixels: np.ndarray) -> Picture:
    """Draw a row of grey images, (n, height, width)."""

    def paint(row) -> None:
        for axes, image in zip(np.atleast_1d(row), pixels, strict=True):
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=pixels.max(), interpolation="nearest")
            axes.set_axis_off()

    return draw(7.2, 0.8, paint, columns=len(pixels))


def roofline(
    dots: dict[str, tuple[float, float]], peak: float, bandwidth: float, axis: str
) -> Picture:
    """Draw phases by (operations a bit, operations a cycle) under the roofs of cells and memories."""

    def paint(axes) -> None:
        ridge = peak / bandwidth
        low = min([x for x, _ in dots.values()] + [ridge]) / 2
        high = max([x for x, _ in dots.values()] + [ridge]) * 3
        axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=INK, linewidth=1.2)
        axes.annotate(
            f"all cells: {peak:,.0f}",
            (high, peak),
            ha="right",
            va="bottom",
            fontsize=8,
            xytext=(0, 2),
            textcoords="offset points",
        )
        for i, (name, (x, y)) in enumerate(dots.items()):
            marker = "os^Dv"[i // len(COLOURS) % 5]
            axes.scatter(
                [x], [y], s=28, color=COLOURS[i % len(COLOURS)], marker=marker, zorder=3, label=name
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.set_xlabel("operations a bit moved")
        axes.set_ylabel(axis)
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_formatter(lambda v, _: f"{v:,g}")
            side.set_minor_formatter("")
        axes.set_ylim(min(y for _, y in dots.values()) / 3, peak * 2)
        axes.grid(color=BAND, linewidth=0.5)
        axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return draw(7.2, 3.2, paint)


def powers(
    panels: dict[tuple[str, str], dict[str, tuple[list[float], list[float]]]], vertical: str
) -> Picture:
    """Draw panels side by side, by title and horizontal axis: lines over logarithmic axes, one legend.

    A thin line rises in proportion, to hold the slopes against.
    """

    def paint(row) -> None:
        names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
        for axes, ((title, horizontal), lines) in zip(row, panels.items(), strict=True):
            for name, (x, y) in lines.items():
                axes.plot(
                    x,
                    y,
                    marker="o",
                    markersize=3,
                    linewidth=1.2,
                    label=name,
                    color=COLOURS[names.index(name)],
                )
            xs, ys = ([v for line in lines.values() for v in line[i]] for i in (0, 1))
            low, high, foot = min(xs), max(xs), min(ys)
            axes.plot([low, high], [foot, foot * high / low], color=GREY, linewidth=0.6, zorder=0)
            axes.set(
                xscale="log", yscale="log", xlabel=horizontal, ylim=(foot / 1.5, max(ys) * 1.5)
            )
            axes.set_title(title, fontsize=9)
            axes.grid(color=BAND, linewidth=0.5)
            axes.minorticks_off()
            if high < 1000:
                axes.set_xticks(sorted(set(xs)), [f"{x:g}" for x in sorted(set(xs))])
        row[0].set_ylabel(vertical)
        lines = {line.get_label(): line for axes in row for line in axes.get_lines()}
        row[0].figure.legend(
            [lines[name] for name in names],
            names,
            frameon=False,
            ncols=4,
            fontsize=8,
            loc="upper left",
        )

    return draw(7.2, 2.6, paint, columns=len(panels), top=0.9)


def grouped(labels: list[str], series: dict[str, list[float]], axis: str) -> Picture:
    """Draw horizontal bars side by side, a colour for each of the series, the first on top."""

    def paint(axes) -> None:
        height = 0.8 / len(series)
        for i, (name, values) in enumerate(series.items()):
            places = [p - 0.4 + (i + 0.5) * height for p in range(len(labels))]
            axes.barh(places, values, height=height * 0.9, color=COLOURS[i], label=name)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xlabel(axis)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:,g}")
        axes.legend(frameon=False, fontsize=8, loc="lower right")

    return draw(7.2, 0.7 + 0.11 * len(labels) * (len(series) + 0.6), paint)
