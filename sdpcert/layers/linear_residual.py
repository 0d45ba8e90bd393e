"""Linear residual layers: `(I + V) x / |I + V|`, dense and convolutional, with the norm of the sum bounded from above.

The sum is one linear map, so nothing is lost between branch and identity as it would be with a nonlinear branch; the
identity keeps gradients alive at any depth.

Source: Hu, Zou, Wang, Leino, Fredrikson, "Unlocking Deterministic Robustness Certification on ImageNet", NeurIPS 2023
(LiResNet), which divides by the constant of the whole network; here every layer is divided by its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sdpcert.layers.family import Family
from sdpcert.layers.linear import ScaledConv2d, ScaledLinear
from sdpcert.layers.rules import Spectral
from sdpcert.torch_modules.block import Block

#: The size of V to begin with: small enough that all singular values of `I + V` are near one.
START = 0.1


class LinearResidual(ScaledLinear):
    """A dense linear residual layer; inputs and outputs (..., features).

    `weight` (features, features) is V. Raises ValueError for a size that is not positive.
    """

    def __init__(
        self,
        features: int,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(features, features, Spectral(), bias, device=device, dtype=dtype)
        with torch.no_grad():
            self.weight.mul_(START)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The scaled sum."""
        free = values["weight"]
        identity = torch.eye(len(free), dtype=free.dtype, device=free.device)
        return super().block({**values, "weight": free + identity}, certified)


class LinearResidualConv2d(ScaledConv2d):
    """A convolutional linear residual layer; inputs and outputs (batch, channels, height, width) of any size.

    `weight` (channels, channels, kernel_size, kernel_size) is V, odd and centred, padded with zeros or, with
    `circular`, around the torus. Raises ValueError for sizes that are not positive and an even kernel.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        bias: bool = True,
        circular: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(channels, channels, kernel_size, Spectral(), bias, circular, device=device, dtype=dtype)
        with torch.no_grad():
            self.weight.copy_(torch.randn_like(self.weight) * (START / (channels**0.5 * kernel_size)))

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The scaled sum."""
        free = values["weight"]
        identity = torch.zeros_like(free)
        identity[:, :, free.shape[2] // 2, free.shape[3] // 2] = torch.eye(
            len(free), dtype=free.dtype, device=free.device
        )
        return super().block({**values, "weight": free + identity}, certified)


FAMILY = Family(
    "linear-residual",
    "Hu, Zou, Wang, Leino, Fredrikson 2023, with a bound of every layer's norm",
    "(I + V) x divided by a proved bound of |I + V|",
    lambda inputs, outputs: LinearResidual(min(inputs, outputs)),
    lambda inputs, outputs, size: LinearResidualConv2d(min(inputs, outputs), size),
)
