"""Orthogonal convolutions of projectors (BCOP).

A projector P makes the kernel of two taps `(P, I - P)`, an isometry of signals, as its symbol `P + (I - P) z` is
unitary for |z| = 1; products of such kernels along both axes with an orthogonal matrix are again isometries, given as
explicit kernels (Xiao et al. 2018; Li et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.cayley import orthonormal_columns
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.torus import rounding_allowance
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator


class BCOPConv2d(LipschitzLayer):
    """An orthogonal convolution; inputs (batch, in_channels, height, width) of any size.

    The kernel is odd and centred and an isometry of images on the infinite plane (with fewer outputs than inputs: the
    transpose of one), so its norm is at most one with zero and, with `circular`, periodic padding; `stride` keeps some
    of the outputs. Parameters are free: `weight` (channels, channels), of which Cayley's transform makes an orthogonal
    matrix, and `projectors` (2 (kernel_size - 1), channels, channels // 2), of whose columns it makes an orthonormal
    basis, with the larger number of channels. Raises ValueError for sizes that are not positive or an even kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        bias: bool = True,
        circular: bool = False,
        stride: int = 1,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, stride=stride)
        self.geometry = Geometry.same(kernel_size, circular, stride)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        channels = max(in_channels, out_channels)
        self.weight = nn.Parameter(torch.randn(channels, channels, device=device, dtype=dtype) / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(out_channels, device=device, dtype=dtype)) if bias else None
        shape = (2 * (kernel_size - 1), channels, channels // 2)
        free = torch.randn(shape, device=device, dtype=dtype) / channels**0.5
        # One channel or one tap leaves nothing to choose; every parameter has an effect.
        self.projectors = nn.Parameter(free) if free.numel() else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The explicit kernel."""
        turn = orthonormal_columns(values["weight"], certified)
        if self.projectors is None:
            bases = turn.new_zeros(2 * (self.kernel_size - 1), len(turn), 0)
        else:
            # A basis of norm at most one gives 0 <= P <= I, and P + (I - P) z is then a mean of contractions, whatever
            # the rounding.
            bases = orthonormal_columns(values["projectors"], certified)
        kernel = isometric_kernel(turn, bases)
        kernel = kernel.permute(2, 3, 0, 1)[: self.out_channels, : self.in_channels].contiguous()
        if certified:
            kernel = kernel / (1 + rounding_allowance(kernel, self.weight.dtype))
        return Block(Operator(kernel, self.geometry), None, values.get("bias"))


def isometric_kernel(turn: Tensor, bases: Tensor) -> Tensor:
    """The kernel (size, size, out, in) of an orthogonal matrix and a pair of taps for each of 2 (size - 1) bases.

    A basis (channels, columns) has orthonormal columns and makes the projector of its span.
    """
    kernel = turn[None, None]
    for step, basis in enumerate(bases):
        first = basis @ (basis.mT @ kernel)
        second = kernel - first
        # Down and across by turns. P comes first in one pair of steps and last in the next, which keeps the kernel
        # centred.
        first, second = (first, second) if step % 4 in (0, 1) else (second, first)
        others = (0,) * (6 - 2 * (step % 2))
        kernel = functional.pad(first, (*others, 0, 1)) + functional.pad(second, (*others, 1, 0))
    return kernel


FAMILY = Family(
    "bcop",
    "Li et al. 2019, with bases by Cayley's transform",
    "orthogonal convolution, a product of 1 x 2 and 2 x 1 ones",
    None,
    BCOPConv2d,
)
