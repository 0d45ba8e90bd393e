"""Circular kernels of many taps on torch tensors: products with matrices, some pixels of a row at a time.

Written out, the patches of a kernel as large as the image are the image once for every pixel. The matrix of a few
outputs has the kernel's entries once for each of them, and serves all images of a batch. Every output is a sum of
products of single entries, as for a convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def by_rows(kernel: torch.Tensor, top: int, left: int, entries: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A circular convolution of images (batch, in, height, width) not smaller than the kernel (out, in, h, w).

    The output at (y, x) reads the tap (i, j) at `(y + i - top, x + j - left)`; outputs are as large as the images. A
    matrix has about `entries` numbers.
    """
    import torch

    def apply(images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        whole = torch.nn.functional.pad(kernel, (0, width - kernel.shape[3], 0, height - kernel.shape[2]))
        rows, columns = torch.arange(height), torch.arange(width)
        across = (columns - columns[:, None] + left) % width  # of the tap, by output and input column
        flat = images.flatten(1).mT
        made = []
        for y in range(height):
            row = whole[:, :, (rows - y + top) % height]
            for part in across.split(max(1, entries // whole.numel())):
                matrix = row[..., part].permute(3, 0, 1, 2, 4)  # (outputs, out, in, height, inputs)
                made.append(matrix.flatten(2).flatten(0, 1) @ flat)
        outputs = torch.cat(made).unflatten(0, (height, width, len(kernel)))
        return outputs.permute(3, 2, 0, 1)

    return apply
