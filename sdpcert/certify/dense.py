"""One stacked form: solve its condition, and fall back on cheaper points if that is not proved near its optimum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.certificate.sequence import Sequence
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certify.cut import CutCandidate
from sdpcert.certify.plan import Candidate, Plan, Proven, Told, Tried, announce, leaving_time
from sdpcert.certify.repair import repair
from sdpcert.certify.request import Request
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers import SOLVERS, closed_form, product
from sdpcert.solvers.effort import choose_method, estimate
from sdpcert.solvers.solution import Budget, Solution, SolverError

#: Joint scaling repairs rounding; a point that needs more is infeasible, and `repair` finds a better one near it.
ROUNDING_REPAIR = 1e-7
#: A layer's largest weight above which, or below one over which, a failed proof is put down to the range of float64.
LARGEST_SCALE = 1e50
#: How much larger the norms of a product are made until they are proved: relative, and in units of their uncertainty.
INFLATIONS = ((1e-11, 1.0), (1e-9, 4.0), (1e-7, 16.0), (1e-5, 256.0))
PRODUCT = "the product of norms"


@dataclass(eq=False)
class DensePoint(Candidate):
    """A point of one stacked form's condition.

    A point of a solver may be infeasible: then it is `repaired` by a feasible one near it. A product of norms may be
    tight in hidden directions, where joint scaling gives no room: its norms are `inflated`.
    """

    form: StackedForm
    solution: Solution
    repaired: bool = False
    inflated: bool = False

    def __post_init__(self) -> None:
        self.bound, self.status = self.solution.bound, self.solution.status
        self.iterations, self.history = self.solution.iterations, self.solution.history

    def prove(self, below: float, budget: Budget) -> Proven:
        with first_interrupt_waits():
            proof, notes = self._proof()
        dual = self.solution.dual
        if proof is None:
            return Proven(None, dual, notes)
        if not self.form.neurons:  # the norm is the optimum
            dual = self.solution.bound * (1 - 1e-12)
        return Proven(StackedCondition(self.form, proof), dual, notes)

    def _proof(self) -> tuple[Proof | None, tuple[str, ...]]:
        form, solution = self.form, self.solution
        problem = ProofProblem(form, solution.exponent)
        small = tuple(tau for tau in REPAIRS if tau <= ROUNDING_REPAIR)
        proof = problem.prove(solution.rho, solution.multipliers, small)
        if proof is None and self.repaired:
            near = repair(form, solution)
            proof = None if near is None else problem.prove(near.rho, near.multipliers)
            if proof is not None:
                return proof, ("the solver's point is infeasible: the bound is that of a feasible point near it",)
        if proof is None:
            proof = problem.prove(solution.rho, solution.multipliers, REPAIRS[len(small) :])
        for inflation in INFLATIONS if self.inflated else ():
            if proof is not None:
                break
            larger = product(form, *inflation)
            proof = ProofProblem(form, larger.exponent).prove(larger.rho, larger.multipliers)
        return proof, ()


class DensePlan(Plan):
    """A stacked form by `method`: "neuron", "layer" or "product"; `network` is what it was made of, if it is known."""

    def __init__(
        self, form: StackedForm, method: str, solver: str = "native", device: str = "cpu", tol: float = 1e-6
    ) -> None:
        for (to, source), block in form.blocks.items():
            if not block.finite:
                raise ValueError(f"the map from group {source} to group {to} of the network is not finite (overflow)")
        self.form, self.method, self.solver, self.device, self.tol = form, method, solver, device, tol
        self.searched, self.neurons = form, form.neurons
        self.network: Network | None = None
        self.rows: tuple[int, ...] | None = None
        self.notes = rounding_notes(form)
        self.announced = False

    @staticmethod
    def of(network: Network | StackedForm, request: Request) -> DensePlan:
        """The plan for a network as it is asked for; "auto" becomes the best method that fits time and memory."""
        whole = network.stacked if isinstance(network, Network) else network
        if request.output_rows is not None:
            whole = whole.output_rows(request.output_rows)
        form, method, reason = whole.reduced(), request.method, ""
        if method == "auto":
            method, reason = choose_method(form, request.time_limit, request.memory_limit)
        plan = DensePlan(form, method, request.solver, request.device, request.tol)
        plan.notes += [reason] if reason else []
        plan.searched, plan.claimed, plan.announced = whole, whole, True
        if isinstance(network, Network):
            plan.network = plan.searched = network
            plan.rows = None if request.output_rows is None else tuple(request.output_rows)
        return plan

    @property
    def is_closed(self) -> bool:
        """Whether nothing is solved: without neurons the norm is the optimum."""
        return self.method == "product" or not self.form.neurons

    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        """The solver's point, then cheaper ones, then the network in parts."""
        if self.is_closed:
            yield self._product()
        elif self.solver != "native":
            solution = SOLVERS[self.solver](self.form, self.method, budget, self.device)
            yield DensePoint(self.form, solution, repaired=True)
        else:
            yield from self._native(self._kept(budget) if self.announced else budget)
        if self.network is not None and not self.form.is_chain:
            yield CutCandidate(self.network, self.rows)

    def _native(self, budget: Budget) -> Iterator[Candidate]:
        form, native, status = self.form, SOLVERS["native"], ""
        try:
            lead = native(form, self.method, budget, self.device)
        except SolverError as error:
            self.notes.append(str(error))
        else:
            status = lead.status
            yield DensePoint(form, lead, repaired=True)
        offers = [("the closed form", lambda: closed_form(form))]
        if self.method == "neuron" and status == "stalled":
            offers.insert(0, ("one multiplier per layer", lambda: native(form, "layer", budget, self.device)))
        for way, offer in offers:
            try:
                point = offer()
            except SolverError:
                continue
            yield DensePoint(form, point, way=way)
        yield DensePoint(form, product(form), inflated=True, way=PRODUCT)

    def _kept(self, budget: Budget) -> Budget:
        """The budget of the search, which leaves time to prove what it finds."""
        estimated = estimate(self.form, self.method)
        self.notes += announce(f"unrolled, {self.method}", estimated, budget)
        kept = min(estimated.proof, 0.8 * budget.seconds) if budget.seconds < inf else 0.0
        return leaving_time(replace(budget, seconds=budget.seconds - kept))

    def _product(self) -> DensePoint:
        form, solution = self.form, product(self.form)
        if form.neurons and not form.is_chain:
            recursion = closed_form(form)
            if recursion.bound < solution.bound:
                self.notes.append(
                    "the network is no chain: the closed form of the forward recursion, below the sum over paths"
                )
                solution = recursion
        return DensePoint(form, solution, inflated=True)

    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        """Whether the best bound is within the tolerance of the optimum."""
        best = min((t.upper for t in tried), default=inf)
        return best < inf and gap_of(tried[0].proven.dual, best) <= self.tol

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        """Dual bound, status and iterations are those of the first point, which was asked for."""
        lead = tried[0]
        notes = [*self.notes, *lead.proven.notes]
        dual, status = lead.proven.dual, lead.candidate.status
        upper = inf if best is None else best.upper
        if not self.is_closed and not any(isinstance(t.proven.tree, StackedCondition) for t in tried):
            notes.append(f"the point of solver {self.solver} could not be proved")
        if best is None:
            notes += range_notes(self.form) or ["nothing was proved, not even the product of norms"]
        elif isinstance(best.proven.tree, Sequence):
            notes += best.proven.notes
        else:
            if best.candidate.way:
                notes.append(f"the bound is that of {best.candidate.way}: nothing better was proved")
                status = "optimal" if status == "stalled" and gap_of(dual, upper) <= self.tol else status
            notes += self._accuracy(dual, status, upper)
        return Told(dual, status, lead.candidate.iterations, lead.candidate.history, tuple(notes))

    def _accuracy(self, dual: float, status: str, upper: float) -> list[str]:
        """What to say if the proved bound is not known to be within the tolerance of the optimum."""
        if self.is_closed or dual <= 0 or gap_of(dual, upper) <= 1.01 * self.tol:
            return []
        reached = (
            f"the tolerance {self.tol:g} was not reached: the bound is within {gap_of(dual, upper):.2g} of the optimum"
        )
        if status in ("time limit", "interrupted"):
            return [f"{reached}; more time would improve it"]
        if status == "optimal":
            return [f"{reached}; the solver came closer, the rest pays for rounding in the proof"]
        other = "clarabel" if self.solver == "native" else "native"
        return [f"{reached}; another solver (solver={other!r}) may come closer"]


def rounding_notes(form: StackedForm) -> list[str]:
    """What rounding the products of layers costs, if it costs anything."""
    radius = max((b.radius for b in form.blocks.values()), default=0.0)
    if radius > 0:
        return [
            "affine layers were multiplied together in doubled precision; "
            f"what that lost, at most {radius:.2g} per entry, is allowed for"
        ]
    return []


def range_notes(form: StackedForm) -> list[str]:
    """Why nothing was proved of layers so large or so small that multipliers, like squares, leave float64's range."""
    largest = [float(np.abs(block.weights).max(initial=0.0)) for block in form.blocks.values()]
    if all(1 / LARGEST_SCALE <= scale <= LARGEST_SCALE for scale in largest if scale > 0):
        return []
    shown = max((scale for scale in largest if scale > 0), key=lambda scale: abs(np.log10(scale)))
    return [f"a layer's largest weight is {shown:.1g}, and float64 does not hold the multipliers: rescale the layers"]


def gap_of(dual: float, upper: float) -> float:
    """How far a proved bound may be above the optimum, relative."""
    return 1 - dual / upper if upper > 0 else 0.0
