"""What margins have to be above: zero for the real function, for float32 programs what evaluating it may lose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.arithmetic.norms import row_norms_up
from sdpcert.network.graph import Network
from sdpcert.robustness.execution import FLOAT32, error_bound, error_bound_around
from sdpcert.robustness.from_logits import LARGEST_FLOAT32_RADIUS, ROOT_TWO, ErrorBound
from sdpcert.robustness.links import Link, product_of_norms, prove_links
from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Room for the few roundings of one bound, each of 2^-53.
ROOM = 1 + 2.0**-50
#: Room for norms that other machines round otherwise, so that they can confirm the stated errors.
ELSEWHERE = 1 + 1e-6


@dataclass(frozen=True)
class Needed:
    """What every margin of an input has to be above on a region of some radius around it.

    `away` is the input's distance from the center of the errors; in Euclidean norm the region reaches `widening` times
    the radius, and `blur` times that where ends of a box are rounded outward.
    """

    errors: ErrorBound | None = None
    away: float = 0.0
    widening: float = 1.0
    blur: float = 0.0

    @staticmethod
    def of(errors: Errors | None, norm: str, point: Array) -> Needed:
        """What is needed around a point (inputs,)."""
        bound, away = (None, 0.0) if errors is None else (errors.bound, float(errors.distance_up(point[None])[0]))
        if norm == "l2":
            return Needed(bound, away)
        widening = math.nextafter(math.sqrt(len(point)), math.inf)
        return Needed(bound, away, widening, 4 * float(np.spacing(np.max(np.abs(point)))))

    def reach(self, radius: float) -> float:
        """How far the region reaches in Euclidean norm, rounded up."""
        rounded = 4 * float(np.spacing(radius)) if self.blur else 0.0
        return self.widening * (radius + self.blur + rounded) * ROOM if self.widening != 1 else radius

    def __call__(self, radius: float) -> float:
        """The value that margins have to be above, rounded up; infinite where float32 numbers may overflow."""
        if self.errors is None:
            return 0.0
        distance = (self.away + self.reach(radius)) * ROOM
        if not distance <= LARGEST_FLOAT32_RADIUS:
            return math.inf
        return math.nextafter(ROOT_TWO * (self.errors.offset + self.errors.slope * distance) * ROOM, math.inf)

    @property
    def growth(self) -> float:
        """How much more is needed for every unit of reach, rounded up."""
        return 0.0 if self.errors is None else ROOT_TWO * self.errors.slope * ROOM * ROOM


@dataclass(frozen=True, eq=False)
class Errors(ShortRepr):
    """What float32 evaluations may be wrong by: a vector of norm at most `offset + slope |x - center|`.

    Without a `center` that holds for every input of the file as the center.
    """

    bound: ErrorBound
    center: Array | None = None

    @staticmethod
    def of(model: Network, network: Network, inputs: Array, center: Array | None = None) -> Errors:
        """Those of a network whose last layers are the model's, from some center (inputs,) on or all of the inputs.

        Raises ValueError, naming the layer, where float32 evaluation has no bound.
        """
        links = _links(model, network)
        if center is None:
            return Errors(error_bound_around(network, links, inputs))
        return Errors(error_bound(network, links, center.reshape(network.input_shape), FLOAT32), center)

    @property
    def stated(self) -> Errors:
        """These with room for what other machines compute."""
        return Errors(ErrorBound(self.bound.offset * ELSEWHERE, self.bound.slope * ELSEWHERE), self.center)

    def distance_up(self, points: Array) -> Array:
        """Distances of inputs (n, inputs) of the file from their center, rounded up."""
        return np.zeros(len(points)) if self.center is None else row_norms_up(np.abs(points - self.center) * ROOM)

    def document(self) -> dict[str, Any]:
        """As a file of radii states them."""
        return {
            "offset": float(self.bound.offset).hex(),
            "slope": float(self.bound.slope).hex(),
            "center": None if self.center is None else encode(self.center),
        }


def _links(model: Network, network: Network) -> Sequence[Link]:
    """The links of a model, behind one for what comes before it."""
    before = len(network.nodes) - len(model.nodes)
    links = prove_links(model)
    if not before or len(links) == 1:
        return links if not before else prove_links(network)
    first = Link(0, before, product_of_norms(network.between(0, before)))
    return first, *(Link(link.start + before, link.end + before, link.constant) for link in links)
