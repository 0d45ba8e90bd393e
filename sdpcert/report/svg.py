"""Figures as inline SVG: colours are the page's CSS variables, so that one drawing serves light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from html import escape

from sdpcert.report.figure import Axis, Figure, Series, tick_label, tick_labels, ticks

WIDTH, HEIGHT, TOP, RIGHT, BOTTOM = 480, 300, 12, 16, 54
LEFT, CHARACTER, LONGEST = 66, 8.6, 18
ROW, LOW_ROW, MANY_ROWS = 30, 20, 10
#: A shape and a dash for each series: colour is never the only difference.
DASHES = ("", "7 4", "2 3", "10 3 2 3")
Place = Callable[[float], float]


def svg(figure: Figure) -> str:
    """The drawing, labelled by the title and description inside it; sizes follow the page."""
    left = LEFT
    if figure.categories:
        left = round(14 + CHARACTER * min(max(map(len, figure.categories)), LONGEST))
    rows = len(figure.categories)
    row = ROW if rows <= MANY_ROWS else LOW_ROW
    height = HEIGHT if not rows else TOP + max(rows, 2) * row + BOTTOM
    x = _scale(figure.x, *figure.limits("x"), left, WIDTH - RIGHT)
    y: Place = partial(_middle_of_row, row) if rows else _scale(figure.y, *figure.limits("y"), height - BOTTOM, TOP)
    frame = [f'<line class="axis" x1="{left}" y1="{height - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{height - BOTTOM}"/>']
    frame += _horizontal(figure, x, height, left)
    frame += _categories(figure, y, left) if rows else _vertical(figure, y, left)
    frame += _regions(figure, x, height)
    marks = _bars(figure, x, y) if any(s.mark == "bars" for s in figure.series) else []
    for number, series in enumerate(figure.series):
        if series.mark != "bars":
            marks += _rungs(figure, series, number, x, y, left) if rows else _curve(series, number, x, y, figure)
    key = escape(figure.key)
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{key}-t {key}-d">',
            f'<title id="{key}-t">{escape(figure.title)}</title>',
            f'<desc id="{key}-d">{escape(figure.summary)}</desc>',
            *frame,
            *marks,
            "</svg>",
        ]
    )


def legend(figure: Figure) -> list[tuple[int, str, str]]:
    """Number, mark and name of the series; empty where one series needs no legend."""
    if len(figure.series) < 2:
        return []
    return [(n, s.mark, s.name) for n, s in enumerate(figure.series)]


def swatch(number: int, mark: str) -> str:
    """The sample of a series in a legend."""
    if mark == "bars":
        inner = f'<rect class="f{number % 4}" x="4" y="3" width="20" height="10"/>'
    elif mark in ("points", "rungs"):
        inner = _point(number, 14, 8)
    else:
        inner = f'<line class="s{number % 4}"{_dash(number)} x1="0" y1="8" x2="28" y2="8"/>'
    return f'<svg class="swatch" viewBox="0 0 28 16" aria-hidden="true">{inner}</svg>'


def _middle_of_row(height: float, k: float) -> float:
    return TOP + (k + 0.5) * height


def _scale(axis: Axis, low: float, high: float, start: float, end: float) -> Place:
    if axis.log:
        low, high = math.log10(low), math.log10(high)
        return lambda v: start + (end - start) * (math.log10(v) - low) / (high - low)
    return lambda v: start + (end - start) * (v - low) / (high - low)


def _horizontal(figure: Figure, x: Place, height: int, left: int) -> list[str]:
    base = height - BOTTOM
    drawn = []
    places = ticks(*figure.limits("x"), figure.x.log, 5 if figure.categories else 6)
    for value, text in zip(places, tick_labels(places, figure.x.log), strict=True):
        at = f"{x(value):.1f}"
        drawn.append(f'<line class="grid" x1="{at}" y1="{TOP}" x2="{at}" y2="{base}"/>')
        drawn.append(f'<text x="{at}" y="{base + 18}" text-anchor="middle">{text}</text>')
    middle = (left + WIDTH - RIGHT) / 2
    drawn.append(
        f'<text class="label" x="{middle}" y="{height - 10}" text-anchor="middle">{escape(figure.x.title)}</text>'
    )
    return drawn


def _vertical(figure: Figure, y: Place, left: int) -> list[str]:
    drawn = [f'<line class="axis" x1="{left}" y1="{TOP}" x2="{left}" y2="{HEIGHT - BOTTOM}"/>']
    places = ticks(*figure.limits("y"), figure.y.log)
    for value, text in zip(places, tick_labels(places, figure.y.log), strict=True):
        at = y(value)
        drawn.append(f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        drawn.append(f'<text x="{left - 6}" y="{at + 4.5:.1f}" text-anchor="end">{text}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    drawn.append(
        f'<text class="label" transform="translate(15 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(figure.y.title)}</text>"
    )
    return drawn


def _categories(figure: Figure, y: Place, left: int) -> list[str]:
    return [
        f'<text x="{left - 8}" y="{y(k) + 4.5:.1f}" text-anchor="end">{escape(_fitting(name))}</text>'
        for k, name in enumerate(figure.categories)
    ]


def _fitting(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _regions(figure: Figure, x: Place, height: int) -> list[str]:
    drawn = []
    for k, (start, name) in enumerate(figure.regions):
        end = figure.regions[k + 1][0] if k + 1 < len(figure.regions) else figure.limits("x")[1]
        if k:
            drawn.append(
                f'<line class="border" x1="{x(start):.1f}" y1="{TOP}" x2="{x(start):.1f}" y2="{height - BOTTOM}"/>'
            )
        if x(end) - x(start) > 7.5 * len(name):
            drawn.append(f'<text class="region" x="{x(start) + 5:.1f}" y="{TOP + 12}">{escape(name)}</text>')
    return drawn


def _bars(figure: Figure, x: Place, y: Place) -> list[str]:
    drawn = []
    size = 18 if len(figure.categories) <= MANY_ROWS else 13
    for k in range(len(figure.categories)):
        reached = 0.0
        for number, series in enumerate(figure.series):
            if series.x[k] > 0:
                start, end = x(reached), x(reached + series.x[k])
                drawn.append(
                    f'<rect class="f{number % 4}" x="{start:.1f}" y="{y(k) - size / 2:.1f}" '
                    f'width="{max(end - start, 1):.1f}" height="{size}">'
                    f"<title>{escape(series.name)}: {series.x[k]:.3g}</title></rect>"
                )
            reached += series.x[k]
    return drawn


def _rungs(figure: Figure, series: Series, number: int, x: Place, y: Place, left: int) -> list[str]:
    drawn = []
    for value, k in zip(series.x, series.y, strict=True):
        if value <= 0 and figure.x.log:
            continue
        across, down = x(value), y(k)
        drawn.append(f'<line class="rung" x1="{left}" y1="{down:.1f}" x2="{across:.1f}" y2="{down:.1f}"/>')
        drawn.append(_point(number, across, down))
        text = figure.values[int(k)] if figure.values else tick_label(value)
        side = across > WIDTH - RIGHT - 78
        anchor, shift = ("end", -10) if side else ("start", 10)
        drawn.append(
            f'<text class="value" x="{across + shift:.1f}" y="{down - (7 if side else -4.5):.1f}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )
    return drawn


def _curve(series: Series, number: int, x: Place, y: Place, figure: Figure) -> list[str]:
    points = [
        (x(a), y(b))
        for a, b in zip(series.x, series.y, strict=True)
        if math.isfinite(b) and (b > 0 or not figure.y.log)
    ]
    if series.mark == "points":
        many = len(points) > 60
        return [_point(number, a, b, 2.2 if many else 4) for a, b in points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    drawn = [f'<polyline class="s{number % 4}"{_dash(number)} points="{path}"/>']
    few = len(points) <= 40 and series.mark == "line"
    return drawn + ([_point(number, a, b, 3) for a, b in points] if few else [])


def _dash(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _point(number: int, a: float, b: float, size: float = 5) -> str:
    style, shape = f"f{number % 4}", number % 4
    if shape == 0:
        return f'<circle class="{style}" cx="{a:.1f}" cy="{b:.1f}" r="{size:g}"/>'
    if shape == 1:
        return (
            f'<rect class="{style}" x="{a - size:.1f}" y="{b - size:.1f}" width="{2 * size:g}" height="{2 * size:g}"/>'
        )
    if shape == 2:
        corners = [(a, b - 1.3 * size), (a + 1.2 * size, b + size), (a - 1.2 * size, b + size)]
    else:
        corners = [(a, b - 1.4 * size), (a + 1.4 * size, b), (a, b + 1.4 * size), (a - 1.4 * size, b)]
    return f'<polygon class="{style}" points="{" ".join(f"{p:.1f},{q:.1f}" for p, q in corners)}"/>'
