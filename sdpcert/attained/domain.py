"""Where the search looks for its two inputs: all of them, or a part that it is projected into."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from sdpcert.attained.maps import unit

Array = np.ndarray


class Domain(ABC):
    """A set of inputs; the search moves points freely and projects them after every move."""

    #: Whether it is a union of cylinders over what the network reads, so that the other directions may be left out.
    everywhere: bool

    @abstractmethod
    def start(self, generator: np.random.Generator, inputs: int, distances: Array) -> Array:
        """Points to start at (rows), as far from the origin or from the middle of the set as `distances` says."""

    @abstractmethod
    def project(self, points: Array) -> Array:
        """The points of the set that are nearest to the rows, or near them; points of the set stay."""


class Everywhere(Domain):
    """All inputs."""

    everywhere = True

    def start(self, generator: np.random.Generator, inputs: int, distances: Array) -> Array:
        return unit(generator.standard_normal((len(distances), inputs))) * distances[:, None]

    def project(self, points: Array) -> Array:
        return points
