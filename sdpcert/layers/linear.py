"""Linear 1-Lipschitz layers `x -> V T^(-1/2) x + c` with a diagonal rule: AOL, SLL, spectral normalisation and others.

With W = V the weight (out, in) and T >= V'V diagonal, `|V T^(-1/2)| <= 1` (Prach, Lampert 2022; Araujo et al. 2023,
Theorem 2 (i)). The rule may scale rows instead, `T^(-1/2) V` with T >= V V': `side` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sdpcert.layers.divisors import largest_entry, one_for_zero
from sdpcert.layers.gram import gram
from sdpcert.layers.rules import Rule, own_values
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.functions import Function
from sdpcert.torch_modules.geometry import Geometry, Operator


class ScaledLinear(LipschitzLayer):
    """A dense layer scaled by a diagonal rule; inputs (..., in_features), outputs (..., out_features).

    `side` is "inputs" (columns of the weight are scaled, as AOL does) or "outputs" (rows are). Raises ValueError for
    sizes that are not positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rule: Rule,
        bias: bool = True,
        side: str = "inputs",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        if side not in ("inputs", "outputs"):
            raise ValueError(f"side is 'inputs' or 'outputs', not {side!r}")
        self.side, self.rule = side, rule
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None
        nn.init.orthogonal_(self.weight)
        self.geometry: Geometry | None = None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The scaled weight."""
        operator = Operator(values["weight"], self.geometry)
        weight = scaled_weight(operator, self.rule, own_values(values, "rule"), certified, self.side)
        return Block(Operator(weight, self.geometry), None, values.get("bias"))


class ScaledConv2d(ScaledLinear):
    """A convolution scaled by a diagonal rule; inputs (batch, in_channels, height, width) of any size.

    Kernels are odd and centred, padded with zeros or, with `circular`, around the torus; `stride` keeps the bound.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        rule: Rule,
        bias: bool = True,
        circular: bool = False,
        stride: int = 1,
        side: str = "inputs",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, rule, bias, side, device, dtype)
        self.geometry = Geometry.same(kernel_size, circular, stride)
        flat = self.weight.detach()
        kernel = torch.zeros(out_channels, in_channels, kernel_size, kernel_size, device=device, dtype=dtype)
        kernel[:, :, kernel_size // 2, kernel_size // 2] = flat
        self.weight = nn.Parameter(kernel + 0.01 * torch.randn_like(kernel) / kernel_size)


def scaled_weight(
    operator: Operator, rule: Rule, values: Mapping[str, Tensor], certified: bool, side: str = "inputs"
) -> Tensor:
    """`V T^(-1/2)`, or `T^(-1/2) V` for the side "outputs"; rows (columns) of zeros stay zero."""
    weight = operator.weight
    quick = None if certified else rule.normalised(operator)
    if quick is not None:
        return quick
    # T is homogeneous of degree two, so it may be that of the weight brought to entries of order one: no overflow.
    size = largest_entry(weight)
    turned = weight.transpose(0, 1) if side == "inputs" else weight
    diagonal = rule.diagonal(gram(Operator(turned, operator.geometry), size), dict(values), certified)
    scale = one_for_zero(diagonal).rsqrt() / size
    if diagonal.stride() == (0,):  # one number for all channels
        return _Multiplied.apply(weight, scale[0])  # type: ignore[no-any-return]
    shape = (1, -1) if side == "inputs" else (-1, 1)
    return weight * scale.reshape(*shape, *(1,) * (weight.dim() - 2))


class _Multiplied(Function):
    """A tensor times a number, whose gradient is a product of two vectors: no tensor of the size of the first one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, number: Tensor) -> Any:
        return tensor * number

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        tensor, number = ctx.saved_tensors
        return given * number, torch.dot(given.flatten(), tensor.flatten())


def check_sizes(**sizes: int) -> None:
    """Raise ValueError for a size that is not a positive integer."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be positive, not {size}")
