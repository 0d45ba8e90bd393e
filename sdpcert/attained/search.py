"""The search for a point and a direction in which a network stretches most.

Rounds of three steps: batches of points climb the norm of the Jacobian while the intervals over which slopes are
averaged shrink (`averaged_gradients`); the best of them switch neurons one by one while that helps (`switch`); the next
round starts from these, shaken, and from new points. The search ends when rounds bring nothing more, or when its
operations are spent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.attained.derivatives import averaged_gradients, stretch, typical_size
from sdpcert.attained.domain import Domain
from sdpcert.attained.flips import CANDIDATES, ITERATIONS, TRIED, switch
from sdpcert.attained.maps import CALL, SearchedMap, norms, unit
from sdpcert.attained.work import Work

Array = np.ndarray
#: Half an interval of averaging at the end of a climb, relative to a typical preactivation.
NARROW = 0.02
#: A round that raises the best value by less, relatively, counts as none; so many of them end the search.
GROWTH = 1e-4
PATIENCE = 2
#: What a round spends on switching neurons, relative to what climbing takes.
SWITCHING = 2.0
#: Bounds of a round: steps of a climb, points.
LEAST_STEPS, MOST_STEPS = 12, 60
MOST_POINTS = 256
#: Operations that a neuron takes in one row of a climb, beside the linear pieces.
NEURON = 60.0


@dataclass(frozen=True, eq=False)
class Found:
    """Points (rows), the directions in which their Jacobians stretch, and the norms reached."""

    points: Array
    directions: Array
    values: Array

    def best(self, count: int) -> Found:
        """The best few, every value once."""
        order = np.argsort(-self.values, kind="stable")
        values = self.values[order]
        new = np.append(True, values[1:] < values[:-1] * (1 - 1e-9))
        kept = order[new][:count]
        return Found(self.points[kept], self.directions[kept], self.values[kept])

    def with_(self, other: Found) -> Found:
        """Both."""
        return Found(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.directions, other.directions]),
            np.concatenate([self.values, other.values]),
        )


class Search:
    """A search on a map within a domain; `patience` is the number of rounds without growth after which it ends."""

    def __init__(
        self, searched: SearchedMap, domain: Domain, seed: int, work: Work, patience: int = PATIENCE
    ) -> None:
        self.map, self.domain, self.work, self.patience = searched, domain, work, patience
        self.generator = np.random.default_rng(seed)
        #: Operations of one row, and of any number of rows beside that, in one step of a climb; and of one switch.
        self.row = 4 * searched.cost + NEURON * searched.size
        self.step = 2 * searched.overhead + 25 * CALL * (len(searched.groups) + 1)
        self.switching = self._cost_of_switch()
        #: Whether neurons are switched: there are some that can be, and it is not out of all proportion.
        self.switches = any(n.kink_at_zero for n in searched.groups) and 8 * self.switching < work.operations
        self.count, self.steps = self._plan(work.operations)
        self.size = typical_size(searched)
        self.rounds = 0

    def _cost_of_switch(self) -> float:
        searched = self.map
        rows = searched.inputs + 2 * (1 + ITERATIONS) * CANDIDATES
        solve = searched.inputs**2 * (2.0 * searched.size + searched.inputs / 3 + 2 * TRIED)
        return rows * searched.cost + solve + 8 * searched.overhead + CALL * (40 * len(searched.groups) + 100)

    def _plan(self, operations: float) -> tuple[int, int]:
        """Points and steps of a round, so that about two rounds can be made.

        A batch is no smaller than what the calls of NumPy alone would pay for; beyond that, more steps before more
        points.
        """
        climbing = operations / (2 * (1 + (SWITCHING if self.switches else 0.0)))
        cheap = float(np.clip(self.step / self.row, 2, MOST_POINTS))
        count = int(np.clip((climbing / LEAST_STEPS - self.step) / self.row, max(2, cheap / 4), cheap))
        steps = int(np.clip(climbing / (self.step + count * self.row), LEAST_STEPS, MOST_STEPS))
        return count, steps

    def run(self) -> Found:
        """What was found, the best first."""
        if not self.map.groups:
            return self._leading_direction()
        none = np.zeros((0, self.map.inputs))
        pool = Found(none, none, np.zeros(0))
        stale = 0
        while stale < self.patience:
            before = pool.values[0] if len(pool.values) else 0.0
            pool = self._round(pool)
            stale = 0 if pool.values[0] > before * (1 + GROWTH) else stale + 1
            self.rounds += 1
            if self.work.left < self._cost_of_round():
                break
        return pool

    def _cost_of_round(self) -> float:
        return self.steps * (self.step + self.count * self.row)

    def _round(self, pool: Found) -> Found:
        again = min(self.count // 2, len(pool.values))
        fresh = self.count - again
        draw = self.generator.uniform
        points = self.domain.start(self.generator, fresh, self.map.inputs, self.size)
        directions = unit(self.generator.standard_normal(points.shape))
        wide = 10.0 ** draw(-0.1, 1.0, (fresh, 1))
        if again:
            chosen = (len(pool.values) * draw(0, 1, again) ** 2).astype(int)
            points = np.concatenate([points, pool.points[chosen]])
            directions = np.concatenate([directions, pool.directions[chosen]])
            wide = np.concatenate([wide, 10.0 ** draw(-1.0, 0.3, (again, 1))])
        climbed = self._climb(self.domain.project(points), directions, wide)
        return pool.with_(self._switched(climbed)).best(self.count)

    def _climb(self, points: Array, directions: Array, wide: Array) -> Found:
        """Gradient steps while the averaged intervals shrink from `wide`, every row with a step length of its own."""
        lengths = 10.0 ** self.generator.uniform(-0.7, -0.1, wide.shape)
        self.work.spend(self._cost_of_round())
        for k in range(self.steps):
            widths = wide * (NARROW / wide) ** (k / max(self.steps - 1, 1))
            by_points, by_directions = averaged_gradients(self.map, points, directions, widths)
            directions = unit(by_directions, directions)
            moves = lengths * widths * norms(points)[:, None] * unit(by_points)
            points = self.domain.project(points + moves)
        return Found(points, *stretch(self.map, points, directions, 3))

    def _switched(self, climbed: Found) -> Found:
        """The best points with neurons switched while that helps: a round spends as much on it as on climbing."""
        if not self.switches:
            return climbed
        budget = min(self.work.left, SWITCHING * self._cost_of_round())
        tried = climbed.best(self.count)
        for k in range(len(tried.values)):
            point, direction, value = tried.points[k], tried.directions[k], float(tried.values[k])
            while self.switching <= budget:
                budget -= self.switching
                self.work.spend(self.switching)
                better = switch(self.map, point, direction, value, self.domain, self.generator)
                if better is None:
                    break
                point, direction, value = better
            tried.points[k], tried.directions[k], tried.values[k] = point, direction, value
        return climbed.with_(tried)

    def _leading_direction(self) -> Found:
        """For a network without neurons, the leading singular vector: the same everywhere."""
        points = self.domain.project(np.zeros((1, self.map.inputs)))
        directions = unit(self.generator.standard_normal((4, self.map.inputs)))
        found = Found(np.repeat(points, 4, axis=0), *stretch(self.map, np.repeat(points, 4, axis=0), directions, 200))
        return found.best(1)
