"""Orthogonal layers by the Cayley transform, square and rectangular: dense, and circular convolutions by frequency.

With `Z = X - X' + Y'Y`, primes for conjugate transposes, the columns of `[(I - Z); -2 Y] (I + Z)^-1` are orthonormal:
the symmetric part of Z is `Y'Y`, so `(I - Z)'(I - Z) + 4 Y'Y = (I + Z)'(I + Z)`, and that of `I + Z` is at least I, so
that it is invertible for every X and Y. A circular convolution is a matrix at every frequency of its torus, each of
which is transformed for itself (Trockman, Kolter 2021; for rectangular ones Wang, Manchester 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.torus import TorusConv2d
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.frequencies import inverse, product
from sdpcert.torch_modules.geometry import Operator
from sdpcert.torch_modules.norms import norm_upper_bound

#: Frobenius norm that Y is cut to; that of the skew part is cut to its square. So large a Y moves the bottom by less
#: than 1/100, and float32 still tells `I + Z` from Z, so that it can be solved with.
LARGEST = 256.0


class CayleyLinear(LipschitzLayer):
    """A dense layer with orthonormal columns, or rows if there are fewer outputs than inputs.

    Inputs (..., in_features), outputs (..., out_features). `weight` of shape (out_features, in_features) is free: it,
    or its transpose with fewer outputs than inputs, is X above Y. Square weights are the rotations without the
    eigenvalue -1. Raises ValueError for sizes that are not positive.
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


class CayleyConv2d(TorusConv2d):
    """An orthogonal circular convolution of images of one size: (batch, in_channels, height, width).

    `image_size` is (height, width) or one number for both; other images raise ValueError. `kernel` of shape
    (out_channels, in_channels, kernel_size, kernel_size) is free, of odd size and zero outside, but its transform
    reaches over the whole image. Raises ValueError for sizes that are not positive and an even kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        image_size: int | tuple[int, int],
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_sizes(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        free = torch.randn(out_channels, in_channels, kernel_size, kernel_size, device=device, dtype=dtype)
        free /= max(in_channels, out_channels) ** 0.5 * kernel_size
        super().__init__(in_channels, out_channels, kernel_size, image_size, free, bias)

    def orthonormal(self, symbols: Tensor, certified: bool) -> Tensor:
        """Cayley's transform of every symbol."""
        wide = self.in_channels > self.out_channels
        columns = torch.cat(cayley(*_halves(symbols.mH if wide else symbols), quick=not certified), dim=-2)
        return columns.mH if wide else columns


def cayley(x: Tensor, y: Tensor, quick: bool = False) -> tuple[Tensor, Tensor]:
    """`top` (..., n, n) and `bottom` (..., m, n) with `top'top + bottom'bottom = I`, from x (..., n, n), y (..., m, n).

    m may be zero, and the matrices complex, with conjugate transposes. It holds for every finite x and y up to
    rounding, which grows with their size; whoever needs it strictly measures the norm of the result. float16 and
    bfloat16 are computed in float32. `quick` inverts, which leaves two products for the gradient; the result is the
    same up to rounding.
    """
    size = x.shape[-1]
    wide = torch.promote_types(x.dtype, torch.float32)
    left, right = x.to(wide), y.to(wide)
    right = cut(right, LARGEST)
    z = cut(left - left.mH, LARGEST**2)
    z = z + right.mH @ right if right.shape[-2] else z
    identity = torch.eye(size, dtype=wide, device=x.device)
    if quick:  # (I - Z)(I + Z)^-1 = 2 (I + Z)^-1 - I
        inverted = inverse(z + identity)
        return (2 * inverted - identity).to(x.dtype), (-2 * product(right, inverted)).to(x.dtype)
    # (I - Z) and (I + Z)^-1 commute: one factorisation serves both parts.
    stacked = torch.linalg.solve(identity + z, torch.cat([identity - z, -2 * right], dim=-2), left=False)
    stacked = stacked.to(x.dtype)
    return stacked[..., :size, :], stacked[..., size:, :]


def orthonormal_columns(free: Tensor, certified: bool) -> Tensor:
    """A matrix with orthonormal columns from a free one of the same shape (..., larger, smaller)."""
    columns = torch.cat(cayley(*_halves(free), quick=not certified), dim=-2)
    return contracted(columns) if certified else columns


def _halves(free: Tensor) -> tuple[Tensor, Tensor]:
    """X, which is square, and Y below it."""
    size = free.shape[-1]
    return free[..., :size, :], free[..., size:, :]


def contracted(matrices: Tensor) -> Tensor:
    """Matrices (..., m, n) divided by a bound of their norm if that is above one, which rounding may cause."""
    if matrices.dim() > 2:
        return torch.stack([contracted(m) for m in matrices])
    return matrices / norm_upper_bound(Operator(matrices)).clamp_min(1.0)


def cut(matrix: Tensor, largest: float) -> Tensor:
    """The matrix, scaled down to the Frobenius norm `largest` if it is larger; zero matrices have gradients."""
    if matrix.numel() == 0:
        return matrix
    # In two steps: the squares of large entries overflow.
    unit = matrix.detach().abs().amax((-2, -1), keepdim=True).clamp_min(1.0)
    norm = torch.linalg.matrix_norm(matrix / unit, keepdim=True)
    return matrix / unit * (largest / norm.clamp_min(1e-30)).clamp_max(unit)


FAMILY = Family(
    "cayley",
    "Trockman, Kolter 2021; Wang, Manchester 2023, for rectangular weights",
    "Q x with orthogonal Q, by Cayley's transform; convolutions are circular and as large as the image",
    CayleyLinear,
    lambda inputs, outputs, size: CayleyConv2d(inputs, outputs, size, image_size=4),
)
