"""The largest bound that weighed quadratic facts prove: an interior-point method on the weights.

Maximise t over weights w >= 0 with Q(t, w) = target - t e0 e0' - sum_j w_j A_j positive semidefinite; every A_j is a
symmetric product of two linear forms, or the unit ball's. Each iterate is strictly feasible, hence a bound.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.quadratic import FACTS, FORMS, QuadraticProblem
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.step_length import length_in_orthant, length_to_boundary

Array = np.ndarray
SPREAD = 3.0


@dataclass
class QuadraticGoals:
    """When to stop: a bound that is `enough`, a limit of all bounds that is `hopeless`, a gap of `tolerance` (share of
    the problem's scale), so many seconds.
    """

    enough: float = np.inf
    hopeless: float = -np.inf
    tolerance: float = 1e-4
    seconds: float = np.inf
    started: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> bool:
        return time.perf_counter() - self.started > self.seconds


@dataclass(frozen=True, eq=False)
class Weights(ShortRepr):
    """Weights of the scaled facts: `ball`, one for each decision, and (6, neurons)."""

    ball: float
    decisions: Array
    facts: Array


@dataclass(frozen=True, eq=False)
class Bound(ShortRepr):
    value: float
    upper: float
    weights: Weights
    moments: Array | None
    iterations: int
    status: str


class _Layout:
    """Where the weights of one problem are in the vector (t, ball, decisions, facts)."""

    def __init__(self, problem: QuadraticProblem, chosen: Array) -> None:
        self.problem = problem
        self.types = [np.flatnonzero(row) for row in chosen]
        self.decisions = slice(2, 2 + problem.decisions)
        self.slices = []
        start = 2 + problem.decisions
        for own in self.types:
            self.slices.append(slice(start, start + len(own)))
            start += len(own)
        self.size = start
        self.signs = [problem.signs[own] if k == 0 else np.ones(len(own)) for k, own in enumerate(self.types)]

    def facts(self, x: Array) -> Array:
        found = np.zeros((len(FACTS), self.problem.neurons))
        for own, part, values in zip(self.types, self.slices, found, strict=True):
            values[own] = x[part]
        return found

    def vector(self, t: float, ball: float, decisions: Array, facts: Array) -> Array:
        return np.concatenate([[t, ball], decisions, *(row[own] for row, own in zip(facts, self.types, strict=True))])


def matrix(problem: QuadraticProblem, weights: Weights, t: float) -> Array:
    """Q(t, w)."""
    return _combination(problem, t, weights, problem.target)


def _combination(problem: QuadraticProblem, t: float, weights: Weights, target: Array | None) -> Array:
    m, u, n = problem.inputs, problem.neurons, problem.order
    rows = problem.rows[:u]
    q = np.zeros((n, n))
    if target is not None:
        q[0] += target / 2
        q[:, 0] += target / 2
    q[0, 0] -= t + weights.ball
    diagonal = np.arange(1, 1 + m)
    q[diagonal, diagonal] += weights.ball
    linear = np.zeros(n)
    if problem.decisions:
        linear -= weights.decisions @ problem.rows[u:]
    three = np.zeros((3, 3, u))  # of (1, v, z): minus the weighed facts, not yet symmetric
    for k, (left, right) in enumerate(FACTS):
        w = weights.facts[k] * problem.signs if k == 0 else weights.facts[k]
        if left is None:
            three[0] -= w * problem.forms[right].T
        else:
            for i in range(3):
                three[i] -= w * problem.forms[left][:, i] * problem.forms[right].T
    three = (three + three.transpose(1, 0, 2)) / 2
    linear += 2 * (three[0, 1] @ rows)
    linear[1 + m :] += 2 * three[0, 2]
    q[0, 0] += three[0, 0].sum()
    q[0] += linear / 2
    q[:, 0] += linear / 2
    if np.any(three[1, 1]):
        q += blas.product((rows * three[1, 1][:, None]).T, rows)
    mixed = rows * three[1, 2][:, None]
    q[1 + m :] += mixed
    q[:, 1 + m :] += mixed.T
    places = np.arange(1 + m, n)
    q[places, places] += three[2, 2]
    return q


class _Products:
    """A matrix P between all forms."""

    def __init__(self, layout: _Layout, inner: Array) -> None:
        problem = layout.problem
        self.layout, self.problem, self.inner = layout, problem, inner
        m, u = problem.inputs, problem.neurons
        self.m, self.u = m, u
        rows = problem.rows
        self.through = through = blas.product(rows, inner)
        self.neurons = neurons = slice(1 + m, None)
        self.of_one = float(inner[0, 0])
        one_rows, one_neurons = through[:, 0], inner[0, neurons]
        rows_rows = blas.product(through, np.ascontiguousarray(rows.T))
        rows_neurons, neurons_neurons = through[:, neurons], inner[neurons, neurons]
        forms = problem.forms
        self.halves, self.halves_halves = one_rows[u:], rows_rows[u:, u:]
        #: One against forms, decisions against forms, forms against forms.
        self.one = [f[:, 0] * self.of_one + f[:, 1] * one_rows[:u] + f[:, 2] * one_neurons for f in forms]
        self.half = [
            f[:, 0] * one_rows[u:, None] + f[:, 1] * rows_rows[u:, :u] + f[:, 2] * rows_neurons[u:] for f in forms
        ]
        with_rows = [
            f[:, :1] * one_rows[:u] + f[:, 1:2] * rows_rows[:u, :u] + f[:, 2:] * rows_neurons[:u].T for f in forms
        ]
        with_neurons = [
            f[:, :1] * one_neurons + f[:, 1:2] * rows_neurons[:u] + f[:, 2:] * neurons_neurons for f in forms
        ]
        self.between: dict[tuple[int, int], Array] = {}
        for k in range(FORMS):
            for j, f in enumerate(forms[: k + 1]):
                made = self.one[k][:, None] * f[:, 0] + with_rows[k] * f[:, 1] + with_neurons[k] * f[:, 2]
                self.between[k, j] = made
                self.between[j, k] = made.T
        y = slice(1, 1 + m)
        self.one_y, self.half_y = inner[0, y], through[u:, y]
        self.form_y = [f[:, :1] * self.one_y + f[:, 1:2] * through[:u, y] + f[:, 2:] * inner[neurons, y] for f in forms]

    def adjoint(self) -> Array:
        """<A_j, P>."""
        layout = self.layout
        found = np.empty(layout.size)
        found[0] = self.of_one
        found[1] = self.of_one - self.inner.diagonal()[1 : 1 + self.m].sum()
        found[layout.decisions] = self.halves
        for (left, right), own, part, sign in zip(FACTS, layout.types, layout.slices, layout.signs, strict=True):
            values = self.one[right] if left is None else self.between[left, right].diagonal()
            found[part] = sign * values[own]
        return found

    def schur(self, other: _Products) -> Array:
        """<A_j, P A_k X>."""
        layout, u, m = self.layout, self.u, self.m
        found = np.zeros((layout.size, layout.size))
        y = slice(1, 1 + m)
        both = self.of_one * other.of_one
        across = float(self.one_y @ other.one_y)
        found[0, 0] = both
        found[1, 0] = both - across
        found[1, 1] = both - 2 * across + float(np.vdot(self.inner[y, y], other.inner[y, y]))
        half = layout.decisions
        mean = 0.5 * (self.halves * other.of_one + other.halves * self.of_one)
        found[half, 0] = mean
        found[half, 1] = mean - 0.5 * (self.half_y @ other.one_y + other.half_y @ self.one_y)
        found[half, half] = 0.25 * (
            self.halves_halves * other.of_one
            + self.of_one * other.halves_halves
            + np.outer(self.halves, other.halves)
            + np.outer(other.halves, self.halves)
        )
        facts = list(zip(FACTS, layout.types, layout.slices, layout.signs, strict=True))
        for s, ((left, right), own, part, sign) in enumerate(facts):
            if not len(own):
                continue
            a, b = self._one(left, own), self._one(right, own)
            c, d = other._one(left, own), other._one(right, own)
            mean = 0.5 * (a * d + b * c)
            found[part, 0] = sign * mean
            a_y, b_y = self._y(left, own), self._y(right, own)
            c_y, d_y = other._y(left, own), other._y(right, own)
            found[part, 1] = sign * (mean - 0.5 * ((a_y * d_y).sum(axis=-1) + (b_y * c_y).sum(axis=-1)))
            if half.stop > half.start:
                found[part, half] = (
                    0.25
                    * sign
                    * (
                        self._half(left, own) * d
                        + self._half(right, own) * c
                        + other._half(left, own) * b
                        + other._half(right, own) * a
                    )
                ).T
            for (left2, right2), own2, part2, sign2 in facts[: s + 1]:
                if not len(own2):
                    continue
                block = self._block(right, left2, own, own2) * other._block(left, right2, own, own2)
                block = block + self._block(right, right2, own, own2) * other._block(left, left2, own, own2)
                block += self._block(left, left2, own, own2) * other._block(right, right2, own, own2)
                block += self._block(left, right2, own, own2) * other._block(right, left2, own, own2)
                block *= 0.25 * sign[:, None]
                block *= sign2
                found[part, part2] = block
        return np.tril(found) + np.tril(found, -1).T

    def _one(self, form: int | None, own: Array) -> Array | float:
        return self.of_one if form is None else self.one[form][own]

    def _y(self, form: int | None, own: Array) -> Array:
        return self.one_y if form is None else self.form_y[form][own]

    def _half(self, form: int | None, own: Array) -> Array:
        return self.halves[:, None] if form is None else self.half[form][:, own]

    def _block(self, one: int | None, other: int | None, own: Array, others: Array) -> Array | float:
        if one is None:
            return self.of_one if other is None else self.one[other][others]
        if other is None:
            return self.one[one][own][:, None]
        block = self.between[one, other]
        if len(own) == self.u and len(others) == self.u:
            return block
        return block[np.ix_(own, others)]


class _Run:
    def __init__(self, problem: QuadraticProblem, goals: QuadraticGoals, chosen: Array, start: Array) -> None:
        self.problem, self.goals = problem, goals
        self.layout = _Layout(problem, chosen)
        self.x = start
        self.log = []

    def weights(self, x: Array) -> Weights:
        return Weights(float(x[1]), x[self.layout.decisions], self.layout.facts(x))

    def slack(self, x: Array) -> tuple[Array, Array] | None:
        """Q and its inverted factor."""
        q = matrix(self.problem, self.weights(x), x[0])
        factor = blas.cholesky(q)
        return None if factor is None else (q, blas.triangular_inverse(factor))

    def solve(self, iterations: int = 60) -> Bound:
        layout, problem, goals = self.layout, self.problem, self.goals
        x, upper, value = self.x, np.inf, -np.inf
        found = self.slack(x)
        assert found is not None, "the start is not feasible"
        q, whiten = found
        inverse = whiten.T @ whiten
        mu = 1 / inverse[0, 0]
        dual, s = mu * inverse, mu / x[1:]
        status = "stalled"
        total = problem.order + layout.size - 1
        best, iteration = x, 0
        goal = np.zeros(layout.size)
        goal[0] = 1.0
        for iteration in range(iterations):
            inverse = blas.product(np.ascontiguousarray(whiten.T), whiten)
            dual_factor = blas.cholesky(dual)
            if dual_factor is None:
                status = "dual"
                break
            products, given = _Products(layout, inverse), _Products(layout, dual)
            gradient = products.adjoint()
            now = float(x[0] + 1 / inverse[0, 0])
            if now > value:
                value, best = now, x
            residual = goal - given.adjoint()
            residual[1:] += s
            complementarity = float(np.vdot(dual, q)) + float(s @ x[1:])
            infeasible = float(np.abs(residual * x).sum())
            mu = complementarity / total
            upper = min(upper, x[0] + complementarity + infeasible) if infeasible < 10*complementarity else upper
            self.log.append((iteration, time.perf_counter() - goals.started, x[0], value, upper, mu, infeasible))
            if value >= goals.enough:
                status = "enough"
                break
            if upper <= goals.hopeless:
                status = "hopeless"
                break
            if upper - value <= goals.tolerance:
                status = "optimal"
                break
            if goals.spent:
                status = "time limit"
                break
            schur = products.schur(given)
            places = np.arange(1, layout.size)
            schur[places, places] += s / x[1:]
            scaling = schur.diagonal() ** -0.5
            factor = blas.cholesky(schur * scaling[:, None] * scaling)
            if factor is None:
                status = "schur"
                break

            def newton(right: Array) -> Array:
                return scaling * blas.solve(factor, scaling * right)

            dual_whiten = blas.triangular_inverse(dual_factor)
            affine = newton(goal)
            moved = _combination(problem, affine[0], self.weights(affine), None)
            dual_step = -dual - _symmetric(blas.product(inverse, blas.product(moved, dual)))
            slack_step = -s - s * affine[1:] / x[1:]
            primal, dual_length = self.lengths(x, affine, s, slack_step, whiten, moved, dual_whiten, dual_step)
            primal, dual_length = min(1.0, primal), min(1.0, dual_length)
            after = float(np.vdot(q + primal * moved, dual + dual_length * dual_step)) + float(
                (x[1:] + primal * affine[1:]) @ (s + dual_length * slack_step)
            )
            ahead = max(after / total / mu, 0.0)
            centring = min(1.0, ahead ** (3 if min(primal, dual_length) > 0.3 else 1)) * mu
            second = blas.product(moved, dual_step)
            right = goal - centring * gradient
            second_full = _symmetric(blas.product(inverse, second))
            right += _Products(layout, second_full).adjoint()
            second_slack = (centring - slack_step * affine[1:]) / x[1:]
            right[1:] += second_slack
            step = newton(right)
            moved = _combination(problem, step[0], self.weights(step), None)
            dual_step = (
                centring * inverse - dual - _symmetric(blas.product(inverse, blas.product(moved, dual))) - second_full
            )
            slack_step = second_slack - s - s * step[1:] / x[1:]
            primal, dual_length = self.lengths(x, step, s, slack_step, whiten, moved, dual_whiten, dual_step)
            primal, dual_length = min(1.0, 0.95 * primal), min(1.0, 0.95 * dual_length)
            while True:
                trial = x + primal * step
                found = self.slack(trial)
                if found is not None:
                    break
                primal *= 0.7
                if primal < 1e-6:
                    break
            self.log[-1] += (primal, dual_length, centring / mu)
            if found is None:
                status = "step"
                break
            x = trial
            q, whiten = found
            while blas.cholesky(dual + dual_length * dual_step) is None:
                dual_length *= 0.7
            dual, s = dual + dual_length * dual_step, s + dual_length * slack_step
        return Bound(value, upper, self.weights(best), dual, iteration, status)

    def lengths(self, x, step, s, slack_step, whiten, moved, dual_whiten, dual_step) -> tuple[float, float]:
        return (
            min(self.length(whiten, moved), length_in_orthant(x[1:], step[1:])),
            min(self.length(dual_whiten, dual_step), length_in_orthant(s, slack_step)),
        )

    def length(self, whiten: Array, moved: Array) -> float:
        adjoint = np.ascontiguousarray(whiten.T)

        def image(vector: Array) -> tuple[Array, Array]:
            out = blas.apply(whiten, blas.apply(moved, blas.apply(adjoint, vector)))
            return out, out

        start = np.random.default_rng(0).standard_normal(len(moved))
        return length_to_boundary(image, lambda v: v, start)


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)


def first_point(problem: QuadraticProblem, chosen: Array) -> Array:
    """A strictly feasible point: weights from the last group back, then the ball's, then t."""
    layout = _Layout(problem, chosen)
    mu = SPREAD / (problem.order + layout.size - 1)
    ends = np.cumsum([0, *(len(own) for own in problem.facts.undecided)])
    facts = np.zeros((len(FACTS), problem.neurons))
    decisions = np.full(problem.decisions, mu)
    m = problem.inputs
    for g in reversed(range(len(ends) - 1)):
        own = slice(ends[g], ends[g + 1])
        if ends[g] == ends[g + 1]:
            continue
        facts[:, own] = np.where(chosen[:, own], mu, 0.0)
        q = _combination(problem, 0.0, Weights(0.0, decisions, facts), None)
        # what these neurons have to bear
        size = np.linalg.eigvalsh(-_schur(q, 1 + m + ends[g], 1 + m + ends[g + 1]))[-1]
        squares = np.abs(problem.forms[0, own, 2] * problem.forms[1, own, 2])
        facts[0, own] += np.where(chosen[0, own], max(2.0 * size, 2 * mu) / squares, 0.0)
    q = _combination(problem, 0.0, Weights(0.0, decisions, facts), None)
    ball = max(2.0 * np.linalg.eigvalsh(-_schur(q, 1, 1 + m))[-1], m * mu) if m else mu
    q = matrix(problem, Weights(ball, decisions, facts), 0.0)
    t = float(_schur(q, 0, 1)[0, 0])
    return layout.vector(t - mu, ball, decisions, facts)


def _schur(q: Array, start: int, stop: int) -> Array:
    """The Schur complement of what comes from `stop` on in rows from start to stop."""
    block = q[start:stop, start:stop]
    if stop == len(q):
        return block
    factor = blas.cholesky(np.ascontiguousarray(q[stop:, stop:]))
    if factor is None:
        raise ValueError("not positive definite")
    half = blas.triangular_solve(factor, np.ascontiguousarray(q[stop:, start:stop]))
    return block - half.T @ half


def maximise(problem: QuadraticProblem, goals: QuadraticGoals, types=(0, 1, 2, 3, 4, 5)) -> Bound:
    chosen = problem.available.copy()
    for k in range(len(FACTS)):
        if k not in types:
            chosen[k] = False
    run = _Run(problem, goals, chosen, first_point(problem, chosen))
    bound = run.solve()
    object.__setattr__(bound, "log", run.log)
    return bound
