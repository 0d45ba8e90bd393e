"""Where the search looks for its two inputs: all of them, or a part that it is projected into."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from sdpcert.attained.derivatives import typical_size
from sdpcert.attained.maps import SearchedMap, norms, unit

Array = np.ndarray


class Domain(ABC):
    """A set of inputs; the search moves points freely and projects them after every move.

    What has a default is for sets that the search sees from the origin, without an end that matters to it.
    """

    #: Whether a pair has to be fitted between ends of the set.
    bounded: bool = False
    #: The range of the distances at which climbs start (decimal logarithms, relative to the size).
    far: tuple[float, float] = (-1.0, 0.5)
    #: Rounds without growth after which a search ends.
    patience: int = 3
    #: What a round spends on switching neurons, relative to what climbing takes.
    switching: float = 2.0

    @abstractmethod
    def start(self, generator: np.random.Generator, inputs: int, distances: Array) -> Array:
        """Points to start at (rows), as far from the origin as `distances` says, or from it to the ends of the set."""

    @abstractmethod
    def project(self, points: Array) -> Array:
        """The points of the set that are nearest to the rows, or near them; points of the set stay."""

    def size(self, searched: SearchedMap) -> float:
        """A typical distance from the origin at which the search starts."""
        return typical_size(searched)

    def lengths(self, points: Array, size: float) -> Array:
        """What the steps from points (rows) are relative to, for a search of this `size`."""
        return norms(points)

    def spreads(self, searched: SearchedMap) -> list[Array] | None:
        """How far preactivations move in the set, an array for each group; None where only their size tells."""
        return None

    def reaches(self, points: Array, values: Array, gradients: Array) -> Array:
        """Which affine functions change their sign in the set, by their values (points, functions) and gradients
        (points, inputs, functions) at points.
        """
        return np.ones(values.shape, dtype=bool)

    def centring(self, points: Array) -> tuple[Array, Array] | None:
        """A metric of the set (its diagonal) and the steps from points to its middle; None if it has no middle."""
        return None

    def chords(self, points: Array, directions: Array) -> tuple[Array, Array]:
        """The least and greatest t (one for each row) with `point + t direction` in the set."""
        ends = np.full(len(points), np.inf)
        return -ends, ends


class Everywhere(Domain):
    """All inputs."""

    def start(self, generator: np.random.Generator, inputs: int, distances: Array) -> Array:
        return unit(generator.standard_normal((len(distances), inputs))) * distances[:, None]

    def project(self, points: Array) -> Array:
        return points
