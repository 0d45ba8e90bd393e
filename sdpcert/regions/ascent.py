"""Lines and multipliers of half-spaces that make bounds of preactivations better, row by row.

The bound of a row is maximised over the slopes of lines and the multipliers by projected steps along its gradient,
scaled entry by entry (Adam), on the condensed form. Nothing here is a proof: the slopes and multipliers that are found
are good for any numbers, and what they prove is computed by a rigorous pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.backward import Relaxation, Rows
from sdpcert.regions.condensed import Affine, Condensed
from sdpcert.regions.lines import Corners
from sdpcert.regions.pieces import Lines
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Slopes are rounded to multiples of about this share of their range, so that files stay small.
GRID = 2.0**-7
#: Steps as a share of the ranges, how they shrink, and the memory of gradients and of their squares.
RATE, DECAY = 0.25, 0.96
FIRST, SECOND = 0.8, 0.98
#: Entries of the largest array of a chunk of rows.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Limits:
    """How many steps are taken, how many multiplications they may need, and whether half-spaces are used."""

    iterations: int
    work: float = np.inf
    half_spaces: bool = True


@dataclass(frozen=True, eq=False)
class Ascent(ShortRepr):
    """Rows with optimised lines and multipliers; `start` and `reached` are their bounds before and after, unproved.

    `work` is how many multiplications it took.
    """

    rows: Rows
    start: Array
    reached: Array
    work: float


def ascend(relaxation: Relaxation, condensed: Condensed, rows: Rows, limits: Limits) -> Ascent:
    """Maximise the bounds of rows over slopes of lines below and above, and over multipliers of half-spaces."""
    count = len(rows.neurons)
    chunk = max(16, CHUNK // (relaxation.form.inputs + 4 * relaxation.form.neurons))
    places = range(0, count, chunk)
    share = replace(limits, work=limits.work / len(places))
    parts = [
        _Climb(relaxation, condensed, rows.select(np.arange(k, min(k + chunk, count))), share.half_spaces).run(share)
        for k in places
    ]
    start, reached = (np.concatenate([getattr(p, name) for p in parts]) for name in ("start", "reached"))
    return Ascent(Rows.joined([part.rows for part in parts]), start, reached, sum(part.work for part in parts))


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
        places = self.base_center - (region.radius / np.maximum(length, 1e-300))[:, None] * at_direction
        if self.ball:
            return least, places
        others, other_places = self._on_box(weights)
        better = others > least
        self.ball = not np.any(better)  # the box around a ball of many dimensions helps no row; then nor later on
        return np.where(better, others, least), np.where(better[:, None], other_places, places)

    @property
    def work(self) -> int:
        """Multiplications for one row, roughly."""
        return self.base.shape[0] ** 2 // 2 if self.ball else self.base.size

    def _on_box(self, weights: Array) -> tuple[Array, Array]:
        rows = self.targets + blas.product(weights, self.base)
        corners = np.where(rows > 0, self.state.box_low, self.state.box_high)
        return np.einsum("ij,ij->i", rows, corners), blas.product(corners, self.base.T)


class _Climb:
    """The rows of one chunk on their way up.

    The base rows of the input are those of the bending neurons, group by group, and of the half-spaces.
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
        base = [self.affine[h].inputs for h in self.groups] + [half.inputs for half in self.halves]
        self.inputs = _Inputs(
            state, self.targets.inputs, np.concatenate(base) if base else np.zeros((0, state.form.inputs))
        )
        self.parts = self._slices()
        self.half_neurons = {h: self._matrix(self.halves, h) for h in self.groups}
        self.half_constants = np.array([half.constants[0] for half in self.halves])
        self.scales = self._scales(relaxation)

    def _slices(self) -> dict[int, slice]:
        """Where the base rows of every group are."""
        ends = np.cumsum([0, *(len(self.bending[h]) for h in self.groups)])
        return {h: slice(int(a), int(b)) for h, a, b in zip(self.groups, ends[:-1], ends[1:], strict=True)}

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
        """Multiplications of one step."""
        within = sum(m.size for affine in self.affine.values() for m in affine.neurons.values())
        return 2.0 * len(self.rows.neurons) * (self.inputs.work + within)

    def run(self, limits: Limits) -> Ascent:
        """Climb from the piece's own lines, and keep the best of every row."""
        iterations = int(min(limits.iterations, limits.work / max(self.work, 1.0)))
        count = len(self.rows.neurons)
        shares: dict[tuple[int, int], Array] = {}
        for h in self.groups:
            if h < self.rows.group:
                shares[h, 0], shares[h, 1] = self.below[h].start(count), self.above[h].start(count)
        shares[0, 0] = np.zeros_like(self.scales)
        tops = {key: 1.0 if key[0] else np.inf for key in shares}
        means = {key: np.zeros_like(value) for key, value in shares.items()}
        squares = dict(means)
        best = dict(shares)
        start, gradients = self._value(shares)
        reached = start
        for iteration in range(1, iterations + 1):
            rate = RATE * DECAY**iteration * np.sqrt(1 - SECOND**iteration) / (1 - FIRST**iteration)
            for key, gradient in gradients.items():
                means[key] = FIRST * means[key] + (1 - FIRST) * gradient
                squares[key] = SECOND * squares[key] + (1 - SECOND) * gradient**2
                move = rate * means[key] / (np.sqrt(squares[key]) + 1e-280)
                shares[key] = np.clip(shares[key] + move, 0.0, tops[key])
            values, gradients = self._value(shares)
            better = (values > reached)[:, None]
            reached = np.maximum(reached, values)
            best = {key: np.where(better, shares[key], value) for key, value in best.items()}
        lines = tuple(
            Lines(h, self.bending[h], self.below[h].rounded(best[h, 0]), self.above[h].rounded(best[h, 1]))
            for h in self.groups
            if h < self.rows.group
        )
        multipliers = _short(best[0, 0] * self.scales) if np.any(best[0, 0]) else None
        rows = Rows(self.rows.group, self.rows.neurons, self.rows.signs, lines, multipliers)
        return Ascent(rows, start, reached, (iterations + 1) * self.work)

    def _value(self, shares: dict[tuple[int, int], Array]) -> tuple[Array, dict[tuple[int, int], Array]]:
        """The bounds of all rows, and their slopes in the shares: of (group, 0) lines below, (group, 1) lines above,
        and (0, 0) multipliers.
        """
        multipliers = shares[0, 0] * self.scales
        count = len(multipliers)
        coefficients = {}
        for h in self.groups:
            own = self.targets.neurons.get(h)
            own = np.zeros((count, len(self.bending[h]))) if own is None else own
            coefficients[h] = own - multipliers @ self.half_neurons[h] if self.halves else own
        constants = self.targets.constants - multipliers @ self.half_constants
        weights = np.concatenate([*(np.empty_like(coefficients[h]) for h in self.groups), -multipliers], axis=1)
        used: dict[int, tuple[Array, Array, Array, Array]] = {}
        for h in reversed(self.groups):
            through = coefficients[h]
            positive = through > 0
            slopes, at_zero, touched = self._lines(h, shares, positive)
            used[h] = slopes, at_zero, touched, positive
            own = weights[:, self.parts[h]] = through * slopes
            constants = constants + np.einsum("ij,ij->i", through, at_zero) + own @ self.affine[h].constants
            for earlier, matrix in self.affine[h].neurons.items():
                if earlier in coefficients:
                    coefficients[earlier] = coefficients[earlier] + blas.product(own, matrix)
        least, at_base = self.inputs.least(weights)
        values: dict[int, Array] = {}
        gradients: dict[tuple[int, int], Array] = {}
        for h in self.groups:
            places = at_base[:, self.parts[h]] + self.affine[h].constants
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

    def _lines(self, h: int, shares: dict[tuple[int, int], Array], positive: Array) -> tuple[Array, Array, Array]:
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
