"""What every way of certifying a network has in common: a plan offers candidates, and a candidate proves its tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.attained.work import RATE
from sdpcert.certificate.part import Part
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.effort import Effort
from sdpcert.solvers.solution import Budget, Progress, SolverError

#: What a way may fail with: the others are still tried.
FAILURES = (SolverError, ArithmeticError, np.linalg.LinAlgError, MemoryError)
#: Estimated seconds from which a run is announced.
LONG = 5.0
#: The share of a time limit that is kept for the search for two inputs.
SHARE_OF_SEARCH = 0.1


@dataclass(frozen=True, eq=False)
class Proven:
    """What proving a candidate gave: its tree, or None with notes that say why not.

    `dual` bounds the optimum of what was solved from below (0 if nothing is known); `solve_seconds` is the share of
    the time that went into solving for a part that follows from a proved one.
    """

    tree: Part | None
    dual: float = 0.0
    notes: tuple[str, ...] = ()
    solve_seconds: float = 0.0

    @property
    def upper(self) -> float:
        """The bound, infinite if nothing was proved."""
        return inf if self.tree is None else self.tree.upper


@dataclass(eq=False)
class Candidate(ABC):
    """Points for all parts of a tree, solved for and not yet proved.

    `way` is how a note names it, `bound` what the points claim (0 if only the proof can say). If `at_once`,
    a checker has to accept the proof before anything else is tried.
    """

    way: str = field(kw_only=True, default="")
    bound: float = field(kw_only=True, default=0.0)
    status: str = field(kw_only=True, default="closed form")
    iterations: int = field(kw_only=True, default=0)
    history: tuple[Progress, ...] = field(kw_only=True, default=())
    at_once: bool = field(kw_only=True, default=False)

    @property
    def closed(self) -> bool:
        """Whether nothing was solved for it."""
        return self.status == "closed form"

    @property
    def estimated_proof(self) -> float:
        """Seconds that the proof is estimated to take, 0 if nobody knows."""
        return 0.0

    @abstractmethod
    def prove(self, below: float, budget: Budget) -> Proven:
        """Prove the tree, or what of it is worth a proof if a bound `below` is proved already."""


@dataclass(eq=False)
class Tried:
    """A candidate and what its proof gave; `rejected` if a checker did not accept that."""

    candidate: Candidate
    proven: Proven
    accepted: bool = False
    rejected: bool = False

    @property
    def upper(self) -> float:
        """The bound, infinite if nothing was proved."""
        return inf if self.rejected else self.proven.upper


@dataclass(frozen=True)
class Told:
    """What a certificate says of the search, beside the bound.

    `dual` is None if what was proved is no single optimum; `information` is what a plan has to say of its own.
    """

    dual: float | None
    status: str
    iterations: int
    history: tuple[Progress, ...]
    notes: tuple[str, ...]
    information: dict[str, Any] = field(default_factory=dict)


class Plan(ABC):
    """How a network is to be bounded: the ways, the most promising first, and when no other can gain much.

    `searched` is where two inputs of the attained value are looked for. `claimed` is the stacked form whose reduction
    the tree is about, if it is one condition; the attained value is then evaluated on it. `found` are two inputs that a
    plan has looked for itself.
    """

    method: str
    solver: str
    neurons: int
    searched: Network | StackedForm
    claimed: StackedForm | None = None
    found: Attained | None = None
    #: Whether something that would have been tried was not for want of time.
    left_rungs: bool = False

    @abstractmethod
    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        """Solve by one way after another. Raises `SolverError` if the solver that was asked for has no point."""

    @abstractmethod
    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        """Whether no other way can gain much."""

    @abstractmethod
    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        """What to say of the search, whose best bound is that of `best`."""


#: Seconds from which on solving is told before it begins: sooner, the first iteration tells it, and Ctrl-C then leaves
#: a bound.
TOLD = 1.0


def announce(how: str, estimated: Effort, budget: Budget) -> list[str]:
    """Tell whoever follows the progress what a long run is estimated to take; the same as a note."""
    if estimated.seconds >= TOLD:
        budget.begin(f"solving, {how}", min(estimated.seconds, budget.seconds))
    if estimated.total < LONG and budget.seconds == inf:
        return []
    text = f"{how}: estimated at {estimated}"
    if budget.report is not None:
        budget.report(Progress(0, inf, 0.0, budget.elapsed, text))
    return [text]


def leaving_time(budget: Budget, evaluating: float = 0.0) -> Budget:
    """The budget without the share that is kept for two inputs of the attained value, and what evaluating them takes.

    That is in operations of a search.
    """
    return replace(budget, seconds=budget.seconds * (1 - SHARE_OF_SEARCH) - min(evaluating / RATE, budget.seconds / 2))
