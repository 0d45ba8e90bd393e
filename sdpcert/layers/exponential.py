"""Orthogonal layers by the exponential of a skew map: dense, and skew orthogonal convolutions (SOC).

exp(L) is orthogonal for skew L. A convolution is skew if its kernel is the negative of its own transpose, `L[o, i, p] =
-L[i, o, -p]`; its exponential is cut after `terms` terms of the series, which changes it by at most `|L|^k / k!`, k =
`terms` (Singla, Feizi 2021): the map is divided by one plus that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from sdpcert.layers.cayley import contracted, cut
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.skew_series import series_of_signals
from sdpcert.layers.torus import centred, pair_of_sizes, rounding_allowance
from sdpcert.network.affine.fourier import wrapped
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer, margin_of, training_factor
from sdpcert.torch_modules.geometry import Geometry, Operator


class ExponentialLinear(LipschitzLayer):
    """A dense rotation: the exponential of the skew part of `weight`; inputs and outputs (..., features).

    Every rotation is the exponential of a skew matrix of norm at most pi, so that larger ones are cut, far from there,
    before squaring loses the digits. Raises ValueError for a size that is not positive.
    """

    #: Frobenius norm that skew parts are cut to.
    LARGEST = 1024.0

    def __init__(
        self,
        features: int,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(features=features)
        self.weight = nn.Parameter(torch.randn(features, features, device=device, dtype=dtype) / features**0.5)
        self.bias = nn.Parameter(torch.zeros(features, device=device, dtype=dtype)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The exponential; what rounding adds to its norm is divided out."""
        free = values["weight"]
        wide = free.to(torch.promote_types(free.dtype, torch.float32))
        weight = torch.linalg.matrix_exp(cut((wide - wide.mT) / 2, self.LARGEST)).to(free.dtype)
        return Block(Operator(contracted(weight) if certified else weight), None, values.get("bias"))


