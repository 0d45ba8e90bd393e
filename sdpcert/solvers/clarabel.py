"""Clarabel through CVXPY: an interior-point method that decomposes the cone along the zeros of M."""

from __future__ import annotations

from typing import Any

from sdpcert.solvers.general import BackEnd
from sdpcert.solvers.solution import Budget


def options(budget: Budget) -> dict[str, Any]:
    """Clarabel's settings for a budget: its tolerances are relative to terms larger than rho, hence far below `tol`."""
    accuracy = min(1e-8, max(1e-4 * budget.tol, 1e-12))
    settings: dict[str, Any] = {"tol_gap_abs": accuracy, "tol_gap_rel": accuracy, "tol_feas": accuracy}
    if budget.seconds < float("inf"):
        settings["time_limit"] = max(budget.seconds - budget.elapsed, 1e-3)
    return settings


BACK_END = BackEnd("CLARABEL", "clarabel", "pip install clarabel", options)
