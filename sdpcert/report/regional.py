"""The figures of bounds on regions: bound and attained value against the radius, and as a branch and bound goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sdpcert.report.figure import Axis, Data, Figure, Series
from sdpcert.report.rounding import radius_text, rounded_down, rounded_up, seconds

#: Ratios of the largest to the least value from which an axis is logarithmic.
FAR_APART, FAR_RADII, FAR_IN_TIME = 8.0, 20.0, 100.0
#: Lines of a history that a figure and its table show at most; more are thinned out evenly.
MOST_LINES = 400


@dataclass(frozen=True)
class Local:
    """What one certificate proves around a point: radius, bound, attained value, pieces (None: not stated), file."""

    radius: float
    upper: float
    lower: float
    pieces: int | None = None
    file: str = ""


@dataclass(frozen=True)
class Moment:
    """A line of a branch and bound's log: what was proved and attained by then, open pieces, pieces looked at."""

    seconds: float
    upper: float
    lower: float
    open: int
    nodes: int


def against_radius(points: Sequence[Local], shape: str, overall: float | None = None) -> Figure:
    """Bound and attained value by the radius of regions around one point, each inside of the next larger one.

    `shape` says what the radius is one of ("ball", "box"), `overall` is a bound for all inputs.
    """
    points = sorted(points, key=lambda p: (p.radius, p.upper))
    radii = sorted({p.radius for p in points})
    # The constant grows with the region, so a bound holds for smaller radii, and what is attained for larger ones.
    upper = [min(p.upper for p in points if p.radius >= r) for r in radii]
    lower = [max(p.lower for p in points if p.radius <= r) for r in radii]
    series = [
        _stairs("proved upper bound", radii, upper, [*upper[1:], upper[-1]], marked="before"),
        _stairs("attained", radii, [lower[0], *lower[:-1]], lower, marked="after"),
    ]
    values = [*upper, *(value for value in lower if value > 0)]
    far = radii[-1] > FAR_RADII * radii[0]
    if overall is not None:
        series.append(Series("for all inputs", [radii[0] if far else 0.0, radii[-1]], [overall] * 2, "step"))
        values.append(overall)
    what = "radius" if shape == "ball" else "half-width"
    return Figure(
        "local",
        f"Local bounds against the {what}",
        f"The proved bound is {rounded_up(upper[0], 5)} at {what} {radii[0]:.4g} and {rounded_up(upper[-1], 5)} at "
        f"{what} {radii[-1]:.4g}, where {rounded_down(lower[-1], 5)} is attained.",
        f"Lipschitz constants on regions around one point (each a {shape}), l2 to l2, by their {what}. "
        "The constant grows with the region: a proved bound holds for every smaller region too, what is attained for "
        "every larger one, and the constant lies in the shaded area.",
        Axis(f"{what} of the {shape}", log=far, low=None if far else 0.0),
        Axis("Lipschitz constant", log=lower[0] > 0 and _far(values, FAR_APART)),
        tuple(series),
        Data(
            (what, "upper", "attained", "upper / attained", "pieces", "file"),
            tuple(
                (
                    radius_text(p.radius),
                    rounded_up(p.upper, 7),
                    rounded_down(p.lower, 7),
                    rounded_up(p.upper / p.lower * (1 + 1e-15), 4) if p.lower > 0 else "",
                    "" if p.pieces is None else str(p.pieces),
                    p.file,
                )
                for p in points
            ),
        ),
        shaded=True,
    )


def branch_and_bound(history: Sequence[Moment], times: bool = True) -> Figure | None:
    """Bound and attained value as the search went on, against time or, without `times`, the pieces looked at.

    None for a history of fewer than two moments.
    """
    shown = _thinned(history)
    if len(shown) < 2:
        return None
    places = [m.seconds if times else float(m.nodes) for m in shown]
    upper, lower = ([getattr(m, name) for m in shown] for name in ("upper", "lower"))
    far = _far(places, FAR_IN_TIME)
    series = [
        _stairs("upper bound", places, [upper[0], *upper[:-1]], upper),
        _stairs("attained", places, [lower[0], *lower[:-1]], lower),
    ]
    first, last = shown[0], shown[-1]
    ended = f"after {seconds(last.seconds)} and {last.nodes} pieces" if times else f"after {last.nodes} pieces"
    headers = ("pieces looked at", "upper", "attained", "gap", "open")
    rows = [
        (
            str(m.nodes),
            rounded_up(m.upper, 8),
            rounded_down(m.lower, 8),
            rounded_up(max(m.upper - m.lower, 0.0) / m.upper, 2),
            str(m.open),
        )
        for m in shown
    ]
    if times:
        headers, rows = ("time", *headers), [(seconds(m.seconds), *row) for m, row in zip(shown, rows, strict=True)]
    return Figure(
        "branching",
        "Branch and bound",
        f"The bound falls from {rounded_up(first.upper, 5)} to {rounded_up(last.upper, 5)} {ended}; "
        f"{rounded_down(last.lower, 5)} is attained, and {last.open} pieces are open.",
        "The largest bound of all pieces and the best attained value as the search went on, as stated by the run; what "
        "is proved is the last bound. The constant lies in the shaded area.",
        Axis("time", "s", log=far) if times else Axis("pieces looked at", log=far),
        Axis("Lipschitz constant", log=min(lower) > 0 and _far([*upper, *lower], FAR_APART)),
        tuple(series),
        Data(headers, tuple(rows)),
        shaded=True,
    )


def branching_gap(history: Sequence[Moment], times: bool = True) -> Figure | None:
    """The relative difference of bound and attained value as the search went on; None if it is never shown falling."""
    shown = [m for m in _thinned(history) if m.upper > m.lower]
    places = [m.seconds if times else float(m.nodes) for m in shown]
    gaps = [(m.upper - m.lower) / m.upper for m in shown]
    if len(set(gaps)) < 2:
        return None
    what = "time" if times else "pieces looked at"
    return Figure(
        "branching-gap",
        "Gap of the branch and bound",
        f"The relative gap falls from {gaps[0]:.1g} to {gaps[-1]:.1g}.",
        "(upper − attained) / upper as the search went on, as stated by the run.",
        Axis(what, "s" if times else "", log=_far(places, FAR_IN_TIME)),
        Axis("relative gap", log=True),
        (_stairs("gap", places, [gaps[0], *gaps[:-1]], gaps),),
        Data((what, "gap"), tuple((_place(m, times), f"{gap:.2e}") for m, gap in zip(shown, gaps, strict=True))),
    )


def _thinned(history: Sequence[Moment]) -> list[Moment]:
    """The moments with a bound, at most about `MOST_LINES` of them, the last among them."""
    shown = [m for m in history if math.isfinite(m.upper) and m.upper > 0]
    return [*shown[: -1 : max(1, math.ceil(len(shown) / MOST_LINES))], *shown[-1:]]


def _place(moment: Moment, times: bool) -> str:
    return seconds(moment.seconds) if times else str(moment.nodes)


def _stairs(
    name: str, places: Sequence[float], before: Sequence[float], after: Sequence[float], marked: str = ""
) -> Series:
    """A step at every place from the value before it to the one after it, one of which may be marked."""
    x = [place for place in places for _ in range(2)]
    y = [value for pair in zip(before, after, strict=True) for value in pair]
    return Series(name, x, y, "step", tuple(range({"before": 0, "after": 1}[marked], len(x), 2)) if marked else ())


def _far(values: Sequence[float], ratio: float) -> bool:
    return max(values) > ratio * min(values) > 0
