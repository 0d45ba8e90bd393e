"""Bounds of rows of preactivations as a function of slopes of lines and multipliers, with their gradients.

Everything is computed on the condensed form: nothing here is a proof. With the least point x of the affine function
that a row becomes, a forward pass through the lines that the row uses has the slope of its bound in every slope of a
line, and in every multiplier.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.backward import Relaxation, Rows
from sdpcert.regions.condensed import Affine, Condensed
from sdpcert.regions.lines import Corners
from sdpcert.regions.pieces import Lines
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State

Array = np.ndarray
#: What is varied, row by row: (group, 0) lines below, (group, 1) lines above, as shares of the ranges of their slopes;
#: (0, 0) multipliers, as multiples of a likely size.
Shares = dict[tuple[int, int], Array]
#: Slopes are rounded to multiples of about this share of their range, so that files stay small.
GRID = 2.0**-7


class _Side:
    """The lines on one side of one group's bending neurons: slopes as shares of their range, row by row."""

    def __init__(self, corners: Corners, usual: Array, may_move: bool) -> None:
        self.corners, self.usual = corners, usual
        self.first, self.last = corners.slope_range
        self.moving = (self.last - self.first > 1e-9 * (1 + np.abs(self.first))) & may_move
        self.width = np.where(self.moving, self.last - self.first, 0.0)
        self.base = np.where(self.moving, self.first, usual)

    def start(self, count: int) -> Array:
        """The shares of the piece's own slopes."""
        share = np.clip((self.usual - self.base) / np.where(self.moving, self.width, 1.0), 0.0, 1.0)
        return np.repeat(share[None], count, axis=0)

    def slopes(self, shares: Array) -> Array:
        return self.base + shares * self.width

    def rounded(self, shares: Array) -> Array:
        """Slopes of few digits near those of the shares."""
        unit = GRID * 2.0 ** np.ceil(np.log2(np.where(self.moving, self.width, 1.0)))
        slopes = np.clip(np.round(self.slopes(shares) / unit) * unit, self.first, self.last)
        return np.where(self.moving, slopes, self.usual)


class _Inputs:
    """Linear functions of the input `targets + weights @ base`: least values, and `base` at the points of these."""

    def __init__(self, state: State, targets: Array, base: Array) -> None:
        self.state, self.targets, self.base = state, targets, base
        self.ball = False
        if isinstance(state.region, Ball):
            self.square, self.cross = np.einsum("ij,ij->i", targets, targets), blas.product(targets, base.T)
            self.gram = blas.product(base, base.T)
            self.target_center, self.base_center = targets @ state.region.center, base @ state.region.center

    def least(self, weights: Array) -> tuple[Array, Array]:
        """Least values, and the values of all base rows there: (rows,), (rows, base rows)."""
        region = self.state.region
        if not isinstance(region, Ball):
            return self._on_box(weights)
        at_direction = self.cross + blas.product(weights, self.gram)
        along = np.einsum("ij,ij->i", weights, self.cross + at_direction)
        length = np.sqrt(np.maximum(self.square + along, 1e-12 * self.square))
        least = self.target_center + weights @ self.base_center - region.radius * length
        share = np.divide(region.radius, length, out=np.zeros_like(length), where=length > 1e-200 * region.radius)
        places = self.base_center - share[:, None] * at_direction
        if self.ball:
            return least, places
        others, other_places = self._on_box(weights)
        better = others > least
        self.ball = not np.any(better)  # the box around a ball of many dimensions helps no row; then nor later on
        return np.where(better, others, least), np.where(better[:, None], other_places, places)

    def select(self, rows: Array) -> _Inputs:
        """Some of the functions."""
        chosen = copy(self)
        chosen.targets = self.targets[rows]
        if isinstance(self.state.region, Ball):
            chosen.square, chosen.cross = self.square[rows], self.cross[rows]
            chosen.target_center = self.target_center[rows]
        return chosen

    @property
    def work(self) -> int:
        """Multiplications for one row, roughly."""
        return self.base.shape[0] ** 2 // 2 if self.ball else self.base.size

    def _on_box(self, weights: Array) -> tuple[Array, Array]:
        rows = self.targets + blas.product(weights, self.base)
        corners = np.where(rows > 0, self.state.box_low, self.state.box_high)
        return np.einsum("ij,ij->i", rows, corners), blas.product(corners, self.base.T)


