"""Execution levels: how far a floating-point evaluation of a network may be from its real function.

Level R is about the real function of the stored weights, with logits that were evaluated in float64. Level F is about
every float32 evaluation: IEEE 754 round-to-nearest, sums in any order, fused multiply-add allowed, no flush to zero, no
TF32 or half precision, convolutions by their definition (no Winograd, no Fourier transforms).

**The bound.** Let u be the unit roundoff and `gamma_k = k u / (1 - k u)`. A sum of n products and a bias, evaluated in
any order, with weights that were themselves rounded, is wrong by at most `gamma_(n+4) (|W| |h| + |b|)` entry by entry
(Higham, Accuracy and Stability, section 3.1: each term passes at most n + 3 roundings), so in Euclidean norm by at
most `gamma_(n+4) (| |W| | |h| + |b|)`, and by one smallest number an operation for underflow, times what it multiplies
where a weight underflows. ReLU, maximum, clipping and the absolute value are exact. A network is a chain of links (the
layers, between the values whose constants are known); c_i bounds the constant of link i. With e_i a bound of the error
of the link's computed input h_i and l_i what the link loses on that input,

    e_(i+1) <= c_i e_i + l_i,    |h_i| <= |h_i(centre)| + (c_1 ... c_(i-1)) t + e_i,    t = |x - centre|:

each link's loss counts as often as the proved constants of the links after it say, and all bounds are affine in t
(`ErrorBound`). `|h_i(centre)|` is evaluated in float64, whose own error is below e_i at t = 0. Inside of a link the
same holds with products of norms, each bounded from above. Around given centres (`error_bound_around`) `| |W| |h| |` is
at most `| |W| |h(centre)| |`, evaluated there, and `| |W| |` times the distance of h from h(centre). c_i is proved as
certificates are (exact arithmetic on the materialised weights; `links.py`), or is the product of norms where that is
less or nothing could be proved.

The input x is a vector of float32 numbers as it is: its own rounding is no part of the error bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer
from sdpcert.network.graph import Network
from sdpcert.robustness.from_logits import LARGEST_FLOAT32_RADIUS, ErrorBound
from sdpcert.robustness.links import SLACK, Link, gain_of, shape_of

Array = np.ndarray
FLOAT64, FLOAT32 = 2.0**-53, 2.0**-24
#: Smallest positive numbers, which an operation may lose to underflow.
SMALLEST = {FLOAT64: 2.0**-1074, FLOAT32: 2.0**-149}
#: Norms that a float32 evaluation may reach.
LARGEST_FLOAT32 = 1e30
#: Centres that are evaluated at once.
BATCH = 200


@dataclass(frozen=True)
class _State:
    """A value: constants from the input and from the link's start, the loss since then, the norm at the centre."""

    front: float
    gain: float
    loss: ErrorBound
    error: ErrorBound
    centre: float

    @property
    def apart(self) -> ErrorBound:
        """A bound of the distance of the computed value from that which float64 computes at the centre."""
        return ErrorBound(2 * self.error.offset * SLACK, (self.front + self.error.slope) * SLACK)

    @property
    def norm(self) -> ErrorBound:
        """A bound of the norm of the computed value."""
        return ErrorBound((self.centre + 2 * self.error.offset) * SLACK, (self.front + self.error.slope) * SLACK)


def error_bound(network: Network, links: Sequence[Link], centre: Array, roundoff: float = FLOAT64) -> ErrorBound:
    """What evaluating the network with this unit roundoff may be wrong by, in norm, as the module's docstring has it.

    `centre` has the network's input shape; use the same `links` as for the constants. Raises ValueError, naming the
    layer, where float32 evaluation has no bound.
    """
    return _bound(network, links, _centre_norms(network, centre), None, roundoff)


