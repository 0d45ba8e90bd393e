"""Layers that put the entries of a tensor in other places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdpcert.arithmetic.norms import with_room
from sdpcert.network.affine.layer import Array, Shape
from sdpcert.network.affine.moves import Moves
from sdpcert.network.filters import NotInvariant, Pixels, Stencil

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Rearrange(Moves):
    """Move entries: output entry k is input entry `indices[k]` (row major), or zero if the index is -1.

    Reshape, transpose, slice, gather, flip and zero padding are of this kind. `indices` has the output's shape.
    """

    indices: Array

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = int(np.prod(shape))
        if self.indices.size and (self.indices.max() >= size or self.indices.min() < -1):
            raise ValueError(f"a rearrangement reads entry {self.indices.max()} of a tensor of shape {shape}")
        return self.indices.shape

    def places(self, *shapes: Shape) -> Array:
        return self.indices

    def linear(self, *inputs: Array) -> Array:
        flat = inputs[0].reshape(len(inputs[0]), -1)
        moved = flat[:, self.indices.ravel()]
        if self.indices.size and self.indices.min() < 0:
            moved = moved * (self.indices.ravel() >= 0)
        return moved.reshape(len(flat), *self.indices.shape)

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        (shape,) = shapes
        size, count = int(np.prod(shape)), len(output)
        kept = self.indices.ravel() >= 0
        places, values = self.indices.ravel()[kept], output.reshape(count, -1)[:, kept]
        if np.max(np.bincount(places), initial=0) <= 1:  # nothing is read twice
            result = np.zeros((count, size))
            result[:, places] = values
        else:
            everywhere = (np.arange(count)[:, None] * size + places).ravel()
            result = np.bincount(everywhere, weights=values.ravel(), minlength=count * size)
        return (result.reshape(count, *shape),)

    def norm_bound(self, shape: Shape) -> float:
        kept = self.indices.ravel()[self.indices.ravel() >= 0]
        return with_room(np.sqrt(np.max(np.bincount(kept), initial=0)))

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        import torch

        indices = torch.as_tensor(self.indices.ravel()).to(device)
        inside = indices >= 0
        whole, at = bool(inside.all()), indices.clamp(min=0)

        def move(x: torch.Tensor) -> torch.Tensor:
            moved = x.flatten(1)[:, at]
            moved = moved if whole else torch.where(inside, moved, moved.new_zeros(()))
            return moved.reshape(len(x), *self.indices.shape)

        return move

    def stencil(self, shape: Shape, output: Shape) -> Stencil:
        if len(shape) != 3 or len(output) != 3:
            raise NotInvariant("a reshape to a vector")
        channels, height, width = shape
        strides = self._strides(width)
        taps: dict[tuple[int, int], Array] = {}
        y, x = np.arange(output[1])[:, None] * strides[0], np.arange(output[2])[None, :] * strides[1]
        lowest, highest = [0, 0], [0, 0]
        for o, picked in enumerate(self.indices):
            where = np.argwhere(picked >= 0)
            if not len(where):
                continue
            first = tuple(int(v) for v in where[0])
            channel, row, column = (int(v) for v in np.unravel_index(int(picked[first]), shape))
            dy, dx = row - first[0] * strides[0], column - first[1] * strides[1]
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            expected = np.where(inside, (channel * height + y + dy) * width + x + dx, -1)
            if not np.array_equal(expected, picked):
                raise NotInvariant("a rearrangement that is no regular pick of pixels")
            taps.setdefault((dy, dx), np.zeros((output[0], channels)))[o, channel] = 1.0
            ends = (int(y[-1, 0]) + dy, int(x[0, -1]) + dx)
            lowest = [min(lowest[0], dy), min(lowest[1], dx)]
            highest = [max(highest[a], ends[a]) for a in range(2)]
        return Stencil(Pixels(strides, (lowest[0], lowest[1]), (highest[0], highest[1])), taps)

    def _strides(self, width: int) -> tuple[int, int]:
        """How many rows and columns of an image of this width apart neighbours are; raises `NotInvariant`."""
        strides = []
        for axis, step in ((0, width), (1, 1)):
            moved = np.moveaxis(self.indices, 1 + axis, 0)
            both = (moved[1:] >= 0) & (moved[:-1] >= 0)
            steps = (moved[1:] - moved[:-1])[both]
            if not steps.size:
                strides.append(1)
            elif np.any(steps != steps[0]) or steps[0] <= 0 or steps[0] % step:
                raise NotInvariant("a rearrangement that is no regular pick of pixels")
            else:
                strides.append(int(steps[0]) // step)
        return strides[0], strides[1]
