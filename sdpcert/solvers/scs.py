"""SCS through CVXPY: a first-order method. Its "optimal" points are often infeasible; they are repaired or not
proved.
"""

from __future__ import annotations

from typing import Any

from sdpcert.solvers.general import BackEnd
from sdpcert.solvers.solution import Budget


def options(budget: Budget) -> dict[str, Any]:
    """SCS's settings for a budget; a first-order method does not reach far below `tol`."""
    settings: dict[str, Any] = {"eps_abs": budget.tol, "eps_rel": budget.tol, "max_iters": 200_000}
    if budget.seconds < float("inf"):
        settings["time_limit_secs"] = max(budget.seconds - budget.elapsed, 1e-3)
    return settings


BACK_END = BackEnd("SCS", "scs", "pip install scs", options)
