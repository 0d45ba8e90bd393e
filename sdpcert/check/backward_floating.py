"""Bounds of preactivations on a piece by a backward pass in floating point; needs NumPy.

R rows of coefficients are carried from a group down to the inputs. Where coefficients are computed as A~ instead of A,
A~ is used from there on, and the bound changes by at most the sum over j of |A~_j - A_j| max |z_j|: an error of `C @ K`
within gamma |C| |K| costs gamma |C| (|K| max |z|), a product of matrices and a vector. All these are charged.
"""

from __future__ import annotations

import numpy as np

from .pieces import BoundsStep
from .pieces import Lines as Slopes
from .rounding import SLACK, TINY, U, gamma, rounded, total
from .state_floating import Lines, State

Array = np.ndarray

#: As many bounds are proved at a time.
CHUNK = 1024
#: What copying a row of weights costs, in products with it; a matter of speed only.
COPY = 8


class Rows:
    """R linear functions of preactivations and activations, plus constants, and what their bounds were charged."""

    def __init__(self, count: int, groups: int) -> None:
        self.constant, self.charged = np.zeros(count), np.zeros(count)
        self.activations: list[Array | None] = [None] * (groups + 1)  # index 0 is the inputs
        self.preactivations: list[Array | None] = [None] * (groups + 1)

    def add_constant(self, values: Array, error: Array) -> None:
        """Add constants that are known within an error."""
        self.constant = self.constant + values
        self.charged = self.charged + error + U * np.abs(self.constant)

    def add_activations(self, source: int, coefficients: Array, sizes: Array) -> None:
        """Add coefficients of activations, or inputs, whose absolute values `sizes` bounds."""
        before = self.activations[source]
        if before is not None:
            coefficients = before + coefficients
            self.charged = self.charged + total(coefficients, U * sizes)
        self.activations[source] = coefficients


def unproved(state: State, step: BoundsStep) -> Array:
    """The places of the values of a step that are not proved on the piece."""
    neurons, values = np.array(step.neurons, dtype=int), np.array(step.values)
    sign = 1.0 if step.side == "low" else -1.0
    decisions = len(state.decisions)
    weights = None if step.multipliers is None else np.array(step.multipliers).reshape(len(neurons), decisions)
    failed = []
    for first in range(0, len(neurons), CHUNK):
        some = slice(first, first + CHUNK)
        lines = [_rows_of(lines, some, len(neurons)) for lines in step.lines]
        least = least_values(state, step.group, neurons[some], sign, lines, None if weights is None else weights[some])
        failed.append(first + np.flatnonzero(~(sign * values[some] <= least)))
    return np.concatenate([np.zeros(0, dtype=int), *failed])


def _rows_of(lines: Slopes, some: slice, count: int) -> tuple[int, Array, Array, Array]:
    lower, upper = (np.array(x).reshape(count, -1)[some] for x in (lines.lower, lines.upper))
    return lines.group, np.array(lines.neurons, dtype=int), lower, upper


def least_values(
    state: State,
    group: int,
    neurons: Array,
    sign: float,
    own_lines: list[tuple[int, Array, Array, Array]],
    multipliers: Array | None,
) -> Array:
    """Bounds from below of `sign` times preactivations on a piece; -inf or not a number where there is none.

    `own_lines` has group, neurons and slopes (R, k) of lines that replace those of the piece.
    """
    network = state.network
    rows = Rows(len(neurons), network.groups)
    top = group
    if multipliers is not None:
        top = max(top, _subtract_decisions(rows, state, multipliers))
    own = {g: (places, state.neurons[g - 1].lines_of(places, low, up)) for g, places, low, up in own_lines}
    for h in range(top, 0, -1):
        _relax(rows, state, h, own.get(h))
        if h == group:
            _take(rows, state, h, neurons, sign)
        _substitute(rows, state, h)
    least, error = _over_region(rows.activations[0], state, len(neurons))
    rows.add_constant(least, error)
    return np.nextafter(rows.constant - rows.charged * SLACK, -np.inf)


def _subtract_decisions(rows: Rows, state: State, multipliers: Array) -> int:
    """Subtract `multiplier sign (v - at)` for every decision; return the highest group that has one."""
    used = np.flatnonzero(np.any(multipliers != 0, axis=0))
    if not len(used):
        return 0
    chosen = [state.decisions[d] for d in used]
    signs, at = np.array([d.sign for d in chosen]), np.array([d.at for d in chosen])
    weights = multipliers[:, used]
    rows.add_constant(weights @ (signs * at), total(weights, rounded(at, len(used) + 1)) + TINY)
    for g in {decision.group for decision in chosen}:
        columns = [k for k, decision in enumerate(chosen) if decision.group == g]
        places = np.array([chosen[k].neuron for k in columns])
        largest = state.neurons[g - 1].known.largest
        coefficients = np.zeros((len(weights), len(largest)))
        np.add.at(coefficients.T, places, -(weights[:, columns] * signs[columns]).T)
        if len(set(places.tolist())) < len(places):
            rows.charged = rows.charged + total(weights[:, columns], rounded(largest[places], len(columns)))
        rows.preactivations[g] = coefficients
    return max(decision.group for decision in chosen)


