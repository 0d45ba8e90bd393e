"""The figure of a run: certified accuracy against radius, with the accuracy under attack beside it."""

from __future__ import annotations

import numpy as np

from sdpcert.report.figure import Axis, Data, Figure, Series
from sdpcert.report.records import Run
from sdpcert.report.rounding import percent_down, percent_up, radius_text

#: Points of a curve at most.
MOST_POINTS = 400
#: The figure ends at this multiple of the largest radius that was asked for.
BEYOND = 1.25


def accuracy(run: Run) -> Figure | None:
    """Certified accuracy by radius, one curve per bound; None if the run has no rows."""
    if not run.rows:
        return None
    evaluation = run.evaluation
    end = BEYOND * max(row.radius for row in run.rows)
    series = [_curve(bound.name, np.asarray(bound.radii), evaluation.samples, end) for bound in evaluation.bounds]
    attacked = {row.radius: row.attacked_accuracy for row in run.rows if row.attacked_accuracy is not None}
    if attacked:
        places = sorted(attacked)
        series.append(Series("under attack", places, [100 * attacked[r] for r in places], "points"))
    rows = tuple(
        (
            radius_text(row.radius),
            row.bound,
            percent_down(row.accuracy),
            "" if row.attacked_accuracy is None else percent_up(row.attacked_accuracy),
        )
        for row in run.rows
    )
    best = max(run.rows, key=lambda row: (row.radius, row.accuracy))
    right = percent_down(evaluation.clean_accuracy)
    return Figure(
        "accuracy",
        "Certified accuracy against radius",
        f"{right} % of the inputs are right; at radius {radius_text(best.radius)} the bound {best.bound} certifies "
        f"{percent_down(best.accuracy)} %.",
        "Share of the test inputs that are classified correctly with a proof that no change of at most this l2 length "
        "alters the class, one curve per bound. Attacks look for such changes: the accuracy under attack is never "
        "below the certified one.",
        Axis("l2 radius", low=0.0, high=end),
        Axis("accuracy", "%", low=0.0, high=100.0),
        tuple(series),
        Data(("radius", "bound", "certified [%]", "under attack [%]"), rows),
    )


def _curve(name: str, radii: np.ndarray, samples: int, end: float) -> Series:
    """The share of the samples whose radius is at least r, as a staircase that is never above it."""
    certified = np.sort(radii[radii > 0])
    inside = np.flatnonzero(certified <= end)
    # Several samples may share a radius; of many steps some are left out, and the lower level counts.
    chosen = inside[:: max(1, -(-len(inside) // MOST_POINTS))]
    levels = [100.0 * (len(certified) - int(np.searchsorted(certified, certified[k]))) / samples for k in chosen]
    levels.append(100.0 * int(np.sum(certified >= end)) / samples)
    x, y = [0.0], [levels[0]]
    for k, level, below in zip(chosen, levels, levels[1:], strict=False):
        x += [float(certified[k])] * 2
        y += [level, below]
    return Series(name, [*x, end], [*y, levels[-1]], "step")
