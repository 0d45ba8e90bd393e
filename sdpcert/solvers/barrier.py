"""The largest bound that weighed quadratic facts prove: a primal-dual interior-point method on the weights.

Maximise t over weights w >= 0 with Q(t, w) = target - t e0 e0' - sum_j w_j A_j positive semidefinite; every A_j is a
symmetric product of two linear forms, or that of the unit ball. Each iterate is strictly feasible, hence a bound. The
dual matrix X holds moments of (1, y, z) in the relaxation: X_00 = 1, and <A_j, X> >= 0.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.quadratic import FACTS, FIRST, FORMS, FROM_LOW, SECOND, TO_HIGH, QuadraticProblem
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

    def scaled(self, scale: float) -> QuadraticGoals:
        """The same for values that are divided by `scale`."""
        return replace(self, enough=self.enough / scale, hopeless=self.hopeless / scale)

    @property
    def spent(self) -> bool:
        return time.perf_counter() - self.started > self.seconds


@dataclass(frozen=True, eq=False)
class Weights(ShortRepr):
    """Weights of the scaled facts: `ball`, one for each decision, and (facts, neurons)."""

    ball: float
    decisions: Array
    facts: Array

    @property
    def vector(self) -> Array:
        return np.concatenate([[self.ball], self.decisions, self.facts.ravel()])

    @staticmethod
    def of(problem: QuadraticProblem, vector: Array) -> Weights:
        first = 1 + problem.decisions
        return Weights(float(vector[0]), vector[1:first], vector[first:].reshape(len(FACTS), problem.neurons))


@dataclass(frozen=True, eq=False)
class Bound(ShortRepr):
    value: float
    upper: float
    weights: Weights
    moments: Array | None
    iterations: int
    status: str


def combination(problem: QuadraticProblem, t: float, weights: Weights, target: Array | None) -> Array:
    """The matrix of `target - t - weighed facts`."""
    m, u, n = problem.inputs, problem.neurons, problem.order
    rows, forms = problem.rows[:u], problem.forms
    three = np.zeros((3, 3, u))  # of (1, v, z), not symmetric yet
    for (left, right), w in zip(FACTS, -problem.signs * weights.facts, strict=True):
        three += (w * forms[left].T)[:, None] * forms[right].T
    three = (three + three.transpose(1, 0, 2)) / 2
    linear = three[0, 1] @ rows
    linear[1 + m :] += three[0, 2]
    if target is not None:
        linear += target / 2
    if problem.decisions:
        linear -= (weights.decisions @ problem.rows[u:]) / 2
    q = blas.product(rows.T, three[1, 1][:, None] * rows) if np.any(three[1, 1]) else np.zeros((n, n))
    mixed = rows * three[1, 2][:, None]
    q[1 + m :] += mixed
    q[:, 1 + m :] += mixed.T
    q[0] += linear
    q[:, 0] += linear
    q[0, 0] += three[0, 0].sum() - t - weights.ball
    flat = q.reshape(-1)
    flat[(n + 1) : (1 + m) * (n + 1) : n + 1] += weights.ball
    flat[(1 + m) * (n + 1) :: n + 1] += three[2, 2]
    return q


class _Products:
    """A matrix P between all forms."""

    def __init__(self, problem: QuadraticProblem, inner: Array) -> None:
        self.problem, self.inner = problem, inner
        m, u = problem.inputs, problem.neurons
        self.m, self.u = m, u
        self.through = blas.product(problem.rows, inner)
        self.of_one = float(inner[0, 0])

    def adjoint(self) -> Array:
        """<A_j, P>."""
        problem, u, m, inner, through = self.problem, self.u, self.m, self.inner, self.through
        diagonal = inner.diagonal()
        rows = problem.rows[:u]
        gram = np.empty((3, 3, u))
        gram[0, 0] = self.of_one
        gram[0, 1] = gram[1, 0] = through[:u, 0]
        gram[0, 2] = gram[2, 0] = inner[0, 1 + m :]
        gram[1, 1] = np.einsum("ij,ij->i", through[:u], rows)
        gram[1, 2] = gram[2, 1] = through[np.arange(u), 1 + m + np.arange(u)]
        gram[2, 2] = diagonal[1 + m :]
        facts = [
            np.einsum("ia,abi,ib->i", problem.forms[left], gram, problem.forms[right]) for left, right in FACTS
        ]
        return np.concatenate(
            [
                [self.of_one, self.of_one - diagonal[1 : 1 + m].sum()],
                through[u:, 0],
                (problem.signs * facts).ravel(),
            ]
        )

    def prepare(self) -> None:
        problem, inner, through, m, u = self.problem, self.inner, self.through, self.m, self.u
        y, neurons = slice(1, 1 + m), slice(1 + m, None)
        rows_rows = blas.product(through, problem.rows.T)
        one_rows, one_neurons = through[:, 0], inner[0, neurons]
        rows_neurons, neurons_neurons = through[:, neurons], inner[neurons, neurons]
        forms = problem.forms
        self.halves, self.halves_halves = one_rows[u:], rows_rows[u:, u:]
        self.one = [f[:, 0] * self.of_one + f[:, 1] * one_rows[:u] + f[:, 2] * one_neurons for f in forms]
        self.half = [
            f[:, 0] * one_rows[u:, None] + f[:, 1] * rows_rows[u:, :u] + f[:, 2] * rows_neurons[u:] for f in forms
        ]
        self.between: list[list[Array]] = [[np.empty(0)] * FORMS for _ in forms]
        for k, f in enumerate(forms):
            with_rows = f[:, :1] * one_rows[:u] + f[:, 1:2] * rows_rows[:u, :u] + f[:, 2:] * rows_neurons[:u].T
            with_neurons = f[:, :1] * one_neurons + f[:, 1:2] * rows_neurons[:u] + f[:, 2:] * neurons_neurons
            for j, g in enumerate(forms[: k + 1]):
                made = self.one[k][:, None] * g[:, 0] + with_rows * g[:, 1] + with_neurons * g[:, 2]
                self.between[k][j] = made
                self.between[j][k] = made.T
        self.one_y, self.half_y = inner[0, y], through[u:, y]
        self.form_y = [f[:, :1] * self.one_y + f[:, 1:2] * through[:u, y] + f[:, 2:] * inner[neurons, y] for f in forms]

    def schur(self, other: _Products) -> Array:
        """<A_j, P A_k X>, its lower triangle."""
        u, m, d = self.u, self.m, self.problem.decisions
        signs = self.problem.signs
        size = 2 + d + len(FACTS) * u
        found = np.zeros((size, size))
        y, half = slice(1, 1 + m), slice(2, 2 + d)
        both, across = self.of_one * other.of_one, float(self.one_y @ other.one_y)
        found[0, 0] = both
        found[1, 0] = both - across
        found[1, 1] = both - 2 * across + float(np.einsum("ij,ij->", self.inner[y, y], other.inner[y, y]))
        if d:
            mean = 0.5 * (self.halves * other.of_one + other.halves * self.of_one)
            found[half, 0] = mean
            found[half, 1] = mean - 0.5 * (self.half_y @ other.one_y + other.half_y @ self.one_y)
            found[half, half] = 0.25 * (
                self.halves_halves * other.of_one
                + self.of_one * other.halves_halves
                + np.outer(self.halves, other.halves)
                + np.outer(other.halves, self.halves)
            )
        for s, (left, right) in enumerate(FACTS):
            part, sign = slice(2 + d + s * u, 2 + d + (s + 1) * u), signs[s]
            mean = 0.5 * sign * (self.one[left] * other.one[right] + self.one[right] * other.one[left])
            found[part, 0] = mean
            crossed = np.einsum("ij,ij->i", self.form_y[left], other.form_y[right])
            crossed += np.einsum("ij,ij->i", self.form_y[right], other.form_y[left])
            found[part, 1] = mean - 0.5 * sign * crossed
            if d:
                found[part, half] = (
                    0.25
                    * sign
                    * (
                        self.half[left] * other.one[right]
                        + self.half[right] * other.one[left]
                        + other.half[left] * self.one[right]
                        + other.half[right] * self.one[left]
                    )
                ).T
            for r, (left2, right2) in enumerate(FACTS[: s + 1]):
                block = self.between[right][left2] * other.between[left][right2]
                block += self.between[right][right2] * other.between[left][left2]
                block += self.between[left][left2] * other.between[right][right2]
                block += self.between[left][right2] * other.between[right][left2]
                block *= 0.25 * sign[:, None]
                block *= signs[r]
                found[part, 2 + d + r * u : 2 + d + (r + 1) * u] = block
        return found


def maximise(problem: QuadraticProblem, goals: QuadraticGoals, start: Weights | None = None) -> Bound:
    return _Run(problem, goals).solve()


class _Run:
    def __init__(self, problem: QuadraticProblem, goals: QuadraticGoals) -> None:
        self.problem, self.goals = problem, goals
        self.log = []

    def matrix(self, x: Array) -> Array:
        return combination(self.problem, x[0], Weights.of(self.problem, x[1:]), self.problem.target)

    def change(self, x: Array) -> Array:
        return combination(self.problem, x[0], Weights.of(self.problem, x[1:]), None)

    def slack(self, x: Array) -> tuple[Array, Array] | None:
        """Q and its inverted factor."""
        q = self.matrix(x)
        factor = blas.cholesky(q)
        return None if factor is None else (q, blas.triangular_inverse(factor))

    def solve(self, iterations: int = 60) -> Bound:
        problem, goals = self.problem, self.goals
        interior = first_point(problem)
        x = mixed(problem, interior, linear_point(problem))
        upper, value = np.inf, -np.inf
        found = self.slack(x)
        assert found is not None, "the start is not feasible"
        q, whiten = found
        dual = first_moments(problem)
        s = _Products(problem, dual).adjoint()[1:]
        self.log.append(("least fact", s.min()))
        s = np.maximum(s, 1e-2)
        size = len(x)
        status = "stalled"
        total = problem.order + size - 1
        best, iteration = x, 0
        goal = np.zeros(size)
        goal[0] = 1.0
        for iteration in range(iterations):
            inverse = blas.product(whiten.T, whiten)
            dual_factor = blas.cholesky(dual)
            if dual_factor is None:
                status = "dual"
                break
            products, given = _Products(problem, inverse), _Products(problem, dual)
            gradient = products.adjoint()
            now = float(x[0] + 1 / inverse[0, 0])
            if now > value:
                value, best = now, x
            residual = goal - given.adjoint()
            residual[1:] += s
            complementarity = float(np.einsum("ij,ij->", dual, q)) + float(s @ x[1:])
            infeasible = float(np.abs(residual * x).sum())
            mu = complementarity / total
            upper = min(upper, x[0] + complementarity + infeasible)
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
            products.prepare()
            given.prepare()
            schur = products.schur(given)
            places = np.arange(1, size)
            schur[places, places] += s / x[1:]
            scaling = schur.diagonal() ** -0.5
            schur *= scaling
            schur *= scaling[:, None]
            factor = blas.cholesky(schur)
            if factor is None:
                status = "schur"
                break

            def newton(right: Array) -> Array:
                return scaling * blas.solve(factor, scaling * right)

            dual_whiten = blas.triangular_inverse(dual_factor)
            affine = newton(goal)
            moved = self.change(affine)
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
            right += _Products(problem, second_full).adjoint()
            second_slack = (centring - slack_step * affine[1:]) / x[1:]
            right[1:] += second_slack
            step = newton(right)
            moved = self.change(step)
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
        bound = Bound(value, upper, Weights.of(problem, best[1:]), dual, iteration, status)
        object.__setattr__(bound, "log", self.log)
        return bound

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


def first_point(problem: QuadraticProblem) -> Array:
    """A strictly feasible point: weights from the last group back, then the ball's, then t."""
    m, u, d = problem.inputs, problem.neurons, problem.decisions
    mu = SPREAD / (problem.order + 1 + d + len(FACTS) * u)
    ends = np.cumsum([0, *problem.sizes])
    facts = np.zeros((len(FACTS), u))
    decisions = np.full(d, mu)
    for g in reversed(range(len(ends) - 1)):
        own = slice(ends[g], ends[g + 1])
        if ends[g] == ends[g + 1]:
            continue
        facts[:, own] = mu
        q = combination(problem, 0.0, Weights(0.0, decisions, facts), None)
        # what these neurons have to bear
        size = np.linalg.eigvalsh(-_schur(q, 1 + m + ends[g], 1 + m + ends[g + 1]))[-1]
        squares = np.abs(problem.forms[0, own, 2] * problem.forms[1, own, 2])
        facts[0, own] += max(2.0 * size, 2 * mu) / squares
    q = combination(problem, 0.0, Weights(0.0, decisions, facts), None)
    ball = max(2.0 * np.linalg.eigvalsh(-_schur(q, 1, 1 + m))[-1], m * mu) if m else mu
    q = combination(problem, 0.0, Weights(ball, decisions, facts), problem.target)
    t = float(_schur(q, 0, 1)[0, 0])
    return np.concatenate([[t - mu], Weights(ball, decisions, facts).vector])


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


