"""The largest bound that weighed quadratic facts prove: a primal-dual interior-point method on the weights.

Maximise t over weights w >= 0 with Q = target - t - sum_j w_j A_j positive semidefinite. The weights are strictly
feasible from the start, so every iterate is a bound. The dual matrix X has moments of (1, y, z) in the relaxation:
X_00 = 1 and <A_j, X> = s_j >= 0, which hold ever better on the way. The direction is that of Helmberg, Rendl,
Vanderbei and Wolkowicz, Kojima et al. and Monteiro, with Mehrotra's predictor and corrector.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.regions.quadratic import QuadraticProblem
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.quadratic_start import best_value, first_moments, first_weights
from sdpcert.solvers.step_length import UNBOUNDED, length_in_orthant
from sdpcert.solvers.weighed_facts import Products, Weights, matrix

Array = np.ndarray
MAXIMUM_ITERATIONS = 60
#: Fraction of the way to the boundary that a step goes, and the length that is none.
STEP, LEAST_LENGTH = 0.9, 1e-6
#: What facts are worth at the start at least, where the first moments do not satisfy them.
LEAST_FACT = 1e-2
#: What the moments may miss of the facts, weighed, against the gap, when a limit is derived from them.
SATISFIED = 0.2
#: Steps of Lanczos for the way to the boundary.
LANCZOS = 10
#: After so many steps without a better bound or limit a run is given up.
PATIENCE = 8


@dataclass(frozen=True)
class QuadraticGoals:
    """When a bound is good enough, and when there is no use in going on.

    A run stops once its bound is `enough`, once no weights prove more than `hopeless`, roughly, once they do not prove
    more than the bound and `tolerance`, a share of how far the preactivation moves, or after so many `seconds`.
    """

    enough: float = np.inf
    hopeless: float = -np.inf
    tolerance: float = 1e-4
    seconds: float = np.inf
    started: float = field(default_factory=time.perf_counter)

    def scaled(self, scale: float) -> QuadraticGoals:
        """The goals for preactivations that are divided by `scale`."""
        return replace(self, enough=self.enough / scale, hopeless=self.hopeless / scale)

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return time.perf_counter() - self.started > self.seconds


@dataclass(frozen=True, eq=False)
class Bound(ShortRepr):
    """What a run found: the bound `value` that `weights` prove (None if there are none), and a limit of all bounds,
    which is rough until the moments satisfy all facts. `moments` are those of (1, y, z).
    """

    value: float
    upper: float
    weights: Weights | None
    moments: Array | None
    iterations: int
    status: str


def maximise(problem: QuadraticProblem, goals: QuadraticGoals, start: Weights | None = None) -> Bound:
    """The largest bound that weights prove, as far as the goals want to know it; `start` may be any weights."""
    if start is not None:
        reached = best_value(problem, start)
        if reached is not None and reached >= goals.enough:
            return Bound(reached, np.inf, start, None, 0, "enough")
    x = first_weights(problem, start)
    if x is None:
        return Bound(-np.inf, np.inf, None, None, 0, "no start")
    return _Run(problem, goals, x).solve()


@dataclass(eq=False)
class _Step:
    """A direction: of (t, w), of Q, of the moments, and of what the facts are worth."""

    x: Array
    slack: Array
    moments: Array
    worth: Array


class _Run:
    """An iterate: x = (t, w), the matrix Q, moments, and what the facts are worth."""

    def __init__(self, problem: QuadraticProblem, goals: QuadraticGoals, x: Array) -> None:
        self.problem, self.goals = problem, goals
        self.x, self.size = x, len(x)
        self.best, self.value, self.upper, self.waited = x, -np.inf, np.inf, 0
        self.slack = self._matrix(x)
        self.moments = first_moments(problem)
        self.worth = np.maximum(Products(problem, self.moments).adjoint()[1:], LEAST_FACT)
        self.goal = np.zeros(self.size)
        self.goal[0] = 1.0

    def _matrix(self, x: Array, target: bool = True) -> Array:
        return matrix(self.problem, float(x[0]), Weights.of(self.problem, x[1:]), target)

    def solve(self) -> Bound:
        factors = blas.cholesky(self.slack), blas.cholesky(self.moments)
        if factors[0] is None or factors[1] is None:
            return Bound(self.value, self.upper, None, None, 0, "no start")
        self.factors: tuple[Array, Array] = factors[0], factors[1]
        iteration, status = 0, "stalled"
        for iteration in range(MAXIMUM_ITERATIONS):  # noqa: B007
            found = self._iterate()
            if found is not None:
                status = found
                break
        weights = Weights.of(self.problem, self.best[1:])
        return Bound(self.value, self.upper, weights, self.moments, iteration, status)

    def _iterate(self) -> str | None:
        """One step; why the run ends, if it does."""
        whiten, whiten_moments = (blas.triangular_inverse(factor) for factor in self.factors)
        inverse = blas.product(whiten.T, whiten)
        given = Products(self.problem, self.moments)
        mu = self._measure(given.adjoint(), float(inverse[0, 0]))
        if self.value >= self.goals.enough:
            return "enough"
        if self.upper <= self.goals.hopeless:
            return "hopeless"
        if self.upper - self.value <= self.goals.tolerance:
            return "optimal"
        if self.goals.spent:
            return "time limit"
        if self.waited > PATIENCE:
            return "stalled"
        inverted = Products(self.problem, inverse)
        inverted.prepare()
        given.prepare()
        newton = self._newton(inverted.schur(given))
        if newton is None:
            return "stalled"
        step = self._direction(newton, inverse, inverted.adjoint(), mu, (whiten, whiten_moments))
        return self._move(step, (whiten, whiten_moments))

    def _measure(self, adjoint: Array, inverse: float) -> float:
        """Keep the bound and the limit of all bounds; returns the complementarity of one pair."""
        x, before = self.x, (self.value, self.upper)
        value = float(x[0] + 1 / inverse)
        if value > self.value:
            self.value, self.best = value, x
        residual = self.goal - adjoint
        residual[1:] += self.worth
        total = float(np.einsum("ij,ij->", self.moments, self.slack)) + float(self.worth @ x[1:])
        missing = float(np.abs(residual * x).sum())
        if missing <= max(SATISFIED * total, self.goals.tolerance):
            self.upper = min(self.upper, float(x[0]) + total + missing)
        if self.upper < self.value - self.goals.tolerance:  # what the moments miss matters more than it seemed
            self.upper = np.inf
        self.waited = self.waited + 1 if (self.value, self.upper) == before else 0
        return total / (self.problem.order + self.size - 1)

    def _newton(self, schur: Array) -> Callable[[Array], Array] | None:
        """The inverse of the Schur complement, of which the lower triangle is given."""
        schur.reshape(-1)[self.size + 1 :: self.size + 1] += self.worth / self.x[1:]
        scale = schur.diagonal() ** -0.5
        schur *= scale
        schur *= scale[:, None]
        factor = blas.cholesky(schur)
        return None if factor is None else lambda right: scale * blas.solve(factor, scale * right)

    def _direction(
        self, newton: Callable[[Array], Array], inverse: Array, gradient: Array, mu: float, whiten: tuple[Array, Array]
    ) -> _Step:
        """Mehrotra's predictor, straight at the optimum, and his corrector, towards the central path."""
        problem, weights, worth = self.problem, self.x[1:], self.worth
        # Predictor.
        ahead = newton(self.goal)
        moved = self._matrix(ahead, target=False)
        toward = blas.product(inverse, moved)
        first = _Step(ahead, moved, -self.moments - _symmetric(blas.product(toward, self.moments)), np.empty(0))
        first.worth = -worth - worth * ahead[1:] / weights
        primal, dual = self._lengths(first, whiten)
        after = float(np.einsum("ij,ij->", self.slack + primal * moved, self.moments + dual * first.moments))
        after += float((weights + primal * ahead[1:]) @ (worth + dual * first.worth))
        left = max(after / (problem.order + self.size - 1) / mu, 0.0)
        centring = min(1.0, left ** (3 if min(primal, dual) > 0.3 else 1)) * mu
        # Corrector, with the second-order term of the predictor.
        second = _symmetric(blas.product(toward, first.moments))
        second_worth = (centring - first.worth * ahead[1:]) / weights
        right = self.goal - centring * gradient + Products(problem, second).adjoint()
        right[1:] += second_worth
        x = newton(right)
        moved = self._matrix(x, target=False)
        product = _symmetric(blas.product(blas.product(inverse, moved), self.moments))
        moments = centring * inverse - self.moments - product - second
        return _Step(x, moved, moments, second_worth - worth - worth * x[1:] / weights)

    def _lengths(self, step: _Step, whiten: tuple[Array, Array]) -> tuple[float, float]:
        """How far weights and moments may go along a step, at most 1."""
        primal = min(length_in_orthant(self.x[1:], step.x[1:]), _length(whiten[0], step.slack))
        dual = min(length_in_orthant(self.worth, step.worth), _length(whiten[1], step.moments))
        return min(1.0, primal), min(1.0, dual)

    def _move(self, step: _Step, whiten: tuple[Array, Array]) -> str | None:
        """Take a step, shortened until both matrices are positive definite."""
        primal, dual = (min(1.0, STEP * length) if length < 1 else 1.0 for length in self._lengths(step, whiten))
        moved = _shortened(self.slack, step.slack, primal)
        other = _shortened(self.moments, step.moments, dual)
        if moved is None or other is None:
            return "stalled"
        (primal, self.slack, factor), (dual, self.moments, other_factor) = moved, other
        self.factors = factor, other_factor
        self.x, self.worth = self.x + primal * step.x, self.worth + dual * step.worth
        return None


