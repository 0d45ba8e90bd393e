"""The condition over frequencies, solved on a working set: few frequencies are tight at the optimum.

Every iterate satisfies all frequencies. One that stops a step joins the working set, with the worst of every
neighbourhood; one that turns out to be slack leaves it, once. The dual bound of a working set holds for the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.arrays import arrays_on
from sdpcert.arithmetic.unseen import Unseen
from sdpcert.condition.factor import Factor
from sdpcert.condition.frequency import Frequency, FrequencyCondition, Head
from sdpcert.condition.inequality import Inequality
from sdpcert.network.torus import TorusForm
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.effort import KEPT
from sdpcert.solvers.forward import strictly_feasible
from sdpcert.solvers.primal_dual import Point, minimise
from sdpcert.solvers.solution import Budget, SolverError

Array = np.ndarray
#: Up to this many frequencies all of them are solved at once.
ALL = 12
#: The gap aimed at, over twice the tolerance.
MARGIN = 0.1
#: Matrices of a frequency that the solver has.
MATRICES = 16
#: Steps of the closed form's start, (theta, room) as in `strictly_feasible`: safer and looser.
STARTS = ((0.4, 1.5), (0.4, 1.5), (0.4, 1.5), (0.25, 3.0), (0.1, 10.0), (0.02, 100.0))


@dataclass(frozen=True, eq=False)
class FrequencySolution(ShortRepr):
    """A point over all frequencies: y as `FrequencyCondition` orders it, and how many frequencies it was found on."""

    condition: FrequencyCondition
    point: Point
    frequencies: int

    @property
    def bound(self) -> float:
        """The bound that the point claims."""
        return float(np.ldexp(np.sqrt(max(float(self.point.y[0]), 0.0)), self.point.exponent))


def solve_frequencies(
    form: TorusForm, method: str, budget: Budget, device: str = "cpu", head: Head | None = None
) -> FrequencySolution:
    """Solve the condition over all frequencies of a torus to `budget.tol`.

    `method` is "neuron" (one multiplier per channel) or "layer". Interrupted or out of time, the best point is
    returned, which satisfies every frequency too.
    """
    every = form.frequencies
    chosen = every if len(every) <= ALL else _spread(form)
    condition = FrequencyCondition(form, method, chosen, arrays_on(device), head)
    watch = FrequencyWatch(condition)
    point = minimise(condition, budget, MARGIN, watch)
    return FrequencySolution(condition, point, watch.largest)


class FrequencyWatch:
    """Looks after the frequencies that the condition is not over."""

    def __init__(self, condition: FrequencyCondition) -> None:
        self.condition, self.largest = condition, len(condition.frequencies)
        self._known: dict[Frequency, Inequality] = {}
        self._dropped: set[Frequency] = set()
        self._returned: set[Frequency] = set()
        self._keep = len(condition.form.frequencies) * condition.inequalities[0].order ** 2 * 16 < KEPT

    def strictly_feasible(self) -> Array:
        """The closed form's point, once it is inside every frequency."""
        condition = self.condition
        for theta, room in STARTS:
            y = strictly_feasible(condition, theta, room)
            self._known.clear()  # the output may have been scaled
            broken = self.broken(condition.arrays.asarray(y))
            if not broken:
                return y
            self.exchange(dict.fromkeys(broken, 1), ())
        every = condition.form.frequencies
        if MATRICES * 16.0 * len(every) * condition.inequalities[0].order ** 2 > KEPT:
            raise SolverError("the closed form is infeasible at some frequencies, and all at once would not fit")
        condition.choose(every)
        return strictly_feasible(condition)

    def broken(self, y: Array, among: Sequence[Frequency] | None = None) -> list[Frequency]:
        """The frequencies outside the working set, or those `among` them, whose matrix is not positive definite."""
        if among is None:
            inside = set(self.condition.frequencies)
            among = [k for k in self.condition.form.frequencies if k not in inside]

        # One thread: factoring alone is so short that threads would wait for each other. One look at all.
        factors = (Factor.attempted(self._inequality(k).matrix(y)) for k in among)
        holds = [Unseen.known(False) if factor is None else factor.holds for factor in factors]
        return [k for k, held in zip(among, Unseen.all_of(holds).seen(self.condition.arrays), strict=True) if not held]

    def exchange(self, stopped: dict[Frequency, int], idle: Sequence[Inequality]) -> None:
        """Let the worst of `stopped` join the working set and `idle` ones leave, those that came back excepted."""
        condition = self.condition
        added = _worst(stopped, condition.form.torus, len(condition.frequencies))
        self._returned |= self._dropped & set(added)
        leaving = {id(part) for part in idle}
        kept = []
        for k, part in zip(condition.frequencies, condition.inequalities, strict=False):
            if id(part) in leaving and k not in self._returned:
                self._dropped.add(k)
                self._known[k] = part
            else:
                kept.append(k)
        if len(kept) == len(condition.frequencies) and not added:
            return
        condition.choose([*kept, *added])
        self.largest = max(self.largest, len(condition.frequencies))

    def _inequality(self, k: Frequency) -> Inequality:
        if not self._keep:
            return self.condition.inequality(k)
        if k not in self._known:
            self._known[k] = self.condition.inequality(k)
        return self._known[k]


def _spread(form: TorusForm) -> list[Frequency]:
    """The corners of the frequency square and a few between them."""
    rows, columns = form.torus
    wanted = {(rows * a // 4, columns * b // 4) for a in range(4) for b in range(4)}
    return [k for k in form.frequencies if k in wanted or _opposite(k, form.torus) in wanted]


def _opposite(k: Frequency, torus: tuple[int, int]) -> Frequency:
    return (-k[0] % torus[0], -k[1] % torus[1])


def _neighbours(k: Frequency, torus: tuple[int, int]) -> Iterator[Frequency]:
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            if a or b:
                near = ((k[0] + a) % torus[0], (k[1] + b) % torus[1])
                yield near
                yield _opposite(near, torus)


def _worst(violations: dict[Frequency, int], torus: tuple[int, int], count: int) -> list[Frequency]:
    """The largest violation of every neighbourhood, at most `count` of them."""
    peaks = [k for k, size in violations.items() if all(size >= violations.get(n, 0) for n in _neighbours(k, torus))]
    return sorted(peaks, key=lambda k: -violations[k])[:count]
