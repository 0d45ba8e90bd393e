"""Nonexpansive pooling: of pairs and groups of channels, of windows of pixels, and moves between pixels and channels.

Distances and norms of vectors are nonexpansive by the triangle inequality; a sum over a window of `size * size` pixels
has norm `size`; a maximum is a tree of ReLU comparisons (`network/piecewise.py`). Channels are axis 1 of a batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.elementwise import STRICT, Nonexpansive
from sdpcert.layers.linear import check_sizes
from sdpcert.network import piecewise
from sdpcert.network.activations import absolute
from sdpcert.network.affine import Conv2d, Rearrange, Scale
from sdpcert.network.block_norm import block_norms
from sdpcert.network.graph import Graph
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.torch_modules.multipliers import nonexpansive_multiplier

Array = np.ndarray


class ProjectionPooling(Nonexpansive):
    """The signed distance of pairs of channels to a learned wedge, negative inside; half of the channels are left.

    Channel k is paired with channel k + channels / 2, as (x, y): inputs (batch, channels, ...), outputs (batch,
    channels / 2, ...). The wedge opens by `angle` around the half line y = 0, x >= 0; angles outside of [0, pi] are
    folded into it. A signed distance is 1-Lipschitz. With c, s the cosine and sine of half the angle, p = c |y| - s x
    (across the nearer edge) and t = c x + s |y| (along it), it is `min(p, 0) + |(max(p, 0), max(-t, 0))|`: a
    composition of continuous functions, so that no sector has an edge at which the output jumps. p and t are never both
    negative, for any c, s >= 0; so `c^2 + s^2 <= 1` is all that the bound needs of rounded c and s.

    Source: Singla, Feizi, "Improved techniques for deterministic l2 robustness", NeurIPS 2022, which gives the
    same function by the sectors of atan2(y, x). Raises ValueError for an odd number of channels.
    """

    def __init__(self, channels: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            raise ValueError(f"ProjectionPooling needs an even number of channels, not {channels}")
        self.angle = nn.Parameter(torch.full((channels // 2,), np.pi / 2, device=device, dtype=dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Pool."""
        half = len(self.angle)
        if inputs.shape[1] != 2 * half:
            raise ValueError(f"this ProjectionPooling pools {2 * half} channels, not {inputs.shape[1]}")
        c, s = (w.reshape(half, *(1,) * (inputs.dim() - 2)) for w in half_angle(self.angle))
        x, y = inputs[:, :half], inputs[:, half:].abs()
        across, along = c * y - s * x, c * x + s * y
        return across.clamp(max=0) + _length(across.clamp(min=0), torch.relu(-along))

    def add_to(self, graph: Graph, value: int) -> int:
        """Not possible: a distance is no neuron of bounded slopes."""
        raise UnsupportedModel(
            "ProjectionPooling: a distance to a wedge is no neuron of bounded slopes and has no exact form here; "
            "certify what is before it and what is after it and multiply: its own constant is 1 (distance inequality)"
        )


