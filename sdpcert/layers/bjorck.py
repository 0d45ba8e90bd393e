"""Orthogonal weights by Bjorck's iteration, of dense layers and of convolutions as matrices on neighbourhoods.

Bjorck's iteration of order one, `W <- W (3 I - W'W) / 2`, takes every singular value s to `(3 s - s^3) / 2`: those in
(0, 1] grow to 1 and never beyond (Anil, Lucas, Grosse 2019). A convolution multiplies every neighbourhood of an image
by one matrix F, its kernel with the taps side by side, and the neighbourhoods hold a pixel r times at most: the norm is
at most `r^(1/2) |F|` (derivation `neighbourhoods`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sdpcert.layers.cayley import contracted
from sdpcert.layers.divisors import largest_entry
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.functions import Function
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
        check_iterations(iterations)
        self.iterations = iterations
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None
        nn.init.orthogonal_(self.weight)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The orthonormalised weight."""
        weight = bjorck(values["weight"], self.iterations, exact=certified)
        return Block(Operator(contracted(weight) if certified else weight), None, values.get("bias"))


class BjorckConv2d(LipschitzLayer):
    """A convolution with a reshaped kernel F of orthonormal rows (or columns), divided by the root of its readings.

    Inputs (batch, in_channels, height, width) of any size. Kernels are odd and centred, padded with zeros or, with
    `circular`, around the torus. Neighbourhoods hold a pixel r = `kernel_size`^2 times at most, with zeros and a
    `stride` `ceil(kernel_size / stride)`^2 times; `F r^(-1/2)` is 1-Lipschitz (Li et al. 2019, "reshaped kernel
    orthogonalization"; Serrurier et al. 2021). No orthogonal convolution: most singular values are below 1. Raises
    ValueError for sizes that are not positive, even kernels and a negative number of iterations.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        bias: bool = True,
        circular: bool = False,
        stride: int = 1,
        iterations: int = 20,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, stride=stride)
        check_iterations(iterations)
        self.geometry = Geometry.same(kernel_size, circular, stride)
        self.iterations = iterations
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(out_channels, device=device, dtype=dtype)) if bias else None
        nn.init.orthogonal_(self.weight)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The orthonormalised kernel."""
        kernel = values["weight"]
        flat = bjorck(kernel.flatten(1), self.iterations, exact=certified)
        flat = (contracted(flat) if certified else flat) / readings(kernel, self.geometry) ** 0.5
        return Block(Operator(flat.reshape(kernel.shape), self.geometry), None, values.get("bias"))


def readings(kernel: Tensor, geometry: Geometry) -> int:
    """How often neighbourhoods hold a pixel together, at most.

    Along an axis, taps that read the same pixel are `stride / gcd(stride, dilation)` apart. Around a torus, whose side
    that may not divide, it can be all of them.
    """
    total = 1
    for taps, stride, dilation in zip(kernel.shape[2:], geometry.stride, geometry.dilation, strict=True):
        apart = 1 if geometry.circular else stride // math.gcd(stride, dilation)
        total *= -(-taps // apart)
    return total


def check_iterations(iterations: int) -> None:
    """Raise ValueError for a negative number of iterations."""
    if iterations < 0:
        raise ValueError(f"iterations must not be negative, not {iterations}")


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


class _ByEigenvalues(Function):
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
        if type(eigenvalues) is Tensor:  # numpy takes a fraction of torch's time for operations on few numbers
            factors, slopes = map(torch.from_numpy, _factors(eigenvalues.numpy(), iterations))
        else:
            factors, slopes = _factors(eigenvalues, iterations)
        vectors = vectors.to(weight.dtype)
        multiplier = (vectors * factors.to(weight.dtype)) @ vectors.mT
        return weight @ multiplier, multiplier, eigenvalues, factors, slopes, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0], *output[1:])
        ctx.iterations = inputs[1]
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # of zeros for what has no gradient

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *_: Tensor | None) -> Any:
        if given is None:  # no output has a gradient
            return None, None
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


def _factors(eigenvalues: Any, iterations: int) -> tuple[Any, Any]:
    """h and its derivative, of arrays and of tensors."""
    factors, slopes = eigenvalues**0, eigenvalues * 0
    for _ in range(iterations):  # h <- h (3 - a h^2) / 2
        squares = factors * factors
        unit = eigenvalues * squares
        slopes = 1.5 * (slopes * (1 - unit)) - 0.5 * (factors * squares)
        factors = factors * (1.5 - 0.5 * unit)
    return factors, slopes


FAMILY = Family(
    "bjorck",
    "Anil, Lucas, Grosse 2019; Li et al. 2019 for reshaped kernels",
    "V x with V made orthogonal by Björck's iteration; kernels as matrices on neighbourhoods",
    BjorckLinear,
    BjorckConv2d,
)
