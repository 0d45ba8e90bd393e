"""Orthogonal layers by the exponential of a skew map: dense, and skew orthogonal convolutions (SOC).

exp(L) is orthogonal for skew L. A convolution is skew if its kernel is the negative of its own transpose, `L[o, i, p] =
-L[i, o, -p]`; its exponential is cut after `terms` terms of the series, which changes it by at most `|L|^k / k!`, k =
`terms` (Singla, Feizi 2021): the map is divided by one plus that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.base import LipschitzLayer, _margin
from sdpcert.layers.block import Block
from sdpcert.layers.cayley import contracted, cut, rounding_charge
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.norms import norm_upper_bound
from sdpcert.layers.operators import Geometry, Operator
from sdpcert.network.graph import Graph


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
    that is not below the reach); with it, the kernel is wrapped around the torus of that size (a number or a pair, only with
    `circular`), and other sizes are refused. Raises ValueError for sizes that are not positive, an even kernel,
    fewer than two terms and images of the wrong size.
    """

    #: Bound of the skew kernel's norm that larger ones are cut to: twelve terms then err by less than 1e-5.
    LARGEST = 2.0

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        image_size: int | tuple[int, int] | None = None,
        bias: bool = True,
        circular: bool = False,
        terms: int = 12,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels)
        if terms < 2:
            raise ValueError(f"terms must be at least 2, not {terms}")
        self.inner = Geometry.same(kernel_size, circular=True)
        self.circular, self.terms = circular, terms
        self.torus: tuple[int, int] | None = None
        if image_size is not None:
            if not circular:
                raise ValueError("image_size is for circular padding; with zeros images may have any size")
            height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
            check_sizes(height=height, width=width)
            # Layers that are bound to a size have this attribute.
            self.image_size = self.torus = (int(height), int(width))
        self.reach = (terms - 1) * (kernel_size // 2)
        scale = (channels**0.5 * kernel_size) ** -1
        shape = (channels, channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.randn(shape, device=device, dtype=dtype) * scale)
        self.bias = nn.Parameter(torch.zeros(channels, device=device, dtype=dtype)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The series as one kernel, computed at the frequencies of a torus that holds it."""
        skew, scale = self._skew(values["weight"], certified)
        full = 2 * self.reach + 1
        sides = [full if n is None else min(full, n) for n in self.torus or (None, None)]
        symbols = torch.fft.rfft2(wrapped(skew, sides)).permute(2, 3, 0, 1)
        series = truncated_exponential(symbols, self.terms).permute(2, 3, 0, 1)
        kernel = torch.fft.irfft2(series, s=sides) * scale
        kernel = centred(centred(kernel, 2), 3)
        if certified:
            kernel = kernel / (1 + rounding_charge(kernel, self.weight.dtype))
        geometry = Geometry((kernel.shape[2] // 2, kernel.shape[3] // 2), circular=self.circular)
        return Block(Operator(kernel.to(values["weight"].dtype), geometry), None, values.get("bias"))

    def _skew(self, weight: Tensor, certified: bool) -> tuple[Tensor, Tensor]:
        """The skew kernel, at least float32, and the factor that charges the terms left out."""
        free = weight.to(torch.promote_types(weight.dtype, torch.float32))
        skew = (free - free.transpose(0, 1).flip(2, 3)) / 2
        bound = reshaped_bound(skew)
        skew = skew * (self.LARGEST / bound.clamp_min(self.LARGEST))
        norm = norm_upper_bound(Operator(skew, self.inner)) if certified else bound.clamp_max(self.LARGEST)
        return skew, 1 / (1 + norm**self.terms / math.factorial(self.terms))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch; in training term by term, which is the materialised kernel's function in fewer steps."""
        self._check_image((inputs.shape[-2], inputs.shape[-1]))
        height, width = inputs.shape[-2:]
        if not self.training or min(height, width) < self.inner.padding[0]:
            return super().forward(inputs)
        with torch.autocast(device_type=self.weight.device.type, enabled=False):
            skew, scale = self._skew(self.weight, False)
        step = Operator(skew.to(self.weight.dtype), self.inner)
        factor = (scale * (1 - _margin(Block(step)))).to(self.weight.dtype)
        # Zeros as wide as the reach: then going around the torus brings nothing back into the image.
        term = inputs if self.circular else functional.pad(inputs, (0, self.reach, 0, self.reach))
        result = term
        for k in range(1, self.terms):
            term = step(term) / k
            result = result + term
        result = result[..., :height, :width] * factor
        return result if self.bias is None else result + self.bias[:, None, None]

    def add_to(self, graph: Graph, value: int, energy: float) -> int:
        """Append the materialised kernel; raises ValueError for images of the wrong size."""
        height, width = graph.shape(value)[1:]
        self._check_image((height, width))
        return super().add_to(graph, value, energy)

    def _check_image(self, size: tuple[int, int]) -> None:
        if self.torus is not None and tuple(size) != self.torus:
            raise ValueError(f"this layer was made for images of {self.torus}, not {tuple(size)}")
        if self.torus is None and self.circular and min(size) < self.reach:
            raise ValueError(
                f"circular images of {tuple(size)} are smaller than the reach of {self.reach}: give image_size"
            )


def truncated_exponential(matrices: Tensor, terms: int) -> Tensor:
    """The first `terms` terms of the exponential series of square matrices (..., n, n)."""
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    total = identity.expand_as(matrices)
    for k in range(terms - 1, 0, -1):
        total = identity + matrices @ total / k
    return total


def reshaped_bound(kernel: Tensor) -> Tensor:
    """An upper bound of a kernel's norm: the norms of two matrices of its entries times the root of the taps' number.

    Neighbourhoods repeat every pixel so often (Singla, Feizi 2021, Theorem 2; the other two matrices of the theorem are
    the transposes of these for skew kernels).
    """
    out, taken, height, width = kernel.shape
    flat = torch.linalg.matrix_norm(kernel.reshape(out, -1), 2)
    mixed = torch.linalg.matrix_norm(kernel.transpose(1, 2).reshape(out * height, taken * width), 2)
    return (height * width) ** 0.5 * torch.minimum(flat, mixed)


def wrapped(kernel: Tensor, sides: list[int]) -> Tensor:
    """The kernel on a torus with offset zero first; taps that differ by turns around it are added."""
    for axis, side in enumerate(sides, start=2):
        size = kernel.shape[axis]
        offsets = (torch.arange(size, device=kernel.device) - size // 2) % side
        shape = [*kernel.shape[:axis], side, *kernel.shape[axis + 1 :]]
        kernel = kernel.new_zeros(shape).index_add(axis, offsets, kernel)
    return kernel


def centred(kernel: Tensor, axis: int) -> Tensor:
    """A kernel on a torus with offset zero in the middle, of odd size.

    On an even side n the offsets -n/2 and n/2 are the same: each gets half of the tap.
    """
    side = kernel.shape[axis]
    kernel = torch.roll(kernel, side // 2, axis)
    if side % 2:
        return kernel
    half = kernel.narrow(axis, 0, 1) / 2
    return torch.cat([half, kernel.narrow(axis, 1, side - 1), half], dim=axis)


ROTATION = Family(
    "exponential",
    "Lezcano-Casado, Martinez-Rubio 2019",
    lambda inputs, outputs: ExponentialLinear(min(inputs, outputs)),
)
SOC = Family(
    "soc",
    "Singla, Feizi 2021, with the terms left out charged",
    None,
    lambda inputs, outputs, size: SOCConv2d(min(inputs, outputs), size),
)