def linear_point(problem: QuadraticProblem) -> Array:
    """The bound by linear relaxation, as weights of the facts: a point on the boundary."""
    m, u = problem.inputs, problem.neurons
    facts = np.zeros((len(FACTS), u))
    row = problem.target.copy()
    ends = np.cumsum([0, *problem.sizes])
    shapes = _Shapes(problem)
    for g in reversed(range(len(ends) - 1)):
        own = slice(ends[g], ends[g + 1])
        through = row[1 + m + ends[g] : 1 + m + ends[g + 1]].copy()
        row[1 + m + ends[g] : 1 + m + ends[g + 1]] = 0.0
        slope, at_zero, facts[:, own] = shapes.line(own, through)
        row += (through * slope) @ problem.rows[own]
        row[0] += through @ at_zero
    ball = float(np.linalg.norm(row[1 : 1 + m])) / 2
    weights = Weights(ball, np.zeros(problem.decisions), facts)
    return np.concatenate([[row[0] - 2 * ball], weights.vector])


class _Shapes:
    """Where activations lie above scaled preactivations: pieces, kinks and chords."""

    def __init__(self, problem: QuadraticProblem) -> None:
        first, second, low, high = problem.forms
        # z = -(a0 + a1 v) / a2 on the first form, and so on the second.
        self.first = np.stack([-first[:, 1] / first[:, 2], -first[:, 0] / first[:, 2]])
        self.second = np.stack([-second[:, 1] / second[:, 2], -second[:, 0] / second[:, 2]])
        self.forms, self.signs = problem.forms, problem.signs
        self.kinked = problem.signs[0] < 0
        self.sign = np.sign(first[:, 2])
        # both ends finite
        self.closed = self.kinked & (low[:, 1] != 0) & (high[:, 1] != 0)
        with np.errstate(all="ignore"):
            self.low = np.where(self.closed, -low[:, 0] / low[:, 1], -1.0)
            self.high = np.where(self.closed, -high[:, 0] / high[:, 1], 1.0)
            kink = (self.second[1] - self.first[1]) / (self.first[0] - self.second[0])
            self.kink = np.where(self.kinked, kink, 0.0)
        at_low = self.first[0] * self.low + self.first[1]
        at_high = self.second[0] * self.high + self.second[1]
        slope = (at_high - at_low) / (self.high - self.low)
        self.chord = np.stack([slope, at_low - slope * self.low])

    def line(self, own: slice, through: Array) -> tuple[Array, Array, Array]:
        """Slopes and values at zero of the lines that bound `through * z` from below, and the facts that prove them."""
        kinked, closed = self.kinked[own], self.closed[own]
        first, second, chord, sign = self.first[:, own], self.second[:, own], self.chord[:, own], self.sign[own]
        low, high, kink = self.low[own], self.high[own], self.kink[own]
        forms, size = self.forms[:, own], np.abs(through)
        towards = through * sign > 0  # bounded by the pieces, else by the chord
        facts = np.zeros((len(FACTS), len(through)))
        # the piece that is longer
        left = kink - low > high - kink
        a, b = np.abs(forms[FIRST, :, 2]), np.abs(forms[SECOND, :, 2])
        line = np.where(towards, np.where(left, first, second), chord)
        line = np.where(kinked, line, np.where(through > 0, first, second))
        with np.errstate(all="ignore"):
            bend = np.abs(second[0] - first[0])
            to_kink, from_kink = kink - low, high - kink
            # a = |z - p|, b = |z - q|, in terms of the scaled forms
            product, low_unit, high_unit = a * b, b * forms[FROM_LOW, :, 1], a * -forms[TO_HIGH, :, 1]
            by_first = [1 / (bend * from_kink), 0.0, 1 / from_kink]
            by_second = [1 / (bend * to_kink), 1 / to_kink, 0.0]
            width = to_kink * from_kink * (high - low)
            by_chord = [(high - low) ** 2 / (bend * width), from_kink**2 / width, to_kink**2 / width]
            for k, unit in enumerate((product, low_unit, high_unit)):
                chosen = np.where(towards, np.where(left, by_first[k], by_second[k]), by_chord[k])
                facts[k] = np.where(closed, size * chosen * unit, 0.0)
        facts[2] = np.where(~kinked & (through > 0), size / forms[FIRST, :, 2], facts[2])
        facts[1] = np.where(~kinked & (through < 0), size / -forms[SECOND, :, 2], facts[1])
        return line[0], line[1], facts


