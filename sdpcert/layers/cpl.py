"""Convex potential layers: `x -> x - 2 / |V|^2 V' phi(V x + b)`."""

from __future__ import annotations

from typing import Any

from sdpcert.layers.family import Family
from sdpcert.layers.residual import ResidualConv2d, ResidualLinear
from sdpcert.layers.rules import Spectral


class CPLLinear(ResidualLinear):
    """A dense convex potential layer (Meunier et al. 2022, equation 7).

    Inputs and outputs (..., features). Training estimates |V| by power iteration; evaluation and certificates bound it
    from above. Raises ValueError for sizes that are not positive, or an activation without slopes in [0, 1].
    """

    def __init__(self, features: int, hidden: int, activation: str = "relu", **kwargs: Any) -> None:
        super().__init__(features, hidden, Spectral(), activation, **kwargs)


class CPLConv2d(ResidualConv2d):
    """A convolutional convex potential layer, for images of every size.

    Inputs and outputs (batch, channels, height, width).
    """

    def __init__(
        self, channels: int, hidden: int, kernel_size: int = 3, activation: str = "relu", **kwargs: Any
    ) -> None:
        super().__init__(channels, hidden, kernel_size, Spectral(), activation, **kwargs)


FAMILY = Family(
    "cpl",
    "Meunier et al. 2022, equation 7",
    "residual layer x - 2/|V|^2 V' phi(V x + b)",
    lambda n, m: CPLLinear(min(n, m), max(n, m)),
    lambda n, m, k: CPLConv2d(min(n, m), max(n, m), k),
)
