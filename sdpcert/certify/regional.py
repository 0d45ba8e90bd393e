"""A network on a region: bounds of preactivations, and branch and bound where the region is divided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.attained import Attained, attained_lower_bound
from sdpcert.attained.local import pair_at
from sdpcert.attained.work import RATE
from sdpcert.certificate.cover import Cover, on_region
from sdpcert.certify.acceptance import heard
from sdpcert.certify.branching import Searched, search
from sdpcert.certify.branching.node import Witness
from sdpcert.certify.dense import rounding_notes
from sdpcert.certify.plan import SHARE_OF_SEARCH, Candidate, Plan, Proven, Told, Tried
from sdpcert.certify.request import Request
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Piece
from sdpcert.regions.region import AllInputs, Region
from sdpcert.solvers.solution import Budget

#: Joint scalings (1 + tau) of a point that are tried until a checker accepts its piece.
REPAIRS = (1e-8, 1e-7, 1e-6, 1e-5)
#: How often a checker is asked.
MOST_CHECKS = 40
#: Neurons up to which a form without radii is looked for.
LARGEST_EXACT = 2000
#: What to do about a search that ended early.
ENDED = {
    "time limit": ": more time would improve it",
    "nodes": ": more nodes would improve it",
    "interrupted": ": more time would improve it",
}
#: The share of a time limit that is kept for the proof.
SHARE_OF_PROOF = 0.25


@dataclass(eq=False)
class RegionCandidate(Candidate):
    """The pieces that a search found, with the points of their conditions."""

    form: StackedForm
    region: Region
    searched: Searched

    def __post_init__(self) -> None:
        self.bound, self.status = self.searched.upper, self.searched.status
        self.iterations = self.searched.nodes

    def prove(self, below: float, budget: Budget) -> Proven:
        stated, pieces = self.searched.pieces, list(self.searched.pieces)
        tries = [0] * len(stated)
        for _ in range(MOST_CHECKS):
            left = budget.seconds - budget.elapsed
            answer = heard(on_region(self.form, self.region, tuple(pieces)), left)
            if answer.tree is not None:
                return Proven(answer.tree, self.searched.dual)
            number = answer.rejected
            if number is None or not isinstance(stated[number].end, Bounded) or tries[number] == len(REPAIRS):
                break
            if not any(tries):  # what costs nothing need not be rejected first
                pieces = [larger if self._is_free(larger := _scaled(p, REPAIRS[-1])) else p for p in stated]
            pieces[number] = max(pieces[number], _scaled(stated[number], REPAIRS[tries[number]]), key=_rho)
            tries[number] += 1
        return Proven(None, notes=("the checker did not accept the pieces",))

    def _is_free(self, piece: Piece) -> bool:
        """Whether a piece may be stated without a larger bound of the region."""
        end = piece.end
        return isinstance(end, Bounded) and square_root_up(end.rho, end.exponent) <= self.searched.upper


class RegionPlan(Plan):
    """The stacked form of a network on a region, all inputs included."""

    method, solver = "neuron", "native"

    def __init__(self, network: Network | StackedForm, form: StackedForm, region: Region, request: Request) -> None:
        for (to, source), block in form.blocks.items():
            if not block.finite:
                raise ValueError(f"the map from group {source} to group {to} of the network is not finite (overflow)")
        self.network, self.form, self.region, self.request = network, form, region, request
        self.searched, self.claimed, self.neurons = network, form, form.neurons

    @staticmethod
    def of(network: Network | StackedForm, request: Request) -> RegionPlan:
        """The plan for a network as it is asked for; raises ValueError if the region has another number of inputs."""
        form = network if isinstance(network, StackedForm) else _form_of(network, request.divides)
        if request.output_rows is not None:
            form = form.output_rows(request.output_rows)
        form = form.without_unread()
        region = AllInputs() if request.region is None else request.region.fitted(form.inputs)
        return RegionPlan(network, form, region, request)

    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        """The pieces that branch and bound ends with; one piece unless dividing is asked for."""
        request = self.request
        left = inf if budget.seconds == inf else budget.seconds * (1 - SHARE_OF_PROOF)
        self.found = found = self._attained(budget)
        searched = search(
            self.form,
            self.region,
            tol=request.tol,
            nodes=request.nodes,
            budget=replace(budget, seconds=left),
            lower=found.lower,
            executor=request.executor,
            report=budget.report,
            exact=request.divides,
            attains=self._attains,
        )
        yield RegionCandidate(self.form, self.region, searched)
        if len(searched.pieces) > 1:  # no checker accepted them: the region alone is a bound, too
            whole = replace(searched, pieces=(searched.whole,), upper=inf, status="stalled")
            yield RegionCandidate(self.form, self.region, whole, way="the region undivided")

    def _attained(self, budget: Budget) -> Attained:
        rows = self.request.output_rows if isinstance(self.network, Network) else None
        return attained_lower_bound(
            self.network if isinstance(self.network, Network) else self.form,
            seed=self.request.seed,
            output_rows=rows,
            effort=self.request.effort,
            most=RATE * SHARE_OF_SEARCH * budget.seconds,
            claimed=self.form,
            region=self.region,
        )

    def _attains(self, witness: Witness) -> float:
        """What two inputs near a witness are proved to attain."""
        pair = pair_at(self.form, self.region, witness.point, witness.direction)
        if self.found is None or pair.lower > self.found.lower:
            self.found = pair
        return pair.lower

    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        """Whether there is a bound: there is one search, and the region undivided where its pieces are not accepted."""
        return any(t.upper < inf for t in tried)

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        """Of a divided region no dual bound is known, only what is attained."""
        said = best or tried[0]
        assert isinstance(said.candidate, RegionCandidate)
        searched, tree = said.candidate.searched, said.proven.tree
        dual = None if isinstance(tree, Cover) else said.proven.dual
        status = self._status(said, dual)
        notes = [*rounding_notes(self.form), *(note for t in tried for note in t.proven.notes)]
        if said is not tried[0]:
            notes.append(f"the bound is that of {said.candidate.way}: nothing better was proved")
        elif self.request.divides and status != "optimal" and tree is not None:
            notes.append(f"the tolerance {self.request.tol:g} was not reached ({status})" + ENDED.get(status, ""))
        information = {
            "pieces": sum(isinstance(piece.end, Bounded) for piece in searched.pieces),
            "nodes": searched.nodes,
            "open": searched.open,
            "history": [list(map(float, line)) for line in searched.history],
        }
        return Told(dual, status, searched.nodes, (), tuple(notes), information)

    def _status(self, said: Tried, dual: float | None) -> str:
        """That of the search; of an undivided region whether its condition was solved to the tolerance."""
        if dual is None or said.proven.tree is None or self.request.divides:
            return said.candidate.status
        return "optimal" if dual >= (1 - 2 * self.request.tol) * said.upper else "stalled"


def _form_of(network: Network, divides: bool) -> StackedForm:
    """The stacked form that is divided: one without radii if there is one, since flat pieces need exact proofs."""
    if divides and not network.stacked.is_exact and network.neurons <= LARGEST_EXACT:
        for form in (network.unshared, network.exactly_stacked):
            if form.is_exact:
                return form
    return network.stacked


def _scaled(piece: Piece, tau: float) -> Piece:
    """The piece with its point scaled by 1 + tau, rho twice, which adds tau (F'F + rho E0) to the matrix."""
    end = piece.end
    if not isinstance(end, Bounded):
        return piece
    multipliers = tuple(np.asarray(m) * (1 + tau) for m in end.multipliers)
    return replace(piece, end=replace(end, rho=end.rho * (1 + tau) ** 2, multipliers=multipliers))


def _rho(piece: Piece) -> float:
    assert isinstance(piece.end, Bounded)
    return piece.end.rho
