"""A primal-dual interior-point method on the rank-two structure of the condition.

Minimise rho = y[0] over y with M(y) >= 0 for every inequality of the condition: one for a dense network, one a
frequency for a convolutional one. Each has a dual matrix X >= 0, and the sum of <A_j, X> is 1 for rho, 0 for other
metric variables and at most 0 for multipliers. The direction is the one of Helmberg, Rendl, Vanderbei and Wolkowicz,
Kojima et al. and Monteiro, with Mehrotra's predictor and corrector; y is strictly feasible from the start, X becomes
feasible on the way. The start is the closed form of `closed_form.strictly_feasible` with X a multiple of the inverse
of M, which is centred. Every iterate is a bound.

Where inequalities are many and few are tight, the run works on some of them and a `Watch` looks after the others: y
never leaves any of them, one that stops a step joins with X a multiple of the inverse of its M, which keeps the run
centred, and one that turns out to be slack leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import cpu_count
from typing import Any, Protocol

import numpy as np

from sdpcert.arithmetic.arrays import Arrays, arrays_on
from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.condition.conditions import Conditions
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.factor import Factor
from sdpcert.condition.inequality import Inequality, Products
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.closed_form import strictly_feasible
from sdpcert.solvers.solution import Budget, Progress, Solution

Matrix = Any
MAXIMUM_ITERATIONS = 200
#: Fraction of the way to the boundary that a step goes.
STEP = 0.95
#: Below this order Python is busier than BLAS, and threads would wait for each other.
PARALLEL_ORDER = 250
#: Where steps of the dual are shorter than `CRAWL` three times in a row, X begins anew at a point that is the share
#: `RETREAT` of the way back to the start, up to `RESTARTS` times.
CRAWL, RETREAT, RESTARTS = 0.15, 0.1, 5
#: Theta and room of the closed form's start; a run that stalls is tried again from the next one, further inside.
STARTS = ((0.4, 1.5), (0.15, 4.0))
#: Lanczos ends where what is new of an image is this small beside the operator.
BREAKDOWN = 1e-10
#: An inequality may leave once the relative gap is below the first number and what its dual matrix holds against all
#: variables, relative, below the second one times the gap (one that rho hardly meets may rule the multipliers).
SETTLED, IDLE = 0.05, 1e-2


def interior_point(form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
    """Solve the condition to `budget.tol` or as far as float64 goes; interrupted, return the best point so far.

    `method` is "neuron" or "layer". The solution's status is "optimal", "stalled", "time limit" or "interrupted".
    """
    arrays = arrays_on(device)
    solved: Solution | None = None
    for theta, room in STARTS:
        condition = Condition(form, method, arrays)
        done = 0 if solved is None else len(solved.history)
        try:
            point = minimise(condition, _counting_from(done, budget), start=(theta, room))
        except SolverError:
            if solved is None:
                raise
            break
        multipliers = tuple(condition.multipliers(condition.arrays.asarray(point.y)))
        solution = Solution(
            float(point.y[0]), multipliers, point.exponent, point.dual, point.iterations, point.status, point.history
        )
        solved = solution if solved is None else _joined(solved, solution, budget.tol)
        if solved.status != "stalled":
            break
    assert solved is not None
    return solved


def _counting_from(first: int, budget: Budget) -> Budget:
    """The same budget; what it reports is counted from `first`."""
    report = budget.report
    if first == 0 or report is None:
        return budget
    return replace(budget, report=lambda line: report(replace(line, iteration=first + line.iteration)))


def _joined(one: Solution, two: Solution, tol: float) -> Solution:
    """The lower of the points of two runs with the higher of their dual bounds, which hold for both."""
    lower, dual = min(one, two, key=lambda s: s.bound), max(one.dual, two.dual)
    after = (replace(line, iteration=len(one.history) + line.iteration) for line in two.history)
    return replace(
        lower,
        dual=dual,
        iterations=one.iterations + two.iterations,
        status="optimal" if dual >= (1 - tol) * lower.bound else two.status,
        history=(*one.history, *after),
    )


@dataclass(frozen=True, eq=False)
class Point:
    """The best feasible y of a run: the bound is `2**exponent * sqrt(y[0])`, `dual` a lower bound on the optimum of
    it.
    """

    y: Matrix
    exponent: int
    dual: float
    iterations: int
    status: str
    history: tuple[Progress, ...]


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
    start: tuple[float, float] = STARTS[0],
) -> Point:
    """Minimise rho over the condition; the gap aimed at is `margin` times the budget's tolerance.

    With `watch` the point satisfies the inequalities that it looks after as well, and it chooses the start; otherwise
    `start` are the theta and the room of `strictly_feasible`.
    """
    chosen = strictly_feasible(condition, *start) if watch is None else watch.strictly_feasible()
    return _Run(condition, budget, margin, watch, chosen).solve()


@dataclass(eq=False)
class _Pair:
    """M and X of one inequality, what is derived from them, and their directions."""

    inequality: Inequality
    matrix: Matrix
    factor: Factor
    dual: Matrix
    dual_factor: Matrix
    given: Products | None = None
    inverted: Products | None = None
    dual_inverse: Matrix = None
    second: Matrix = None
    matrix_step: Matrix = None
    dual_step: Matrix = None


@dataclass(eq=False)
class _Step:
    """Directions of y and of the slack, and how far the primal and the dual can go along theirs."""

    y: Matrix
    slack: Matrix
    primal: float
    dual: float


class _Run:
    def __init__(
        self, condition: Conditions, budget: Budget, margin: float, watch: Watch | None, start: Matrix
    ) -> None:
        self.condition, self.budget, self.margin, self.watch = condition, budget, margin, watch
        self.arrays: Arrays = condition.arrays
        self.best: Matrix | None = None
        self.dual_bound = 0.0
        self.history: list[Progress] = []
        self.stopped: dict[Any, int] = {}
        self.start = self.arrays.asarray(start)
        self.order = sum(part.order for part in condition.inequalities)
        # Multipliers whose sign does not follow from M >= 0 get a slack of their own.
        self.binds = condition.nonnegative_binds
        signed = np.zeros(condition.variables, dtype=bool)
        for part in condition.inequalities:
            signed[part.own] = self.binds
        self.signed = np.flatnonzero(signed)
        large = max(part.order for part in condition.inequalities) >= PARALLEL_ORDER
        several = watch is not None or len(condition.inequalities) > 1
        workers = (cpu_count() or 1) if self.arrays.parallel and large and several else 1
        self.pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def _map(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
        return list(map(function, *arguments) if self.pool is None else self.pool.map(function, *arguments))

    def solve(self) -> Point:
        iteration, status = 0, "stalled"
        try:
            for iteration, status in self._iterate():  # noqa: B007
                pass
        except KeyboardInterrupt:
            status = "interrupted"
        except SolverError:
            if self.best is None:
                raise
            status = "stalled"
        finally:
            if self.pool is not None:
                self.pool.shutdown(cancel_futures=True)
        y = self.start if self.best is None else self.best
        scale = self.condition.exponent
        dual = float(np.ldexp(np.sqrt(self.dual_bound), scale)) * (1 - 1e-15)
        return Point(self.arrays.numpy(y), scale, dual, iteration, status, tuple(self.history))

    def _iterate(self) -> Iterator[tuple[int, str]]:
        arrays, y = self.arrays, self.start
        pairs = self._begin(y)
        mu = sum(arrays.inner(p.dual, p.matrix) for p in pairs) / self.order
        slack = mu / y[self.signed]
        best_gap, best_merit, slow, stuck, crawling, restarts = float("inf"), float("inf"), 0, 0, 0, 0
        refused = 0
        target = 2 * self.budget.tol
        iteration = 0
        for iteration in range(MAXIMUM_ITERATIONS):
            if self.best is None or float(y[0]) < float(self.best[0]):
                self.best = y
            results = self._map(self._measure, pairs)
            rho = float(y[0])
            complementarity = sum(r[0] for r in results) + float((slack * y[self.signed]).sum())
            mu = complementarity / (self.order + len(self.signed))
            residual = -_total(r[1] for r in results)
            residual[0] += 1
            residual[self.signed] -= slack
            infeasible = float(abs(residual * y).sum())
            merit = abs(complementarity) + infeasible
            gap = merit / rho
            self._report(iteration, rho, max(rho - complementarity - infeasible, 0.0))
            slow = slow + 1 if gap > 0.5 * best_gap else 0
            best_gap = min(gap, best_gap)
            # Far from the optimum of a deep network the relative gap stays near one while rho falls by orders of
            # magnitude.
            stuck = stuck + 1 if merit > 0.97 * best_merit else 0
            best_merit = min(merit, best_merit)
            # The last digits cost few iterations and pay for rounding in the proof: aim below the tolerance.
            if gap < target:
                self._update_dual(pairs)
            done = gap < self.margin * target or (slow >= 4 and gap < target) or stuck >= 12
            if not done and self.budget.spent:
                self._update_dual(pairs)
                yield iteration, "time limit"
                return
            # Rounding may leave nothing of mu where the last digits are asked for.
            centred = not done and mu > 0
            step = self._direction(y, pairs, slack, _total(r[2] for r in results), mu) if centred else None
            moved = None if step is None else self._move(y, pairs, step)
            shares = [float(abs(r[1] * y).sum()) for r in results]
            if step is not None and moved is None and self.watch is not None and self.stopped and refused < RESTARTS:
                refused += 1  # what stops every step has to join, at the point where it still holds
                if self._exchange(y, pairs, shares, float("inf")):
                    yield iteration, "running"
                    continue
            if step is None or moved is None:
                break
            length = self._move_dual(pairs, step.dual)
            y, slack = moved, slack + length * step.slack
            crawling = crawling + 1 if length < CRAWL and gap > SETTLED else 0
            if crawling >= 3 and restarts < RESTARTS:
                y = (1 - RETREAT) * y + RETREAT * self.start
                pairs = self._begin(y)
                mu = sum(arrays.inner(p.dual, p.matrix) for p in pairs) / self.order
                slack, crawling, restarts, slow, stuck = mu / y[self.signed], 0, restarts + 1, 0, 0
                best_gap = best_merit = float("inf")
            if self.watch is not None and self._exchange(y, pairs, [share / rho for share in shares], gap):
                # What joins near its boundary lifts the merit: progress is counted from there.
                slow, stuck, best_gap, best_merit = 0, 0, float("inf"), float("inf")
            yield iteration, "running"
        self._update_dual(pairs)
        assert self.best is not None
        yield iteration, "optimal" if 1 - self.dual_bound / float(self.best[0]) <= target else "stalled"

    def _exchange(self, y: Matrix, pairs: list[_Pair], shares: list[float], gap: float) -> bool:
        """Let inequalities that stopped the step join and slack ones leave; whether any did."""
        assert self.watch is not None
        known = {id(p.inequality): p for p in pairs}
        idle: list[Inequality] = []
        if gap < SETTLED:
            slack = sorted((share, k) for k, share in enumerate(shares) if share < IDLE * gap)
            idle = [pairs[k].inequality for _, k in slack[: len(pairs) // 8]]
        if not (self.stopped or idle):
            return False
        mu = sum(self.arrays.inner(p.dual, p.matrix) for p in pairs) / sum(p.inequality.order for p in pairs)
        self.watch.exchange(self.stopped, idle)

        def join(part: Inequality) -> _Pair:
            matrix = part.matrix(y)
            factor = part.factor(matrix)
            dual = None if factor is None else mu * factor.inverse()
            dual_factor = None if dual is None else self.arrays.cholesky(dual)
            if factor is None or dual_factor is None:
                raise SolverError("a frequency that was feasible is not; please report this network")
            return _Pair(part, matrix, factor, dual, dual_factor)

        parts = self.condition.inequalities
        joined = iter(self._map(join, [part for part in parts if id(part) not in known]))
        pairs[:] = [known[id(part)] if id(part) in known else next(joined) for part in parts]
        self.order = sum(part.order for part in parts)
        return True

    def _begin(self, y: Matrix) -> list[_Pair]:
        arrays = self.arrays

        def begin(part: Inequality) -> tuple[Matrix, Factor | None, Matrix]:
            matrix = part.matrix(y)
            factor = part.factor(matrix)
            return matrix, factor, None if factor is None else factor.inverse()

        started = self._map(begin, self.condition.inequalities)
        if any(factor is None for _, factor, _ in started):
            raise SolverError("the closed-form start is not feasible in floating point")
        total = 0.0
        for part, (_, _, inverse) in zip(self.condition.inequalities, started, strict=True):
            total = total + part.adjoint(part.products(inverse))[0]
        pairs = []
        for part, (matrix, factor, inverse) in zip(self.condition.inequalities, started, strict=True):
            dual = inverse * (1 / float(total))
            dual_factor = arrays.cholesky(dual)
            if dual_factor is None:
                raise SolverError("the closed-form start is not centred in floating point")
            pairs.append(_Pair(part, matrix, factor, dual, dual_factor))
        return pairs

    def _measure(self, pair: _Pair) -> tuple[float, Matrix, Matrix]:
        part = pair.inequality
        pair.given, pair.inverted = part.products(pair.dual), part.products(pair.factor.inverse())
        return (
            self.arrays.inner(pair.dual, pair.matrix),
            part.adjoint(pair.given),
            part.schur(pair.given, pair.inverted),
        )

    def _direction(self, y: Matrix, pairs: list[_Pair], slack: Matrix, schur: Matrix, mu: float) -> _Step | None:
        arrays, signed = self.arrays, self.signed
        ratio = slack / y[signed]
        if len(signed):
            schur.reshape(-1)[signed * (len(schur) + 1)] += ratio
        scale = schur.diagonal() ** -0.5
        schur_factor = arrays.cholesky(schur * scale[:, None] * scale)
        if schur_factor is None:
            return None

        def newton(right: Matrix) -> Matrix:
            return scale * arrays.solve(schur_factor, scale * right)

        def lengths(step_y: Matrix, step_slack: Matrix, each: list[Any]) -> tuple[float, float]:
            primal, dual = min(r[0] for r in each), min(r[1] for r in each)
            if len(signed):
                primal = min(primal, _length_in_orthant(y[signed], step_y[signed]))
                dual = min(dual, _length_in_orthant(slack, step_slack))
            return min(1.0, STEP * primal), min(1.0, STEP * dual)

        objective = arrays.zeros(self.condition.variables)
        objective[0] = 1.0

        # Predictor: straight at the optimum.
        affine_y = newton(-objective)

        def predict(pair: _Pair) -> tuple[float, float]:
            part = pair.inequality
            pair.dual_inverse = arrays.triangular_inverse(pair.dual_factor)
            pair.matrix_step = part.linear(affine_y)
            pair.dual_step = -pair.dual - _hermitian(pair.factor.solve(part.linear_times(pair.matrix_step, pair.dual)))
            return self._lengths(pair)

        affine_slack = -slack - ratio * affine_y[signed]
        primal, dual = lengths(affine_y, affine_slack, self._map(predict, pairs))

        def after(pair: _Pair) -> float:
            return arrays.inner(pair.dual + dual * pair.dual_step, pair.matrix + primal * pair.matrix_step)

        moved = sum(self._map(after, pairs))
        moved += float(((slack + dual * affine_slack) * (y[signed] + primal * affine_y[signed])).sum())
        ahead = max(moved / (self.order + len(signed)) / mu, 0.0)
        centring = min(1.0, ahead ** (3 if min(primal, dual) > 0.3 else 1)) * mu

        # Corrector: towards the central path, with the second-order term of the predictor.
        def curve(pair: _Pair) -> Matrix:
            part = pair.inequality
            assert pair.inverted is not None
            pair.second = part.linear_times(pair.matrix_step, pair.dual_step)
            return centring * part.adjoint(pair.inverted) - part.adjoint_of_product(pair.second, pair.inverted)

        right = _total(self._map(curve, pairs)) - objective
        second_slack = (centring - affine_slack * affine_y[signed]) / y[signed]
        right[signed] += second_slack
        step_y = newton(right)

        def correct(pair: _Pair) -> tuple[float, float]:
            part = pair.inequality
            assert pair.inverted is not None
            pair.matrix_step = part.linear(step_y)
            product = pair.factor.solve(part.linear_times(pair.matrix_step, pair.dual) + pair.second)
            pair.dual_step = centring * pair.inverted.matrix - pair.dual - _hermitian(product)
            return self._lengths(pair)

        step_slack = second_slack - slack - ratio * step_y[signed]
        return _Step(step_y, step_slack, *lengths(step_y, step_slack, self._map(correct, pairs)))

    def _lengths(self, pair: _Pair) -> tuple[float, float]:
        arrays, whiten = self.arrays, pair.dual_inverse
        adjoint = arrays.contiguous(whiten.conj().T)
        assert pair.inverted is not None
        inverse = pair.inverted.matrix

        def primal_image(vector: Matrix) -> tuple[Matrix, Matrix]:
            image = arrays.apply(pair.matrix_step, vector)
            return arrays.apply(inverse, image), image

        def dual_image(vector: Matrix) -> tuple[Matrix, Matrix]:
            image = arrays.apply(whiten, arrays.apply(pair.dual_step, arrays.apply(adjoint, vector)))
            return image, image

        generator = np.random.default_rng(0)  # the same start every time: same seed, same result
        start = arrays.asarray(generator.standard_normal(pair.inequality.order))
        return (
            _length_to_boundary(primal_image, lambda vector: arrays.apply(pair.matrix, vector), start),
            _length_to_boundary(dual_image, lambda vector: vector, start),
        )

    def _move(self, y: Matrix, pairs: list[_Pair], step: _Step) -> Matrix | None:
        self.stopped, broken, inward = {}, None, False
        for shortened in range(13):
            trial = y + step.primal * step.y

            def attempt(pair: _Pair, trial: Matrix = trial) -> tuple[Matrix, Factor | None]:
                matrix = pair.inequality.matrix(trial)
                return matrix, pair.inequality.factor(matrix)

            if not len(self.signed) or bool((trial[self.signed] > 0).all()):
                moved = self._map(attempt, pairs)
                if all(factor is not None for _, factor in moved):
                    # What holds at y and at a longer step holds here as well: only the broken ones are looked at again.
                    broken = [] if self.watch is None else self.watch.broken(trial, broken)
                    self.stopped |= dict.fromkeys(broken, shortened + 1)
                    if not broken:
                        if self.stopped and not inward:
                            inward = True  # the length was found by trial: away from the boundary, like every step
                            step.primal *= STEP
                            continue
                        for pair, (matrix, factor) in zip(pairs, moved, strict=True):
                            pair.matrix, pair.factor = matrix, factor
                        return trial
            step.primal *= 0.7
        return None

    def _move_dual(self, pairs: list[_Pair], length: float) -> float:
        """Move the dual matrices and return the length that was possible (0 where none was)."""
        for _ in range(12):

            def attempt(pair: _Pair, length: float = length) -> tuple[Matrix, Matrix | None]:
                dual = pair.dual + length * pair.dual_step
                return dual, self.arrays.cholesky(dual)

            moved = self._map(attempt, pairs)
            if all(factor is not None for _, factor in moved):
                for pair, (dual, factor) in zip(pairs, moved, strict=True):
                    pair.dual, pair.dual_factor = dual, factor
                return length
            length *= 0.7
        return 0.0

    def _update_dual(self, pairs: list[_Pair]) -> None:
        factors = [self.arrays.numpy(p.dual_factor) for p in pairs]
        value = feasible_dual_value(self.condition, factors)
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


def _total(terms: Iterable[Matrix]) -> Matrix:
    total = None
    for term in terms:
        total = term if total is None else total + term
    return total


def _hermitian(matrix: Matrix) -> Matrix:
    return 0.5 * (matrix + matrix.conj().T)


def _length_in_orthant(point: Matrix, direction: Matrix) -> float:
    decrease = -(direction / point)
    largest = float(decrease.max())
    return 1 / largest if largest > 0 else 1e9


def _length_to_boundary(
    image: Callable[[Matrix], tuple[Matrix, Matrix]], gram: Callable[[Matrix], Matrix], start: Matrix, steps: int = 24
) -> float:
    """How far a positive definite matrix B can go along D: 1 / -(least eigenvalue of B^-1 D), by Lanczos.

    Lanczos runs in the inner product of a matrix G (B itself, or the identity for L^-1 D L^-*). `image` maps a vector
    to its image under the operator and G times that, `gram` to its product with G. Each vector is measured with G
    anew: where B^-1 D is nearly a multiple of the identity (orthogonal layers), what remains of an image is rounding,
    and a recurrence for G times it would drift away from it.
    """
    vector = start * _norm(start, gram) ** -1
    before, beta, largest = vector * 0, 0.0, 0.0
    alphas: list[float] = []
    betas: list[float] = []
    bound, count = 0.0, min(steps, len(start))
    for k in range(count):
        moved, dual_moved = image(vector)
        alpha = _dot(vector, dual_moved)
        moved = moved - alpha * vector - beta * before
        beta = _norm(moved, gram)
        alphas.append(alpha)
        largest = max(largest, abs(alpha), beta)
        last = k + 1 == count or beta <= BREAKDOWN * largest
        if k % 4 == 3 or last:
            tridiagonal = np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)
            pairs = eigenpairs(tridiagonal)
            if pairs is None:
                return 0.0
            values, vectors = pairs
            least = float(values[0])
            bound = least - abs(beta * float(vectors[-1, 0]))
            if last or (least < 0 and bound > 1.05 * least) or (least >= 0 and bound > -0.5):
                break
        betas.append(beta)
        before, vector = vector, moved * (1 / beta)
    return 1 / -bound if bound < 0 else 1e9


def _norm(vector: Matrix, gram: Callable[[Matrix], Matrix]) -> float:
    return max(_dot(vector, gram(vector)), 0.0) ** 0.5


def _dot(left: Matrix, right: Matrix) -> float:
    return float((left.conj() * right).sum().real)
