"""A bound of one preactivation on a piece by weighed quadratic facts, proved in floating point; needs NumPy.

With w = (1, y, z), y the inputs in the coordinates of an ellipsoid and z the undecided neurons, the step states
multipliers for which w'Mw, the preactivation minus its bound and minus all facts, has to be nonnegative everywhere.
Rows of preactivations and coefficients of facts are rounded as it comes; what that changes on the piece is bounded and
taken off the constant. M itself is formed with bounds of the row sums of its errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
#: How often errors count that are mostly of uncertain weights: integers may bound them less sharply by a third.
CAUTION = 2.0
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
        errors = rows.errors * (CAUTION if state.network.uncertain else 1.0)
        squared = step.ball * sphere.square
        constants.append(-squared)
        charges += [gamma(2) * squared, float(errors[0]), facts.charge(errors[1:])]
        summands = np.concatenate([constants, -facts.forms[:, 0, 0]])
        charges.append(gamma(len(summands)) * float(np.abs(summands).sum()))
        _prove(rows, facts, step.ball, float(summands.sum()), sum(charges) * SLACK)


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
            return _Ellipsoid(center, None, np.full(len(center), region.radius), region.radius * region.radius)
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


def _narrowed(rows: AffineRows) -> AffineRows:
    """The same rows, or others of fewer inputs that take more values on the ball."""
    reading, inputs = np.flatnonzero(np.any(rows.inputs != 0, axis=1)), rows.inputs.shape[1]
    if len(reading) >= inputs:
        return rows
    narrow = np.zeros((len(rows.inputs), len(reading)))
    narrow[reading] = input_factor(rows.inputs[reading], np.zeros((len(reading), inputs)))
    return replace(rows, inputs=narrow)


def _prove(rows: AffineRows, facts: _Weighed, ball: float, constant: float, charge: float) -> None:
    """Prove M definite; `constant`, up to `charge`, is what its first entry has that rows do not bring."""
    rows = _narrowed(rows)
    whole = np.hstack([rows.constant[:, None], rows.inputs, rows.neurons])
    first, matrix = whole[0], whole[1:]
    n, inputs = len(first), rows.inputs.shape[1]
    own = 1 + inputs + facts.used
    # Factors of v v', of v with the constant and with the neuron itself, and of that with the constant.
    square, single, mixed, edge = (-facts.forms[:, i, j] for i, j in ((1, 1), (0, 1), (1, 2), (0, 2)))
    diagonal = np.concatenate([[constant], np.full(inputs, ball), np.zeros(n - 1 - inputs)])
    diagonal[own] = -facts.forms[:, 2, 2]
    approximate = diagonal + square @ (matrix * matrix)
    approximate[0] += first[0] + 2 * single @ matrix[:, 0] - charge
    kept = (first != 0) | np.any(matrix != 0, axis=0) | (diagonal != 0)
    kept[0], kept[own] = True, True
    if not np.all(np.isfinite(approximate)) or np.any(approximate[kept] <= 0):
        raise Rejected("the matrix is not proved positive definite: an entry of its diagonal is not positive")
    down = np.zeros(n)
    down[kept] = np.ldexp(1.0, -np.rint(np.log2(approximate[kept]) / 2).astype(int))
    scaled, border = matrix * down, first * down / 2
    border[own] += edge * down[own]
    border, single, mixed = border * down[0], single * down[0], mixed * down[own]
    diagonal = diagonal * down * down
    if not all(np.all(np.abs(x) <= LARGEST) for x in (scaled, border, single, mixed)):
        raise Rejected(RANGE)

    result = scaled.T @ (square[:, None] * scaled)
    rest = mixed[:, None] * scaled
    result[own] += rest
    result[:, own] += rest.T
    border_and_rows = border + single @ scaled
    result[0] += border_and_rows
    result[:, 0] += border_and_rows
    result.reshape(-1)[:: n + 1] += diagonal
    # Row sums of the absolute values of all that is added up.
    size = total(scaled, np.ones(n))
    sizes = total(scaled.T, np.abs(square) * size + np.abs(single) + np.abs(mixed)) + np.abs(border) + np.abs(diagonal)
    sizes[own] += np.abs(mixed) * size
    sizes[0] += float(np.abs(single) @ size + np.abs(border).sum())
    underflow = UNDERFLOW * (1 + float(np.abs(square).max(initial=0.0)) + float(down.max()))
    lost = gamma(len(scaled) + 12) * sizes * SLACK + n * (n + len(scaled)) * underflow
    lost[0] += charge * down[0] * down[0]
    if not is_definite(result[np.ix_(kept, kept)], lost[kept] * SLACK):
        raise Rejected("the matrix is not proved positive definite")