def _relax(rows: Rows, state: State, h: int, own: tuple[Array, Lines] | None) -> None:
    """Replace the activations of a group by their lines, below where a coefficient is positive, above elsewhere."""
    coefficients, direct = rows.activations[h], rows.preactivations[h]
    if coefficients is None:
        return
    largest = state.neurons[h - 1].known.largest
    lines = state.neurons[h - 1].lines
    result = np.zeros_like(coefficients)
    rest = np.ones(len(largest), dtype=bool)
    if own is not None:
        places, other = own
        rest[places] = False
        result[:, places] = _onto(rows, coefficients[:, places], other, largest[places])
    if np.all(rest):
        result = _onto(rows, coefficients, lines, largest)
    else:
        some = Lines(*((pair[0][rest], pair[1][rest]) for pair in (lines.slopes, lines.values)))
        result[:, rest] = _onto(rows, coefficients[:, rest], some, largest[rest])
    rows.activations[h] = None
    if direct is not None:
        result += direct
        rows.charged = rows.charged + total(result, U * largest)
    rows.preactivations[h] = result


def _onto(rows: Rows, coefficients: Array, lines: Lines, largest: Array) -> Array:
    """The coefficients of preactivations; the constants of the lines are added."""
    result = np.zeros_like(coefficients)
    for part, slope, value in zip(
        (np.maximum(coefficients, 0.0), np.minimum(coefficients, 0.0)), lines.slopes, lines.values, strict=True
    ):
        exists = np.isfinite(value)
        finite = np.where(exists, value, 0.0)
        constant = part @ finite if value.ndim == 1 else (part * finite).sum(axis=1)
        exact = (slope == 0) | (np.abs(slope) == 1)
        loss = np.where(exact, 0.0, U * np.abs(slope) * largest)
        loss = loss + np.where(exists, rounded(finite, coefficients.shape[1] + 2), np.inf)
        underflow = 1e-323 * np.sum(np.where(exact, 0.0, np.where(np.isfinite(largest), largest, 0.0)), axis=-1)
        rows.add_constant(constant, total(part, loss) + underflow)
        result += part * slope  # one of the two parts of an entry is zero
    return result


def _take(rows: Rows, state: State, h: int, neurons: Array, sign: float) -> None:
    """Add `sign` times one preactivation of the group to each row, in terms of what the group reads."""
    network = state.network
    rows.add_constant(sign * network.bias[h - 1][neurons], network.bias_radius[h - 1][neurons] * SLACK)
    for weights in network.blocks[h]:
        sizes = state.sizes(weights.source)
        _, taken = sizes.charges(weights, 1)
        rows.charged = rows.charged + taken[neurons]
        rows.add_activations(weights.source, sign * weights.matrix[neurons], sizes.sizes)


def _substitute(rows: Rows, state: State, h: int) -> None:
    """Replace the preactivations of a group by what they are in terms of what the group reads."""
    coefficients = rows.preactivations[h]
    if coefficients is None:
        return
    rows.preactivations[h] = None
    network = state.network
    count, n = coefficients.shape
    some = np.flatnonzero(np.any(coefficients != 0, axis=0))
    everything = (count + COPY) * len(some) >= count * n  # rows of weights are copied otherwise
    chosen = coefficients if everything else coefficients[:, some]
    bias, radius = network.bias[h - 1], network.bias_radius[h - 1]
    rows.add_constant(coefficients @ bias, total(coefficients, rounded(bias, n + 2) + radius * SLACK))
    charge = np.zeros(n)
    for weights in network.blocks[h]:
        sizes = state.sizes(weights.source)
        charge = charge + sizes.charges(weights, n)[0]
        matrix = weights.matrix if everything else weights.matrix[some]
        rows.add_activations(weights.source, chosen @ matrix, sizes.sizes)
    rows.charged = rows.charged + total(coefficients, charge)


def _over_region(coefficients: Array | None, state: State, count: int) -> tuple[Array, Array]:
    """Least values of linear functions of the inputs over the piece's box, or the ball, and bounds of their errors."""
    if coefficients is None:
        return np.zeros(count), np.zeros(count)
    n = coefficients.shape[1]
    largest = np.maximum(np.abs(state.low), np.abs(state.high))
    low, high = (np.where(np.isfinite(end), end, 0.0) for end in (state.low, state.high))
    box = np.maximum(coefficients, 0.0) @ low + np.minimum(coefficients, 0.0) @ high
    error = total(coefficients, rounded(largest, n + 2))
    region = state.region
    if region.center is None:
        return box, error
    center = np.array(region.center)
    # Rows are scaled by powers of two so that no square overflows, or underflows where it matters.
    _, exponents = np.frexp(np.max(np.abs(coefficients), axis=1, initial=0.0))
    scaled = np.ldexp(coefficients, -exponents[:, None])
    length = np.nextafter(np.ldexp(np.sqrt((scaled * scaled).sum(axis=1)) * (1 + gamma(n + 4)), exponents), np.inf)
    inner, outer = coefficients @ center, region.radius * length
    ball = inner - outer
    loss = total(coefficients, rounded(center, n + 1)) + 3 * U * (np.abs(inner) + outer) + TINY
    better = ball - loss > box - error
    return np.where(better, ball, box), np.where(better, loss, error)
