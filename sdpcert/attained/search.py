"""The search for a point and a direction in which a network stretches most.

Rounds of three steps: batches of points climb the norm of the Jacobian while the intervals over which slopes are
averaged shrink (`averaged_gradients`); the best of them switch neurons one by one while that helps (`switch`); the next
round starts from these, shaken, and from new points. The search ends when rounds bring nothing more, or when its
operations are spent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.attained.derivatives import averaged_gradients, stretch
from sdpcert.attained.domain import Domain
from sdpcert.attained.flips import CANDIDATES, ITERATIONS, TRIED, switch
from sdpcert.attained.maps import CALL, SearchedMap, norms, unit
from sdpcert.attained.work import Work

Array = np.ndarray
#: Half an interval of averaging at the end of a climb, relative to a typical preactivation.
NARROW = 0.02
#: A round that raises the best value by less, relatively, counts as none.
GROWTH = 1e-4
#: The first round takes one part in so many of what may be spent.
ROUNDS = 8
#: Bounds of the steps of a climb.
LEAST_STEPS, MOST_STEPS = 12, 60
#: A round has no fewer points than this part of what the calls of NumPy alone would pay for, and no more than these,
#: whatever may be spent: what they would pay for within the first, or else the second.
LESS = 4
MOST_POINTS, ENOUGH_POINTS = 256, 16
#: Ranges of the settings of a climb (decimal logarithms), see `Found`; a climb that goes on where another ended starts
#: with narrower intervals.
WIDE, STEP = (-0.4, 0.9), (-0.9, 0.2)
WIDE_AGAIN = (-1.0, 0.3)
#: Numbers that the gradients of all neurons at points may take, where several points are moved at once.
MOST_NUMBERS = 4e6
#: Power iterations at points that a search begins with.
FIRST = 12
#: Steps of a sequence that fills the unit cube evenly: powers of the inverse of the root of x^4 = x + 1.
EVENLY = 1.2207440846057596 ** -np.arange(1.0, 4.0)


@dataclass(frozen=True, eq=False)
class Found:
    """Points (rows), the directions in which their Jacobians stretch, the norms reached, and how they were reached.

    `settings` (rows, 2) are decimal logarithms: of half the interval of averaging at the start of the climb, and of the
    first step relative to the distance from the origin, or to the size of the domain.
    """

    points: Array
    directions: Array
    values: Array
    settings: Array

    def select(self, kept: Array) -> Found:
        """Some of the rows."""
        return Found(*(column[kept] for column in self.columns))

    @property
    def columns(self) -> tuple[Array, Array, Array, Array]:
        """All that is known of the points."""
        return self.points, self.directions, self.values, self.settings

    def best(self, count: int) -> Found:
        """The best few, every value once."""
        order = np.argsort(-self.values, kind="stable")
        values = self.values[order]
        new = np.append(True, values[1:] < values[:-1] * (1 - 1e-9))
        return self.select(order[new[: len(order)]][:count])

    def with_(self, other: Found) -> Found:
        """Both."""
        return Found(*(np.concatenate(pair) for pair in zip(self.columns, other.columns, strict=True)))


class Search:
    """A search on a map within a domain.

    `patience` is the number of rounds without growth after which it ends, by default that of the domain. With the same
    seed a search that may spend more finds at least as much.
    """

    def __init__(
        self, searched: SearchedMap, domain: Domain, seed: int, work: Work, patience: int | None = None
    ) -> None:
        self.map, self.domain, self.work = searched, domain, work
        self.patience = domain.patience if patience is None else patience
        self.rounds = self.drawn = 0
        self.generator = np.random.default_rng(seed)
        #: Operations of one row, and of any number of rows beside that, in one step of a climb.
        self.row = 4 * searched.cost + searched.cost_of_neurons + 20 * searched.inputs
        self.step = 2 * searched.overhead + 25 * CALL * (len(searched.groups) + 1)
        #: The same for a switch of neurons.
        self.switching, self.calling = self._cost_of_switch()
        #: Whether neurons are switched: there are some that can be, and it is not out of all proportion.
        self.switches = (
            any(n.kink_at_zero for n in searched.groups) and 8 * (self.switching + self.calling) < work.planned
        )
        self.count, self.least = self._plan(work.planned)
        self.size, self.spreads = domain.size(searched), domain.spreads(searched)
        self.origin = self.generator.random(3)

    def _cost_of_switch(self) -> tuple[float, float]:
        searched = self.map
        rows = searched.inputs + 2 * (1 + ITERATIONS) * CANDIDATES
        solve = searched.inputs**2 * (2.0 * searched.size + searched.inputs / 3 + 2 * TRIED)
        own = rows * (searched.cost + searched.cost_of_neurons / 2) + solve + 40 * CALL
        return own, 8 * searched.overhead + CALL * (40 * len(searched.groups) + 60)

    def _plan(self, operations: float) -> tuple[int, int]:
        """Points of the first round, and the least of any: what the calls of NumPy alone would pay for is no saving.

        The plan follows from what a search of usual effort may spend, so that one of more effort makes the same rounds
        and others after them.
        """
        climbing = operations / (ROUNDS * (1 + (self.domain.switching if self.switches else 0.0)))
        cheap = float(np.clip(self.step / self.row, 2, MOST_POINTS))
        least = max(2, int(cheap / LESS))
        count = int(np.clip((climbing / LEAST_STEPS - self.step) / self.row, least, max(cheap, ENOUGH_POINTS)))
        return count, least

    def run(self, points: Array | None = None) -> Found:
        """What was found, the best first; from `points` (rows of the domain) on if there are any.

        In a bounded domain the origin is one that may be near the best already.
        """
        if not self.map.groups:
            return self._leading_direction()
        none = np.zeros((0, self.map.inputs))
        pool = Found(none, none, np.zeros(0), np.zeros((0, 2)))
        if points is None and self.domain.bounded:
            points = np.zeros((1, self.map.inputs))
        if points is not None:
            pool = self._known(points)
        count, steps, stale = self.count, LEAST_STEPS, 0
        while stale < self.patience:
            before = pool.values[0] if len(pool.values) else 0.0
            pool = self._round(pool, count, steps)
            stale = 0 if pool.values[0] > before * (1 + GROWTH) else stale + 1
            self.rounds += 1
            # longer climbs, of fewer points where many would cost
            steps = min(int(steps * 1.5), MOST_STEPS)
            count = max(self.least, min(count, int(self.count * LEAST_STEPS / steps)))
            while steps > LEAST_STEPS and 0 < self.work.left_of_plan < self._cost_of_round(count, steps):
                steps -= 1
            if self.work.left < self._cost_of_round(count, steps):
                break
        return pool

    def _cost_of_round(self, count: int, steps: int) -> float:
        return steps * (self.step + count * self.row)

    def _round(self, pool: Found, count: int, steps: int) -> Found:
        """Climbs from points of the pool, from new points as far out as these, and from anywhere; then switches."""
        draw = self.generator.uniform
        inputs = self.map.inputs
        wide, first, far = self._spread(count).T
        nearest, farthest = self.domain.far
        points = self.domain.start(self.generator, inputs, self.size * 10.0 ** (nearest + far * (farthest - nearest)))
        directions = unit(self.generator.standard_normal(points.shape))
        settings = np.stack([WIDE[0] + wide * (WIDE[1] - WIDE[0]), STEP[0] + first * (STEP[1] - STEP[0])], axis=1)
        if len(pool.values):
            kind = (np.arange(count) + self.rounds) % 3
            chosen = (len(pool.values) * draw(0, 1, count) ** 3).astype(int)
            again, alike = kind == 0, kind == 1
            settings[again, 0] = draw(*WIDE_AGAIN, count)[again]
            settings[alike] = np.clip(pool.settings[chosen] + draw(-0.2, 0.2, (count, 2)), -1, 1)[alike]
            distances = norms(pool.points[chosen])[:, None] * 10.0 ** draw(-0.2, 0.2, (count, 1))
            points = np.where(alike[:, None], unit(points, points) * distances, points)
            points = np.where(again[:, None], pool.points[chosen], points)
            directions = np.where(again[:, None], pool.directions[chosen], directions)
        climbed = self._climb(self.domain.project(points), directions, settings, steps)
        return pool.with_(self._switched(climbed, self._cost_of_round(count, steps))).best(max(count, ENOUGH_POINTS))

    def _spread(self, count: int) -> Array:
        """The next points of a sequence that fills the unit cube evenly, from a start that the seed chooses."""
        numbers = self.drawn + np.arange(count)
        self.drawn += count
        return (self.origin + numbers[:, None] * EVENLY) % 1.0

    def _climb(self, points: Array, directions: Array, settings: Array, steps: int) -> Found:
        """Gradient steps while the averaged intervals shrink, and the steps in proportion."""
        self.work.spend(self._cost_of_round(len(points), steps))
        wide, first = 10.0 ** settings[:, :1], 10.0 ** settings[:, 1:]
        narrowed, still = np.minimum(NARROW / wide, 1.0), np.zeros_like(directions)
        for k in range(steps):
            shrunk = narrowed ** (k / max(steps - 1, 1))
            gradients = averaged_gradients(self.map, points, directions, wide * shrunk, self.spreads)
            gradients = unit(gradients, np.concatenate([still, directions]))
            moves, directions = gradients[: len(points)], gradients[len(points) :]
            moves *= first * shrunk * self.domain.lengths(points, self.size)[:, None]
            points = self.domain.project(points + moves)
        return Found(points, *stretch(self.map, points, directions, 3), settings)

    def _switched(self, climbed: Found, climbing: float) -> Found:
        """The best points with neurons switched while that helps: a round spends as much on it as on climbing."""
        if not self.switches:
            return climbed
        budget = min(self.work.left, self.work.left_of_plan or self.work.left, self.domain.switching * climbing)
        tried = climbed.best(self.count)
        # the best first, as many side by side as a call costs beside its arithmetic
        together = 1 + int(2 * self.calling / self.switching)
        growing, waiting = np.zeros(0, dtype=int), np.arange(len(tried.values))
        while len(growing) + len(waiting):
            growing, waiting = np.split(
                np.concatenate([growing, waiting]), [min(together, len(growing) + len(waiting))]
            )
            cost = self.calling + len(growing) * self.switching
            if cost > budget:
                break
            budget -= cost
            self.work.spend(cost)
            growing = growing[self._switch(tried, growing)]
        return climbed.with_(tried)

    def _switch(self, found: Found, rows: Array) -> Array:
        """Switch neurons at some rows of what was found, as many at once as memory allows; which of them grew."""
        grown: list[Array] = []
        together = max(int(MOST_NUMBERS / (self.map.inputs * self.map.size)), 1)
        for first in range(0, len(rows), together):
            own = rows[first : first + together]
            points, directions, values = found.points[own], found.directions[own], found.values[own]
            moved = switch(self.map, points, directions, values, self.domain, self.generator)
            found.points[own], found.directions[own], found.values[own] = moved.points, moved.directions, moved.values
            grown.append(moved.grown)
        return np.concatenate(grown)

    def _known(self, points: Array) -> Found:
        """Points to begin with, with the directions in which they stretch, and neurons switched while that helps."""
        directions = unit(self.generator.standard_normal(points.shape))
        settings = np.tile(np.mean([WIDE_AGAIN, STEP], axis=1), (len(points), 1))
        self.work.spend(FIRST * (self.step + len(points) * self.row))
        found = Found(points, *stretch(self.map, points, directions, FIRST), settings)
        return self._switched(found, self._cost_of_round(self.count, LEAST_STEPS)).best(max(self.count, ENOUGH_POINTS))

    def _leading_direction(self) -> Found:
        """For a network without neurons, the leading singular vector: the same everywhere."""
        points = self.domain.project(np.zeros((1, self.map.inputs)))
        directions = unit(self.generator.standard_normal((4, self.map.inputs)))
        points = np.repeat(points, len(directions), axis=0)
        return Found(points, *stretch(self.map, points, directions, 200), np.zeros((len(points), 2))).best(1)
