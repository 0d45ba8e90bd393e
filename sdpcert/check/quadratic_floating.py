"""A bound of one preactivation on a piece by weighed quadratic facts, proved in floating point; needs NumPy.

With w = (1, y, z), y the inputs in the coordinates of an ellipsoid and z the undecided neurons, the step states
multipliers for which w'Mw, the preactivation minus its bound and minus all facts, has to be nonnegative everywhere.
Rows of preactivations and coefficients of facts are rounded as it comes; what that changes on the piece is bounded and
taken off the constant. M itself is formed with bounds of the row sums of its errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .affine_floating import AffineRows, Ellipsoid, affine_rows
from .condition_floating import UNDERFLOW, input_factor
from .facts_floating import WeighedFacts
from .pieces import QuadraticStep
from .reading import Rejected
from .rounding import RANGE, SLACK, TINY, U, gamma, is_definite, total
from .state_floating import State

Array = np.ndarray

#: How often errors count that are mostly of uncertain weights: integers may bound them less sharply by a third.
CAUTION = 2.0
#: Entries of scaled rows, beyond which underflow may matter.
LARGEST = 1e30


def prove_quadratic(state: State, step: QuadraticStep) -> None:
    """Prove the bound of a step on a piece; raises `Rejected` if it is not proved."""
    if not state.region.bounded:
        raise Rejected("quadratic bounds need a region with ends")
    with np.errstate(all="ignore"):  # what overflows proves nothing
        below = state.neurons[: step.group - 1]
        undecided = [neurons.undecided for neurons in below]
        by_group = [
            WeighedFacts.of(neurons, places, weights, g)
            for g, (neurons, places, weights) in enumerate(zip(below, undecided, step.multipliers, strict=True), 1)
        ]
        used = [places[facts.used] for places, facts in zip(undecided, by_group, strict=True)]
        target, ellipsoid = _Target.of(state, step), Ellipsoid.of(state, step)
        rows = ellipsoid.centred(affine_rows(state, target.coefficients, undecided, used))
        errors = rows.errors * (CAUTION if state.network.uncertain else 1.0)
        facts = WeighedFacts.joined(by_group[::-1])  # in the order of the rows
        ball = step.ball * ellipsoid.square
        constants = np.concatenate([target.constants, [-ball], -facts.forms[:, 0, 0]])
        charge = target.error + float(errors[0]) + facts.charge(errors[1:]) + gamma(2) * ball + TINY
        charge += gamma(len(constants)) * float(np.abs(constants).sum())
        _prove(rows, facts, step.ball, float(constants.sum()), charge * SLACK)


@dataclass(frozen=True, eq=False)
class _Target:
    """What is bounded, minus its bound and the weighed decisions: coefficients of preactivations by group, constants.

    `error` bounds that of all of them together.
    """

    coefficients: dict[int, Array]
    constants: list[float]
    error: float

    @staticmethod
    def of(state: State, step: QuadraticStep) -> _Target:
        """That of a step; raises `Rejected` if it weighs a decision that is not below its group."""
        network, sign, error = state.network, 1.0 if step.side == "low" else -1.0, 0.0
        found, constants = {step.group: np.zeros(network.sizes[step.group])}, [-sign * step.value]
        found[step.group][step.neuron] = sign
        weights = [0.0] * len(state.decisions) if step.decisions is None else list(step.decisions)
        for decision, weight in zip(state.decisions, weights, strict=True):
            if not weight:
                continue
            if decision.group >= step.group:
                raise Rejected(f"a decision on group {decision.group} has a weight, for a bound of group {step.group}")
            row = found.setdefault(decision.group, np.zeros(network.sizes[decision.group]))
            row[decision.neuron] -= weight * decision.sign
            constants.append(weight * decision.sign * decision.at)
            size = abs(row[decision.neuron]) * state.neurons[decision.group - 1].known.largest[decision.neuron]
            error += U * (float(size) + abs(constants[-1])) * SLACK + TINY
        return _Target(found, constants, error)


def _narrowed(rows: AffineRows) -> AffineRows:
    """The same rows, or others of fewer inputs that take more values on the ball."""
    reading, inputs = np.flatnonzero(np.any(rows.inputs != 0, axis=1)), rows.inputs.shape[1]
    if len(reading) >= inputs:
        return rows
    narrow = np.zeros((len(rows.inputs), len(reading)))
    narrow[reading] = input_factor(rows.inputs[reading], np.zeros((len(reading), inputs)))
    return replace(rows, inputs=narrow)


def _prove(rows: AffineRows, facts: WeighedFacts, ball: float, constant: float, charge: float) -> None:
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
