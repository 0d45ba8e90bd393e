"""Smooth activations; the extremes of their derivatives are rounded outward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import special

from sdpcert.network.activation import Activation

Array = np.ndarray
#: `phi(-v) = -phi(v)`.
ODD = (-1.0, 0.0, 0.0)
#: `phi(-v) = phi(v)`.
EVEN = (1.0, 0.0, 0.0)
#: `phi(-v) = 1 - phi(v)`.
COMPLEMENT = (-1.0, 0.0, 1.0)
#: `phi(-v) = phi(v) - v`: the function is `v / 2` plus an even function.
EVEN_REMAINDER = (1.0, -1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Sigmoid(Activation):
    """Logistic sigmoid, slopes [0, 1/4] (the derivative s(1-s) is largest at s = 1/2)."""

    name: ClassVar[str] = "sigmoid"
    reflection = COMPLEMENT
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return 0.0, 0.25

    def __call__(self, values: Array) -> Array:
        return special.expit(values)

    def derivative(self, values: Array) -> Array:
        return special.expit(values) * special.expit(-values)


@dataclass(frozen=True, eq=False)
class Tanh(Activation):
    """Hyperbolic tangent, slopes [0, 1] (the derivative 1 - tanh^2 is largest at 0)."""

    name: ClassVar[str] = "tanh"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.tanh(values)

    def derivative(self, values: Array) -> Array:
        return 1.0 - np.tanh(values) ** 2


@dataclass(frozen=True, eq=False)
class Elu(Activation):
    """ELU `v` for v > 0, `a (e^v - 1)` else; its derivative is 1 or `a e^v`, slopes [min(0, a), max(1, a)]."""

    scale: float = 1.0
    name: ClassVar[str] = "elu"

    def slopes(self) -> tuple[float, float]:
        return min(0.0, self.scale), max(1.0, self.scale)

    def __call__(self, values: Array) -> Array:
        return np.where(values > 0, values, self.scale * np.expm1(np.minimum(values, 0.0)))

    def derivative(self, values: Array) -> Array:
        return np.where(values > 0, 1.0, self.scale * np.exp(np.minimum(values, 0.0)))


@dataclass(frozen=True, eq=False)
class Celu(Activation):
    """CELU `v` for v > 0, `a (e^(v/a) - 1)` else, a > 0; its derivative is 1 or `e^(v/a)`, slopes [0, 1]."""

    scale: float = 1.0
    name: ClassVar[str] = "celu"

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError("celu: alpha must be positive")

    def __call__(self, values: Array) -> Array:
        return np.where(values > 0, values, self.scale * np.expm1(np.minimum(values, 0.0) / self.scale))

    def derivative(self, values: Array) -> Array:
        return np.where(values > 0, 1.0, np.exp(np.minimum(values, 0.0) / self.scale))


@dataclass(frozen=True, eq=False)
class Selu(Activation):
    """SELU `gamma * elu_alpha(v)`, slopes [0, gamma max(1, alpha)] for alpha, gamma >= 0."""

    scale: float = 1.6732632423543772
    gamma: float = 1.0507009873554805
    name: ClassVar[str] = "selu"

    def __post_init__(self) -> None:
        if not (self.scale >= 0 and self.gamma >= 0):
            raise ValueError("selu: alpha and gamma must not be negative")

    def slopes(self) -> tuple[float, float]:
        return 0.0, float(np.nextafter(self.gamma * max(1.0, self.scale), np.inf))

    def __call__(self, values: Array) -> Array:
        return self.gamma * Elu(self.scale)(values)

    def derivative(self, values: Array) -> Array:
        return self.gamma * Elu(self.scale).derivative(values)


@dataclass(frozen=True, eq=False)
class Softplus(Activation):
    """Softplus `log(1 + e^v)`, slopes [0, 1] (the derivative is the sigmoid)."""

    name: ClassVar[str] = "softplus"
    reflection = EVEN_REMAINDER
    nonnegative: ClassVar[bool] = True

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.logaddexp(0.0, values)

    def derivative(self, values: Array) -> Array:
        return special.expit(values)


@dataclass(frozen=True, eq=False)
class Softsign(Activation):
    """Softsign `v / (1 + |v|)`, slopes [0, 1] (the derivative is (1 + |v|)^-2)."""

    name: ClassVar[str] = "softsign"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return values / (1 + np.abs(values))

    def derivative(self, values: Array) -> Array:
        return (1 + np.abs(values)) ** -2.0


@dataclass(frozen=True, eq=False)
class Arctan(Activation):
    """Arcus tangent, slopes [0, 1]."""

    name: ClassVar[str] = "atan"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.arctan(values)

    def derivative(self, values: Array) -> Array:
        return 1 / (1 + values * values)


@dataclass(frozen=True, eq=False)
class Sin(Activation):
    """Sine, slopes [-1, 1] (the derivative is the cosine)."""

    name: ClassVar[str] = "sin"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.sin(values)

    def derivative(self, values: Array) -> Array:
        return np.cos(values)


@dataclass(frozen=True, eq=False)
class Cos(Activation):
    """Cosine, slopes [-1, 1] (the derivative is minus the sine)."""

    name: ClassVar[str] = "cos"
    reflection = EVEN

    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0

    def __call__(self, values: Array) -> Array:
        return np.cos(values)

    def derivative(self, values: Array) -> Array:
        return -np.sin(values)


@dataclass(frozen=True, eq=False)
class Gelu(Activation):
    """GELU `v Phi(v)`; its derivative Phi + v Phi' has its extremes at v = -+sqrt(2), slopes [-0.128905, 1.128905].

    The extremes Phi(v) + v Phi'(v) at v = sqrt(2) and at v = -sqrt(2) are 1.12890413... and -0.12890413...
    """

    name: ClassVar[str] = "gelu"
    reflection = EVEN_REMAINDER

    def slopes(self) -> tuple[float, float]:
        return -0.128905, 1.128905

    def __call__(self, values: Array) -> Array:
        return values * special.ndtr(values)

    def derivative(self, values: Array) -> Array:
        return special.ndtr(values) + values * np.exp(-0.5 * values * values) / np.sqrt(2 * np.pi)


@dataclass(frozen=True, eq=False)
class GeluTanh(Activation):
    """GELU in its tanh form, slopes [-0.128994, 1.128994] (extremes of the derivative, 25 digits, rounded outward)."""

    name: ClassVar[str] = "gelu_tanh"
    reflection = EVEN_REMAINDER

    def slopes(self) -> tuple[float, float]:
        return -0.128994, 1.128994

    def __call__(self, values: Array) -> Array:
        return 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)))

    def derivative(self, values: Array) -> Array:
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (values + 0.044715 * values**3))
        return 0.5 * (1 + t) + 0.5 * values * (1 - t * t) * c * (1 + 3 * 0.044715 * values * values)


@dataclass(frozen=True, eq=False)
class Silu(Activation):
    """SiLU (swish) `v sigmoid(v)`, slopes [-0.099840, 1.099840] (extremes of the derivative, rounded outward)."""

    name: ClassVar[str] = "silu"
    reflection = EVEN_REMAINDER

    def slopes(self) -> tuple[float, float]:
        return -0.099840, 1.099840

    def __call__(self, values: Array) -> Array:
        return values * special.expit(values)

    def derivative(self, values: Array) -> Array:
        s = special.expit(values)
        return s + values * s * special.expit(-values)


@dataclass(frozen=True, eq=False)
class Mish(Activation):
    """Mish `v tanh(softplus(v))`, slopes [-0.112527, 1.088499] (extremes of the derivative, rounded outward)."""

    name: ClassVar[str] = "mish"

    def slopes(self) -> tuple[float, float]:
        return -0.112527, 1.088499

    def __call__(self, values: Array) -> Array:
        return values * np.tanh(np.logaddexp(0.0, values))

    def derivative(self, values: Array) -> Array:
        t = np.tanh(np.logaddexp(0.0, values))
        return t + values * (1 - t * t) * special.expit(values)


@dataclass(frozen=True, eq=False)
class HardSwish(Activation):
    """Hard swish `v clip(v/6 + 1/2, 0, 1)`; its derivative v/3 + 1/2 on (-3, 3) ends at -1/2 and 3/2."""

    name: ClassVar[str] = "hard_swish"
    reflection = EVEN_REMAINDER

    def slopes(self) -> tuple[float, float]:
        return -0.5, 1.5

    def __call__(self, values: Array) -> Array:
        return values * np.clip(values / 6 + 0.5, 0.0, 1.0)

    def derivative(self, values: Array) -> Array:
        return np.where(values >= 3, 1.0, np.where(values > -3, values / 3 + 0.5, 0.0))


#: The float64 above or at 2/sqrt(pi) = 1.12837916709551257...
_ERF_SLOPE = 1.1283791670955126


@dataclass(frozen=True, eq=False)
class Erf(Activation):
    """Error function, slopes [0, 2/sqrt(pi)] (the derivative 2/sqrt(pi) exp(-v^2) is largest at 0)."""

    name: ClassVar[str] = "erf"
    reflection = ODD

    def slopes(self) -> tuple[float, float]:
        return 0.0, float(np.nextafter(_ERF_SLOPE, 2.0))

    def __call__(self, values: Array) -> Array:
        return special.erf(values)

    def derivative(self, values: Array) -> Array:
        return _ERF_SLOPE * np.exp(-values * values)
