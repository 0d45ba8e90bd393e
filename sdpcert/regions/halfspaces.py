"""The half-spaces of the splits above a piece, where the preactivations that were split are affine functions there.

A preactivation whose neurons before are linear on their intervals is an affine function of the inputs with dyadic
coefficients. They are computed in integers for proofs, and in float64 to look for a proof.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from sdpcert.network.stacked import Block
from sdpcert.regions.state import Decision, State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Where cancellation leaves no more than this of a normal in float64, it is computed exactly.
CANCELLED = 2.0**-30


@dataclass(frozen=True, eq=False)
class HalfSpace(ShortRepr):
    """`normal' x + offset >= 0`, both times `2**exponent` in integers; `decision` is the number of the split."""

    decision: int
    normal: tuple[int, ...]
    offset: int
    exponent: int

    @property
    def is_constant(self) -> bool:
        """Whether the split preactivation does not depend on the inputs."""
        return not any(self.normal)

    def in_floats(self) -> tuple[Array, float]:
        """Normal and offset in float64."""
        unit = 1 << self.exponent
        return np.array([float(Fraction(c, unit)) for c in self.normal]), float(Fraction(self.offset, unit))


@dataclass(frozen=True, eq=False)
class _Affine:
    """Affine functions of the inputs: row i is `(coefficients[i] x + constants[i]) / 2**exponent` where `known`."""

    coefficients: Array
    constants: Array
    exponent: int
    known: Array

    def scaled(self, exponent: int) -> tuple[Array, Array]:
        """Coefficients and constants over another, larger exponent."""
        factor = 1 << (exponent - self.exponent)
        return self.coefficients * factor, self.constants * factor


def half_spaces(state: State, chosen: Collection[int] | None = None) -> list[HalfSpace]:
    """Those of the decisions whose preactivation is an affine function on the piece, in exact arithmetic.

    `chosen` are numbers of decisions, all of them if None.
    """
    numbers = range(len(state.decisions)) if chosen is None else sorted(chosen)
    if not numbers:
        return []
    values = _forward(state, [state.decisions[k] for k in numbers])
    found = []
    for number in numbers:
        decision = state.decisions[number]
        row = _row(values[decision.group - 1], decision)
        if row is not None:
            found.append(HalfSpace(number, *row))
    return found


def half_spaces_in_floats(state: State) -> tuple[Array, Array, Array]:
    """The same in float64: the numbers of the decisions, normals (rows) and offsets."""
    form = state.form
    wanted = [d.group for d in state.decisions]
    sources = [(np.eye(form.inputs), np.zeros(form.inputs), np.ones(form.inputs, bool))]
    rows: list[tuple[int, Array, float]] = []
    doubtful: list[int] = []
    for number in range(1, max(wanted, default=0) + 1):
        group = form.groups[number - 1]
        normals, offsets, sizes = np.zeros((group.size, form.inputs)), group.bias.copy(), np.zeros(group.size)
        known = group.bias_radii == 0
        for source, block in form.row(number).items():
            weights = block.weights if block.low is None else block.weights + block.low
            normals += weights @ sources[source][0]
            sizes += np.abs(weights) @ np.linalg.norm(sources[source][0], axis=1)
            offsets += weights @ sources[source][1]
            known &= ~np.any(block.moving if block.radius > 0 else block.moving[:, ~sources[source][2]], axis=1)
        lost = (normals != 0).any(axis=1) & (np.linalg.norm(normals, axis=1) <= CANCELLED * sizes)
        still = known & ~np.any(normals, axis=1)
        sure, slope, at_zero = _linear_pieces(state, number, np.where(still, offsets, np.nan))
        sources.append((slope[:, None] * normals, slope * offsets + at_zero, (known | (slope == 0)) & sure))
        for k, d in enumerate(state.decisions):
            if d.group == number and known[d.neuron]:
                rows.append((k, d.sign * normals[d.neuron], d.sign * (offsets[d.neuron] - d.at)))
                doubtful += [k] if lost[d.neuron] else []
    if doubtful:
        exact = {space.decision: space for space in half_spaces(state, doubtful)}
        rows = [(k, *exact[k].in_floats()) if k in exact else (k, normal, at) for k, normal, at in rows]
    rows.sort(key=lambda row: row[0])
    found = np.array([row[1] for row in rows]).reshape(len(rows), form.inputs)
    return np.array([row[0] for row in rows], dtype=int), found, np.array([row[2] for row in rows])


def _row(values: _Affine, decision: Decision) -> tuple[tuple[int, ...], int, int] | None:
    if not values.known[decision.neuron]:
        return None
    mantissa, place = dyadic(np.array([decision.at]))
    exponent = max(values.exponent, place)
    coefficients, constants = values.scaled(exponent)
    sign = 1 if decision.side == "above" else -1
    offset = int(constants[decision.neuron]) - int(mantissa[0]) * (1 << (exponent - place))
    return tuple(sign * int(c) for c in coefficients[decision.neuron]), sign * offset, exponent


def _forward(state: State, decisions: Sequence[Decision]) -> list[_Affine]:
    """The preactivations that some decisions need, as affine functions of the inputs; others are not known."""
    form, needed = state.form, _needed(state, decisions)
    identity = np.eye(form.inputs, dtype=int).astype(object)
    sources = [_Affine(identity, np.zeros(form.inputs, int).astype(object), 0, np.ones(form.inputs, bool))]
    found = []
    for number, mask in enumerate(needed, start=1):
        group = form.groups[number - 1]
        before = _sum(form.row(number), sources, mask, form.inputs)
        bias, place = dyadic(np.where(mask, group.bias, 0.0))
        exponent = max(before.exponent, place)
        coefficients, constants = before.scaled(exponent)
        known = before.known
        if group.bias_radius is not None:
            known = known & (group.bias_radius == 0)
        found.append(_Affine(coefficients, constants + bias * (1 << (exponent - place)), exponent, known))
        sources.append(_activated(state, number, found[-1]))
    return found


def _needed(state: State, decisions: Sequence[Decision]) -> list[Array]:
    """The neurons of each group up to the last decision's that the decisions depend on, as boolean masks."""
    form, last = state.form, max(d.group for d in decisions)
    needed = [np.zeros(group.size, bool) for group in form.groups[:last]]
    for number in range(last, 0, -1):
        own = needed[number - 1]
        own[[d.neuron for d in decisions if d.group == number]] = True
        for to in range(number + 1, last + 1):
            block = form.blocks.get((to, number))
            if block is not None:
                own |= np.any(block.moving[needed[to - 1]], axis=0)
        sure, slope, _ = _linear_pieces(state, number)
        deciding = np.zeros(len(own), bool)
        deciding[[d.neuron for d in decisions if d.group == number]] = True
        own &= ~(sure & (slope == 0)) | deciding
    return needed