def half_angle(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of half the angle, both nonnegative and a little shrunk: their squares add up to at most one."""
    shrink = 1 - 2 * torch.finfo(angle.dtype).eps
    return torch.cos(angle / 2).abs() * shrink, torch.sin(angle / 2).abs() * shrink


def _length(first: Tensor, second: Tensor) -> Tensor:
    """`hypot` with the gradient 0 at the origin, where torch's is not a number."""
    origin = (first == 0) & (second == 0)
    length = torch.hypot(torch.where(origin, torch.ones_like(first), first), second)
    return torch.where(origin, torch.zeros_like(length), length)


class NormPooling(Nonexpansive):
    """The l2 norms of groups of `size` neighbouring channels; the gradient of a group of zeros is 0.

    Inputs (batch, channels, ...), outputs (batch, channels / size, ...). Raises ValueError if `size` does not divide
    the channels. 1-Lipschitz by the triangle inequality.
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        check_sizes(size=size)
        self.size = size

    def forward(self, inputs: Tensor) -> Tensor:
        """Pool."""
        if inputs.shape[1] % self.size:
            raise ValueError(f"NormPooling cannot make groups of {self.size} of {inputs.shape[1]} channels")
        groups = inputs.unflatten(1, (-1, self.size))
        # Squares would overflow, or vanish: the largest entry is brought to one first.
        largest = groups.detach().abs().amax(2, keepdim=True)
        largest = torch.where(largest > 0, largest, torch.ones_like(largest))
        return torch.linalg.vector_norm(groups / largest, dim=2) * largest[:, :, 0]

    def add_to(self, graph: Graph, value: int) -> int:
        """One neuron per entry, which share a multiplier in groups."""
        channels, *rest = graph.shape(value)
        if channels % self.size:
            raise ValueError(f"NormPooling cannot make groups of {self.size} of {channels} channels")
        groups = (channels // self.size, self.size, *rest)
        return block_norms(graph, graph.rearrange(value, lambda x: np.moveaxis(x.reshape(groups), 1, -1)))

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float | Array]:
        """One for all neurons; the norm of a single channel is its absolute value, whose slopes are the same."""
        return [nonexpansive_multiplier(absolute(), downstream)]

    def extra_repr(self) -> str:
        return str(self.size)


class _Windows(Nonexpansive):
    """Something that is done to windows of `size` by `size` pixels that do not overlap."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        check_sizes(size=size)
        self.size = size

    def extra_repr(self) -> str:
        return str(self.size)

    def _check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the shape (channels, height, width) is cut into windows without a rest.

        What a rest of pixels means differs between implementations, and on a torus it would be lost.
        """
        name = type(self).__name__
        if len(shape) != 3:
            raise ValueError(f"{name} reads images (channels, height, width), not {tuple(shape)}")
        if shape[1] % self.size or shape[2] % self.size:
            raise ValueError(
                f"{name}: an image of {shape[1]} x {shape[2]} pixels has no windows of {self.size} x {self.size}; "
                "crop or pad it, or choose a size that divides it"
            )


class AveragePooling2d(_Windows):
    """Sums over windows, divided by `size`: `size` times the average, which itself has the constant 1 / size.

    Inputs (batch, channels, height, width), outputs with height / size and width / size. The sum of n numbers is a map
    of norm sqrt(n), here size. Raises ValueError if `size` does not divide the image.
    """

    reads_neighbours = True

    def forward(self, inputs: Tensor) -> Tensor:
        """Pool."""
        self._check(inputs.shape[1:])
        return functional.avg_pool2d(inputs, self.size) * self.size

    def add_to(self, graph: Graph, value: int) -> int:
        """Sums by a convolution with one group per channel, then the division, whose factor may be rounded."""
        shape = graph.shape(value)
        self._check(shape)
        kernel = np.ones((shape[0], 1, self.size, self.size))
        exact = self.size & (self.size - 1) == 0
        sums = graph.add(Conv2d(kernel, None, (self.size, self.size), groups=shape[0]), value)
        return graph.add(Scale(1 / self.size, 0.0, 0.0 if exact else 2.0**-53), sums)


class MaxPooling2d(_Windows):
    """The maxima of windows: inputs (batch, channels, height, width), outputs with height / size and width / size.

    Raises ValueError if `size` does not divide the image. `max(a, b) = b + relu(a - b)` with the multiplier 1:
    `a^2 + b^2 - max^2 - 2 u (a - b - u) = (a - u)^2 >= 0`.
    """

    reads_neighbours = True

    def forward(self, inputs: Tensor) -> Tensor:
        """Pool."""
        self._check(inputs.shape[1:])
        return functional.max_pool2d(inputs, self.size)

    def squared_constant(self) -> float:
        """One, and what makes every stage of the tree of comparisons strict."""
        return super().squared_constant() ** max(math.ceil(math.log2(self.size**2)), 1)

    def add_to(self, graph: Graph, value: int) -> int:
        """A tree of ReLU neurons, `size * size - 1` per window."""
        self._check(graph.shape(value))
        window = (self.size, self.size)
        return piecewise.max_pool(graph, value, window, window)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float]:
        """Stages further inside need more, by what the stages after them are strict; the largest does for all."""
        most = downstream * self.squared_constant() / super().squared_constant()
        return [most * (1 + STRICT)] * (self.size**2 - 1)


class SpaceToDepth(_Windows):
    """Pixels of cells of `factor` by `factor` as channels, in the order of `nn.PixelUnshuffle`; an isometry.

    Inputs (batch, channels, height, width), outputs (batch, channels * factor^2, height / factor, width / factor).
    Raises ValueError if `factor` does not divide the image.
    """

    def __init__(self, factor: int = 2) -> None:
        check_sizes(factor=factor)
        super().__init__(factor)

    def forward(self, inputs: Tensor) -> Tensor:
        """Rearrange."""
        self._check(inputs.shape[1:])
        return functional.pixel_unshuffle(inputs, self.size)

    def squared_constant(self) -> float:
        """Exactly one: numbers are only moved."""
        return 1.0

    def add_to(self, graph: Graph, value: int) -> int:
        """One rearrangement."""
        self._check(graph.shape(value))
        return graph.space_to_depth(value, self.size)

    def export(self) -> nn.Module:
        """`nn.PixelUnshuffle`."""
        return nn.PixelUnshuffle(self.size)


class ZeroChannelPadding(Nonexpansive):
    """Appends `channels` channels of zeros; an isometry.

    Inputs (batch, channels before, ...), outputs with so many channels more. Raises ValueError for a negative number.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 0:
            raise ValueError(f"channels must not be negative, not {channels}")
        self.channels = channels

    def forward(self, inputs: Tensor) -> Tensor:
        """Append."""
        return functional.pad(inputs, (0, 0) * (inputs.dim() - 2) + (0, self.channels))

    def squared_constant(self) -> float:
        """Exactly one: numbers are only moved."""
        return 1.0

    def add_to(self, graph: Graph, value: int) -> int:
        """One rearrangement."""
        shape = graph.shape(value)
        indices = np.arange(int(np.prod(shape))).reshape(shape)
        zeros = np.full((self.channels, *shape[1:]), -1)
        return graph.add(Rearrange(np.concatenate([indices, zeros])), value)

    def extra_repr(self) -> str:
        return str(self.channels)
