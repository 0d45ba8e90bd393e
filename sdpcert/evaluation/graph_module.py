"""The certifier's graph on torch tensors: the same operations on any device and in either precision.

Logits of level R are evaluated by it in float64, and attacks follow its gradient. Convolutions are sums of products
(im2col) on every device: cuDNN, which may choose Winograd or Fourier transforms, is left out for float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.graph import Network

Array = np.ndarray


class GraphModule:
    """A `Network` as a function of batches of tensors (batch, *input_shape) on one device, differentiable.

    Raises ValueError for layers that torch tensors cannot do.
    """

    def __init__(self, network: Network, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64):
        self.network, self.device, self.dtype = network, torch.device(device), dtype
        self._last = network.last_uses
        self._operations = [
            self._operation(node.layer) if number in self._last else None
            for number, node in enumerate(network.nodes, start=1)
        ]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Evaluate a batch."""
        if tuple(inputs.shape[1:]) != self.network.input_shape:
            raise ValueError(f"the network reads {self.network.input_shape}, not {tuple(inputs.shape[1:])}")
        values = {0: inputs.to(self.device, self.dtype)}
        for number, node in enumerate(self.network.nodes, start=1):
            operation = self._operations[number - 1]
            if operation is None:
                continue
            values[number] = operation(*(values[k] for k in node.inputs))
            for k in set(node.inputs):
                if self._last[k] == number:
                    del values[k]
        return values[self.network.output]

    @torch.no_grad()
    def evaluate(self, images: Tensor, batch: int = 500) -> Array:
        """Outputs (samples, outputs) in float64 of any number of inputs."""
        parts = [self(images[k : k + batch]).double().cpu().numpy() for k in range(0, len(images), batch)]
        size = int(np.prod(self.network.output_shape))
        return np.concatenate(parts).reshape(len(images), -1) if parts else np.zeros((0, size))

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.array(values, dtype=float)).to(self.device, self.dtype)

    def _operation(self, layer: AffineLayer | Activation) -> Callable[..., Tensor]:
        match layer:
            case Activation():
                return layer.on_torch
            case Dense():
                weight = self._tensor(layer.weight)
                bias = None if layer.bias is None else self._tensor(layer.bias)
                return lambda x: functional.linear(x, weight, bias)
            case Conv2d():
                return self._convolution(layer)
            case Scale():
                factor, shift = self._tensor(layer.factor), self._tensor(layer.shift)
                return lambda x: x * factor + shift
            case Rearrange():
                return self._rearrange(layer)
            case Sum():
                return lambda *x: functools.reduce(torch.add, [s * t for s, t in zip(layer.signs, x)])
            case Concat():
                return lambda *x: torch.cat(x, dim=layer.axis + 1)
            case _:
                raise ValueError(f"{type(layer).__name__} has no form on torch tensors")

    def _rearrange(self, layer: Rearrange) -> Callable[..., Tensor]:
        indices = torch.as_tensor(layer.indices.ravel()).to(self.device)
        inside = indices >= 0
        whole, at = bool(inside.all()), indices.clamp(min=0)

        def move(x: Tensor) -> Tensor:
            moved = x.flatten(1)[:, at]
            return (moved if whole else torch.where(inside, moved, moved.new_zeros(()))).reshape(
                len(x), *layer.indices.shape
            )

        return move

    def _convolution(self, layer: Conv2d) -> Callable[..., Tensor]:
        kernel = self._tensor(layer.kernel)
        bias = None if layer.bias is None else self._tensor(layer.bias)
        top, left, bottom, right = layer.padding
        around, mode = (left, right, top, bottom), "circular" if layer.circular else "constant"

        def convolve(x: Tensor) -> Tensor:
            x = functional.pad(x, around, mode=mode) if any(around) else x
            with torch.backends.cudnn.flags(enabled=self.dtype != torch.float64):
                return functional.conv2d(x, kernel, bias, layer.stride, 0, layer.dilation, layer.groups)

        return convolve
