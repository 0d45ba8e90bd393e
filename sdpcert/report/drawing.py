"""Figures as files at paper size and as inline SVG of a page, drawn once by matplotlib.

On paper: one column of 8.5 cm, 8 pt, colours that the colour-blind tell apart. On a page: colours are the page's CSS
variables and the letters the page's own, so that one drawing serves light and dark.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from sdpcert.report.figure import Axis, Figure, Series, tick_labels, ticks
from sdpcert.report.pictures import draw_pictures, height_of
from sdpcert.running.choices import FIGURE_FORMATS
from sdpcert.running.outputs import write_whole

NEEDS = "figures need matplotlib: pip install 'sdpcert[report]'"
#: A point is the unit of everything below; paper has 28.3 of them in a centimetre, pages have pixels.
POINT, CENTIMETRE = 1 / 72, 72 / 2.54
#: Width, height without and of a row, and size of letters, by what is drawn on.
PAPER = {
    "width": 8.5 * CENTIMETRE,
    "height": 5.6 * CENTIMETRE,
    "around": 1.9 * CENTIMETRE,
    "row": 0.55 * CENTIMETRE,
    "letters": 8.0,
}
PAGE = {"width": 480.0, "height": 300.0, "around": 84.0, "row": 30.0, "letters": 13.0}
#: More rows than this are lower; longer names of rows are cut.
MANY_ROWS, LONGEST = 10, 18
#: Okabe and Ito's colours that are dark enough on white, with a marker and a dash each.
STYLES = (("#0072b2", "o", "-"), ("#d55e00", "s", "--"), ("#009e73", "^", ":"), ("#cc79a7", "D", "-."))
SHADE = 0.6
TEXT, SOFT, RULE, GRID = "#010101", "#595959", "#999999", "#dddddd"
#: What the colours are called on a page.
VARIABLES = {TEXT: "--text", SOFT: "--soft", RULE: "--rule", GRID: "--grid"} | {
    style[0]: f"--c{k}" for k, style in enumerate(STYLES)
}
RC: dict[Any, Any] = {
    "font.size": PAPER["letters"],
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.labelsize": "medium",
    "xtick.labelsize": "medium",
    "ytick.labelsize": "medium",
    "legend.fontsize": "medium",
    "text.color": TEXT,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "grid.color": GRID,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "grid.linewidth": 0.4,
    "axes.axisbelow": True,
    "svg.hashsalt": "sdpcert",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.dpi": 600,
}
#: A page is read from further away; its letters stay letters.
PAGE_RC = RC | {
    "font.size": PAGE["letters"],
    "axes.labelcolor": SOFT,
    "axes.linewidth": 1,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "grid.linewidth": 1,
    "axes.labelpad": 8,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "svg.fonttype": "none",
    "savefig.transparent": True,
}
#: No dates: the same figure gives the same bytes.
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": "sdpcert", "Producer": None},
    "svg": {"Date": None, "Creator": "sdpcert"},
    "png": {"Software": "sdpcert"},
}


def write_figures(figures: Sequence[Figure], folder: str | os.PathLike[str], kind: str = "pdf") -> list[Path]:
    """Write one file per figure into the folder, which is made if it is missing; returns their paths.

    Raises ValueError for an unknown format, and if matplotlib is not installed or the folder cannot be written.
    """
    if kind not in FIGURE_FORMATS:
        raise ValueError(f"no format {kind!r} of figures; there are {', '.join(FIGURE_FORMATS)}")
    drawn = [_saved(figure, kind, PAPER, RC) for figure in figures]
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {target}: {error.strerror}") from None
    paths = [target / f"{figure.key}.{kind}" for figure in figures]
    for path, data in zip(paths, drawn, strict=True):
        write_whole(path, data)
    return paths


def inline_svg(figure: Figure) -> str:
    """The drawing for a page, with title and description inside; raises ValueError if matplotlib is not installed."""
    drawn = _saved(figure, "svg", PAGE, PAGE_RC).decode("utf-8")
    key = escape(figure.key)
    drawn = re.sub(r"^.*?<svg [^>]*>|<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", drawn, flags=re.S)
    # Names are unique in the page, letters are the page's, and colours are its variables.
    drawn = re.sub(r'\bid="|(?<=url\()#|(?<=href=")#', lambda m: f"{m[0]}{key}-", drawn).replace("xlink:href", "href")
    drawn = re.sub(r"font: [^;\"]*;? ?", "", drawn)
    drawn = re.sub("#[0-9a-f]{6}", lambda m: f"var({VARIABLES[m[0]]})" if m[0] in VARIABLES else m[0], drawn)
    width, height = PAGE["width"], _height(figure, PAGE)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{key}-t {key}-d">\n'
        f'<title id="{key}-t">{escape(figure.title)}</title>\n<desc id="{key}-d">{escape(figure.summary)}</desc>\n'
        f"{drawn.strip()}"
    )


def _height(figure: Figure, size: dict[str, float]) -> float:
    if figure.pictures:
        return height_of(len(figure.pictures), size["width"], size["letters"])
    rows = len(figure.categories)
    return size["around"] + size["row"] * (1 if rows <= MANY_ROWS else 0.7) * max(rows, 2) if rows else size["height"]


def _saved(figure: Figure, kind: str, size: dict[str, float], settings: dict[Any, Any]) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise ValueError(NEEDS) from None
    with mpl.rc_context(settings):
        canvas = Canvas(figsize=(size["width"] * POINT, _height(figure, size) * POINT), layout="constrained")
        FigureCanvasAgg(canvas)
        if figure.pictures:
            draw_pictures(canvas, figure.pictures, RULE, SOFT)
        else:
            _draw(canvas.add_subplot(), figure)
        data = io.BytesIO()
        canvas.savefig(data, format=kind, metadata=METADATA[kind])
    return data.getvalue()


def _draw(axes: Any, figure: Figure) -> None:
    axes.set_xlabel(figure.x.title)
    axes.set_xscale("log" if figure.x.log else "linear")
    axes.set_xlim(*figure.limits("x"))
    axes.grid(visible=True, axis="x" if figure.categories else "both")
    if figure.categories:
        names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in figure.categories]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(figure.categories) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
    else:
        axes.set_ylabel(figure.y.title)
        axes.set_yscale("log" if figure.y.log else "linear")
        axes.set_ylim(*figure.limits("y"))
    _series(axes, figure)
    _regions(axes, figure)
    _plain_ticks(axes.xaxis, figure.x, figure.limits("x"))
    if not figure.categories:
        _plain_ticks(axes.yaxis, figure.y, figure.limits("y"))
    if len(figure.series) > 1:
        axes.figure.legend(
            loc="outside upper left", ncols=3, frameon=False, handlelength=1.6, columnspacing=0.8, handletextpad=0.5
        )


def _series(axes: Any, figure: Figure) -> None:
    from matplotlib import rcParams

    size, border = rcParams["lines.markersize"], rcParams["grid.linewidth"]
    reached = [0.0] * len(figure.categories)
    if figure.shaded:
        upper, lower = figure.series[:2]
        axes.fill_between(list(upper.x), list(upper.y), list(lower.y), color=GRID, linewidth=0, alpha=SHADE)
    for number, series in enumerate(figure.series):
        colour, marker, dash = STYLES[number % len(STYLES)]
        if series.mark == "bars":
            axes.barh(list(series.y), list(series.x), 0.6, left=reached, color=colour, label=series.name)
            reached = [a + b for a, b in zip(reached, series.x, strict=True)]
        elif series.mark == "area":
            axes.fill_between(list(series.x), list(series.y), color=colour, linewidth=0, alpha=SHADE, label=series.name)
        elif series.mark == "rungs":
            axes.hlines(series.y, axes.get_xlim()[0], series.x, color=RULE, linewidth=border)
            axes.plot(series.x, series.y, marker, color=colour, label=series.name, markersize=1.6 * size, clip_on=False)
            _values(axes, figure, series)
        elif series.mark == "points":
            shown = (0.6 if len(series.x) > 60 else 1.3) * size
            axes.plot(series.x, series.y, marker, color=colour, markersize=shown, markeredgewidth=0, clip_on=False)
            axes.plot([], [], marker, color=colour, markersize=1.3 * size, markeredgewidth=0, label=series.name)
        else:
            every = list(series.marked) if series.mark == "step" else list(range(len(series.x)))
            shown = marker if 0 < len(every) <= 40 else ""
            axes.plot(
                series.x, series.y, dash, marker=shown, markevery=every, color=colour, label=series.name, clip_on=False
            )


def _regions(axes: Any, figure: Figure) -> None:
    """A border where another layer begins, and the layer's name if there is room for it."""
    from matplotlib import rcParams

    ends = [start for start, _ in figure.regions[1:]] + [figure.limits("x")[1]]
    for number, ((start, name), end) in enumerate(zip(figure.regions, ends, strict=False)):
        if number:
            axes.axvline(start, color=RULE, linewidth=rcParams["grid.linewidth"], linestyle=":")
        place = axes.annotate(
            name,
            (start, 1),
            (3, -1),
            color=SOFT,
            xycoords=axes.get_xaxis_transform(),
            va="top",
            textcoords="offset points",
        )
        room = (end - start) / (figure.limits("x")[1] - figure.limits("x")[0]) * axes.bbox.width
        place.set_visible(place.get_window_extent().width + 3 < room)


def _values(axes: Any, figure: Figure, series: Series) -> None:
    for value, k in zip(series.x, series.y, strict=True):
        right = axes.transAxes.inverted().transform(axes.transData.transform((value, k)))[0] > 0.7
        axes.annotate(
            figure.values[int(k)],
            (value, k),
            (-0.6, 0.5) if right else (0.8, -0.35),
            textcoords="offset fontsize",
            ha="right" if right else "left",
            va="baseline",
        )


def _plain_ticks(axis: Any, described: Axis, limits: tuple[float, float]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    places = [place for place in ticks(*limits, described.log) if not described.whole or place == round(place)]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter(tick_labels(places, described.log)))
    axis.set_minor_locator(NullLocator())
