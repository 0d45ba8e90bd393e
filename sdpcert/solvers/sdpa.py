"""SDPA through CVXPY and sdpa-python: an interior-point method for dense cones. It has no time limit of its own."""

from __future__ import annotations

from typing import Any

from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.general import BackEnd, solve_general
from sdpcert.solvers.solution import Budget, Solution


def sdpa(form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
    """Solve the condition with SDPA; `budget.seconds` is ignored once it runs."""
    return solve_general(form, method, budget, device, BACK_END)


def options(budget: Budget) -> dict[str, Any]:
    """SDPA's parameters for a budget: relative gap and infeasibility below `tol`."""
    accuracy = min(1e-7, max(1e-1 * budget.tol, 1e-10))
    return {"epsilonStar": accuracy, "epsilonDash": accuracy}


BACK_END = BackEnd("SDPA", "sdpap", "pip install 'sdpcert[sdpa]'", options)
