"""The loop of branch and bound: best first, and at every moment a cover of the region."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import count as counter

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certify.branching.bounding import Goals, Parent, bound_children, bound_of, bound_piece
from sdpcert.certify.branching.choosing import candidates
from sdpcert.certify.branching.node import Node, Witness
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Piece, Side, Split
from sdpcert.regions.reduced import reduced_form
from sdpcert.regions.region import Region
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray
#: How many splits of a piece are compared by bounding both sides.
LOOK_AHEAD = 4
#: Accuracy of bounds while splits are compared.
COARSE = 1e-3
#: Witnesses that are kept.
MOST_WITNESSES = 8


@dataclass(frozen=True, eq=False)
class Searched(ShortRepr):
    """What a search found: the pieces of a cover, parents first, and the largest bound of one, rounded up.

    `witnesses` are points of the region where the network stretches most, best first. `status` is "optimal", "stalled"
    (nothing is left to divide), "nodes", "time limit" or "interrupted". `history` has rows of seconds, upper, lower,
    open pieces and bounded pieces.
    """

    pieces: tuple[Piece, ...]
    upper: float
    lower: float
    witnesses: tuple[Witness, ...]
    nodes: int
    open: int
    status: str
    history: tuple[tuple[float, float, float, int, int], ...]


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
) -> Searched:
    """Divide a region until the largest bound is at most `(1 + tol)` times what inputs attain.

    `lower` is what is known to be attained. `nodes` bounds the number of pieces that are bounded; with `exact` False
    nothing is divided. Interrupted, the search returns what stands.
    """
    run = _Search(State.of(form, region), tol, nodes, budget or Budget(), lower, executor, report)
    return run.run(exact)


class _Search:
    def __init__(
        self,
        state: State,
        tol: float,
        nodes: int | None,
        budget: Budget,
        lower: float | Callable[[], float],
        executor: Executor | None,
        report: Callable[[Progress], None] | None,
    ) -> None:
        self.state, self.tol, self.most, self.budget, self.executor, self.report = (
            state, tol, nodes, budget, executor, report,
        )
        self.given = lower if callable(lower) else lambda: lower
        self.tree: list[tuple[Node, int | None, Side | None]] = []
        self.splits: dict[int, Split] = {}
        self.heap: list[tuple[float, int, int]] = []
        self.tie = counter()
        self.witnesses: list[Witness] = []
        self.history: list[tuple[float, float, float, int, int]] = []
        self.nodes = 0

    # ------------------------------------------------------------ what is known

    @property
    def lower(self) -> float:
        """The most that is attained, by what is given and by the witnesses in float64."""
        return max(self.given(), max((w.value for w in self.witnesses), default=0.0) * (1 - 1e-12))

    @property
    def target(self) -> float:
        return (1 + self.tol) * self.lower

    @property
    def upper(self) -> float:
        """The largest bound of a piece that is not split, rounded up."""
        return max((_rounded_up(n) for k, (n, _, _) in enumerate(self.tree) if k not in self.splits), default=0.0)

    # ------------------------------------------------------------ the loop

    def run(self, exact: bool) -> Searched:
        exponent = 0
        status = "stalled"
        goals = Goals(exponent, min(0.1 * self.tol, 1e-7))
        root = bound_piece(self.state, (), goals)
        if isinstance(root.end, Bounded):
            self.exponent = int(np.round(np.log2(max(root.bound, 1e-300))))
            root = bound_piece(self.state, (), Goals(self.exponent, goals.tol))
        self._keep(root, None, None)
        try:
            while exact:
                found = self._ended()
                if found:
                    status = found
                    break
                if not self._divide(heapq.heappop(self.heap)[2]):
                    break
        except KeyboardInterrupt:
            status = "interrupted"
        return self._searched(status if exact else "nodes")

    def _ended(self) -> str:
        upper, target = -self.heap[0][0] if self.heap else 0.0, self.target
        if upper <= target:
            return "optimal"
        if self.most is not None and self.nodes >= self.most:
            return "nodes"
        return "time limit" if self.budget.spent else ""

    def _keep(self, node: Node, parent: int | None, side: Side | None) -> None:
        number = len(self.tree)
        self.tree.append((node, parent, side))
        self.nodes += 1
        if not node.is_closed:
            heapq.heappush(self.heap, (-node.bound, next(self.tie), number))
        if node.witness is not None:
            self.witnesses = sorted([*self.witnesses, node.witness], key=lambda w: -w.value)[:MOST_WITNESSES]
        self._tell()

    def _tell(self) -> None:
        upper = -self.heap[0][0] if self.heap else 0.0
        row = (self.budget.elapsed, upper, self.lower, len(self.heap), self.nodes)
        self.history.append(row)
        if self.report is not None:
            self.report(Progress(self.nodes, upper, self.lower, row[0], f"{len(self.heap)} open pieces"))

    def _divide(self, number: int) -> bool:
        """Split a piece at the best of its candidates; False if there is nothing to split."""
        node = self.tree[number][0]
        assert isinstance(node.end, Bounded)
        target = self.target
        reduced = reduced_form(node.state)
        tried: list[tuple[float, float, Split, tuple[Node, Node]]] = []
        goals = Goals(self.exponent, COARSE, target * (1 - 1e-8), target)
        parent = Parent(node.state, node.end)
        for split in candidates(node.state, reduced, LOOK_AHEAD):
            pair = bound_children(parent, split, goals)
            tried.append((max(n.bound for n in pair), sum(n.bound for n in pair), split, pair))
        if not tried:
            heapq.heappush(self.heap, (-node.bound, next(self.tie), number))
            return False
        _, _, split, pair = min(tried, key=lambda t: t[:2])
        pair = tuple(self._refined(n, parent, target) for n in pair)
        self.splits[number] = split
        self._keep(pair[0], number, "below")
        self._keep(pair[1], number, "above")
        return True

    def _refined(self, node: Node, parent: Parent, target: float) -> Node:
        """A piece that may be done with a better bound is bounded better."""
        if node.is_closed or node.is_exact or node.bound <= target or node.dual >= target:
            return node
        goals = Goals(self.exponent, 0.1 * self.tol, target * (1 - 1e-8), target)
        return bound_piece(node.state, node.steps, goals, parent)

    def _searched(self, status: str) -> Searched:
        pieces = tuple(
            node.piece(parent, side, self.splits.get(k)) for k, (node, parent, side) in enumerate(self.tree)
        )
        return Searched(
            pieces, self.upper, self.lower, tuple(self.witnesses), self.nodes, len(self.heap), status, tuple(self.history)
        )


def _rounded_up(node: Node) -> float:
    return square_root_up(node.end.rho, node.end.exponent) if isinstance(node.end, Bounded) else 0.0
