"""The solver of this package: the primal-dual method on the condition of a dense network, from up to two starts."""

from __future__ import annotations

from dataclasses import replace

from sdpcert.arithmetic.arrays import arrays_on
from sdpcert.condition.backwards import backwards, is_smaller_backwards, multipliers_forwards
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.primal_dual import minimise
from sdpcert.solvers.solution import Budget, Solution

#: Theta and room of the closed form's start; a run that stalls is tried again from the next one, further inside.
STARTS = ((0.4, 1.5), (0.15, 4.0))


def interior_point(form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
    """Solve the condition to `budget.tol` or as far as float64 goes; interrupted, return the best point so far.

    `method` is "neuron" or "layer". The solution's status is "optimal", "stalled", "time limit" or "interrupted".
    """
    arrays = arrays_on(device)
    turned = is_smaller_backwards(form)
    form = backwards(form) if turned else form
    solved: Solution | None = None
    for theta, room in STARTS:
        condition = Condition(form, method, arrays)
        done = 0 if solved is None else len(solved.history)
        try:
            point = minimise(condition, _counting_from(done, budget), start=(theta, room))
        except SolverError:
            if solved is None:
                raise
            break
        rho, multipliers = float(point.y[0]), tuple(condition.multipliers(condition.arrays.asarray(point.y)))
        if turned:
            multipliers = multipliers_forwards(rho, multipliers, point.exponent)
        solution = Solution(rho, multipliers, point.exponent, point.dual, point.iterations, point.status, point.history)
        solved = solution if solved is None else _joined(solved, solution, budget.tol)
        if solved.status != "stalled":
            break
    assert solved is not None
    return solved


def _counting_from(first: int, budget: Budget) -> Budget:
    """The same budget; what it reports is counted from `first`."""
    report = budget.report
    if first == 0 or report is None:
        return budget
    return replace(budget, report=lambda line: report(replace(line, iteration=first + line.iteration)))


def _joined(one: Solution, two: Solution, tol: float) -> Solution:
    """The lower of the points of two runs with the higher of their dual bounds, which hold for both."""
    lower, dual = min(one, two, key=lambda s: s.bound), max(one.dual, two.dual)
    after = (replace(line, iteration=len(one.history) + line.iteration) for line in two.history)
    return replace(
        lower,
        dual=dual,
        iterations=one.iterations + two.iterations,
        status="optimal" if dual >= (1 - tol) * lower.bound else two.status,
        history=(*one.history, *after),
    )
