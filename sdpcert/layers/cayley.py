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
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator, wrapped
from sdpcert.torch_modules.norms import ROUNDING, norm_upper_bound

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


class CayleyConv2d(LipschitzLayer):
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
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels)
        Geometry.same(kernel_size)  # raises ValueError for even sizes
        self.in_channels, self.out_channels = in_channels, out_channels
        self.image_size = pair_of_sizes(image_size)
        free = torch.randn(out_channels, in_channels, kernel_size, kernel_size, device=device, dtype=dtype)
        self.kernel = nn.Parameter(free / (max(in_channels, out_channels) ** 0.5 * kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels, device=device, dtype=dtype)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The full circular kernel."""
        free = values["kernel"].to(torch.promote_types(values["kernel"].dtype, torch.float32))
        symbols = torch.fft.rfft2(wrapped(free, self.image_size)).permute(2, 3, 0, 1)
        wide = self.in_channels > self.out_channels
        columns = orthonormal_columns(symbols.mH if wide else symbols, False)
        symbols = columns.mH if wide else columns
        kernel = torch.fft.irfft2(symbols.permute(2, 3, 0, 1), s=self.image_size)
        if certified:
            # The real part at opposite frequencies is a mean of the two symbols: the norm is at most the largest one's.
            norm = torch.linalg.matrix_norm(symbols, 2).amax() * (1 + ROUNDING * max(symbols.shape[-2:]))
            kernel = kernel / norm.clamp_min(1)
        kernel = centred(centred(kernel, 2), 3)
        if certified:
            kernel = kernel / (1 + rounding_allowance(kernel, self.kernel.dtype))
        geometry = Geometry((kernel.shape[2] // 2, kernel.shape[3] // 2), circular=True)
        return Block(Operator(kernel.to(values["kernel"].dtype), geometry), None, values.get("bias"))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch; raises ValueError for images of another size."""
        self._check_image(tuple(inputs.shape[-2:]))
        return super().forward(inputs)

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the kernel; raises ValueError for images of another size."""
        self._check_image(graph.shape(value)[1:])
        return super().add_to(graph, value)

    def _check_image(self, size: tuple[int, ...]) -> None:
        if size != self.image_size:
            raise ValueError(f"this layer was made for images of {self.image_size}, not {size}")


def cayley(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`top` (..., n, n) and `bottom` (..., m, n) with `top'top + bottom'bottom = I`, from x (..., n, n), y (..., m, n).

    m may be zero, and the matrices complex, with conjugate transposes. It holds for every finite x and y up to
    rounding, which grows with their size; whoever needs it strictly measures the norm of the result. float16 and
    bfloat16 are computed in float32.
    """
    size = x.shape[-1]
    wide = torch.promote_types(x.dtype, torch.float32)
    left, right = x.to(wide), y.to(wide)
    right = cut(right, LARGEST)
    z = cut(left - left.mH, LARGEST**2) + right.mH @ right
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


def rounding_allowance(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """What rounding a kernel to `dtype` can add to its norm beyond half of the margin that every layer has.

    Taps change by a unit roundoff relative to their Frobenius norms, which add up. Small kernels are within the margin;
    those as large as an image may not be.
    """
    unit = torch.finfo(dtype).eps / 2
    total = kernel.square().sum((0, 1)).sqrt().sum()
    return unit * (total - 4 * kernel.shape[0] ** 0.5).clamp_min(0)


def centred(kernel: Tensor, axis: int) -> Tensor:
    """A kernel on a torus with offset zero in the middle, of odd size.

    On an even side n the offsets -n/2 and n/2 are the same: each gets half of the tap.
    """
    side = kernel.shape[axis]
    kernel = torch.roll(kernel, side // 2, axis)
    if side % 2:
        return kernel
    half = kernel.narrow(axis, 0, 1) / 2
    return torch.cat([half, kernel.narrow(axis, 1, side - 1), half], dim=axis)


def pair_of_sizes(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width; raises ValueError if one is not positive."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    check_sizes(height=height, width=width)
    return int(height), int(width)


FAMILY = Family(
    "cayley",
    "Trockman, Kolter 2021; Wang, Manchester 2023, for rectangular weights",
    "Q x with orthogonal Q, by Cayley's transform; convolutions are circular and as large as the image",
    CayleyLinear,
    lambda inputs, outputs, size: CayleyConv2d(inputs, outputs, size, image_size=4),
)
