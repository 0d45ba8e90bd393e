"""SDP-based Lipschitz layers: `x -> x - 2 V' T^-1 phi(V x + b)`, `T_ii = sum_j |V V'|_ij q_j / q_i`."""

from __future__ import annotations

import torch

from sdpcert.layers.family import Family
from sdpcert.layers.linear import ScaledLinear
from sdpcert.layers.residual import ResidualConv2d, ResidualLinear
from sdpcert.layers.rules import SLL


class SLLLinear(ResidualLinear):
    """A dense residual layer (Araujo et al. 2023, Theorem 3) with q = exp(log_scale) learned.

    Inputs and outputs (..., features). Raises ValueError for sizes that are not positive, or an activation without
    slopes in [0, 1].
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        activation: str = "relu",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, hidden, SLL(hidden, device, dtype), activation, device, dtype)


class SLLConv2d(ResidualConv2d):
    """A convolutional residual layer with q learned: it scales hidden channels, so it matters in the convolution too.

    Inputs and outputs (batch, channels, height, width), images of every size.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel_size: int = 3,
        activation: str = "relu",
        circular: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        rule = SLL(hidden, device, dtype)
        super().__init__(channels, hidden, kernel_size, rule, activation, circular, device, dtype)


FAMILY = Family(
    "sll",
    "Araujo et al. 2023, Theorem 3",
    "residual layer x - 2 V' T^-1 phi(V x + b), T the row sums of abs(V V'), scaled by free numbers",
    lambda n, m: SLLLinear(min(n, m), max(n, m)),
    lambda n, m, k: SLLConv2d(min(n, m), max(n, m), k),
)
LINEAR = Family(
    "sll-linear",
    "Araujo et al. 2023, Theorem 2 (i)",
    "V D x, D from the row sums of abs(V'V), scaled by free numbers",
    lambda n, m: ScaledLinear(n, m, SLL(n)),
    None,
)
