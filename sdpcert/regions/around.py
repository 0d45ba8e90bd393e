"""The region around a point: a ball, or a box whose ends are rounded outward, cut to a range that no entry leaves."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sdpcert.arithmetic.exact import two_sum
from sdpcert.regions.region import Ball, Box, Region

Array = np.ndarray
Shape = Literal["l2", "linf"]


def region_around(point: Array, radius: float, norm: Shape = "l2", within: tuple[float, float] | None = None) -> Region:
    """All points at most `radius` from `point` (n,), in the l2 norm or the maximum norm, with entries in `within`.

    Raises ValueError if there is none, or if an end of the box leaves the range of float64.
    """
    entry = apart(point, radius, norm, within)
    if entry is not None:
        raise ValueError(f"entry {entry} of the point is farther from within {within} than the radius {radius!r}")
    if norm == "l2":
        return Ball(point, radius, None if within is None else Box(np.array(within[0]), np.array(within[1])))
    low, high = _ends(point, radius)
    if not np.all(np.isfinite(low) & np.isfinite(high)):
        raise ValueError(f"the box of half-width {radius!r} around the point leaves the range of float64")
    if within is not None:
        low, high = np.maximum(low, within[0]), np.minimum(high, within[1])
    return Box(low, high)


def apart(point: Array, radius: float, norm: Shape = "l2", within: tuple[float, float] | None = None) -> int | None:
    """The first entry that alone keeps the region away from `within`, None if there is none.

    Several entries together may keep a ball away from it all the same; `Ball` refuses that.
    """
    if within is None:
        return None
    if norm == "linf":
        low, high = _ends(point, radius)
        misses = np.maximum(low, within[0]) > np.minimum(high, within[1])
        return int(np.argmax(misses)) if np.any(misses) else None
    distances = np.maximum(within[0] - point, point - within[1])
    return int(np.argmax(distances)) if np.max(distances) >= radius else None


def _ends(point: Array, radius: float) -> tuple[Array, Array]:
    with np.errstate(over="ignore", invalid="ignore"):
        low, below = two_sum(point, np.full_like(point, -radius))
        high, above = two_sum(point, np.full_like(point, radius))
        low = np.where(below < 0, np.nextafter(low, -np.inf), low)
        high = np.where(above > 0, np.nextafter(high, np.inf), high)
    return low, high
