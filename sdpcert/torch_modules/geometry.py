"""Materialised linear maps: a matrix or a convolution kernel, as torch applies it and as the certifier reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.network.affine import AffineLayer, Conv2d, ConvTranspose, Dense
from sdpcert.network.affine.convolution import TAPS_BY_FREQUENCIES
from sdpcert.network.affine.fourier import wrapped
from sdpcert.torch_modules.frequencies import through_frequencies


@dataclass(frozen=True)
class Geometry:
    """How a kernel is applied to images: `padding` cells on every side, filled with zeros or around the torus."""

    padding: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    circular: bool = False

    @staticmethod
    def same(kernel_size: int, circular: bool = False, stride: int = 1) -> Geometry:
        """A square kernel of odd size in the middle of its output; raises ValueError for an even size."""
        if kernel_size % 2 == 0 or kernel_size < 1:
            raise ValueError(f"kernel_size must be odd, not {kernel_size}")
        around = kernel_size // 2
        return Geometry((around, around), (stride, stride), circular=circular)


@dataclass(frozen=True, eq=False)
class Operator:
    """A linear map: `weight` of shape (out, in), or with a `geometry` a kernel (out, in / groups, height, width)."""

    weight: Tensor
    geometry: Geometry | None = None

    def __call__(self, inputs: Tensor, bias: Tensor | None = None) -> Tensor:
        """Apply to a batch: (..., in) for a matrix, (batch, in, height, width) for a kernel."""
        shape = self.geometry
        if shape is None:
            return functional.linear(inputs, self.weight, bias)
        padding = shape.padding
        if self._pays_by_frequencies():
            return self._by_frequencies(inputs, bias)
        if shape.circular and any(padding):
            inputs = functional.pad(inputs, (padding[1], padding[1], padding[0], padding[0]), mode="circular")
            padding = (0, 0)
        return functional.conv2d(inputs, self.weight, bias, shape.stride, padding, shape.dilation, shape.groups)

    def _pays_by_frequencies(self) -> bool:
        """Whether a circular kernel is so large that a Fourier transform costs less than the convolution."""
        shape, weight = self.geometry, self.weight
        if shape is None or not shape.circular or weight[0, 0].numel() < TAPS_BY_FREQUENCIES:
            return False
        centred = all(2 * shape.padding[a] + 1 == weight.shape[2 + a] for a in range(2))
        plain = shape.stride == (1, 1) and shape.dilation == (1, 1) and shape.groups == 1
        return centred and plain and weight.dtype in (torch.float32, torch.float64)

    def _by_frequencies(self, inputs: Tensor, bias: Tensor | None) -> Tensor:
        sides = (inputs.shape[-2], inputs.shape[-1])
        with torch.autocast(device_type=inputs.device.type, enabled=False):
            symbols = torch.fft.rfft2(wrapped(self.weight, sides)).conj().permute(2, 3, 0, 1)
            result = through_frequencies(inputs.to(self.weight.dtype), symbols)
        return result if bias is None else result + bias[:, None, None]

    @property
    def inputs(self) -> int:
        """Channels read."""
        return self.weight.shape[1] * (1 if self.geometry is None else self.geometry.groups)

    @property
    def outputs(self) -> int:
        """Channels written."""
        return self.weight.shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> Operator:
        """The operator with the function applied to its weight."""
        return replace(self, weight=function(self.weight))

    def adjoint(self) -> Operator:
        """The transposed map; raises ValueError for strided, dilated or grouped kernels."""
        if self.geometry is None:
            return Operator(self.weight.mT)
        check_plain(self.weight, self.geometry)
        return Operator(self.weight.transpose(0, 1).flip(2, 3), self.geometry)

    def module(self, bias: Tensor | None) -> nn.Module:
        """A stock `nn.Linear` or `nn.Conv2d` with this weight."""
        shape, kwargs = self.geometry, {"dtype": self.weight.dtype, "device": self.weight.device}
        if shape is None:
            module: nn.Linear | nn.Conv2d = nn.Linear(self.inputs, self.outputs, bias is not None, **kwargs)
        else:
            module = nn.Conv2d(
                self.inputs,
                self.outputs,
                (self.weight.shape[2], self.weight.shape[3]),
                shape.stride,
                shape.padding,
                shape.dilation,
                shape.groups,
                bias is not None,
                "circular" if shape.circular else "zeros",
                **kwargs,
            )
        with torch.no_grad():
            module.weight.copy_(self.weight)
            if bias is not None and module.bias is not None:
                module.bias.copy_(bias)
        return module

    def layer(self, bias: Tensor | None) -> AffineLayer:
        """The certifier's layer with the same numbers."""
        weight, shift = array(self.weight), None if bias is None else array(bias)
        if self.geometry is None:
            return Dense(weight, shift)
        shape = self.geometry
        top, left = shape.padding
        padding = (top, left, top, left)
        return Conv2d(weight, shift, shape.stride, padding, shape.dilation, shape.groups, circular=shape.circular)


