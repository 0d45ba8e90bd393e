"""A feasible point of the dual problem from an approximate one, and the lower bound on the optimum that it gives.

A dual matrix X = Y Y' assigns a vector y_j to every coordinate. It is feasible when the input's vectors have squares
that sum to one and when every variable's neurons satisfy `sum_i (y_i - alpha_i v_i) . (y_i - beta_i v_i) <= 0` with
`v_i = sum_j K_ij y_j`: for one neuron, y_i lies in the ball with the diameter from alpha_i v_i to beta_i v_i. A
forward sweep that projects onto these balls makes any X feasible, at any depth, and its value `|F Y|^2` is at most
the optimum rho.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdpcert.condition.conditions import Conditions, stages
from sdpcert.condition.inequality import Inequality, Metric

Array = np.ndarray
#: Room left for the rounding of the sweep, relative.
ROUNDING = 1e-13


def feasible_dual_value(condition: Conditions, factors: Sequence[Any]) -> float:
    """The value `|F Y|^2` after the rows of the factors (X = factor factor*, one an inequality) were projected.

    Inequalities of one stage share multipliers, so a neuron's vector is made of its rows in all of them. The output
    of a stage passes its squares, by metric variable, on to the input of the next. 0 where X vanishes on an input.
    Factors are matrices of the condition's library, and copied once.
    """
    to_numpy = condition.arrays.numpy
    amounts = np.zeros(condition.variables)
    amounts[0] = 1.0
    value, first = 0.0, 0
    for stage in stages(condition):
        vectors = [to_numpy(factor) for factor in factors[first : first + len(stage)]]
        first += len(stage)
        if not _rescale_input(stage, vectors, amounts, to_numpy):
            return 0.0
        for g in range(1, len(stage[0].slices)):
            _project_group(stage, vectors, g, to_numpy)
        for part, y in zip(stage, vectors, strict=True):
            for metric in part.metrics:
                if metric.sign < 0:
                    amounts[metric.variables] += _squares(metric, y, to_numpy)
            if part.output_blocks:
                total = sum(to_numpy(block) @ y[part.slices[s]] for s, block in part.output_blocks.items())
                value += float(np.sum(np.square(np.abs(total))))
    return value * (1 - ROUNDING) if np.isfinite(value) else 0.0


def _squares(metric: Metric, vectors: Array, to_numpy: Callable[[Any], Array]) -> Array:
    squares = _row_squares(vectors[metric.coordinates])
    return squares if metric.share is None else to_numpy(metric.share) @ squares


def _rescale_input(
    stage: list[Inequality], vectors: list[Array], amounts: Array, to_numpy: Callable[[Any], Array]
) -> bool:
    """Give the input's vectors the sum of squares that each metric variable has; False where they vanish."""
    found = np.zeros(len(amounts))
    for part, y in zip(stage, vectors, strict=True):
        for metric in part.metrics:
            if metric.sign > 0:
                found[metric.variables] += _squares(metric, y, to_numpy)
    read = _read(stage, len(amounts))
    usable = np.all(np.isfinite(found)) and np.any(found > 0)
    if not usable or np.any((found == 0) & (amounts > 0) & read):
        return False
    # All vectors together first: what follows projects them, so their size beside the input's matters.
    overall = np.sqrt(amounts[read].sum() / found.sum())
    scale = np.sqrt(np.divide(amounts, found, out=np.zeros_like(found), where=found > 0)) / overall
    for part, y in zip(stage, vectors, strict=True):
        y *= overall
        for metric in part.metrics:
            if metric.sign > 0:
                each = scale[metric.variables]
                each = each if metric.share is None else to_numpy(metric.share).T @ each
                y[metric.coordinates] *= each[:, None]
    return True


def _read(stage: list[Inequality], variables: int) -> Array:
    read = np.zeros(variables, dtype=bool)
    for part in stage:
        for metric in part.metrics:
            if metric.sign > 0:
                read[metric.variables] = True
    return read


def _project_group(stage: list[Inequality], vectors: list[Array], g: int, to_numpy: Callable[[Any], Array]) -> None:
    rows = stage[0].rows[g]
    alpha, beta = to_numpy(stage[0].alpha)[rows], to_numpy(stage[0].beta)[rows]
    reach, length, moves = np.zeros(len(alpha)), np.zeros(len(alpha)), []
    for part, y in zip(stage, vectors, strict=True):
        centre = np.zeros((len(alpha), y.shape[1]), dtype=y.dtype)
        for (to, s), block in part.blocks.items():
            if to == g:
                centre += to_numpy(block) @ y[part.slices[s]]
        reach += np.square((beta - alpha) / 2) * _row_squares(centre)
        centre *= ((alpha + beta) / 2)[:, None]
        distance = y[part.slices[g]]
        distance -= centre
        length += _row_squares(distance)
        moves.append((centre, distance))
    if stage[0].per_group:  # only the sum over the group is constrained
        reach, length = (np.full(len(reach), v.sum()) for v in (reach, length))
    reach, length = np.sqrt(reach) * (1 - ROUNDING), np.sqrt(length)
    shrink = np.divide(reach, length, out=np.ones_like(reach), where=length > reach)
    for centre, distance in moves:
        distance *= shrink[:, None]
        distance += centre


def _row_squares(matrix: Array) -> Array:
    """The squared norms of the rows, without another matrix."""
    return np.einsum("ij,ij->i", matrix, matrix.conj()).real
