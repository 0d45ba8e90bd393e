"""Smooth activations; the extremes of their derivatives are rounded outward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import special

from sdpcert.network.activation import DERIVATIVE_ERROR, TURN_ERROR, Activation

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray
#: `phi(-v) = -phi(v)`.
ODD = (-1.0, 0.0, 0.0)
#: `phi(-v) = phi(v)`.
EVEN = (1.0, 0.0, 0.0)
#: `phi(-v) = 1 - phi(v)`.
COMPLEMENT = (-1.0, 0.0, 1.0)
#: `phi(-v) = phi(v) - v`: the function is `v / 2` plus an even function.
EVEN_REMAINDER = (1.0, -1.0, 0.0)
#: From here on torch's softplus is the identity, and 4e-18 below what it stands for. At torch's own 20 it jumps by
#: 2e-9, which float64 shows.
SOFTPLUS_THRESHOLD = 40.0


@dataclass(frozen=True, eq=False)
class Sigmoid(Activation):
    """Logistic sigmoid, slopes [0, 1/4] (the derivative s(1-s) is largest at s = 1/2)."""

    name: ClassVar[str] = "sigmoid"
    turns = (0.0,)
    torch_functions = ("sigmoid", "special_expit")
    onnx = "Sigmoid"
    reflection = COMPLEMENT
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return 0.0, 0.25

    def __call__(self, values: Array) -> Array:
        return special.expit(values)

    def derivative(self, values: Array) -> Array:
        return special.expit(values) * special.expit(-values)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.sigmoid()


@dataclass(frozen=True, eq=False)
class Tanh(Activation):
    """Hyperbolic tangent, slopes [0, 1] (the derivative 1 - tanh^2 is largest at 0)."""

    name: ClassVar[str] = "tanh"
    turns = (0.0,)
    torch_functions = ("tanh",)
    onnx = "Tanh"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.tanh(values)

    def derivative(self, values: Array) -> Array:
        return 1.0 - np.tanh(values) ** 2

    def on_torch(self, values: Tensor) -> Tensor:
        return values.tanh()


@dataclass(frozen=True, eq=False)
class Elu(Activation):
    """ELU `v` for v > 0, `a (e^v - 1)` else; its derivative is 1 or `a e^v`, slopes [min(0, a), max(1, a)]."""

    scale: float = 1.0
    name: ClassVar[str] = "elu"
    turns = (0.0,)
    torch_functions = ("elu",)
    onnx = "Elu"

    def slopes(self) -> tuple[float, float]:
        return min(0.0, self.scale), max(1.0, self.scale)

    def __call__(self, values: Array) -> Array:
        return np.where(values > 0, values, self.scale * np.expm1(np.minimum(values, 0.0)))

    def derivative(self, values: Array) -> Array:
        return np.where(values > 0, 1.0, self.scale * np.exp(np.minimum(values, 0.0)))

    def linear_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        low, high, _, _ = self.on_interval(low, high)
        return (low >= 0) & (low <= high), np.full(low.shape, 1.0)

    @classmethod
    def from_torch(cls, alpha: float = 1.0) -> Elu:
        return cls(float(alpha))

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> Elu:
        return cls(attributes.get("alpha", 1.0))

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import elu

        return elu(values, self.scale)


@dataclass(frozen=True, eq=False)
class Celu(Activation):
    """CELU `v` for v > 0, `a (e^(v/a) - 1)` else, a > 0; its derivative is 1 or `e^(v/a)`, slopes [0, 1]."""

    scale: float = 1.0
    name: ClassVar[str] = "celu"
    turns = ()
    torch_functions = ("celu",)
    onnx = "Celu"

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError("celu: alpha must be positive")

    def __call__(self, values: Array) -> Array:
        return np.where(values > 0, values, self.scale * np.expm1(np.minimum(values, 0.0) / self.scale))

    def derivative(self, values: Array) -> Array:
        return np.where(values > 0, 1.0, np.exp(np.minimum(values, 0.0) / self.scale))

    def linear_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        low, high, _, _ = self.on_interval(low, high)
        return (low >= 0) & (low <= high), np.full(low.shape, 1.0)

    @classmethod
    def from_torch(cls, alpha: float = 1.0) -> Celu:
        return cls(float(alpha))

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> Celu:
        return cls(attributes.get("alpha", 1.0))

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import celu

        return celu(values, self.scale)


@dataclass(frozen=True, eq=False)
class Selu(Activation):
    """SELU `gamma * elu_alpha(v)`, slopes [0, gamma max(1, alpha)] for alpha, gamma >= 0."""

    scale: float = 1.6732632423543772
    gamma: float = 1.0507009873554805
    name: ClassVar[str] = "selu"
    turns = (0.0,)
    torch_functions = ("selu",)
    onnx = "Selu"

    def __post_init__(self) -> None:
        if not (self.scale >= 0 and self.gamma >= 0):
            raise ValueError("selu: alpha and gamma must not be negative")

    def slopes(self) -> tuple[float, float]:
        return 0.0, float(np.nextafter(self.gamma * max(1.0, self.scale), np.inf))

    def __call__(self, values: Array) -> Array:
        return self.gamma * Elu(self.scale)(values)

    def derivative(self, values: Array) -> Array:
        return self.gamma * Elu(self.scale).derivative(values)

    def linear_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        low, high, _, _ = self.on_interval(low, high)
        return (low >= 0) & (low <= high), np.full(low.shape, self.gamma)

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> Selu:
        numbers = (1.6732, 1.0507) if opset < 6 else (1.67326319217681884765625, 1.05070102214813232421875)
        scale, gamma = (float(np.float32(number)) for number in numbers)
        return cls(attributes.get("alpha", scale), attributes.get("gamma", gamma))

    def on_torch(self, values: Tensor) -> Tensor:
        return self.gamma * Elu(self.scale).on_torch(values)


@dataclass(frozen=True, eq=False)
class Softplus(Activation):
    """Softplus `log(1 + e^v)`, slopes [0, 1] (the derivative is the sigmoid)."""

    name: ClassVar[str] = "softplus"
    turns = ()
    onnx = "Softplus"
    reflection = EVEN_REMAINDER
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.logaddexp(0.0, values)

    def derivative(self, values: Array) -> Array:
        return special.expit(values)

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import softplus

        return softplus(values, 1.0, SOFTPLUS_THRESHOLD)


@dataclass(frozen=True, eq=False)
class Softsign(Activation):
    """Softsign `v / (1 + |v|)`, slopes [0, 1] (the derivative is (1 + |v|)^-2)."""

    name: ClassVar[str] = "softsign"
    turns = (0.0,)
    torch_functions = ("softsign",)
    onnx = "Softsign"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return values / (1 + np.abs(values))

    def derivative(self, values: Array) -> Array:
        return (1 + np.abs(values)) ** -2.0

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import softsign

        return softsign(values)


@dataclass(frozen=True, eq=False)
class Arctan(Activation):
    """Arcus tangent, slopes [0, 1]."""

    name: ClassVar[str] = "atan"
    turns = (0.0,)
    torch_functions = ("atan", "arctan")
    onnx = "Atan"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.arctan(values)

    def derivative(self, values: Array) -> Array:
        return 1 / (1 + values * values)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.atan()


@dataclass(frozen=True, eq=False)
class Sin(Activation):
    """Sine, slopes [-1, 1] (the derivative is the cosine)."""

    name: ClassVar[str] = "sin"
    torch_functions = ("sin",)
    onnx = "Sin"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.sin(values)

    def derivative(self, values: Array) -> Array:
        return np.cos(values)

    def slopes_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        return _between_turns(self, low, high, 0.0)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.sin()


@dataclass(frozen=True, eq=False)
class Cos(Activation):
    """Cosine, slopes [-1, 1] (the derivative is minus the sine)."""

    name: ClassVar[str] = "cos"
    torch_functions = ("cos",)
    onnx = "Cos"
    reflection = EVEN

    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.cos(values)

    def derivative(self, values: Array) -> Array:
        return -np.sin(values)

    def slopes_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        return _between_turns(self, low, high, -np.pi / 2)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.cos()


#: The float64 above or at 2/sqrt(pi) = 1.12837916709551257...
_ERF_SLOPE = 1.1283791670955126


@dataclass(frozen=True, eq=False)
class Erf(Activation):
    """Error function, slopes [0, 2/sqrt(pi)] (the derivative 2/sqrt(pi) exp(-v^2) is largest at 0)."""

    name: ClassVar[str] = "erf"
    turns = (0.0,)
    torch_functions = ("erf", "special_erf")
    onnx = "Erf"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, float(np.nextafter(_ERF_SLOPE, 2.0))

    def __call__(self, values: Array) -> Array:
        return special.erf(values)

    def derivative(self, values: Array) -> Array:
        return _ERF_SLOPE * np.exp(-values * values)

    def on_torch(self, values: Tensor) -> Tensor:
        return values.erf()


def _between_turns(kind: Activation, low: Array | float, high: Array | float, steepest: float) -> tuple[Array, Array]:
    """`slopes_on` of a sine whose derivative is 1 at `steepest` and at every multiple of 2 pi from there."""
    low, high, alpha, beta = kind.on_interval(low, high)
    with np.errstate(all="ignore"):
        ends = kind.derivative(low), kind.derivative(high)
        reach = 1e3 * TURN_ERROR * (1 + np.maximum(np.abs(low), np.abs(high)))

        def holds(first: float) -> Array:
            return np.floor((high + reach - first) / (2 * np.pi)) >= np.ceil((low - reach - first) / (2 * np.pi))

        least = np.where(holds(steepest + np.pi), alpha, np.minimum(*ends) - DERIVATIVE_ERROR)
        most = np.where(holds(steepest), beta, np.maximum(*ends) + DERIVATIVE_ERROR)
    finite = np.isfinite(low) & np.isfinite(high)
    return np.where(finite, np.maximum(least, alpha), alpha), np.where(finite, np.minimum(most, beta), beta)
