"""The links of a chain of layers, each with a Lipschitz constant that is proved for it alone.

Errors of evaluation pass through the layers after them: how much they grow is what these constants say. A link's
constant is the product of upper bounds of norms, or, where its layer claims less, what the layer's own multipliers
prove on the materialised weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.document import build_document
from sdpcert.certificate.torus_condition import TorusCondition
from sdpcert.certify.construction import LARGEST, prove_point, prove_point_on_torus
from sdpcert.certify.front import front_and_head
from sdpcert.check import check_document
from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Concat, Rearrange, Sum
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.network.graph import Network

#: Room for the rounding of products of bounds.
SLACK = 1 + 1e-9


@dataclass(frozen=True)
class Link:
    """Values `start` and `end` of a network with an upper bound of the Lipschitz constant between them."""

    start: int
    end: int
    constant: float


def prove_links(network: Network) -> tuple[Link, ...]:
    """The links of a chain of layers that know their constants, each proved by itself; one link for other networks."""
    if not isinstance(network, ConstructedNetwork):
        return (Link(0, network.output, product_of_norms(network)),)
    links = []
    for start, end in pairwise(sorted(network.construction.squared_gains)):
        piece = network.part(start, end)
        product = product_of_norms(piece)
        if product > math.sqrt(piece.construction.squared_gain) * (1 + 1e-4):
            product = min(product, _proved(piece))
        links.append(Link(start, end, product))
    return tuple(links)


def _proved(piece: ConstructedNetwork) -> float:
    """The constant that the layer's own multipliers prove; infinity where they do not.

    In exact arithmetic where that fits, for a convolution by the checker with rigorous floating-point bounds.
    """
    if sorts_pairs(piece):
        return 1.0
    try:
        if piece.neurons + int(np.prod(piece.input_shape)) <= LARGEST:
            proof = prove_point(piece.unshared.reduced(), piece.construction)
            return math.inf if proof is None else square_root_up(proof.rho, proof.exponent)
        embedding, form, head = front_and_head(piece, share=False)
        known = piece.construction.arranged(embedding.arrangement)
        torus = None if head is not None else prove_point_on_torus(form, known)
        if torus is None:
            return math.inf
        part = TorusCondition(form, torus)
        result = check_document(build_document(part, None, {}), exact=False)
        return part.upper if result.ok else math.inf
    except (ValueError, OverflowError):
        return math.inf


def sorts_pairs(piece: Network) -> bool:
    """Whether a graph is MaxMin or GroupSort of 2 (`piecewise.sorted_pairs`), which has the constant 1 at any size.

    With u = relu(a - b), of disjoint entries a and b, the outputs b + u and a - u are max(a, b) and min(a, b): sorting
    moves no two inputs apart.
    """
    kinds, wires = [n.layer for n in piece.nodes], [n.inputs for n in piece.nodes]
    count = len(kinds)
    ends = [(0,)] * (count - 8) + [tuple(range(7, count - 1)), (count - 1,)]
    if count not in (8, 9) or piece.output != count:
        return False
    if wires[:6] != [(0,), (0,), (1, 2), (3,), (2, 4), (1, 4)] or wires[6:-2] != ends[:-2] or wires[-1] != ends[-1]:
        return False
    if wires[-2] not in {(*pair, *ends[-2]) for pair in ((5, 6), (6, 5))}:
        return False
    first, second, difference, kind, larger, smaller, *rest, joined, last = kinds
    moves = [k for k in (first, second, *rest) if isinstance(k, Rearrange)]
    signs = [k.signs if isinstance(k, Sum) else None for k in (difference, larger, smaller)]
    if signs != [(1, -1), (1, 1), (1, -1)] or len(moves) != count - 6 or not isinstance(last, Rearrange):
        return False
    read = np.concatenate([m.indices.ravel() for m in moves])
    once = all(len(np.unique(k)) == len(k) and k.min(initial=0) >= 0 for k in (read, last.indices.ravel()))
    return once and isinstance(kind, Activation) and kind.name == "relu" and isinstance(joined, Concat)


def product_of_norms(network: Network) -> float:
    """A bound of the Lipschitz constant of a graph from upper bounds of its layers' norms."""
    gains = {0: 1.0}
    for number, node in enumerate(network.nodes, start=1):
        gains[number] = gain_of(
            node.layer, [gains[k] for k in node.inputs], [shape_of(network, k) for k in node.inputs]
        )
    return gains[network.output]


def shape_of(network: Network, value: int) -> tuple[int, ...]:
    """The shape of a value of a graph."""
    return network.input_shape if value == 0 else network.nodes[value - 1].shape


def gain_of(layer: AffineLayer | Activation, gains: list[float], shapes: list[tuple[int, ...]]) -> float:
    """A bound of a layer's output constant from those of its inputs."""
    if isinstance(layer, Activation):
        return layer.steepest * gains[0] * SLACK
    return float(layer.gain(gains, shapes)) * SLACK
