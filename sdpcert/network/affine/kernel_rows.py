"""Convolutions in float64 on a processor: a matrix product for every row of the kernel.

Torch writes out a patch of the image for every output and then multiplies, one image at a time: the entries of an image
are copied as often as the kernel has taps. Here only the taps of one row are written out, next to each other; the rows
of the kernel read the same numbers some rows further down, which are neighbours in memory, so that nothing else is
copied. Images are taken together until their copies are about as large as a core's cache. Every output is a sum of
products of single entries, as convolutions are defined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: How many numbers are written out at once, and how many times the kernel's at least: it is read again every time.
CACHED, KERNELS = 2**18, 4


def by_kernel_rows(
    kernel: torch.Tensor,
    bias: torch.Tensor | None,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    padded: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The cross-correlation of images (batch, in, height, width), `padded`, with a kernel (out, in / groups, h, w).

    `bias` has shape (out,); outputs are (batch, out, rows, columns) as torch's `conv2d` defines them.
    """
    import torch

    high, wide = kernel.shape[2:]
    # (h, groups, out / groups, w in / groups)
    rows = kernel.unflatten(0, (groups, -1)).permute(3, 0, 1, 4, 2).flatten(3)
    first = None if bias is None else bias.reshape(groups, -1, 1)

    def apply(images: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = images.shape
        below = (height - dilation[0] * (high - 1) - 1) // stride[0] + 1
        across = (width - dilation[1] * (wide - 1) - 1) // stride[1] + 1
        # Rows by the remainder of their number: those that a row of the kernel reads are then next to each other.
        images = torch.nn.functional.pad(images, (0, 0, 0, -height % stride[0]))
        each = images.unflatten(1, (groups, -1)).unflatten(3, (-1, stride[0])).permute(1, 2, 4, 3, 0, 5)
        last = (across - 1) * stride[1] + 1
        taps = [each[..., j * dilation[1] : j * dilation[1] + last : stride[1]] for j in range(wide)]
        written = torch.stack(taps, 1).flatten(4).flatten(1, 2)  # (groups, w in / groups, remainder, numbers)
        number = batch * across  # of outputs in a row
        total = None
        for i, row in enumerate(rows):
            start, remainder = divmod(i * dilation[0], stride[0])
            read = written[:, :, remainder, start * number : (start + below) * number]
            if total is None:
                total = torch.bmm(row, read) if first is None else torch.baddbmm(first, row, read)
            else:
                total = total.baddbmm_(row, read)
        assert total is not None
        return total.reshape(len(kernel), below, batch, across).permute(2, 0, 1, 3)

    def in_parts(images: torch.Tensor) -> torch.Tensor:
        entries = images.shape[1:].numel() * wide // stride[1]
        count = max(1, max(CACHED, KERNELS * kernel.numel()) // max(1, entries))
        return torch.cat([apply(padded(part)) for part in images.split(count)])

    return in_parts
