"""Activations `v h(v)` whose derivative is negative somewhere: GELU, SiLU, Mish and hard swish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import special

from sdpcert.network.activation import Activation
from sdpcert.network.smooth import EVEN_REMAINDER

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Gelu(Activation):
    """GELU `v Phi(v)`; its derivative Phi + v Phi' has its extremes at v = -+sqrt(2), slopes [-0.128905, 1.128905].

    The extremes Phi(v) + v Phi'(v) at v = sqrt(2) and at v = -sqrt(2) are 1.12890413... and -0.12890413...
    """

    name: ClassVar[str] = "gelu"
    reflection = EVEN_REMAINDER
    turns = (-1.4142135623730951, 1.4142135623730951)
    torch_functions = ("gelu",)
    onnx = "Gelu"

    def slopes(self) -> tuple[float, float]:
        return -0.128905, 1.128905

    def __call__(self, values: Array) -> Array:
        return values * special.ndtr(values)

    def derivative(self, values: Array) -> Array:
        return special.ndtr(values) + values * np.exp(-0.5 * values * values) / np.sqrt(2 * np.pi)

    @classmethod
    def from_torch(cls, approximate: str = "none") -> Gelu | GeluTanh:
        return GeluTanh() if approximate == "tanh" else cls()

    @classmethod
    def from_onnx(cls, attributes: Mapping[str, Any], opset: int) -> Gelu | GeluTanh:
        return GeluTanh() if attributes.get("approximate") == "tanh" else cls()

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import gelu

        return gelu(values)


@dataclass(frozen=True, eq=False)
class GeluTanh(Activation):
    """GELU in its tanh form, slopes [-0.128994, 1.128994] (extremes of the derivative, 25 digits, rounded outward)."""

    name: ClassVar[str] = "gelu_tanh"
    reflection = EVEN_REMAINDER
    turns = (-1.4185040087908284, 1.4185040087908284)
    cancels = True

    def slopes(self) -> tuple[float, float]:
        return -0.128994, 1.128994

    def __call__(self, values: Array) -> Array:
        return 0.5 * values * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)))

    def derivative(self, values: Array) -> Array:
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (values + 0.044715 * values**3))
        return 0.5 * (1 + t) + 0.5 * values * (1 - t * t) * c * (1 + 3 * 0.044715 * values * values)

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import gelu

        return gelu(values, approximate="tanh")


@dataclass(frozen=True, eq=False)
class Silu(Activation):
    """SiLU (swish) `v sigmoid(v)`, slopes [-0.099840, 1.099840] (extremes of the derivative, rounded outward)."""

    name: ClassVar[str] = "silu"
    reflection = EVEN_REMAINDER
    turns = (-2.3993572805154677, 2.3993572805154677)
    torch_functions = ("silu",)

    def slopes(self) -> tuple[float, float]:
        return -0.099840, 1.099840

    def __call__(self, values: Array) -> Array:
        return values * special.expit(values)

    def derivative(self, values: Array) -> Array:
        s = special.expit(values)
        return s + values * s * special.expit(-values)

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import silu

        return silu(values)


@dataclass(frozen=True, eq=False)
class Mish(Activation):
    """Mish `v tanh(softplus(v))`, slopes [-0.112527, 1.088499] (extremes of the derivative, rounded outward)."""

    name: ClassVar[str] = "mish"
    turns = (-2.2563763963607932, 1.4905711794854285)
    torch_functions = ("mish",)
    onnx = "Mish"

    def slopes(self) -> tuple[float, float]:
        return -0.112527, 1.088499

    def __call__(self, values: Array) -> Array:
        return values * np.tanh(np.logaddexp(0.0, values))

    def derivative(self, values: Array) -> Array:
        t = np.tanh(np.logaddexp(0.0, values))
        return t + values * (1 - t * t) * special.expit(values)

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import mish

        return mish(values)


@dataclass(frozen=True, eq=False)
class HardSwish(Activation):
    """Hard swish `v clip(v/6 + 1/2, 0, 1)`; its derivative v/3 + 1/2 on (-3, 3) ends at -1/2 and 3/2."""

    name: ClassVar[str] = "hard_swish"
    reflection = EVEN_REMAINDER
    turns = (-3.0, 3.0)
    torch_functions = ("hardswish",)
    onnx = "HardSwish"

    def slopes(self) -> tuple[float, float]:
        return -0.5, 1.5

    def __call__(self, values: Array) -> Array:
        return values * np.clip((values + 3) / 6, 0.0, 1.0)  # which does not cancel

    def derivative(self, values: Array) -> Array:
        return np.where(values >= 3, 1.0, np.where(values > -3, values / 3 + 0.5, 0.0))

    def linear_on(self, low: Array | float, high: Array | float) -> tuple[Array, Array]:
        low, high, _, _ = self.on_interval(low, high)
        return ((high <= -3) | (low >= 3)) & (low <= high), np.where(low >= 3, 1.0, 0.0)

    def on_torch(self, values: Tensor) -> Tensor:
        from torch.nn.functional import hardswish

        return hardswish(values)
