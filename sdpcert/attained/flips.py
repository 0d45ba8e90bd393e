"""Moves to neighbouring linear pieces: switch the neurons over whose kink the Jacobian grows.

Switching neuron i changes the Jacobian by the rank-one matrix `d q_i p_i'`: d the change of slope, q_i what the outputs
gain by the neuron, p_i the gradient of its preactivation. With the leading singular pair u, v of value s the square
`s^2 + 2 d s (u'q_i) (p_i'v) + d^2 (u'q_i)^2 |p_i|^2` is a lower bound of the new one, for every i at once.
A point of the new piece is looked for where the other neurons keep their signs: the step is the shortest in the metric
`sum_j (p_j'step / z_j)^2`, in which every kink is at distance one or more. Neurons that had better switch are left
out of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import get_lapack_funcs

from sdpcert.attained.derivatives import stretch
from sdpcert.attained.domain import Domain
from sdpcert.attained.maps import SearchedMap, norms

Array = np.ndarray
SOLVE, SOLVE_TRIANGULAR = get_lapack_funcs(("posv", "trtrs"), (np.zeros(1),))
#: Single switches that are tried at once; sets of the best of them are tried too.
TRIED = 16
#: Steps in random directions that are tried too, from a tenth of the metric's unit to ten units long.
RANDOM = 16
#: Points that are tried in all, at most: single switches, the best 2, 4, 8 and 16 together, and random steps.
CANDIDATES = TRIED + 4 + RANDOM
#: Power iterations on every candidate.
ITERATIONS = 1
#: How far a step goes over the kink, relative to the distance of the kink.
BEYOND = 0.05
#: The weight of the step's own length in the metric.
RIDGE = 1e-4
#: Relative growth that counts.
GROWTH = 1e-9


@dataclass(frozen=True, eq=False)
class Piece:
    """The linear piece around a point: what every neuron reads (`values`), and gradients of that (`gradients`)."""

    values: Array
    gradients: Array
    slopes: list[Array]
    changes: Array


def piece_at(searched: SearchedMap, point: Array) -> Piece:
    """The linear piece around a point, with the change of slope if the sign of a neuron were another."""
    values: list[Array] = []
    slopes: list[Array] = []
    changes: list[Array] = []
    gradients: list[Array] = []

    def forward(group: int, rows: Array) -> Array:
        neurons = searched.groups[group]
        slope = neurons.derivative(rows)
        values.append(rows.ravel())
        slopes.append(slope)
        changes.append((neurons.derivative(-rows) - slope).ravel() * neurons.kink_at_zero)
        return neurons(rows)

    def linear(group: int, rows: Array) -> Array:
        gradients.append(rows.reshape(len(rows), -1))
        return rows * slopes[group]

    searched.sweep(point[None], 1, forward)
    searched.sweep(np.eye(searched.inputs), 0, linear)
    return Piece(np.concatenate(values), np.concatenate(gradients, axis=1), slopes, np.concatenate(changes))


def switch(
    searched: SearchedMap,
    point: Array,
    direction: Array,
    reached: float,
    domain: Domain,
    generator: np.random.Generator,
) -> tuple[Array, Array, float] | None:
    """A point of a neighbouring piece, its direction and the norm reached there; None where nothing grows."""
    piece = piece_at(searched, point)
    weights: list[Array] = []

    def backward(group: int, rows: Array) -> Array:
        weights.append(rows.ravel())
        return rows * piece.slopes[group]

    image = searched.sweep(direction[None], 0, lambda group, rows: rows * piece.slopes[group])[0]
    length = float(np.sqrt(image @ image))
    if not 0 < length < np.inf:
        return None
    searched.back((image / length)[None], backward)
    moved = piece.changes * np.concatenate(weights[::-1])
    tangents = direction @ piece.gradients
    squares = np.einsum("ij,ij->j", piece.gradients, piece.gradients)
    gain = 2 * length * moved * tangents + moved * moved * squares
    gain = np.where(domain.reaches(point, piece.values, piece.gradients), gain, 0.0)
    candidates = steps_over(piece, gain, float(norms(point[None])[0]), generator, domain.centring(point))
    if candidates is None:
        return None
    points = domain.project(point + candidates)
    directions, found = stretch(searched, points, np.broadcast_to(direction, points.shape), ITERATIONS)
    best = int(np.argmax(found))
    if not found[best] > reached * (1 + GROWTH):
        return None
    return points[best], directions[best], float(found[best])


def steps_over(
    piece: Piece,
    gain: Array,
    size: float,
    generator: np.random.Generator,
    centring: tuple[Array, Array] | None = None,
) -> Array | None:
    """Steps (rows) that switch the neurons of largest `gain`, one by one and the best few together, and random ones.

    With `centring`, a diagonal to add to the metric and the step to the middle of the domain, a step is the one that
    ends nearest to there. None where no neuron is worth switching, or the metric is singular.
    """
    chosen = np.argsort(-gain, kind="stable")[:TRIED]
    chosen = chosen[(gain[chosen] > 0) & (piece.values[chosen] != 0)]
    if not len(chosen):
        return None
    gradients, values = piece.gradients, piece.values
    near = np.maximum(np.abs(values), 1e-9 * float(np.max(np.abs(values))))
    scaled = gradients * np.where(gain > 0, 0.0, 1.0 / near)
    metric = scaled @ scaled.T
    diagonal = np.einsum("ii->i", metric)
    if centring is not None:
        diagonal += centring[0]
        pulled = centring[0] * centring[1]
    else:
        diagonal += RIDGE * max(float(np.mean(diagonal)), 1.0 / size**2 if size > 0 else 1.0)
        pulled = None
    sides = gradients[:, chosen] if pulled is None else np.column_stack([gradients[:, chosen], pulled])
    factor, solved, failed = SOLVE(metric, sides, lower=1)
    if failed or not np.all(np.isfinite(solved)):
        return None
    over = -(1 + BEYOND) * values[chosen]
    start = np.zeros(len(gradients))
    if pulled is not None:
        solved, start = solved[:, :-1], solved[:, -1]
        over = over - start @ gradients[:, chosen]
    moves = gradients[:, chosen].T @ solved
    steps = [(solved * (over / np.diagonal(moves))).T]
    count = 2
    while count <= len(chosen):
        _, amounts, failed = SOLVE(moves[:count, :count], over[:count], lower=1)
        if not failed:
            steps.append((solved[:, :count] @ amounts)[None])
        count *= 2
    reach = 10.0 ** generator.uniform(-1, 1, RANDOM)
    anywhere, failed = SOLVE_TRIANGULAR(
        factor, generator.standard_normal((len(metric), RANDOM)) * reach, lower=1, trans=1
    )
    if not failed:
        steps.append(anywhere.T)
    rows = np.concatenate(steps) if pulled is None else np.concatenate(steps) + start
    return rows[np.all(np.isfinite(rows), axis=1)]
