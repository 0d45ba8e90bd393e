"""Activations that are linear on pieces: ReLU and its relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdpcert.network.activation import Activation

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Relu(Activation):
    """ReLU, slopes [0, 1]."""

    name: ClassVar[str] = "relu"
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def pieces(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.maximum(values, 0.0)

    def derivative(self, values: Array) -> Array:
        return (values > 0).astype(float)


@dataclass(frozen=True, eq=False)
class LeakyRelu(Activation):
    """LeakyReLU or PReLU with the given slope on the negative side, slopes between that slope and 1."""

    slope: float | Array = 0.01
    name: ClassVar[str] = "leaky_relu"

    def __post_init__(self) -> None:
        slope = np.asarray(self.slope, dtype=float)
        if not np.all(np.isfinite(slope)):
            raise ValueError("leaky_relu: the slope must be finite")
        object.__setattr__(self, "slope", slope if slope.ndim else float(slope))

    def slopes(self) -> tuple[float | Array, float | Array]:
        if isinstance(self.slope, float):
            return min(self.slope, 1.0), max(self.slope, 1.0)
        return np.minimum(self.slope, 1.0), np.maximum(self.slope, 1.0)

    @property
    def pieces(self) -> tuple[float | Array, float | Array]:
        return self.slope, 1.0

    def __call__(self, values: Array) -> Array:
        return np.where(values > 0, values, self.slope * values)

    def derivative(self, values: Array) -> Array:
        return np.where(values > 0, 1.0, self.slope)


@dataclass(frozen=True, eq=False)
class Absolute(Activation):
    """Absolute value, slopes [-1, 1]."""

    name: ClassVar[str] = "abs"
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0

    @property
    def pieces(self) -> tuple[float, float]:
        return -1.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.abs(values)

    def derivative(self, values: Array) -> Array:
        return np.where(values >= 0, 1.0, -1.0)


@dataclass(frozen=True, eq=False)
class Clip(Activation):
    """Clamp to [lower, upper] (ReLU6, hardtanh), slopes [0, 1].

    Raises ValueError where the lower end is above the upper end, or an end is NaN.
    """

    lower: float | Array
    upper: float | Array
    name: ClassVar[str] = "clip"

    def __post_init__(self) -> None:
        if not np.all(np.asarray(self.lower) <= np.asarray(self.upper)):
            raise ValueError("clip: the lower end is above the upper end")

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.clip(values, self.lower, self.upper)

    def derivative(self, values: Array) -> Array:
        return ((values > self.lower) & (values < self.upper)).astype(float)


@dataclass(frozen=True, eq=False)
class HardSigmoid(Activation):
    """Hard sigmoid `clip(slope * v + offset, 0, 1)`, slopes between 0 and `slope`."""

    slope: float = 0.2
    offset: float = 0.5
    name: ClassVar[str] = "hard_sigmoid"
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return min(0.0, self.slope), max(0.0, self.slope)

    def __call__(self, values: Array) -> Array:
        return np.clip(self.slope * values + self.offset, 0.0, 1.0)

    def derivative(self, values: Array) -> Array:
        inside = (self.slope * values + self.offset > 0) & (self.slope * values + self.offset < 1)
        return np.where(inside, self.slope, 0.0)


@dataclass(frozen=True, eq=False)
class Crop(Activation):
    """The identity where a convolution is about to read: on a torus, neurons that pass what is inside the image.

    The slopes are [lowest, 1]: with 0 the neuron may also be one that passes nothing.
    """

    lowest: float = 1.0
    name: ClassVar[str] = "crop"

    def slopes(self) -> tuple[float, float]:
        return self.lowest, 1.0

    def __call__(self, values: Array) -> Array:
        return values

    def derivative(self, values: Array) -> Array:
        return np.ones_like(values)
