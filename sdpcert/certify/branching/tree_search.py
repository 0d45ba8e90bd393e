"""The loop of branch and bound: best first, and at every moment a cover of the region."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Event

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certify.branching.bounding import Goals, bound_piece
from sdpcert.certify.branching.choosing import Division, divide
from sdpcert.certify.branching.node import Node, Witness
from sdpcert.errors import ProcessEnded
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Piece, Side, Split
from sdpcert.regions.region import Region
from sdpcert.regions.state import State
from sdpcert.running.executors import Here
from sdpcert.running.interrupts import interrupts_noticed
from sdpcert.running.short_repr import ShortRepr
from sdpcert.running.tasks import Task, outcomes
from sdpcert.solvers.solution import Budget, Progress

#: Witnesses that are kept.
MOST_WITNESSES = 8
#: What is subtracted from the norm of a Jacobian in float64, relative, where nobody proves that it is attained.
ROUNDING = 1e-12
#: The share of the tolerance by which a witness has to be better than what is attained to be looked at.
WORTH = 0.1
#: A bound that is as good as zero, which nothing attains of a constant network.
NOTHING = 1e-100
#: Accuracy of the bound of the whole region, relative.
ROOT = 1e-7


@dataclass(frozen=True, eq=False)
class Searched(ShortRepr):
    """What a search found: the pieces of a cover, parents first, and the largest bound of one, rounded up.

    `witnesses` are points of the region where the network stretches most, best first, with what they attain; `lower` is
    the most of that, or what was given. `nodes` pieces were bounded, and `open` of those that were not split have a
    bound above the target. `status` is "optimal" (there are none), "stalled" (the largest bound belongs to a piece that
    cannot be divided), "nodes", "time limit" or "interrupted". `history` has rows of seconds, upper, lower, open
    pieces, nodes. `whole` is the region undivided, `dual` a lower bound on the optimum of its condition.
    """

    pieces: tuple[Piece, ...]
    upper: float
    lower: float
    witnesses: tuple[Witness, ...]
    nodes: int
    open: int
    status: str
    history: tuple[tuple[float, float, float, int, int], ...]
    dual: float
    whole: Piece


def search(
    form: StackedForm,
    region: Region,
    *,
    tol: float = 1e-6,
    nodes: int | None = None,
    budget: Budget | None = None,
    lower: float | Callable[[], float] = 0.0,
    executor: Executor | None = None,
    report: Callable[[Progress], None] | None = None,
    exact: bool = True,
    attains: Callable[[Witness], float] | None = None,
) -> Searched:
    """Divide a region until the largest bound of a piece is at most `(1 + tol)` times what inputs attain.

    `lower` is what is known to be attained, or what tells it; `attains` says how much of a witness's value is attained
    near it (where a kink passes through its point that may be nothing), by default nearly all. At most `nodes` pieces
    are bounded; with `exact` False it is the region alone. With an executor pieces are divided by it, several at a
    time. Interrupted, or once the budget is spent, the search returns what stands.

    Raises ValueError if the region does not fit the network, `SolverError` if the region has no bound at all.
    """
    with interrupts_noticed() as interrupted:
        loop = _Search(tol, budget or Budget(), lower, report, interrupted, attains or _nearly_all)
        loop.begin(State.of(form, region))
        status = "nodes"
        if exact:
            try:
                status = loop.serve(executor or Here(), nodes)
            except KeyboardInterrupt:
                status = "interrupted"
    return loop.searched(status)


class _Search:
    def __init__(
        self,
        tol: float,
        budget: Budget,
        lower: float | Callable[[], float],
        report: Callable[[Progress], None] | None,
        interrupted: Event,
        attains: Callable[[Witness], float],
    ) -> None:
        self.tol, self.budget, self.report, self.attains = tol, budget, report, attains
        #: Set by an interrupt, also by one that a solver took, which then returns its best point.
        self.interrupted = interrupted
        self.given: Callable[[], float] = lower if callable(lower) else lambda: lower
        self.exponent = 0
        #: Every piece with its parent and its side; how those that were split were.
        self.tree: list[tuple[Node, int | None, Side | None]] = []
        self.splits: dict[int, Split] = {}
        #: Pieces that were not split, the largest bound first; those that are, or are being, divided are passed over.
        self.leaves: list[tuple[float, int]] = []
        self.waiting: list[tuple[float, int]] = []
        #: How many are being divided.
        self.under_way = 0
        self.witnesses: list[Witness] = []
        self.history: list[tuple[float, float, float, int, int]] = []

    # ------------------------------------------------------------ what is known

    @property
    def lower(self) -> float:
        """The most that is attained, as far as is known."""
        return max(self.given(), max((w.value for w in self.witnesses), default=0.0))

    @property
    def target(self) -> float:
        """A piece whose bound is not above this needs no further division."""
        return (1 + self.tol) * self.lower

    @property
    def largest(self) -> float:
        """The largest bound of a piece that is not split."""
        while self.leaves and self.leaves[0][1] in self.splits:
            heapq.heappop(self.leaves)
        return -self.leaves[0][0] if self.leaves else 0.0

    def goals(self) -> Goals:
        """How well bounds are wanted."""
        seconds = self.budget.seconds - self.budget.elapsed
        return Goals(self.exponent, 0.1 * self.tol, self.target, self.lower, seconds)

    # ------------------------------------------------------------ the tree

    def begin(self, state: State) -> None:
        """Bound the whole region."""
        goals = Goals(0, ROOT, seconds=self.budget.seconds - self.budget.elapsed)
        root = bound_piece(state, goals)
        if isinstance(root.end, Bounded):
            self.exponent = int(np.frexp(root.bound)[1])
            root = root.rescaled(self.exponent)
        self._keep(root, None, None)
        self._tell()

    def _keep(self, node: Node, parent: int | None, side: Side | None) -> None:
        number = len(self.tree)
        self.tree.append((node, parent, side))
        if isinstance(node.end, Bounded):
            heapq.heappush(self.leaves, (-node.bound, number))
            if not node.is_exact:
                heapq.heappush(self.waiting, (-node.bound, number))
        self._saw(node.witness)

    def _saw(self, witness: Witness | None) -> None:
        if witness is not None and witness.value > self.lower * (1 + WORTH * self.tol):
            proved = replace(witness, value=self.attains(witness))
            self.witnesses = sorted([*self.witnesses, proved], key=lambda w: -w.value)[:MOST_WITNESSES]

    def divided(self, number: int, division: Division | None) -> None:
        """Take over what became of a piece; None if it cannot be divided."""
        if division is None:
            return
        self._saw(division.guess)
        self._keep(division.below, number, "below")
        self._keep(division.above, number, "above")
        self.splits[number] = division.split  # last: an interrupt before this leaves the piece undivided
        self._tell()

    def _next(self) -> int | None:
        """The piece with the largest bound that can be divided and has to be."""
        if not self.waiting or -self.waiting[0][0] <= self.target:
            return None
        return heapq.heappop(self.waiting)[1]

    def _over(self, nodes: int | None) -> str:
        """Why no further piece is divided, or nothing."""
        if self.largest <= max(self.target, NOTHING):
            return "optimal"
        if nodes is not None and len(self.tree) + 2 * self.under_way + 2 > nodes:
            return "nodes"
        if self.interrupted.is_set():
            return "interrupted"
        return "time limit" if self.budget.spent else ""

    # ------------------------------------------------------------ the loop

    def serve(self, executor: Executor, nodes: int | None) -> str:
        """Divide pieces until the search is over; returns the status."""
        with closing(outcomes(executor, divide, self._pieces(nodes))) as divisions:
            for outcome in divisions:
                self.under_way -= 1
                ended = isinstance(outcome.error, ProcessEnded)  # the bound that the piece has stands
                self.divided(outcome.key, None if ended else outcome.result)
                if self._over(nodes) not in ("", "nodes"):
                    break
        return self._over(nodes) or "stalled"

    def _pieces(self, nodes: int | None) -> Iterator[Task[int] | None]:
        """The next piece to divide, None as long as only what is under way can give one."""
        while (status := self._over(nodes)) in ("", "nodes"):
            number = None if status else self._next()
            if number is None:
                yield None
            else:
                self.under_way += 1
                yield Task(number, (self.tree[number][0], self.goals()))

    def _tell(self) -> None:
        row = (self.budget.elapsed, self.largest, self.lower, self._open(), len(self.tree))
        self.history.append(row)
        if self.report is not None:
            self.report(Progress(row[4], row[1], row[2], row[0], open=row[3]))

    def _open(self) -> int:
        target = self.target
        return sum(bound < -target and number not in self.splits for bound, number in self.leaves)

    def searched(self, status: str) -> Searched:
        """What stands."""
        while (parent := self.tree[-1][1]) is not None and parent not in self.splits:  # the interrupt came in between
            self.tree.pop()
        self.leaves = [leaf for leaf in self.leaves if leaf[1] < len(self.tree)]
        pieces = tuple(node.piece(parent, side, self.splits.get(k)) for k, (node, parent, side) in enumerate(self.tree))
        upper = max((_rounded_up(piece) for piece in pieces), default=0.0)
        found = (upper, self.lower, tuple(self.witnesses), len(self.tree), self._open())
        root = self.tree[0][0]
        return Searched(pieces, *found, status, tuple(self.history), root.dual, root.piece(None, None, None))


def _nearly_all(witness: Witness) -> float:
    return witness.value * (1 - ROUNDING)


def _rounded_up(piece: Piece) -> float:
    return square_root_up(piece.end.rho, piece.end.exponent) if isinstance(piece.end, Bounded) else 0.0
