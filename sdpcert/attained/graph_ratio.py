"""The difference of two runs of a network graph, carried along with its own error bound.

Affine layers map the difference of two runs without their offsets, so its error is relative to the difference and does
not come from the values cancelling. The values of one run are carried too: they say on which piece an activation is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.attained.stacked_ratio import FUNCTION_ERROR, PIECEWISE_LINEAR
from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Concat, Rearrange
from sdpcert.network.graph import Network

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: What a product may lose by underflow, with room.
UNDERFLOW = 2.0**-1070
#: Room for the rounding of the error bounds themselves.
SLACK = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class _Pair:
    """Batches of `value`, one run, and `step`, the other run minus this one, each with an entrywise error bound."""

    value: Array
    value_error: Array
    step: Array
    step_error: Array

    @property
    def finite(self) -> Array:
        """For every pair of the batch, whether all its numbers are finite."""
        arrays = (self.value, self.value_error, self.step, self.step_error)
        return np.all([np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in arrays], axis=0)


def sure_difference(network: Network, x: Array, x_prime: Array) -> Array:
    """Floats that are at most the entries of |f(x) - f(x')|, for a batch of pairs of flat inputs.

    The row of a pair is zero where a number on the way is not finite. Whatever weights lie within the layers'
    `coefficient_error` are meant.
    """
    step = x - x_prime
    back = step + x_prime
    rounding = np.abs((x - back) - (x_prime - (back - step)))
    shape = (len(x), *network.input_shape)
    start = _Pair(*(a.reshape(shape) for a in (x_prime, np.zeros_like(x), step, rounding)))
    finite = start.finite
    pairs: dict[int, _Pair] = {0: start}
    last = network_last_uses(network)
    for number, node in enumerate(network.nodes, start=1):
        if number not in last:
            continue
        given = [pairs[k] for k in node.inputs]
        if isinstance(node.layer, AffineLayer):
            pairs[number] = _affine(node.layer, given)
        else:
            pairs[number] = _activate(node.layer, given[0])
        finite &= pairs[number].finite
        for k in set(node.inputs):
            if last[k] == number:
                del pairs[k]
    output = pairs[network.output]
    sure = np.maximum(np.abs(output.step) - output.step_error * SLACK, 0.0) * (1 - 2 * UNIT_ROUNDOFF)
    sure = sure.reshape(len(x), -1)
    return np.where(finite[:, None], sure, 0.0)


def network_last_uses(network: Network) -> dict[int, int]:
    """For every value that the output depends on, the number of the last such node that reads it."""
    last = {network.output: len(network.nodes) + 1}
    for number in range(len(network.nodes), 0, -1):
        if number in last:
            for k in network.nodes[number - 1].inputs:
                last.setdefault(k, number)
    return last


def _affine(layer: AffineLayer, given: list[_Pair]) -> _Pair:
    count = len(given[0].value)
    result = layer.linear(*(np.concatenate([g.value, g.step]) for g in given))
    if isinstance(layer, Rearrange | Concat):
        error = layer.linear(*(np.concatenate([g.value_error, g.step_error]) for g in given))
        return _Pair(result[:count], error[:count], result[count:], error[count:])
    roundings = max(layer.terms, len(given)) + 4
    gamma = roundings * UNIT_ROUNDOFF / (1 - roundings * UNIT_ROUNDOFF)
    uncertain = []
    for g in given:
        sizes = np.concatenate([np.abs(g.value), np.abs(g.step)]) * (gamma + layer.coefficient_error)
        errors = np.concatenate([g.value_error, g.step_error]) * (1 + layer.coefficient_error)
        uncertain.append(sizes + errors)
    error = layer.magnitude(*uncertain) * (SLACK + 4 * gamma) + roundings * UNDERFLOW
    value = result[:count] + layer.offset()
    value_error = error[:count] + 2 * UNIT_ROUNDOFF * np.abs(value)
    return _Pair(value, value_error * SLACK, result[count:], error[count:])


def _activate(activation: Activation, given: _Pair) -> _Pair:
    """The activation of both runs, with p the value and d the step.

    phi(p + d) - phi(p) moves by at most beta - alpha times the error of p, and by no more than beta - alpha times d
    wherever p lies; where both runs are surely on one linear piece it is a multiple of d.
    """
    value, value_error, step, step_error = given.value, given.value_error, given.step, given.step_error
    alpha, beta = np.asarray(activation.alpha, dtype=float), np.asarray(activation.beta, dtype=float)
    steepest, width = np.maximum(np.abs(alpha), np.abs(beta)), beta - alpha
    piecewise = activation.name in PIECEWISE_LINEAR
    relative = 2 * UNIT_ROUNDOFF if piecewise else FUNCTION_ERROR

    def evaluation_error(argument: Array, result: Array) -> Array:
        return relative * (np.abs(result) + steepest * np.abs(argument)) + UNDERFLOW

    other = value + step
    after, after_other = activation(value), activation(other)
    after_error = steepest * value_error + evaluation_error(value, after)
    after_step = after_other - after
    after_step_error = (
        steepest * (step_error + 2 * UNIT_ROUNDOFF * np.abs(other))
        + width * np.minimum(value_error, np.abs(step))
        + evaluation_error(other, after_other)
        + evaluation_error(value, after)
        + 2 * UNIT_ROUNDOFF * np.abs(after_step)
    )
    if piecewise:
        other_error = (value_error + step_error + 2 * UNIT_ROUNDOFF * np.abs(other)) * SLACK
        low = np.nextafter(np.minimum(value - value_error, other - other_error), -np.inf)
        high = np.nextafter(np.maximum(value + value_error, other + other_error), np.inf)
        sure, slope = _piece(activation, low, high)
        after_step = np.where(sure, slope * step, after_step)
        exact = np.abs(slope) * step_error + 2 * UNIT_ROUNDOFF * np.abs(after_step) * (np.abs(slope) != 1)
        after_step_error = np.where(sure, exact + UNDERFLOW, after_step_error)
        after_error = np.where(
            sure, np.minimum(np.abs(slope) * value_error + evaluation_error(value, after), after_error), after_error
        )
    return _Pair(after, after_error * SLACK, after_step, after_step_error * SLACK)


def _piece(activation: Activation, low: Array, high: Array) -> tuple[Array, Array]:
    """Where a piecewise linear activation is surely linear between `low` and `high`, and its slope there."""
    if activation.name == "clip":
        at_low, at_high = activation(low), activation(high)
        inside = (at_low == low) & (at_high == high)
        return inside | (at_low == at_high), np.where(inside, 1.0, 0.0)
    negative = np.broadcast_to(activation.derivative(-np.ones_like(low)), low.shape)
    return (low > 0) | (high <= 0), np.where(low > 0, 1.0, negative)
