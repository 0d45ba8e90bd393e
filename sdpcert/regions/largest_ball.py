"""The largest ball within half-spaces and a region, by linear programs in floating point."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from sdpcert.regions.nearest_point import InteriorPoint, point_in_ball
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State

Array = np.ndarray
#: A ball with a radius of at least this counts as found, one below as none: relative to the largest one looked for.
SMALLEST_RADIUS = 1e-9


def largest_ball(state: State, normals: Array, offsets: Array) -> InteriorPoint:
    """The largest ball with `normals x + offsets >= 0` (rows of length one in the inputs that move) in the region.

    Its radius is at most one, and at most half the region's least width, so that it exists for every region. In a ball
    some point is found instead, not that of the largest one.
    """
    if isinstance(state.region, Ball):
        return point_in_ball(state, state.region, normals, offsets)
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
    found = linprog(cost, A_ub=left, b_ub=ends, bounds=bounds, method="highs-ds")
    if found.status != 0:
        return InteriorPoint()
    point, radius = found.x[:-1], float(found.x[-1])
    if radius <= SMALLEST_RADIUS * reach:
        return InteriorPoint(weights=-np.asarray(found.ineqlin.marginals)[: len(normals)])
    fixed[moving] = point
    return InteriorPoint(fixed, radius)
