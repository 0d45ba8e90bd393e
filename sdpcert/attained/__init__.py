"""An attained lower bound: two inputs whose outputs are far apart, found by search and evaluated with known error.

What is returned is the quotient of two actual inputs with a running error bound, rounded down: of the unrolled network
(`stacked_ratio`, in twice the precision) or of the graph itself (`graph_ratio`, the difference of the two runs carried
along). The search is `search`, the maps it works on are in `maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.attained import graph_ratio, stacked_ratio
from sdpcert.attained.maps import GraphMap, StackedMap
from sdpcert.attained.search import Search
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
#: Operations that the search may spend; iteration counts follow from it, never from the clock.
OPERATIONS = 1e10
#: The same for a network that is searched as a graph, where large convolutions are fast: about ten seconds on one core.
GRAPH_OPERATIONS = 1.5e11


@dataclass(frozen=True, eq=False)
class Attained:
    """`|f(x) - f(x_prime)| >= lower * |x - x_prime|`, x and x_prime flat arrays of the network's input size."""

    lower: float
    x: Array
    x_prime: Array


def attained_lower_bound(
    network: Network | StackedForm,
    seed: int = 0,
    operations: float | None = None,
    output_rows: Sequence[int] | None = None,
) -> Attained:
    """Search two inputs with a large difference quotient; the same seed gives the same result.

    A `Network` is searched as the graph it is, without unrolling convolutions. `operations` bounds the work of the
    search (multiplications, about), `output_rows` chooses outputs (counted from 0). Returns `lower = 0` for a constant
    network.
    """
    if isinstance(network, Network):
        budget = GRAPH_OPERATIONS if operations is None else operations
        output_rows = _rows(output_rows, int(np.prod(network.output_shape)))
        searched = GraphMap(network, budget, output_rows)
    else:
        budget = OPERATIONS if operations is None else operations
        if output_rows is not None:
            network, output_rows = network.output_rows(output_rows), None
        searched = StackedMap(network)
    with np.errstate(all="ignore"):
        candidates = Search(searched, seed, budget).run()
    best = Attained(0.0, np.zeros(searched.inputs), np.zeros(searched.inputs))
    for x, x_prime in candidates:
        ratio = evaluate_ratio(network, x, x_prime, output_rows)
        if ratio > best.lower:
            best = Attained(ratio, x, x_prime)
    return best


def evaluate_ratio(
    network: Network | StackedForm, x: Array, x_prime: Array, output_rows: Sequence[int] | None = None
) -> float:
    """A float that is at most |f(x) - f(x')| / |x - x'| for the real function of the stored weights; 0 where nothing
    is sure.

    In a `Network`, every layer's `coefficient_error` is charged, so the bound also holds for the weights that were
    rounded; offsets are meant as stored. `output_rows` are the outputs that count (row major, counted from 0).
    """
    x, x_prime = np.array(x, dtype=float).ravel(), np.array(x_prime, dtype=float).ravel()
    inputs = int(np.prod(network.input_shape)) if isinstance(network, Network) else network.inputs
    if not len(x) == len(x_prime) == inputs:
        raise ValueError(f"the network reads {inputs} numbers, not {len(x)} and {len(x_prime)}")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(x_prime))) or np.array_equal(x, x_prime):
        return 0.0
    with np.errstate(all="ignore"):
        if isinstance(network, Network):
            rows = _rows(output_rows, int(np.prod(network.output_shape)))
            sure = graph_ratio.sure_difference(network, x[None], x_prime[None], rows)[0]
        else:
            form = network if output_rows is None else network.output_rows(output_rows)
            sure = stacked_ratio.sure_difference(form, x, x_prime)
    if not np.all(np.isfinite(sure)) or not np.any(sure):
        return 0.0
    return stacked_ratio.quotient_down(sure, x, x_prime)


def _rows(rows: Sequence[int] | None, outputs: int) -> list[int] | None:
    if rows is None:
        return None
    chosen = [int(r) for r in rows]
    if not chosen:
        raise ValueError("no output row was chosen")
    for row in chosen:
        if not 0 <= row < outputs:
            raise ValueError(f"output row {row} does not exist; the network has rows 0 to {outputs - 1}")
    return chosen


__all__ = ["GRAPH_OPERATIONS", "OPERATIONS", "Attained", "attained_lower_bound", "evaluate_ratio"]
