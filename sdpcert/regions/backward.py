"""Bounds of preactivations by a backward pass through lines, in float64 with all rounding charged.

A row `sum_i c_i v_i + d` of preactivations is bounded from below on a piece: from the last group to the first, `v` is
replaced by what it reads and `z` by a line, until an affine function of the input is left. The coefficients as they
are rounded define the next row; what a coefficient is off costs its error times the largest value that it multiplies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.network.activation import FLOAT64
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.lines import Envelope
from sdpcert.regions.pieces import Lines
from sdpcert.regions.products import Operator, operator
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Room for other implementations, which round otherwise, as a share of the sum of all magnitudes that a row adds up.
SHARE = 1e-10
#: What products lose by underflow, all together.
UNDERFLOW = 2.0**-900
#: Room for a checker with so many digits after the point, as a share of what numbers of a group are like. It matters
#: where a row adds up nothing at all, or next to nothing.
DIGITS = 2.0**-80


@dataclass(frozen=True, eq=False)
class Rows(ShortRepr):
    """R rows `sign v_t - sum_d m_d s_d (v_d - at_d)` for neurons t of one group, to be bounded from below.

    `lines` replace the piece's lines, row by row; `multipliers` m are (R, decisions), or None.
    """

    group: int
    neurons: Array
    signs: Array
    lines: tuple[Lines, ...] = ()
    multipliers: Array | None = None

    @staticmethod
    def joined(parts: list[Rows]) -> Rows:
        """Rows of one group that have lines for the same neurons, one part after another."""
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
        neurons, signs = (np.concatenate([getattr(part, name) for part in parts]) for name in ("neurons", "signs"))
        multipliers = [part.multipliers for part in parts]
        if all(own is None for own in multipliers):
            return Rows(first.group, neurons, signs, lines)
        width = next(own.shape[1] for own in multipliers if own is not None)
        filled = [np.zeros((len(p.neurons), width)) if p.multipliers is None else p.multipliers for p in parts]
        return Rows(first.group, neurons, signs, lines, np.concatenate(filled))

    def select(self, rows: Array) -> Rows:
        """Some of the rows."""
        lines = tuple(own.select(rows) for own in self.lines)
        multipliers = None if self.multipliers is None else self.multipliers[rows]
        return Rows(self.group, self.neurons[rows], self.signs[rows], lines, multipliers)


@dataclass(frozen=True, eq=False)
class Relaxed(ShortRepr):
    """The lines of one group in a piece, and bounds of how large its activations are."""

    envelope: Envelope
    lower: Array
    at_zero_below: Array
    upper: Array
    at_zero_above: Array

    @staticmethod
    def of(state: State, number: int) -> Relaxed:
        """Group `number` (from 1) with the state's slopes of lines."""
        g = number - 1
        envelope = Envelope.of(state.form.groups[g], state.low[g], state.high[g], state.alpha[g], state.beta[g])
        return Relaxed(envelope, *envelope.lines(state.lower[g], state.upper[g]))


