"""Where an interior-point method on the weights of quadratic facts begins.

The weights are between two points: a closed form well inside, and the bound of a linear relaxation, whose lines follow
from the facts. With a = kappa (z - p), b = kappa (z - q) and D = kappa (q' - p') of a kinked neuron,

    a (u - k) = t5 + (a^2 + t0) / D,    b (k - l) = t4 + (b^2 + t0) / D,

and c = kappa (chord - z), with W = (k - l) (u - k) (u - l), is

    c = ((u - l)^2 t0 / D + (u - k)^2 t4 + (k - l)^2 t5 + (u - l)^2 c^2 / D) / W.
"""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.arithmetic.spectra import largest_eigenvalue
from sdpcert.regions.quadratic import FACTS, FIRST, FROM_LOW, SECOND, TO_HIGH, QuadraticProblem
from sdpcert.solvers.weighed_facts import Weights, matrix

Array = np.ndarray
#: How many times the least possible weight t0 gets, and the gap that all weights together leave in the closed form.
ROOM, GAP = 2.0, 3.0
#: The share of the closed form in the start, and beside weights that were found before.
INSIDE, KEPT = 0.1, 0.02
#: Variances of inputs and activations at the start, as shares of those of the unit ball and of the lines' distance.
SPREAD, NOISE = 0.5, 0.1
#: How far from the ends of its interval a preactivation is at the start, at most.
MIDDLE = 0.8


def first_weights(problem: QuadraticProblem, start: Weights | None = None) -> Array | None:
    """A strictly feasible point (t, weights); None if rounding spoils it. `start` is used as far as it is any good."""
    inside = _inside(problem)
    if inside is None:
        return None
    best: tuple[float, Array] | None = None
    for boundary, shares in ((start, (KEPT, INSIDE, 0.5)), (linear_weights(problem)[1], (INSIDE, 1.0))):
        if boundary is None:
            continue
        for share in shares:
            mixed = share * inside.vector + (1 - share) * boundary.vector
            reached = best_value(problem, Weights.of(problem, mixed))
            if reached is None:
                continue
            if best is None or reached > best[0]:
                best = reached, np.concatenate([[reached - share * _gap(problem)], mixed])
            break
    return None if best is None else best[1]


def moved_inside(problem: QuadraticProblem, weights: Weights, share: float) -> Weights | None:
    """Weights that are moved by a share of the way to those of the closed form."""
    inside = _inside(problem)
    return None if inside is None else Weights.of(problem, share * inside.vector + (1 - share) * weights.vector)


def best_value(problem: QuadraticProblem, weights: Weights) -> float | None:
    """The largest t that these weights prove; None if they prove none."""
    found = _complement(matrix(problem, 0.0, weights), 0, 1)
    return None if found is None else float(found[0, 0])


def _gap(problem: QuadraticProblem) -> float:
    return GAP / (problem.order + 1 + problem.decisions + len(FACTS) * problem.neurons)


def _inside(problem: QuadraticProblem) -> Weights | None:
    """Weights from the last group back to the input, each large enough for what comes behind."""
    m, u, least = problem.inputs, problem.neurons, _gap(problem)
    facts, decisions = np.zeros((len(FACTS), u)), np.full(problem.decisions, least)
    squares = np.maximum(np.abs(problem.forms[FIRST, :, 2] * problem.forms[SECOND, :, 2]), 1e-12)
    for own in reversed(problem.parts):
        facts[:, own] = least
        open_matrix = matrix(problem, 0.0, Weights(0.0, decisions, facts), target=False)
        borne = _complement(open_matrix, 1 + m + own.start, 1 + m + own.stop)
        if borne is None:
            return None
        facts[0, own] += max(ROOM * largest_eigenvalue(-borne), 2 * least) / squares[own]
    borne = _complement(matrix(problem, 0.0, Weights(0.0, decisions, facts), target=False), 1, 1 + m)
    if borne is None:
        return None
    return Weights(max(ROOM * largest_eigenvalue(-borne), m * least, least), decisions, facts)


def _complement(of: Array, start: int, stop: int) -> Array | None:
    """The Schur complement in rows from start to stop of what comes behind; None if that is not positive definite."""
    block = of[start:stop, start:stop]
    if stop == len(of):
        return block
    factor = blas.cholesky(of[stop:, stop:])
    if factor is None:
        return None
    half = blas.triangular_solve(factor, of[stop:, start:stop])
    return block - half.T @ half


def linear_weights(problem: QuadraticProblem) -> tuple[Array, Weights]:
    """The bound by lines below and above activations: the coefficients of 1 and of the inputs, and the weights."""
    m, lines = problem.inputs, _Lines(problem)
    facts, row = np.zeros((len(FACTS), problem.neurons)), problem.target.copy()
    for own in reversed(problem.parts):
        places = slice(1 + m + own.start, 1 + m + own.stop)
        through = row[places].copy()
        row[places] = 0.0
        slope, at_zero, facts[:, own] = lines.bounding(own, through)
        row += (through * slope) @ problem.rows[own]
        row[0] += through @ at_zero
    ball = float(np.linalg.norm(row[1 : 1 + m])) / 2
    return row[: 1 + m], Weights(ball, np.zeros(problem.decisions), facts)


