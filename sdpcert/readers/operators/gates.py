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
from sdpcert.network.graph import Graph
from sdpcert.network.nodes import Node
from sdpcert.network.piecewise_linear import HardSigmoid
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.error_bounds import EPS, rounded_product_is_exact

Array = np.ndarray
Factor = Array | float | Fraction


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


@dataclass(frozen=True, eq=False)
class _Clamp:
    """`factor * clip(slope * x + offset, low, high) + shift` with x the value numbered `number`, all of it exact.

    Only the slope may be rounded, by the relative `error`.
    """

    number: int
    low: Fraction | float
    high: Fraction | float
    factor: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)
    slope: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    error: float = 0.0


def gated_activation(graph: Graph, value: int, gate: int) -> Gated | None:
    """The product of the two values as an activation between two factors; None if it is not a known one.

    Raises UnsupportedModel if a factor in it leaves the range of floats.
    """
    node = _node(graph, gate)
    name = _name(node)
    if node is not None and node.inputs == (value,):
        if name == "sigmoid":
            return Gated(activations.silu(), value)
        # The offset decides the slopes, 1/2 gives [-1/2, 3/2]; the slope 1/6, rounded in the file, scales the argument.
        kind = node.layer
        if isinstance(kind, HardSigmoid) and kind.offset == 0.5 and abs(6 * kind.slope - 1) <= 1e-6:
            return Gated(activations.hard_swish(), value)
    if node is not None and name == "tanh":
        before = _node(graph, node.inputs[0])
        if before is not None and _name(before) == "softplus" and before.inputs == (value,):
            return Gated(activations.mish(), value)
    return _scaled(graph, value, gate)


def _scaled(graph: Graph, value: int, gate: int) -> Gated | None:
    """The forms with factors anywhere: `value = h x` and `gate = p act(c x + d) + q`."""
    outside = list(_affines(graph, gate))[-1]
    node = _node(graph, outside.number)
    if node is None:
        return None
    name = _name(node)
    if name in ("sigmoid", "tanh", "erf"):
        for of_value, inside in _of_one_value(graph, value, node.inputs[0]):
            if not np.any(inside.shift):
                make = _gelu if name == "erf" else _swish
                return make(name, node.inputs[0], of_value, outside, inside)
    for clamp in _clamps(graph, outside.number):
        for of_value, inside in _of_one_value(graph, value, clamp.number):
            if (found := _hard_swish(clamp, of_value, outside, inside)) is not None:
                return found
    return None


def _of_one_value(graph: Graph, value: int, argument: int) -> Iterator[tuple[_Affine, _Affine]]:
    """Both values by a third that they are affine functions of, the first of them without a shift."""
    arguments = list(_affines(graph, argument))
    for of_value in _affines(graph, value):
        for of_argument in arguments:
            if of_value.number == of_argument.number and not np.any(of_value.shift) and np.all(of_argument.factor):
                yield of_value, of_argument


def _swish(name: str, argument: int, value: _Affine, gate: _Affine, inside: _Affine) -> Gated | None:
    """`h x p sigmoid(c x) = (h p / c) silu(c x)`; `1 + tanh(t) = 2 sigmoid(2 t)`, `1 - sigmoid(t) = sigmoid(-t)`."""
    sign = _sign(gate, Fraction(0), Fraction(1)) if name == "sigmoid" else _sign(gate, Fraction(-1), Fraction(1))
    if sign is None:
        return None
    outer, rounding = _quotient((value.factor, gate.factor), (inside.factor,))
    error = rounding + value.error + gate.error + 2 * inside.error
    return Gated(activations.silu(), argument, sign if name == "sigmoid" else 2.0 * sign, outer, (0.0, error))


