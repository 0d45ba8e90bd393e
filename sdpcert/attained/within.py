"""The search within a region: a ball, a box, or a ball cut by a box, seen from one of its own points.

All coordinates are relative to that point, so that a tiny region far from the origin loses no digits, and inputs that
the region fixes are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.exact import two_sum
from sdpcert.attained.derivatives import typical_size
from sdpcert.attained.domain import Domain
from sdpcert.attained.maps import AtNeurons, SearchedMap, norms, unit
from sdpcert.regions.region import Region

Array = np.ndarray
#: Halvings that find the nearest point of a ball that is cut by a box.
HALVINGS = 30
#: Random points by which the spread of preactivations is estimated.
SAMPLES = 32
#: Points stay away from the sphere by this part of the radius, for rounding.
MARGIN = 2.0**-48
#: Half the width of a box, at least: squares of it do not underflow.
LEAST_WIDTH = 1e-140


@dataclass(frozen=True, eq=False)
class Place:
    """A region as the search sees it: `anchor` is a point of it, `moving` a mask of the inputs that it does not fix.

    `low`, `high` and `center` are relative to the anchor, for the inputs that move; the box is infinite where the ball
    alone ends the region, and `radius` where there is no ball.
    """

    anchor: Array
    moving: Array
    low: Array
    high: Array
    center: Array
    radius: float

    @staticmethod
    def of(region: Region, inputs: int) -> Place:
        """The place of a bounded region; raises ValueError if it has another number of inputs."""
        low, high = region.box(inputs)
        sphere = region.sphere(inputs)
        moving = low < high
        if sphere is None:
            anchor = np.clip(0.5 * low + 0.5 * high, low, high)
            return Place(anchor, moving, (low - anchor)[moving], (high - anchor)[moving], 0.0 * anchor[moving], np.inf)
        center, radius = sphere
        # the ends of the ball itself are no box
        below = np.where(low > np.nextafter(center - radius, -np.inf), low, -np.inf)
        above = np.where(high < np.nextafter(center + radius, np.inf), high, np.inf)
        anchor = np.clip(center, low, high)
        if np.any(np.isfinite([below, above])):
            anchor = _deeper(region, anchor, 0.5 * low + 0.5 * high - anchor, anchor - center, radius)
        below, above = below - anchor, above - anchor
        missing = float(norms((anchor - center)[~moving][None])[0]) if not np.all(moving) else 0.0
        rest = radius * np.sqrt(max(1 - (missing / radius) ** 2, 0.0))
        return Place(anchor, moving, below[moving], above[moving], (center - anchor)[moving], rest)

    @property
    def round(self) -> bool:
        """Whether it is a ball around the anchor, so that the search may leave out what the network does not read."""
        ends = np.isfinite(self.low) | np.isfinite(self.high)
        return bool(self.radius < np.inf and np.all(self.moving) and not np.any(ends))

    @property
    def _inner_radius(self) -> float:
        """The radius without what rounding towards the anchor may add to the distance from the center."""
        if not np.any(self.center):
            return self.radius
        away = float(norms(self.center[None])[0])
        rounded = float(norms(np.spacing(np.abs(self.anchor) + self.radius)[None])[0])
        return max(self.radius - rounded, 0.5 * self.radius + 0.5 * min(away, self.radius))

    def domain(self, searched: LocalMap) -> Within:
        """The domain in the coordinates of a map."""
        if searched.inputs == len(self.low):
            return Within(self.low, self.high, self.center, self._inner_radius)
        ends = np.full(searched.inputs, np.inf)
        return Within(-ends, ends, np.zeros(searched.inputs), self.radius)


def _deeper(region: Region, anchor: Array, inward: Array, offset: Array, radius: float) -> Array:
    """A point of the region half way to where it ends on the way from a point of it, or that point itself.

    `inward` leads from the point to the middle of the region's box, `offset` from the center of its ball.
    """
    length = float(norms(inward[None])[0])
    if not length > 0:
        return anchor
    along = float(offset @ (inward / length))
    across = float(norms((offset - along * (inward / length))[None])[0])
    to_sphere = np.sqrt(max(radius - across, 0.0)) * np.sqrt(radius + across) - along
    deeper = anchor + 0.5 * min(1.0, to_sphere / length) * inward
    return deeper if region.contains(deeper) else anchor


class LocalMap(SearchedMap):
    """A map in coordinates relative to the anchor of a place; inputs that are fixed there are left out."""

    def __init__(self, whole: SearchedMap, place: Place) -> None:
        self.whole, self.anchor = whole, place.anchor
        self.origin = whole.coordinates(place.anchor)
        self.moving = place.moving if whole.inputs == whole.all_inputs else np.ones(whole.inputs, dtype=bool)
        self.inputs, self.all_inputs = int(np.sum(self.moving)), whole.all_inputs
        self.outputs, self.size, self.groups = whole.outputs, whole.size, whole.groups
        self.cost, self.overhead = whole.cost, whole.overhead

    def sweep(self, rows: Array, count: int, at_neurons: AtNeurons) -> Array:
        whole = self._whole(rows)
        whole[:count] += self.origin
        return self.whole.sweep(whole, count, at_neurons)

    def back(self, rows: Array, at_neurons: AtNeurons) -> Array:
        return self.whole.back(rows, at_neurons)[:, self.moving]

    def _whole(self, rows: Array) -> Array:
        whole = np.zeros((len(rows), self.whole.inputs))
        whole[:, self.moving] = rows
        return whole

    def lift(self, rows: Array) -> Array:
        """The inputs that rows stand for, every entry rounded towards the anchor's."""
        points, lost = two_sum(self.anchor, self.whole.lift(self._whole(rows)))
        beyond = lost * (points - self.anchor) < 0
        return np.where(beyond, np.nextafter(points, self.anchor), points)

    def coordinates(self, point: Array) -> Array:
        return self.moves(point - self.anchor)

    def moves(self, direction: Array) -> Array:
        return self.whole.coordinates(direction)[self.moving]


