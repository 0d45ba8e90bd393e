"""Figures alone, at paper size: one column of 8.5 cm, 8 pt, colours that the colour-blind tell apart."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdpcert.report.figure import Figure
from sdpcert.running.outputs import write_whole

NEEDS = "figures need matplotlib: pip install 'sdpcert[report]'"
FORMATS = ("pdf", "svg", "png")
CENTIMETRE = 1 / 2.54
WIDTH = 8.5 * CENTIMETRE
#: Okabe and Ito's colours that are dark enough on white, with a marker and a dash each.
STYLES = (("#0072b2", "o", "-"), ("#d55e00", "s", "--"), ("#009e73", "^", ":"), ("#cc79a7", "D", "-."))
RC: dict[Any, Any] = {
    "font.size": 8,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "svg.hashsalt": "sdpcert",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.dpi": 600,
}
#: No dates: the same figure gives the same bytes.
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": "sdpcert", "Producer": None},
    "svg": {"Date": None, "Creator": "sdpcert"},
    "png": {"Software": "sdpcert"},
}


def write_figures(figures: Sequence[Figure], folder: str | os.PathLike[str], kind: str = "pdf") -> list[Path]:
    """Write one file a figure into the folder, which is made where it is missing; returns their paths.

    Raises ValueError for an unknown format, where matplotlib is not installed, or where the folder cannot be written.
    """
    if kind not in FORMATS:
        raise ValueError(f"no format {kind!r} of figures; there are {', '.join(FORMATS)}")
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise ValueError(NEEDS) from None
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {target}: {error.strerror}") from None
    written = []
    with mpl.rc_context(RC):
        for figure in figures:
            rows = len(figure.categories)
            height = (1.9 + (0.55 if rows <= 10 else 0.4) * max(rows, 2)) * CENTIMETRE if rows else 5.6 * CENTIMETRE
            canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
            FigureCanvasAgg(canvas)
            _draw(canvas.add_subplot(), figure)
            path = target / f"{figure.key}.{kind}"
            data = io.BytesIO()
            canvas.savefig(data, format=kind, metadata=METADATA[kind])
            write_whole(path, data.getvalue())
            written.append(path)
    return written


def _draw(axes: Any, figure: Figure) -> None:
    axes.set_xlabel(figure.x.title)
    axes.set_xscale("log" if figure.x.log else "linear")
    axes.set_xlim(*figure.limits("x"))
    axes.grid(visible=True, axis="x" if figure.categories else "both")
    if figure.categories:
        axes.set_yticks(range(len(figure.categories)), figure.categories)
        axes.set_ylim(len(figure.categories) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
    else:
        axes.set_ylabel(figure.y.title)
        axes.set_yscale("log" if figure.y.log else "linear")
        axes.set_ylim(*figure.limits("y"))
    reached = [0.0] * len(figure.categories)
    for number, series in enumerate(figure.series):
        colour, marker, dash = STYLES[number % len(STYLES)]
        if series.mark == "bars":
            axes.barh(list(series.y), list(series.x), 0.6, left=reached, color=colour, label=series.name)
            reached = [a + b for a, b in zip(reached, series.x, strict=True)]
        elif series.mark == "rungs":
            axes.plot(series.x, series.y, marker, color=colour, label=series.name, markersize=5)
            _values(axes, figure, series)
        elif series.mark == "points":
            size = 1.5 if len(series.x) > 60 else 3
            axes.plot(series.x, series.y, marker, color=colour, label=series.name, markersize=size, markeredgewidth=0)
        else:
            shown = marker if len(series.x) <= 40 and series.mark == "line" else ""
            axes.plot(series.x, series.y, dash, marker=shown, color=colour, label=series.name)
    for start, _ in figure.regions[1:]:
        axes.axvline(start, color="#999999", linewidth=0.5, linestyle=":")
    _plain_ticks(axes, figure)
    if len(figure.series) > 1:
        axes.figure.legend(
            loc="outside upper left", ncols=3, frameon=False, handlelength=1.6, columnspacing=0.8, handletextpad=0.3
        )


def _values(axes: Any, figure: Figure, series: Any) -> None:
    for value, k in zip(series.x, series.y, strict=True):
        right = axes.transAxes.inverted().transform(axes.transData.transform((value, k)))[0] > 0.7
        place = (-5, 3) if right else (5, -2.5)
        axes.annotate(
            figure.values[int(k)],
            (value, k),
            place,
            textcoords="offset points",
            ha="right" if right else "left",
            va="baseline",
        )


def _plain_ticks(axes: Any, figure: Figure) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    from sdpcert.report.figure import tick_labels, ticks

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        described = figure.x if name == "x" else figure.y
        if (name == "y" and figure.categories) or not described.log:
            continue
        places = ticks(*figure.limits(name), True, 5)
        axis.set_major_locator(FixedLocator(places))
        axis.set_major_formatter(FixedFormatter(tick_labels(places, True)))
        axis.set_minor_locator(NullLocator())
