"""A primal-dual interior-point method on the rank-two structure of the condition.

Minimise rho = y[0] over y with M(y) >= 0 for every inequality of the condition: one for a dense network, one
per frequency for a convolutional one. Each has a dual matrix X >= 0, and the sum of <A_j, X> is 1 for rho, 0 for other
metric variables and at most 0 for multipliers. y is strictly feasible from the start, X becomes feasible on the way.
The start is the closed form of `forward.strictly_feasible` with X a multiple of the inverse of M, which is
centred. Every iterate is a bound. `direction.py` has the step of one iteration.

If inequalities are many and few of them are tight, the run works on some and a `Watch` looks after the others: y never
violates any of them, one that stops a step joins with X a multiple of the inverse of its M, which keeps the run
centred, and one that turns out to be slack leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sdpcert.arithmetic import threads
from sdpcert.arithmetic.arrays import Arrays
from sdpcert.arithmetic.unseen import Unseen, numbers_of
from sdpcert.condition.conditions import Conditions
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.inequality import Inequality
from sdpcert.errors import SolverError
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.block_pair import BlockPair
from sdpcert.solvers.direction import STEP, Iterate, Step, search_direction, total
from sdpcert.solvers.forward import strictly_feasible
from sdpcert.solvers.pair import Pair
from sdpcert.solvers.solution import Budget, Progress
from sdpcert.solvers.whole_pair import WholePair

Matrix = Any
MAXIMUM_ITERATIONS = 200
#: Below this order Python is busier than BLAS, and threads would wait for each other.
PARALLEL_ORDER = 250
#: If steps of the dual are shorter than `CRAWL` three times in a row, X begins anew at a point that is the share
#: `RETREAT` of the way back to the start, up to `RESTARTS` times.
CRAWL, RETREAT, RESTARTS = 0.15, 0.1, 5
#: An inequality may leave once the relative gap is below the first number and what its dual matrix holds against all
#: variables, relative, below the second one times the gap (one that rho hardly meets may rule the multipliers).
SETTLED, IDLE = 0.05, 1e-2
#: The relative gap at which a run ends whose dual bound is high enough.
ROUGH = 3e-5


@dataclass(frozen=True, eq=False)
class Point(ShortRepr):
    """The best feasible y of a run: the bound is `2**exponent * sqrt(y[0])`, `dual` a lower bound on the optimum of
    it, and `dual_matrices` what the run ended with, one for each inequality.
    """

    y: Matrix
    exponent: int
    dual: float
    iterations: int
    status: str
    history: tuple[Progress, ...]
    dual_matrices: tuple[Matrix, ...] = ()


class Watch(Protocol):
    """Looks after the inequalities that a run does not work on."""

    def strictly_feasible(self) -> Matrix:
        """A point well inside of every inequality; may let some join the condition."""
        ...

    def broken(self, y: Matrix, among: Sequence[Any] | None = None) -> list[Any]:
        """The inequalities outside of the condition, or those `among` them, that y violates, by name."""
        ...

    def exchange(self, stopped: dict[Any, int], idle: Sequence[Inequality]) -> None:
        """Let the worst of `stopped` (how often a step had to be shortened for each) join, and `idle` ones leave."""
        ...


def minimise(
    condition: Conditions,
    budget: Budget,
    margin: float = 1e-3,
    watch: Watch | None = None,
    start: tuple[float, float] = (0.4, 1.5),
) -> Point:
    """Minimise rho over the condition; the gap aimed at is `margin` times the budget's tolerance.

    With `watch` the point satisfies the inequalities that it looks after as well, and it chooses the start; otherwise
    `start` are the theta and the room of `strictly_feasible`.
    """
    chosen = strictly_feasible(condition, *start) if watch is None else watch.strictly_feasible()
    return _Run(condition, budget, margin, watch, chosen).solve()


@dataclass(eq=False)
class _Patience:
    """How long nothing was gained: the gap not halved, or the merit (complementarity and infeasibility) not lowered.

    Far from the optimum of a deep network the relative gap stays near one while rho falls by orders of magnitude.
    """

    best_gap: float = float("inf")
    best_merit: float = float("inf")
    slow: int = 0
    stuck: int = 0

    def see(self, gap: float, merit: float) -> None:
        self.slow = self.slow + 1 if gap > 0.5 * self.best_gap else 0
        self.best_gap = min(gap, self.best_gap)
        self.stuck = self.stuck + 1 if merit > 0.97 * self.best_merit else 0
        self.best_merit = min(merit, self.best_merit)

    def is_over(self, settled: bool) -> bool:
        return (self.slow >= 4 and settled) or self.stuck >= 12


@dataclass(frozen=True, eq=False)
class _Measured:
    """An iterate's rho, the gap and the merit as `_Patience` has them, the Schur complement, and what the dual matrix
    of every inequality holds against all variables.
    """

    rho: float
    gap: float
    merit: float
    mu: float
    schur: Matrix
    shares: list[float]


def pair_at(part: Inequality, y: Matrix) -> Pair | None:
    """The pair of M(y), whole or in blocks, or None if M(y) is not positive definite."""
    return (WholePair if part.order <= part.arrays.small else BlockPair).at(part, y)


class _Run:
    def __init__(
        self, condition: Conditions, budget: Budget, margin: float, watch: Watch | None, start: Matrix
    ) -> None:
        self.condition, self.budget, self.margin, self.watch = condition, budget, margin, watch
        self.began = budget.elapsed
        self.arrays: Arrays = condition.arrays
        self.best: Matrix | None = None
        self.best_rho = float("inf")
        self.dual_bound = 0.0
        self.dual_matrices: tuple[Matrix, ...] = ()
        self.history: list[Progress] = []
        self.stopped: dict[Any, int] = {}
        self.start = self.arrays.asarray(start)
        self.order = sum(part.order for part in condition.inequalities)
        # Multipliers whose sign does not follow from M >= 0 get a slack of their own.
        signed = np.zeros(condition.variables, dtype=bool)
        for part in condition.inequalities:
            signed[part.own] = condition.nonnegative_binds
        self.signed = self.arrays.indices(np.flatnonzero(signed))
        large = max(part.order for part in condition.inequalities) >= PARALLEL_ORDER
        several = watch is not None or len(condition.inequalities) > 1
        self.workers = threads.WORKERS if self.arrays.parallel and large and several else 1
        self.mapped: Callable[..., Iterable[Any]] = map

    def _map(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
        return list(self.mapped(function, *arguments))

    def solve(self) -> Point:
        iteration, status = 0, "stalled"
        try:
            with threads.mapping(self.workers) as self.mapped:
                for iteration, status in self._iterate():  # noqa: B007
                    pass
        except KeyboardInterrupt:
            status = "interrupted"
        except SolverError:
            if self.best is None:
                raise
            status = "stalled"
        y = self.start if self.best is None else self.best
        scale = self.condition.exponent
        dual = float(np.ldexp(np.sqrt(self.dual_bound), scale)) * (1 - 1e-15)
        history = tuple(self.history)
        return Point(self.arrays.numpy(y), scale, dual, iteration, status, history, self.dual_matrices)

    def _iterate(self) -> Iterator[tuple[int, str]]:
        target, now = 2 * self.budget.tol, self._started(self.start)
        patience, crawling, restarts, refused, iteration = _Patience(), 0, 0, 0, 0
        for iteration in range(MAXIMUM_ITERATIONS):
            measured = self._measure(iteration, now)
            patience.see(measured.gap, measured.merit)
            # The last digits cost few iterations and pay for rounding in the proof: aim below the tolerance.
            done = measured.gap < self.margin * target or patience.is_over(measured.gap < target)
            if measured.gap < target and not done:
                self._update_dual(now.pairs)
            if not done and self.budget.ends(iteration, self.began):
                self._update_dual(now.pairs)
                yield iteration, "time limit"
                return
            if not done and self._is_enough(now.pairs, measured.gap):
                yield iteration, "enough"
                return
            # Rounding may leave nothing of mu if the last digits are asked for.
            centred = not done and measured.mu > 0
            step = search_direction(now, measured.schur, measured.mu, self.order, self._map) if centred else None
            moved = None if step is None else self._move(now, step)
            if step is not None and moved is None and self.watch is not None and self.stopped and refused < RESTARTS:
                refused += 1  # what stops every step has to join, at the point where it still holds
                if self._exchange(now.y, now.pairs, measured.shares, float("inf")):
                    yield iteration, "running"
                    continue
            if step is None or moved is None:
                break
            length = self._move_dual(now.pairs, step.dual)
            now.y, now.slack = moved, now.slack + length * step.slack
            crawling = crawling + 1 if length < CRAWL and measured.gap > SETTLED else 0
            if crawling >= 3 and restarts < RESTARTS:
                now = self._started((1 - RETREAT) * now.y + RETREAT * self.start)
                crawling, restarts, patience = 0, restarts + 1, _Patience()
            shares = [share / measured.rho for share in measured.shares]
            if self.watch is not None and self._exchange(now.y, now.pairs, shares, measured.gap):
                patience = _Patience()  # what joins near its boundary lifts the merit: progress is counted from there
            yield iteration, "running"
        self._update_dual(now.pairs)
        yield iteration, "optimal" if 1 - self.dual_bound / self.best_rho <= target else "stalled"

    def _is_enough(self, pairs: list[Pair], gap: float) -> bool:
        """Whether the bound is as low, or the dual bound as high, as anybody wants to know."""
        last = self.history[-1]
        if last.upper <= self.budget.low_enough:
            self._update_dual(pairs)
            return True
        if gap > ROUGH or last.lower < self.budget.high_enough:
            return False
        self._update_dual(pairs)
        return float(np.ldexp(np.sqrt(self.dual_bound), self.condition.exponent)) >= self.budget.high_enough

    def _started(self, y: Matrix) -> Iterate:
        """A centred iterate at y."""
        pairs = self._begin(y)
        mu = self._complementarity(pairs) / self.order
        return Iterate(y, mu / y[self.signed], self.signed, pairs)

    def _complementarity(self, pairs: list[Pair]) -> float:
        return sum(numbers_of([pair.complementarity() for pair in pairs]).seen(self.arrays))

    def _measure(self, iteration: int, now: Iterate) -> _Measured:
        y = now.y
        results = self._map(lambda pair: pair.measure(), now.pairs)
        schurs = [schur for _, schur in results]
        residual = -total(schur.dual for schur in schurs)
        residual[0] += 1
        residual[self.signed] -= now.slack
        of_slack, infeasible = (now.slack * y[self.signed]).sum(), abs(residual * y).sum()
        shares = [abs(schur.dual * y).sum() for schur in schurs]
        seen = numbers_of([y[0], of_slack, infeasible, *shares, *(r[0] for r in results)]).seen(self.arrays)
        (rho, of_slack, infeasible), rest = seen[:3], seen[3:]
        shares, complementarity = rest[: len(schurs)], sum(rest[len(schurs) :]) + of_slack
        if rho < self.best_rho:
            self.best, self.best_rho = y, rho
        self._report(iteration, rho, max(rho - complementarity - infeasible, 0.0))
        merit = abs(complementarity) + infeasible
        mu = complementarity / (self.order + len(self.signed))
        return _Measured(rho, merit / rho, merit, mu, total(schur.matrix for schur in schurs), shares)

    def _exchange(self, y: Matrix, pairs: list[Pair], shares: list[float], gap: float) -> bool:
        """Let inequalities that stopped the step join and slack ones leave; whether any did."""
        assert self.watch is not None
        known = {id(p.inequality): p for p in pairs}
        idle: list[Inequality] = []
        if gap < SETTLED:
            slack = sorted((share, k) for k, share in enumerate(shares) if share < IDLE * gap)
            idle = [pairs[k].inequality for _, k in slack[: len(pairs) // 8]]
        if not (self.stopped or idle):
            return False
        mu = self._complementarity(pairs) / sum(p.inequality.order for p in pairs)
        self.watch.exchange(self.stopped, idle)

        def join(part: Inequality) -> Pair:
            pair = pair_at(part, y)
            if pair is None:
                raise SolverError("a frequency that was feasible is not; please report this network")
            pair.centre(mu)
            return pair

        parts = self.condition.inequalities
        joined = iter(self._map(join, [part for part in parts if id(part) not in known]))
        pairs[:] = [known[id(part)] if id(part) in known else next(joined) for part in parts]
        self.order = sum(part.order for part in parts)
        return True

    def _begin(self, y: Matrix) -> list[Pair]:
        started = self._map(lambda part: pair_at(part, y), self.condition.inequalities)
        pairs = [pair for pair in started if pair is not None]
        if len(pairs) < len(started):
            raise SolverError("the closed-form start is not feasible in floating point")
        amounts = self.arrays.zeros(self.condition.variables)
        for pair in pairs:
            pair.inequality.add_metrics(amounts, pair.inverse.diagonal().real)
        share = 1 / amounts[0]
        for pair in pairs:
            pair.centre(share)
        return pairs

    def _move(self, now: Iterate, step: Step) -> Matrix | None:
        """The point after a step, shortened until every matrix is positive definite; None if no length is enough."""
        self.stopped, broken, inward = {}, None, False
        for shortened in range(13):
            trial = now.y + step.primal * step.y

            tried = self._map(lambda pair, trial=trial: pair.try_primal(trial), now.pairs)
            if self._is_inside(trial, tried):
                # What holds at y and at a longer step holds here as well: only the broken ones are looked at again.
                broken = [] if self.watch is None else self.watch.broken(trial, broken)
                self.stopped |= dict.fromkeys(broken, shortened + 1)
                if not broken:
                    if self.stopped and not inward:
                        inward = True  # the length was found by trial: away from the boundary, like every step
                        step.primal *= STEP
                        continue
                    for pair in now.pairs:
                        pair.move_primal()
                    return trial
            step.primal *= 0.7
        return None

    def _is_inside(self, y: Matrix, tried: Sequence[Unseen[bool]]) -> bool:
        """Whether all matrices that were tried at y are positive definite and signs hold, in one transfer."""
        tried = list(tried)
        if len(self.signed):
            tried.append(Unseen((y[self.signed].min(),), lambda seen: bool(seen[0] > 0)))
        return all(Unseen.all_of(tried).seen(self.arrays))

    def _move_dual(self, pairs: list[Pair], length: float) -> float:
        """Move the dual matrices and return the length that was possible (0 if none was)."""
        for shortened in range(13):
            length = length if shortened < 12 else 0.0
            tried = self._map(lambda pair, length=length: pair.try_dual(length), pairs)
            if all(Unseen.all_of(tried).seen(self.arrays)):
                self._map(lambda pair, length=length: pair.move_dual(length), pairs)
                return length
            length *= 0.7
        raise SolverError("the dual matrix is not positive definite any more")

    def _update_dual(self, pairs: list[Pair]) -> None:
        self.dual_matrices = tuple(p.dual for p in pairs)
        value = feasible_dual_value(self.condition, [p.dual_factor for p in pairs])
        self.dual_bound = max(self.dual_bound, value)

    def _report(self, iteration: int, rho: float, dual: float) -> None:
        scale = self.condition.exponent
        line = Progress(
            iteration,
            float(np.ldexp(np.sqrt(rho), scale)),
            float(np.ldexp(np.sqrt(dual), scale)),
            self.budget.elapsed,
        )
        self.history.append(line)
        if self.budget.report is not None:
            self.budget.report(line)
