"""Two inputs that attain a lower bound, beside every proved upper bound."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

from sdpcert.attained import Attained, attained_lower_bound
from sdpcert.attained.work import LEAST, RATE, default_operations
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certify.plan import SHARE_OF_SEARCH, Plan
from sdpcert.certify.proved import Proved
from sdpcert.certify.request import CLOSED_FORMS, Request
from sdpcert.errors import BoundContradiction
from sdpcert.network.graph import Network
from sdpcert.solvers.solution import Budget


def attain(plan: Plan, proved: Proved, request: Request, budget: Budget, interrupted: Event) -> tuple[Attained, Proved]:
    """The attained lower bound, by the shortest search once it was `interrupted`: a proved bound is not thrown away.

    If nothing was solved, the search is planned for the least time. Raises `BoundContradiction` if the value is above
    the proved bound.
    """
    if plan.found is not None:
        return _below(plan.found, proved), proved
    left = max(budget.seconds - budget.elapsed, SHARE_OF_SEARCH * budget.seconds)
    options: dict[str, Any] = {"most": RATE * left, "deadline": budget.started + budget.elapsed + left}
    if isinstance(plan.searched, Network):
        options["output_rows"] = request.output_rows
    if proved.tree is None or isinstance(proved.tree, StackedCondition):
        options["claimed"] = plan.claimed
    if plan.method in CLOSED_FORMS:
        options["operations"] = LEAST
    search = partial(attained_lower_bound, plan.searched, seed=request.seed, **options)
    attained = None
    budget.begin("searching two inputs that attain much", _longest(plan, request, options))
    if not interrupted.is_set():
        with suppress(KeyboardInterrupt):
            attained = search(effort=request.effort)
    if attained is None:
        attained = search(effort=0.0)
        note = "interrupted: the search for two inputs of the attained value was cut short"
        proved = replace(proved, told=replace(proved.told, notes=(*proved.told.notes, note)))
    return _below(attained, proved), proved


def _longest(plan: Plan, request: Request, options: dict[str, Any]) -> float:
    """Seconds that the search is estimated to take at the most."""
    claim = options.get("claimed") or plan.searched
    planned = options.get("operations", default_operations(claim)) * max(request.effort, 0.0)
    return min(planned, options["most"]) / RATE


def _below(attained: Attained, proved: Proved) -> Attained:
    """The attained value, which is no more than the proved bound; raises `BoundContradiction` if it is."""
    if attained.lower > proved.upper:
        raise BoundContradiction(
            f"an attained lower bound {attained.lower!r} is above the upper bound {proved.upper!r}; please report this "
            "network"
        )
    return attained
