"""The matrix of weighed quadratic facts, and what an interior-point method needs of it.

Every fact is a symmetric product of two linear forms in (1, y, z), and a form is a combination of 1, a preactivation
and an activation. So all products of facts with a matrix on both sides come from the values of that matrix between 1,
preactivations, activations and half-spaces: a matrix of about twice the order, and elementwise products of its blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.quadratic import FACTS, FORMS, QuadraticProblem
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Weights(ShortRepr):
    """Weights of a problem's facts: `ball`, one for each decision, and (facts, neurons)."""

    ball: float
    decisions: Array
    facts: Array

    @property
    def vector(self) -> Array:
        """All of them, in this order."""
        return np.concatenate([[self.ball], self.decisions, self.facts.ravel()])

    @staticmethod
    def of(problem: QuadraticProblem, vector: Array) -> Weights:
        """The weights in a vector."""
        first = 1 + problem.decisions
        return Weights(float(vector[0]), vector[1:first], vector[first:].reshape(len(FACTS), problem.neurons))


def matrix(problem: QuadraticProblem, t: float, weights: Weights, target: bool = True) -> Array:
    """The matrix over (1, y, z) of `target - t - weighed facts`, or without the target."""
    m, u, n = problem.inputs, problem.neurons, problem.order
    rows, forms = problem.rows[:u], problem.forms
    three = np.zeros((3, 3, u))  # of (1, v, z), not symmetric yet
    for (left, right), w in zip(FACTS, -problem.signs * weights.facts, strict=True):
        three += (w * forms[left].T)[:, None] * forms[right].T
    three = (three + three.transpose(1, 0, 2)) / 2
    linear = three[0, 1] @ rows
    linear[1 + m :] += three[0, 2]
    if target:
        linear += problem.target / 2
    if problem.decisions:
        linear -= (weights.decisions @ problem.rows[u:]) / 2
    bent = np.flatnonzero(three[1, 1])
    found = blas.product(rows[bent].T, three[1, 1][bent, None] * rows[bent]) if len(bent) else np.zeros((n, n))
    mixed = rows * three[1, 2][:, None]
    found[1 + m :] += mixed
    found[:, 1 + m :] += mixed.T
    found[0] += linear
    found[:, 0] += linear
    found[0, 0] += three[0, 0].sum() - t - weights.ball
    entries = found.reshape(-1)
    entries[n + 1 : (1 + m) * (n + 1) : n + 1] += weights.ball
    entries[(1 + m) * (n + 1) :: n + 1] += three[2, 2]
    return found


def grams(problem: QuadraticProblem, inner: Array, through: Array) -> Array:
    """A symmetric matrix between 1, v and z of every neuron, (3, 3, neurons); `through` are the rows times it."""
    m, u = problem.inputs, problem.neurons
    found = np.empty((3, 3, u))
    found[0, 0] = inner[0, 0]
    found[0, 1] = found[1, 0] = through[:u, 0]
    found[0, 2] = found[2, 0] = inner[0, 1 + m :]
    found[1, 1] = np.einsum("ij,ij->i", through[:u], problem.rows[:u])
    found[1, 2] = found[2, 1] = through[np.arange(u), 1 + m + np.arange(u)]
    found[2, 2] = inner.diagonal()[1 + m :]
    return found


