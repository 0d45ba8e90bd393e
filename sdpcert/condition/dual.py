"""A feasible point of the dual problem from an approximate one, and the lower bound on the optimum that it gives.

A dual matrix X = Y Y' assigns a vector y_j to every coordinate. It is feasible when the input's vectors have squares
that sum to one and when every variable's neurons satisfy `sum_i (y_i - alpha_i v_i) . (y_i - beta_i v_i) <= 0` with
`v_i = sum_j K_ij y_j`: for one neuron, y_i lies in the ball with the diameter from alpha_i v_i to beta_i v_i. A
forward sweep that projects onto these balls makes any X feasible, at any depth, and its value `|F Y|^2` is at most
the optimum rho.
"""

from __future__ import annotations

import numpy as np

from sdpcert.condition.matrix import Condition

Array = np.ndarray
#: Room left for the rounding of the sweep, relative.
ROUNDING = 1e-13


def feasible_dual_value(condition: Condition, factor: Array) -> float:
    """The value `|F Y|^2` after the rows of `factor` (X = factor factor') were projected; 0 where X vanishes on
    inputs.
    """
    arrays = condition.arrays
    alpha, beta = arrays.numpy(condition.alpha), arrays.numpy(condition.beta)
    vectors = np.array(factor, dtype=float)
    size = float(np.linalg.norm(vectors[: condition.inputs]))
    if not np.isfinite(size) or size == 0:
        return 0.0
    vectors /= size
    blocks = {key: arrays.numpy(w) for key, w in condition.blocks.items()}
    for g in range(1, len(condition.slices)):
        own, rows = condition.slices[g], condition.rows[g]
        incoming = np.zeros((own.stop - own.start, vectors.shape[1]))
        for (to, s), block in blocks.items():
            if to == g:
                incoming += block @ vectors[condition.slices[s]]
        centre = ((alpha[rows] + beta[rows]) / 2)[:, None] * incoming
        reach = (beta[rows] - alpha[rows]) / 2 * np.linalg.norm(incoming, axis=1) * (1 - ROUNDING)
        distance = vectors[own] - centre
        length = np.linalg.norm(distance, axis=1)
        if condition.per_group:  # only the sum over the group is constrained
            reach, length = (np.full(len(reach), np.linalg.norm(v)) for v in (reach, length))
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = np.where(length > reach, reach / length, 1.0)
        vectors[own] = centre + shrink[:, None] * distance
    total = 0.0
    for s, block in condition.output_blocks.items():
        total = total + arrays.numpy(block) @ vectors[condition.slices[s]]
    value = float(np.sum(np.square(total)))
    return value * (1 - ROUNDING) if np.isfinite(value) else 0.0
