"""A feasible point of the dual problem from an approximate one, and the lower bound on the optimum that it gives.

A dual matrix X = Y Y' assigns a vector y_j to every coordinate. It is feasible when the input's vectors have squares
that sum to one and when every variable's neurons satisfy `sum_i (y_i - alpha_i v_i) . (y_i - beta_i v_i) <= 0` with
`v_i = sum_j K_ij y_j`: for one neuron, y_i lies in the ball with the diameter from alpha_i v_i to beta_i v_i. A
forward sweep that projects onto these balls makes any X feasible, at any depth, and its value `|F Y|^2` is at most
the optimum rho.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.arithmetic.unseen import numbers_of
from sdpcert.condition.conditions import Conditions, stages
from sdpcert.condition.inequality import Inequality, Metric

Matrix = Any
#: Room left for the rounding of the sweep, relative.
ROUNDING = 1e-13


def feasible_dual_value(condition: Conditions, factors: Sequence[Matrix]) -> float:
    """The value `|F Y|^2` after the rows of the factors (X = factor factor*, one an inequality) were projected.

    Inequalities of one stage share multipliers, so a neuron's vector is made of its rows in all of them. The output
    of a stage passes its squares, by metric variable, on to the input of the next. 0 where X vanishes on an input.
    The factors are arrays of the condition's library; what is looked at are two transfers and one more for every stage
    after the first.
    The factors are copied once.
    """
    arrays = condition.arrays
    amounts = arrays.zeros(condition.variables)
    amounts[0] = 1.0
    values, first = [], 0
    for stage in stages(condition):
        vectors = [factor + 0.0 for factor in factors[first : first + len(stage)]]
        first += len(stage)
        if not _rescale_input(arrays, stage, vectors, amounts):
            return 0.0
        for g in range(1, len(stage[0].slices)):
            _project_group(arrays, stage, vectors, g)
        for part, y in zip(stage, vectors, strict=True):
            for metric in part.metrics:
                if metric.sign < 0:
                    amounts[metric.variables] += _squares(metric, y)
            if part.output_blocks:
                total: Any = sum(block @ y[part.slices[s]] for s, block in part.output_blocks.items())
                values.append((abs(total) ** 2).sum())
    value = sum(numbers_of(values).seen(arrays))
    return value * (1 - ROUNDING) if isfinite(value) else 0.0


def _squares(metric: Metric, vectors: Matrix) -> Matrix:
    squares = (abs(vectors[metric.coordinates]) ** 2).sum(1)
    return squares if metric.share is None else metric.share @ squares


def _rescale_input(arrays: Arrays, stage: list[Inequality], vectors: list[Matrix], amounts: Matrix) -> bool:
    """Give the input's vectors the sum of squares that each metric variable has; False where they vanish."""
    found = arrays.zeros(len(amounts))
    for part, y in zip(stage, vectors, strict=True):
        for metric in part.metrics:
            if metric.sign > 0:
                found[metric.variables] += _squares(metric, y)
    runs = _read(stage, len(amounts))
    missing = (found == 0) & (amounts > 0)
    flags = [(found < inf).all(), (found > 0).any(), *(missing[run].any() for run in runs)]
    finite, some, *missed = numbers_of(flags).seen(arrays)
    if not (finite and some) or any(missed):
        return False
    # All vectors together first: what follows projects them, so their size beside the input's matters.
    overall = arrays.sqrt(sum(amounts[run].sum() for run in runs) / found.sum())
    scale = arrays.sqrt(arrays.where(found > 0, amounts, 0.0) / arrays.where(found > 0, found, 1.0)) / overall
    for part, y in zip(stage, vectors, strict=True):
        y *= overall
        for metric in part.metrics:
            if metric.sign > 0:
                each = scale[metric.variables]
                each = each if metric.share is None else metric.share.T @ each
                y[metric.coordinates] *= each[:, None]
    return True


def _read(stage: list[Inequality], variables: int) -> list[slice]:
    """The variables that measure the input of a stage, in runs."""
    read = np.zeros(variables, dtype=bool)
    for part in stage:
        for metric in part.metrics:
            if metric.sign > 0:
                read[metric.variables] = True
    edges = np.flatnonzero(np.diff(read, prepend=False, append=False)).tolist()
    return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _project_group(arrays: Arrays, stage: list[Inequality], vectors: list[Matrix], g: int) -> None:
    rows = stage[0].rows[g]
    alpha, beta = stage[0].alpha[rows], stage[0].beta[rows]
    reach, length, moves = arrays.zeros(len(alpha)), arrays.zeros(len(alpha)), []
    for part, y in zip(stage, vectors, strict=True):
        centre = arrays.zeros(len(alpha), y.shape[1], like=y)
        for (to, s), block in part.blocks.items():
            if to == g:
                centre += block @ y[part.slices[s]]
        reach += ((beta - alpha) / 2) ** 2 * (abs(centre) ** 2).sum(1)
        centre *= ((alpha + beta) / 2)[:, None]
        distance = y[part.slices[g]]  # a view: y changes in place
        distance -= centre
        length += (abs(distance) ** 2).sum(1)
        moves.append((centre, distance))
    if stage[0].per_group:  # only the sum over the group is constrained
        reach, length = (arrays.zeros(len(v)) + v.sum() for v in (reach, length))
    reach, length = arrays.sqrt(reach) * (1 - ROUNDING), arrays.sqrt(length)
    longer = length > reach
    shrink = arrays.where(longer, reach, 1.0) / arrays.where(longer, length, 1.0)
    for centre, distance in moves:
        distance *= shrink[:, None]
        distance += centre
