"""Layers that scale and shift every entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.exact import two_product
from sdpcert.arithmetic.norms import with_room
from sdpcert.network.affine.layer import AffineLayer, Array, Shape
from sdpcert.network.filters import Carried, NotInvariant, Pixels, per_channel
from sdpcert.network.known import UNDERFLOW, Known

if TYPE_CHECKING:
    import torch

    from sdpcert.network.affine.numbering import Numbering, Sums


@dataclass(frozen=True, eq=False)
class Scale(AffineLayer):
    """Elementwise `factor * x + shift`; both broadcast against the tensor without its batch axis."""

    factor: Array | float = 1.0
    shift: Array | float = 0.0
    coefficient_error: float = 0.0
    terms = 1
    is_elementwise = True

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if np.broadcast_shapes(shape, np.shape(self.factor), np.shape(self.shift)) != shape:
            raise ValueError(f"a scaling of shape {np.shape(self.factor)} would enlarge a tensor of shape {shape}")
        return shape

    def linear(self, *inputs: Array) -> Array:
        return inputs[0] * self.factor

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (output * self.factor,)

    def absolute(self) -> Scale:
        return replace(self, factor=np.abs(self.factor), shift=0.0)

    def offset(self) -> Array | float:
        return self.shift

    def norm_bound(self, shape: Shape) -> float:
        return with_room(error_bound.largest(np.abs(self.factor)) * (1 + self.coefficient_error))

    def merge(self, given: Sequence[Known]) -> Known:
        """Products of mantissas, which neither overflow nor underflow, and their powers of two at the end."""
        (known,) = given
        factor, power = np.frexp(np.broadcast_to(np.asarray(self.factor, dtype=float), known.high.shape[1:]))
        mantissa, own = np.frexp(known.high)
        result = Known(*two_product(mantissa, factor))
        if known.low is not None:
            low = np.ldexp(known.low, -own)
            lost = np.where(np.ldexp(low, own) == known.low, 0.0, UNDERFLOW)
            product, rest = two_product(low, factor)
            lost = lost + np.where((np.abs(product) < 2.0**-900) & (low != 0), UNDERFLOW, 0.0)
            result = result.plus(Known(product, rest, lost))
        return result.raised(own + power)

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        from sdpcert.network.torch_forms import tensor_of

        factor, shift = (tensor_of(values, device, dtype) for values in (self.factor, self.shift))
        return lambda x: x * factor + shift

    def pixels(self, shape: Shape, output: Shape) -> Pixels:
        per_channel(self.factor, output)
        if self.coefficient_error and any(n > 1 for n in np.shape(self.factor)[-2:]) and np.ndim(self.factor) > 1:
            raise NotInvariant("its coefficients were rounded pixel by pixel")
        return super().pixels(shape, output)

    def carried(
        self, given: Sequence[Mapping[int, Carried]], shapes: Sequence[Shape], phases: int, nothing: Carried
    ) -> dict[int, Carried]:
        left = {(0, 0): np.diag(np.repeat(per_channel(self.factor, shapes[0]), phases))}
        return {source: part.after(left, self.coefficient_error) for source, part in given[0].items()}

    def reordered(self, arrange: Callable[[Array | float], Array | float]) -> Scale:
        return replace(self, factor=arrange(self.factor), shift=arrange(self.shift))

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        factor, shift = (np.broadcast_to(np.asarray(v, dtype=float), shape).ravel() for v in (self.factor, self.shift))
        return numbering.shifted(numbering.scaled(given[0], factor), shift)
