"""What networks need besides the families of layers: the data's normalisation, and fewer channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.layers.elementwise import STRICT, Nonexpansive
from sdpcert.network.affine import Rearrange, Scale
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.certified import Certified
from sdpcert.torch_modules.geometry import array


class Normalisation(Certified):
    """`x * factor + shift` channel by channel, with factors `1 / std` and shifts `-mean / std`.

    Inputs and outputs (batch, channels, height, width). The constant is the largest factor, `1 / min(std)`, so that
    whatever is certified is on the scale of the input; without `std` it is exactly one. Raises ValueError for
    deviations that are not positive and for numbers that are not finite.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float] | None = None) -> None:
        super().__init__()
        deviations = [1.0] * len(mean) if std is None else list(std)
        if len(deviations) != len(mean) or not all(np.isfinite([*mean, *deviations])) or min(deviations) <= 0:
            raise ValueError(f"normalisation needs finite means and positive deviations, not {mean} and {std}")
        factor = 1 / torch.tensor(deviations, dtype=torch.float64)
        self.register_buffer("factor", factor.float())
        self.register_buffer("shift", (-torch.tensor(list(mean), dtype=torch.float64) * factor).float())

    @property
    def constant(self) -> float:
        """The largest factor, of the float32 numbers that are applied."""
        return float(self.factor.abs().max())

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise a batch."""
        return inputs * self.factor[:, None, None] + self.shift[:, None, None]

    def squared_constant(self) -> float:
        """The square of the constant; exactly one for unit factors, which move nothing apart."""
        return 1.0 if bool((self.factor == 1).all()) else self.constant**2 * (1 + 2 * STRICT)

    def add_to(self, graph: Graph, value: int) -> int:
        """One scaling."""
        return graph.add(Scale(array(self.factor)[:, None, None], array(self.shift)[:, None, None]), value)

    def export(self) -> nn.Module:
        """A convolution of one tap with one group per channel."""
        channels = len(self.factor)
        module = nn.Conv2d(channels, channels, 1, groups=channels)
        with torch.no_grad():
            module.weight.copy_(self.factor[:, None, None, None])
            assert module.bias is not None
            module.bias.copy_(self.shift)
        return module

    def extra_repr(self) -> str:
        return f"factor={self.factor.tolist()}, shift={self.shift.tolist()}"


class KeepChannels(Nonexpansive):
    """The first `channels` channels, a projection; inputs (batch, at least so many, ...).

    Raises ValueError if there are fewer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be positive, not {channels}")
        self.channels = channels

    def forward(self, inputs: Tensor) -> Tensor:
        """The first channels of a batch."""
        if inputs.shape[1] < self.channels:
            raise ValueError(f"cannot keep {self.channels} of {inputs.shape[1]} channels")
        return inputs[:, : self.channels]

    def squared_constant(self) -> float:
        """Exactly one: numbers are only left out."""
        return 1.0

    def add_to(self, graph: Graph, value: int) -> int:
        """One rearrangement."""
        shape = graph.shape(value)
        indices = np.arange(int(np.prod(shape))).reshape(shape)
        return graph.add(Rearrange(indices[: self.channels]), value)

    def extra_repr(self) -> str:
        return str(self.channels)
