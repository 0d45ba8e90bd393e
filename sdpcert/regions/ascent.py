"""Lines and multipliers of half-spaces that make bounds of preactivations better, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.backward import Relaxation, Rows
from sdpcert.regions.condensed import Condensed
from sdpcert.regions.lines import Corners, Envelope
from sdpcert.regions.pieces import Lines
from sdpcert.regions.region import Ball

Array = np.ndarray
#: Slopes are rounded to multiples of this share of their range, so that files stay small.
GRID = 2.0**-7
RATE, DECAY = 0.25, 0.96
FIRST, SECOND = 0.8, 0.98


@dataclass(frozen=True, eq=False)
class Ascent:
    """Rows with optimised lines and multipliers; `start` and `reached` are their bounds before and after, unproved."""

    rows: Rows
    start: Array
    reached: Array


def ascend(relaxation: Relaxation, condensed: Condensed, rows: Rows, iterations: int, half_spaces: bool) -> Ascent:
    """Maximise the bounds of rows over slopes of lines below and above, and over multipliers if `half_spaces`."""
    count = len(rows.neurons)
    chunk = max(16, 2_000_000 // (relaxation.form.inputs + 8 * max(1, relaxation.form.neurons)))
    parts = [
        _Climb(relaxation, condensed, rows.select(np.arange(k, min(k + chunk, count))), half_spaces).run(iterations)
        for k in range(0, count, chunk)
    ]
    if len(parts) == 1:
        return parts[0]
    return Ascent(
        joined([part.rows for part in parts]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.reached for part in parts]),
    )


def joined(parts: list[Rows]) -> Rows:
    """Rows of one group that have lines for the same neurons, one after another."""
    first = parts[0]
    lines = tuple(
        Lines(
            own.group,
            own.neurons,
            np.concatenate([part.lines[k].lower for part in parts]),
            np.concatenate([part.lines[k].upper for part in parts]),
        )
        for k, own in enumerate(first.lines)
    )
    multipliers = [part.multipliers for part in parts if part.multipliers is not None]
    return Rows(
        first.group,
        np.concatenate([part.neurons for part in parts]),
        np.concatenate([part.signs for part in parts]),
        lines,
        np.concatenate(multipliers) if multipliers else None,
    )


class _Side:
    """The lines on one side of one group's bending neurons: slopes within a range, as shares of it, row by row."""

    def __init__(self, corners: Corners, start: Array, count: int, may_move: bool) -> None:
        self.corners = corners
        self.first, last = corners.slope_range
        self.width = last - self.first
        self.usual = start
        self.moving = (self.width > 1e-9 * (1 + np.abs(self.first))) & may_move
        share = np.where(self.moving, (start - self.first) / np.where(self.moving, self.width, 1.0), 0.0)
        self.shares = np.repeat(np.clip(share, 0.0, 1.0)[None], count, axis=0)

    def slopes(self, shares: Array) -> Array:
        return np.where(self.moving, self.first + shares * self.width, self.usual)

    def rounded(self, shares: Array) -> Array:
        """Slopes of few digits near those of the shares."""
        with np.errstate(divide="ignore"):
            unit = GRID * 2.0 ** np.ceil(np.log2(np.where(self.moving, self.width, 1.0)))
        slopes = np.round((self.first + shares * self.width) / unit) * unit
        return np.where(self.moving, np.clip(slopes, self.first, self.first + self.width), self.usual)


