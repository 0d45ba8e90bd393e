"""A convolutional network over frequencies: the front on a torus and the head that reads it, by one way after another.

If the head reads a group of neurons, front and head are solved together: the head in the metric `sum_c d_c |z_c|^2`
with one d_c for each channel, a shift-invariant upper bound of the head's Gram matrix, which the front has its output
measured in. Otherwise they are bounded one after the other, and the bound is the product.

A way that fails (a solver without a point, a proof that does not come off, a checker that rejects) leaves a note and
never costs what another way proved. Measured, the ways that solve cost about the same, and one multiplier per channel
with the joint head has the least optimum: so that one is first, and the others are for where it was not proved, or its
gap leaves room for them. Under a time limit the product of norms comes before all: it is there when time is up, and
says how long proofs take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, nextafter

import numpy as np

from sdpcert.arithmetic.spectra import spectral_norm
from sdpcert.certificate.part import Part
from sdpcert.certificate.sequence import Joint, in_sequence
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certificate.torus_condition import TorusCondition
from sdpcert.certificate.torus_proof import TorusProof, prove_torus
from sdpcert.certify.construction import prove_point, prove_point_on_torus
from sdpcert.certify.dense import SHARED, DensePlan, DensePoint, range_notes, rounding_notes
from sdpcert.certify.front import SCALE_BITS, front_and_head, read_scaled
from sdpcert.certify.plan import FAILURES, Candidate, Plan, Proven, Told, Tried, announce, leaving_time
from sdpcert.certify.proved import prove_best
from sdpcert.certify.request import CLOSED_FORMS, Request
from sdpcert.condition.frequency import FrequencyCondition, Head
from sdpcert.network.construction import ConstructedNetwork, Construction
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.network.torus import Taps, TorusForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers.effort import estimate_frequencies, exact_check_seconds
from sdpcert.solvers.product_of_norms import product_multipliers
from sdpcert.solvers.solution import Budget, Solution
from sdpcert.solvers.working_set import FrequencySolution, solve_frequencies

Array = np.ndarray
#: Another way is tried if the first one's proved bound is above its dual bound by more than this share.
PAYS = 1e-3
#: How much longer than the proof of the product a proof of a solved point may take, with the search for two inputs.
RESERVE = 2.0
NAMES = {"neuron": "one multiplier per channel", "layer": "one multiplier per layer", "product": "the product of norms"}


@dataclass(frozen=True)
class Way:
    """One multiplier per channel, one per layer or a closed form; front and head together, or one after the other."""

    method: str
    joint: bool = False

    def __str__(self) -> str:
        return NAMES.get(self.method, self.method) + (", front and head together" if self.joint else "")


class FrequencyPlan(Plan):
    """A network with its front on a torus: `embedding`, the `form` of the front, and the `head` if there is one."""

    def __init__(self, network: Network, request: Request, torus: tuple[int, int] | None = None) -> None:
        if request.solver != "native":
            raise ValueError(
                f"solver {request.solver!r} does not work over frequencies: use solver 'native', or form='unrolled'"
            )
        self.method = "neuron" if request.method == "auto" else request.method
        # Layers know a multiplier for every channel, so channels that read the same stay apart for them.
        share = self.method != "by-construction"
        self.embedding, self.form, self.head = front_and_head(network, request.output_rows, torus, share)
        self.searched, self.neurons = network, network.neurons
        shared = self.head is not None and self.head.is_coupled and self.method == "neuron"
        self.method = "layer" if shared else self.method
        self.constructed: ConstructedNetwork | None = None
        if isinstance(network, ConstructedNetwork):
            arrangement = self.embedding.arrangement
            known = network.construction.arranged(arrangement)
            self.constructed = ConstructedNetwork.of(arrangement.network, known)
        self.solver = "native, over frequencies"
        self.device, self.tol = request.device, request.tol
        self.joint = request.head == "joint" and self.head is not None and not self.is_closed
        self.notes: list[str] = [SHARED] if shared else []
        self.failures: list[str] = []

    @property
    def is_closed(self) -> bool:
        """Whether nothing is solved: a front without neurons is a norm."""
        return self.method in CLOSED_FORMS or not self.form.groups

    @property
    def reads(self) -> Array:
        """Where every input of the network lies among those of the tree."""
        return self.embedding.input_index

    @property
    def gives(self) -> Array:
        """Where every output of the network lies among those of the tree (all outputs, none chosen)."""
        if self.head is not None:
            return self.embedding.output_order
        return np.arange(self.form.outputs) if self.form.pooled else self.embedding.output_index

    def construction(self, front: bool) -> Construction:
        """What the layers of the front, or of the head, know; raises ValueError if nothing is known of them."""
        if self.constructed is None:
            raise ValueError("the network knows no multipliers by construction; see sdpcert.from_torch")
        cut, end = self.embedding.cut, self.constructed.output
        if front:
            return self.constructed.construction.before(end if self.embedding.head is None else cut)
        return self.constructed.part(cut, end).construction

    @property
    def embedded(self) -> tuple[str, ...]:
        """What holds of the embedding, whatever the way."""
        rows, columns = self.form.torus
        channels = ", ".join(str(size) for size in self.form.sizes[:-1])
        return (*self.form.notes, f"embedded in a torus of {rows} x {columns} cells with {channels} channels")

    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        """The way that was asked for, and the others; under a time limit after the product of norms."""
        if self.method not in CLOSED_FORMS:
            estimated = estimate_frequencies(self.form, self.head, self.method)
            self.notes += announce(f"over frequencies, {self.method}", estimated, budget)
        search, asked, product = leaving_time(budget), Way(self.method, self.joint), Way("product")
        if self.is_closed:
            yield from self._offer(asked, search)
            return
        left = [asked, *([Way(self.method)] if self.joint else [])]
        left += [Way("layer", self.joint)] if self.method == "neuron" else []
        if search.seconds < inf:
            started = search.elapsed
            yield from self._offer(product, search, at_once=True)
            search = replace(search, seconds=search.seconds - RESERVE * (search.elapsed - started))
            if search.spent:
                self.left_rungs = True
                self.failures.append("product of norms: the time limit leaves no time to search more and to prove it")
        else:
            left.append(product)
        for way in left:
            if not search.spent:
                yield from self._offer(way, search)

    def _offer(self, way: Way, budget: Budget, at_once: bool = False) -> Iterator[Candidate]:
        """The point of one way, nothing if it has none."""
        try:
            if way.method in CLOSED_FORMS or not self.form.groups:
                yield FrontInClosedForm(self, way, budget, at_once=at_once)
            else:
                yield self._solved(way, budget)
        except FAILURES as error:
            self.failures.append(f"{way}: {str(error) or type(error).__name__}")

    def _solved(self, way: Way, budget: Budget) -> Candidate:
        channels = self.embedding.output_index // self.form.cells
        together = Head(self.head, channels, self.embedding.output_group) if way.joint and self.head else None
        solved = solve_frequencies(self.form, way.method, budget, self.device, together)
        return FrontPoint(self, way, budget, solved)

    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        """Whether the first way that solves has the best bound, near its dual bound; or time or patience is over."""
        solved = [t for t in tried if not t.candidate.closed]
        best = min((t.upper for t in tried), default=inf)
        if best < inf and any(t.candidate.status == "interrupted" for t in solved):
            return True
        return bool(solved) and solved[0].upper == best < inf and best - solved[0].proven.dual <= PAYS * best

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        """Dual bound and history are those of the first way that solved, the iterations those of all."""
        solved = [t for t in tried if not t.candidate.closed]
        lead = solved[0] if solved else None
        shown = best or lead or (tried[0] if tried else None)
        notes = [*self.notes, *self.embedded, *(() if shown is None else shown.proven.notes), *self.failures]
        for other in tried:  # why what was asked for is not what came
            if other is not shown and other.proven.tree is None:
                notes += [f"{other.candidate.way}: {note}" for note in other.proven.notes[-1:]]
        asked = str(Way(self.method, self.joint))
        if best is not None and best.candidate.way != asked:
            notes.append(f"the bound is that of {best.candidate.way}: nothing better was proved")
        elif best is not None and best is lead and best.upper - best.proven.dual > 2 * self.tol * best.upper:
            dual = best.proven.dual
            known = f"at most {(best.upper - dual) / best.upper:.1e} above it" if dual > 0 else "above it"
            notes.append(f"the optimum of the condition was not reached to the tolerance: the bound is {known}")
        if best is None or best.proven.tree is None:
            notes.append("nothing was proved")
        elif best.proven.tree.level != "exact" and exact_check_seconds(self.form) < inf:
            notes.append("checked with rigorous floating-point bounds: the time limit leaves no time for integers")
        status = "stalled"
        if shown is not None:
            status = lead.candidate.status if lead is not None and shown.candidate.closed else shown.candidate.status
        told = lead or shown
        return Told(
            0.0 if told is None else told.proven.dual,
            status,
            sum(t.candidate.iterations for t in tried),
            () if told is None else told.candidate.history,
            tuple(notes),
        )


@dataclass(eq=False)
class _Front(Candidate):
    """The front of a plan by one way, and the head that follows once the front is proved."""

    plan: FrequencyPlan
    how: Way
    budget: Budget

    def __post_init__(self) -> None:
        self.way = str(self.how)

    @property
    def estimated_proof(self) -> float:
        return estimate_frequencies(self.plan.form, self.plan.head, self.how.method).proof

    def _with_head(self, proven: Proven, proof: TorusProof, d: Array, t: Array, known: Solution | None) -> Proven:
        """The tree of the front, proved in the metric `d`, and of the head, which reads it in the scales `t`."""
        plan = self.plan
        front = TorusCondition(plan.form, replace(proof, metric=d))
        if plan.head is None:
            return replace(proven, tree=front)
        scale = t[plan.embedding.output_index // plan.form.cells]
        head = self._head(read_scaled(plan.head, scale).reduced(), known)
        notes = (*proven.notes, *(f"head: {note}" for note in head.notes))
        if head.tree is None:
            return _failed(replace(proven, notes=notes), "the point of the head could not be proved")
        tree: Part = in_sequence((front, head.tree), (Joint(plan.embedding.output_index, scale),))
        dual = proven.dual if self.how.joint else proven.dual * head.dual
        return replace(proven, tree=tree, dual=dual, notes=notes, solve_seconds=head.solve_seconds)

    def _head(self, form: StackedForm, known: Solution | None) -> Proven:
        """The head by the same method; `known` is a point that is feasible up to rounding, if there is one."""
        plan, method = self.plan, self.how.method
        if method == "by-construction":
            proof = prove_point(form, plan.construction(front=False))
            return Proven(None if proof is None else StackedCondition(form, proof))
        fits = known is not None and [len(t) for t in known.multipliers] == [g.size for g in form.groups]
        if known is not None and fits and self.budget.spent:
            proven = DensePoint(form, known, repaired=True).prove(inf, self.budget)
            if proven.tree is not None:
                return replace(proven, notes=(*rounding_notes(form), *proven.notes))
        dense = DensePlan(form, method, device=plan.device, tol=plan.tol)
        proved = prove_best(dense, dense.candidates(self.budget), self.budget)
        notes = proved.told.notes if proved.tree is not None else (*proved.told.notes, *range_notes(form))
        return Proven(proved.tree, proved.told.dual or 0.0, notes, proved.solve_seconds)


@dataclass(eq=False)
class FrontInClosedForm(_Front):
    """The front's product of norms, or the point that its layers know."""

    def prove(self, below: float, budget: Budget) -> Proven:
        plan, form, dual = self.plan, self.plan.form, 0.0
        with first_interrupt_waits():
            if self.how.method == "by-construction":
                proof = prove_point_on_torus(form, plan.construction(front=True))
            else:
                _, proof = _product(form)
        if not form.groups and proof is not None and self.how.method != "by-construction":  # the norm is the optimum
            dual = float(np.ldexp(np.sqrt(proof.rho), proof.exponent)) * (1 - 1e-9)
        notes = () if plan.head is None else ("front and head were bounded one after the other",)
        proven, ones = Proven(None, dual, notes), np.ones(form.outputs)
        if proof is None:
            return _failed(proven, "the front could not be proved over all frequencies")
        return self._with_head(proven, proof, ones, ones, None)


