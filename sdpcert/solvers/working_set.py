"""The condition over frequencies, solved on a working set: few frequencies are tight at the optimum.

Solve over some frequencies, look for the ones that the point violates, add the worst of every neighbourhood, and
solve again, loosely first. Any working set is a relaxation, so its dual bound holds for the whole; a point is a bound
only once it satisfies every frequency, which the proof looks at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import cpu_count

import numpy as np

from sdpcert.arrays import arrays_on
from sdpcert.condition.frequency import Frequency, FrequencyCondition, Head
from sdpcert.network.torus import TorusForm
from sdpcert.solvers.interior_point import Point, minimise
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray
#: Below this order threads wait for each other more than they do.
PARALLEL_ORDER = 100
#: Up to this many frequencies all of them are solved at once.
ALL = 12
#: A violation, relative to the diagonal of M, that rounding in the proof repairs.
TOLERABLE = 3e-12
ROUNDS = 25
#: Tolerance of the first round; it falls by ten a round down to `LAST`, and then to the one asked for. A loose point is
#: well inside, where frequencies that are added violate little, so the next round can begin near it.
FIRST, LAST = 0.3, 2e-3
#: The gap aimed at in the end, over twice the tolerance.
MARGIN = 1e-2
#: Sizes of a violation that are told apart.
SIZES = (1e-15, 3e-14, TOLERABLE, 1e-10, 3e-9, 1e-7, 1e-6, 1e-5, *(10.0 ** (k / 4) for k in range(-18, 1)))


@dataclass(frozen=True, eq=False)
class FrequencySolution:
    """A point over all frequencies: y as `FrequencyCondition` orders it, and how it was found."""

    condition: FrequencyCondition
    point: Point
    rounds: int
    frequencies: int
    violation: float

    @property
    def bound(self) -> float:
        """The bound that the point claims."""
        return float(np.ldexp(np.sqrt(max(float(self.point.y[0]), 0.0)), self.point.exponent))


def solve_frequencies(
    form: TorusForm, method: str, budget: Budget, device: str = "cpu", head: Head | None = None
) -> FrequencySolution:
    """Solve the condition over all frequencies of a torus to `budget.tol`.

    `method` is "neuron" (one multiplier a channel) or "layer". Interrupted or out of time, the last point is
    returned, whose `violation` says how far it is from satisfying every frequency.
    """
    every = form.frequencies
    chosen = every if len(every) <= ALL else _spread(form)
    condition = FrequencyCondition(form, method, chosen, arrays_on(device), head)
    history: list[Progress] = []
    iterations, violation, point = 0, 0.0, None
    tol = budget.tol if len(chosen) == len(every) else max(budget.tol, FIRST)
    for round_number in range(1, ROUNDS + 1):
        final = tol <= budget.tol
        point = minimise(condition, replace(budget, tol=tol), MARGIN if final else 0.5, point)
        history += [replace(p, iteration=p.iteration + iterations) for p in point.history]
        iterations += point.iterations
        violations = find_violations(condition, point.y)
        violation = max(violations.values(), default=0.0)
        interrupted = point.status in ("interrupted", "time limit")
        if interrupted or (final and violation <= TOLERABLE) or round_number == ROUNDS:
            break
        added = _worst(violations, form.torus, len(condition.frequencies))
        if not final:
            tol = max(budget.tol, 0.1 * tol if tol > LAST else budget.tol)
        condition.choose([*condition.frequencies, *added])
    assert point is not None
    point = replace(point, iterations=iterations, history=tuple(history))
    return FrequencySolution(condition, point, round_number, len(condition.frequencies), violation)


def find_violations(condition: FrequencyCondition, y: Array) -> dict[Frequency, float]:
    """The frequencies outside the working set that y violates, with the size of the violation relative to M's
    diagonal.
    """
    known = set(condition.frequencies)
    others = [k for k in condition.form.frequencies if k not in known]
    y = condition.arrays.asarray(y)
    large = condition.inequalities[0].order >= PARALLEL_ORDER and condition.arrays.parallel
    with ThreadPoolExecutor(cpu_count() if large else 1) as pool:
        sizes = pool.map(lambda k: _violation(condition, y, k), others)
        return {k: size for k, size in zip(others, sizes, strict=True) if size > 0}


def _violation(condition: FrequencyCondition, y: Array, frequency: Frequency) -> float:
    """The least multiple of M's diagonal, among `SIZES`, that makes M positive definite; 0 where it is."""
    part = condition.inequality(frequency)
    matrix = part.matrix(y)
    diagonal = abs(matrix.diagonal().real)
    entries = matrix.reshape(-1)[:: len(matrix) + 1]
    if part.factor(matrix) is not None:
        return 0.0
    added, low, high = 0.0, 0, len(SIZES) - 1
    while low < high:
        middle = (low + high) // 2
        entries += (SIZES[middle] - added) * diagonal
        added = SIZES[middle]
        low, high = (low, middle) if part.factor(matrix) is not None else (middle + 1, high)
    return SIZES[low]


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


def _worst(violations: dict[Frequency, float], torus: tuple[int, int], count: int) -> list[Frequency]:
    """The largest violation of every neighbourhood, at most `count` of them."""
    peaks = [k for k, size in violations.items() if all(size >= violations.get(n, 0.0) for n in _neighbours(k, torus))]
    return sorted(peaks, key=lambda k: -violations[k])[:count]
