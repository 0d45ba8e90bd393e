"""The largest radius around an input on which a label can be proved to stay above all other classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Box
from sdpcert.robustness.by_constants import LARGEST_RADIUS
from sdpcert.robustness.confirming import is_accepted
from sdpcert.robustness.distances import DISTANCES
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.regions_of_radii import Norm, distance, region_of
from sdpcert.robustness.separating import ClassesProof, Separation, separate
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray
#: How near the largest radius that is proved and the least that is not have to be, relative.
TOLERANCE = 0.01
#: The same where lines alone bound the margins.
ROUGH = 0.05
#: The share of the time left that one radius may take while others may follow.
SHARE = 0.35
#: How much larger or smaller a radius is than the one before as long as only one side is known.
FACTOR = 2.0
#: Radii that are tried at most until one is proved, or one is not.
MOST_STEPS = 40


@dataclass(frozen=True)
class Try:
    """What became of one radius: the status of its search, pieces that were bounded, and seconds."""

    radius: float
    status: str
    nodes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Found(ShortRepr):
    """The largest radius that was proved (`below`, without proofs, if none above it was), and its proofs.

    `counterexample` is the nearest point that was met with a margin of at most zero, in float64.
    """

    radius: float
    proofs: tuple[ClassesProof, ...]
    counterexample: Array | None
    seconds: float
    history: tuple[Try, ...]


def radius_of(
    form: StackedForm,
    center: Array,
    label: int,
    *,
    norm: Norm = "l2",
    within: Box | None = None,
    limits: Callable[[float], float] = lambda radius: 0.0,
    radii: Sequence[float] | None = None,
    below: float = 0.0,
    beyond: float = np.inf,
    budget: Budget | None = None,
    nodes: int | None = None,
    executor: Executor | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Found:
    """Look for the largest radius on which all margins of the label are above `limits(radius)`.

    `below` is a radius that is proved by other means, `beyond` the distance of a counterexample. With `radii` only
    these are tried, from the least; without, the radius is found to about 1 %. At most `nodes` pieces are bounded for
    every radius. Interrupted, or once the budget is spent, the search returns the largest radius that is proved.

    Raises ValueError if the center does not fit the network, or the label does not exist.
    """
    search = _Search(
        Margins(form, label),
        np.asarray(center, dtype=float),
        norm,
        within,
        limits,
        budget or Budget(),
        nodes,
        executor,
        report,
        below,
        beyond,
    )
    if radii is not None:
        search.among(sorted(r for r in radii if below < r < beyond))
    else:
        search.bisect()
    return search.found()


@dataclass(eq=False)
class _Search:
    margins: Margins
    center: Array
    norm: Norm
    within: Box | None
    limits: Callable[[float], float]
    budget: Budget
    nodes: int | None
    executor: Executor | None
    report: Callable[[Progress], None] | None
    below: float
    failed: float
    successes: list[tuple[float, tuple[ClassesProof, ...]]] = field(default_factory=list)
    counterexample: Array | None = None
    stopped: bool = False
    history: list[Try] = field(default_factory=list)

    @property
    def proved(self) -> float:
        """The largest radius that is proved."""
        return self.successes[-1][0] if self.successes else self.below

    # ------------------------------------------------------------ one radius

    def tried(self, radius: float, quick: bool, share: float = 1.0) -> bool:
        """Whether all margins are proved on the region of a radius, with some share of the time that is left."""
        limit = self.limits(radius)
        if not limit < np.inf:
            self.failed = min(self.failed, radius)
            return False
        seconds = share * (self.budget.seconds - self.budget.elapsed)
        separation = separate(
            self.margins.form,
            region_of(self.norm, self.center, radius, self.within),
            self.margins.label,
            limit=limit,
            budget=Budget(seconds=seconds),
            nodes=self.nodes,
            quick=quick,
            executor=self.executor,
            report=self.report,
        )
        self.history.append(Try(radius, separation.status, separation.nodes, separation.seconds))
        self.stopped |= separation.status == "interrupted"
        self._saw(separation, radius)
        if separation.status == "separated" and radius > self.proved:
            self.successes.append((radius, separation.proofs))
        return separation.status == "separated"

    def _saw(self, separation: Separation, radius: float) -> None:
        """Take note of a point with a margin of at most zero, if one was met."""
        point = separation.counterexample
        if point is None:
            return
        self.failed = min(self.failed, radius)
        if np.min(self.margins.at(point[None], self.margins.others)) <= 0:
            away = distance(self.norm, self.center, point)
            if self.counterexample is None or away < distance(self.norm, self.center, self.counterexample):
                self.counterexample = point
            self.failed = min(self.failed, max(away, self.proved))

    @property
    def is_over(self) -> bool:
        """Whether nothing further is tried."""
        return self.stopped or self.budget.spent

    # ------------------------------------------------------------ which radii

    def among(self, radii: Sequence[float]) -> None:
        """The largest of some radii: those that lines prove first, then the next ones one after the other."""
        left, right = 0, len(radii)  # all before left are proved, right and all after it are not, by lines
        while left < right and not self.is_over:
            middle = (left + right) // 2
            if self.tried(radii[middle], True):
                left = middle + 1
            else:
                right = middle
        for radius in radii[left:]:
            if self.is_over or radius >= self.failed or not self.tried(radius, False):
                break

    def bisect(self) -> None:
        """The largest radius, by lines first, then by all means."""
        beyond = self.failed
        self._bracket(self._first(), True)
        self._halve(ROUGH, True)
        self.failed = min(beyond, self._attacked)
        self._bracket(self.proved * FACTOR if self.proved > 0 else self._first(), False, SHARE)
        self._halve(TOLERANCE, False, SHARE)

    @property
    def _attacked(self) -> float:
        return np.inf if self.counterexample is None else distance(self.norm, self.center, self.counterexample)

    def _first(self) -> float:
        """About half of where margins that were linear would end."""
        form, others = self.margins.form, self.margins.others
        rows = form.jacobian(self.center)[self.margins.neurons(others)]
        dual = DISTANCES[self.norm].dual(rows)
        values = self.margins.at(self.center[None], others)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = float(np.nanmin(np.where(dual > 0, values / dual, np.nan), initial=np.inf))
        start = reach / 2 if 0 < reach < np.inf else 1.0
        return float(np.clip(start, self.proved * (1 + TOLERANCE), self.failed * (1 - TOLERANCE)))

    def _bracket(self, radius: float, quick: bool, share: float = 1.0) -> None:
        """Find a radius that is not proved above one that is, from a first one on."""
        for _ in range(MOST_STEPS):
            if self.is_over or not self.proved < radius < min(self.failed, LARGEST_RADIUS):
                return
            if self.tried(radius, quick, share):
                if self.failed < np.inf:
                    return
                radius *= FACTOR
            else:
                self.failed = min(self.failed, radius)
                if self.proved > 0:
                    return
                radius /= FACTOR

    def _halve(self, tolerance: float, quick: bool, share: float = 1.0) -> None:
        """Halve what lies between a radius that is proved and one that is not, until they are near each other."""
        while not self.is_over and 0 < self.proved * (1 + tolerance) < self.failed < np.inf:
            radius = self.proved + (self.failed - self.proved) / 2
            if not self.tried(radius, quick, share):
                self.failed = min(self.failed, radius)

    def found(self) -> Found:
        """What stands, and a checker accepts."""
        margins = self.margins
        while self.successes:
            radius, proofs = self.successes[-1]
            region, limit = region_of(self.norm, self.center, radius, self.within), self.limits(radius)
            if all(is_accepted(margins.form, region, margins.label, proof, limit) for proof in proofs):
                return Found(radius, proofs, self.counterexample, self.budget.elapsed, tuple(self.history))
            self.successes.pop()
        return Found(self.below, (), self.counterexample, self.budget.elapsed, tuple(self.history))
