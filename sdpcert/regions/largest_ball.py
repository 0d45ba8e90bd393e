"""The largest ball within half-spaces and a region, in floating point.

In a ball only directions of the half-spaces matter: the nearest point to its center is a least-distance problem in
their span (Lawson and Hanson, Solving Least Squares Problems, chapter 23). Elsewhere it is a linear program, with cuts
where a ball is within a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, nnls

from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: A ball with a radius of at least this counts as found, one below as none: relative to the largest one looked for.
SMALLEST_RADIUS = 1e-9
#: Hyperplanes that cut off what is outside of the region's ball.
MOST_CUTS = 30
#: Bisections of the radius.
HALVINGS = 25
#: A residual of a least-distance problem below which there is no point.
NO_POINT = 1e-10
#: How far a point on the box's boundary is moved to its middle, as a share of the way.
INWARD = 1e-6


@dataclass(frozen=True, eq=False)
class LargestBall(ShortRepr):
    """The center and the radius of the ball, or, where there is none, the multipliers of the half-spaces."""

    point: Array | None = None
    radius: float = 0.0
    weights: Array | None = None


def largest_ball(state: State, normals: Array, offsets: Array) -> LargestBall:
    """The largest ball with `normals x + offsets >= 0` (rows of length one in the inputs that move) in the region.

    Its radius is at most one, and at most half the region's least width, so that it exists for every region. In a box
    only the half-spaces are kept at that distance.
    """
    if isinstance(state.region, Ball) and state.region.within is None:
        return _within_ball(normals, offsets, state.region.center, state.region.radius)
    moving = state.moving
    fixed = np.where(moving, 0.0, np.where(np.isfinite(state.box_low), state.box_low, 0.0))
    low, high = state.box_low[moving], state.box_high[moving]
    reach = min(1.0, float(np.min(high - low, initial=np.inf)) / 2)
    left, ends = np.column_stack([-normals[:, moving], np.ones(len(normals))]), offsets + normals @ fixed
    bounds = np.column_stack([np.append(low, -np.inf), np.append(high, reach)])
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
            middle = np.where(np.isfinite(low) & np.isfinite(high), (low + high) / 2, point)
            fixed[moving] = point + INWARD * (middle - point)
            return LargestBall(fixed, radius)
        left, ends = np.concatenate([left, cut[0][None]]), np.append(ends, cut[1])
    return LargestBall()


def _within_ball(normals: Array, offsets: Array, center: Array, radius: float) -> LargestBall:
    """The largest ball within half-spaces and a ball."""
    if not len(normals):
        return LargestBall(center.copy(), min(1.0, radius))
    basis, factor = np.linalg.qr(normals.T)
    room = (offsets + normals @ center) / radius

    def nearest(distance: float) -> tuple[Array | None, Array]:
        """The point of the span nearest to the center that keeps `distance` from the half-spaces, in units of the
        radius; None if there is none. And the multipliers of the half-spaces.
        """
        wanted = distance - room
        system = np.concatenate([factor, wanted[None]])
        weights, residual = nnls(system, np.append(np.zeros(len(factor)), 1.0))
        if residual < NO_POINT:
            return None, weights
        rest = system @ weights
        rest[-1] -= 1.0
        return -rest[:-1] / rest[-1], weights

    def fits(distance: float) -> Array | None:
        point, _ = nearest(distance)
        return None if point is None or np.linalg.norm(point) + distance > 1 else point

    if fits(SMALLEST_RADIUS) is None:
        return LargestBall(weights=nearest(SMALLEST_RADIUS)[1])
    least, most = SMALLEST_RADIUS, min(1.0, 1.0 / radius)
    for _ in range(HALVINGS):
        middle = (least * most) ** 0.5 if least < 1e-3 * most else (least + most) / 2
        least, most = (least, middle) if fits(middle) is None else (middle, most)
    point = fits(least)
    assert point is not None
    return LargestBall(center + radius * (basis @ point), least * radius)


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
