"""Orthogonal convolutions with stride, groups, dilation, and transposed (AOC), as explicit kernels.

Two isometries of images on the infinite plane, one after the other: a convolution of projectors (BCOP, `bcop.py`),
and one whose windows do not overlap, `stride` x `stride` taps every `stride` pixels: a matrix with orthonormal rows or
columns, applied to every window (RKO). Their composition is one kernel of `kernel_size` taps: an isometry if there are
as many outputs as inputs times the square of the stride, or more; else the adjoint of one. With zero padding images are
the plane's, restricted, so that the norm stays at most one; on a torus that the stride divides no window meets another
either, as long as there are no more windows than fit. A dilation moves the taps apart: windows do not meet as long as
it and the stride have no common divisor. Groups are convolutions side by side, and transposed ones are adjoints.

Source: Boissin, Mamalet, Fel, Picard, Massena, Serrurier, "An Adaptive Orthogonal Convolution Scheme for Efficient and
Flexible CNN Architectures", ICML 2025 (there with Bjorck's iteration, here with Cayley's transform).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.bcop import isometric_kernel
from sdpcert.layers.cayley import orthonormal_columns
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.torus import rounding_allowance
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator, TransposedOperator


class AOCConv2d(LipschitzLayer):
    """An orthogonal convolution of any stride; inputs (batch, in_channels, height, width).

    `padding` cells of zeros, or with `circular` around the torus, on every side; unless given so many that images whose
    sides the stride divides get `1 / stride` of their sides; with stride 1 and an even kernel one pixel more, around
    the torus one less. Raises ValueError for sizes that are not positive, a kernel smaller than the stride, groups that
    do not divide the channels, a dilation with a divisor that the stride has too, and circular images whose sides the
    stride does not divide or that have more outputs than fit around.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        circular: bool = False,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, stride=stride, dilation=dilation, groups=groups)
        if kernel_size < stride:
            raise ValueError(f"kernel_size must be at least the stride {stride}, not {kernel_size}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"{groups} groups do not divide {in_channels} inputs and {out_channels} outputs")
        if math.gcd(stride, dilation) > 1:
            raise ValueError(f"windows of stride {stride} meet where their taps are {dilation} apart: change one")
        self.reach = dilation * (kernel_size - 1) + 1
        # Half of what the kernel is larger than a window; on a torus not more, for windows would meet.
        around = max(0, self.reach - stride)
        padding = (around + (stride > 1 or not circular)) // 2 if padding is None else padding
        if padding < 0:
            raise ValueError(f"padding must not be negative, not {padding}")
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        pair = (padding, padding)
        self.geometry = Geometry(pair, (stride, stride), (dilation, dilation), groups, circular)
        taken, given = in_channels // groups, out_channels // groups
        inner = max(taken, -(-given // stride**2))
        factory = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.randn(groups, inner, inner, **factory) / inner**0.5)
        projectors = torch.randn(groups, 2 * (kernel_size - stride), inner, inner // 2, **factory) / inner**0.5
        # One channel or one tap leaves nothing to choose; every parameter has an effect.
        self.projectors = nn.Parameter(projectors) if projectors.numel() else None
        self.steps = 2 * (kernel_size - stride)
        larger, smaller = max(given, inner * stride**2), min(given, inner * stride**2)
        self.windows = nn.Parameter(torch.randn(groups, larger, smaller, **factory) / larger**0.5)
        self.bias = nn.Parameter(torch.zeros(out_channels, **factory)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The explicit kernel."""
        return Block(Operator(self._kernel(values, certified), self.geometry), None, values.get("bias"))

    def _kernel(self, values: Mapping[str, Tensor], certified: bool) -> Tensor:
        """The kernel (outputs, inputs / groups, kernel_size, kernel_size)."""
        groups, (stride, _) = self.geometry.groups, self.geometry.stride
        taken, given = self.in_channels // groups, self.out_channels // groups
        turns = orthonormal_columns(values["weight"], certified)
        bases = None if self.projectors is None else orthonormal_columns(values["projectors"].flatten(0, 1), certified)
        windows = orthonormal_columns(values["windows"], certified)
        windows = windows if given >= turns.shape[-1] * stride**2 else windows.mT
        kernels = []
        for group, (turn, outer) in enumerate(zip(turns, windows, strict=True)):
            none = turn.new_zeros(self.steps, len(turn), 0)
            own = none if bases is None else bases[group * self.steps : (group + 1) * self.steps]
            inner = isometric_kernel(turn, own).permute(2, 3, 0, 1)[:, :taken]
            kernels.append(composed(outer.reshape(given, -1, stride, stride), inner))
        kernel = torch.cat(kernels)
        return kernel / (1 + rounding_allowance(kernel, self.weight.dtype)) if certified else kernel

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch; raises ValueError for circular images on which windows would meet."""
        self._check_image(tuple(inputs.shape[-2:]))
        return super().forward(inputs)

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the kernel; raises ValueError for circular images on which windows would meet."""
        self._check_image(graph.shape(value)[1:])
        return super().add_to(graph, value)

    def _check_image(self, size: tuple[int, ...]) -> None:
        if not self.geometry.circular:
            return
        if any(side % self.stride for side in size):
            raise ValueError(f"the stride {self.stride} does not divide circular images of {size}")
        around = 2 * self.geometry.padding[0] - self.reach
        if any((side + around) // self.stride + 1 > side // self.stride for side in size):
            raise ValueError(
                f"the padding of {self.geometry.padding[0]} makes circular images of {size} larger, and their windows "
                "meet: choose a smaller one"
            )


class AOCConvTranspose2d(AOCConv2d):
    """The adjoint of an `AOCConv2d` with zero padding: images grow by the stride; (batch, in_channels, height, width).

    Arguments as for the convolution that it is the adjoint of, with inputs and outputs exchanged; `output_padding` adds
    rows and columns, unless given so many that the sides are `stride` times those of the inputs. Raises ValueError as
    `AOCConv2d` does.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        output_padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            out_channels, in_channels, kernel_size, stride, padding, dilation, groups, False, False, device, dtype
        )
        self.bias = nn.Parameter(torch.zeros(out_channels, device=device, dtype=dtype)) if bias else None
        lost = 2 * self.geometry.padding[0] - (dilation * (kernel_size - 1) + 1 - stride)
        beyond = min(max(0, lost), stride - 1) if output_padding is None else output_padding
        if not 0 <= beyond < max(stride, dilation):
            raise ValueError(f"output_padding must be less than the stride or the dilation, not {output_padding}")
        self.beyond = (beyond, beyond)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The kernel of the convolution, for its adjoint."""
        kernel = self._kernel(values, certified)
        return Block(TransposedOperator(kernel, self.geometry, self.beyond), None, values.get("bias"))


def composed(outer: Tensor, inner: Tensor) -> Tensor:
    """The kernel (out, in, height, width) of `inner` (middle, in, ...) followed by `outer` (out, middle, ...)."""
    height, width = outer.shape[2:]
    if height == width == 1:
        return torch.einsum("om,mihw->oihw", outer[:, :, 0, 0], inner)
    tall, broad = inner.shape[2:]
    result = inner.new_zeros(len(outer), inner.shape[1], height + tall - 1, width + broad - 1)
    for down in range(height):
        for across in range(width):
            product = torch.einsum("om,mihw->oihw", outer[:, :, down, across], inner)
            result[:, :, down : down + tall, across : across + broad] += product
    return result


FAMILY = Family(
    "aoc",
    "Boissin, Mamalet, Fel, Picard, Massena, Serrurier 2025, with bases by Cayley's transform",
    "orthogonal convolution with stride, groups and dilation, as an explicit kernel",
    None,
    AOCConv2d,
)
