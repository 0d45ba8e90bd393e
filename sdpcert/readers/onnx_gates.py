"""Products `x g(x)` that are written out for SiLU, Swish with a factor, hard swish, Mish and GELU.

Files and modules round the constants in them (1/6, 1/sqrt(2), 1.702). That leaves the slopes alone: with
`g(x) = x h(x)` the product `x h(t x)` is `g(t x) / t`, so a factor inside and one outside make an exact form, up to
the rounding of the factors themselves, which is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.network import activations
from sdpcert.network.activations import Activation
from sdpcert.network.affine import Scale
from sdpcert.network.graph import Graph, Node
from sdpcert.readers.error_bounds import EPS

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Gated:
    """A product that is `outer * kind(inner * x)` with x the value numbered `source`.

    The factors broadcast against x; `errors` bounds how far they are off, relative, the inner one first.
    """

    kind: Activation
    source: int
    inner: Array | float = 1.0
    outer: Array | float = 1.0
    errors: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class _Affine:
    """`factor * x + shift` with x the value numbered `number`; `error` bounds the factor's relative error."""

    number: int
    factor: Array | float = 1.0
    shift: Array | float = 0.0
    error: float = 0.0


def gated_activation(graph: Graph, value: int, gate: int) -> Gated | None:
    """The product of the two values as an activation between two factors, None where it is none of those known."""
    node = _node(graph, gate)
    name = _name(node)
    if node is not None and node.inputs == (value,):
        if name == "sigmoid":
            return Gated(activations.silu(), value)
        # The offset decides the slopes, 1/2 gives [-1/2, 3/2]; the slope 1/6, rounded in the file, scales the argument.
        if name == "hard_sigmoid":
            low, middle, high = node.layer(np.array([-1.0, 0.0, 1.0]))
            if middle == 0.5 and abs(low - 1 / 3) <= 1e-6 and abs(high - 2 / 3) <= 1e-6:
                return Gated(activations.hard_swish(), value)
    if node is not None and name == "tanh":
        before = _node(graph, node.inputs[0])
        if before is not None and _name(before) == "softplus" and before.inputs == (value,):
            return Gated(activations.mish(), value)
    return _gelu(graph, value, gate) or _scaled(graph, value, gate)


def _scaled(graph: Graph, value: int, gate: int) -> Gated | None:
    """Swish and hard swish with factors anywhere; `value = h x` and `gate = p act(c x + d) + q`."""
    outside = list(_affines(graph, gate))[-1]
    node = _node(graph, outside.number)
    if node is None or _name(node) not in ("sigmoid", "tanh", "clip", "hard_sigmoid"):
        return None
    argument = node.inputs[0]
    for of_value in _affines(graph, value):
        for of_argument in _affines(graph, argument):
            if of_value.number == of_argument.number and not np.any(of_value.shift) and np.all(of_argument.factor):
                if _name(node) in ("sigmoid", "tanh"):
                    return _swish(_name(node), argument, of_value, outside, of_argument)
                return _hard_swish(node, of_value, outside, of_argument)
    return None


def _swish(name: str, argument: int, value: _Affine, gate: _Affine, inside: _Affine) -> Gated | None:
    """`h x p sigmoid(c x) = (h p / c) silu(c x)`; `1 + tanh(t) = 2 sigmoid(2 t)`."""
    if np.any(inside.shift):
        return None
    inner = 1.0
    if name == "tanh":
        if gate.error or not np.all(np.equal(gate.factor, gate.shift)):
            return None
        inner = 2.0
    elif np.any(gate.shift):
        return None
    outer, rounding = _quotient((value.factor, gate.factor), (inside.factor,))
    error = rounding + value.error + gate.error + 2 * inside.error
    return Gated(activations.silu(), argument, inner, outer, (0.0, error))