def first_moments(problem: QuadraticProblem) -> Array:
    """Moments of (1, y, z) near which the facts hold: of a point in the middle, and a little noise."""
    m, n, lines = problem.inputs, problem.order, _Lines(problem)
    mean, transform = np.zeros(n), np.eye(n)
    mean[0], transform[0, 0] = 1.0, 0.0
    spread = np.full(n, SPREAD / max(m, 1))
    for own in problem.parts:
        rows, places = problem.rows[own], slice(1 + m + own.start, 1 + m + own.stop)
        mean[places], slope, apart = lines.middle(own, np.clip(rows @ mean, -MIDDLE, MIDDLE))
        transform[places] += slope[:, None] * (rows @ transform)
        spread[places] = NOISE * np.square(apart) + 1e-6
    half = transform * np.sqrt(spread)
    return blas.product(half, half.T) + np.outer(mean, mean)


class _Lines:
    """Scaled activations as functions of scaled preactivations: slopes and values at zero, (2, neurons).

    `first` and `second` are the pieces of a kinked neuron, or the lines below and above another one; `chord` is the
    line through a kinked one's ends.
    """

    def __init__(self, problem: QuadraticProblem) -> None:
        self.forms = forms = problem.forms
        self.kinked, self.sign = problem.signs[0] < 0, np.sign(forms[FIRST, :, 2])
        self.first, self.second = (-forms[k, :, [1, 0]] / forms[k, :, 2] for k in (FIRST, SECOND))
        #: Whether both ends are finite, as facts know them.
        self.closed = self.kinked & (forms[FROM_LOW, :, 1] != 0) & (forms[TO_HIGH, :, 1] != 0)
        with np.errstate(all="ignore"):
            kink = (self.second[1] - self.first[1]) / (self.first[0] - self.second[0])
            ends = [-forms[k, :, 0] / forms[k, :, 1] for k in (FROM_LOW, TO_HIGH)]
        self.low, self.high, self.kink = (
            np.where(self.closed, place, usual) for place, usual in ((ends[0], -1.0), (ends[1], 1.0), (kink, 0.0))
        )
        at_low, at_high = self.first[0] * self.low + self.first[1], self.second[0] * self.high + self.second[1]
        slope = (at_high - at_low) / (self.high - self.low)
        self.chord = np.stack([slope, at_low - slope * self.low])

    def bounding(self, own: slice, through: Array) -> tuple[Array, Array, Array]:
        """Slopes and values at zero of lines that bound `through * z` from below, and the facts' weights for them."""
        kinked, closed = self.kinked[own], self.closed[own]
        first, second, chord = self.first[:, own], self.second[:, own], self.chord[:, own]
        size, pieces = np.abs(through), through * self.sign[own] > 0
        to_kink, from_kink = self.kink[own] - self.low[own], self.high[own] - self.kink[own]
        left = to_kink > from_kink
        line = np.where(pieces, np.where(left, first, second), chord)
        line = np.where(kinked, line, np.where(through > 0, first, second))
        bend, width = np.abs(second[0] - first[0]), to_kink + from_kink
        a, b = np.abs(self.forms[FIRST, own, 2]), np.abs(self.forms[SECOND, own, 2])
        with np.errstate(all="ignore"):
            product = to_kink * from_kink * width
            shares = [  # of t0, t4 and t5 for the piece on the left, for that on the right, and for the chord
                (1 / (bend * from_kink), 1 / (bend * to_kink), width**2 / (bend * product)),
                (0.0, 1 / to_kink, from_kink**2 / product),
                (1 / from_kink, 0.0, to_kink**2 / product),
            ]
            units = (a * b, b * self.forms[FROM_LOW, own, 1], -a * self.forms[TO_HIGH, own, 1])
            facts = np.stack(
                [
                    np.where(closed, size * np.where(pieces, np.where(left, by_first, by_second), by_chord) / unit, 0.0)
                    for (by_first, by_second, by_chord), unit in zip(shares, units, strict=True)
                ]
            )
        # Another neuron's lines are facts themselves.
        facts[2] = np.where(~kinked & (through > 0), size / a, facts[2])
        facts[1] = np.where(~kinked & (through < 0), size / b, facts[1])
        return line[0], line[1], facts

    def middle(self, own: slice, v: Array) -> tuple[Array, Array, Array]:
        """The activation in the middle of what it may be at v, its slope there, and how far it may be off."""
        first, second, chord = (line[0, own] * v + line[1, own] for line in (self.first, self.second, self.chord))
        kinked, sign = self.kinked[own], self.sign[own]
        one = np.where(kinked, sign * np.maximum(sign * first, sign * second), first)
        other = np.where(kinked, chord, second)
        slope = np.where(kinked, self.chord[0, own], (self.first[0, own] + self.second[0, own]) / 2)
        return (one + other) / 2, slope, (other - one) / 2