@dataclass(eq=False)
class FrontPoint(_Front):
    """A point of the front over a working set of frequencies, with the metric that the head reads it in if joint."""

    solved: FrequencySolution

    def __post_init__(self) -> None:
        super().__post_init__()
        point = self.solved.point
        self.status, self.iterations, self.history = point.status, point.iterations, point.history

    def prove(self, below: float, budget: Budget) -> Proven:
        plan, solved, joint = self.plan, self.solved, self.how.joint
        form, point, condition = plan.form, solved.point, solved.condition
        notes = [f"solved over {solved.frequencies} of {len(form.frequencies)} frequencies, proved over all"]
        if plan.head is not None:
            how = "together, in a metric with one weight per channel" if joint else "one after the other"
            notes.append(f"front and head were bounded {how}")
        proven = Proven(None, point.dual, tuple(notes))
        d = t = np.ones(form.outputs)
        if joint:
            metric = condition.metric(point.y)
            if not (np.all(np.isfinite(metric)) and np.all(metric > 0)):
                return _failed(proven, "the metric between front and head left the range of float64")
            d, t = _metric(metric)
        front = FrequencyCondition(_measured(form, d), self.how.method, condition.frequencies)
        unit = 2.0 ** (-2 * front.exponent) if joint else 2.0 ** (2 * (point.exponent - front.exponent))
        with first_interrupt_waits():
            proof = prove_torus(front, np.asarray(point.y[: front.variables]) * unit)
        if proof is None:
            return _failed(proven, "the solver's point could not be proved over all frequencies")
        return self._with_head(proven, proof, d, t, _known(solved, t) if joint else None)


