"""A bound of one preactivation on a piece by weighed quadratic facts, proved in floating point; needs NumPy.

With w = (1, y, z), y the inputs in the coordinates of an ellipsoid and z the undecided neurons, the step states
multipliers for which w'Mw, the preactivation minus its bound and minus all facts, has to be nonnegative everywhere.
Rows of preactivations and coefficients of facts are rounded as it comes; what that changes on the piece is bounded and
taken off the constant. M itself is formed with bounds of the row sums of its errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np

from .affine_floating import AffineRows, affine_rows
from .condition_floating import UNDERFLOW, input_factor
from .pieces import QuadraticStep
from .reading import Rejected
from .rounding import RANGE, SLACK, TINY, U, gamma, is_definite, total
from .state_floating import Neurons, State

Array = np.ndarray

#: Facts of a neuron with a kink inside of its interval, and of another one.
KINKED, OTHER = 6, 3
#: Entries of scaled rows, beyond which underflow may matter.
LARGEST = 1e30


def prove_quadratic(state: State, step: QuadraticStep) -> None:
    """Prove the bound of a step on a piece; raises `Rejected` if it is not proved."""
    if not state.region.bounded:
        raise Rejected("quadratic bounds need a region with ends")
    with np.errstate(all="ignore"):  # what overflows proves nothing
        below = range(step.group - 1, 0, -1)
        undecided = [neurons.undecided for neurons in state.neurons[: step.group - 1]]
        weighed = [_Weighed.of(state.neurons[h - 1], undecided[h - 1], step.multipliers[h - 1], h) for h in below]
        sign = 1.0 if step.side == "low" else -1.0
        constants, charges = [-sign * step.value], [TINY]
        first = _combination(state, step, sign, constants, charges)
        used = [np.zeros(0, dtype=int)] * len(undecided)
        for h, facts in zip(below, weighed, strict=True):
            used[h - 1] = undecided[h - 1][facts.used]
        rows = affine_rows(state, first, undecided, used)
        facts = _Weighed.joined(weighed)
        sphere = _Ellipsoid.of(state, step)
        rows = sphere.centred(rows)
        squared = step.ball * sphere.square
        constants.append(-squared)
        charges += [gamma(2) * squared, float(rows.errors[0]), facts.charge(rows.errors[1:])]
        constants += (-facts.forms[:, 0, 0]).tolist()
        constant, charge = fsum(constants), fsum(charges) * SLACK
        if not np.isfinite(constant) or not np.isfinite(charge):
            raise Rejected(RANGE)
        _prove(rows, facts, step.ball, constant, charge + 2 * U * abs(constant))


def _combination(
    state: State, step: QuadraticStep, sign: float, constants: list[float], charges: list[float]
) -> dict[int, Array]:
    """Coefficients of preactivations: the one that is bounded, minus the decisions, whose constants are added."""
    network = state.network
    first = {step.group: np.zeros(network.sizes[step.group])}
    first[step.group][step.neuron] = sign
    weights = np.zeros(len(state.decisions)) if step.decisions is None else np.array(step.decisions)
    for decision, weight in zip(state.decisions, weights.tolist(), strict=True):
        if not weight:
            continue
        if decision.group >= step.group:
            raise Rejected(f"a decision on group {decision.group} has a weight, for a bound of group {step.group}")
        row = first.setdefault(decision.group, np.zeros(network.sizes[decision.group]))
        row[decision.neuron] -= weight * decision.sign
        largest = float(state.neurons[decision.group - 1].known.largest[decision.neuron])
        constants.append(weight * decision.sign * decision.at)
        charges.append(U * abs(float(row[decision.neuron])) * largest + U * abs(constants[-1]) + TINY)
    return first


@dataclass(frozen=True, eq=False)
class _Weighed:
    """The sums of the weighed facts of N neurons: forms (N, 3, 3) over (1, v, z), with bounds of their errors.

    `used` are the places, among the undecided neurons of the groups, of those with a weight; `v` and `z` bound their
    values. `count` is the number of all undecided neurons.
    """

    forms: Array
    errors: Array
    used: Array
    v: Array
    z: Array
    count: int

    @staticmethod
    def of(known: Neurons, undecided: Array, multipliers: object, group: int) -> _Weighed:
        """The facts of the undecided neurons of a group; raises `Rejected` if one has a weight and does not hold."""
        weights, count = np.array(multipliers, dtype=float), len(undecided)
        kinked, p, q = known.kinked(undecided)
        numbers = np.where(kinked, KINKED, OTHER)
        if len(weights) != int(numbers.sum()):
            raise Rejected(f"{len(weights)} multipliers for the undecided neurons of group {group}")
        starts = np.cumsum(numbers) - numbers
        places = starts[:, None] + np.arange(KINKED)
        inside = np.arange(KINKED) < numbers[:, None]
        taken = np.zeros((count, KINKED))
        taken[inside] = weights[places[inside]]
        used = np.flatnonzero(np.any(taken != 0, axis=1))
        left, right = _factors(known, undecided[used], kinked[used], p[used], q[used])
        taken = taken[used][:, :, None]
        exists = np.isfinite(left).all(axis=2) & np.isfinite(right).all(axis=2)
        if np.any((taken[:, :, 0] > 0) & ~exists):
            raise Rejected(f"a fact of a neuron of group {group} has a weight and needs an end or a line that is not")
        left, right = (np.where(taken > 0, factor, 0.0) for factor in (left, right))
        forms = np.einsum("nfi,nfj->nij", taken * left, right)
        sizes = np.einsum("nfi,nfj->nij", np.abs(taken * left), np.abs(right))
        largest = 1 + np.abs(taken).max(axis=1) + np.abs(left).max(axis=1) + np.abs(right).max(axis=1)
        lost = gamma(KINKED + 6) * sizes + 1e-322 * KINKED * largest.max(axis=1, initial=1.0)[:, None, None]
        forms, lost = ((x + x.transpose(0, 2, 1)) / 2 for x in (forms, lost))
        places = undecided[used]
        return _Weighed(forms, lost * SLACK, used, known.known.largest[places], known.sizes.sizes[places], count)

    @staticmethod
    def joined(parts: list[_Weighed]) -> _Weighed:
        """All facts, in the order of the parts."""
        offset, used = 0, [np.zeros(0, dtype=int)]
        for part in parts:
            used.append(part.used + offset)
            offset += part.count
        forms, errors = (
            np.concatenate([np.zeros((0, 3, 3)), *some])
            for some in ([part.forms for part in parts], [part.errors for part in parts])
        )
        v, z = (np.concatenate([np.zeros(0), *some]) for some in ([x.v for x in parts], [x.z for x in parts]))
        return _Weighed(forms, errors, np.concatenate(used), v, z, offset)

    def charge(self, errors: Array) -> float:
        """How much less the facts may be on the piece: for the errors of forms, and of preactivations."""
        most = np.stack([np.ones_like(self.v), self.v, self.z], axis=1)
        rounding = np.einsum("nij,ni,nj->n", self.errors, most, most)
        size = np.abs(self.forms[:, 1])
        rows = errors * (2 * size[:, 0] + 2 * size[:, 2] * self.z + size[:, 1] * (2 * self.v + errors))
        return float(np.sum(rounding + rows)) * SLACK


def _factors(known: Neurons, neurons: Array, kinked: Array, p: Array, q: Array) -> tuple[Array, Array]:
    """Two affine functions of (1, v, z) for each fact, which is their product; (neurons, facts, 3) each.

    `p` and `q` have the slopes and constants of the pieces on the left and on the right of a kink.
    """
    count = len(neurons)
    low, high = known.known.low[neurons], known.known.high[neurons]
    lines = known.lines
    below, above = (np.stack([lines.slopes[k][neurons], lines.values[k][neurons]], axis=1) for k in (0, 1))
    sign = np.where(q[:, 0] > p[:, 0], 1.0, -1.0)
    chord = np.where(sign[:, None] > 0, above, below)
    # The activation is between `upper` and `lower`: on one side of both pieces for a kink, else between two lines.
    first, second = (np.where(kinked[:, None], *pair) for pair in ((p, above), (q, below)))
    one, zero = np.ones(count), np.zeros(count)
    unit = np.stack([one, zero, zero], axis=1)

    def beyond(line: Array, factor: Array) -> Array:
        """`factor (z - line)`."""
        return np.stack([-factor * line[:, 1], -factor * line[:, 0], factor], axis=1)

    left = [
        beyond(first, -one),
        np.where(kinked[:, None], beyond(p, sign), beyond(below, one)),
        np.where(kinked[:, None], beyond(q, sign), beyond(above, -one)),
        beyond(chord, -sign),
        beyond(q, sign),
        beyond(p, sign),
    ]
    right = [
        beyond(second, one),
        unit,
        unit,
        unit,
        np.stack([-low, one, zero], axis=1),
        np.stack([high, -one, zero], axis=1),
    ]
    return np.stack(left, axis=1), np.stack(right, axis=1)


@dataclass(frozen=True, eq=False)
class _Ellipsoid:
    """All y with `|y|^2 <= square`, which contains y = (x - center) / scales for all x of the piece.

    `widths` bounds |x - center|; without scales they are ones.
    """

    center: Array
    scales: Array | None
    widths: Array
    square: float

    @staticmethod
    def of(state: State, step: QuadraticStep) -> _Ellipsoid:
        """That of a step; raises `Rejected` if it has none."""
        region = state.region
        if step.scales is None:
            if region.center is None:
                raise Rejected("the region has no ball, and the step no scales")
            center = np.array(region.center)
            return _Ellipsoid(center, None, np.full(len(center), region.radius), region.radius**2)
        scales, center = np.array(step.scales), state.low / 2 + state.high / 2
        widths = np.nextafter(np.maximum(state.high - center, center - state.low), np.inf)
        ratios = widths / scales
        return _Ellipsoid(center, scales, widths, float(ratios @ ratios) * (1 + gamma(len(scales) + 4)) + TINY)

    def centred(self, rows: AffineRows) -> AffineRows:
        """The rows in terms of y."""
        n = len(self.center)
        shift = rows.inputs @ self.center
        constant = rows.constant + shift
        errors = rows.errors + total(rows.inputs, gamma(n + 2) * np.abs(self.center)) + U * np.abs(constant)
        if self.scales is None:
            return AffineRows(constant, rows.inputs, rows.neurons, errors * SLACK)
        underflow = 1e-323 * float(np.sum(self.widths / self.scales)) + 1e-322 * n
        errors = errors + total(rows.inputs, U * self.widths) + underflow
        return AffineRows(constant, rows.inputs * self.scales, rows.neurons, errors * SLACK)


def _prove(rows: AffineRows, facts: _Weighed, ball: float, constant: float, charge: float) -> None:
    """Prove M positive semidefinite, whose entry for the constant is at least `constant - charge` and what rows add."""
    inputs = rows.inputs
    reading = np.flatnonzero(np.any(inputs != 0, axis=1))
    if len(reading) < inputs.shape[1]:
        inputs = np.zeros((len(inputs), len(reading)))
        inputs[reading] = input_factor(rows.inputs[reading], np.zeros((len(reading), rows.inputs.shape[1])))
    matrix = np.hstack([rows.constant[:, None], inputs, rows.neurons])
    n, own = matrix.shape[1], 1 + inputs.shape[1] + facts.used
    forms = facts.forms
    diagonal = np.zeros(n)
    diagonal[0], diagonal[1 : 1 + inputs.shape[1]] = constant, ball
    diagonal[own] = -forms[:, 2, 2]
    first, matrix = matrix[0], matrix[1:]
    square, mixed = -forms[:, 1, 1], -forms[:, 1, 2]
    approximate = diagonal + square @ (matrix * matrix)
    approximate[own] += 2 * mixed * matrix[np.arange(len(own)), own]
    approximate[0] += first[0] - 2 * float(forms[:, 0, 1] @ matrix[:, 0]) - charge
    read = (first != 0) | np.any(matrix != 0, axis=0) | (diagonal != 0)
    read[0], read[own] = True, True
    kept = np.flatnonzero(read)
    if not np.all(np.isfinite(approximate)) or np.any(approximate[kept] <= 0):
        raise Rejected("the matrix is not proved positive definite: an entry of its diagonal is not positive")
    down = np.zeros(n)
    down[kept] = np.ldexp(1.0, -np.rint(np.log2(approximate[kept]) / 2).astype(int))
    scaled, linear = matrix * down, first * down
    # Rows of `pairs` are multiplied by those of `scaled`, both ways.
    pairs = np.zeros_like(scaled)
    pairs[:, 0] = -forms[:, 0, 1] * down[0]
    pairs[np.arange(len(own)), own] += mixed * down[own]
    edge = np.zeros(n)
    edge[own] = -forms[:, 0, 2] * down[own]
    edge = (edge + linear / 2) * down[0]
    if not all(np.all(np.abs(x) <= LARGEST) for x in (scaled, linear, pairs, edge)):
        raise Rejected(RANGE)
    heavy = 1 + float(np.abs(square).max(initial=0.0)) + float(down.max())

    result = scaled.T @ (square[:, None] * scaled)
    cross = pairs.T @ scaled
    result += cross + cross.T
    result[0] += edge
    result[:, 0] += edge
    result.reshape(-1)[:: n + 1] += diagonal * down * down
    ones = np.ones(n)
    size, other = total(scaled, ones), total(pairs, ones)
    sizes = total(scaled.T, np.abs(square) * size + other) + total(pairs.T, size)
    sizes += np.abs(edge) + np.abs(diagonal) * down * down
    sizes[0] += float(np.abs(edge).sum())
    lost = gamma(len(scaled) + 12) * sizes * SLACK + n * (n + len(scaled)) * UNDERFLOW * heavy
    lost[0] += charge * down[0] * down[0] * SLACK
    if not is_definite(result[np.ix_(kept, kept)], lost[kept] * SLACK):
        raise Rejected("the matrix is not proved positive definite")
