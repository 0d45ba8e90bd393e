"""Convolutions of images, and the two loops over a kernel's taps that they and their adjoints are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.norms import matrix_norm_up, with_room
from sdpcert.network.affine.fourier import by_fourier
from sdpcert.network.affine.kernel_rows import by_kernel_rows
from sdpcert.network.affine.layer import AffineLayer, Array, Shape
from sdpcert.network.affine.weighted import Weighted
from sdpcert.network.filters import Pixels, Stencil

if TYPE_CHECKING:
    import torch

    from sdpcert.network.affine.numbering import Numbering, Sums

#: Taps of a circular kernel from which on it is applied by Fourier transforms where no float64 is certified.
TAPS_BY_FREQUENCIES = 81
#: An offset in rows and columns, and the matrix that a kernel has there.
Tap = tuple[tuple[int, int], Array]


@dataclass(frozen=True, eq=False)
class Conv2d(Weighted):
    """Two-dimensional cross-correlation with zero or circular padding, as ONNX and torch define `Conv`.

    `kernel` has shape (out, in / groups, height, width), `bias` (out,); `padding` is (top, left, bottom, right).
    """

    kernel: Array
    bias: Array | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    coefficient_error: float = 0.0
    circular: bool = False
    reads_images = True

    @property
    def terms(self) -> int:
        return int(np.prod(self.kernel.shape[1:]))

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        out, per_group, *kernel = self.kernel.shape
        if len(shape) != 3 or shape[0] != per_group * self.groups or out % self.groups:
            raise ValueError(
                f"a convolution with kernel {self.kernel.shape} and {self.groups} groups cannot read {shape}"
            )
        top, left, bottom, right = self.padding
        padded = (shape[1] + top + bottom, shape[2] + left + right)
        spatial = []
        for axis in range(2):
            reach = self.dilation[axis] * (kernel[axis] - 1) + 1
            if padded[axis] < reach:
                raise ValueError(f"a convolution with kernel {self.kernel.shape} does not fit into an image {shape}")
            spatial.append((padded[axis] - reach) // self.stride[axis] + 1)
        return (out, *spatial)

    def linear(self, *inputs: Array) -> Array:
        (images,) = inputs
        _, height, width = self.output_shape(images.shape[1:])
        top, left, bottom, right = self.padding
        around = ((0, 0), (0, 0), (top, bottom), (left, right))
        images = np.pad(images, around, mode="wrap" if self.circular else "constant")
        return correlated(images, self.kernel, self.stride, self.dilation, self.groups, (height, width))

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        (shape,) = shapes
        top, left, bottom, right = self.padding
        around = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
        padded = spread_out(output, taps_of(self.kernel, self.dilation), self.stride, self.groups, around)
        if self.circular:
            return (_fold(_fold(padded, 2, top, shape[1]), 3, left, shape[2]),)
        return (padded[:, :, top : top + shape[1], left : left + shape[2]],)

    def offset(self) -> Array | float:
        return 0.0 if self.bias is None else self.bias[:, None, None]

    def shifted(self, shift: Array, shape: Shape) -> AffineLayer | None:
        return None if self.bias is not None or not is_by_channel(shift) else replace(self, bias=bias_of(shift, shape))

    @property
    def rows(self) -> Array:
        return self.kernel.reshape(len(self.kernel), -1)

    def with_rows(self, rows: Array) -> Self:
        return replace(self, kernel=rows.reshape(self.kernel.shape), bias=None)

    def by_channel(self, values: Array) -> Array:
        return values.reshape(-1, 1, 1)

    def adds_coefficients(self, shape: Shape) -> bool:
        """A circular kernel larger than the image has taps that meet on one pixel."""
        if not self.circular:
            return False
        _, height, width = shape
        sums: dict[tuple[int, int], Array] = {}
        for (y, x), tap in taps_of(self.kernel, self.dilation):
            place = (y % height, x % width)
            if place in sums:
                before, total = sums[place], sums[place] + tap
                back = total - before
                if np.any((before - (total - back)) + (tap - back)):  # Knuth: what the addition lost
                    return True
                tap = total
            sums[place] = tap
        return False

    def norm_bound(self, shape: Shape) -> float:
        # The patches that the kernel reads, then a matrix on every patch: a pixel is in several patches.
        ones = replace(self, kernel=np.ones((1, 1, *self.kernel.shape[2:])), bias=None, groups=1)
        image = (1, *shape[1:])
        (times,) = ones.adjoint(np.ones((1, *ones.output_shape(image))), image)
        parts = self.kernel.reshape(self.groups, len(self.kernel) // self.groups, -1)
        largest = error_bound.largest(*(matrix_norm_up(part, self.coefficient_error) for part in parts))
        return with_room(largest * np.sqrt(np.max(times)))

    def float32_obstacle(self) -> str | None:
        if not self.circular or self.kernel[0, 0].size < TAPS_BY_FREQUENCIES:
            return None
        size = "x".join(map(str, self.kernel.shape[2:]))
        return (
            f"a circular convolution of {size} taps is applied by Fourier transforms, "
            "whose float32 error has no stated bound"
        )

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        import torch

        from sdpcert.network.torch_forms import tensor_of

        kernel = tensor_of(self.kernel, device, dtype)
        bias = None if self.bias is None else tensor_of(self.bias, device, dtype)
        top, left, bottom, right = self.padding
        around, mode = (left, right, top, bottom), "circular" if self.circular else "constant"

        def padded(x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.pad(x, around, mode=mode) if any(around) else x

        def convolve(x: torch.Tensor) -> torch.Tensor:
            # cuDNN may choose Winograd or Fourier transforms, whose rounding no bound is known for.
            with torch.backends.cudnn.flags(enabled=dtype != torch.float64):
                return torch.nn.functional.conv2d(padded(x), kernel, bias, self.stride, 0, self.dilation, self.groups)

        if device.type == "cpu" and dtype == torch.float64:
            return by_kernel_rows(kernel, bias, self.stride, self.dilation, self.groups, padded)
        if dtype == torch.float32 and self._is_large_and_circular:
            return by_fourier(kernel, bias, top, left)
        return convolve

    @property
    def _is_large_and_circular(self) -> bool:
        """Whether Fourier transforms, of images that keep their size, take less time."""
        if not self.circular or self.kernel[0, 0].size < TAPS_BY_FREQUENCIES or self.groups != 1:
            return False
        keeps = (self.padding[0] + self.padding[2] + 1, self.padding[1] + self.padding[3] + 1)
        return self.stride == self.dilation == (1, 1) and self.kernel.shape[2:] == keeps

    def stencil(self, shape: Shape, output: Shape) -> Stencil:
        top, left, _, _ = self.padding
        taps: dict[tuple[int, int], Array] = {}
        for (y, x), tap in taps_of(self.kernel, self.dilation):
            full = between_channels(tap, self.groups)
            if np.any(full):
                taps[y - top, x - left] = full
        reach = [(k - 1) * d for k, d in zip(self.kernel.shape[2:], self.dilation, strict=True)]
        highest = [(output[1 + a] - 1) * self.stride[a] + reach[a] - self.padding[a] for a in range(2)]
        return Stencil(Pixels(self.stride, (-top, -left), (highest[0], highest[1]), self.circular), taps)

    def adds_channels(self, image: Array, output: Shape, places: int) -> bool:
        """One window, the whole image, and in it one weight for each pair of channels."""
        if self.coefficient_error or self.circular or any(self.padding) or output[1:] != (1, 1):
            return False
        if self.kernel.shape[2:] != image.shape[1:] or np.any(self.kernel != self.kernel[:, :, :1, :1]):
            return False
        ordered = np.sort(image.reshape(len(image), -1), axis=1)
        whole = ordered.shape[1] == places and np.all(ordered == ordered[:, :1] + np.arange(places))
        return bool(whole and np.all(ordered[:, 0] % places == 0) and np.all(ordered >= 0))

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        geometry = (self.stride, self.padding, self.dilation, self.groups, self.circular, self.kernel.shape)
        return numbering.windowed(self.rows, self.bias, geometry, shape[1] * shape[2], self.groups, given[0])

    def operations(self, shape: Shape) -> float:
        entries = float(np.prod(shape))
        return 2.0 * entries * self.terms + entries * 25.0 * self.kernel.shape[2] * self.kernel.shape[3]

    @property
    def calls(self) -> float:
        return 6.0 * self.kernel.shape[2] * self.kernel.shape[3] * self.groups


def taps_of(kernel: Array, dilation: tuple[int, int]) -> Iterator[Tap]:
    """The taps of a kernel (first axis, second axis, height, width)."""
    for y in range(kernel.shape[2]):
        for x in range(kernel.shape[3]):
            yield (y * dilation[0], x * dilation[1]), kernel[:, :, y, x]


def correlated(
    images: Array,
    kernel: Array,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    sides: tuple[int, int],
) -> Array:
    """The cross-correlation of a batch of padded images with a kernel (out, in / groups, height, width).

    `sides` are the output's rows and columns.
    """
    out, ins = kernel.shape[:2]
    outs = out // groups
    result = np.zeros((len(images), out, *sides))
    for offset, tap in taps_of(kernel, dilation):
        window = images[:, :, *_every(offset, stride, sides)]
        for g in range(groups):
            part = window[:, g * ins : (g + 1) * ins].reshape(len(images), ins, -1)
            rows = slice(g * outs, (g + 1) * outs)
            result[:, rows] += (tap[rows] @ part).reshape(len(images), outs, *sides)
    return result


def spread_out(images: Array, taps: Iterable[Tap], stride: tuple[int, int], groups: int, shape: Shape) -> Array:
    """The adjoint of `correlated`: what images of its outputs become on padded images of `shape`.

    `taps` are the kernel's, which are added in this order.
    """
    count, out, height, width = images.shape
    part = images.reshape(count, groups, out // groups, height * width)
    result = np.zeros((count, *shape))
    for offset, tap in taps:
        by_group = np.ascontiguousarray(tap.reshape(groups, out // groups, -1).transpose(0, 2, 1))
        window = (slice(None), slice(None), *_every(offset, stride, (height, width)))
        result[window] += (by_group @ part).reshape(count, shape[0], height, width)
    return result


def _every(offset: tuple[int, int], stride: tuple[int, int], sides: tuple[int, int]) -> tuple[slice, slice]:
    """The pixels that one tap meets: every so many from an offset on."""
    y, x = (slice(o, o + (n - 1) * s + 1, s) for o, s, n in zip(offset, stride, sides, strict=True))
    return y, x


def between_channels(tap: Array, groups: int) -> Array:
    """A tap (out, in / groups) as a matrix between all channels."""
    out, per_group = tap.shape
    outs = out // groups
    full = np.zeros((out, per_group * groups))
    for g in range(groups):
        rows = slice(g * outs, (g + 1) * outs)
        full[rows, g * per_group : (g + 1) * per_group] = tap[rows]
    return full


def is_by_channel(shift: Array) -> bool:
    """Whether an array that broadcasts against images has one number for each channel, or for all."""
    return shift.size == 1 or (shift.ndim == 3 and shift.shape[1:] == (1, 1))


def bias_of(shift: Array, shape: Shape) -> Array:
    """Such an array as the bias of images of `shape`."""
    return np.broadcast_to(shift.ravel(), shape[:1])


def _fold(padded: Array, axis: int, before: int, length: int) -> Array:
    """Add the margins of one axis to the entries that they repeat."""
    moved = np.moveaxis(padded, axis, 0)
    result = moved[before : before + length].copy()
    for k in (*range(before), *range(before + length, len(moved))):
        result[(k - before) % length] += moved[k]
    return np.moveaxis(result, 0, axis)
