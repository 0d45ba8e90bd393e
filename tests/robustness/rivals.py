"""A search for an input of a region that has another class: whatever may refute a proved radius.

It looks at random points, most of them at the region's border, at its corners, follows the margins' slopes with and
without regard to their size, and looks along segments, where a least margin at a kink shows.
"""

from __future__ import annotations

import numpy as np

from sdpcert.regions import Ball, Box, Region
from tests.regions.test_soundness_of_regions import moved_into
from tests.robustness.classifiers import Sample

Array = np.ndarray
#: Points of a segment that are looked at.
ON_SEGMENT = 60


def region_of(center: Array, radius: float, norm: str, within: Box | None) -> Region:
    """The region of an entry of a file of radii."""
    if norm == "l2":
        return Ball(center, radius, within)
    low, high = np.nextafter(center - radius, -np.inf), np.nextafter(center + radius, np.inf)
    return Box(low, high) if within is None else Box(np.maximum(low, within.low), np.minimum(high, within.high))


def random_points(random: np.random.Generator, region: Region, inputs: int, count: int) -> Array:
    """Points of a region: inside, at its border, and at its corners."""
    low, high = region.box(inputs)
    shares = random.uniform(-1, 1, (count, inputs))
    third = count // 3
    shares[:third] = np.sign(shares[:third])
    shares[third : 2 * third] = 3 * random.standard_normal((third, inputs))
    return moved_into(region, (low + high) / 2 + (high - low) / 2 * shares)


def nearest_rival(sample: Sample, region: Region, random: np.random.Generator, count: int = 300) -> tuple[float, Array]:
    """The least margin that the search finds in a region, plus what its rounding may be; and the point."""
    inputs = len(sample.center)
    points = random_points(random, region, inputs, count)
    best = _least(sample, points, 12)
    low, high = region.box(inputs)
    for share in (1.0, 1.0, 0.3, 0.1, 0.03, 0.01):
        slopes = _slopes(sample, best, low, high)
        lengths = np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-300)
        size = float(np.linalg.norm(high - low)) / 2
        steps = np.concatenate([-share * size * slopes / lengths, -share * (high - low) / 2 * np.sign(slopes)])
        moved = moved_into(region, np.concatenate([best, best]) + steps)
        onwards = moved_into(region, sample.center + 2 * (moved - sample.center))
        steepest = moved_into(region, sample.center + np.concatenate([3 * size * -slopes / lengths, 10 * steps]))
        best = _least(sample, np.concatenate([best, moved, onwards, steepest]), 12)
    there = np.linspace(0, 1, ON_SEGMENT)[:, None]
    pairs = [best[0] + there * (other - best[0]) for other in (sample.center, *best[1:6])]
    best = _least(sample, np.concatenate([best, *(moved_into(region, p) for p in pairs)]), 1)
    return float(sample.margins(best)[0] + sample.rounding(best)[0]), best[0]


def _least(sample: Sample, points: Array, count: int) -> Array:
    return points[np.argsort(sample.margins(points))[:count]]


def _slopes(sample: Sample, points: Array, low: Array, high: Array) -> Array:
    """Slopes of the margins by differences, (n, inputs)."""
    short = 1e-6 * np.maximum(high - low, 1e-300)
    columns = []
    for k in range(points.shape[1]):
        step = np.zeros(points.shape[1])
        step[k] = short[k]
        columns.append((sample.margins(points + step) - sample.margins(points - step)) / (2 * short[k]))
    return np.stack(columns, axis=1)