class SOCConv2d(LipschitzLayer):
    """A skew orthogonal convolution; inputs and outputs (batch, channels, height, width).

    `terms` terms of the exponential of a kernel of odd `kernel_size` reach `(terms - 1) (kernel_size - 1) / 2` pixels
    far. Without `image_size` the materialised kernel is so large, and images may have any size (with `circular`, one
    that is not below the reach); with zero padding the map is orthogonal but for what leaves the image. With
    `image_size` (a number or a pair, needs `circular`) the kernel is wrapped around the torus of that size, and other
    sizes are refused. Training applies the series at every frequency of a torus, or term by term where autocast or
    parameters in half precision ask for it and with `fast_gradient`, which differentiates as `FastSeries` does: for the
    inputs exactly, for the kernel up to the square of its norm, in a third less time than term by term. Raises
    ValueError for sizes that are not positive, an even kernel, fewer than two terms and images of the wrong size.
    """

    #: What the terms left out may amount to: larger kernels are cut. Twelve terms allow a norm of 2, five one of 0.26.
    LARGEST_REST = 1e-5

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        image_size: int | tuple[int, int] | None = None,
        bias: bool = True,
        circular: bool = False,
        terms: int = 12,
        fast_gradient: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels)
        if terms < 2:
            raise ValueError(f"terms must be at least 2, not {terms}")
        self.inner = Geometry.same(kernel_size, circular=True)
        self.circular, self.terms, self.fast_gradient = circular, terms, fast_gradient
        self.torus: tuple[int, int] | None = None
        if image_size is not None:
            if not circular:
                raise ValueError("image_size is for circular padding; with zeros images may have any size")
            # Layers that are bound to a size have this attribute.
            self.image_size = self.torus = pair_of_sizes(image_size)
        self.largest = (self.LARGEST_REST * math.factorial(terms)) ** (1 / terms)
        self.reach = (terms - 1) * (kernel_size // 2)
        # Well below where kernels of twelve terms are cut.
        scale = 0.5 / (channels**0.5 * kernel_size)
        shape = (channels, channels, kernel_size, kernel_size)
        self.kernel = nn.Parameter(torch.randn(shape, device=device, dtype=dtype) * scale)
        self.bias = nn.Parameter(torch.zeros(channels, device=device, dtype=dtype)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The series as one kernel, computed at the frequencies of a torus that holds it."""
        skew, scale = self._skew(values["kernel"], certified)
        full = 2 * self.reach + 1
        sides = (full, full) if self.torus is None else (min(full, self.torus[0]), min(full, self.torus[1]))
        symbols = torch.fft.rfft2(wrapped(skew, sides)).permute(2, 3, 0, 1)
        series = truncated_exponential(symbols, self.terms).permute(2, 3, 0, 1)
        kernel = torch.fft.irfft2(series, s=sides) * scale
        kernel = centred(centred(kernel, 2), 3)
        if certified:
            kernel = kernel / (1 + rounding_allowance(kernel, self.kernel.dtype))
        geometry = Geometry((kernel.shape[2] // 2, kernel.shape[3] // 2), circular=self.circular)
        return Block(Operator(kernel.to(values["kernel"].dtype), geometry), None, values.get("bias"))

    def _skew(self, weight: Tensor, certified: bool = True) -> tuple[Tensor, Tensor]:
        """The skew kernel, at least float32, of norm at most `largest`; the factor that allows for what is left out."""
        free = weight.to(torch.promote_types(weight.dtype, torch.float32))
        skew = (free - free.transpose(0, 1).flip(2, 3)) / 2
        bound = reshaped_bound(skew) if certified else reshaped_estimate(skew)
        skew = skew * (self.largest / bound.clamp_min(self.largest))
        rest = bound.clamp_max(self.largest) ** self.terms / math.factorial(self.terms)
        return skew, 1 / (1 + rest)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch; see the class."""
        self._check_image((inputs.shape[-2], inputs.shape[-1]))
        height, width = inputs.shape[-2:]
        if not self.training:
            return super().forward(inputs)
        half = self.kernel.element_size() < 4 or torch.is_autocast_enabled(inputs.device.type)
        with torch.autocast(device_type=self.kernel.device.type, enabled=False):
            skew, scale = self._skew(self.kernel, certified=False)
            if not (half or self.fast_gradient) or min(height, width) < self.inner.padding[0]:
                result = self._by_frequencies(inputs.to(skew.dtype), skew) * (scale * training_factor(skew.dtype))
                return result if self.bias is None else result + self.bias[:, None, None]
        step = Operator(skew.to(self.kernel.dtype), self.inner)
        factor = (scale * (1 - margin_of(Block(step)))).to(self.kernel.dtype)
        # Zeros as wide as the reach: then going around the torus brings nothing back into the image.
        wide = inputs if self.circular else functional.pad(inputs, (0, self.reach, 0, self.reach))
        if self.fast_gradient:
            result = FastSeries.apply(wide, step.weight, self.inner, self.terms)
        else:
            result = wide + step(series(wide, step, self.terms))
        result = result[..., :height, :width] * factor
        return result if self.bias is None else result + self.bias[:, None, None]

    def _by_frequencies(self, inputs: Tensor, skew: Tensor) -> Tensor:
        """The series on a torus, without its factor."""
        batch, channels, height, width = inputs.shape
        sides = (height, width)
        if not self.circular:
            sides = (quick_size(height + self.reach), quick_size(width + self.reach))
        # The symbol that torch's convolutions take is that of the kernel turned around.
        symbols = torch.fft.rfft2(wrapped(skew.flip(2, 3), sides)).permute(2, 3, 0, 1).flatten(0, 1)
        signals = torch.fft.rfft2(inputs, s=sides).permute(2, 3, 1, 0).flatten(0, 1)
        result = series_of_signals(symbols, signals, self.terms)
        spread = result.reshape(sides[0], sides[1] // 2 + 1, channels, batch).permute(3, 2, 0, 1)
        return torch.fft.irfft2(spread, s=sides)[..., :height, :width]

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the materialised kernel; raises ValueError for images of the wrong size."""
        height, width = graph.shape(value)[1:]
        self._check_image((height, width))
        return super().add_to(graph, value)

    def _check_image(self, size: tuple[int, int]) -> None:
        if self.torus is not None and tuple(size) != self.torus:
            raise ValueError(f"this layer was made for images of {self.torus}, not {tuple(size)}")
        if self.torus is None and self.circular and min(size) < self.reach:
            raise ValueError(
                f"circular images of {tuple(size)} are smaller than the reach of {self.reach}: give image_size"
            )


def series(inputs: Tensor, step: Operator, terms: int) -> Tensor:
    """`x + L x / 2! + ... + L^(terms - 2) x / (terms - 1)!`: one step more, plus x, is the exponential's series."""
    result = inputs
    for k in range(terms - 1, 1, -1):
        result = inputs + step(result) / k
    return result


class FastSeries(torch.autograd.Function):
    """The exponential's series of a skew kernel, its gradient by one product instead of one a term.

    With `phi(L) = I + L / 2! + L^2 / 3! + ...` the series is `x + L phi(L) x`. For a gradient g of the result, that of
    x is the series of `L' = -L` at g, exactly; that of the kernel is taken as the one of the single step `L z` at
    `z = phi(L) x` for the gradient `phi(L') g`. The true one sums `(L')^a g (L^b x)' / (a + b + 1)!` over a and b, this
    one `(L')^a g (L^b x)' / ((a + 1)! (b + 1)!)`: they differ from a = b = 1 on.

    Source: Singla, Feizi, "Improved techniques for deterministic l2 robustness", NeurIPS 2022 (as its code has it).
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, kernel: Tensor, geometry: Geometry, terms: int) -> Tensor:
        step = Operator(kernel, geometry)
        inner = series(inputs, step, terms)
        ctx.save_for_backward(inner, kernel)
        ctx.geometry, ctx.terms = geometry, terms
        return inputs + step(inner)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> Any:
        inner, kernel = (tensor.to(given.dtype) for tensor in ctx.saved_tensors)  # autocast has two precisions
        back = Operator(-kernel, ctx.geometry)
        outer = series(given, back, ctx.terms)
        down, across = ctx.geometry.padding
        around = functional.pad(inner, (across, across, down, down), mode="circular")
        for_kernel = conv2d_weight(around, list(kernel.shape), outer).to(ctx.saved_tensors[1].dtype)
        return given + back(outer), for_kernel, None, None


def truncated_exponential(matrices: Tensor, terms: int) -> Tensor:
    """The first `terms` terms of the exponential series of square matrices (..., n, n)."""
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    total = identity.expand_as(matrices)
    for k in range(terms - 1, 0, -1):
        total = identity + matrices @ total / k
    return total


def quick_size(size: int) -> int:
    """The least number that is not smaller and has no prime factors but 2, 3 and 5: a Fourier transform likes it."""
    rest = size
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return size if rest == 1 else quick_size(size + 1)


def reshaped_bound(kernel: Tensor) -> Tensor:
    """An upper bound of a kernel's norm: the norms of two matrices of its entries times the root of the taps' number.

    Neighbourhoods repeat every pixel so often (Singla, Feizi 2021, Theorem 2; the other two matrices of the theorem are
    the transposes of these for skew kernels).
    """
    out, taken, height, width = kernel.shape
    flat = torch.linalg.matrix_norm(kernel.reshape(out, -1), 2)
    mixed = torch.linalg.matrix_norm(kernel.transpose(1, 2).reshape(out * height, taken * width), 2)
    return (height * width) ** 0.5 * torch.minimum(flat, mixed)


def reshaped_estimate(kernel: Tensor) -> Tensor:
    """The same bound up to rounding, by eigenvalues of the matrices' Gram matrices."""
    out, taken, height, width = kernel.shape
    flat, mixed = kernel.reshape(out, -1), kernel.transpose(1, 2).reshape(out * height, taken * width)
    return (height * width) ** 0.5 * torch.minimum(_norm(flat), _norm(mixed))


def _norm(matrix: Tensor) -> Tensor:
    """Of the smaller side first: `|W'u|` for the eigenvector u of the largest eigenvalue of W W', a constant."""
    with torch.no_grad():
        unit = matrix / matrix.abs().amax().clamp_min(torch.finfo(matrix.dtype).tiny)
        vector = torch.linalg.eigh(unit @ unit.mT)[1][:, -1]
    return torch.linalg.vector_norm(matrix.mT @ vector)


ROTATION = Family(
    "exponential",
    "Lezcano-Casado, Martinez-Rubio 2019",
    "Q x with orthogonal Q, the exponential of a skew matrix",
    lambda inputs, outputs: ExponentialLinear(min(inputs, outputs)),
)
SOC = Family(
    "soc",
    "Singla, Feizi 2021, with a bound of the terms left out",
    "exponential of a skew convolution, orthogonal up to the terms left out",
    None,
    lambda inputs, outputs, size: SOCConv2d(min(inputs, outputs), size),
)
