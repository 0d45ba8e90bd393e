"""Orthogonal weights by Bjorck's iteration, and orthogonal convolutions of projectors (BCOP).

Bjorck's iteration of order one, `W <- W (3 I - W'W) / 2`, takes every singular value s to `(3 s - s^3) / 2`: those in
(0, 1] grow to 1 and never beyond (Anil, Lucas, Grosse 2019). A projector P makes the kernel of two taps `(P, I - P)`,
an isometry of signals, as its symbol `P + (I - P) z` is unitary for |z| = 1; products of such kernels along both axes
with an orthogonal matrix are again isometries, given as explicit kernels (Xiao et al. 2018; Li et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.cayley import contracted, orthonormal_columns
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes, largest_entry
from sdpcert.layers.torus import rounding_allowance
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator

#: Steps from which an eigendecomposition takes less time on a cpu, forward and backward.
BY_EIGENVALUES = 10
#: Relative gap of eigenvalues below which a difference is taken as a derivative, where float64 has half of its digits.
NEAR = 1e-8


class BjorckLinear(LipschitzLayer):
    """A dense layer with the nearest weight of orthonormal columns (or rows), as far as `iterations` steps lead.

    Inputs (..., in_features), outputs (..., out_features). Singular values that are r times the largest need about
    `log(1 / r) / log(1.5)` steps; those that are zero stay zero. Raises ValueError for sizes that are not positive and
    for a negative number of iterations.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        iterations: int = 20,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        if iterations < 0:
            raise ValueError(f"iterations must not be negative, not {iterations}")
        self.iterations = iterations
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None
        nn.init.orthogonal_(self.weight)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The orthonormalised weight."""
        weight = bjorck(values["weight"], self.iterations, exact=certified)
        return Block(Operator(contracted(weight) if certified else weight), None, values.get("bias"))


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


def bjorck(weight: Tensor, iterations: int, exact: bool = True) -> Tensor:
    """The weight (out, in) divided by a bound of its norm, and `iterations` steps of order one; zero stays zero.

    Unless `exact`, many steps may be taken together: float32 weights then differ by 1e-4 at most in norm.
    """
    unit = weight / largest_entry(weight)
    wide = unit.shape[1] > unit.shape[0]
    turned = unit.mT if wide else unit
    # |W|^2 = |W'W| is at most the largest row sum: one if the columns are orthonormal, so that those stay as they
    # are. Training and evaluation divide by the same number.
    largest = (turned.mT @ turned).abs().sum(1).amax()
    positive = largest > 0
    turned = turned * torch.where(positive, torch.where(positive, largest, torch.ones_like(largest)).rsqrt(), 1.0)
    if exact or iterations < BY_EIGENVALUES or turned.device.type != "cpu":
        turned = iterated(turned, iterations)
    else:
        turned = _ByEigenvalues.apply(turned, iterations)[0]
    return turned.mT if wide else turned


def iterated(weight: Tensor, iterations: int) -> Tensor:
    """Steps of order one of a weight with no more columns than rows."""
    for _ in range(iterations):
        weight = 1.5 * weight - 0.5 * weight @ (weight.mT @ weight)
    return weight


class _ByEigenvalues(torch.autograd.Function):
    """The steps as what they are together, one function of the singular values: `W h(W'W)` for `h(s^2) = f(s) / s`.

    An eigendecomposition and nine products, forward and backward, instead of six products a step. The gradient needs
    the differences of h between eigenvalues, `(h(a) - h(b)) / (a - b)` (Daleckii, Krein 1965). Small eigenvalues need
    the digits of float64: those of W'W are the squares of the singular values.
    """

    @staticmethod
    def forward(weight: Tensor, iterations: int) -> Any:
        wide = weight.to(torch.float64)
        eigenvalues, vectors = torch.linalg.eigh(wide.mT @ wide)
        eigenvalues = eigenvalues.clamp_min(0)
        factors, slopes = torch.ones_like(eigenvalues), torch.zeros_like(eigenvalues)
        for _ in range(iterations):  # h <- h (3 - a h^2) / 2, and its derivative
            square = eigenvalues * factors.square()
            slopes = 1.5 * (slopes * (1 - square)) - 0.5 * factors**3
            factors = factors * (1.5 - 0.5 * square)
        vectors = vectors.to(weight.dtype)
        multiplier = (vectors * factors.to(weight.dtype)) @ vectors.mT
        return weight @ multiplier, multiplier, eigenvalues, factors, slopes, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0], *output[1:])
        ctx.iterations = inputs[1]
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, given: Tensor, *_: Tensor | None) -> Any:
        weight, multiplier, eigenvalues, factors, slopes, vectors = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone differentiates once more
            again = iterated(weight, ctx.iterations)
            return torch.autograd.grad(again, weight, given, create_graph=True)[0], None
        gaps = eigenvalues[:, None] - eigenvalues
        near = gaps.abs() <= NEAR * (eigenvalues[:, None] + eigenvalues)
        differences = (factors[:, None] - factors) / torch.where(near, 1.0, gaps)
        differences = torch.where(near, (slopes[:, None] + slopes) / 2, differences).to(weight.dtype)
        inner = vectors @ (differences * (vectors.mT @ (weight.mT @ given) @ vectors)) @ vectors.mT
        return given @ multiplier + weight @ (inner + inner.mT), None


BJORCK = Family("bjorck", "Anil, Lucas, Grosse 2019", "V x with V made orthogonal by Björck's iteration", BjorckLinear)
BCOP = Family(
    "bcop",
    "Li et al. 2019, with bases by Cayley's transform",
    "orthogonal convolution, a product of 1 x 2 and 2 x 1 ones",
    None,
    BCOPConv2d,
)
