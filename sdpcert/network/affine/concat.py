"""Layers that join tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sdpcert.arithmetic.norms import with_room
from sdpcert.network.affine.layer import Array, Shape
from sdpcert.network.affine.moves import Moves
from sdpcert.network.filters import Carried, NotInvariant, Pixels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Concat(Moves):
    """Join tensors along `axis` (counted without the batch axis)."""

    axis: int = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        try:
            return np.concatenate([np.empty(s, dtype=np.int8) for s in shapes], axis=self.axis).shape
        except ValueError:
            raise ValueError(f"cannot join tensors of shapes {shapes} along axis {self.axis}") from None

    def places(self, *shapes: Shape) -> Array:
        sizes = [int(np.prod(s)) for s in shapes]
        starts = np.cumsum([0, *sizes])
        parts = [np.arange(a, a + n).reshape(s) for a, n, s in zip(starts, sizes, shapes, strict=False)]
        return np.concatenate(parts, axis=self.axis)

    def linear(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, axis=self._batch_axis)

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        ends = np.cumsum([shape[self.axis] for shape in shapes])
        return tuple(np.split(output, ends[:-1], axis=self._batch_axis))

    @property
    def _batch_axis(self) -> int:
        return self.axis + 1 if self.axis >= 0 else self.axis

    def norm_bound(self, shape: Shape) -> float:
        return with_room(1.0)

    def joint_norm(self, norms: Sequence[Array | float]) -> Any:
        return np.sqrt(sum(np.square(n) for n in norms))

    def gain(self, gains: Sequence[Array | float], shapes: Sequence[Shape]) -> Any:
        return self.joint_norm(gains)  # the norms are one

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        import torch

        return lambda *x: torch.cat(x, dim=self._batch_axis)

    @property
    def is_pointwise(self) -> bool:
        return True

    def pixels(self, shape: Shape, output: Shape) -> Pixels:
        if self.axis not in (0, -3):
            raise NotInvariant("images are joined side by side")
        return super().pixels(shape, output)

    def carried(
        self, given: Sequence[Mapping[int, Carried]], shapes: Sequence[Shape], phases: int, nothing: Carried
    ) -> dict[int, Carried]:
        rows = sum(shape[0] for shape in shapes) * phases
        parts: dict[int, Carried] = {}
        first = 0
        for argument, shape in zip(given, shapes, strict=True):
            for source, part in argument.items():
                parts[source] = parts.get(source, nothing).plus(part.placed(rows, first), 1.0)
            first += shape[0] * phases
        return parts
