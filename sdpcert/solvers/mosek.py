"""MOSEK through CVXPY, if the package and a licence are installed."""

from __future__ import annotations

from typing import Any

from sdpcert.solvers.general import BackEnd
from sdpcert.solvers.solution import Budget


def options(budget: Budget) -> dict[str, Any]:
    """MOSEK's parameters for a budget."""
    accuracy = min(1e-8, max(1e-2 * budget.tol, 1e-12))
    parameters: dict[str, Any] = {
        f"MSK_DPAR_INTPNT_CO_TOL_{what}": accuracy for what in ("PFEAS", "DFEAS", "REL_GAP", "MU_RED")
    }
    if budget.seconds < float("inf"):
        parameters["MSK_DPAR_OPTIMIZER_MAX_TIME"] = max(budget.seconds - budget.elapsed, 1e-3)
    return {"mosek_params": parameters, "accept_unknown": True}


LICENCE = (
    "no valid licence was found: get one at https://www.mosek.com/license/request and put it into ~/mosek/mosek.lic"
)
BACK_END = BackEnd("MOSEK", "mosek", "pip install 'sdpcert[mosek]'", options, {"licen": LICENCE})
