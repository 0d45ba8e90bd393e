"""The largest ball within half-spaces and a region, by linear programs in floating point."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from sdpcert.regions.nearest_point import InteriorPoint, Multipliers, point_in_ball
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State

Array = np.ndarray
#: A ball with a radius of at least this counts as found, one below as none: relative to the largest one looked for.
SMALLEST_RADIUS = 1e-9
#: Where the region has no end, points are sought no farther away than so often the distances of the half-spaces, or
#: one: farther away there are also points of cones that rounding alone has opened.
FAR = 1e6
#: Multipliers of ends of the box that are this small beside the largest multiplier count as zero.
SUPPORT = 1e-9


def largest_ball(state: State, normals: Array, offsets: Array) -> InteriorPoint:
    """The largest ball with `normals x + offsets >= 0` (rows of length one in the inputs that move) in the region.

    Its radius is at most one, and at most half the region's least width, so that it exists for every region. In a ball
    some point is found instead, not that of the largest one.
    """
    if not isinstance(state.region, Ball):
        return _in_box(state, normals, offsets)
    found = point_in_ball(state, state.region, normals, offsets)
    if found.point is not None:
        return found
    return InteriorPoint(multipliers=(*found.multipliers, *_in_box(state, normals, offsets).multipliers))


def _in_box(state: State, normals: Array, offsets: Array) -> InteriorPoint:
    """The largest ball in the box of a piece."""
    moving = state.moving
    fixed = np.where(moving, 0.0, np.where(np.isfinite(state.box_low), state.box_low, 0.0))
    rows, right = normals[:, moving], offsets + normals @ fixed
    low, high = state.box_low[moving], state.box_high[moving]
    finite = np.isfinite(low) & np.isfinite(high)
    # Coordinates in which the box is about one wide: the program knows absolute tolerances alone.
    far = FAR * max(1.0, float(np.max(np.abs(right), initial=0.0)))
    low, high = np.where(finite, low, -far), np.where(finite, high, far)
    half = (high - low) / 2
    middle = low + half
    scale = float(np.max(half[finite], initial=0.0)) or 1.0
    reach = min(1.0, float(np.min(half, initial=np.inf)))
    right = right + rows @ middle
    unit = np.eye(len(half))
    left = np.column_stack([np.concatenate([-rows, unit, -unit]), np.ones(len(rows) + 2 * len(half))])
    ends = np.concatenate([right, half, half]) / scale
    bounds = [(None, None)] * len(half) + [(None, reach / scale)]
    found = linprog(np.append(np.zeros(len(half)), -1.0), A_ub=left, b_ub=ends, bounds=bounds, method="highs-ds")
    if found.status != 0:
        return InteriorPoint()
    step = scale * found.x[:-1]
    inside = float(np.min(half - np.abs(step), initial=np.inf))
    radius = min(reach, inside, float(np.min(rows @ step + right, initial=np.inf)))
    if radius <= SMALLEST_RADIUS * reach:
        marginals = -np.asarray(found.ineqlin.marginals)
        beyond = marginals[len(rows) :].reshape(2, -1).max(axis=0) > SUPPORT * np.max(marginals)
        faces = np.zeros(len(moving), dtype=bool)
        faces[moving] = beyond & finite
        return InteriorPoint(multipliers=(Multipliers(marginals[: len(rows)], faces),))
    fixed[moving] = middle + step
    return InteriorPoint(fixed, radius)
