"""An attained lower bound: two inputs whose outputs are far apart, found by search and evaluated with known error.

What is returned is the quotient of two actual inputs with a running error bound, rounded down: of the unrolled network
(`stacked_ratio`, in twice the precision) or of the graph itself (`graph_ratio`, the difference of the two runs carried
along). There is one search (`search`) for both; it works on whichever of their maps is cheaper (`maps`, `graph_map`).
In a region (`within`) both inputs are points of it, decided in rational arithmetic.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sdpcert.attained import exact_ratio
from sdpcert.attained.attained import Attained as Attained
from sdpcert.attained.domain import Domain
from sdpcert.attained.local import improve as improve
from sdpcert.attained.local import pair_at as pair_at
from sdpcert.attained.maps import SearchedMap
from sdpcert.attained.pairs import Pair, leading_direction, pairs
from sdpcert.attained.quotient import attains as attains
from sdpcert.attained.quotient import chosen_rows
from sdpcert.attained.quotient import evaluate_ratio as evaluate_ratio
from sdpcert.attained.search import Search
from sdpcert.attained.setting import Setting
from sdpcert.attained.work import LEAST, RATE, Work, default_operations
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import AllInputs, Region

#: Points around which pairs are evaluated at the end, and the pairs of each.
FINALISTS = 2
PAIRS = 3
EVERYWHERE = AllInputs()


def attained_lower_bound(
    network: Network | StackedForm,
    seed: int = 0,
    operations: float | None = None,
    output_rows: Sequence[int] | None = None,
    *,
    region: Region = EVERYWHERE,
    output_pair: tuple[int, int] | None = None,
    effort: float = 1.0,
    most: float = np.inf,
    deadline: float = np.inf,
    claimed: StackedForm | None = None,
) -> Attained:
    """Search two inputs with a large difference quotient; the same seed gives the same result on the same machine.

    `operations` bounds the work of the search (multiplications, about); by default it follows from the network's size,
    as solving it forwards does (backwards may be faster), and the search ends earlier where it finds nothing more.
    `effort` multiplies it: 0 is the shortest search there is, 10 at most ten times the work, and more effort never
    finds less; `most` is where it ends whatever the effort, with a pair evaluated. No round begins after the
    `deadline`, in seconds of `time.perf_counter`. `output_rows` chooses outputs (counted from 0),
    `output_pair` the difference of two. Both inputs lie in the `region`, exactly. The pair's quotient is that of the
    graph that was given, or of `claimed`, its
    stacked form with the chosen outputs. Returns `lower = 0` for a constant network, or where the region has no two
    points in float64 whose outputs surely differ; raises ValueError for an effort that is no finite number from 0 on,
    rows that do not exist, or a region with another number of inputs.
    """
    if not 0 <= effort < np.inf:
        raise ValueError(f"effort must be a finite number that is not negative, not {effort!r}")
    if output_pair is not None:
        if output_rows is not None:
            raise ValueError("output_rows and output_pair are both given; choose one of them")
        network = network.output_pair(*output_pair)
    if isinstance(network, Network):
        output_rows = chosen_rows(output_rows, int(np.prod(network.output_shape)))
    elif output_rows is not None:
        network, output_rows = network.output_rows(output_rows), None
    claim: Network | StackedForm = network if claimed is None else claimed
    started = time.perf_counter()
    planned = default_operations(claim) if operations is None else operations
    left = max(most - evaluating(claim), LEAST)
    work = Work(min(planned, left / max(effort, 1.0)), effort, deadline - evaluating(claim) / RATE)
    with np.errstate(all="ignore"):
        setting = Setting.of(network, claim, output_rows, region, work)
        candidates = _candidates(setting.searched, setting.domain, seed, work, effort)
    return replace(setting.best(candidates), seconds=time.perf_counter() - started)


def evaluating(claim: Network | StackedForm) -> float:
    """What proving a pair is likely to take beside the search, in its operations, where that is much."""
    return exact_ratio.operations(claim) if isinstance(claim, StackedForm) else 0.0


def _candidates(searched: SearchedMap, domain: Domain, seed: int, work: Work, effort: float) -> list[Pair]:
    """Pairs to evaluate, the most promising first; none where every input is fixed."""
    if not searched.inputs:
        return []
    search = Search(searched, domain, seed, work, int(domain.patience * max(effort, 1.0) ** 0.5))
    found = search.run().best(FINALISTS)
    made: list[Pair] = []
    for point, direction in zip(found.points, found.directions, strict=True):
        better = leading_direction(searched, point, direction)
        made += pairs(searched, domain, point, better, search.size, PAIRS)
    return sorted(made, key=lambda pair: -pair.quotient)


__all__ = ["Attained", "attained_lower_bound", "attains", "evaluate_ratio", "evaluating", "improve", "pair_at"]