def _failed(proven: Proven, reason: str) -> Proven:
    return replace(proven, notes=(*proven.notes, reason))


def _known(solved: FrequencySolution, t: Array) -> Solution | None:
    """The head's part of a joint point, for the head that is read in the scales t."""
    condition, point = solved.condition, solved.point
    rho = float(np.max(condition.metric(point.y) * t * t)) * (1 + 2.0**-50)
    multipliers = condition.head_multipliers(point.y)
    return Solution(rho, multipliers, point.exponent, 0.0, point.iterations, point.status)


def _metric(d: Array) -> tuple[Array, Array]:
    """Weights d_c near the given ones and scales t_c of few bits with `d_c t_c^2 >= 1` exactly."""
    t = np.array([_few_bits_up(1 / np.sqrt(value)) for value in d])
    inverse = [Fraction(1) / Fraction(float(value)) ** 2 for value in t]
    rounded = [float(value) for value in inverse]
    up = [r if Fraction(r) >= exact else nextafter(r, inf) for r, exact in zip(rounded, inverse, strict=True)]
    return np.array(up), t


def _few_bits_up(value: float) -> float:
    mantissa, exponent = np.frexp(value)
    return float(np.ldexp(np.ceil(np.ldexp(mantissa, SCALE_BITS)), int(exponent) - SCALE_BITS))