@dataclass(frozen=True, eq=False)
class TransposedOperator(Operator):
    """The adjoint of a convolution: `weight` is the convolution's kernel (in, out / groups, height, width).

    `beyond` says how many rows and columns more than the least the outputs have: `output_padding` of torch and ONNX.
    """

    beyond: tuple[int, int] = (0, 0)

    def _shape(self) -> Geometry:
        assert self.geometry is not None
        assert not self.geometry.circular
        return self.geometry

    def __call__(self, inputs: Tensor, bias: Tensor | None = None) -> Tensor:
        """Apply to a batch (batch, in, height, width)."""
        shape = self._shape()
        return functional.conv_transpose2d(
            inputs, self.weight, bias, shape.stride, shape.padding, self.beyond, shape.groups, shape.dilation
        )

    @property
    def inputs(self) -> int:
        """Channels read."""
        return self.weight.shape[0]

    @property
    def outputs(self) -> int:
        """Channels written."""
        return self.weight.shape[1] * self._shape().groups

    def adjoint(self) -> Operator:
        """The convolution."""
        return Operator(self.weight, self.geometry)

    def module(self, bias: Tensor | None) -> nn.Module:
        """A stock `nn.ConvTranspose2d` with this weight."""
        shape = self._shape()
        module = nn.ConvTranspose2d(
            self.inputs,
            self.outputs,
            (self.weight.shape[2], self.weight.shape[3]),
            shape.stride,
            shape.padding,
            self.beyond,
            shape.groups,
            bias is not None,
            shape.dilation,
            dtype=self.weight.dtype,
            device=self.weight.device,
        )
        with torch.no_grad():
            module.weight.copy_(self.weight)
            if bias is not None and module.bias is not None:
                module.bias.copy_(bias)
        return module

    def layer(self, bias: Tensor | None) -> AffineLayer:
        """The certifier's layer with the same numbers."""
        shape, shift = self._shape(), None if bias is None else array(bias)
        top, left = shape.padding
        padding = (top, left, top, left)
        return ConvTranspose(
            array(self.weight), shift, shape.stride, padding, self.beyond, shape.dilation, shape.groups
        )


def check_plain(kernel: Tensor, geometry: Geometry) -> None:
    """Raise ValueError unless the kernel is odd, centred, of stride one, undilated and in one group."""
    centred = all(2 * geometry.padding[a] + 1 == kernel.shape[2 + a] for a in range(2))
    if not centred or geometry.stride != (1, 1) or geometry.dilation != (1, 1) or geometry.groups != 1:
        raise ValueError(
            "this family needs odd kernels with padding of half the size, stride 1, dilation 1 and one group, "
            f"not kernel {tuple(kernel.shape[2:])} with {geometry}"
        )


def array(tensor: Tensor) -> np.ndarray:
    """The numbers as float64, which holds every float32, float16 and bfloat16 exactly."""
    return tensor.detach().to("cpu", torch.float64).numpy().copy()
