"""Orthogonal dense layers by the Cayley transform, for square and rectangular weights.

With `Z = X - X' + Y'Y` the columns of `[(I - Z); -2 Y] (I + Z)^-1` are orthonormal: the symmetric part of Z is `Y'Y`,
so `(I - Z)'(I - Z) + 4 Y'Y = (I + Z)'(I + Z)`, and that of `I + Z` is at least I, so that it is invertible for every X
and Y (Trockman, Kolter 2021; Wang, Manchester 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.base import LipschitzLayer
from sdpcert.layers.block import Block
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.norms import norm_upper_bound
from sdpcert.layers.operators import Operator

#: Frobenius norm that Y is cut to; that of the skew part is cut to its square. The transform has settled by then (all
#: singular values of the bottom that Y moves are below 1/100), and float32 still tells `I + Z` from Z.
LARGEST = 256.0


class CayleyLinear(LipschitzLayer):
    """A dense layer with orthonormal columns, or rows where there are fewer outputs than inputs.

    Inputs (..., in_features), outputs (..., out_features). `weight` of shape (out_features, in_features) is
    free: it, or its transpose with fewer outputs than inputs, is X above Y. Square weights are the rotations without
    the eigenvalue -1. Raises ValueError for sizes that are not
    positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        free = torch.randn(out_features, in_features, device=device, dtype=dtype)
        self.weight = nn.Parameter(free / max(free.shape) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The orthogonal weight."""
        free = values["weight"]
        wide = self.in_features > self.out_features
        columns = orthonormal_columns(free.mT if wide else free, certified)
        weight = columns.mT if wide else columns
        return Block(Operator(weight), None, values.get("bias"))


def cayley(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`top` (..., n, n) and `bottom` (..., m, n) with `top'top + bottom'bottom = I`, from x (..., n, n), y (..., m, n).

    m may be zero. It holds for every finite x and y up to rounding, which grows with their size; whoever needs it strictly
    measures the norm of the result. float16 and bfloat16 are computed in float32.
    """
    size = x.shape[-1]
    wide = torch.promote_types(x.dtype, torch.float32)
    left, right = x.to(wide), y.to(wide)
    skew = cut(left - left.mT, LARGEST**2)
    right = cut(right, LARGEST)
    z = skew + right.mT @ right
    identity = torch.eye(size, dtype=wide, device=x.device)
    # (I - Z) and (I + Z)^-1 commute: one factorisation serves both parts.
    stacked = torch.linalg.solve(identity + z, torch.cat([identity - z, -2 * right], dim=-2), left=False)
    stacked = stacked.to(x.dtype)
    return stacked[..., :size, :], stacked[..., size:, :]


def orthonormal_columns(free: Tensor, certified: bool) -> Tensor:
    """A matrix with orthonormal columns from a free one of the same shape (..., larger, smaller)."""
    size = free.shape[-1]
    columns = torch.cat(cayley(free[..., :size, :], free[..., size:, :]), dim=-2)
    return contracted(columns) if certified else columns


def contracted(matrices: Tensor) -> Tensor:
    """Matrices (..., m, n) divided by a bound of their norm where that is above one: the charge for rounding."""
    if matrices.dim() > 2:
        return torch.stack([contracted(m) for m in matrices])
    return matrices / norm_upper_bound(Operator(matrices)).clamp_min(1.0)


def cut(matrix: Tensor, largest: float) -> Tensor:
    """The matrix, scaled down to the Frobenius norm `largest` where it is larger; zero matrices have gradients."""
    # In two steps: the squares of large entries overflow.
    magnitude = matrix.detach().abs().amax((-2, -1), keepdim=True) if matrix.numel() else matrix.new_ones(())
    unit = magnitude.clamp_min(1.0)
    norm = torch.linalg.matrix_norm(matrix / unit, keepdim=True)
    return matrix / unit * (largest / norm.clamp_min(1e-30)).clamp_max(unit)


def rounding_charge(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """What rounding a kernel to `dtype` can add to its norm beyond half of the margin that every layer has.

    Taps change by a unit roundoff relative to their Frobenius norms, which add up. Small kernels are within the margin;
    those as large as an image may not be.
    """
    unit = torch.finfo(dtype).eps / 2
    total = kernel.square().sum((0, 1)).sqrt().sum()
    return unit * (total - 4 * kernel.shape[0] ** 0.5).clamp_min(0)


FAMILY = Family("cayley", "Trockman, Kolter 2021; Wang, Manchester 2023, for rectangular weights", CayleyLinear)
