"""The largest ball within half-spaces and a region, by linear programs in floating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: A ball with a radius of at least this counts as found, one below as none: relative to the largest one looked for.
SMALLEST_RADIUS = 1e-9
#: Hyperplanes that cut off what is outside of the region's ball.
MOST_CUTS = 30


@dataclass(frozen=True, eq=False)
class LargestBall(ShortRepr):
    """The center and the radius of the ball, or, where there is none, the multipliers of the half-spaces."""

    point: Array | None = None
    radius: float = 0.0
    weights: Array | None = None


def largest_ball(state: State, normals: Array, offsets: Array) -> LargestBall:
    """The largest ball with `normals x + offsets >= 0` (rows of length one in the inputs that move) in the region.

    Its radius is at most one, and at most half the region's least width, so that it exists for every region.
    """
    moving = state.moving
    fixed = np.where(moving, 0.0, np.where(np.isfinite(state.box_low), state.box_low, 0.0))
    low, high = state.box_low[moving], state.box_high[moving]
    reach = min(1.0, float(np.min(high - low, initial=np.inf)) / 2)
    rows, right = [np.column_stack([-normals[:, moving], np.ones(len(normals))])], [offsets + normals @ fixed]
    for sign, ends in ((1.0, high), (-1.0, low)):
        finite = np.isfinite(ends)
        unit = np.eye(len(ends))[finite]
        rows.append(np.column_stack([sign * unit, np.ones(len(unit))]))
        right.append(sign * ends[finite])
    left, ends = np.concatenate(rows), np.concatenate(right)
    bounds = [(None, None)] * len(low) + [(None, reach)]
    cost = np.append(np.zeros(len(low)), -1.0)
    for _ in range(MOST_CUTS):
        found = linprog(cost, A_ub=left, b_ub=ends, bounds=bounds, method="highs-ds")
        if found.status != 0:
            return LargestBall()
        point, radius = found.x[:-1], float(found.x[-1])
        if radius <= SMALLEST_RADIUS * reach:
            return LargestBall(weights=-np.asarray(found.ineqlin.marginals)[: len(normals)])
        cut = _cut(state, point, radius)
        if cut is None:
            fixed[moving] = point
            return LargestBall(fixed, radius)
        left, ends = np.concatenate([left, cut[0][None]]), np.append(ends, cut[1])
    return LargestBall()


def _cut(state: State, point: Array, radius: float) -> tuple[Array, float] | None:
    """A row that a point outside of the region's ball violates, and its right-hand side."""
    region, moving = state.region, state.moving
    if not isinstance(region, Ball):
        return None
    apart = point - region.center[moving]
    rest = float(np.sum(np.square((region.center - state.box_low)[~moving])))
    allowed = float(np.sqrt(max(region.radius**2 - rest, 0.0)))
    distance = float(np.linalg.norm(apart))
    if distance == 0 or distance + radius <= allowed * (1 + 1e-6):
        return None
    direction = apart / distance
    return np.append(direction, 1.0), float(direction @ region.center[moving]) + allowed
