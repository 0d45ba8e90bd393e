"""Branch and bound on margins: a region is divided until a label is above other classes on every piece."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from threading import Event

import numpy as np

from sdpcert.errors import ProcessEnded
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Piece, Side, Split
from sdpcert.regions.region import Region
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort
from sdpcert.robustness.dividing import SIDES, Division, divide
from sdpcert.robustness.looking import Look
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.node import Goal, Node, bound_piece
from sdpcert.robustness.sharpening import by_facts, sharpened
from sdpcert.running.executors import Here
from sdpcert.running.interrupts import interrupts_noticed
from sdpcert.running.short_repr import ShortRepr
from sdpcert.running.tasks import Task, outcomes
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray
#: How hard bounds are sought: first, and where that leaves classes open.
QUICK, THOROUGH = Effort(0), Effort(10)


@dataclass(frozen=True, eq=False)
class ClassesProof(ShortRepr):
    """Pieces of a region on each of which the bounds keep a label above `classes`."""

    classes: tuple[int, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, eq=False)
class Separation(ShortRepr):
    """What a search found: proofs for some of the classes, and lower bounds of the margins over the others.

    `counterexample` is a point of the region where some margin is not above the limit in float64, if one was met.
    `nodes` pieces were bounded. `status` is "separated" (all classes are), "counterexample", "stalled" (a piece cannot
    be divided any further), "nodes", "time limit" or "interrupted".
    """

    proofs: tuple[ClassesProof, ...]
    bounds: dict[int, float]
    counterexample: Array | None
    nodes: int
    seconds: float
    status: str

    @property
    def proved(self) -> tuple[int, ...]:
        """The classes that have a proof, ascending."""
        return tuple(sorted(j for proof in self.proofs for j in proof.classes))


def separate(
    form: StackedForm,
    region: Region,
    label: int,
    classes: Sequence[int] | None = None,
    *,
    limit: float = 0.0,
    budget: Budget | None = None,
    nodes: int | None = None,
    quick: bool = False,
    executor: Executor | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Separation:
    """Divide a region until the margins of a label over some classes are above `limit` on every piece.

    `form` is one with differences of outputs; `classes` are all others by default. At most `nodes` pieces are bounded;
    with `quick` it is the region alone, by lines. With an executor pieces are divided by it, several at a time.
    Interrupted, or once the budget is spent, the search returns what stands. It ends at a point of the region where a
    margin is not above the limit.

    Raises ValueError if the region does not fit the network, or a class does not exist.
    """
    margins = Margins(form, label)
    chosen = margins.others if classes is None else tuple(sorted(classes))
    with interrupts_noticed() as interrupted:
        loop = _Search(margins, chosen, limit, budget or Budget(), report, interrupted)
        try:
            loop.begin(State.of(form, region), quick)
            nodes = 1 if quick else nodes
            status = loop.serve(executor or Here(), nodes)
        except KeyboardInterrupt:
            status = "interrupted"
    return loop.separation(status)


class _Search:
    def __init__(
        self,
        margins: Margins,
        classes: tuple[int, ...],
        limit: float,
        budget: Budget,
        report: Callable[[Progress], None] | None,
        interrupted: Event,
    ) -> None:
        self.margins, self.classes, self.limit = margins, classes, limit
        self.budget, self.report, self.interrupted = budget, report, interrupted
        #: Every piece with its parent and its side; how those that were split were.
        self.tree: list[tuple[Node, int | None, Side | None]] = []
        self.splits: dict[int, Split] = {}
        #: Pieces that have to be divided, the least margin first.
        self.waiting: list[tuple[float, int]] = []
        #: How many are being divided.
        self.under_way = 0
        self.counterexample: Array | None = None
        self.is_stalled = False

    def goal(self, effort: Effort = THOROUGH) -> Goal:
        """What is wanted of a piece."""
        return Goal(self.margins, self.limit, effort, self.budget)

    # ------------------------------------------------------------ the tree

    def begin(self, state: State, quick: bool) -> None:
        """Bound the whole region, with what costs little first."""
        node = bound_piece(state, self.classes, self.goal(QUICK))
        self.tree.append((node, None, None))
        for better in self._better(node, quick):
            self.tree[0] = (better, None, None)
            self._tell()
            if better.open and not quick:
                look = Look.at(better, self.goal())
                self._saw(look.point, look.value)
            if not better.open or self.budget.spent or self.counterexample is not None:
                break
        if self.tree[0][0].open:
            self.waiting.append((self.tree[0][0].worst, 0))

    def _better(self, node: Node, quick: bool) -> Iterator[Node]:
        """The whole region after more and more steps."""
        goal = self.goal()
        yield (node := node.followed_by(bound_piece(node.state, node.open, goal)) if node.open else node)
        if not quick:
            yield (node := by_facts(node, goal, thorough=False))
            yield from sharpened(node, goal)

    def _saw(self, point: Array, value: float) -> None:
        if value <= self.limit:
            self.counterexample = point

    def _keep(self, node: Node, parent: int | None, side: Side | None) -> None:
        number = len(self.tree)
        self.tree.append((node, parent, side))
        if node.open:
            heapq.heappush(self.waiting, (node.worst, number))

    def divided(self, number: int, division: Division) -> None:
        """Take over what became of a piece."""
        self._saw(division.point, division.value)
        if division.split is None:
            (self.tree[number],) = ((node, *self.tree[number][1:]) for node in division.sides)
            self.is_stalled |= bool(self.tree[number][0].open)
        else:
            for node, side in zip(division.sides, SIDES, strict=True):
                self._keep(node, number, side)
            self.splits[number] = division.split  # last: an interrupt before this leaves the piece undivided
        self._tell()

    # ------------------------------------------------------------ the loop

    def _over(self, nodes: int | None) -> str:
        """Why no further piece is divided, or nothing."""
        if self.counterexample is not None:
            return "counterexample"
        if self.is_stalled:
            return "stalled"
        if not self.waiting and not self.under_way:
            return "separated"
        if nodes is not None and len(self.tree) + 2 * self.under_way + 2 > nodes:
            return "nodes"
        if self.interrupted.is_set():
            return "interrupted"
        return "time limit" if self.budget.spent else ""

    def serve(self, executor: Executor, nodes: int | None) -> str:
        """Divide pieces until the search is over; returns the status."""
        with closing(outcomes(executor, divide, self._pieces(nodes))) as divisions:
            for outcome in divisions:
                self.under_way -= 1
                if isinstance(outcome.error, ProcessEnded):
                    self.is_stalled = True
                else:
                    self.divided(outcome.key, outcome.result)
                if self._over(nodes) not in ("", "nodes"):
                    break
        return self._over(nodes)

    def _pieces(self, nodes: int | None) -> Iterator[Task[int] | None]:
        """The next piece to divide, None as long as only what is under way can give one."""
        while (status := self._over(nodes)) in ("", "nodes"):
            if status or not self.waiting:
                yield None
            else:
                number = heapq.heappop(self.waiting)[1]
                self.under_way += 1
                yield Task(number, (self.tree[number][0], self.goal()))

    def _tell(self) -> None:
        if self.report is not None:
            worst = self.waiting[0][0] if self.waiting else self.limit
            self.report(Progress(len(self.tree), worst, self.limit, self.budget.elapsed, open=len(self.waiting)))

    # ------------------------------------------------------------ what stands

    def separation(self, status: str) -> Separation:
        """What stands."""
        if not self.tree:
            return Separation((), dict.fromkeys(self.classes, -np.inf), None, 0, self.budget.elapsed, status)
        while (parent := self.tree[-1][1]) is not None and parent not in self.splits:  # the interrupt came in between
            self.tree.pop()
        root = self.tree[0][0]
        bounds: dict[int, float] = {}
        for number, (node, _, _) in enumerate(self.tree):
            if number not in self.splits:
                for j, bound in zip(node.open, node.bounds, strict=True):
                    bounds[j] = min(bounds.get(j, np.inf), float(bound))
        at_once = tuple(j for j in self.classes if j not in root.open)
        by_tree = tuple(j for j in root.open if j not in bounds)
        proofs = []
        if at_once:
            whole = root.piece(None, None, None)
            proofs.append(ClassesProof(at_once, (self._for(whole, at_once),)))
        if by_tree:
            pieces = (n.piece(parent, side, self.splits.get(k)) for k, (n, parent, side) in enumerate(self.tree))
            proofs.append(ClassesProof(by_tree, tuple(self._for(piece, by_tree) for piece in pieces)))
        return Separation(tuple(proofs), bounds, self.counterexample, len(self.tree), self.budget.elapsed, status)

    def _for(self, piece: Piece, classes: tuple[int, ...]) -> Piece:
        return Piece(piece.parent, piece.side, self.margins.needed(piece.steps, classes), piece.end)
