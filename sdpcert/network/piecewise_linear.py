"""Activations that are linear on pieces: ReLU and its relatives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from math import nextafter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdpcert.network.activation import FLOAT64, Activation

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray
Numbers = float | Array
Segment = tuple[Numbers, Numbers, Numbers]
#: Numbers that ONNX states in float32.
SINGLE_HUNDREDTH, SINGLE_FIFTH = float(np.float32(0.01)), float(np.float32(0.2))


@dataclass(frozen=True, eq=False)
class PiecewiseLinear(Activation):
    """A continuous function that is linear between kinks which float64 holds; the rest follows from its pieces."""

    @property
    @abstractmethod
    def segments(self) -> tuple[Segment, ...]:
        """Every piece from the left: where it begins, its slope, and its value at zero; all of them exact."""

    def slopes(self) -> tuple[Numbers, Numbers]:
        inclines = [np.asarray(slope, dtype=float) for _, slope, _ in self.segments]
        low, high = reduce(np.minimum, inclines), reduce(np.maximum, inclines)
        return (low, high) if np.ndim(low) else (float(low), float(high))

    @property
    def pieces(self) -> tuple[Numbers, Numbers] | None:
        if len(self.segments) != 2:
            return None
        (_, below, at_zero), (kink, above, at_zero_too) = self.segments
        return None if any(np.any(number) for number in (kink, at_zero, at_zero_too)) else (below, above)

    @property
    def kinks(self) -> tuple[Numbers, ...]:
        return tuple(first for first, _, _ in self.segments[1:])

    def slopes_on(self, low: Numbers, high: Numbers) -> tuple[Array, Array]:
        low, high, alpha, beta = self.on_interval(low, high)
        least, most = np.full(low.shape, np.inf), np.full(low.shape, -np.inf)
        for first, last, slope in self._stretches():
            met = ((first < high) & (last > low) & (first < last)) | ((low == high) & (first <= low) & (last >= high))
            least, most = np.where(met, np.minimum(least, slope), least), np.where(met, np.maximum(most, slope), most)
        known = least <= most  # not so where an end is no number
        return np.where(known, least, alpha), np.where(known, most, beta)

    def linear_on(self, low: Numbers, high: Numbers) -> tuple[Array, Array]:
        low, high, slopes, _ = self.on_interval(low, high)
        sure = np.full(low.shape, self.is_linear)
        for first, last, slope in self._stretches():
            inside = (first <= low) & (high <= last)
            sure, slopes = sure | inside, np.where(inside, slope, slopes)
        return sure, slopes

    def segment(self, values: Array) -> tuple[Array, Array]:
        slopes = at_zero = np.zeros(values.shape)
        for first, slope, value in self.segments:
            beyond = values > first
            slopes, at_zero = np.where(beyond, slope, slopes), np.where(beyond, value, at_zero)
        return slopes, at_zero

    def _stretches(self) -> list[tuple[Numbers, Numbers, Numbers]]:
        """Every piece as where it begins, where it ends, and its slope."""
        ends = [first for first, _, _ in self.segments[1:]] + [np.inf]
        return [(first, last, slope) for (first, slope, _), last in zip(self.segments, ends, strict=True)]


@dataclass(frozen=True, eq=False)
class Relu(PiecewiseLinear):
    """ReLU, slopes [0, 1]."""

    name: ClassVar[str] = "relu"
    nonnegative: ClassVar[bool] = True
    roundings = 0
    torch_functions = ("relu",)
    onnx = "Relu"

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (-np.inf, 0.0, 0.0), (0.0, 1.0, 0.0)

    def __call__(self, values: Array) -> Array:
        return np.maximum(values, 0.0)

    def derivative(self, values: Array) -> Array:
        return (values > 0).astype(float)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.relu()


@dataclass(frozen=True, eq=False)
class LeakyRelu(PiecewiseLinear):
    """LeakyReLU or PReLU with the given slope on the negative side, slopes between that slope and 1."""

    slope: float | Array = 0.01
    name: ClassVar[str] = "leaky_relu"
    roundings = 2  # of the product, and of a slope that a narrower type does not hold
    torch_functions = ("leaky_relu",)
    onnx = "LeakyRelu"

    def __post_init__(self) -> None:
        slope = np.asarray(self.slope, dtype=float)
        if not np.all(np.isfinite(slope)):
            raise ValueError("leaky_relu: the slope must be finite")
        object.__setattr__(self, "slope", slope if slope.ndim else float(slope))

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (-np.inf, self.slope, 0.0), (0.0, 1.0, 0.0)

    def __call__(self, values: Array) -> Array:
        return np.where(values > 0, values, self.slope * values)

    def derivative(self, values: Array) -> Array:
        return np.where(values > 0, 1.0, self.slope)

    @classmethod
    def from_torch(cls, negative_slope: float = 0.01) -> LeakyRelu:
        return cls(float(negative_slope))

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> LeakyRelu:
        return cls(attributes.get("alpha", SINGLE_HUNDREDTH))

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import leaky_relu

        from sdpcert.network.torch_forms import like

        if isinstance(self.slope, float):
            return leaky_relu(values, self.slope)
        return values.relu() - like(self.slope, values) * (-values).relu()


@dataclass(frozen=True, eq=False)
class Absolute(PiecewiseLinear):
    """Absolute value, slopes [-1, 1]."""

    name: ClassVar[str] = "abs"
    nonnegative: ClassVar[bool] = True
    roundings = 0
    torch_functions = ("abs", "absolute", "__abs__")
    onnx = "Abs"

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (-np.inf, -1.0, 0.0), (0.0, 1.0, 0.0)

    def __call__(self, values: Array) -> Array:
        return np.abs(values)

    def derivative(self, values: Array) -> Array:
        return np.where(values >= 0, 1.0, -1.0)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.abs()


@dataclass(frozen=True, eq=False)
class Clip(PiecewiseLinear):
    """Clamp to [lower, upper] (ReLU6, hardtanh), slopes [0, 1].

    Raises ValueError if the lower end is above the upper end, or an end is NaN.
    """

    lower: float | Array
    upper: float | Array
    name: ClassVar[str] = "clip"
    roundings = 0

    def __post_init__(self) -> None:
        if not np.all(np.asarray(self.lower) <= np.asarray(self.upper)):
            raise ValueError("clip: the lower end is above the upper end")

    @classmethod
    def usual(cls) -> dict[str, Callable[[], Activation]]:
        return {"relu6": partial(cls, 0.0, 6.0), "hardtanh": partial(cls, -1.0, 1.0)}

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (-np.inf, 0.0, self.lower), (self.lower, 1.0, 0.0), (self.upper, 0.0, self.upper)

    @property
    def constant(self) -> Numbers | None:
        return self.lower if np.array_equal(self.lower, self.upper) else None

    def evaluation_error(self, roundoff: float) -> tuple[float, float]:
        ends = [np.asarray(end, dtype=float) for end in (self.lower, self.upper)]
        held = roundoff <= FLOAT64 or all(np.array_equal(end, end.astype(np.float32)) for end in ends)
        return (0.0 if held else 2 * roundoff), 0.0

    def __call__(self, values: Array) -> Array:
        return np.clip(values, self.lower, self.upper)

    def derivative(self, values: Array) -> Array:
        return ((values > self.lower) & (values < self.upper)).astype(float)

    def on_torch(self, values: Tensor) -> Tensor:
        from sdpcert.network.torch_forms import like

        return values.clamp(like(self.lower, values), like(self.upper, values))  # type: ignore[call-overload]


@dataclass(frozen=True, eq=False)
class Softshrink(PiecewiseLinear):
    """Soft shrinking: v moved towards zero by `threshold`, zero where that passes it; slopes [0, 1].

    Raises ValueError if the threshold is negative or not finite.
    """

    threshold: float = 0.5
    name: ClassVar[str] = "softshrink"
    reflection = (-1.0, 0.0, 0.0)
    roundings = 1
    torch_functions = ("softshrink",)
    onnx = "Shrink"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < np.inf:
            raise ValueError(f"softshrink: the threshold {self.threshold} is negative or not finite")

    @property
    def segments(self) -> tuple[Segment, ...]:
        t = self.threshold
        identity = (-np.inf, 1.0, 0.0)
        return ((-np.inf, 1.0, t), (-t, 0.0, 0.0), (t, 1.0, -t)) if t else (identity,)

    def evaluation_error(self, roundoff: float) -> tuple[float, float]:
        # of the sum, and of a threshold that a narrower type rounds
        held = roundoff <= FLOAT64 or self.threshold == np.float32(self.threshold)
        return roundoff, 0.0 if held else roundoff * (1 + 2 * roundoff)

    def __call__(self, values: Array) -> Array:
        return values - np.clip(values, -self.threshold, self.threshold)

    def derivative(self, values: Array) -> Array:
        return (np.abs(values) >= self.threshold).astype(float)

    @classmethod
    def from_torch(cls, lambd: float = 0.5) -> Softshrink:
        return cls(float(lambd))

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> Softshrink:
        end, bias = attributes.get("lambd", 0.5), attributes.get("bias", 0.0)
        if end != bias or end < 0:
            raise ValueError(f"it jumps at +-lambd = {end} with bias = {bias}; with equal numbers it does not")
        return cls(end)

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import softshrink

        # Of the threshold zero, torch says that the slope at zero is zero.
        return softshrink(values, self.threshold) if self.threshold else values * 1.0


@dataclass(frozen=True, eq=False)
class HardSigmoid(Activation):
    """Hard sigmoid `clip(slope * v + offset, 0, 1)`, slopes between 0 and `slope`; float64 does not hold its kinks."""

    slope: float = 0.2
    offset: float = 0.5
    name: ClassVar[str] = "hard_sigmoid"
    nonnegative: ClassVar[bool] = True
    cancels = True
    torch_functions = ("hardsigmoid",)
    onnx = "HardSigmoid"

    def slopes(self) -> tuple[float, float]:
        return min(0.0, self.slope), max(0.0, self.slope)

    def slopes_on(self, low: Numbers, high: Numbers) -> tuple[Array, Array]:
        sure, slope = self.linear_on(low, high)
        return np.where(sure, slope, self.alpha), np.where(sure, slope, self.beta)

    def linear_on(self, low: Numbers, high: Numbers) -> tuple[Array, Array]:
        low, high, _, _ = self.on_interval(low, high)
        with np.errstate(all="ignore"):
            ends = [self.slope * end + self.offset for end in (low, high)]
            error = 8 * FLOAT64 * (abs(self.slope) * np.maximum(np.abs(low), np.abs(high)) + abs(self.offset))
            least, most = np.minimum(*ends) - error - 2.0**-1070, np.maximum(*ends) + error + 2.0**-1070
        inside = (least >= 0) & (most <= 1)
        return inside | (most <= 0) | (least >= 1), np.where(inside, self.slope, 0.0)

    @classmethod
    def usual(cls) -> dict[str, Callable[[], Activation]]:
        return {}  # conventions differ in the slope

    @property
    def constant(self) -> float | None:
        return None if self.slope else min(max(self.offset, 0.0), 1.0)

    def __call__(self, values: Array) -> Array:
        return np.clip(self.slope * values + self.offset, 0.0, 1.0)

    def derivative(self, values: Array) -> Array:
        inside = (self.slope * values + self.offset > 0) & (self.slope * values + self.offset < 1)
        return np.where(inside, self.slope, 0.0)

    @classmethod
    def from_torch(cls) -> HardSigmoid:
        return cls(nextafter(1 / 6, 1.0), 0.5)

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> HardSigmoid:
        return cls(attributes.get("alpha", SINGLE_FIFTH), attributes.get("beta", 0.5))

    def on_torch(self, values: Tensor) -> Tensor:
        return (values * self.slope + self.offset).clamp(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Crop(Activation):
    """The identity where a convolution is about to read: on a torus, neurons that pass what is inside the image.

    The slopes are [lowest, 1]: with 0 the neuron may also be one that passes nothing.
    """

    lowest: float = 1.0
    name: ClassVar[str] = "crop"
    roundings = 0

    def slopes(self) -> tuple[float, float]:
        return self.lowest, 1.0

    @classmethod
    def usual(cls) -> dict[str, Callable[[], Activation]]:
        return {}  # part of how networks are built, nobody's activation

    def __call__(self, values: Array) -> Array:
        return values

    def derivative(self, values: Array) -> Array:
        return np.ones_like(values)

    def on_torch(self, values: Tensor) -> Tensor:
        return values
