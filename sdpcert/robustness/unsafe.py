"""A question about outputs as one of a classifier: unsafe outputs are those where class 0 is not ahead of all others.

With `g_k = sum c_ki y_i - d_k` of the constraints of a clause, all of them hold where `p = max_k g_k <= 0`. A network
with the outputs `0, -p_1, -p_2, ...`, one for each clause, has its greatest output at class 0, alone, exactly where no
clause is met. So what proves that a class stays the greatest, and the file that says so, prove such questions too.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, inf, lcm, nextafter

import numpy as np

from sdpcert.network.affine import Concat, Dense, Rearrange
from sdpcert.network.graph import Graph, Network
from sdpcert.network.piecewise import maximum
from sdpcert.readers.vnnlib import Constraint

Array = np.ndarray
Clause = tuple[Constraint, ...]


def unsafe_network(network: Network, clauses: Sequence[Clause], source: str) -> Network:
    """The network with the output 0 and, for each clause that is not empty, one that is at least 0 where it is met.

    Bounds are rounded up, so that what is unsafe there includes all that the clauses say, strict or not.
    Raises ValueError for coefficients that no multiple of the constraint has in float64.
    """
    graph = Graph(network.input_shape)
    for node in network.nodes:
        graph.add(node.layer, *node.inputs)
    size = int(np.prod(network.output_shape))
    constraints = tuple(dict.fromkeys(constraint for clause in clauses for constraint in clause))
    rows, bounds = zip(*(_row(constraint, size) for constraint in constraints), strict=True)
    flat = graph.add(Rearrange(np.arange(size)), network.output)
    values = graph.add(Dense(np.array(rows), -np.array(bounds)), flat)
    place = {constraint: k for k, constraint in enumerate(constraints)}
    worst = [_largest(graph, values, [place[constraint] for constraint in clause]) for clause in clauses]
    together = worst[0] if len(worst) == 1 else graph.add(Concat(0), *worst)
    weights = np.vstack([np.zeros(len(clauses)), -np.eye(len(clauses))]) + 0.0
    return graph.network(graph.add(Dense(weights), together), source)


def _largest(graph: Graph, values: int, places: Sequence[int]) -> int:
    """The largest of some entries, by a tree of comparisons."""
    cells = [graph.add(Rearrange(np.array([k])), values) for k in dict.fromkeys(places)]
    while len(cells) > 1:
        pairs = [maximum(graph, a, b) for a, b in zip(cells[0::2], cells[1::2], strict=False)]
        cells = pairs + ([cells[-1]] if len(cells) % 2 else [])
    return cells[0]


def _row(constraint: Constraint, size: int) -> tuple[Array, float]:
    """Coefficients of the outputs and the bound, rounded up, of a positive multiple of a constraint."""
    numbers = [c for _, c in constraint.coefficients]
    factor = Fraction(1)
    if not all(map(_is_float64, numbers)):  # the least whole numbers
        factor = Fraction(lcm(*(c.denominator for c in numbers)), 1)
        factor /= gcd(*(int(c * factor) for c in numbers))
    row = np.zeros(size)
    for i, c in constraint.coefficients:
        if not _is_float64(c * factor):
            raise ValueError("the coefficients of a constraint on outputs have too many digits for float64")
        row[i] = float(c * factor)
    bound = constraint.bound * factor
    try:
        near = float(bound)
    except OverflowError:
        raise ValueError("the bound of a constraint on outputs is beyond the range of float64") from None
    return row, (nextafter(near, inf) if Fraction(near) < bound else near)


def _is_float64(number: Fraction) -> bool:
    try:
        return Fraction(float(number)) == number
    except OverflowError:
        return False
