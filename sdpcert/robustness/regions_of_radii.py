"""The inputs within some radius of a point: the region that a radius is about."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sdpcert.arithmetic.exact import two_sum
from sdpcert.regions.region import Ball, Box, Region
from sdpcert.robustness.distances import DISTANCES

Array = np.ndarray
Norm = Literal["l2", "linf"]


def region_of(norm: Norm, center: Array, radius: float, within: Box | None = None) -> Region:
    """All inputs within `radius` > 0 of a point (inputs,) in a norm, and in the box `within`, which holds the point.

    For "linf" the ends are the largest float64 that is not above `center - radius` and the smallest that is not below
    `center + radius`.
    """
    if norm == "l2":
        return Ball(center, radius, within)
    moved = np.full(len(center), -radius)
    low, high = _down(*two_sum(center, moved)), -_down(*two_sum(-center, moved))
    if within is not None:
        ends = within.box(len(center))
        low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
    return Box(low, high)


def distance(norm: Norm, center: Array, point: Array) -> float:
    """How far a point is from the center, in float64."""
    return float(DISTANCES[norm].sizes((point - center)[None])[0])


def _down(rounded: Array, rest: Array) -> Array:
    """The largest float64 that is not above `rounded + rest`, the latter being what rounding to nearest has lost."""
    return np.where(rest < 0, np.nextafter(rounded, -np.inf), rounded)