def error_bound_around(network: Network, links: Sequence[Link], centres: Array) -> ErrorBound:
    """What evaluating the network in float32 may be wrong by at the distance t from any of the `centres`.

    `centres` are a batch of inputs. What is rounded at a centre itself is bounded there, `| |W| |h| |` instead of
    `| |W| | |h|`, which is several times less in wide layers. Raises ValueError as `error_bound` does.
    """
    most: list[float] = []
    rounded: dict[int, float] = {}
    for start in range(0, len(centres), BATCH):
        norms, own = _centre_sizes(network, centres[start : start + BATCH])
        most = [max(pair) for pair in zip(norms, most or norms, strict=True)]
        rounded = {number: max(size, rounded.get(number, 0.0)) for number, size in own.items()}
    return _bound(network, links, most, rounded, FLOAT32)


def _bound(
    network: Network, links: Sequence[Link], norms: list[float], rounded: dict[int, float] | None, roundoff: float
) -> ErrorBound:
    """The bound from norms of all values at the centre, and of what affine layers round there, if that is known."""
    if roundoff == FLOAT32:
        check_float32(network)
    zero = ErrorBound(0.0, 0.0)
    states = {0: _State(1.0, 1.0, zero, zero, norms[0])}
    for link in links:
        begun = states[link.start]
        # Losses are counted from the computed input of the link.
        local = {link.start: replace(begun, gain=1.0, loss=zero)}
        for number in range(link.start + 1, link.end + 1):
            node = network.nodes[number - 1]
            if all(k in local for k in node.inputs):
                given = [local[k] for k in node.inputs]
                shapes = [shape_of(network, k) for k in node.inputs]
                gain = gain_of(node.layer, [g.gain for g in given], shapes)
                gain = min(gain, link.constant) if number == link.end else gain
                at_centre = None if rounded is None else rounded.get(number)
                loss = _loss(node.layer, given, shapes, node.shape, roundoff, at_centre)
                error = _sum([_times(begun.error, gain), loss])
                local[number] = _State(begun.front * gain * SLACK, gain, loss, error, norms[number])
        states[link.end] = local[link.end]
    result = states[network.output]
    if roundoff == FLOAT32 and not _overflow_free(states):
        raise ValueError("level F: values may be too large for float32; use level R")
    return ErrorBound(result.error.offset * SLACK, result.error.slope * SLACK)


def _overflow_free(states: dict[int, _State]) -> bool:
    reach = 4 * LARGEST_FLOAT32_RADIUS
    return all(s.norm.offset + s.norm.slope * reach <= LARGEST_FLOAT32 for s in states.values())


def check_float32(network: Network) -> None:
    """Raise ValueError, naming the operation, for what has no error bound in float32: see the module's docstring."""
    for node in network.nodes:
        layer = node.layer
        if isinstance(layer, Activation) and not layer.is_linear and layer.evaluation_error(FLOAT32) is None:
            raise ValueError(
                f"level F is not possible: {layer.name} has no IEEE 754 rounding, its float32 value is the library's; "
                "use level R"
            )
        obstacle = layer.float32_obstacle() if isinstance(layer, AffineLayer) else None
        if obstacle is not None:
            raise ValueError(f"level F is not possible: {obstacle}; use level R")


