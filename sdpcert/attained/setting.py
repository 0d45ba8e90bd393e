"""Where a search takes place: the map that it works on, the domain that it looks in, and how a pair is proved there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.attained.attained import Attained
from sdpcert.attained.domain import Domain, Everywhere
from sdpcert.attained.graph_map import GraphMap
from sdpcert.attained.maps import BlockMap, SearchedMap, cost_of_read_space, norms, unit
from sdpcert.attained.pairs import Pair
from sdpcert.attained.quotient import evaluate_ratio
from sdpcert.attained.within import LocalMap, Place
from sdpcert.attained.work import Work
from sdpcert.network.activation import Activation
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Region

Array = np.ndarray
#: A quotient this near to what the next pair seems to have, relatively, is not worth another evaluation.
NEAR = 1e-8
#: Inputs and neurons, and layers of neurons, up to which a graph is unrolled for its search, where blocks are cheaper.
LARGEST_UNROLLED, MOST_LAYERS = 1024, 16
#: Rows of a typical sweep, by which maps are compared.
BATCH = 64
#: Of quotients this near to the best, relatively, the pair that is widest apart is evaluated: it loses least.
ALIKE = 1e-9
#: Pairs that are evaluated at most.
MOST_PROOFS = 12
#: Operations for every weight that evaluating a pair takes, and what evaluating may take in any case.
EVALUATION, EVALUATIONS = 450.0, 5e9
#: By how much a pair is drawn together until both its points are surely in the region, relative to where they are.
SHRUNK = [0.0, *(2.0**-k for k in range(52, 3, -4))]


@dataclass(frozen=True, eq=False)
class Setting:
    """A map and a domain in its coordinates, for pairs of inputs of `region` whose quotient is that of `claim`.

    `rows` are the outputs that count where the claim is a graph; `proofs` is how many pairs may be evaluated.
    """

    claim: Network | StackedForm
    rows: list[int] | None
    region: Region
    searched: SearchedMap
    domain: Domain
    proofs: int = MOST_PROOFS

    @staticmethod
    def of(
        network: Network | StackedForm,
        claim: Network | StackedForm,
        rows: list[int] | None,
        region: Region,
        work: Work,
    ) -> Setting:
        """The setting on the cheapest map; raises ValueError if the region has another number of inputs."""
        claimed_rows = rows if claim is network else None
        proofs = _proofs(claim, work)
        if not region.bounded:
            searched = _map_of(network, claim, rows, True, work)
            return Setting(claim, claimed_rows, region, searched, Everywhere(), proofs)
        inputs = network.inputs if isinstance(network, StackedForm) else int(np.prod(network.input_shape))
        fitted = region.fitted(inputs)
        place = Place.of(fitted, inputs)
        searched = LocalMap(_map_of(network, claim, rows, place.round, work), place)
        return Setting(claim, claimed_rows, fitted, searched, place.domain(searched), proofs)

    @property
    def size(self) -> float:
        """A typical length in the domain."""
        return self.domain.size(self.searched)

    def row(self, point: Array) -> Array:
        """The row of the domain that stands for an input, or is near it; raises ValueError for another number."""
        return self.domain.project(self.searched.coordinates(self._flat(point))[None])[0]

    def direction(self, direction: Array) -> Array:
        """The direction of rows, of length one, that stands for one of inputs; zero where it stands still.

        Raises ValueError for another number of entries.
        """
        return unit(self.searched.moves(unit(self._flat(direction)[None])[0])[None])[0]

    def _flat(self, point: Array) -> Array:
        flat = np.asarray(point, dtype=float).ravel()
        if len(flat) != self.searched.all_inputs:
            raise ValueError(f"the network reads {self.searched.all_inputs} numbers, not {len(flat)}")
        return flat

    def best(self, pairs: list[Pair]) -> Attained:
        """The best of pairs, of which the most promising come first; `lower = 0` if none is one of the region.

        What a proof loses is about the same number for all pairs near one point, so in a bounded domain, where there
        are pairs of many lengths, it is learnt from those that were evaluated.
        """
        nothing = self.searched.lift(np.zeros((1, self.searched.inputs)))[0]
        best = Attained(0.0, nothing, nothing)
        apart = norms(np.stack([pair.x - pair.x_prime for pair in pairs])) if pairs else np.zeros(0)
        hoped = np.array([pair.quotient for pair in pairs])
        left, lost = np.ones(len(pairs), dtype=bool), 0.0
        for _ in range(min(len(pairs), self.proofs)):
            expected = np.where(left, hoped - lost / apart, 0.0)
            alike = expected >= np.max(expected) * (1 - ALIKE)
            chosen = int(np.argmax(np.where(alike, apart, 0.0)) if self.domain.bounded else np.argmax(left))
            if best.lower >= expected[chosen] * (1 - NEAR):
                break
            left[chosen] = False
            inside = self._inside(np.stack([pairs[chosen].x, pairs[chosen].x_prime]))
            if inside is None:
                continue
            ratio = evaluate_ratio(self.claim, inside[0], inside[1], self.rows, repeatable=True)
            if self.domain.bounded:
                lost = max(lost, (hoped[chosen] - ratio) * apart[chosen] * (1.0 if ratio else 2.0))
            if ratio > best.lower:
                best = Attained(ratio, inside[0], inside[1])
        return best

    def _inside(self, rows: Array) -> Array | None:
        """Two inputs of the region that stand for two rows, drawn towards the origin of the rows as far as needed."""
        for part in SHRUNK:
            points = self.searched.lift(rows * (1 - part))
            if all(self.region.contains(point) for point in points):
                return points
        return None


def _proofs(claim: Network | StackedForm, work: Work) -> int:
    """How many pairs may be evaluated: of a form with many weights as few as the work pays for, but one."""
    if isinstance(claim, Network):
        return MOST_PROOFS
    weights = float(sum(block.weights.size for block in claim.blocks.values()))
    allowed = max(work.planned, EVALUATIONS) / (EVALUATION * max(weights, 1.0))
    return int(min(max(allowed, 1.0), MOST_PROOFS))


def _map_of(
    network: Network | StackedForm,
    claimed: Network | StackedForm,
    output_rows: list[int] | None,
    reduce: bool,
    work: Work,
) -> SearchedMap:
    """The cheapest map of a network whose stacked form, if that is what is `claimed`, is there already.

    With `reduce` it may leave out what the network does not read.
    """
    graph = GraphMap(network, output_rows) if isinstance(network, Network) else None
    form = claimed if isinstance(claimed, StackedForm) else None
    if form is None and isinstance(network, Network) and graph is not None and _is_soon_unrolled(network, graph):
        form = network.stacked if output_rows is None else network.stacked.output_rows(output_rows)
    maps = [m for m in (graph, None if form is None else _blocks(form, reduce, work)) if m is not None]
    return min(maps, key=lambda m: BATCH * m.cost + m.overhead)


def _is_soon_unrolled(network: Network, graph: GraphMap) -> bool:
    """Whether the stacked form is there, or takes few products of layers."""
    layers = sum(isinstance(node.layer, Activation) and not node.layer.is_linear for node in network.nodes)
    return graph.inputs + graph.size <= LARGEST_UNROLLED and ("stacked" in vars(network) or layers <= MOST_LAYERS)


def _blocks(form: StackedForm, reduce: bool, work: Work) -> BlockMap:
    """The map of a stacked form, in the space that it reads where finding that space costs little of the work."""
    cost = cost_of_read_space(form)
    reduce = reduce and 8 * cost < work.planned
    work.spend(cost if reduce else 0.0)
    return BlockMap(form, reduce)
