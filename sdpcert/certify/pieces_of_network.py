"""A piece of a network between two values that everything passes through, and how it is bounded by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

import numpy as np

from sdpcert.certificate.part import Part
from sdpcert.certificate.sequence import Joint, Sequence
from sdpcert.certify.dense import DensePlan
from sdpcert.certify.fitting import LARGEST_UNROLLED, Fitting
from sdpcert.certify.frequencies import FrequencyPlan
from sdpcert.certify.plan import Plan
from sdpcert.certify.proved import Proved, prove_best
from sdpcert.certify.request import Request
from sdpcert.network.graph import Network
from sdpcert.solvers.solution import Budget

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class BoundedPiece:
    """A piece with a proved bound: `parts` in sequence, and where its inputs and outputs lie in those of the parts."""

    start: int
    end: int
    parts: tuple[Part, ...]
    joints: tuple[Joint, ...]
    reads: Array
    gives: Array
    notes: tuple[str, ...]
    interrupted: bool = False

    @property
    def upper(self) -> float:
        """The bound, up to rounding."""
        return float(np.prod([part.upper for part in self.parts]))

    def joint_after(self, before: BoundedPiece) -> Joint:
        """How the piece reads the one before it; what a torus has outside of the image is zero."""
        size = self.parts[0].claim.inputs
        layout = np.full(size, -1)
        layout[self.reads] = before.gives
        return Joint(layout, np.ones(size))


@dataclass(frozen=True, eq=False)
class Piece:
    """The piece of `network` from the value `start` to the value `end`."""

    network: Network
    start: int
    end: int

    @cached_property
    def own(self) -> Network:
        """The piece as a network."""
        whole = (self.start, self.end) == (0, self.network.output)
        return self.network if whole else self.network.between(self.start, self.end)

    @cached_property
    def fitting(self) -> Fitting:
        """What its forms take."""
        return Fitting.of(self.own, "neuron")

    def is_solved(self, memory_limit: float, patience: float) -> bool:
        """Whether the piece is small enough to be solved for."""
        fitting = self.fitting
        return fitting.is_small(patience, memory_limit) or fitting.is_solved_over_frequencies(memory_limit, patience)

    @property
    def seconds(self) -> float:
        """Estimated seconds of solving for it."""
        small = self.fitting.size <= LARGEST_UNROLLED
        solved = self.fitting.unrolled if small or self.fitting.solved is None else self.fitting.solved
        return solved.total

    def bounded(self, method: str, request: Request, budget: Budget) -> BoundedPiece | str:
        """The piece with a proved bound, or why there is none."""
        plan = self._plan(replace(request, method=method, output_rows=None, time_limit=inf))
        if isinstance(plan, str):
            return plan
        return bounded_by(plan, prove_best(plan, plan.candidates(budget), budget, checked=False), self.start, self.end)

    def _plan(self, request: Request) -> DensePlan | FrequencyPlan | str:
        fitting, limit = self.fitting, request.memory_limit
        if fitting.closed is not None and not fitting.is_small(inf, limit):
            closed = request.method == "product"
            if fitting.is_bounded_over_frequencies(limit) if closed else fitting.is_solved_over_frequencies(limit, inf):
                return FrequencyPlan(self.own, request)
        if fitting.is_unrolled_at_all(limit):
            plan = DensePlan.of(self.own, request)
            plan.network = None  # it is divided as far as it can be
            return plan
        return f"a part needs {fitting.unrolling / 2**30:.1f} GiB to be unrolled ({fitting.obstacle})"


def bounded_by(plan: Plan, proved: Proved, start: int, end: int) -> BoundedPiece | str:
    """The piece from one value to another that a plan of it has proved, or why it has not.

    Raises ValueError if the plan is about no network.
    """
    tree, notes, own = proved.tree, proved.told.notes, plan.searched
    if not isinstance(own, Network):
        raise ValueError("pieces are those of a network")
    if tree is None:
        return "; ".join(notes[-2:])
    parts, joints = (tree.parts, tree.joints) if isinstance(tree, Sequence) else ((tree,), ())
    inputs, outputs = (int(np.prod(s)) for s in (own.input_shape, own.output_shape))
    over = isinstance(plan, FrequencyPlan)
    reads, gives = (plan.reads, plan.gives) if over else (np.arange(inputs), np.arange(outputs))
    interrupted = proved.told.status == "interrupted"
    return BoundedPiece(start, end, parts, joints, reads, gives, notes, interrupted)
