"""MOSEK through CVXPY, where the package and a licence are installed."""

from __future__ import annotations

from typing import Any

from sdpcert.errors import SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.general import BackEnd, solve_general
from sdpcert.solvers.solution import Budget, Solution


def mosek(form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
    """Solve the condition with MOSEK."""
    try:
        return solve_general(form, method, budget, device, BACK_END)
    except SolverError as error:
        if "licen" in str(error).lower():
            raise SolverError(
                "mosek: no valid licence was found: get one at https://www.mosek.com/license/request "
                "and put it into ~/mosek/mosek.lic"
            ) from None
        raise


def options(budget: Budget) -> dict[str, Any]:
    """MOSEK's parameters for a budget."""
    accuracy = min(1e-8, max(1e-2 * budget.tol, 1e-12))
    parameters: dict[str, Any] = {
        f"MSK_DPAR_INTPNT_CO_TOL_{what}": accuracy for what in ("PFEAS", "DFEAS", "REL_GAP", "MU_RED")
    }
    if budget.seconds < float("inf"):
        parameters["MSK_DPAR_OPTIMIZER_MAX_TIME"] = max(budget.seconds - budget.elapsed, 1e-3)
    return {"mosek_params": parameters, "accept_unknown": True}


BACK_END = BackEnd("MOSEK", "mosek", "pip install 'sdpcert[mosek]'", options)
