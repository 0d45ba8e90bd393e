"""The point within half-spaces that is nearest to a ball's center, by nonnegative least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Distances from the half-spaces that are tried, relative to the ball's radius.
MARGINS = (0.1, 1e-3, 1e-6)
#: How often ends of the box that a point is beyond join the half-spaces.
ROUNDS = 12


@dataclass(frozen=True, eq=False)
class Multipliers(ShortRepr):
    """Weights of half-spaces whose combination is nowhere positive, or nearly so.

    `faces` is a mask of the inputs at whose ends the combination is largest; it does not move with the others.
    """

    weights: Array
    faces: Array


@dataclass(frozen=True, eq=False)
class InteriorPoint(ShortRepr):
    """An interior point with the radius of a ball around it, or, if there is none, multipliers that may show it."""

    point: Array | None = None
    radius: float = 0.0
    multipliers: tuple[Multipliers, ...] = ()


def point_in_ball(state: State, ball: Ball, normals: Array, offsets: Array) -> InteriorPoint:
    """A point with `normals x + offsets > 0` (rows of length one in the inputs that move) in a ball, within its box."""
    moving = state.moving
    start = np.clip(ball.center, state.box_low, state.box_high)
    rows, right = normals[:, moving], -(offsets + normals @ start)
    low, high = (state.box_low - start)[moving], (state.box_high - start)[moving]
    room = ball.radius - float(np.linalg.norm(start - ball.center))
    least_width = float(np.min(high - low, initial=np.inf))
    for margin in MARGINS:
        apart = margin * min(room, least_width / 2)
        step = _nearest(rows, right + apart, low, high)
        if step is None:
            continue
        point = start.copy()
        point[moving] += step
        left = ball.radius - float(np.linalg.norm(point - ball.center))
        radius = min(left, float(np.min(rows @ step - right, initial=np.inf)))
        if radius > 0:
            return InteriorPoint(point, radius)
    weights = _multipliers(normals[:, moving], offsets + normals @ ball.center)
    return InteriorPoint(multipliers=() if weights is None else (Multipliers(weights, ~moving),))


def _nearest(rows: Array, right: Array, low: Array, high: Array) -> Array | None:
    """The shortest y with `rows y >= right` in the box; None if there is none, or it was not found."""
    unit = np.eye(len(low))
    added: list[tuple[int, float]] = []
    for _ in range(ROUNDS):
        ends = [(sign * unit[k], low[k] if sign > 0 else -high[k]) for k, sign in added]
        every = np.concatenate([rows, *(row[None] for row, _ in ends)])
        step = _least_distance(every, np.append(right, [end for _, end in ends]))[0]
        if step is None:
            return None
        size = 1e-12 * float(np.max(np.abs(step), initial=0.0))
        below, above = np.flatnonzero(step < low - size), np.flatnonzero(step > high + size)
        if not len(below) and not len(above):
            return np.clip(step, low, high)
        added += [(int(k), 1.0) for k in below] + [(int(k), -1.0) for k in above]
    return None


def _multipliers(rows: Array, offsets: Array) -> Array | None:
    """Weights of half-spaces `rows y + offsets >= 0` whose combination is negative on balls that do not reach them."""
    return _least_distance(rows, -offsets)[1]


def _least_distance(rows: Array, right: Array) -> tuple[Array | None, Array | None]:
    """The shortest y with `rows y >= right`, and the multipliers of the rows, by Lawson and Hanson's duality."""
    if not len(rows) or np.all(right <= 0):
        return np.zeros(rows.shape[1]), None
    # Only what the rows span matters.
    basis, small = np.linalg.qr(rows.T)
    matrix = np.vstack([small, right])
    target = np.append(np.zeros(len(small)), 1.0)
    try:
        weights, _ = nnls(matrix, target)
    except RuntimeError:
        return None, None
    residual = matrix @ weights - target
    if residual[-1] > -1e-13:
        return None, weights
    return basis @ (residual[:-1] / -residual[-1]), weights