def _gelu(name: str, argument: int, value: _Affine, gate: _Affine, inside: _Affine) -> Gated | None:
    """`h x (p erf(c x) + p) = (2 h p / t) gelu(t x)` with `t = sqrt(2) c`.

    Files hold c = 1/sqrt(2) rounded to float32: then t is taken for 1, which leaves the slopes alone.
    """
    sign = _sign(gate, Fraction(-1), Fraction(1))
    if sign is None:
        return None
    inner, error = _quotient((inside.factor, float(np.sqrt(2))), ())
    if np.all(np.abs(np.abs(inner) - 1) <= 1e-6):
        inner, inner_error = np.sign(inner), 0.0
    else:
        inner_error = error + 2 * EPS + 2 * inside.error  # sqrt(2) is rounded too
    outer, rounding = _quotient((2.0, value.factor, gate.factor), (inner,))
    errors = (inner_error, rounding + 2 * inner_error + value.error + gate.error)
    return Gated(activations.gelu(), value.number, sign * inner, outer, errors)


def _hard_swish(clamp: _Clamp, value: _Affine, gate: _Affine, inside: _Affine) -> Gated | None:
    """`h x p clip(c x + u / 2, 0, u) = (h p u^2 / 6 c) hard_swish(6 c x / u)`, also moved or turned upside down."""
    low, high, shift = clamp.low, clamp.high, np.unique(inside.shift)
    if not (isinstance(low, Fraction) and isinstance(high, Fraction) and low < high and len(shift) == 1):
        return None
    moved = Fraction(float(shift[0]))
    if (moved and clamp.error) or 2 * (clamp.slope * moved + clamp.offset) != low + high:
        return None
    factor, error = _quotient((gate.factor, clamp.factor), ())
    if clamp.shift:
        if np.size(gate.factor) != 1 or np.size(gate.shift) != 1 or gate.error:
            return None
        total = _exact(gate.shift) + _exact(gate.factor) * clamp.shift
        edge = -total / (_exact(gate.factor) * clamp.factor) if np.any(gate.factor) else None
        sign = 1.0 if edge == low else -1.0 if edge == high else None
    else:
        sign = _sign(gate, clamp.factor * low, clamp.factor * high)
    if sign is None:
        return None
    height = high - low
    inner, first = _quotient((6.0, sign, clamp.slope, inside.factor), (height,))
    outer, second = _quotient((value.factor, factor, height, height), (6.0, clamp.slope, inside.factor))
    inner_error = first + 2 * inside.error + clamp.error
    outer_error = second + error + 2 * inside.error + clamp.error + value.error + gate.error
    return Gated(activations.hard_swish(), value.number, inner, outer, (inner_error, outer_error))


def _sign(gate: _Affine, low: Fraction, high: Fraction) -> float | None:
    """What of a function between two ends is multiplied by x, for `gate` an affine function of it.

    1 where the gate is zero at the lower end, -1 where it is zero at the upper end, None where it is at neither; for a
    function that is symmetric about the middle these are one form, with the sign of the argument.
    """
    if not np.any(gate.shift):
        return 1.0 if low == 0 else -1.0 if high == 0 else None
    if gate.error:
        return None
    factor, shift = np.asarray(gate.factor), np.asarray(gate.shift)
    for sign, end in ((1.0, low), (-1.0, high)):
        product = factor * float(end)
        exact = abs(end) == 1 or rounded_product_is_exact(factor, np.asarray(float(end)), product)
        if Fraction(float(end)) == end and exact and np.all(product == -shift):
            return sign
    return None