def _hard_swish(node: Node, value: _Affine, gate: _Affine, inside: _Affine) -> Gated | None:
    """`h x p clip(c x + u / 2, 0, u) = (h p u^2 / 6 c) hard_swish(6 c x / u)`."""
    kind = node.layer
    assert isinstance(kind, Activation)
    slope, upper, offset, error = 1.0, 1.0, 0.5, 0.0
    if kind.name == "hard_sigmoid":
        # Its slope is rounded where it is 1/6. The offset is the value at 0, where it is not cut off.
        if np.any(inside.shift):
            return None
        slope, offset, error = float(np.max(kind.beta)), float(kind(np.zeros(()))), 2 * EPS
    else:
        low, high = kind(np.asarray(-np.inf)), kind(np.asarray(np.inf))
        if np.size(low) > 1 or np.size(high) > 1 or np.max(low) != 0 or not 0 < np.max(high) < np.inf:
            return None
        upper, offset = float(np.max(high)), inside.shift
    if not slope > 0 or np.any(np.asarray(offset) != upper / 2) or np.any(gate.shift):
        return None
    inner, first = _quotient((6.0, slope, inside.factor), (upper,))
    outer, second = _quotient((value.factor, gate.factor, upper, upper), (6.0, slope, inside.factor))
    error += 2 * inside.error
    errors = (first + error, second + error + value.error + gate.error)
    return Gated(activations.hard_swish(), value.number, inner, outer, errors)


def _gelu(graph: Graph, value: int, gate: int) -> Gated | None:
    """`h x * (p erf(c x) + p)` with c = 1/sqrt(2) is `2 h p gelu(x)`; files hold c rounded to float32."""
    outside = list(_affines(graph, gate))[-1]
    node = _node(graph, outside.number)
    if node is None or _name(node) != "erf" or not np.array_equal(outside.factor, outside.shift):
        return None
    inside, whole = list(_affines(graph, node.inputs[0]))[-1], list(_affines(graph, value))[-1]
    near = np.size(inside.factor) == 1 and abs(np.max(inside.factor) * np.sqrt(2) - 1) <= 1e-6
    if np.any(inside.shift) or not near:
        return None
    if whole.number != inside.number or np.any(whole.shift):
        if value != inside.number:
            return None
        whole = _Affine(value)
    factor = np.asarray(2 * np.asarray(whole.factor) * outside.factor)
    if factor.size != 1 or np.frexp(abs(factor.ravel()[0]))[0] != 0.5:  # then the products were rounded
        return None
    return Gated(activations.gelu(), inside.number, 1.0, float(factor.ravel()[0]))


def _affines(graph: Graph, number: int) -> Iterator[_Affine]:
    """The value as an affine function of itself, of what it is a multiple or shift of, and so on backward.

    Shifts are exact: it ends where one would be rounded.
    """
    found = _Affine(number)
    yield found
    while (node := _node(graph, found.number)) is not None and isinstance(node.layer, Scale):
        layer = node.layer
        factor, rounding = _quotient((found.factor, layer.factor), ())
        moved, lost = _quotient((found.factor, layer.shift), ())
        if np.any(layer.shift) and (lost or found.error or np.any(found.shift)):
            return
        shift = np.asarray(found.shift) + moved if np.any(layer.shift) else found.shift
        found = _Affine(node.inputs[0], factor, shift, found.error + rounding + layer.coefficient_error)
        yield found


def _quotient(above: tuple[Array | float, ...], below: tuple[Array | float, ...]) -> tuple[Array | float, float]:
    """A product over a product, and a bound of its relative error; 0 where the numbers show that nothing is rounded."""
    if all(np.size(x) == 1 for x in (*above, *below)):
        exact = Fraction(1)
        for x in above:
            exact *= Fraction(float(np.max(x)))
        for x in below:
            exact /= Fraction(float(np.max(x)))
        value = float(exact)
        return value, 0.0 if Fraction(value) == exact else EPS
    result: Array = np.ones(())
    for x in above:
        result = result * x
    for x in below:
        result = result / x
    return result, EPS * (len(above) + len(below))


def _node(graph: Graph, number: int) -> Node | None:
    return graph.nodes[number - 1] if number else None


def _name(node: Node | None) -> str:
    return node.layer.name if node is not None and isinstance(node.layer, Activation) else ""