class Within(Domain):
    """The points of a ball and of a box that has the origin in it; either may be infinite, not both."""

    bounded = True
    far = (-2.0, 0.5)
    patience = 8
    switching = 6.0

    def __init__(self, low: Array, high: Array, center: Array, radius: float) -> None:
        self.low, self.high, self.center = low, high, center
        self.radius = radius * (1 - MARGIN)
        self.boxed = bool(np.any(np.isfinite(low)) or np.any(np.isfinite(high)))
        first, last = np.maximum(low, center - radius), np.minimum(high, center + radius)
        #: The middle and half the width of the box around the set.
        self.middle, self.half = 0.5 * first + 0.5 * last, np.maximum(0.5 * last - 0.5 * first, LEAST_WIDTH)
        self.reach = min(radius, float(norms(self.half[None])[0]))

    def start(self, generator: np.random.Generator, inputs: int, distances: Array) -> Array:
        return self.project(unit(generator.standard_normal((len(distances), inputs)) * self.half) * distances[:, None])

    def project(self, points: Array) -> Array:
        if not self.radius < np.inf:
            return np.clip(points, self.low, self.high)
        if not self.boxed:
            return self.center + (points - self.center) * self._scales(points)
        return self._cut(points)

    def _scales(self, points: Array) -> Array:
        """By which the distance from the center has to be multiplied to be in the ball, a column."""
        lengths = norms(points - self.center)
        return np.minimum(1.0, self.radius / np.maximum(lengths, np.finfo(float).tiny))[:, None]

    def _cut(self, points: Array) -> Array:
        """The nearest points of both: on the way to the center, clipped, where the clipped point meets the sphere."""
        nearest = np.clip(points, self.low, self.high)
        out = norms(nearest - self.center) > self.radius
        if not np.any(out):
            return nearest
        steps = points[out] - self.center
        inside, outside = np.zeros((len(steps), 1)), np.ones((len(steps), 1))
        for _ in range(HALVINGS):
            between = 0.5 * (inside + outside)
            ends = np.clip(self.center + between * steps, self.low, self.high)
            fits = (norms(ends - self.center) <= self.radius)[:, None]
            inside, outside = np.where(fits, between, inside), np.where(fits, outside, between)
        nearest[out] = np.clip(self.center + inside * steps, self.low, self.high)
        return nearest

    def size(self, searched: SearchedMap) -> float:
        return min(typical_size(searched), self.reach)

    def lengths(self, points: Array, size: float) -> Array:
        return np.minimum(np.maximum(norms(points), size), self.reach)

    def spreads(self, searched: SearchedMap) -> list[Array]:
        generator = np.random.default_rng(0)
        points = self.start(generator, searched.inputs, np.full(SAMPLES, self.size(searched)))
        points[0] = 0.0
        found: list[Array] = []

        def at_neurons(group: int, rows: Array) -> Array:
            moved = np.sqrt(np.mean(np.square(rows[1:] - rows[:1]), axis=0))
            found.append(moved * np.sqrt(searched.inputs) + 2.0**-40 * (np.abs(rows[0]) + np.max(np.abs(rows[0]))))
            return searched.groups[group](rows)

        searched.sweep(points, len(points), at_neurons)
        return [np.where(spread > 0, spread, 1.0) for spread in found]

    def reaches(self, points: Array, values: Array, gradients: Array) -> Array:
        middle = values + ((self.middle - points)[:, None] @ gradients)[:, 0]
        apart = np.abs(middle) > self.half @ np.abs(gradients)
        if self.radius < np.inf:
            at_center = values + ((self.center - points)[:, None] @ gradients)[:, 0]
            steepness = norms(gradients.transpose(0, 2, 1).reshape(-1, gradients.shape[1])).reshape(values.shape)
            apart |= np.abs(at_center) > self.radius * steepness
        return ~apart

    def centring(self, points: Array) -> tuple[Array, Array]:
        return 1.0 / np.square(self.half), self.middle - points

    def chords(self, points: Array, directions: Array) -> tuple[Array, Array]:
        least, most = np.full(len(points), -np.inf), np.full(len(points), np.inf)
        if self.radius < np.inf:
            offset = points - self.center
            along = np.einsum("ij,ij->i", offset, directions)
            across = norms(offset - along[:, None] * directions)
            half = np.sqrt(np.maximum(self.radius - across, 0.0)) * np.sqrt(self.radius + across)
            least, most = -along - half, -along + half
        if self.boxed:
            with np.errstate(all="ignore"):
                ends = np.stack([(end - points) / directions for end in (self.low, self.high)])
            moved = directions != 0
            least = np.maximum(least, np.max(np.where(moved, ends.min(axis=0), -np.inf), axis=1))
            most = np.minimum(most, np.min(np.where(moved, ends.max(axis=0), np.inf), axis=1))
        return least, np.maximum(least, most)
