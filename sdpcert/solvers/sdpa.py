"""SDPA through CVXPY and sdpa-python: an interior-point method for dense cones. It has no time limit of its own."""

from __future__ import annotations

from typing import Any

from sdpcert.solvers.general import BackEnd
from sdpcert.solvers.solution import Budget


def options(budget: Budget) -> dict[str, Any]:
    """SDPA's parameters for a budget: relative gap and infeasibility below `tol`."""
    accuracy = min(1e-7, max(1e-1 * budget.tol, 1e-10))
    return {"epsilonStar": accuracy, "epsilonDash": accuracy}


BACK_END = BackEnd("SDPA", "sdpap", "pip install 'sdpcert[sdpa]'", options)
