"""Inputs of a box with unsafe outputs: found along gradients, and then confirmed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from sdpcert.attained.graph_map import GraphMap
from sdpcert.network.graph import Network
from sdpcert.readers.vnnlib import Case
from sdpcert.robustness.outputs_at import OutputsAt
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Points from which gradients are followed, side by side, how many steps, and the first one as a share of the box.
STARTS, STEPS, FIRST = 24, 30, 0.3
#: How many points that look unsafe are confirmed at most.
MOST_CANDIDATES = 12


@dataclass(frozen=True)
class Counterexample:
    """An input of a box, exact, where a clause is surely met, and ends between which each output is."""

    inputs: tuple[Fraction, ...]
    low: tuple[Fraction | float, ...]
    high: tuple[Fraction | float, ...]
    clause: int

    @property
    def outputs(self) -> tuple[float, ...]:
        """The outputs to the nearest float64, or nearly so."""
        return tuple(float(a) / 2 + float(b) / 2 for a, b in zip(self.low, self.high, strict=True))


@dataclass(eq=False)
class Falsifier(ShortRepr):
    """Looks in the box of a case for inputs with unsafe outputs; `unsafe` is the network that `unsafe_network` made.

    `unconfirmed` counts points that looked unsafe in float64 and were not confirmed.
    """

    case: Case
    unsafe: Network
    outputs: OutputsAt
    seed: int = 0
    unconfirmed: int = field(default=0, init=False)

    def confirmed(self, point: Array) -> Counterexample | None:
        """The point of the box that is nearest to a given one, if its outputs are unsafe beyond doubt."""
        inputs = self.case.box.nearest(point)
        if inputs is None:
            return None
        low, high = self.outputs.ends(inputs)
        clause = self.case.clause_met(low, high)
        if clause is None:
            self.unconfirmed += 1
            return None
        return Counterexample(inputs, tuple(low), tuple(high), clause)

    def search(self) -> Counterexample | None:
        """Follow gradients from the middle of the box and from random points, and confirm what looks unsafe."""
        points, margins = self._descended()
        order = [k for k in np.argsort(margins)[:MOST_CANDIDATES] if margins[k] <= 0]
        return next((found for k in order if (found := self.confirmed(points[k])) is not None), None)

    def _descended(self) -> tuple[Array, Array]:
        """The points with the least margins that were met, one for each start, and these margins, in float64.

        Half of the starts lower the least margin, the others that over one class for all steps.
        """
        generator, box, graph = np.random.default_rng(self.seed), self.case.box.outward, GraphMap(self.unsafe)
        middle, half = box.low / 2 + box.high / 2, box.high / 2 - box.low / 2
        points = middle + half * generator.uniform(-1.0, 1.0, (STARTS, len(half)))
        points[0] = middle
        aims = np.where(np.arange(STARTS) % 2 == 0, 0, generator.integers(1, graph.outputs, STARTS))
        best, least = points.copy(), np.full(STARTS, np.inf)
        for step in range(STEPS + 1):
            points = np.clip(points, box.low, box.high)
            margins, slopes = _evaluated(graph, points)
            now = margins.min(axis=1)
            best = np.where((now < least)[:, None], points, best)
            least = np.minimum(now, least)
            weights = np.zeros((STARTS, graph.outputs))
            rival = np.where(aims > 0, aims, 1 + margins.argmin(axis=1))
            weights[:, 0], weights[np.arange(STARTS), rival] = 1.0, -1.0
            gradients = graph.back(weights, lambda group, rows, slopes=slopes: rows * slopes[group])
            points = points - FIRST * (1 - step / (STEPS + 1)) * half * np.sign(gradients)
        return best, least


def _evaluated(graph: GraphMap, points: Array) -> tuple[Array, list[Array]]:
    """The margins of class 0 over the others at points, and the slopes of all activations."""
    slopes: list[Array] = []

    def at_neurons(group: int, rows: Array) -> Array:
        slopes.append(graph.groups[group].derivative(rows))
        return graph.groups[group](rows)

    with np.errstate(all="ignore"):
        outputs = graph.sweep(points, len(points), at_neurons)
    return np.nan_to_num(outputs[:, :1] - outputs[:, 1:], nan=np.inf), slopes
