"""An attained lower bound: two inputs whose outputs are far apart, found by search and evaluated with known error.

What is returned is the quotient of two actual inputs with a running error bound, rounded down: of the unrolled network
(`stacked_ratio`, in twice the precision) or of the graph itself (`graph_ratio`, the difference of the two runs carried
along). There is one search (`search`) for both; it works on whichever of their maps is cheaper (`maps`, `graph_map`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.attained import graph_ratio, stacked_ratio
from sdpcert.attained.domain import Domain, Everywhere
from sdpcert.attained.graph_map import GraphMap
from sdpcert.attained.maps import BlockMap, SearchedMap, cost_of_read_space
from sdpcert.attained.pairs import Pair, leading_direction, pairs
from sdpcert.attained.search import PATIENCE, Search
from sdpcert.attained.work import Work, default_operations
from sdpcert.network.activation import Activation
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Points around which pairs are evaluated at the end, and the pairs of each.
FINALISTS = 2
PAIRS = 3
#: A quotient this near to what the next pair seems to have, relatively, is not worth another evaluation.
NEAR = 1e-8
#: Inputs and neurons, and layers of neurons, up to which a graph is unrolled for its search, where blocks are cheaper.
LARGEST_UNROLLED, MOST_LAYERS = 1024, 16
#: Rows of a typical sweep, by which maps are compared.
BATCH = 64


@dataclass(frozen=True, eq=False)
class Attained(ShortRepr):
    """`|f(x) - f(x_prime)| >= lower * |x - x_prime|`, x and x_prime flat arrays of the network's input size.

    `seconds` is how long it took to find them.
    """

    lower: float
    x: Array
    x_prime: Array
    seconds: float = 0.0


def attained_lower_bound(
    network: Network | StackedForm,
    seed: int = 0,
    operations: float | None = None,
    output_rows: Sequence[int] | None = None,
    *,
    effort: float = 1.0,
    most: float = np.inf,
    claimed: StackedForm | None = None,
) -> Attained:
    """Search two inputs with a large difference quotient; the same seed gives the same result on the same machine.

    `operations` bounds the work of the search (multiplications, about); by default it follows from the network's size,
    so that searching takes no longer than solving, and the search ends earlier where it finds nothing more. `effort`
    multiplies it: 0 is the shortest search there is, 10 at most ten times the work, and more effort never finds less;
    `most` is where it ends whatever the effort. `output_rows` chooses outputs (counted from 0). The pair's quotient is
    that of the graph that was given, or of `claimed`, its stacked form with the chosen outputs. Returns `lower = 0` for
    a constant network; raises ValueError for an effort that is no finite number from 0 on, or rows that do not exist.
    """
    if not 0 <= effort < np.inf:
        raise ValueError(f"effort must be a finite number that is not negative, not {effort!r}")
    if isinstance(network, Network):
        output_rows = _rows(output_rows, int(np.prod(network.output_shape)))
    elif output_rows is not None:
        network, output_rows = network.output_rows(output_rows), None
    claim: Network | StackedForm = network if claimed is None else claimed
    started = time.perf_counter()
    planned = default_operations(claim) if operations is None else operations
    work = Work(min(planned, most / max(effort, 1.0)), effort)
    domain = Everywhere()
    with np.errstate(all="ignore"):
        searched = _map_of(network, claim, output_rows, domain, work)
        candidates = _candidates(searched, domain, seed, work, effort)
    best = Attained(0.0, np.zeros(searched.all_inputs), np.zeros(searched.all_inputs))
    for pair in candidates:
        if best.lower >= pair.quotient * (1 - NEAR):
            break
        x, x_prime = searched.lift(np.stack([pair.x, pair.x_prime]))
        ratio = evaluate_ratio(claim, x, x_prime, output_rows if claim is network else None)
        if ratio > best.lower:
            best = Attained(ratio, x, x_prime)
    return replace(best, seconds=time.perf_counter() - started)


def _map_of(
    network: Network | StackedForm,
    claimed: Network | StackedForm,
    output_rows: list[int] | None,
    domain: Domain,
    work: Work,
) -> SearchedMap:
    """The cheapest map of a network whose stacked form, if that is what is `claimed`, is there already."""
    graph = GraphMap(network, output_rows) if isinstance(network, Network) else None
    form = claimed if isinstance(claimed, StackedForm) else None
    if form is None and isinstance(network, Network) and graph is not None and _is_soon_unrolled(network, graph):
        form = network.stacked if output_rows is None else network.stacked.output_rows(output_rows)
    maps = [m for m in (graph, None if form is None else _blocks(form, domain, work)) if m is not None]
    return min(maps, key=lambda m: BATCH * m.cost + m.overhead)


def _is_soon_unrolled(network: Network, graph: GraphMap) -> bool:
    """Whether the stacked form is there, or takes few products of layers."""
    layers = sum(isinstance(node.layer, Activation) and not node.layer.is_linear for node in network.nodes)
    return graph.inputs + graph.size <= LARGEST_UNROLLED and ("stacked" in vars(network) or layers <= MOST_LAYERS)


def _blocks(form: StackedForm, domain: Domain, work: Work) -> BlockMap:
    """The map of a stacked form, in the space that it reads where finding that space costs little of the work."""
    cost = cost_of_read_space(form)
    reduce = domain.everywhere and 8 * cost < work.planned
    work.spend(cost if reduce else 0.0)
    return BlockMap(form, reduce)


def _candidates(searched: SearchedMap, domain: Domain, seed: int, work: Work, effort: float) -> list[Pair]:
    """Pairs to evaluate, the most promising first."""
    search = Search(searched, domain, seed, work, int(PATIENCE * max(effort, 1.0) ** 0.5))
    found = search.run().best(FINALISTS)
    made: list[Pair] = []
    for point, direction in zip(found.points, found.directions, strict=True):
        better = leading_direction(searched, point, direction)
        made += pairs(searched, domain, point, better, search.size, PAIRS)
    return sorted(made, key=lambda pair: -pair.quotient)


def evaluate_ratio(
    network: Network | StackedForm, x: Array, x_prime: Array, output_rows: Sequence[int] | None = None
) -> float:
    """A float that is at most |f(x) - f(x')| / |x - x'| for the real function of the stored weights; 0 where nothing
    is sure.

    In a `Network`, every layer's `coefficient_error` is added to the error bound, so the ratio also holds for the
    weights that were rounded; offsets are meant as stored. `output_rows` are the outputs that count (row major, counted
    from 0).
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


__all__ = ["Attained", "attained_lower_bound", "evaluate_ratio"]