def _clamps(graph: Graph, number: int) -> Iterator[_Clamp]:
    """The value as one clamp of what a chain of clamps begins with: ReLU, maxima and minima, exact scalings between.

    Each beginning of the chain is one way to see it: what is gated may be a clamp itself.
    """
    node = _node(graph, number)
    if node is not None and isinstance(node.layer, HardSigmoid):
        numbers = node.layer.slope, node.layer.offset
        if node.layer.slope and np.all(np.isfinite(numbers)):
            slope, offset = map(Fraction, numbers)
            # Torch rounds a slope of 1/6.
            yield _Clamp(node.inputs[0], Fraction(0), Fraction(1), slope=slope, offset=offset, error=2 * EPS)
        return
    low, high, factor, shift = -np.inf, np.inf, Fraction(1), Fraction(0)
    while (node := _node(graph, number)) is not None:
        kind = node.layer
        if isinstance(kind, Scale):
            (number,) = node.inputs
            if kind.coefficient_error or np.size(kind.factor) != 1 or np.size(kind.shift) != 1 or not kind.factor:
                return
            by, to = _exact(kind.factor), _exact(kind.shift)
            low, high = sorted(((low - to) / by, (high - to) / by))
            factor, shift = factor * by, shift + factor * to
        elif _name(node) in ("relu", "clip"):
            assert isinstance(kind, Activation)
            (number,) = node.inputs
            below, above = np.unique(kind(np.asarray(-np.inf))), np.unique(kind(np.asarray(np.inf)))
            if len(below) != 1 or len(above) != 1 or below[0] > high or above[0] < low:
                return
            low, high = max(low, _end(below[0])), min(high, _end(above[0]))
            yield _Clamp(number, low, high, factor, shift)
        else:
            return


def _end(value: float) -> Fraction | float:
    return Fraction(float(value)) if np.isfinite(value) else float(value)


def _affines(graph: Graph, number: int) -> Iterator[_Affine]:
    """The value as an affine function of itself, of what it is a multiple or shift of, and so on backward.

    Shifts are exact: the walk ends when one would be rounded.
    """
    found = _Affine(number)
    yield found
    while (node := _node(graph, found.number)) is not None and isinstance(node.layer, Scale):
        layer = node.layer
        factor, rounding = _quotient((found.factor, layer.factor), ())
        shift = found.shift
        if np.any(layer.shift):
            moved, lost = _quotient((found.factor, layer.shift), ())
            if lost or found.error or np.any(found.shift):
                return
            shift = moved
        found = _Affine(node.inputs[0], factor, shift, found.error + rounding + layer.coefficient_error)
        yield found


def _quotient(above: tuple[Factor, ...], below: tuple[Factor, ...]) -> tuple[Array | float, float]:
    """A product over a product, and a bound of its relative error; 0 where the numbers show that nothing is rounded.

    Raises UnsupportedModel if the result leaves the range of normal floats.
    """
    if all(isinstance(x, Fraction) or np.size(x) == 1 for x in (*above, *below)):
        exact = Fraction(1)
        for x in above:
            exact *= _exact(x)
        for x in below:
            exact /= _exact(x)
        if exact and not Fraction(np.finfo(float).tiny) <= abs(exact) <= Fraction(np.finfo(float).max):
            raise UnsupportedModel(_RANGE)
        value = float(exact)
        return value, 0.0 if Fraction(value) == exact else EPS
    # Mantissas and exponents apart, so that nothing between leaves the range.
    mantissa: Array = np.ones(())
    exponent: Array = np.zeros((), dtype=np.int64)
    roundings = 0
    for k, x in enumerate((*above, *below)):
        number = np.asarray(float(x) if isinstance(x, Fraction) else x)
        part, power = np.frexp(number)
        whole = not isinstance(x, Fraction) or Fraction(float(x)) == x
        # A power of two moves the exponent alone, and one other factor has nothing to be rounded with.
        if not whole or not np.all(np.isin(np.abs(part), (0.0, 0.5))):
            roundings += 1 if whole and k < len(above) else 2
        if k < len(above):
            mantissa, exponent = mantissa * part, exponent + power
        else:
            mantissa, exponent = mantissa / part, exponent - power
    result = np.ldexp(mantissa, exponent)
    size = np.abs(result)
    if not np.all((mantissa == 0) | ((size >= np.finfo(float).tiny) & (size <= np.finfo(float).max))):
        raise UnsupportedModel(_RANGE)
    return result, EPS * roundings if roundings > 1 else 0.0


_RANGE = "the factors of a product x g(x) leave the range of floats; scale the weights"


def _exact(value: Factor) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(float(np.max(value)))


def _node(graph: Graph, number: int) -> Node | None:
    return graph.nodes[number - 1] if number else None


def _name(node: Node | None) -> str:
    return node.layer.name if node is not None and isinstance(node.layer, Activation) else ""
