"""Solve one stacked form and prove the best point that is found, falling back on cheaper ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.certify.repair import repair
from sdpcert.network.stacked import StackedForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers import SOLVERS, closed_form, product
from sdpcert.solvers.solution import Budget, Solution, SolverError

#: Joint scaling repairs rounding; a point that needs more is infeasible, and `repair` finds a better one near it.
ROUNDING_REPAIR = 1e-7
#: A layer's largest weight above which, or below one over which, a failed proof is put down to the range of float64.
LARGEST_SCALE = 1e50


def check_finite(form: StackedForm) -> None:
    for (to, source), block in form.blocks.items():
        if not block.finite:
            raise ValueError(f"the map from group {source} to group {to} of the network is not finite (overflow)")


def rounding_notes(form: StackedForm) -> list[str]:
    radius = max((b.radius for b in form.blocks.values()), default=0.0)
    if radius > 0:
        return [
            "affine layers were multiplied together in doubled precision; "
            f"what that lost, at most {radius:.2g} an entry, is allowed for"
        ]
    return []


def range_notes(form: StackedForm) -> list[str]:
    """Why nothing was proved where layers are so large or so small that multipliers, like squares, leave float64."""
    largest = [float(np.abs(block.weights).max(initial=0.0)) for block in form.blocks.values()]
    if all(1 / LARGEST_SCALE <= scale <= LARGEST_SCALE for scale in largest if scale > 0):
        return []
    shown = max((scale for scale in largest if scale > 0), key=lambda scale: abs(np.log10(scale)))
    return [f"a layer's largest weight is {shown:.1g}, and float64 does not hold the multipliers: rescale the layers"]


def solve_and_prove(
    form: StackedForm, method: str, solver: str, budget: Budget, device: str, notes: list[str]
) -> tuple[Solution, Proof | None, float]:
    if not form.neurons or method == "product":
        # Without neurons the norm is the optimum, and the product of norms is a point of the condition in any case.
        solution = product(form)
        if form.neurons and not form.is_chain:
            recursion = closed_form(form)
            if recursion.bound < solution.bound:
                notes.append(
                    "the network is no chain: the closed form of the forward recursion, below the sum over paths"
                )
                solution = recursion
        proof, seconds = prove(form, solution, inflate=True)
        if not form.neurons and proof is not None:
            exact = solution.bound * (1 - 1e-12)
            solution = Solution(solution.rho, solution.multipliers, solution.exponent, exact, 0, "closed form")
        return solution, proof, seconds
    if solver != "native":
        solution = SOLVERS[solver](form, method, budget, device)
        proof, seconds = prove(form, solution, notes=notes)
        notes += _accuracy(solution, proof, budget.tol, solver)
        return solution, proof, seconds
    try:
        solution = SOLVERS[solver](form, method, budget, device)
        proof, seconds = prove(form, solution, notes=notes)
    except SolverError as error:
        notes.append(str(error))
        solution, proof, seconds = product(form), None, 0.0
    (solution, proof), more = _cheaper(form, method, solution, proof, budget, device, notes)
    notes += _accuracy(solution, proof, budget.tol, solver)
    return solution, proof, seconds + more


def _cheaper(
    form: StackedForm,
    method: str,
    solution: Solution,
    proof: Proof | None,
    budget: Budget,
    device: str,
    notes: list[str],
) -> tuple[tuple[Solution, Proof | None], float]:
    """The best proved of the solver's point and, where that is not within the tolerance, those of cheaper methods; and
    the seconds that proving took.

    A worse point that is proved beats a better one that is not.
    """
    offers: list[tuple[str, Callable[[], Solution], bool]] = [
        ("the closed form", lambda: closed_form(form), False),
        ("the product of norms", lambda: product(form), True),
    ]
    if method == "neuron" and solution.status == "stalled":
        offers.insert(0, ("one multiplier a layer", lambda: SOLVERS["native"](form, "layer", budget, device), False))
    found, taken, seconds = solution, "", 0.0
    for name, offer, inflate in offers:
        if proof is not None and gap_of(solution.dual, proof) <= budget.tol:
            break
        with suppress(SolverError):
            other = offer()
            if proof is not None and not other.bound < bound_of(proof):
                continue
            proof_of_other, more = prove(form, other, inflate)
            seconds += more
            if proof_of_other is not None and (proof is None or bound_of(proof_of_other) < bound_of(proof)):
                found, proof, taken = other, proof_of_other, name
    if taken and proof is not None:
        notes.append(f"the bound is that of {taken}: nothing better was proved")
        reached = solution.status == "stalled" and gap_of(solution.dual, proof) <= budget.tol
        found = replace(
            found,
            dual=solution.dual,
            iterations=solution.iterations,
            history=solution.history,
            status="optimal" if reached else solution.status,
        )
    return (found, proof), seconds


def bound_of(proof: Proof) -> float:
    return float(np.ldexp(np.sqrt(proof.rho), proof.exponent))


def gap_of(dual: float, proof: Proof) -> float:
    """How far the proved bound may be above the optimum, relative."""
    bound = bound_of(proof)
    return 1 - dual / bound if bound > 0 else 0.0


def _accuracy(solution: Solution, proof: Proof | None, tol: float, solver: str) -> list[str]:
    """What to say where the proved bound is not known to be within the tolerance of the optimum."""
    if proof is None or solution.dual <= 0 or gap_of(solution.dual, proof) <= 1.01 * tol:
        return []
    reached = (
        f"the tolerance {tol:g} was not reached: the bound is within {gap_of(solution.dual, proof):.2g} of the optimum"
    )
    if solution.status in ("time limit", "interrupted"):
        return [f"{reached}; more time would improve it"]
    if solution.status == "optimal":
        return [f"{reached}; the solver came closer, the rest pays for rounding in the proof"]
    other = "clarabel" if solver == "native" else "native"
    return [f"{reached}; another solver (solver={other!r}) may come closer"]


def prove(
    form: StackedForm, solution: Solution, inflate: bool = False, notes: list[str] | None = None
) -> tuple[Proof | None, float]:
    started = time.perf_counter()
    with first_interrupt_waits():
        proof = _proof_of(form, solution, inflate, notes)
    return proof, time.perf_counter() - started


def _proof_of(form: StackedForm, solution: Solution, inflate: bool, notes: list[str] | None) -> Proof | None:
    problem = ProofProblem(form, solution.exponent)
    small = tuple(tau for tau in REPAIRS if tau <= ROUNDING_REPAIR)
    proof = problem.prove(solution.rho, solution.multipliers, small)
    if proof is None and notes is not None:
        near = repair(form, solution)
        proof = None if near is None else problem.prove(near.rho, near.multipliers)
        if proof is not None:
            notes.append("the solver's point is infeasible: the bound is that of a feasible point near it")
    if proof is None:
        proof = problem.prove(solution.rho, solution.multipliers, REPAIRS[len(small) :])
    if proof is None and inflate:
        # A product of norms can be tight in hidden directions, where joint scaling gives no room: larger norms do.
        for relative, uncertainty in ((1e-11, 1.0), (1e-9, 4.0), (1e-7, 16.0), (1e-5, 256.0)):
            solution = product(form, relative, uncertainty)
            proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
            if proof is not None:
                break
    return proof