def _sum(row: dict[int, Block], sources: Sequence[_Affine], wanted: Array, inputs: int) -> _Affine:
    """What the blocks of a row make of their sources, for the wanted entries; the others are not known."""
    size, rows = len(wanted), np.flatnonzero(wanted)
    coefficients = np.zeros((size, inputs), dtype=int).astype(object)
    total = _Affine(coefficients, np.zeros(size, int).astype(object), 0, wanted.copy())
    for source, block in row.items():
        read, parts = sources[source], [block.weights] + ([] if block.low is None else [block.low])
        known = total.known & ~np.any(block.moving[:, ~read.known], axis=1)
        if block.radius > 0:
            known &= ~np.any(block.moving, axis=1)
        for weights in parts:
            mantissas, place = dyadic(weights[rows])
            exponent = max(total.exponent, read.exponent + place)
            coefficients, constants = total.scaled(exponent)
            factor = 1 << (exponent - read.exponent - place)
            coefficients[rows] += mantissas.dot(read.coefficients) * factor
            constants[rows] += mantissas.dot(read.constants) * factor
            total = _Affine(coefficients, constants, exponent, known)
    return total


def _activated(state: State, number: int, read: _Affine) -> _Affine:
    """The activations of a group, known where its neurons are linear on their intervals, or read a constant."""
    constants = np.full(len(read.known), np.nan)
    for k in (k for k in np.flatnonzero(read.known) if not any(read.coefficients[k])):
        exact = Fraction(int(read.constants[k]), 1 << read.exponent)
        constants[k] = float(exact) if Fraction(float(exact)) == exact else np.nan
    sure, slope, at_zero = _linear_pieces(state, number, constants)
    slopes, place = dyadic(slope)
    shifts, shift_place = dyadic(at_zero)
    exponent = max(read.exponent + place, shift_place)
    factor = 1 << (exponent - read.exponent - place)
    return _Affine(
        slopes[:, None] * read.coefficients * factor,
        slopes * read.constants * factor + shifts * (1 << (exponent - shift_place)),
        exponent,
        (read.known | (slope == 0)) & sure,
    )


