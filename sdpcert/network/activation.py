"""What an elementwise activation is: a function, its derivative, and the interval that every slope of it lies in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Activation(ABC):
    """An elementwise function whose slopes `(phi(a) - phi(b)) / (a - b)` all lie in `[alpha, beta]`.

    A kind of activation is a subclass; its parameters are the fields of the dataclass, floats or arrays that broadcast
    against the tensor (one value per channel).
    """

    #: The name in certificates and in `sdpcert.network.activations.BY_NAME`.
    name: ClassVar[str]
    #: The coefficients (a, b, c) of `phi(-v) = a phi(v) + b v + c` where the function has this symmetry; a is 1 or -1.
    reflection: ClassVar[tuple[float, float, float] | None] = None
    #: Whether no value of the function is negative.
    nonnegative: ClassVar[bool] = False

    @abstractmethod
    def slopes(self) -> tuple[float | Array, float | Array]:
        """The ends of the slope interval, rounded outward where they are no float64."""

    @abstractmethod
    def __call__(self, values: Array) -> Array:
        """Evaluate the activation elementwise."""

    @abstractmethod
    def derivative(self, values: Array) -> Array:
        """The derivative, at a kink any slope of the interval: for the search of attained slopes, never for a proof."""

    @property
    def alpha(self) -> float | Array:
        """The lower end of the slope interval."""
        return self.slopes()[0]

    @property
    def beta(self) -> float | Array:
        """The upper end of the slope interval."""
        return self.slopes()[1]

    @property
    def pieces(self) -> tuple[float | Array, float | Array] | None:
        """The slopes below and above zero of a function that is linear on both sides and zero at zero, else None."""
        return None

    @property
    def is_linear(self) -> bool:
        """Whether the function is a multiplication by `alpha`."""
        return bool(np.all(np.asarray(self.alpha) == np.asarray(self.beta)))

    @property
    def identity(self) -> object:
        """What is the same for two functions that differ in their parameters alone.

        A kind that does not state its fields as a dataclass is only identical to itself.
        """
        return type(self) if "__dataclass_fields__" in vars(type(self)) else self

    @property
    def parameters(self) -> tuple[float | Array, ...]:
        """What distinguishes two functions of one kind, in the order of the fields."""
        return tuple(getattr(self, f.name) for f in fields(self))
