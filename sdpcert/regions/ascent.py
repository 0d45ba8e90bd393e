"""Lines and multipliers of half-spaces that make bounds of preactivations better, row by row.

The bound of a row is maximised over the slopes of lines and the multipliers by projected steps along its gradient,
scaled entry by entry (Adam). Nothing here is a proof: any slopes and multipliers are good, and what those that are
found prove is computed by a rigorous pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.regions.backward import Relaxation, Rows
from sdpcert.regions.condensed import Condensed
from sdpcert.regions.objective import Objective, Shares
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Steps as a share of the ranges, how they shrink, and the memory of gradients and of their squares.
RATE, DECAY = 0.25, 0.96
FIRST, SECOND = 0.8, 0.98
#: After so many steps rows are given up whose goal is farther than what these steps gained.
PROBE = 4
#: Entries of the largest array of a chunk of rows.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Limits:
    """How many steps are taken, how many multiplications they may need, and whether half-spaces are used."""

    iterations: int
    work: float = np.inf
    half_spaces: bool = True


@dataclass(frozen=True, eq=False)
class Ascent(ShortRepr):
    """Rows with optimised lines and multipliers; `start` and `reached` are their bounds before and after, unproved.

    `work` is how many multiplications it took.
    """

    rows: Rows
    start: Array
    reached: Array
    work: float


def ascend(
    relaxation: Relaxation,
    condensed: Condensed,
    rows: Rows,
    limits: Limits,
    goals: Array | float = -np.inf,
    enough: Array | float = np.inf,
) -> Ascent:
    """Maximise the bounds of rows over slopes of lines below and above, and over multipliers of half-spaces.

    A bound below its goal is worth nothing, one above `enough` need not be better.
    """
    count = len(rows.neurons)
    goals, enough = np.broadcast_to(goals, count), np.broadcast_to(enough, count)
    chunk = max(16, CHUNK // (relaxation.form.inputs + 4 * relaxation.form.neurons))
    share = replace(limits, work=limits.work / max(1, -(-count // chunk)))
    parts = []
    for k in range(0, count, chunk):
        some = slice(k, k + chunk)
        part = rows.select(np.arange(k, min(k + chunk, count)))
        objective = Objective(relaxation, condensed, part, limits.half_spaces)
        parts.append(_Climb(objective, goals[some], enough[some]).run(share))
    start, reached = (np.concatenate([getattr(p, name) for p in parts]) for name in ("start", "reached"))
    return Ascent(Rows.joined([part.rows for part in parts]), start, reached, sum(part.work for part in parts))


class _Climb:
    """Rows on their way up: the best that was found of each, and the rows that are still climbing."""

    def __init__(self, objective: Objective, goals: Array, enough: Array) -> None:
        self.whole = self.objective = objective
        self.goals, self.enough = goals, enough
        self.climbing = np.arange(len(goals))
        self.shares = objective.start()
        self.best = {key: value.copy() for key, value in self.shares.items()}
        self.means: Shares = {key: np.zeros_like(value) for key, value in self.shares.items()}
        self.squares = dict(self.means)

    def run(self, limits: Limits) -> Ascent:
        """Climb from the piece's own lines."""
        start, gradients = self.objective.value(self.shares)
        reached, work = start.copy(), self.objective.work
        for iteration in range(1, limits.iterations + 1):
            if work + self.objective.work > limits.work or not len(self.climbing):
                break
            self._step(gradients, iteration)
            values, gradients = self.objective.value(self.shares)
            work += self.objective.work
            better = values > reached[self.climbing]
            rows = self.climbing[better]
            reached[rows] = values[better]
            for key, found in self.shares.items():
                self.best[key][rows] = found[better]
            if iteration % PROBE == 0:
                own, first = reached[self.climbing], start[self.climbing]
                hopeful = own + (own - first) * PROBE / iteration > self.goals[self.climbing]
                gradients = self._keep(hopeful & (own < self.enough[self.climbing]), gradients)
        return Ascent(self.whole.stated(self.best), start, reached, work)

    def _step(self, gradients: Shares, iteration: int) -> None:
        rate = RATE * DECAY**iteration * np.sqrt(1 - SECOND**iteration) / (1 - FIRST**iteration)
        for key, gradient in gradients.items():
            mean = self.means[key] = FIRST * self.means[key] + (1 - FIRST) * gradient
            square = self.squares[key] = SECOND * self.squares[key] + (1 - SECOND) * gradient**2
            moved = self.shares[key] + rate * mean / (np.sqrt(square) + 1e-280)
            self.shares[key] = np.clip(moved, 0.0, 1.0 if key[0] else np.inf)

    def _keep(self, keep: Array, gradients: Shares) -> Shares:
        """Go on with some of the rows."""
        if np.all(keep):
            return gradients
        rows = np.flatnonzero(keep)
        self.climbing, self.objective = self.climbing[rows], self.objective.select(rows)
        self.shares, self.means, self.squares, gradients = (
            {key: value[rows] for key, value in part.items()}
            for part in (self.shares, self.means, self.squares, gradients)
        )
        return gradients
