"""Transposed convolution by the layers that are there: zeros between the pixels, and a convolution."""

from __future__ import annotations

import numpy as np

from sdpcert.network.affine import Conv2d
from sdpcert.network.graph import Graph

Array = np.ndarray


def conv_transpose(
    graph: Graph,
    value: int,
    kernel: Array,
    bias: Array | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    output_padding: tuple[int, int] = (0, 0),
    coefficient_error: float = 0.0,
) -> int:
    """The adjoint of a convolution, of a (channels, height, width) value, plus a bias.

    `kernel` has shape (in, out / groups, height, width) as in ONNX and torch; `padding` is (top, left, bottom, right)
    of the convolution, cut off here, and `output_padding` is what is added at the bottom and on the right. With zeros
    between the pixels it is the convolution with the flipped kernel and its channels swapped; a stride of one needs no
    zeros, so that the layer stays one on a torus. Raises ValueError where the parts do not fit.
    """
    channels, height, width = graph.shape(value)
    if kernel.ndim != 4 or groups < 1 or len(kernel) != channels or channels % groups:
        raise ValueError(f"a kernel {kernel.shape} in {groups} groups cannot be transposed onto {channels} channels")
    ins, outs = channels // groups, kernel.shape[1]
    flipped = kernel[:, :, ::-1, ::-1].reshape(groups, ins, outs, *kernel.shape[2:]).swapaxes(1, 2)
    flipped = np.ascontiguousarray(flipped).reshape(groups * outs, ins, *kernel.shape[2:])
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape[2:], strict=True)]
    around = [
        (reach[0] - padding[0], reach[0] - padding[2] + output_padding[0]),
        (reach[1] - padding[1], reach[1] - padding[3] + output_padding[1]),
    ]
    places = [
        _spread(n, s, before, after) for n, s, (before, after) in zip((height, width), stride, around, strict=True)
    ]
    if any(len(p) != n or np.any(p < 0) for p, n in zip(places, (height, width), strict=True)):
        image = np.arange(channels * height * width).reshape(channels, height, width)
        rows, columns = places[0][:, None], places[1][None, :]
        indices = np.where((rows < 0) | (columns < 0), -1, image[:, np.maximum(rows, 0), np.maximum(columns, 0)])
        value = graph.rearrange(value, lambda _: indices)
    top, left = (max(before, 0) for before, _ in around)
    bottom, right = (max(after, 0) for _, after in around)
    layer = Conv2d(flipped, bias, (1, 1), (top, left, bottom, right), dilation, groups, coefficient_error)
    return graph.add(layer, value)


def _spread(length: int, stride: int, before: int, after: int) -> Array:
    """The pixels of an axis with `stride - 1` zeros (-1) between them, without those that negative margins cut off."""
    places = np.full((length - 1) * stride + 1, -1)
    places[::stride] = np.arange(length)
    places = places[max(-before, 0) : len(places) - max(-after, 0)]
    if not len(places):
        raise ValueError("a transposed convolution whose padding leaves nothing of an axis")
    return places
