"""Circular convolutions of images of one size whose symbols are orthonormal, as one full kernel.

A circular convolution is a matrix at every frequency of its torus. A family makes each of them orthonormal for itself;
back in space the kernel reaches over the whole image.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.linear import check_sizes
from sdpcert.network.affine.fourier import wrapped
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer, training_factor
from sdpcert.torch_modules.frequencies import through_frequencies
from sdpcert.torch_modules.geometry import Geometry, Operator
from sdpcert.torch_modules.norms import ROUNDING


class TorusConv2d(LipschitzLayer):
    """A circular convolution with a kernel made at the frequencies: (batch, in_channels, height, width).

    `image_size` is (height, width) or one number for both; other images raise ValueError. `kernel` (rows, columns,
    kernel_size, kernel_size) is free, of odd size and zero outside; `orthonormal` says what becomes of its symbols.
    Raises ValueError for sizes that are not positive and an even kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        image_size: int | tuple[int, int],
        free: Tensor,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels)
        Geometry.same(kernel_size)  # raises ValueError for even sizes
        self.in_channels, self.out_channels = in_channels, out_channels
        self.image_size = pair_of_sizes(image_size)
        self.kernel = nn.Parameter(free)
        self.bias = nn.Parameter(free.new_zeros(out_channels)) if bias else None

    @abstractmethod
    def orthonormal(self, symbols: Tensor, certified: bool) -> Tensor:
        """Matrices (..., out_channels, in_channels) of norm one, up to rounding, from the symbols of the kernel.

        Conjugate symbols have to give conjugate matrices.
        """

    def _symbols(self, kernel: Tensor, certified: bool) -> Tensor:
        """The orthonormal symbols (height, width // 2 + 1, out_channels, in_channels)."""
        free = kernel.to(torch.promote_types(kernel.dtype, torch.float32))
        return self.orthonormal(torch.fft.rfft2(wrapped(free, self.image_size)).permute(2, 3, 0, 1), certified)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The full circular kernel."""
        symbols = self._symbols(values["kernel"], certified)
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
        """Apply to a batch, in training by the symbols themselves; raises ValueError for images of another size."""
        self._check_image(tuple(inputs.shape[-2:]))
        if not self.training or self.kernel.dtype not in (torch.float32, torch.float64):
            return super().forward(inputs)
        with torch.autocast(device_type=inputs.device.type, enabled=False):
            # The symbol that torch's convolutions take is that of the kernel turned around.
            symbols = self._symbols(self.kernel.flip(2, 3), certified=False)
            result = through_frequencies(inputs.to(self.kernel.dtype), symbols)
            factor = training_factor(self.kernel.dtype)
            result = result if factor == 1 else result * factor
        return result if self.bias is None else result + self.bias[:, None, None]

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the kernel; raises ValueError for images of another size."""
        self._check_image(graph.shape(value)[1:])
        return super().add_to(graph, value)

    def _check_image(self, size: tuple[int, ...]) -> None:
        if size != self.image_size:
            raise ValueError(f"this layer was made for images of {self.image_size}, not {size}")


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
