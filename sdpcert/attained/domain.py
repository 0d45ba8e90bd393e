"""Where the search looks for its two inputs: all of them, or a part that it is projected into."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

Array = np.ndarray


class Domain(ABC):
    """A set of inputs; the search moves points freely and projects them after every move."""

    #: Whether it is a union of cylinders over what the network reads, so that the other directions may be left out.
    everywhere: bool

    @abstractmethod
    def start(self, generator: np.random.Generator, count: int, inputs: int, size: float) -> Array:
        """Points to start at (rows), where neurons change at distances of about `size` from the origin."""

    @abstractmethod
    def project(self, points: Array) -> Array:
        """The points of the set that are nearest to the rows, or near them; points of the set stay."""


class Everywhere(Domain):
    """All inputs."""

    everywhere = True

    def start(self, generator: np.random.Generator, count: int, inputs: int, size: float) -> Array:
        directions = generator.standard_normal((count, inputs)) / np.sqrt(inputs)
        return directions * size * 10.0 ** generator.uniform(-1, 1, (count, 1))

    def project(self, points: Array) -> Array:
        return points
