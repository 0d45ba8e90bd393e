"""The l2 norm of blocks of neighbouring neurons: an activation that is no elementwise function.

A block v of k entries becomes `(|v|, 0, ..., 0)`. For two arguments `sum_i dz_i^2 = (|v| - |v'|)^2 <= |v - v'|^2`, by
the triangle inequality: the sector terms of slopes [-1, 1], of which only the sum over the block has a sign. So the
neurons of a block share one multiplier in the condition, and stay together wherever neurons are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.nodes import GraphBuilder
from sdpcert.network.piecewise_linear import Absolute

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray
#: Room for the rounding of a bound, relative and where it underflows.
ROOM, LEAST = 1 + 1e-9, 2.0**-1000


@dataclass(frozen=True, eq=False)
class BlockNorm(Activation):
    """Blocks of `size` consecutive entries along the last axis become `(|v|, 0, ..., 0)`.

    Raises ValueError for a size below two: the norm of a single number is `Absolute`.
    """

    name: ClassVar[str] = "norm"
    nonnegative: ClassVar[bool] = True
    size: int = 2

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"a block has two entries at least, not {self.size}")

    @property
    def coupled(self) -> int:
        return self.size

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError if the last axis is not made of whole blocks."""
        if not shape or shape[-1] % self.size:
            raise ValueError(f"norms of blocks of {self.size} do not fit a tensor of shape {tuple(shape)}")

    def slopes(self) -> tuple[float, float]:
        return -1.0, 1.0

    def __call__(self, values: Array) -> Array:
        blocks, unit = self._scaled(values)
        result = np.zeros_like(blocks)
        result[..., 0] = np.sqrt(np.square(blocks).sum(axis=-1)) * unit[..., 0]
        return result.reshape(np.shape(values))

    def derivative(self, values: Array) -> Array:
        """The gradient of the norm of each block, entry by entry, and zero at zero."""
        blocks, _ = self._scaled(values)
        lengths = np.sqrt(np.square(blocks).sum(axis=-1, keepdims=True))
        return (blocks / np.where(lengths > 0, lengths, 1.0)).reshape(np.shape(values))

    def gathered(self, sizes: Array) -> Array:
        blocks, unit = self._scaled(sizes)
        lengths = np.sqrt(np.square(blocks).sum(axis=-1, keepdims=True)) * unit
        lengths = np.where(np.any(blocks != 0, axis=-1, keepdims=True), lengths * ROOM + LEAST, lengths)
        return np.broadcast_to(lengths, blocks.shape).reshape(np.shape(sizes))

    def summed(self, values: Array) -> Array:
        blocks = self._blocks(values)
        result = np.zeros_like(blocks)
        result[..., 0] = blocks.sum(axis=-1)
        return result.reshape(values.shape)

    def unsummed(self, values: Array) -> Array:
        blocks = self._blocks(values)
        return np.broadcast_to(blocks[..., :1], blocks.shape).reshape(values.shape)

    def evaluation_error(self, roundoff: float) -> tuple[float, float]:
        """Entries are divided by what makes the largest one about one, squared and added up in some order, and the root
        is multiplied back: the square of the result has at most `size + 5` roundings, of which the root halves the
        effect, and root and product add two.
        """
        return (0.5 * self.size + 5) * roundoff * ROOM, 0.0

    def on_torch(self, values: Tensor) -> Tensor:
        """Evaluate on a torch tensor; the gradient of a block of zeros is zero."""
        import torch

        blocks = values.unflatten(-1, (-1, self.size))
        largest = blocks.detach().abs().amax(-1, keepdim=True)
        largest = torch.where(largest > 0, largest, torch.ones_like(largest))
        lengths = torch.linalg.vector_norm(blocks / largest, dim=-1, keepdim=True) * largest
        return torch.cat([lengths, torch.zeros_like(blocks[..., 1:])], dim=-1).flatten(-2)

    def _blocks(self, values: Array) -> Array:
        return values.reshape(*values.shape[:-1], -1, self.size)

    def _scaled(self, values: Array) -> tuple[Array, Array]:
        """The blocks divided by powers of two that bring their largest entries to about one, and these powers."""
        blocks = self._blocks(np.asarray(values, dtype=float))
        largest = np.max(np.abs(blocks), axis=-1, keepdims=True)
        exponents = np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
        unit = np.ldexp(1.0, np.clip(exponents, -1000, 1000))
        return blocks / unit, unit


def block_norms(graph: GraphBuilder, value: int) -> int:
    """The norms along the last axis of a value, which the result does not have."""
    shape = graph.shape(value)
    kind = BlockNorm(shape[-1]) if shape[-1] > 1 else Absolute()
    return graph.rearrange(graph.add(kind, value), lambda x: x[..., 0])
