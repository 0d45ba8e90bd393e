"""A network that no form as a whole is small enough for: divided at values that everything passes through.

Every piece is bounded by itself, over frequencies or unrolled, and the bound is the product: memory is that of the
largest piece. At first the pieces are as small as they can be, each by its product of norms, so that there is a bound
soon. Then neighbours are taken together, as many as can be solved for in a while, and one multiplier per neuron or
channel of them replaces their product. What is proved of the others stays, whenever the search ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np

from sdpcert.certificate.sequence import in_sequence
from sdpcert.certify.cut import with_rows
from sdpcert.certify.passages import places_to_divide
from sdpcert.certify.pieces_of_network import BoundedPiece, Piece
from sdpcert.certify.plan import FAILURES, Candidate, Plan, Proven, Told, Tried, leaving_time
from sdpcert.certify.request import CLOSED_FORMS, Request
from sdpcert.network.graph import Network
from sdpcert.solvers.solution import Budget, Progress

#: Estimated seconds that solving for one group of pieces may take, and the share of a time limit.
PATIENCE = 60.0
SHARE = 1 / 8


class DividedPlan(Plan):
    """A network in pieces; `reason` says why it is divided."""

    solver = "native, in parts"

    def __init__(self, network: Network, request: Request, reason: str) -> None:
        self.searched, self.neurons = network, network.neurons
        self.method = "neuron" if request.method == "auto" else request.method
        self.request, self.notes = request, [reason]
        whole = with_rows(network, request.output_rows)
        self.pieces = [Piece(whole, start, end) for start, end in pairwise([0, *places_to_divide(whole)])]

    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        """All pieces by their products of norms, then one group of them after another solved for."""
        search, bounded = leaving_time(budget), []
        for k, piece in enumerate(self.pieces, start=1):
            self._tell(budget, f"part {k} of {len(self.pieces)}, the product of norms")
            found = self._bounded(piece, "product", search)
            if found is None:
                return
            bounded.append(found)
        yield self._candidate(bounded, "the product of norms of all parts", "closed form", search.seconds < inf)
        if self.method in CLOSED_FORMS:
            return
        for group in self._groups():
            if search.spent:
                self.left_rungs = True
                self.notes.append("the time limit left no time to solve for all parts")
                return
            self._tell(budget, f"values {group.start} to {group.end}, {self.method}: {group.fitting.solved}")
            found = self._bounded(group, self.method, search)
            inside = [p for p in bounded if group.start <= p.start and p.end <= group.end]
            if found is not None and found.upper < float(np.prod([p.upper for p in inside])):
                at = bounded.index(inside[0])
                bounded = [*bounded[:at], found, *bounded[at + len(inside) :]]
                yield self._candidate(bounded, "", "optimal")
            if found is not None and found.interrupted:
                raise KeyboardInterrupt

    def _bounded(self, piece: Piece, method: str, budget: Budget) -> BoundedPiece | None:
        try:
            found = piece.bounded(method, self.request, budget)
        except FAILURES as error:
            found = str(error) or type(error).__name__
        if isinstance(found, BoundedPiece):
            return found
        self.notes.append(f"values {piece.start} to {piece.end}, {method}: {found}")
        return None

    def _groups(self) -> list[Piece]:
        """Neighbours together, as many as can be solved for; those that are solved soonest come first."""
        limit = self.request.memory_limit
        patience = min(PATIENCE, SHARE * self.request.time_limit)
        groups, first, left = [], 0, 0
        while first < len(self.pieces):
            last, found = first, None
            while last < len(self.pieces):
                group = Piece(self.pieces[0].network, self.pieces[first].start, self.pieces[last].end)
                if not group.is_solved(limit, patience):
                    break
                found, last = group, last + 1
            if found is not None:
                groups.append(found)
            else:
                left += 1
            first = max(last, first + 1)
        if left:
            self.notes.append(
                f"{left} of {len(self.pieces)} pieces keep their product of norms: solving for one is estimated above "
                f"{patience:.0f} s, or above the memory limit"
            )
        return sorted(groups, key=lambda group: group.seconds)

    def _tell(self, budget: Budget, text: str) -> None:
        if budget.report is not None:
            budget.report(Progress(0, inf, 0.0, budget.elapsed, text))

    def _candidate(self, bounded: list[BoundedPiece], way: str, status: str, at_once: bool = False) -> Candidate:
        return DividedCandidate(tuple(bounded), way=way, status=status, at_once=at_once)

    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        """Never: every candidate is better than the one before."""
        return False

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        """The dual bounds of pieces are none of the whole."""
        if best is None or not isinstance(best.candidate, DividedCandidate):
            return Told(None, "stalled", 0, (), (*self.notes, "nothing was proved"))
        pieces = best.candidate.pieces
        notes = [
            *self.notes,
            f"the bound is the product over {len(pieces)} pieces of the network, each proved by itself",
        ]
        cuts = [piece.end for piece in pieces[:-1]]
        return Told(None, best.candidate.status, 0, (), tuple(notes), {"cuts": cuts} if cuts else {})


@dataclass(eq=False)
class DividedCandidate(Candidate):
    """Pieces with proved bounds, from input to output."""

    pieces: tuple[BoundedPiece, ...]

    def prove(self, below: float, budget: Budget) -> Proven:
        parts = tuple(part for piece in self.pieces for part in piece.parts)
        joints = list(self.pieces[0].joints)
        for before, after in pairwise(self.pieces):
            joints += [after.joint_after(before), *after.joints]
        return Proven(in_sequence(parts, tuple(joints)))