class Products:
    """A symmetric matrix P between the forms of a problem."""

    def __init__(self, problem: QuadraticProblem, inner: Array) -> None:
        self.problem, self.inner = problem, inner
        self.through = blas.product(problem.rows, inner)
        self.of_one = float(inner[0, 0])

    def adjoint(self) -> Array:
        """<A_j, P> for t and all weights."""
        problem, u, m = self.problem, self.problem.neurons, self.problem.inputs
        gram = grams(problem, self.inner, self.through)
        facts = [np.einsum("ia,abi,ib->i", problem.forms[left], gram, problem.forms[right]) for left, right in FACTS]
        ball = self.of_one - self.inner.diagonal()[1 : 1 + m].sum()
        return np.concatenate([[self.of_one, ball], self.through[u:, 0], (problem.signs * facts).ravel()])

    def prepare(self) -> None:
        """Make the values between forms, which `schur` needs."""
        problem, inner, through = self.problem, self.inner, self.through
        m, u = problem.inputs, problem.neurons
        y, neurons = slice(1, 1 + m), slice(1 + m, None)
        rows_rows = blas.product(through, problem.rows.T)
        # Of 1, preactivations and activations; and of half-spaces with them.
        base = np.empty((1 + 2 * u, 1 + 2 * u))
        v, z = slice(1, 1 + u), slice(1 + u, None)
        base[0, 0], base[0, v], base[0, z] = self.of_one, through[:u, 0], inner[0, neurons]
        base[v, v], base[v, z], base[z, z] = rows_rows[:u, :u], through[:u, neurons], inner[neurons, neurons]
        base[v, 0], base[z, 0], base[z, v] = base[0, v], base[0, z], base[v, z].T
        halves = np.concatenate([through[u:, :1], rows_rows[u:, :u], through[u:, neurons]], axis=1)
        self.halves, self.halves_halves = through[u:, 0], rows_rows[u:, u:]
        self.one = [_along(f, base[0]) for f in problem.forms]
        self.half = [_along(f, halves) for f in problem.forms]
        self.between: list[list[Array]] = [[np.empty(0)] * FORMS for _ in problem.forms]
        for k, form in enumerate(problem.forms):
            own = np.ascontiguousarray(_along(form, base.T).T)
            for j, other in enumerate(problem.forms[: k + 1]):
                self.between[k][j] = _along(other, own)
                self.between[j][k] = self.between[k][j].T
        self.one_y, self.half_y = inner[0, y], through[u:, y]
        every = np.concatenate([inner[:1, y], through[:u, y], inner[neurons, y]]).T
        self.form_y = [_along(f, every).T for f in problem.forms]

    def schur(self, other: Products) -> Array:
        """<A_j, P A_k X>, symmetric in j and k: its lower triangle."""
        u, d, m = self.problem.neurons, self.problem.decisions, self.problem.inputs
        signs, first = self.problem.signs, 2 + self.problem.decisions
        found = np.zeros((first + len(FACTS) * u, first + len(FACTS) * u))
        y, half = slice(1, 1 + m), slice(2, first)
        both, across = self.of_one * other.of_one, float(self.one_y @ other.one_y)
        found[0, 0], found[1, 0] = both, both - across
        found[1, 1] = both - 2 * across + float(np.einsum("ij,ij->", self.inner[y, y], other.inner[y, y]))
        if d:
            mean = 0.5 * (self.halves * other.of_one + other.halves * self.of_one)
            crossed = self.half_y @ other.one_y + other.half_y @ self.one_y
            found[half, 0], found[half, 1] = mean, mean - 0.5 * crossed
            squares = self.halves_halves * other.of_one + self.of_one * other.halves_halves
            outer = np.outer(self.halves, other.halves)
            found[half, half] = 0.25 * (squares + outer + outer.T)
        for s, (left, right) in enumerate(FACTS):
            own, sign = slice(first + s * u, first + (s + 1) * u), signs[s]
            mean = 0.5 * sign * (self.one[left] * other.one[right] + self.one[right] * other.one[left])
            crossed = np.einsum("ij,ij->i", self.form_y[left], other.form_y[right])
            crossed += np.einsum("ij,ij->i", self.form_y[right], other.form_y[left])
            found[own, 0], found[own, 1] = mean, mean - 0.5 * sign * crossed
            if d:
                total = self.half[left] * other.one[right] + self.half[right] * other.one[left]
                total += other.half[left] * self.one[right] + other.half[right] * self.one[left]
                found[own, half] = (0.25 * sign * total).T
            for r, (left2, right2) in enumerate(FACTS[: s + 1]):
                block = self.between[right][left2] * other.between[left][right2]
                block += self.between[right][right2] * other.between[left][left2]
                block += self.between[left][left2] * other.between[right][right2]
                block += self.between[left][right2] * other.between[right][left2]
                block *= 0.25 * sign[:, None]
                np.multiply(block, signs[r], out=found[own, first + r * u : first + (r + 1) * u])
        return found


def _along(form: Array, values: Array) -> Array:
    """Values (..., 1 + 2 u) at 1, all v and all z, combined by the form of each neuron: (..., u)."""
    u = len(form)
    total = form[:, 0] * values[..., :1]
    for column, part in ((1, slice(1, 1 + u)), (2, slice(1 + u, None))):
        if np.any(form[:, column]):
            total += form[:, column] * values[..., part]
    return total
