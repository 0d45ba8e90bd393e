"""Products `x g(x)` that exporters write out for SiLU, Mish, hard swish and GELU."""

from __future__ import annotations

import numpy as np

from sdpcert.network import activations
from sdpcert.network.activations import Activation
from sdpcert.network.affine import Scale
from sdpcert.network.graph import Graph, Node


def gated_activation(graph: Graph, value: int, gate: int) -> tuple[Activation, int, float] | None:
    """Where `value * gate` is `factor * activation(x)`: the activation, the number of x, the factor; else None."""
    node = _node(graph, gate)
    name = _name(node)
    if node is not None and node.inputs == (value,):
        if name == "sigmoid":
            return activations.silu(), value, 1.0
        # The offset decides the slopes, 1/2 gives [-1/2, 3/2]; the slope 1/6, rounded in the file, scales the argument.
        if name == "hard_sigmoid":
            low, middle, high = node.layer(np.array([-1.0, 0.0, 1.0]))
            if middle != 0.5 or abs(low - 1 / 3) > 1e-6 or abs(high - 2 / 3) > 1e-6:
                return None
            return activations.hard_swish(), value, 1.0
    if node is not None and name == "tanh":
        before = _node(graph, node.inputs[0])
        if before is not None and _name(before) == "softplus" and before.inputs == (value,):
            return activations.mish(), value, 1.0
    return _gelu(graph, value, gate)


def _gelu(graph: Graph, value: int, gate: int) -> tuple[Activation, int, float] | None:
    """`h x * (p erf(c x) + p)` with c = 1/sqrt(2) is `2 h p gelu(x)`.

    Files hold c rounded to float32. That leaves the slopes alone: `x Phi(t x) = g(t x) / t` with g the GELU.
    """
    p, q, inside = _affine(graph, gate)
    node = _node(graph, inside)
    if node is None or _name(node) != "erf" or p != q:
        return None
    c, shift, root = _affine(graph, node.inputs[0])
    h, other, source = _affine(graph, value)
    if source != root or shift or other or abs(c * np.sqrt(2) - 1) > 1e-6:
        if value != root or shift or abs(c * np.sqrt(2) - 1) > 1e-6:
            return None
        h = 1.0
    factor = 2 * h * p
    if np.frexp(abs(factor))[0] != 0.5:  # then the products were rounded
        return None
    return activations.gelu(), root, float(factor)


def _affine(graph: Graph, number: int) -> tuple[float, float, int]:
    """`factor * x + shift` with scalars, and the number of x."""
    factor, shift = 1.0, 0.0
    while (node := _node(graph, number)) is not None and isinstance(node.layer, Scale):
        if np.size(node.layer.factor) != 1 or np.size(node.layer.shift) != 1:
            break
        shift += factor * float(np.ravel(node.layer.shift)[0])
        factor *= float(np.ravel(node.layer.factor)[0])
        number = node.inputs[0]
    return factor, shift, number


def _node(graph: Graph, number: int) -> Node | None:
    return graph.nodes[number - 1] if number else None


def _name(node: Node | None) -> str:
    return node.layer.name if node is not None and isinstance(node.layer, Activation) else ""