def _loss(
    layer: AffineLayer | Activation,
    given: list[_State],
    shapes: list[tuple[int, ...]],
    shape: tuple[int, ...],
    roundoff: float,
    at_centre: float | None = None,
) -> ErrorBound:
    """The loss since the link's start after a layer: what was lost before, and its own roundings.

    `at_centre` is the norm of the affine layer with absolute coefficients there, if that is known.
    """
    size = int(np.prod(shape))
    if isinstance(layer, Activation):
        inherited = _times(given[0].loss, layer.steepest)
        own = ErrorBound(0.0, 0.0)
        if layer.is_linear:
            own = _times(given[0].norm, 2 * roundoff * max(layer.steepest, 1.0))
        else:
            evaluation = layer.evaluation_error(roundoff)
            assert evaluation is not None  # `check_float32` refuses what has none
            if any(evaluation):
                of_result, of_argument = evaluation
                # |phi(v)| <= |phi(0)| + steepest |v|
                at_zero = float(np.linalg.norm(layer(np.zeros((1, *shape))).ravel()))
                own = _times(given[0].norm, (of_result + of_argument) * layer.steepest)
                own = ErrorBound(own.offset + of_result * at_zero * SLACK, own.slope)
        return _sum([inherited, own, ErrorBound(math.sqrt(size) * SMALLEST[roundoff], 0.0)])
    parts = [_times(g.loss, layer.norm_bound(s)) for g, s in zip(given, shapes)]
    roundings = layer.roundings
    if not roundings:
        return _sum(parts)
    if roundings * roundoff > 0.1:
        raise ValueError(f"sums of {roundings} terms are too long for an error bound in this precision")
    gamma = roundings * roundoff / (1 - roundings * roundoff) + layer.coefficient_error
    absolute = [layer.absolute().norm_bound(s) for s in shapes]
    if roundoff == FLOAT32 and not all(norm <= LARGEST_FLOAT32 for norm in absolute):
        raise ValueError("level F: coefficients may be too large for float32; use level R")
    # A coefficient that is rounded to a subnormal number is off by half of the smallest one.
    tiny = math.sqrt(size * roundings) * SMALLEST[roundoff]
    parts += [_times(g.norm, tiny) for g in given]
    if at_centre is None:
        parts += [_times(g.norm, gamma * norm) for g, norm in zip(given, absolute, strict=True)]
    else:
        parts += [_times(g.apart, gamma * norm) for g, norm in zip(given, absolute, strict=True)]
        parts.append(ErrorBound(gamma * at_centre * SLACK, 0.0))
    bias = float(np.linalg.norm(np.broadcast_to(layer.offset(), shape).ravel()))
    parts.append(ErrorBound(gamma * bias * SLACK + roundings * math.sqrt(size) * SMALLEST[roundoff], 0.0))
    return _sum(parts)


def _centre_norms(network: Network, centre: Array) -> list[float]:
    """Norms of all values at the centre, evaluated in float64."""
    last = network.last_uses
    values, norms = {0: np.asarray(centre, dtype=float).reshape(1, *network.input_shape)}, []
    norms.append(float(np.linalg.norm(values[0].ravel())) * SLACK)
    for number, node in enumerate(network.nodes, start=1):
        if number not in last:
            norms.append(0.0)
            continue
        values[number] = node.layer(*(values[k] for k in node.inputs))
        norms.append(float(np.linalg.norm(values[number].ravel())) * SLACK)
        for k in set(node.inputs):
            if last[k] == number:
                del values[k]
    return norms


def _centre_sizes(network: Network, centres: Array) -> tuple[list[float], dict[int, float]]:
    """The largest norms of all values at a batch of centres, and of every affine layer with absolute coefficients."""
    last = network.last_uses
    values = {0: np.asarray(centres, dtype=float).reshape(len(centres), *network.input_shape)}
    norms, own = [_largest_norm(values[0])], {}
    for number, node in enumerate(network.nodes, start=1):
        if number not in last:
            norms.append(0.0)
            continue
        given = [values[k] for k in node.inputs]
        values[number] = node.layer(*given)
        norms.append(_largest_norm(values[number]))
        if isinstance(node.layer, AffineLayer) and node.layer.roundings:
            own[number] = _largest_norm(node.layer.magnitude(*map(np.abs, given)))
        for k in set(node.inputs):
            if last[k] == number:
                del values[k]
    return norms, own


def _largest_norm(values: Array) -> float:
    return float(np.max(np.linalg.norm(values.reshape(len(values), -1), axis=1))) * SLACK


def _times(bound: ErrorBound, factor: float) -> ErrorBound:
    return ErrorBound(bound.offset * factor * SLACK, bound.slope * factor * SLACK)


def _sum(bounds: list[ErrorBound]) -> ErrorBound:
    return ErrorBound(sum(b.offset for b in bounds) * SLACK, sum(b.slope for b in bounds) * SLACK)