class Objective:
    """The bounds of some rows; half-spaces of decisions take part if `half_spaces`.

    The base rows of the input are those of the bending neurons, group by group from those that read it, and of the
    half-spaces.
    """

    def __init__(self, relaxation: Relaxation, condensed: Condensed, rows: Rows, half_spaces: bool) -> None:
        self.rows, state = rows, relaxation.state
        self.decisions = state.decisions if half_spaces else ()
        top = max([rows.group, *(d.group for d in self.decisions)])
        self.targets = condensed.rows(relaxation, rows.group, rows.neurons).times(rows.signs)
        self.groups = [h for h in range(1, top) if len(condensed.bend(relaxation, h))]
        self.bending = {h: condensed.bending[h] for h in self.groups}
        self.below: dict[int, _Side] = {}
        self.above: dict[int, _Side] = {}
        self.affine: dict[int, Affine] = {}
        for h in self.groups:
            relaxed, bending, may_move = relaxation.relaxed(h), self.bending[h], h < rows.group
            envelope = relaxed.envelope.select(bending)
            self.below[h] = _Side(envelope.below, relaxed.lower[bending], may_move)
            self.above[h] = _Side(envelope.above, relaxed.upper[bending], may_move)
            self.affine[h] = condensed.rows(relaxation, h, bending)
        halves = [
            condensed.rows(relaxation, d.group, np.array([d.neuron])).times(np.array([d.sign])) for d in self.decisions
        ]
        places = np.array([d.sign * d.at for d in self.decisions])
        self.halves = [Affine(h.inputs, h.neurons, h.constants - at) for h, at in zip(halves, places, strict=True)]
        self.reading = [h for h in self.groups if np.any(self.affine[h].inputs)]
        base = [self.affine[h].inputs for h in self.reading] + [half.inputs for half in self.halves]
        self.inputs = _Inputs(
            state, self.targets.inputs, np.concatenate(base) if base else np.zeros((0, state.form.inputs))
        )
        self.parts = self._slices()
        self.half_neurons = {h: self._matrix(self.halves, h) for h in self.groups}
        self.half_constants = np.array([half.constants[0] for half in self.halves])
        self.scales = self._scales(relaxation)

    def _slices(self) -> dict[int, slice]:
        """Where the base rows of every group are that reads the input other than through bending neurons."""
        ends = np.cumsum([0, *(len(self.bending[h]) for h in self.reading)])
        return {h: slice(int(a), int(b)) for h, a, b in zip(self.reading, ends[:-1], ends[1:], strict=True)}

    def _matrix(self, rows: list[Affine], group: int) -> Array:
        """The coefficients of one group's bending neurons in some rows."""
        zeros = np.zeros((1, len(self.bending[group])))
        return np.concatenate([row.neurons.get(group, zeros) for row in rows]) if rows else zeros[:0]

    def _scales(self, relaxation: Relaxation) -> Array:
        """How large multipliers are likely to be: how far a row moves, against how far the half-space's does."""
        state, count = relaxation.state, len(self.rows.neurons)
        widths = (state.box_high - state.box_low) / 2
        radius = state.region.radius if isinstance(state.region, Ball) else np.inf
        reach = {h: relaxation.relaxed(h).envelope.reach[self.bending[h]] for h in self.groups}

        def spread(row: Affine) -> Array:
            total = np.abs(row.inputs) @ widths
            if radius < np.inf:
                total = np.minimum(total, radius * np.linalg.norm(row.inputs, axis=1))
            for h, matrix in row.neurons.items():
                total = total + np.abs(matrix) @ reach[h] if h in reach else total
            return total

        if not self.halves:
            return np.zeros((count, 0))
        others = np.concatenate([spread(half) for half in self.halves])
        return spread(self.targets)[:, None] / np.maximum(others, 1e-300)

    @property
    def work(self) -> float:
        """Multiplications of one evaluation."""
        within = sum(m.size for affine in self.affine.values() for m in affine.neurons.values())
        return 2.0 * len(self.rows.neurons) * (self.inputs.work + within)

    def select(self, rows: Array) -> Objective:
        """The bounds of some of the rows."""
        chosen = copy(self)
        chosen.rows, chosen.targets, chosen.scales = (
            self.rows.select(rows),
            self.targets.select(rows),
            self.scales[rows],
        )
        chosen.inputs = self.inputs.select(rows)
        return chosen

    def start(self) -> Shares:
        """The piece's own lines, without half-spaces."""
        count = len(self.rows.neurons)
        shares = {(0, 0): np.zeros_like(self.scales)}
        for h in self.groups:
            if h < self.rows.group:
                shares[h, 0], shares[h, 1] = self.below[h].start(count), self.above[h].start(count)
        return shares

    def stated(self, shares: Shares) -> Rows:
        """The rows with these lines and multipliers, of few digits."""
        lines = tuple(
            Lines(h, self.bending[h], self.below[h].rounded(shares[h, 0]), self.above[h].rounded(shares[h, 1]))
            for h in self.groups
            if h < self.rows.group
        )
        multipliers = _short(shares[0, 0] * self.scales) if np.any(shares[0, 0]) else None
        return Rows(self.rows.group, self.rows.neurons, self.rows.signs, lines, multipliers)

    def value(self, shares: Shares) -> tuple[Array, Shares]:
        """The bounds of all rows, and their gradients in the shares."""
        multipliers = shares[0, 0] * self.scales
        count = len(multipliers)
        coefficients = {}
        for h in self.groups:
            own = self.targets.neurons.get(h)
            own = np.zeros((count, len(self.bending[h]))) if own is None else own
            coefficients[h] = own - multipliers @ self.half_neurons[h] if self.halves else own
        constants = self.targets.constants - multipliers @ self.half_constants
        weights = np.concatenate([*(np.empty_like(coefficients[h]) for h in self.reading), -multipliers], axis=1)
        used: dict[int, tuple[Array, Array, Array, Array]] = {}
        for h in reversed(self.groups):
            through = coefficients[h]
            positive = through > 0
            slopes, at_zero, touched = self._lines(h, shares, positive)
            used[h] = slopes, at_zero, touched, positive
            own = through * slopes
            if h in self.parts:
                weights[:, self.parts[h]] = own
            constants = constants + np.einsum("ij,ij->i", through, at_zero) + own @ self.affine[h].constants
            for earlier, matrix in self.affine[h].neurons.items():
                if earlier in coefficients:
                    coefficients[earlier] = coefficients[earlier] + blas.product(own, matrix)
        least, at_base = self.inputs.least(weights)
        values: dict[int, Array] = {}
        gradients: Shares = {}
        for h in self.groups:
            places = self.affine[h].constants
            if h in self.parts:
                places = places + at_base[:, self.parts[h]]
            for earlier, matrix in self.affine[h].neurons.items():
                if earlier in values:
                    places = places + blas.product(values[earlier], matrix.T)
            slopes, at_zero, touched, positive = used[h]
            values[h] = slopes * places + at_zero
            if (h, 0) in shares:
                slope = coefficients[h] * (places - touched)
                gradients[h, 0] = np.where(positive, slope * self.below[h].width, 0.0)
                gradients[h, 1] = np.where(positive, 0.0, slope * self.above[h].width)
        if self.halves:
            heights = at_base[:, len(at_base[0]) - len(self.halves) :] + self.half_constants
            for h in self.groups:
                heights = heights + blas.product(values[h], self.half_neurons[h].T)
            gradients[0, 0] = -heights * self.scales
        return constants + least, gradients

    def _lines(self, h: int, shares: Shares, positive: Array) -> tuple[Array, Array, Array]:
        """Slopes, intercepts and touching points of the lines that the rows use in one group."""
        parts: list[tuple[Array, Array, Array]] = []
        for k, side in enumerate((self.below[h], self.above[h])):
            moving = (h, k) in shares and np.any(side.moving)
            slopes = side.slopes(shares[h, k]) if moving else side.usual[None]
            parts.append((slopes, *side.corners.supports(slopes)))
        below, above = parts
        return (
            np.where(positive, below[0], above[0]),
            np.where(positive, below[1], above[1]),
            np.where(positive, below[2], above[2]),
        )


def _short(values: Array) -> Array:
    """Numbers of nine binary digits near these."""
    mantissas, exponents = np.frexp(values)
    return np.ldexp(np.round(mantissas * 2**9), exponents - 9)
