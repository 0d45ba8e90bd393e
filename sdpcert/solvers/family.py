"""Multipliers that are combinations of a few known ones for each group, to the optimum of the condition.

The variables are rho and few coefficients c. At the optimum M has a null space of one or a few dimensions, and next to
it M is nearly singular along few more vectors. So the run works on the Schur complement Phi(c) of M onto those
(`condition/curvature.py`): a primal-dual interior-point method for `min rho, Phi(c) >= 0` with a dual matrix Z of a few
rows, Newton's method on the whole with the exact second derivatives. The rest of M only has to stay positive definite,
which the factor of every trial point shows; what comes near its boundary is among the vectors of the next iteration. An
iteration costs a few factors of M and solves with as many columns as there are variables.

Every iterate is strictly feasible, so it is a bound. The dual matrix of the condition is V Z V', of low rank, and the
sweep of `condition/dual.py` makes it feasible: the gap is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sdpcert.arithmetic.blas import cholesky, triangular_inverse, triangular_solve
from sdpcert.arithmetic.spectra import eigenpairs, least_squares
from sdpcert.condition.curvature import Family, Section, least_vectors, spread_of
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.factor import Factor
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.forward import lowest_share, strictly_feasible
from sdpcert.solvers.solution import Budget, Progress, Solution

Array = np.ndarray
MAXIMUM_ITERATIONS = 200
#: As many vectors are looked at as there are variables, within these bounds, and more after steps below `SHORT`.
LEAST_VECTORS, MOST_VECTORS, SHORT = 32, 128, 0.1
#: Vectors along which M, beside its diagonal, is below this number belong to the Schur complement.
NEAR = 0.4
#: Rounds of inverse iteration at the start, and in every iteration.
FIRST_ROUNDS, ROUNDS = 10, 3
#: The share of the way to the boundary that a step takes, and by how much one that leaves is shortened.
STEP, SHORTEN = 0.95, 0.8
#: The gap aimed at, over the tolerance; and iterations without progress that end a run.
MARGIN, PATIENCE = 0.05, 8
#: How far inside of a known point a run begins, and the point that is handed out lies, relative.
ROOM, INSIDE = 0.1, 1e-9
#: The share of the dual matrix's trace whose curvature is left out.
DROPPED = 1e-3
POWER, LEAST, INF = 3, 1e-2, 0.3


def layer_optimum(form: StackedForm, budget: Budget) -> Solution:
    """One multiplier per group, to the optimum within `budget.tol`, with a dual bound; memory grows as the blocks do.

    The status is "optimal", "stalled", "time limit" or "interrupted". Raises `SolverError` if float64 cannot hold the
    start.
    """
    return minimise_family(form, [[np.ones(group.size)] for group in form.groups], budget)


def minimise_family(
    form: StackedForm, families: Sequence[Sequence[Array]], budget: Budget, start: Solution | None = None
) -> Solution:
    """The least rho with multipliers in the span of the nonnegative directions `families[g]` of every group g.

    Directions are multipliers of the original network, of shape (neurons,). The run begins at `start`, whose
    multipliers have to be combinations of them, or at the closed form with one multiplier per group. With several
    directions a group there is no dual bound: 0. The status is as that of `layer_optimum`. Raises `SolverError` if the
    start is no point of the family.
    """
    condition = Condition(form, "neuron")
    family = Family(condition, spread_of(families, condition.scaling.neurons))
    return _Run(form, family, budget, _begun(form, family, start)).solution()


def _begun(form: StackedForm, family: Family, start: Solution | None) -> Array:
    """A strictly feasible c; rescales the output so that its rho is of order one."""
    condition = family.condition
    if start is None:
        layered = Condition(form, "layer")
        # Half way to the least rho: there, too many directions have little room for a good beginning.
        y = strictly_feasible(layered, (0.5 + lowest_share(layered)) / 2)
        condition.rescale_output(layered.shift)
        rho, known = float(y[0]), [layered.spread(y)[rows] for rows in layered.rows[1:]]
    else:
        shift = start.exponent - condition.scaling.output + int(np.round(np.log2(start.rho) / 2))
        condition.rescale_output(shift)
        change = 2.0 ** (2 * (start.exponent - condition.exponent))
        rho = start.rho * change * (1 + ROOM)
        scales = condition.scaling.neurons
        known = [np.ldexp(t, -2 * a) * change * (1 + ROOM) for t, a in zip(start.multipliers, scales, strict=True)]
    found = [least_squares(each.T, t) for each, t in zip(family.directions, known, strict=True)]
    c = np.concatenate([[rho], *(t for t in found if t is not None)])
    if len(c) < family.variables or not np.all(np.isfinite(c)) or Factor.of(family.matrix(c)) is None:
        raise SolverError("the start's multipliers are no combinations of the directions: add them to the directions")
    return c


@dataclass(eq=False)
class _State:
    """The point c with the factor of its matrix, and the dual matrix as `dual dual'`."""

    c: Array
    factor: Factor
    vectors: Array
    dual: Array | None = None
    mu: float = 0.0
    length: float = 0.5


@dataclass(frozen=True, eq=False)
class _Step:
    """A direction of c and of Z."""

    c: Array
    dual: Array


class _Run:
    def __init__(self, form: StackedForm, family: Family, budget: Budget, start: Array) -> None:
        self.family, self.condition, self.budget = family, family.condition, budget
        self.layered = None
        if all(len(each) == 1 and bool(np.all(each == 1)) for each in family.directions):
            self.layered = Condition(form, "layer")
            self.layered.rescale_output(self.condition.shift)
        self.best, self.dual_bound = start, 0.0
        self.history: list[Progress] = []
        self.start = start
        #: Coefficients whose signs do not follow from M >= 0 get slacks of their own.
        self.signed = np.zeros(family.variables, dtype=bool)
        bound = self.condition.alpha * self.condition.beta > 0
        for part, rows in zip(family.parts, self.condition.rows[1:], strict=True):
            self.signed[part] = bool(np.any(bound[rows]))
        self.slack = np.zeros(family.variables)

    def solution(self) -> Solution:
        iteration, status = 0, "stalled"
        try:
            for iteration, status in self._iterate():  # noqa: B007
                pass
        except KeyboardInterrupt:
            status = "interrupted"
        except SolverError:
            status = "stalled"
        if status == "running":
            status = "stalled"
        if self.dual_bound >= (1 - 2 * self.budget.tol) * float(self.best[0]):
            status = "optimal"
        c = self._inside(self.best)
        condition = self.condition
        dual = float(np.ldexp(np.sqrt(self.dual_bound), condition.exponent)) * (1 - 1e-15)
        multipliers = tuple(condition.multipliers(self.family.point(c)))
        return Solution(float(c[0]), multipliers, condition.exponent, dual, iteration, status, tuple(self.history))

    def _inside(self, c: Array) -> Array:
        """A point a little further inside: M gains a multiple of itself and of F'F."""
        return c * (1 + INSIDE)

    def _iterate(self) -> Iterator[tuple[int, str]]:
        matrix = self.family.matrix(self.start)
        factor = Factor.of(matrix)
        assert factor is not None
        count = min(max(self.family.variables, LEAST_VECTORS), MOST_VECTORS, self.condition.order)
        vectors = np.random.default_rng(0).standard_normal((self.condition.order, count))
        now, rounds, stuck = _State(self.start, factor, vectors), FIRST_ROUNDS, 0
        best_gap, best_rho = np.inf, np.inf
        for iteration in range(MAXIMUM_ITERATIONS):
            section, weights = self._section(now, rounds)
            rounds = ROUNDS
            gap = self._measure(iteration, now, section, weights)
            stuck = 0 if gap < 0.9 * best_gap or self.best[0] < 0.9 * best_rho else stuck + 1
            best_gap, best_rho = min(gap, best_gap), float(self.best[0])
            if gap <= 2 * MARGIN * self.budget.tol or (stuck >= PATIENCE and gap < 1e-3) or stuck > 4 * PATIENCE:
                yield iteration, "stalled"
                return
            if self.budget.spent or self._is_enough():
                yield iteration, "time limit" if self.budget.spent else "enough"
                return
            length = self._advance(now, section, weights)
            if length < SHORT and now.vectors.shape[1] < min(MOST_VECTORS, self.condition.order):
                more = np.random.default_rng(iteration).standard_normal((self.condition.order, now.vectors.shape[1]))
                now.vectors, rounds = np.concatenate([now.vectors, more], axis=1)[:, : self.condition.order], 6
            yield iteration + 1, "running"

    def _is_enough(self) -> bool:
        return self.history[-1].upper <= self.budget.low_enough or self.history[-1].lower >= self.budget.high_enough

    def _section(self, now: _State, rounds: int) -> tuple[Section, Array]:
        """The section onto the vectors along which M is nearly singular, and a factor of the dual matrix there."""
        matrix = self.family.matrix(now.c)
        values, scaled = least_vectors(matrix, now.factor, now.vectors, rounds)
        now.vectors = scaled / matrix.diagonal()[:, None]
        count = max(1, int((values < NEAR).sum()))
        section = Section.of(self.family, now.factor, scaled[:, :count])
        lower = _factor(section.value)
        if now.dual is None:
            now.mu = 0.3 * float(now.c[0]) / count
            weights = np.sqrt(now.mu) * triangular_inverse(lower).T
            self.slack[self.signed] = now.mu / now.c[self.signed]
            return section, weights
        root = lower.T @ (scaled[:, :count].T @ now.dual)
        held, turned = _eigenpairs(root @ root.T)
        return section, linalg.solve_triangular(lower.T, turned * np.sqrt(np.maximum(held, 0.01 * now.mu)))

    def _measure(self, iteration: int, now: _State, section: Section, weights: Array) -> float:
        """Keep the best point and dual bound; the relative gap."""
        rho = float(now.c[0])
        if rho < float(self.best[0]):
            self.best = now.c
        if self.layered is not None:
            found = feasible_dual_value(self.layered, [section.basis @ weights])
            self.dual_bound = max(self.dual_bound, min(found, float(self.best[0])))
            gap = 1 - self.dual_bound / float(self.best[0])
        else:
            residual = self._residual(section, weights)
            held = float(((section.value @ weights) * weights).sum()) + float(abs(residual * now.c).sum())
            gap = (held + float((self.slack * now.c)[self.signed].sum())) / rho
        scale = self.condition.exponent
        upper, lower = (float(np.ldexp(np.sqrt(v), scale)) for v in (float(self.best[0]), self.dual_bound))
        line = Progress(iteration, upper, lower, self.budget.elapsed)
        self.history.append(line)
        if self.budget.report is not None:
            self.budget.report(line)
        return gap

    def _residual(self, section: Section, weights: Array) -> Array:
        """How far Z is from dual feasibility."""
        residual = -np.tensordot(section.slopes, weights @ weights.T, axes=2) - self.slack
        residual[0] += 1
        return residual

    def _advance(self, now: _State, section: Section, weights: Array) -> float:
        """Take one step; its length."""
        dual, count = weights @ weights.T, len(section.value)
        held = float((dual * section.value).sum())
        positive = np.where(self.signed, now.c, 1.0)
        system = section.newton(weights, DROPPED)
        system += np.diag(np.where(self.signed, self.slack / positive, 0.0))
        unit = np.sqrt(system.diagonal())
        scaled = system / unit / unit[:, None] + 1e-15 * np.eye(len(unit))
        try:
            lower = linalg.cho_factor(scaled, lower=True)
        except linalg.LinAlgError:
            lower = linalg.cho_factor(scaled + 1e-11 * np.eye(len(unit)), lower=True)

        def solve(right: Array) -> Array:
            return linalg.cho_solve(lower, right / unit) / unit

        def step(mu: float, correction: Array) -> _Step:
            target = mu * section.inverse + correction
            right = np.tensordot(section.slopes, target, axes=2) + np.where(self.signed, mu / positive, 0.0)
            right[0] -= 1
            direction = solve(right)
            turned = dual @ section.along(direction) @ section.inverse
            return _Step(direction, target - dual - (turned + turned.T) / 2)

        affine = step(0.0, np.zeros_like(dual))
        bend = section.bend(affine.c)
        reach = self._reach(now, section, affine.c, bend)
        share = min(max((1 - min(reach, now.length)) ** POWER, LEAST), 0.8)
        infeasible = float(abs(self._residual(section, weights) * now.c).sum())
        total = held + float((self.slack * now.c)[self.signed].sum())
        count += int(self.signed.sum())
        now.mu = share * max(total, INF * infeasible) / count
        second = (dual @ bend - affine.dual @ (section.along(affine.c) - bend)) @ section.inverse
        chosen = step(now.mu, min(reach, 1.0) ** 2 * (second + second.T) / 2)
        length = now.length = self._move(now, section, chosen.c)
        self._move_dual(now, section, weights, chosen)
        return length

    def _move_dual(self, now: _State, section: Section, weights: Array, step: _Step) -> None:
        lower = _factor(weights @ weights.T)
        root = triangular_solve(lower, triangular_solve(lower, step.dual).T)
        least = float(_eigenpairs((root + root.T) / 2)[0][0])
        length = min(1.0, STEP / max(-least, 1e-9))
        held, turned = _eigenpairs(weights @ weights.T + length * step.dual)
        now.dual = section.basis @ (turned * np.sqrt(np.maximum(held, 0.0)))
        if np.any(self.signed):
            self.slack[self.signed] = np.maximum(now.mu / now.c[self.signed], 0.1 * self.slack[self.signed])

    def _reach(self, now: _State, section: Section, direction: Array, bend: Array) -> float:
        """How far a direction leads until the model of Phi, of second order, is singular; at most 1."""
        slope, length = section.along(direction), 1.0
        while length > 1e-6:
            if cholesky(section.value + length * (slope - length * bend)) is not None:
                break
            length *= 0.9
        falling = self.signed & (direction < 0)
        return min(length, float(np.min(-now.c[falling] / direction[falling], initial=1.0)))

    def _move(self, now: _State, section: Section, direction: Array) -> float:
        """Go along a direction as far as M stays positive definite; the length."""
        length = self._reach(now, section, direction, section.bend(direction))
        length = length if length == 1.0 else STEP * length
        while length > 1e-8:
            c = now.c + length * direction
            factor = Factor.of(self.family.matrix(c)) if c[0] > 0 else None
            if factor is not None:
                inside = STEP if length < 1 else 1.0
                if inside < 1:
                    c = now.c + inside * length * direction
                    factor = Factor.of(self.family.matrix(c)) or factor
                now.c, now.factor = c, factor
                return length
            length *= SHORTEN
        return 0.0


def _factor(matrix: Array) -> Array:
    """The Cholesky factor; raises `SolverError` if there is none."""
    factor = cholesky(matrix)
    if factor is None:
        raise SolverError("the Schur complement of a family lost its definiteness to rounding")
    return factor


def _eigenpairs(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors; raises `SolverError` if LAPACK gives none."""
    found = eigenpairs(matrix)
    if found is None:
        raise SolverError("the eigenvalues of a family's Schur complement are not finite")
    return found