def _measured(form: TorusForm, d: Array) -> TorusForm:
    """The form whose output is multiplied by sqrt(d), for the search of a point; the proof uses d itself."""
    if np.all(d == 1):
        return form
    root = np.sqrt(d)[:, None]
    blocks = {
        key: Taps(t.offsets, root * t.weights, t.radius) if key[0] == form.output_row else t
        for key, t in form.blocks.items()
    }
    return replace(form, blocks=blocks)


def _product(form: TorusForm) -> tuple[FrequencyCondition, TorusProof | None]:
    """The product of the norms over all frequencies, as a point that is proved."""
    condition = FrequencyCondition(form, "neuron", form.frequencies[:1])
    norms: dict[tuple[int, int], float] = {}
    for (to, source), block in form.blocks.items():
        at = form.frequencies if not (form.pooled and to == form.output_row) else [(0, 0)]
        largest = max(spectral_norm(block.symbol(k, form.torus)) for k in at)
        if form.pooled and to == form.output_row:
            largest *= float(np.sqrt(form.cells))
        spread = len(block.offsets) * block.radius * sum(block.shape)
        norms[to, source] = (largest + spread) * 2.0 ** (condition.exponents[to] - condition.exponents[source])
    for inflation in (1e-11, 1e-9, 1e-7, 1e-5):
        rho, multipliers = product_multipliers({k: v * (1 + inflation) for k, v in norms.items()}, form.groups)
        # A constant network has rho = 0, which leaves no room at all.
        proof = prove_torus(condition, np.concatenate([[max(rho, 2.0**-600)], *multipliers]))
        if proof is not None:
            return condition, proof
    return condition, None
