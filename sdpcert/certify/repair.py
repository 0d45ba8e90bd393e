"""A feasible point near an infeasible one.

With multipliers given, the least rho is an eigenvalue of a Schur complement, and it exists where M is positive
definite on the neurons. So the multipliers go from the solver's towards a strictly feasible point (the forward
recursion's) as far as pays: the least rho is a convex function on that line. Plain float64; what comes out is proved
like every other point.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sdpcert.condition.matrix import Condition
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.forward import forward_multipliers
from sdpcert.solvers.least_rho import least_rho
from sdpcert.solvers.solution import Solution

Array = np.ndarray
#: How much larger than the least rho is the one that is offered for proof, relative.
MARGIN = 1e-12
#: Shares of the strictly feasible point that are tried first, ascending.
SHARES = (0.0, *(10.0 ** (k / 2) for k in range(-28, 0)), 1.0)


def repair(form: StackedForm, solution: Solution, steps: int = 12) -> Solution | None:
    """The point with the least rho on the line from the solution's multipliers to strictly feasible ones, or None.

    Negative multipliers count as 0. `steps` bounds the search of the minimum on that line. The status and the dual
    bound are the solution's.
    """
    condition = Condition(form, "neuron")
    with np.errstate(over="ignore", under="ignore"):
        lift = float(np.ldexp(1.0, 2 * (condition.scaling.output - solution.exponent)))
    if not 0 < lift < np.inf:
        return None
    condition.constant = condition.constant.times_scalar(lift)
    given = np.concatenate(
        [np.ldexp(t, -2 * a) for t, a in zip(solution.multipliers, condition.scaling.neurons, strict=True)]
    )
    inner, rho = forward_multipliers([condition], theta=0.4)
    inner = 1.5 * rho * lift * inner
    if not (np.all(np.isfinite(given)) and np.all(np.isfinite(inner))):
        return None
    given = np.maximum(given, 0.0)

    def point(share: float) -> Array:
        return (1 - share) * given + share * inner

    least = {share: least_rho(condition, point(share)) for share in (0.0, 1.0)}
    for share in SHARES[1:-1]:
        least[share] = least_rho(condition, point(share))
    for _ in range(steps):
        ordered = sorted(least)
        best = min(least, key=least.__getitem__)
        k = ordered.index(best)
        before, after = ordered[max(k - 1, 0)], ordered[min(k + 1, len(ordered) - 1)]
        if not np.isfinite(least[best]) or max(least[before], least[after]) <= least[best] * (1 + 1e-9):
            break
        for a, b in ((before, best), (best, after)):
            middle = float(np.sqrt(a * b)) if a > 0 else b / 4
            if a < middle < b and middle > 1e-15:
                least[middle] = least_rho(condition, point(middle))
    best = min(least, key=least.__getitem__)
    if not np.isfinite(least[best]):
        return None
    multipliers, rho = point(best), least[best]
    parts = condition.scaling.multipliers([multipliers[rows] for rows in condition.rows[1:]])
    return replace(solution, rho=rho * (1 + MARGIN), multipliers=tuple(parts), vector=None)
