"""The kinds of activations by the names that readers and users give them."""

from __future__ import annotations

from collections.abc import Callable

from sdpcert.network.activation import Activation as Activation
from sdpcert.network.piecewise_linear import Absolute, Clip, Crop, HardSigmoid, LeakyRelu, Relu
from sdpcert.network.smooth import (
    Arctan,
    Celu,
    Cos,
    Elu,
    Erf,
    Gelu,
    GeluTanh,
    HardSwish,
    Mish,
    Selu,
    Sigmoid,
    Silu,
    Sin,
    Softplus,
    Softsign,
    Tanh,
)

relu, leaky_relu, absolute, clip, hard_sigmoid, crop = Relu, LeakyRelu, Absolute, Clip, HardSigmoid, Crop
sigmoid, tanh, elu, celu, selu, softplus, softsign = Sigmoid, Tanh, Elu, Celu, Selu, Softplus, Softsign
arctan, gelu, gelu_tanh, silu, mish, hard_swish = Arctan, Gelu, GeluTanh, Silu, Mish, HardSwish
erf, sin, cos = Erf, Sin, Cos

BY_NAME: dict[str, Callable[[], Activation]] = {
    **{
        kind.name: kind
        for kind in (
            Relu, LeakyRelu, Absolute, Sigmoid, Tanh, Elu, Celu, Selu, Softplus, Softsign, Arctan, Gelu, GeluTanh,
            Silu, Mish, HardSwish, Erf, Sin, Cos,
        )
    },
    "relu6": lambda: Clip(0.0, 6.0),
    "hardtanh": lambda: Clip(-1.0, 1.0),
}  # fmt: skip


def activation_by_name(name: str) -> Activation:
    """The activation with the given name and its usual parameters.

    Raises ValueError with the names that are known.
    """
    try:
        return BY_NAME[name]()
    except KeyError:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(sorted(BY_NAME))}, maxmin") from None
