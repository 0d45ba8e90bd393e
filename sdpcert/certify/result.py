"""The certificate of what was proved and attained: the one place that makes it."""

from __future__ import annotations

import platform
import sys
from threading import Event
from typing import Any

import numpy as np
import scipy

from sdpcert.attained import Attained
from sdpcert.certificate.certificate import Certificate
from sdpcert.certificate.document import assumption, printable
from sdpcert.certificate.sequence import Sequence
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certify.advice import Case, advice
from sdpcert.certify.plan import Plan
from sdpcert.certify.proved import Proved
from sdpcert.certify.request import CLOSED_FORMS, Request
from sdpcert.certify.slack import slack_of
from sdpcert.network.graph import Network
from sdpcert.solvers.solution import Budget
from sdpcert.version import __version__


def certificate_of(
    plan: Plan, proved: Proved, attained: Attained, request: Request, budget: Budget, interrupted: Event
) -> Certificate:
    """The certificate, with status "proved" or "unproved"."""
    tree, told = proved.tree, proved.told
    closed = plan.method in CLOSED_FORMS or (isinstance(tree, Sequence) and bool(tree.cuts))
    details = plan.searched.details if isinstance(plan.searched, Network) else {}
    assumed = assumption(details)
    seconds = proved.solve_seconds + proved.proof_seconds
    return Certificate(
        upper=proved.upper,
        lower=attained.lower,
        sdp_lower=None if told.dual is None else min(max(told.dual, attained.lower), proved.upper, sys.float_info.max),
        status="unproved" if tree is None else "proved",
        method=plan.method,
        solver="closed form" if closed else plan.solver,
        solver_status="interrupted" if interrupted.is_set() else told.status,
        seconds=budget.elapsed,
        iterations=told.iterations,
        solve_seconds=proved.solve_seconds,
        proof_seconds=proved.proof_seconds,
        tree=tree,
        attained=attained,
        information=_information(plan, proved, attained, request),
        notes=(*told.notes, assumed) if assumed else told.notes,
        assumptions=(printable(details["assumed"]),) if assumed else (),
        neurons=tree.form.neurons if isinstance(tree, StackedCondition) else plan.neurons,
        attained_seconds=attained.seconds,
        advice=advice(Case(plan, request, told, proved.upper, attained.lower, seconds)),
    )


def _information(plan: Plan, proved: Proved, attained: Attained, request: Request) -> dict[str, Any]:
    """What nobody proves and everybody may want to know."""
    network, tree = plan.searched, proved.tree
    information: dict[str, Any] = {
        "source": network.source if isinstance(network, Network) else "stacked form",
        "source_details": dict(network.details) if isinstance(network, Network) else {},
        "output_rows": None if request.output_rows is None else [int(r) for r in request.output_rows],
        "seed": request.seed,
        "tol": request.tol,
        "execution_level": "R: real arithmetic on the stated weights, l2 to l2, "
        + ("on a region" if request.region is not None else "global"),
        "history": [[p.iteration, p.upper, p.lower, p.seconds] for p in proved.told.history],
        "versions": {
            "sdpcert": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }
    if isinstance(tree, StackedCondition) and plan.claimed is not None:
        information["slack"] = slack_of(plan.claimed, tree.form, tree.proof, attained)
    if request.output_pair is not None:
        information["output_pair"] = list(request.output_pair)
    information |= proved.told.information
    if isinstance(tree, Sequence) and tree.cuts:
        information["cuts"] = list(tree.cuts)
    return information
