"""The two norms in which inputs are moved, as an attack sees them: sizes, directions, projections."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

Array = np.ndarray
#: Points of a ball are kept this much inside of it, so that rounding leaves them there.
INSIDE = 1 - 1e-6
LEAST = 1e-30


class Distance(ABC):
    """A norm on rows (points, inputs) of steps."""

    @abstractmethod
    def sizes(self, steps: Array) -> Array:
        """The norms (points,) of steps."""

    @abstractmethod
    def sizes_up(self, points: Array, centers: Array) -> Array:
        """The norms of `points - centers`, rounded up by far less than 1e-9."""

    @abstractmethod
    def dual(self, gradients: Array) -> Array:
        """How much a linear function with these gradients changes at most for a step of size one."""

    @abstractmethod
    def directions(self, gradients: Array) -> Array:
        """Steps of size one, or zero, along which linear functions fall most."""

    @abstractmethod
    def rescaled(self, steps: Array, sizes: Array) -> Array:
        """Steps brought to these sizes (points,)."""

    @abstractmethod
    def inside(self, steps: Array, radius: float) -> Array:
        """The nearest steps of at most this size, a little less for rounding."""

    @abstractmethod
    def random(self, generator: np.random.Generator, shape: tuple[int, int]) -> Array:
        """Random steps of sizes up to one."""


class Euclidean(Distance):
    """The Euclidean norm."""

    def sizes(self, steps: Array) -> Array:
        return np.sqrt(np.einsum("ij,ij->i", steps, steps))

    def sizes_up(self, points: Array, centers: Array) -> Array:
        steps = np.abs(points - centers)
        largest = steps.max(axis=1, initial=0.0)
        scaled = steps / np.where(largest > 0, largest, 1.0)[:, None]
        return self.sizes(scaled) * largest * (1 + (steps.shape[1] + 12) * 2.0**-52)

    def dual(self, gradients: Array) -> Array:
        return self.sizes(gradients)

    def directions(self, gradients: Array) -> Array:
        return -gradients / np.maximum(self.sizes(gradients), LEAST)[:, None]

    def rescaled(self, steps: Array, sizes: Array) -> Array:
        return steps * (sizes / np.maximum(self.sizes(steps), LEAST))[:, None]

    def inside(self, steps: Array, radius: float) -> Array:
        return steps * np.minimum(INSIDE * radius / np.maximum(self.sizes(steps), LEAST), 1.0)[:, None]

    def random(self, generator: np.random.Generator, shape: tuple[int, int]) -> Array:
        return self.rescaled(generator.standard_normal(shape), generator.random(shape[0]))


class Maximum(Distance):
    """The maximum norm."""

    def sizes(self, steps: Array) -> Array:
        return np.abs(steps).max(axis=1, initial=0.0)

    def sizes_up(self, points: Array, centers: Array) -> Array:
        return self.sizes(points - centers) * (1 + 2.0**-51)

    def dual(self, gradients: Array) -> Array:
        return np.abs(gradients).sum(axis=1)

    def directions(self, gradients: Array) -> Array:
        return -np.sign(gradients)

    def rescaled(self, steps: Array, sizes: Array) -> Array:
        return np.clip(steps, -sizes[:, None], sizes[:, None])

    def inside(self, steps: Array, radius: float) -> Array:
        return np.clip(steps, -INSIDE * radius, INSIDE * radius)

    def random(self, generator: np.random.Generator, shape: tuple[int, int]) -> Array:
        return generator.uniform(-1.0, 1.0, shape)


DISTANCES: dict[str, Distance] = {"l2": Euclidean(), "linf": Maximum()}
