"""Moves to neighbouring linear pieces: switch the neurons over whose kink the Jacobian grows.

Switching neuron i changes the Jacobian by the rank-one matrix `d q_i p_i'`: d the change of slope, q_i what the outputs
gain by the neuron, p_i the gradient of its preactivation. With the leading singular pair u, v of value s the square
`s^2 + 2 d s (u'q_i) (p_i'v) + d^2 (u'q_i)^2 |p_i|^2` is a lower bound of the new one, for every i at once.
A point of the new piece is looked for where the other neurons keep their signs: the step is the shortest in the metric
`sum_j (p_j'step / z_j)^2`, in which every kink is at distance one or more. Neurons that had better switch are left
out of the sum. Many points are moved at once: what a call of NumPy costs beside its arithmetic is paid once for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import get_lapack_funcs

from sdpcert.attained.derivatives import stretch
from sdpcert.attained.domain import Domain
from sdpcert.attained.maps import SearchedMap, norms, unit

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
class Pieces:
    """The linear pieces around points: what every neuron reads, (points, neurons), and the gradients of that, (points,
    inputs, neurons).
    """

    values: Array
    gradients: Array
    slopes: list[Array]
    changes: Array


def pieces_at(searched: SearchedMap, points: Array) -> Pieces:
    """The linear pieces around points (rows), with the change of slope if the sign of a neuron were another."""
    count, inputs = points.shape
    values: list[Array] = []
    slopes: list[Array] = []
    changes: list[Array] = []
    gradients: list[Array] = []

    def forward(group: int, rows: Array) -> Array:
        neurons = searched.groups[group]
        slope = neurons.derivative(rows)
        values.append(rows.reshape(count, -1))
        slopes.append(slope)
        changes.append((neurons.derivative(-rows) - slope).reshape(count, -1) * neurons.kink_at_zero)
        return neurons(rows)

    def linear(group: int, rows: Array) -> Array:
        gradients.append(rows.reshape(count, inputs, -1))
        return rows * np.repeat(slopes[group], inputs, axis=0)

    searched.sweep(points, count, forward)
    searched.sweep(np.tile(np.eye(inputs), (count, 1)), 0, linear)
    return Pieces(np.concatenate(values, axis=1), np.concatenate(gradients, axis=2), slopes, np.concatenate(changes, 1))


@dataclass(frozen=True, eq=False)
class Moved:
    """Points of neighbouring pieces (rows), their directions and the norms reached there; as they were where nothing
    grows, which `grown` says.
    """

    points: Array
    directions: Array
    values: Array
    grown: Array


def switch(
    searched: SearchedMap,
    points: Array,
    directions: Array,
    reached: Array,
    domain: Domain,
    generator: np.random.Generator,
) -> Moved:
    """Every point (row) moved to the best neighbouring piece that is found."""
    count, inputs = points.shape
    pieces = pieces_at(searched, points)
    weights: list[Array] = []

    def backward(group: int, rows: Array) -> Array:
        weights.append(rows.reshape(count, -1))
        return rows * pieces.slopes[group]

    image = searched.sweep(directions, 0, lambda group, rows: rows * pieces.slopes[group])
    lengths = norms(image)
    searched.back(unit(image), backward)
    moved = pieces.changes * np.concatenate(weights[::-1], axis=1)
    tangents = (directions[:, None] @ pieces.gradients)[:, 0]
    squares = np.einsum("kij,kij->kj", pieces.gradients, pieces.gradients)
    gain = 2 * lengths[:, None] * moved * tangents + moved * moved * squares
    gain = np.where(domain.reaches(points, pieces.values, pieces.gradients), gain, 0.0)
    steps, tried = steps_over(pieces, gain, norms(points), generator, domain.centring(points))
    ends = domain.project((points[:, None] + steps).reshape(-1, inputs))
    turned, found = stretch(searched, ends, np.repeat(directions, CANDIDATES, axis=0), ITERATIONS)
    found = np.where(tried, found.reshape(count, CANDIDATES), 0.0)
    best = np.argmax(found, axis=1)
    chosen = np.arange(count) * CANDIDATES + best
    found = found[np.arange(count), best]
    grown = found > reached * (1 + GROWTH)
    return Moved(
        np.where(grown[:, None], ends[chosen], points),
        np.where(grown[:, None], turned[chosen], directions),
        np.where(grown, found, reached),
        grown,
    )


def steps_over(
    pieces: Pieces,
    gain: Array,
    sizes: Array,
    generator: np.random.Generator,
    centring: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """For every point `CANDIDATES` steps, and which of them are any: zero where they are not.

    They switch the neurons of largest `gain`, one by one and the best few together; others are random. With `centring`,
    a diagonal to add to the metric and the steps to the middle of the domain, a step is the one that ends nearest to
    there.
    """
    gradients, values = pieces.gradients, pieces.values
    count, inputs = gradients.shape[:2]
    chosen = np.argsort(-gain, axis=1, kind="stable")[:, :TRIED]
    near = np.maximum(np.abs(values), 1e-9 * np.max(np.abs(values), axis=1, keepdims=True))
    scaled = gradients * np.where(gain > 0, 0.0, 1.0 / near)[:, None]
    metrics = scaled @ scaled.transpose(0, 2, 1)
    diagonals = np.einsum("kii->ki", metrics)
    if centring is not None:
        diagonals += centring[0]
    else:
        least = np.where(sizes > 0, 1 / np.square(sizes), 1.0)
        diagonals += RIDGE * np.maximum(np.mean(diagonals, axis=1), least)[:, None]
    random = generator.standard_normal((count, inputs, RANDOM)) * 10.0 ** generator.uniform(-1, 1, (count, 1, RANDOM))
    steps = np.zeros((count, CANDIDATES, inputs))
    for k in range(count):
        switched = chosen[k][(gain[k, chosen[k]] > 0) & (values[k, chosen[k]] != 0)]
        if not len(switched):
            continue
        pulled = None if centring is None else centring[0] * centring[1][k]
        found = _steps(metrics[k], gradients[k][:, switched], values[k, switched], random[k], pulled)
        steps[k, : len(found)] = found
    tried = np.all(np.isfinite(steps), axis=2) & np.any(steps, axis=2)
    return np.where(tried[:, :, None], steps, 0.0), tried


def _steps(metric: Array, gradients: Array, values: Array, random: Array, pulled: Array | None) -> Array:
    """The steps (rows) from one point over the kinks of neurons with these values and gradients (columns)."""
    sides = gradients if pulled is None else np.column_stack([gradients, pulled])
    factor, solved, failed = SOLVE(metric, sides, lower=1)
    if failed:
        return np.zeros((0, len(metric)))
    over = -(1 + BEYOND) * values
    start = np.zeros(len(metric))
    if pulled is not None:
        solved, start = solved[:, :-1], solved[:, -1]
        over = over - start @ gradients
    moves = gradients.T @ solved
    steps = [(solved * (over / np.diagonal(moves))).T]
    count = 2
    while count <= len(values):
        _, amounts, failed = SOLVE(moves[:count, :count], over[:count], lower=1)
        if not failed:
            steps.append((solved[:, :count] @ amounts)[None])
        count *= 2
    anywhere, failed = SOLVE_TRIANGULAR(factor, random, lower=1, trans=1)
    if not failed:
        steps.append(anywhere.T)
    rows = np.concatenate(steps)
    return rows if pulled is None else rows + start
