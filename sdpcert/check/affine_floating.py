"""Preactivations on a piece as affine functions of inputs and of undecided neurons, in floating point; needs NumPy.

A backward pass replaces decided neurons by their slope and their value at zero. What it computes is an affine function
near the true one: as in `backward_floating.py`, an error of a coefficient costs its size times the largest value of
what it multiplies. So each row has one number that bounds its distance from the preactivation everywhere on the piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .pieces import QuadraticStep
from .reading import Rejected
from .rounding import SLACK, SUBNORMAL, TINY, U, gamma, pairwise_product, rounded, total
from .state_floating import Neurons, State

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class AffineRows:
    """R rows `constant + inputs x + neurons z`, z the undecided neurons of the last group down to those of the first.

    `errors` bounds how far each is from what it stands for, on the piece.
    """

    constant: Array
    inputs: Array
    neurons: Array
    errors: Array


def affine_rows(
    state: State, first: Mapping[int, Array], undecided: Sequence[Array], used: Sequence[Array]
) -> AffineRows:
    """A combination of preactivations, then single ones of the last group down to the first.

    `first` has the coefficients of the combination by group. For each group below the highest of these, `undecided`
    has the indices of those neurons that stay, and `used` of those whose preactivations are wanted.
    """
    descent = _Descent(state, undecided, used)
    for h in range(max(first), 0, -1):
        descent.through(h, first.get(h))
        if h <= len(used):
            descent.take(h, used[h - 1])
    return descent.rows()


class _Descent:
    """Rows on their way down; those of a group join when the group is reached, so that the others come first."""

    def __init__(self, state: State, undecided: Sequence[Array], used: Sequence[Array]) -> None:
        self.state, self.network, self.undecided = state, state.network, undecided
        wanted = list(map(len, used))
        #: Rows that stand above each source, the combination included.
        self.above = [1 + sum(wanted[source:]) for source in range(len(used) + 1)] + [1]
        self.constant, self.charged = np.zeros(self.above[0]), np.zeros(self.above[0])
        self.found: dict[int, Array] = {}
        self.columns: list[Array] = []

    def through(self, h: int, direct: Array | None) -> None:
        """Replace the activations of a group, and preactivations of it, by what the group reads."""
        count, known = self.above[h], self.state.neurons[h - 1]
        activations = self.found.pop(h, None)
        result = np.zeros((count, self.network.sizes[h]))
        if h <= len(self.undecided):
            own = self.undecided[h - 1]
            columns = np.zeros((self.above[0], len(own)))
            self.columns.append(columns)
            if activations is not None:
                columns[:count] = activations[:, own]
                activations[:, own] = 0.0
                result = self._decided(known, activations)
        if direct is not None:
            result[0] += direct
            self.charged[:1] += total(result[:1], U * known.known.largest)
        self._substitute(h, result)

    def _decided(self, known: Neurons, coefficients: Array) -> Array:
        """The coefficients of preactivations that stand for those of activations; their constants are added."""
        count = len(coefficients)
        some = np.flatnonzero(np.any(coefficients != 0, axis=0))
        slope, value, doubt = known.decided(some)
        largest = known.known.largest[some]
        chosen = coefficients[:, some]
        exact = (slope == 0) | (np.abs(slope) == 1)
        lost = np.where(exact, 0.0, U * np.abs(slope) * largest) + doubt + rounded(value, len(some) + 2)
        underflow = SUBNORMAL * float(np.sum(np.where(exact, 1.0, 1.0 + largest)))
        self._add_constant(count, chosen @ value, total(chosen, lost) + underflow)
        result = np.zeros_like(coefficients)
        result[:, some] = chosen * slope
        return result

    def _substitute(self, h: int, coefficients: Array) -> None:
        count = len(coefficients)
        some = np.flatnonzero(np.any(coefficients != 0, axis=0))
        if not len(some):
            return
        chosen = coefficients[:, some]
        bias, radius = self.network.bias[h - 1][some], self.network.bias_radius[h - 1][some]
        lost = rounded(bias, len(some) + 2) + radius * SLACK
        charge = np.zeros(len(some))
        for weights in self.network.blocks[h]:
            charge = charge + self.state.sizes(weights.source).charges(weights, len(some))[0][some]
            self._add(weights.source, 0, chosen @ weights.matrix[some])
        self._add_constant(count, chosen @ bias, total(chosen, lost) + total(chosen, charge))

    def take(self, h: int, wanted: Array) -> None:
        """Let the preactivations of some neurons of a group join."""
        own = slice(self.above[h], self.above[h - 1])
        self.constant[own] = self.network.bias[h - 1][wanted]
        self.charged[own] = self.network.bias_radius[h - 1][wanted]
        for weights in self.network.blocks[h]:
            self.charged[own] += self.state.sizes(weights.source).charges(weights, 1)[1][wanted]
            self._add(weights.source, self.above[h], weights.matrix[wanted])

    def rows(self) -> AffineRows:
        """The rows after the last group."""
        count = self.above[0]
        inputs = self.found.get(0, np.zeros((count, self.network.inputs)))
        return AffineRows(self.constant, inputs, np.hstack([np.zeros((count, 0)), *self.columns]), self.charged * SLACK)

    def _add(self, source: int, start: int, coefficients: Array) -> None:
        place = self.found.get(source)
        if place is None:
            place = self.found[source] = np.zeros((self.above[source], self.network.sizes[source]))
        rows = slice(start, start + len(coefficients))
        before = np.any(place[rows])
        place[rows] += coefficients
        if before:
            self.charged[rows] += total(place[rows], U * self.state.sizes(source).sizes)

    def _add_constant(self, count: int, values: Array, errors: Array) -> None:
        self.constant[:count] += values
        self.charged[:count] += errors + U * np.abs(self.constant[:count]) + TINY


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """All y with `|y|^2 <= square`, which contains y = (x - center) / scales for all x of the piece.

    `widths` bounds |x - center|; no scales are ones.
    """

    center: Array
    scales: Array | None
    widths: Array
    square: float

    @staticmethod
    def of(state: State, step: QuadraticStep) -> Ellipsoid:
        """That of a step; raises `Rejected` if it has none."""
        region = state.region
        if step.scales is None:
            if region.center is None:
                raise Rejected("the region has no ball, and the step no scales")
            center = np.array(region.center)
            # A square may underflow, and what weighs it is as large as a file likes.
            square = region.radius * region.radius * (1 + gamma(2)) + TINY
            return Ellipsoid(center, None, np.full(len(center), region.radius), square)
        scales, center = np.array(step.scales), state.low / 2 + state.high / 2
        widths = np.nextafter(np.maximum(state.high - center, center - state.low), np.inf)
        ratios = widths / scales
        return Ellipsoid(center, scales, widths, float(ratios @ ratios) * (1 + gamma(len(scales) + 4)) + TINY)

    def centred(self, rows: AffineRows) -> AffineRows:
        """The rows in terms of y."""
        n = len(self.center)
        shift, unsure = pairwise_product(rows.inputs, self.center)
        constant = rows.constant + shift
        errors = rows.errors + unsure + U * np.abs(constant)
        if self.scales is None:
            return AffineRows(constant, rows.inputs, rows.neurons, errors * SLACK)
        underflow = SUBNORMAL * (float(np.sum(self.widths / self.scales)) + n)
        errors = errors + total(rows.inputs, U * self.widths) + underflow
        return AffineRows(constant, rows.inputs * self.scales, rows.neurons, errors * SLACK)
