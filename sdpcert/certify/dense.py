"""One stacked form: climb the ladder of its points, and fall back on cheaper ones if the best is not proved."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from sdpcert.attained import evaluating
from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.certificate.sequence import Sequence
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certify.cut import CutCandidate
from sdpcert.certify.ladder import Ladder
from sdpcert.certify.plan import Candidate, Plan, Proven, Told, Tried, announce, leaving_time
from sdpcert.certify.repair import repair
from sdpcert.certify.request import Request
from sdpcert.certify.short_values import prove_short
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers import SOLVERS, closed_form, product
from sdpcert.solvers.absolute_values import absolute
from sdpcert.solvers.effort import Effort, choose_method, estimate
from sdpcert.solvers.family import layer_optimum
from sdpcert.solvers.forward import lowest_form
from sdpcert.solvers.segments import sweep
from sdpcert.solvers.solution import Budget, Solution, SolverError

#: Joint scaling repairs rounding; a point that needs more is infeasible, and `repair` finds a better one near it.
ROUNDING_REPAIR = 1e-7
#: A layer's largest weight above which, or below one over which, a failed proof is put down to the range of float64.
LARGEST_SCALE = 1e50
#: How much larger the norms of a product are made until they are proved: relative, and in units of their uncertainty.
INFLATIONS = ((1e-11, 1.0), (1e-9, 4.0), (1e-7, 16.0), (1e-5, 256.0))
#: How much longer than that of a closed form the proof of a point takes that is nearer to the boundary.
PROOFS = 3.0
#: The share of a time limit that a closed form may take for ten of them to be tried.
SHARE_OF_CLOSED_FORM = 0.05
PRODUCT = "the product of norms"


#: What is said of a network with norms of several neurons.
SHARED = "one multiplier per layer: neurons of one l2 norm (norm pooling) share theirs"


@dataclass(eq=False)
class DensePoint(Candidate):
    """A point of one stacked form's condition.

    A point of a solver may be infeasible: then it is `repaired` by a feasible one near it. A product of norms may be
    tight in hidden directions, where joint scaling gives no room: its norms are `inflated`. One with a vector is proved
    by scaling if possible. `asked` is what a method asks for: its dual bound and status are those of the search.
    """

    form: StackedForm
    solution: Solution
    repaired: bool = False
    inflated: bool = False
    asked: bool = False
    proved: bool = field(default=False, init=False)
    proof_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.bound, self.status = self.solution.bound, self.solution.status
        self.iterations, self.history = self.solution.iterations, self.solution.history

    @property
    def estimated_proof(self) -> float:
        return estimate(self.form, "layer").proof

    def prove(self, below: float, budget: Budget) -> Proven:
        started = time.perf_counter()
        with first_interrupt_waits():
            proof, notes = self._proof()
            proof = (None if proof is None else prove_short(self.form, self.solution, proof)) or proof
        self.proved, self.proof_seconds = proof is not None, time.perf_counter() - started
        dual = self.solution.dual
        if proof is None:
            return Proven(None, dual, notes)
        if not self.form.neurons:  # the norm is the optimum
            dual = self.solution.bound * (1 - 1e-12)
        return Proven(StackedCondition(self.form, proof), dual, notes)

    def _proof(self) -> tuple[Proof | None, tuple[str, ...]]:
        form, solution = self.form, self.solution
        problem = ProofProblem(form, solution.exponent)
        if solution.vector is not None:
            scaled = problem.prove_by_scaling(solution.rho, solution.multipliers, solution.vector)
            if scaled is not None:
                return scaled, ()
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
    """A stacked form by `method`: "auto", "neuron", "layer" or "product"; `network` is what it was made of, if it is
    known.

    With "auto" `method` becomes the one whose point is offered last.
    """

    def __init__(
        self,
        form: StackedForm,
        method: str,
        solver: str = "native",
        device: str = "cpu",
        tol: float = 1e-6,
        memory_limit: float = inf,
    ) -> None:
        for (to, source), block in form.blocks.items():
            if not block.finite:
                raise ValueError(f"the map from group {source} to group {to} of the network is not finite (overflow)")
        self.form, self.solver, self.device, self.tol = form, solver, device, tol
        shared = form.is_coupled and method in ("auto", "neuron")
        method = "layer" if shared else method
        self.asked, self.method = method, "neuron" if method == "auto" else method
        self.memory_limit = memory_limit
        self.searched, self.neurons = form, form.neurons
        self.network: Network | None = None
        self.rows: tuple[int, ...] | None = None
        self.notes = rounding_notes(form) + ([SHARED] if shared else [])
        self.announced = False
        self.last: DensePoint | None = None  # the point of the last rung, if higher ones were not begun

    @staticmethod
    def of(network: Network | StackedForm, request: Request) -> DensePlan:
        """The plan for a network as it is asked for."""
        whole = network.stacked if isinstance(network, Network) else network
        if request.output_rows is not None:
            whole = whole.output_rows(request.output_rows)
        form, method, reason = whole.reduced(), request.method, ""
        if method == "auto" and request.solver != "native":
            method, reason = choose_method(form, request.time_limit, request.memory_limit)
        plan = DensePlan(form, method, request.solver, request.device, request.tol, request.memory_limit)
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
        """The points of the ladder, then the network in parts."""
        if self.is_closed:
            yield self._product()
        elif self.solver != "native":
            solution = SOLVERS[self.solver](self.form, self.method, budget, self.device)
            yield DensePoint(self.form, solution, repaired=True, asked=True)
        else:
            ladder = Ladder.of(self.form, self.asked, budget.seconds, self.memory_limit)
            yield from self._at_once(ladder, budget) if ladder.is_quick else self._climb(ladder, budget)
        if self.network is not None and not self.form.is_chain:
            yield CutCandidate(self.network, self.rows)

    def _at_once(self, ladder: Ladder, budget: Budget) -> Iterator[DensePoint]:
        """The solver's point and, unless that is enough, closed forms."""
        if self.method == "neuron" and all(block.weights.min(initial=0.0) >= 0 for block in self.form.blocks.values()):
            yield from self._offered(("the closed form of absolute values", absolute))
        yield from self._whole(ladder, budget, [])
        yield from self._offered(("the closed form", closed_form))
        yield DensePoint(self.form, product(self.form), inflated=True, way=PRODUCT)

    def _climb(self, ladder: Ladder, budget: Budget) -> Iterator[DensePoint]:
        """Closed forms, then sweeps over segments and the solver's point as far as time and memory allow."""
        ways: list[tuple[str, Callable[[StackedForm], Solution]]] = [("the closed form", self._recursion(budget))]
        if self.method == "neuron":
            ways.append(("the closed form of absolute values", absolute))
        climbed = sorted(self._offered(*ways), key=lambda point: point.bound)
        start = next((point.solution for point in climbed if point.way == "the closed form"), None)
        self.method = "product" if self.asked == "auto" else self.method
        yield from climbed
        if not any(point.proved for point in climbed):
            climbed.append(DensePoint(self.form, product(self.form), inflated=True, way=PRODUCT))
            yield climbed[-1]
        if ladder.tries_whole(budget.elapsed) and (yield from self._whole_tried(ladder, budget, climbed)):
            return
        if start is not None and ladder.begins_sweeps(budget.elapsed):
            self.method = "neuron"
            for point in self._sweeps(start, ladder, self._kept(ladder.sweep, budget, climbed)):
                climbed.append(point)
                yield point
        self.last = min(climbed, key=lambda point: point.bound)
        if self.last.status == "interrupted":
            return
        if ladder.takes_whole(budget.elapsed):
            self.method, self.last = "layer" if self.asked == "layer" else "neuron", None
            yield from self._whole(ladder, budget, climbed)
        else:
            self.left_rungs = ladder.whole.memory <= self.memory_limit
            self.notes.append(ladder.next_rung(swept=any(point.asked for point in climbed)))

    def _whole_tried(
        self, ladder: Ladder, budget: Budget, climbed: list[DensePoint]
    ) -> Generator[DensePoint, None, bool]:
        """The solver's point and True; False where its first iterations say that there is no time for it."""
        before, self.method = self.method, "layer" if self.asked == "layer" else "neuron"
        kept, tried = replace(self._kept(ladder.whole, budget, climbed), needed=ladder.needed), False
        for point in self._solved(ladder, kept):
            if point.status == "time limit" and not kept.spent:
                break
            tried = True
            yield point
        self.method = self.method if tried else before
        return tried

    def _recursion(self, budget: Budget) -> Callable[[StackedForm], Solution]:
        """The closed form, of the best share where trying some takes little of the time."""

        def offer(form: StackedForm) -> Solution:
            began = budget.elapsed
            solution = closed_form(form)
            took = budget.elapsed - began
            return lowest_form(form) if took < SHARE_OF_CLOSED_FORM * budget.seconds else solution

        return offer

    def _offered(self, *ways: tuple[str, Callable[[StackedForm], Solution]]) -> Iterator[DensePoint]:
        """The points of closed forms that are finite."""
        for way, offer in ways:
            try:
                solution = offer(self.form)
            except SolverError:
                continue
            if solution.bound < inf:
                yield DensePoint(self.form, solution, way=way)

    def _sweeps(self, start: Solution, ladder: Ladder, budget: Budget) -> Iterator[DensePoint]:
        """The point of sweeps over segments."""
        best, began = None, budget.elapsed
        for solution in sweep(self.form, start, budget):
            best = solution
            if ladder.ends_sweeps(budget.elapsed - began, budget.elapsed):
                break
        if best is not None:
            yield DensePoint(self.form, best, way="sweeps over segments", asked=True)

    def _whole(self, ladder: Ladder, budget: Budget, climbed: list[DensePoint]) -> Iterator[DensePoint]:
        """The solver's point for the whole condition; if it stalls, that with one multiplier per layer as well."""
        yield from self._solved(ladder, self._kept(ladder.whole, budget, climbed))

    def _solved(self, ladder: Ladder, kept: Budget) -> Iterator[DensePoint]:
        native = SOLVERS["native"]
        try:
            in_blocks = ladder.in_blocks
            lead = layer_optimum(self.form, kept) if in_blocks else native(self.form, self.method, kept, self.device)
        except SolverError as error:
            self.notes.append(str(error))
            return
        yield DensePoint(self.form, lead, repaired=True, asked=True)
        if self.method == "neuron" and lead.status == "stalled":
            with suppress(SolverError):
                layer = replace(native(self.form, "layer", kept, self.device), dual=0.0)
                yield DensePoint(self.form, layer, way="one multiplier per layer")

    def _kept(self, estimated: Effort, budget: Budget, climbed: list[DensePoint]) -> Budget:
        """The budget of the search, which leaves time to prove what it finds: as long as cheaper points took, if there
        are any.
        """
        if not self.announced:
            return budget
        self.notes += announce(f"unrolled, {self.method}", estimated, budget)
        if budget.seconds == inf:
            return budget
        proof = PROOFS * max((point.proof_seconds for point in climbed), default=0.0) or estimated.proof
        kept = min(proof, 0.8 * budget.seconds)
        return leaving_time(replace(budget, seconds=budget.seconds - kept), evaluating(self.form))

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
        return best < inf and gap_of(_dual(tried), best) <= self.tol

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        """Status and iterations are those of the last point that was asked for."""
        lead = next((t for t in reversed(tried) if isinstance(t.candidate, DensePoint) and t.candidate.asked), tried[0])
        notes = [*self.notes, *lead.proven.notes]
        dual, status = _dual(tried), lead.candidate.status
        upper = inf if best is None else best.upper
        if not self.is_closed and not any(isinstance(t.proven.tree, StackedCondition) for t in tried):
            notes.append(f"the point of solver {self.solver} could not be proved")
        if best is None:
            notes += range_notes(self.form) or ["nothing was proved, not even the product of norms"]
        elif isinstance(best.proven.tree, Sequence):
            notes += best.proven.notes
        else:
            if best.candidate.way:
                notes.append(f"the bound is that of {best.candidate.way}{self._why(best)}")
                status = "optimal" if status == "stalled" and gap_of(dual, upper) <= self.tol else status
            notes += self._accuracy(dual, status, upper)
        return Told(dual, status, lead.candidate.iterations, lead.candidate.history, tuple(notes))

    def _why(self, best: Tried) -> str:
        """What to add to the way that a bound was proved by, unless the ladder was to end there."""
        return "" if best.candidate is self.last else ": nothing better was proved"

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


def _dual(tried: list[Tried]) -> float:
    """The largest lower bound on the optimum of the condition."""
    return max((t.proven.dual for t in tried), default=0.0)


def gap_of(dual: float, upper: float) -> float:
    """How far a proved bound may be above the optimum, relative."""
    return 1 - dual / upper if upper > 0 else 0.0