def mixed(problem: QuadraticProblem, interior: Array, boundary: Array, share: float = 0.1) -> Array:
    return share * interior + (1 - share) * boundary


def first_moments(problem: QuadraticProblem) -> Array:
    """Moments of (1, y, z) that satisfy all facts with room, where the relaxation's middle does."""
    m, u, n = problem.inputs, problem.neurons, problem.order
    shapes = _Shapes(problem)
    ends = np.cumsum([0, *problem.sizes])
    mean = np.zeros(n)
    mean[0] = 1.0
    transform, spread = np.eye(n), np.full(n, 0.5 / max(m, 1))
    for g in range(len(ends) - 1):
        own = slice(ends[g], ends[g + 1])
        if ends[g] == ends[g + 1]:
            continue
        rows = problem.rows[own]
        v = np.clip(rows @ mean, -0.8, 0.8)
        first, second, chord = shapes.first[:, own], shapes.second[:, own], shapes.chord[:, own]
        sign, kinked = shapes.sign[own], shapes.kinked[own]
        bend = sign * np.maximum(sign * (first[0] * v + first[1]), sign * (second[0] * v + second[1]))
        one = np.where(kinked, bend, first[0] * v + first[1])
        other = np.where(kinked, chord[0] * v + chord[1], second[0] * v + second[1])
        slope = np.where(kinked, chord[0], (first[0] + second[0]) / 2)
        places = slice(1 + m + ends[g], 1 + m + ends[g + 1])
        mean[places] = (one + other) / 2
        transform[places, 1:] += slope[:, None] * (rows @ transform)[:, 1:]
        spread[places] = 0.1 * ((other - one) / 2) ** 2 + 1e-6
    spread[0] = 0.0
    half = transform * np.sqrt(spread)
    moments = half @ half.T
    moments += np.outer(mean, mean)
    return moments
