"""The certifier's graph on torch tensors: the same operations on any device and in either precision.

Logits of level R are evaluated by it in float64, and attacks follow its gradient. Convolutions are sums of products
(im2col) on every device: cuDNN, which may choose Winograd or Fourier transforms, is left out for float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer
from sdpcert.network.graph import Network
from sdpcert.running.allocation import kept_memory

Array = np.ndarray


class GraphModule:
    """A `Network` as a function of batches of tensors (batch, *input_shape) on one device, differentiable."""

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
        with kept_memory():
            parts = [self(images[k : k + batch]).double().cpu().numpy() for k in range(0, len(images), batch)]
        size = int(np.prod(self.network.output_shape))
        return np.concatenate(parts).reshape(len(images), -1) if parts else np.zeros((0, size))

    def _tensor(self, values: Any) -> Tensor:
        return torch.as_tensor(np.array(values, dtype=float)).to(self.device, self.dtype)

    def _operation(self, layer: AffineLayer | Activation) -> Callable[..., Tensor]:
        if isinstance(layer, Activation):
            return layer.on_torch
        return layer.on_tensors(self.device, self.dtype)