class _Climb:
    """The rows of one chunk on their way up."""

    def __init__(self, relaxation: Relaxation, condensed: Condensed, rows: Rows, half_spaces: bool) -> None:
        state = relaxation.state
        self.state, self.condensed, self.rows = state, condensed, rows
        count = len(rows.neurons)
        self.decisions = state.decisions if half_spaces else ()
        self.top = max([rows.group, *(d.group for d in self.decisions)])
        self.groups = [h for h in range(1, self.top) if len(condensed.bending.get(h, ()))]
        self.envelopes: dict[int, Envelope] = {}
        self.below: dict[int, _Side] = {}
        self.above: dict[int, _Side] = {}
        for h in self.groups:
            bending = condensed.bending[h]
            relaxed = relaxation.relaxed(h)
            envelope = self.envelopes[h] = relaxed.envelope.select(bending)
            self.below[h] = _Side(envelope.below, relaxed.lower[bending], count, h < rows.group)
            self.above[h] = _Side(envelope.above, relaxed.upper[bending], count, h < rows.group)
        g, t, sign = rows.group, rows.neurons, rows.signs[:, None]
        self.target = self._row(g, t, sign)
        places = [(np.array([d.neuron]), d) for d in self.decisions]
        halves = [self._row(d.group, place, np.array([[d.sign]]), d.at) for place, d in places]
        self.halves = None
        if halves:
            self.halves = (
                np.concatenate([h[0] for h in halves]),
                {k: np.concatenate([h[1][k] for h in halves]) for k in self.groups},
                np.concatenate([h[2] for h in halves]),
            )
        self.multipliers = np.zeros((count, len(self.decisions)))
        self.matrices = {
            h: (condensed.inputs[h][condensed.bending[h]], self._neurons(h, condensed.bending[h])) for h in self.groups
        }
        self.low, self.high = state.box_low, state.box_high

    def _neurons(self, group: int, places: Array) -> dict[int, Array]:
        found = self.condensed.neurons[group]
        return {h: matrix[places] for h, matrix in found.items() if matrix.shape[1]}

    def _row(
        self, group: int, places: Array, sign: Array, at: float = 0.0
    ) -> tuple[Array, dict[int, Array], Array]:
        """`sign (v - at)` as coefficients of the input, of the bending neurons of every group, and a constant."""
        found = self._neurons(group, places)
        neurons = {
            h: sign * found[h] if h in found else np.zeros((len(places), len(self.condensed.bending[h])))
            for h in self.groups
        }
        constant = sign[:, 0] * (self.condensed.constants[group][places] - at)
        return sign * self.condensed.inputs[group][places], neurons, constant

    def run(self, iterations: int) -> Ascent:
        usual = {h: (self.below[h].shares, self.above[h].shares) for h in self.groups}
        scales = self._scales()
        rate = RATE
        moments: dict[object, tuple[Array, Array]] = {}
        value, gradients = self._value(usual, self.multipliers)
        start = best = value
        shares, multipliers = usual, self.multipliers
        kept, kept_multipliers = {h: pair for h, pair in shares.items()}, multipliers
        for iteration in range(1, iterations + 1):
            correction = np.sqrt(1 - SECOND**iteration) / (1 - FIRST**iteration)

            def step(key: object, gradient: Array) -> Array:
                mean, square = moments.get(key, (np.zeros_like(gradient), np.zeros_like(gradient)))
                mean = FIRST * mean + (1 - FIRST) * gradient
                square = SECOND * square + (1 - SECOND) * gradient**2
                moments[key] = mean, square
                return rate * correction * mean / (np.sqrt(square) + 1e-12 * np.max(np.sqrt(square), initial=1e-280))

            shares = {
                h: (
                    np.clip(shares[h][0] + step(("below", h), gradients[h][0]), 0.0, 1.0),
                    np.clip(shares[h][1] + step(("above", h), gradients[h][1]), 0.0, 1.0),
                )
                for h in self.groups
            }
            if multipliers.size:
                multipliers = np.maximum(multipliers + scales * step("half-spaces", gradients[0][0] * scales), 0.0)
            rate *= DECAY
            value, gradients = self._value(shares, multipliers)
            better = (value > best)[:, None]
            best = np.maximum(best, value)
            kept = {
                h: (np.where(better, shares[h][0], kept[h][0]), np.where(better, shares[h][1], kept[h][1]))
                for h in self.groups
            }
            kept_multipliers = np.where(better, multipliers, kept_multipliers)
        lines = tuple(
            Lines(
                h, self.condensed.bending[h], self.below[h].rounded(kept[h][0]), self.above[h].rounded(kept[h][1])
            )
            for h in self.groups
            if h < self.rows.group
        )
        used = _short(kept_multipliers) if np.any(kept_multipliers) else None
        return Ascent(Rows(self.rows.group, self.rows.neurons, self.rows.signs, lines, used), start, best)

    def _scales(self) -> Array:
        """How large multipliers are likely to be: how far the row's preactivation moves against the half-space's."""
        if self.halves is None:
            return self.multipliers
        own, other = self._spread(self.target), self._spread(self.halves)
        return own[:, None] / np.maximum(other, 1e-300)[None]

    def _spread(self, row: tuple[Array, dict[int, Array], Array]) -> Array:
        inputs, neurons, _ = row
        widths = (self.high - self.low) / 2
        if isinstance(self.state.region, Ball):
            total = np.minimum(np.abs(inputs) @ widths, self.state.region.radius * np.linalg.norm(inputs, axis=1))
        else:
            total = np.abs(inputs) @ widths
        for h in self.groups:
            total = total + np.abs(neurons[h]) @ self.envelopes[h].reach
        return total

    def _value(
        self, shares: dict[int, tuple[Array, Array]], multipliers: Array
    ) -> tuple[Array, dict[int, tuple[Array, Array]]]:
        """The bounds of all rows, and their slopes in all shares (by group) and multipliers (group 0)."""
        inputs, neurons, constant = self.target
        coefficients = dict(neurons)
        if self.halves is not None:
            inputs = inputs - multipliers @ self.halves[0]
            coefficients = {h: coefficients[h] - multipliers @ self.halves[1][h] for h in self.groups}
            constant = constant - multipliers @ self.halves[2]
        used: dict[int, tuple[Array, Array, Array, Array]] = {}
        for h in reversed(self.groups):
            through = coefficients[h]
            lower, upper = self.below[h].slopes(shares[h][0]), self.above[h].slopes(shares[h][1])
            positive = through > 0
            slopes = np.where(positive, lower, upper)
            at_zero = np.where(positive, self.below[h].corners.intercepts(lower), self.above[h].corners.intercepts(upper))
            touched = np.where(positive, self.below[h].corners.touched(lower), self.above[h].corners.touched(upper))
            used[h] = slopes, at_zero, touched, positive
            own = through * slopes
            constant = constant + np.einsum("ij,ij->i", through, at_zero) + own @ self.condensed.constants[h][
                self.condensed.bending[h]
            ]
            by_input, by_neuron = self.matrices[h]
            inputs = inputs + blas.product(own, by_input)
            for earlier, matrix in by_neuron.items():
                coefficients[earlier] = coefficients[earlier] + blas.product(own, matrix)
        least, point = self._least(inputs)
        values: dict[int, Array] = {}
        gradients: dict[int, tuple[Array, Array]] = {}
        for h in self.groups:
            by_input, by_neuron = self.matrices[h]
            places = blas.product(point, by_input.T) + self.condensed.constants[h][self.condensed.bending[h]]
            for earlier, matrix in by_neuron.items():
                places = places + blas.product(values[earlier], matrix.T)
            slopes, at_zero, touched, positive = used[h]
            values[h] = slopes * places + at_zero
            slope = coefficients[h] * (places - touched)
            gradients[h] = (
                np.where(positive, slope * self.below[h].width, 0.0) * self.below[h].moving,
                np.where(positive, 0.0, slope * self.above[h].width) * self.above[h].moving,
            )
        if self.halves is not None:
            at_point = blas.product(point, self.halves[0].T) + self.halves[2]
            for h in self.groups:
                at_point = at_point + blas.product(values[h], self.halves[1][h].T)
            gradients[0] = -at_point, -at_point
        return constant + least, gradients

    def _least(self, inputs: Array) -> tuple[Array, Array]:
        """Least values of linear functions on the box or the ball, and where they are."""
        corner = np.where(inputs > 0, self.low, self.high)
        least = np.einsum("ij,ij->i", inputs, corner)
        region = self.state.region
        if not isinstance(region, Ball):
            return least, corner
        length = np.sqrt(np.einsum("ij,ij->i", inputs, inputs))
        around = inputs @ region.center - region.radius * length
        point = region.center - inputs * (region.radius / np.maximum(length, 1e-300))[:, None]
        better = around >= least
        return np.where(better, around, least), np.where(better[:, None], point, corner)


def _short(values: Array) -> Array:
    """Numbers of nine binary digits near these."""
    mantissas, exponents = np.frexp(values)
    return np.ldexp(np.round(mantissas * 2**9), exponents - 9)