def _linear_pieces(state: State, number: int, constants: Array | None = None) -> tuple[Array, Array, Array]:
    """Which neurons of a group are linear on their intervals, their slopes, and the values of these pieces at zero.

    Those whose preactivation is one of `constants`, which are not a number for others, have the piece that is there.
    """
    group, low, high = state.form.groups[number - 1], state.low[number - 1], state.high[number - 1]
    left = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 2, -1.0))
    right = np.where(np.isfinite(high), high, left + 2)
    sure, slope = group.linear_on(low, high)
    middle = left + (right - left) / 2
    constant = np.zeros(group.size, bool) if constants is None else ~np.isnan(constants)
    piece = group.segment((middle if constants is None else np.where(constant, constants, middle))[None])
    if piece is None:
        return np.zeros(group.size, bool), np.zeros(group.size), np.zeros(group.size)
    sure = sure & (piece[0][0] == slope) | constant
    return sure, np.where(sure, piece[0][0], 0.0), np.where(sure, piece[1][0], 0.0)


def dyadic(values: Array) -> tuple[Array, int]:
    """Integers (objects) and an exponent e >= 0 with `values == integers / 2**e`, exactly."""
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    places = np.where(whole == 0, 0, 53 - exponents)
    # Trailing zeros cost nothing to drop, and keep the integers of simple weights short.
    spare = np.where(whole == 0, 0, np.frexp((whole & -whole).astype(float))[1] - 1)
    spare = np.clip(np.minimum(spare, places), 0, None)
    whole, places = whole >> spare, places - spare
    exponent = max(int(places.max(initial=0)), 0)
    integers = np.array([int(w) << (exponent - int(p)) for w, p in zip(whole.ravel(), places.ravel())], dtype=object)
    return integers.reshape(values.shape), exponent


@dataclass(frozen=True, eq=False)
class Combination(ShortRepr):
    """`h = sum_d w_d (half-space d)`, nonnegative on the piece, times a power of two."""

    normal: tuple[int, ...]
    offset: int

    @cached_property
    def is_constant(self) -> bool:
        """Whether h does not depend on the inputs."""
        return not any(self.normal)


def combination(spaces: Sequence[HalfSpace], weights: Sequence[int]) -> Combination:
    """The combination with a weight for each half-space."""
    exponent = max((s.exponent for s in spaces), default=0)
    total, offset = [0] * len(spaces[0].normal), 0
    for space, weight in zip(spaces, weights, strict=True):
        if weight:
            factor = weight * (1 << (exponent - space.exponent))
            total = [t + factor * c for t, c in zip(total, space.normal, strict=True)]
            offset += factor * space.offset
    return Combination(tuple(total), offset)
