"""The kinds of activations, and the names that users give them."""

from __future__ import annotations

from collections.abc import Callable

from sdpcert.network import gated, piecewise_linear, smooth
from sdpcert.network.activation import Activation as Activation

#: Every kind; the readers, the layers and the tests take theirs from here.
KINDS: tuple[type[Activation], ...] = (
    piecewise_linear.Relu,
    piecewise_linear.LeakyRelu,
    piecewise_linear.Absolute,
    piecewise_linear.Clip,
    piecewise_linear.Softshrink,
    piecewise_linear.HardSigmoid,
    piecewise_linear.Crop,
    smooth.Sigmoid,
    smooth.Tanh,
    smooth.Elu,
    smooth.Celu,
    smooth.Selu,
    smooth.Softplus,
    smooth.Softsign,
    smooth.Arctan,
    smooth.Sin,
    smooth.Cos,
    smooth.Erf,
    gated.Gelu,
    gated.GeluTanh,
    gated.Silu,
    gated.Mish,
    gated.HardSwish,
)

relu, leaky_relu, absolute = piecewise_linear.Relu, piecewise_linear.LeakyRelu, piecewise_linear.Absolute
clip, hard_sigmoid, crop = piecewise_linear.Clip, piecewise_linear.HardSigmoid, piecewise_linear.Crop
sigmoid, tanh, elu, celu, selu = smooth.Sigmoid, smooth.Tanh, smooth.Elu, smooth.Celu, smooth.Selu
softplus, softsign, arctan, erf = smooth.Softplus, smooth.Softsign, smooth.Arctan, smooth.Erf
sin, cos = smooth.Sin, smooth.Cos
gelu, gelu_tanh, silu, mish, hard_swish = gated.Gelu, gated.GeluTanh, gated.Silu, gated.Mish, gated.HardSwish

BY_NAME: dict[str, Callable[[], Activation]] = {name: make for kind in KINDS for name, make in kind.usual().items()}


def activation_by_name(name: str) -> Activation:
    """The activation with the given name and its usual parameters.

    Raises ValueError with the names that are known.
    """
    try:
        return BY_NAME[name]()
    except KeyError:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(sorted(BY_NAME))}, maxmin") from None
