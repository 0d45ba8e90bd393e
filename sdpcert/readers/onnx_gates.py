"""Products `x g(x)` that exporters write out for SiLU, Swish, Mish, hard swish and GELU."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.network import activations
from sdpcert.network.activations import Activation
from sdpcert.network.affine import Scale
from sdpcert.network.graph import Graph, Node
from sdpcert.readers.error_bounds import EPS


@dataclass(frozen=True)
class Gated:
    """`factor * kind(inner * x)` with x the value `number`; `error` bounds the relative error of both numbers."""

    kind: Activation
    number: int
    inner: float = 1.0
    factor: float = 1.0
    error: float = 0.0


@dataclass(frozen=True)
class _Scaled:
    """`factor * x + shift` with x the value `number`; `error` bounds the relative error of the factor."""

    number: int
    factor: float = 1.0
    shift: float = 0.0
    error: float = 0.0


def gated_activation(graph: Graph, value: int, gate: int) -> Gated | None:
    """What `value * gate` is where it is one of the known forms, else None."""
    node = _node(graph, gate)
    name = _name(node)
    if node is not None and node.inputs == (value,):
        if name == "sigmoid":
            return Gated(activations.silu(), value)
        # The offset decides the slopes, 1/2 gives [-1/2, 3/2]; the slope 1/6, rounded in the file, scales the argument.
        if name == "hard_sigmoid" and _at(node, 0.0) == 0.5 and abs(_slope(node) - 1 / 6) <= 1e-6:
            return Gated(activations.hard_swish(), value)
    if node is not None and name == "tanh":
        before = _node(graph, node.inputs[0])
        if before is not None and _name(before) == "softplus" and before.inputs == (value,):
            return Gated(activations.mish(), value)
    return _gelu(graph, value, gate) or _swish(graph, value, gate)


def _swish(graph: Graph, value: int, gate: int) -> Gated | None:
    """`h x p g(c x)` with a sigmoid, a hard sigmoid or a clamp g.

    With the sigmoid it is `h p silu(c x) / c`. With `clip(a v + 1/2, 0, 1)`, and so with a clamp of `c x + s` to
    [0, 2 s], it is a hard swish whose argument is scaled.
    """
    outer = _chain(graph, gate)[-1]
    node = _node(graph, outer.number)
    clamp = _clamp(graph, outer.number)
    if outer.shift or node is None or not outer.factor:
        return None
    kind, source = (_name(node), node.inputs[0]) if clamp is None else ("clip", clamp[2])
    inside = _chain(graph, source)
    for scaled in _chain(graph, value):
        argument = next((a for a in inside if a.number == scaled.number), None)
        if argument is None or scaled.shift or not argument.factor:
            continue
        h, p, c, s = (Fraction(k) for k in (scaled.factor, outer.factor, argument.factor, argument.shift))
        if kind == "sigmoid" and not s:
            made, inner, factor = activations.silu(), c, h * p / c
        elif kind == "hard_sigmoid" and not s and _at(node, 0.0) == 0.5 and _slope(node):
            inner = 6 * Fraction(_slope(node)) * c
            made, factor = activations.hard_swish(), h * p / inner
        elif clamp is not None and s > 0 and (clamp[0], clamp[1]) == (0.0, 2 * argument.shift):
            inner = 3 * c / s
            made, factor = activations.hard_swish(), h * p * 2 * s / inner
        else:
            return None
        error = scaled.error + outer.error + argument.error
        exact = error == 0 and all(Fraction(float(k)) == k for k in (inner, factor))
        return Gated(made, scaled.number, float(inner), float(factor), 0.0 if exact else error + EPS)
    return None


def _clamp(graph: Graph, number: int) -> tuple[float, float, int] | None:
    """The ends of a clamp, or of a ReLU and a clamp one after the other, and what they clamp; None for other values."""
    low, high, found = -np.inf, np.inf, False
    while (node := _node(graph, number)) is not None and _name(node) in ("relu", "clip"):
        ends = node.layer(
            np.broadcast_to(np.array([-np.inf, np.inf]).reshape(2, *(1,) * len(node.shape)), (2, *node.shape))
        )
        lower, upper = np.unique(ends[0]), np.unique(ends[1])
        if len(lower) != 1 or len(upper) != 1 or lower[0] > high or upper[0] < low:
            return None
        low, high, found = max(low, float(lower[0])), min(high, float(upper[0])), True
        number = node.inputs[0]
    return (low, high, number) if found else None


def _gelu(graph: Graph, value: int, gate: int) -> Gated | None:
    """`h x * (p erf(c x) + p)` with c = 1/sqrt(2) is `2 h p gelu(x)`.

    Files hold c rounded to float32. That leaves the slopes alone: `x Phi(t x) = g(t x) / t` with g the GELU.
    """
    outer = _chain(graph, gate)[-1]
    node = _node(graph, outer.number)
    if node is None or _name(node) != "erf" or outer.factor != outer.shift:
        return None
    inside, own = _chain(graph, node.inputs[0])[-1], _chain(graph, value)[-1]
    root, h = inside.number, own.factor
    if own.number != root or inside.shift or own.shift or abs(inside.factor * np.sqrt(2) - 1) > 1e-6:
        if value != root or inside.shift or abs(inside.factor * np.sqrt(2) - 1) > 1e-6:
            return None
        h = 1.0
    factor = 2 * h * outer.factor
    if np.frexp(abs(factor))[0] != 0.5:  # then the products were rounded
        return None
    return Gated(activations.gelu(), root, 1.0, float(factor))


def _chain(graph: Graph, number: int) -> list[_Scaled]:
    """The value as a multiple of itself, then of what it is a scaling of, and so on, by single numbers."""
    chain = [_Scaled(number)]
    while (node := _node(graph, number)) is not None and isinstance(node.layer, Scale):
        if np.size(node.layer.factor) != 1 or np.size(node.layer.shift) != 1:
            break
        last, (number,) = chain[-1], node.inputs
        step, moved = float(np.ravel(node.layer.factor)[0]), float(np.ravel(node.layer.shift)[0])
        factor = last.factor * step
        rounding = 0.0 if Fraction(factor) == Fraction(last.factor) * Fraction(step) else EPS
        error = last.error + node.layer.coefficient_error + rounding
        chain.append(_Scaled(number, factor, last.shift + last.factor * moved, error))
    return chain


def _at(node: Node, point: float) -> float:
    return float(node.layer(np.full((1, *node.shape), point)).flat[0])


def _slope(node: Node) -> float:
    """The slope of a hard sigmoid, which is one end of its interval; the other is zero."""
    assert isinstance(node.layer, Activation)
    return float(np.ravel(node.layer.alpha)[0] + np.ravel(node.layer.beta)[0])


def _node(graph: Graph, number: int) -> Node | None:
    return graph.nodes[number - 1] if number else None


def _name(node: Node | None) -> str:
    return node.layer.name if node is not None and isinstance(node.layer, Activation) else ""
