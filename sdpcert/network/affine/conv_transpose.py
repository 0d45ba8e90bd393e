"""Transposed convolutions: what carries images back through a convolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.norms import matrix_norm_up, with_room
from sdpcert.network.affine.convolution import (
    Tap,
    between_channels,
    bias_of,
    correlated,
    is_by_channel,
    spread_out,
    taps_of,
)
from sdpcert.network.affine.layer import AffineLayer, Array, Shape
from sdpcert.network.affine.weighted import Weighted
from sdpcert.network.filters import NotInvariant, Pixels, Stencil

if TYPE_CHECKING:
    import torch

    from sdpcert.network.affine.numbering import Numbering, Sums


@dataclass(frozen=True, eq=False)
class ConvTranspose(Weighted):
    """The adjoint of a two-dimensional convolution plus a bias, as ONNX and torch define `ConvTranspose`.

    `kernel` has shape (in, out / groups, height, width), `bias` (out,). `padding` is (top, left, bottom, right) of the
    convolution and is cut off here (added if negative); `output_padding` is added at the bottom and on the right.
    """

    kernel: Array
    bias: Array | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    output_padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    coefficient_error: float = 0.0
    reads_images = True

    @property
    def terms(self) -> int:
        return self.rows.shape[1]

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if self.kernel.ndim != 4 or self.groups < 1 or len(self.kernel) % self.groups:
            raise ValueError(
                f"a transposed convolution needs a kernel (in, out / groups, height, width) whose inputs its groups "
                f"divide, not {self.kernel.shape} in {self.groups} groups"
            )
        if len(shape) != 3 or shape[0] != len(self.kernel):
            raise ValueError(
                f"a transposed convolution with kernel {self.kernel.shape} reads images of {len(self.kernel)} "
                f"channels, not shape {shape}"
            )
        top, left, bottom, right = self._margins
        channels, rows, columns = self._whole(shape)
        height, width = rows + top + bottom, columns + left + right
        if height < 1 or width < 1:
            raise ValueError(f"the padding {self.padding} of a transposed convolution leaves nothing of {shape}")
        return (channels, height, width)

    @property
    def _margins(self) -> tuple[int, int, int, int]:
        """What is added to the whole image at the top, left, bottom and right; negative if it is cut off."""
        top, left, bottom, right = self.padding
        return -top, -left, self.output_padding[0] - bottom, self.output_padding[1] - right

    def _whole(self, shape: Shape) -> Shape:
        """The shape of what the kernel reaches."""
        sides = (
            (n - 1) * s + d * (k - 1) + 1
            for n, s, d, k in zip(shape[1:], self.stride, self.dilation, self.kernel.shape[2:], strict=True)
        )
        return (self.kernel.shape[1] * self.groups, *sides)

    def linear(self, *inputs: Array) -> Array:
        (images,) = inputs
        self.output_shape(images.shape[1:])
        whole = spread_out(images, self._taps, self.stride, self.groups, self._whole(images.shape[1:]))
        return _framed(whole, *self._margins)

    @property
    def _taps(self) -> list[Tap]:
        """The taps in the order of the output's neighbours, as a correlation with the flipped kernel adds them."""
        return list(taps_of(self.kernel, self.dilation))[::-1]

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        (shape,) = shapes
        top, left, bottom, right = self._margins
        whole = _framed(output, -top, -left, -bottom, -right)
        return (correlated(whole, self.kernel, self.stride, self.dilation, self.groups, (shape[1], shape[2])),)

    def offset(self) -> Array | float:
        return 0.0 if self.bias is None else self.bias[:, None, None]

    def shifted(self, shift: Array, shape: Shape) -> AffineLayer | None:
        return None if self.bias is not None or not is_by_channel(shift) else replace(self, bias=bias_of(shift, shape))

    @property
    def rows(self) -> Array:
        by_group = self.kernel.reshape(self.groups, -1, *self.kernel.shape[1:]).swapaxes(1, 2)
        return by_group.reshape(self.groups * self.kernel.shape[1], -1)

    def with_rows(self, rows: Array) -> Self:
        by_group = rows.reshape(self.groups, self.kernel.shape[1], -1, *self.kernel.shape[2:]).swapaxes(1, 2)
        return replace(self, kernel=by_group.reshape(self.kernel.shape), bias=None)

    def by_channel(self, values: Array) -> Array:
        return values.reshape(-1, 1, 1)

    def norm_bound(self, shape: Shape) -> float:
        """The lesser of two bounds: by the patches that the outputs read, and by those that the inputs reach."""
        ones = replace(self, kernel=np.ones((1, 1, *self.kernel.shape[2:])), bias=None, groups=1)
        image = np.ones((1, 1, *shape[1:]))
        reaches = ones.linear(image)
        (reads,) = ones.adjoint(np.ones_like(reaches), (1, *shape[1:]))
        bounds = []
        for parts, times in ((self.kernel, reaches), (self.rows, reads)):
            matrices = parts.reshape(self.groups, len(parts) // self.groups, -1)
            norms = [matrix_norm_up(matrix, self.coefficient_error) for matrix in matrices]
            bounds.append(error_bound.largest(*norms) * np.sqrt(np.max(times)))
        return with_room(min(bounds))

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        import torch

        from sdpcert.network.torch_forms import tensor_of

        kernel, bias = (tensor_of(values, device, dtype) for values in (self.kernel, self.offset()))
        top, left, bottom, right = self._margins
        margins = (left, right, top, bottom)
        added, cut = [max(m, 0) for m in margins], [min(m, 0) for m in margins]

        def spread(x: torch.Tensor) -> torch.Tensor:
            with torch.backends.cudnn.flags(enabled=dtype != torch.float64):
                x = torch.nn.functional.conv_transpose2d(x, kernel, None, self.stride, 0, 0, self.groups, self.dilation)
            return torch.nn.functional.pad(torch.nn.functional.pad(x, added), cut) + bias

        return spread

    def stencil(self, shape: Shape, output: Shape) -> Stencil:
        if self.stride != (1, 1):
            raise NotInvariant("a transposed convolution with a stride makes an image finer than the one that it reads")
        top, left, _, _ = self.padding
        taps: dict[tuple[int, int], Array] = {}
        for (y, x), tap in self._taps:
            full = between_channels(tap, self.groups).T
            if np.any(full):
                taps[top - y, left - x] = full
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel.shape[2:], strict=True)]
        return Stencil(
            Pixels((1, 1), (top - reach[0], left - reach[1]), (output[1] - 1 + top, output[2] - 1 + left)), taps
        )

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        geometry = ("transposed", self.stride, self._margins, self.dilation, self.groups, self.kernel.shape)
        return numbering.windowed(self.rows, self.bias, geometry, shape[1] * shape[2], self.groups, given[0])

    def operations(self, shape: Shape) -> float:
        entries = float(np.prod(shape)) / (self.stride[0] * self.stride[1])
        return 2.0 * entries * self.terms + entries * 25.0 * self.kernel.shape[2] * self.kernel.shape[3]

    @property
    def calls(self) -> float:
        return 6.0 * self.kernel.shape[2] * self.kernel.shape[3]


def _framed(images: Array, top: int, left: int, bottom: int, right: int) -> Array:
    """Images with zeros added on every side, or with so much cut off where a number is negative."""
    around = ((0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)))
    images = np.pad(images, around)
    height, width = images.shape[2:]
    return images[:, :, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