def _shortened(of: Array, step: Array, length: float) -> tuple[float, Array, Array] | None:
    """A length, not above the given one, after which a matrix is positive definite, the matrix, and its factor."""
    while length > LEAST_LENGTH:
        moved = of + length * step
        factor = blas.cholesky(moved)
        if factor is not None:
            return length, moved, factor
        length *= 0.7
    return None


def _length(whiten: Array, step: Array) -> float:
    """How far a matrix may go along a step until it is singular, from the inverse of its factor, by Lanczos."""
    order = len(step)
    vector, before, beta = np.cos(np.arange(order, dtype=float) ** 2), np.zeros(order), 0.0
    vector /= np.linalg.norm(vector)
    steps = min(LANCZOS, order)
    alphas, betas = np.zeros(steps), np.zeros(steps)
    for k in range(steps):
        image = whiten @ (step @ (vector @ whiten))
        alphas[k] = vector @ image
        image -= alphas[k] * vector + beta * before
        beta = betas[k] = float(np.linalg.norm(image))
        if beta <= 1e-10 * np.max(np.abs(alphas)):
            steps = k + 1
            break
        before, vector = vector, image / beta
    inner = np.diag(alphas[:steps]) + np.diag(betas[: steps - 1], 1) + np.diag(betas[: steps - 1], -1)
    pairs = eigenpairs(inner)
    if pairs is None:
        return 0.0
    least = float(pairs[0][0]) - abs(betas[steps - 1] * float(pairs[1][-1, 0]))
    return -1 / least if least < 0 else UNBOUNDED


def _symmetric(square: Array) -> Array:
    return 0.5 * (square + square.T)
