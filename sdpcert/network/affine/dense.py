"""Layers that multiply the last axis with a matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from sdpcert.arithmetic.norms import matrix_norm_up, with_room
from sdpcert.network.affine.convolution import Conv2d
from sdpcert.network.affine.layer import AffineLayer, Array, Shape
from sdpcert.network.affine.weighted import Weighted

if TYPE_CHECKING:
    import torch

    from sdpcert.network.affine.numbering import Numbering, Sums


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """`y = W x + b` on the last axis: `weight` of shape (out, in), `bias` of shape (out,) or None."""

    weight: Array
    bias: Array | None = None
    coefficient_error: float = 0.0

    @property
    def terms(self) -> int:
        return self.weight.shape[1]

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not shape or shape[-1] != self.weight.shape[1]:
            raise ValueError(f"a dense layer with weight {self.weight.shape} (out, in) cannot read shape {shape}")
        return (*shape[:-1], self.weight.shape[0])

    def linear(self, *inputs: Array) -> Array:
        return inputs[0] @ self.weight.T

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (output @ self.weight,)

    def reads_columns(self, shape: Shape) -> bool:
        return len(shape) == 1 and not self.coefficient_error

    def coefficients_of(self, picked: Array, count: int) -> Array | None:
        """The columns of the weight, where a vector of different numbers is read."""
        read = picked[picked >= 0]
        if not self.reads_columns(picked.shape) or len(np.unique(read)) < len(read):
            return None
        coefficients = np.zeros((count, len(self.weight)))
        coefficients[read] = self.weight.T[picked >= 0]
        return coefficients + 0.0  # zeros without a sign

    def offset(self) -> Array | float:
        return 0.0 if self.bias is None else self.bias

    def shifted(self, shift: Array, shape: Shape) -> AffineLayer | None:
        if self.bias is not None or shift.size not in (1, shape[-1]) or shift.size != max(shift.shape[-1:], default=1):
            return None
        return replace(self, bias=np.broadcast_to(shift.ravel(), shape[-1:]))

    @property
    def rows(self) -> Array:
        return self.weight

    def with_rows(self, rows: Array) -> Self:
        return replace(self, weight=rows, bias=None)

    def by_channel(self, values: Array) -> Array:
        return values

    def norm_bound(self, shape: Shape) -> float:
        return with_room(matrix_norm_up(self.weight, self.coefficient_error))

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        from torch.nn.functional import linear

        from sdpcert.network.torch_forms import tensor_of

        weight = tensor_of(self.weight, device, dtype)
        bias = None if self.bias is None else tensor_of(self.bias, device, dtype)
        return lambda x: linear(x, weight, bias)

    def on_channels(self) -> AffineLayer | None:
        return Conv2d(self.weight[:, :, None, None], self.bias, coefficient_error=self.coefficient_error)

    def adds_channels(self, image: Array, output: Shape, places: int) -> bool:
        if self.coefficient_error:
            return False
        return all(self._adds_channels(row, places) for row in image.reshape(-1, image.shape[-1]))

    def _adds_channels(self, row: Array, places: int) -> bool:
        """Whether the columns that read the pixels `row` are equal within each channel, all pixels of it."""
        order = np.argsort(row, kind="stable")
        ordered, columns = row[order], self.weight[:, order]
        if ordered[0] < 0 or len(ordered) % places:
            return False
        ordered = ordered.reshape(-1, places)
        if np.any(ordered != ordered[:, :1] + np.arange(places)) or np.any(ordered[:, 0] % places):
            return False
        columns = columns.reshape(len(self.weight), -1, places)
        return bool(np.all(columns == columns[:, :, :1]))

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        return numbering.multiplied(self.weight, self.bias, given[0])

    def operations(self, shape: Shape) -> float:
        return 2.0 * float(np.prod(shape)) * self.terms
