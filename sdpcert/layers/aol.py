"""Almost orthogonal layers: `x -> W T^(-1/2) x`, `T_ii = sum_j |W'W|_ij`."""

from __future__ import annotations

from typing import Any

from sdpcert.layers.family import Family
from sdpcert.layers.linear import ScaledConv2d, ScaledLinear
from sdpcert.layers.rules import AOL


class AOLLinear(ScaledLinear):
    """A dense layer scaled by AOL's rule (Prach, Lampert 2022, Theorem 1).

    Inputs (..., in_features), outputs (..., out_features). Keywords as in `ScaledLinear`. Raises
    ValueError for sizes that are not positive.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **kwargs: Any) -> None:
        super().__init__(in_features, out_features, AOL(), bias, **kwargs)


class AOLConv2d(ScaledConv2d):
    """A convolution scaled by AOL's rule, for images of every size with zero or circular padding.

    Inputs (batch, in_channels, height, width). Raises ValueError for even kernels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, AOL(), bias, **kwargs)


FAMILY = Family("aol", "Prach, Lampert 2022, Theorem 1", "V D x, D from the row sums of abs(V'V)", AOLLinear, AOLConv2d)
