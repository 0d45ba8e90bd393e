"""Spectral normalisation: `x -> W x / |W|` with the norm bounded from above."""

from __future__ import annotations

from typing import Any

from sdpcert.layers.family import Family
from sdpcert.layers.linear import ScaledConv2d, ScaledLinear
from sdpcert.layers.rules import Spectral


class SpectralLinear(ScaledLinear):
    """A dense layer divided by its spectral norm (Miyato et al. 2018); training estimates it, certificates bound it.

    Inputs (..., in_features), outputs (..., out_features). Keywords as in `ScaledLinear`. Raises
    ValueError for sizes that are not positive.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(in_features, out_features, Spectral(), bias, **kwargs)


class SpectralConv2d(ScaledConv2d):
    """A convolution divided by a bound of its norm as an operator on images of every size, not of its flat kernel's.

    Inputs (batch, in_channels, height, width). Raises ValueError for even kernels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, Spectral(), bias, **kwargs)


FAMILY = Family(
    "spectral",
    "Miyato et al. 2018, with an upper bound of the norm",
    "V x divided by a proved bound of |V|",
    SpectralLinear,
    SpectralConv2d,
)