class Relaxation:
    """All lines of a state: bounds of rows of its preactivations."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.form: StackedForm = state.form
        self._relaxed: dict[int, Relaxed] = {}
        self._sizes: dict[int, tuple[Array, Array]] = {}
        self.input_reach = np.maximum(np.abs(state.box_low), np.abs(state.box_high))
        terms = sum(2 * size + 8 for size in self.form.sizes)
        self.rounding = 1.1 * (terms + 64) * FLOAT64
        self.typical = self._typical()

    def _typical(self) -> list[float]:
        """For the inputs and each group how large one term of a preactivation can be, whatever the activations do.

        It is zero on all inputs, where nothing is rounded.
        """
        found = [float(np.max(self.input_reach, initial=0.0))]
        if found[0] == np.inf:
            return [0.0] * (1 + len(self.form.groups))
        for number, group in enumerate(self.form.groups, start=1):
            terms = (
                float(np.max(np.abs(block.weights), initial=0.0)) * found[source]
                for source, block in self.form.row(number).items()
            )
            found.append(max(float(np.max(np.abs(group.bias), initial=0.0)), *terms, 0.0))
        return found

    def after(self, state: State, group: int) -> None:
        """Take on a state with shorter intervals, other slopes or other lines of one group.

        Bounds of sizes stay valid; they are not made again.
        """
        self.state = state
        self._relaxed.pop(group, None)

    def relaxed(self, group: int) -> Relaxed:
        """The lines of one group."""
        if group not in self._relaxed:
            self._relaxed[group] = Relaxed.of(self.state, group)
        return self._relaxed[group]

    def operators(self, group: int) -> list[tuple[int, Operator]]:
        """What one group reads: sources, and the blocks from there."""
        return [(source, operator(block)) for source, block in self.form.row(group).items()]

    def sizes(self, group: int) -> tuple[Array, Array]:
        """Bounds of the sum of the magnitudes that make up a preactivation, and of what is uncertain in it."""
        if group not in self._sizes:
            own = self.form.groups[group - 1]
            size, doubt = np.abs(own.bias), own.bias_radii
            for source, block in self.operators(group):
                reach = self.input_reach if source == 0 else self.relaxed(source).envelope.reach
                size = size + block.size(reach)
                doubt = doubt + block.doubt(reach)
            self._sizes[group] = size, doubt
        return self._sizes[group]

    def bound(self, rows: Rows) -> Array:
        """Proved lower bounds of the rows, one for each, -inf where there is none."""
        chunk = max(16, 4_000_000 // sum(self.form.sizes))
        count = len(rows.neurons)
        parts = [rows.select(np.arange(k, min(k + chunk, count))) for k in range(0, count, chunk)]
        with np.errstate(all="ignore"):
            return np.concatenate([_Pass(self, part).run() for part in parts]) if parts else np.zeros(0)

    def traced(self, rows: Rows) -> Trace:
        """What a bound of these rows is made of; nothing here is a proof."""
        with np.errstate(all="ignore"):
            traced = _Pass(self, rows)
            traced.run()
        return Trace(traced.inputs, traced.used)


@dataclass(frozen=True, eq=False)
class Trace(ShortRepr):
    """The affine functions of the input that rows become, and the lines that they used of every group."""

    inputs: Array
    used: dict[int, UsedLines]


@dataclass(frozen=True, eq=False)
class UsedLines(ShortRepr):
    """For every row and neuron of a group the coefficient of z, and the line that took its place."""

    coefficients: Array
    slopes: Array
    at_zero: Array


class _Pass:
    """One backward pass of a few rows."""

    def __init__(self, relaxation: Relaxation, rows: Rows) -> None:
        self.relaxation, self.rows = relaxation, rows
        count = len(rows.neurons)
        self.constant, self.scale, self.doubt = np.zeros((3, count))
        self.blocked = np.zeros(count, dtype=bool)
        self.lines = {own.group: own for own in rows.lines}
        self.coefficients: dict[int, Array] = {}
        self.inputs = np.zeros((count, relaxation.form.inputs))
        self.used: dict[int, UsedLines] = {}

    def run(self) -> Array:
        state, rows = self.relaxation.state, self.rows
        decisions = state.decisions if rows.multipliers is not None else ()
        top = max([rows.group, *(d.group for d in decisions)])
        for group in range(top, 0, -1):
            self._preactivations(group)
        self.inputs = self.coefficients.pop(0, self.inputs)
        least, scale = least_value(state, self.inputs)
        scale = scale + self.scale
        lost = self.relaxation.rounding * scale + self.doubt * (1 + 1e-9) + UNDERFLOW
        value = self.constant + least - lost - SHARE * scale - DIGITS * self.relaxation.typical[rows.group]
        return np.where(np.isfinite(value) & ~self.blocked, value, -np.inf)

    def _preactivations(self, group: int) -> None:
        """Replace the activations of a group by lines, and its preactivations by what they read."""
        own, rows = self.relaxation.form.groups[group - 1], self.rows
        through = self.coefficients.pop(group, None)
        parts: list[tuple[Array | slice, Array]] = []
        if through is not None:
            parts.append((slice(None), self._along_lines(group, through)))
        columns, halves = self._half_spaces(group)
        if len(columns):
            parts.append((columns, halves))
        size, doubt = self.relaxation.sizes(group)
        for chosen, entries in parts:
            magnitudes = np.abs(entries)
            known = np.isfinite(size[chosen])
            if not np.all(known):
                self.blocked |= np.any(magnitudes[:, ~known] > 0, axis=1)
            self.constant += entries @ own.bias[chosen]
            self.scale += magnitudes @ np.where(known, size[chosen], 0.0)
            self.doubt += magnitudes @ doubt[chosen]
        if group == rows.group:
            self.constant += rows.signs * own.bias[rows.neurons]
            self.scale += size[rows.neurons]
            self.doubt += doubt[rows.neurons]
        for source, block in self.relaxation.operators(group):
            if group == rows.group:
                self._add(source, rows.signs[:, None] * block.weights[rows.neurons])
            for chosen, entries in parts:
                self._add(source, block.back(entries) if isinstance(chosen, slice) else entries @ block.weights[chosen])

    def _half_spaces(self, group: int) -> tuple[Array, Array]:
        """The neurons of a group whose half-spaces the rows use, and their coefficients."""
        multipliers = self.rows.multipliers
        if multipliers is None:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0))
        decisions = self.relaxation.state.decisions
        used = [k for k, d in enumerate(decisions) if d.group == group and np.any(multipliers[:, k])]
        weights = multipliers[:, used] * np.array([decisions[k].sign for k in used])
        places = np.array([decisions[k].at for k in used])
        self.constant += weights @ places
        self.scale += np.abs(weights) @ np.abs(places)
        return np.array([decisions[k].neuron for k in used], dtype=np.int64), -weights

    def _along_lines(self, group: int, through: Array) -> Array:
        """From coefficients of z to those of v: lines below for positive ones, above for the others."""
        relaxed = self.relaxation.relaxed(group)
        lower, upper = relaxed.lower[None], relaxed.upper[None]
        below, above = relaxed.at_zero_below[None], relaxed.at_zero_above[None]
        own = self.lines.get(group)
        if own is not None:
            lower, upper, below, above = (
                np.repeat(part, len(through), axis=0) for part in (lower, upper, below, above)
            )
            lines = relaxed.envelope.select(own.neurons).lines(own.lower, own.upper)
            for whole, part in zip((lower, below, upper, above), lines, strict=True):
                whole[:, own.neurons] = part
        known = relaxed.envelope.known
        if not np.all(known):
            self.blocked |= np.any(through[:, ~known] != 0, axis=1)
        positive = through > 0
        at_zero = np.where(positive, below, above)
        moved = through * at_zero
        if not np.all(known):
            moved = np.where(known, moved, 0.0)
        self.constant += moved.sum(axis=1)
        self.scale += np.abs(moved).sum(axis=1)
        slopes = np.where(positive, lower, upper)
        self.used[group] = UsedLines(through, slopes, at_zero)
        return through * (slopes if np.all(known) else np.where(known, slopes, 0.0))

    def _add(self, source: int, coefficients: Array) -> None:
        if source in self.coefficients:
            self.coefficients[source] = self.coefficients[source] + coefficients
        else:
            self.coefficients[source] = coefficients


def least_value(state: State, rows: Array) -> tuple[Array, Array]:
    """Least values of linear functions (R, inputs) on the piece's box and ball, and the magnitudes that they add up."""
    low, high = state.box_low, state.box_high
    known = np.isfinite(low) & np.isfinite(high)
    positive, negative = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
    first, last = np.where(known, low, 0.0), np.where(known, high, 0.0)
    least = positive @ first + negative @ last
    scale = positive @ np.abs(first) - negative @ np.abs(last)
    if not np.all(known):
        least = np.where(np.any(rows[:, ~known] != 0, axis=1), -np.inf, least)
    if isinstance(state.region, Ball):
        center, radius = state.region.center, state.region.radius
        reach = radius * np.sqrt(np.einsum("ij,ij->i", rows, rows))
        around = rows @ center - reach
        size = np.abs(rows) @ np.abs(center) + reach
        # Each with its own charge: the better of the two by what it proves.
        better = around - size * SHARE > least - scale * SHARE
        return np.where(better, around, least), np.where(better, size, scale)
    return least, scale


def sided(neurons: Sequence[int] | Array) -> tuple[Array, Array]:
    """Every neuron twice, with signs 1 (for its lower bound) and -1 (for its upper bound)."""
    indices = np.asarray(neurons, dtype=np.int64)
    return np.concatenate([indices, indices]), np.repeat([1.0, -1.0], len(indices))
