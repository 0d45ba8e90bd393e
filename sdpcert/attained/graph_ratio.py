"""The difference of two runs of a network graph, carried along with its own error bound.

Affine layers map the difference of two runs without their offsets, so its error is relative to the difference and does
not come from the values cancelling. The values of one run are carried too: they say on which piece an activation is.
Errors are bounded twice: entry by entry, where absolute coefficients let them grow, and in norm, which grows by the
norms of the layers only and stays useful in deep networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer
from sdpcert.network.graph import Network

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: What a product may lose by underflow, with room.
UNDERFLOW = 2.0**-1070
#: Room for the rounding of the error bounds themselves.
SLACK = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class _Batch:
    """Tensors that are known up to `error` in every entry, and up to `norm` (one number a tensor) in Euclidean norm.

    The first half of the batch are the values of one run, the second half what the other run differs by.
    """

    center: Array
    error: Array
    norm: Array

    @property
    def finite(self) -> Array:
        """For every pair, whether all its numbers are finite."""
        rows = np.isfinite(self.center) & np.isfinite(self.error)
        whole = np.all(rows.reshape(len(self.center), -1), axis=1)
        first, second = np.split(whole, 2)
        return first & second


def _batch(center: Array, error: Array, norm: Array) -> _Batch:
    """A batch with the better of both bounds in every entry."""
    return _Batch(center, np.minimum(error, _spread(norm, center)), norm)


def sure_difference(
    network: Network, x: Array, x_prime: Array, rows: list[int] | None = None, room: float = 1.0
) -> Array:
    """Vectors whose norms are at most |f(x) - f(x')|, for a batch of pairs of flat inputs.

    The vector of a pair is zero where a number on the way is not finite. Whatever weights lie within the layers'
    `coefficient_error` are meant; `rows` chooses outputs (row major). Every rounding counts `room` times.
    """
    count = len(x)
    step = x - x_prime
    back = step + x_prime
    rounding = np.abs((x - back) - (x_prime - (back - step)))
    center = np.concatenate([x_prime, step]).reshape(2 * count, *network.input_shape)
    error = np.concatenate([np.zeros_like(x), rounding]).reshape(center.shape)
    batches = {0: _batch(center, error, _norms(error))}
    finite = batches[0].finite
    last = network.last_uses
    for number, node in enumerate(network.nodes, start=1):
        if number not in last:
            continue
        given = [batches[k] for k in node.inputs]
        if isinstance(node.layer, AffineLayer):
            batches[number] = _affine(node.layer, given, room)
        else:
            batches[number] = _activate(node.layer, given[0], room)
        finite &= batches[number].finite
        for k in set(node.inputs):
            if last[k] == number:
                del batches[k]
    output = batches[network.output]
    difference = np.abs(output.center[count:]).reshape(count, -1)
    error = output.error[count:].reshape(count, -1)
    if rows is not None:
        difference, error = difference[:, rows], error[:, rows]
    repeated = 1 if rows is None else max(rows.count(r) for r in set(rows))
    entrywise = np.maximum(difference - error * SLACK, 0.0) * (1 - 4 * UNIT_ROUNDOFF)
    whole = _norms(difference, 1 / SLACK)
    left = 1 - np.minimum(output.norm[count:] * np.sqrt(repeated) * SLACK / whole, 1.0)
    shrunk = difference * np.nan_to_num(left)[:, None] * (1 - 8 * UNIT_ROUNDOFF)
    better = (_norms(shrunk) > _norms(entrywise))[:, None]
    return np.where(finite[:, None], np.where(better, shrunk, entrywise), 0.0)


def _affine(layer: AffineLayer, given: list[_Batch], room: float) -> _Batch:
    roundoff, underflow = room * UNIT_ROUNDOFF, room * UNDERFLOW
    center = layer.linear(*(g.center for g in given))
    # Squares of norms may underflow.
    norms = layer.gain([g.norm for g in given], [g.center.shape[1:] for g in given]) * SLACK + underflow
    roundings = layer.roundings
    if not roundings:
        return _batch(center, layer.linear(*(g.error for g in given)), norms)
    gamma = roundings * roundoff / (1 - roundings * roundoff)
    sizes = [np.abs(g.center) * (gamma + layer.coefficient_error) for g in given]
    spread = [g.error * (1 + layer.coefficient_error) for g in given]
    bounds = layer.magnitude(*(np.concatenate(pair) for pair in zip(sizes, spread, strict=True)))
    bounds = bounds * (SLACK + 4 * gamma) + roundings * underflow
    local, inherited = bounds[: len(center)], bounds[len(center) :]
    half = len(center) // 2
    center[:half] = center[:half] + layer.offset()
    local[:half] += 2 * roundoff * np.abs(center[:half])
    return _batch(center, (inherited + local) * SLACK, (norms + _norms(local)) * SLACK)


def _activate(activation: Activation, given: _Batch, room: float) -> _Batch:
    """The activation of both runs, with p the value and d the step.

    phi(p + d) - phi(p) moves by at most beta - alpha times the error of p, and by no more than beta - alpha times d
    wherever p lies; where both runs are surely on one linear piece it is a multiple of d.
    """
    half = len(given.center) // 2
    (value, step), (value_error, step_error) = (np.split(a, 2) for a in (given.center, given.error))
    alpha, beta = np.asarray(activation.alpha, dtype=float), np.asarray(activation.beta, dtype=float)
    steepest, width = np.maximum(np.abs(alpha), np.abs(beta)), beta - alpha
    roundoff, underflow = room * UNIT_ROUNDOFF, room * UNDERFLOW
    evaluation = activation.evaluation_error(UNIT_ROUNDOFF)
    assert evaluation is not None  # there is one in float64

    def evaluation_error(argument: Array, result: Array) -> Array:
        of_result, of_argument = evaluation
        return room * (of_result * np.abs(result) + of_argument * steepest * np.abs(argument)) + underflow

    other = value + step
    after, after_other = activation(value), activation(other)
    moving = step if activation.coupled == 1 else activation.gathered(np.abs(step))
    value_error, step_error = activation.gathered(value_error), activation.gathered(step_error)
    rounded = activation.gathered(2 * roundoff * np.abs(other))
    local = evaluation_error(value, after)
    after_step = after_other - after
    # With room for another evaluation: its step may be longer than ours by what either is off.
    local_step = (
        steepest * rounded
        + width * np.minimum(value_error, room * np.abs(moving) + (step_error if room > 1 else 0.0))
        + evaluation_error(other, after_other)
        + local
        + 2 * roundoff * np.abs(after_step)
    )
    other_error = (value_error + step_error + rounded) * SLACK
    low = np.nextafter(np.minimum(value - value_error, other - other_error), -np.inf)
    high = np.nextafter(np.maximum(value + value_error, other + other_error), np.inf)
    sure, slope = activation.linear_on(low, high)
    after_step = np.where(sure, slope * step, after_step)
    rounding = 2 * roundoff * np.abs(after_step) * (np.abs(slope) != 1) + underflow
    local_step = np.where(sure, rounding, local_step)
    slopes = np.where(sure, np.abs(slope), np.broadcast_to(steepest, value.shape))
    errors = np.concatenate([slopes * value_error + local, slopes * step_error + local_step]) * SLACK
    inherited = np.max(slopes.reshape(half, -1), axis=1, initial=0.0)
    norm = np.concatenate([inherited, inherited]) * given.norm + _norms(np.concatenate([local, local_step]))
    return _batch(np.concatenate([after, after_step]), errors, norm * SLACK)


def _spread(norm: Array, like: Array) -> Array:
    return norm.reshape(-1, *[1] * (like.ndim - 1))


def _norms(tensors: Array, slack: float = SLACK) -> Array:
    """Norms of the tensors of a batch, times `slack` against rounding and underflow."""
    rows = tensors.reshape(len(tensors), -1)
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return largest * np.sqrt(np.square(rows / safe[:, None]).sum(axis=1)) * slack
