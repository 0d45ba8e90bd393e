"""The Gram matrix of a weight and its entrywise magnitude, which every diagonal-dominance rule reads.

For a matrix V with hidden rows (out, in), the Gram matrix is G = V V'. For a convolution it is the operator V V' on
signals, whose rows differ by shifts only; `magnitude[i, j]` then sums the absolute values of all taps of the correlation
of kernels i and j, so that x'G x <= |x|' N |x| with |x| the norms over space of each channel. It holds on every image,
with zero and with circular padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.layers.operators import Operator


@dataclass(frozen=True, eq=False)
class Gram:
    """`magnitude` N is nonnegative and symmetric; `signed` is the Gram matrix itself, None for convolutions.

    `operator` is the weight, scaled to entries of at most one, with the hidden channels as its outputs.
    """

    magnitude: Tensor
    signed: Tensor | None
    operator: Operator


def gram(operator: Operator) -> Gram:
    """The Gram matrix of the rows of a matrix or of the output channels of a kernel."""
    weight = operator.weight
    if operator.geometry is None:
        signed = weight @ weight.mT
        return Gram(signed.abs(), signed, operator)
    geometry = operator.geometry
    if geometry.groups != 1:
        raise ValueError(f"diagonal rules need convolutions with one group, not {geometry.groups}")
    return Gram(correlation_magnitude(weight), None, operator)


def correlation_magnitude(kernel: Tensor) -> Tensor:
    """Sums over all offsets of `|sum_(c, p) kernel[i, c, p + offset] kernel[j, c, p]|`, shape (out, out)."""
    size = kernel.shape[2:]
    if tuple(size) == (1, 1):
        flat = kernel[:, :, 0, 0]
        return (flat @ flat.mT).abs()
    # Offset and opposite offset give transposes of each other, so half of the offsets are enough.
    rows = size[0] - 1
    padded = functional.pad(kernel, (size[1] - 1, size[1] - 1, 0, rows))
    taps = functional.conv2d(padded, kernel).abs()  # rows 0..h-1, all columns
    centre = taps[:, :, :1].sum((2, 3))
    below = taps[:, :, 1:].sum((2, 3)) if rows else torch.zeros_like(centre)
    return centre + below + below.mT
