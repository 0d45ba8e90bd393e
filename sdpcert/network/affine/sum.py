"""Layers that add and subtract tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdpcert.arithmetic.norms import with_room
from sdpcert.network.affine.layer import AffineLayer, Array, Shape
from sdpcert.network.filters import Carried
from sdpcert.network.known import UNIT_ROUNDOFF, Known

if TYPE_CHECKING:
    import torch

    from sdpcert.network.affine.numbering import Numbering, Sums


@dataclass(frozen=True, eq=False)
class Sum(AffineLayer):
    """`sum_i signs[i] * input_i` of tensors of one shape (after broadcasting)."""

    signs: tuple[int, ...] = (1, 1)
    is_elementwise = True

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) != len(self.signs):
            raise ValueError(f"a sum of {len(self.signs)} tensors was given {len(shapes)}")
        if len(set(shapes)) != 1:
            raise ValueError(f"cannot add tensors of different shapes {shapes}")
        return shapes[0]

    def linear(self, *inputs: Array) -> Array:
        total = self.signs[0] * inputs[0]
        for sign, term in zip(self.signs[1:], inputs[1:], strict=True):
            total = total + sign * term
        return total

    def adjoint(self, output: Array, *shapes: Shape) -> tuple[Array, ...]:
        return tuple(output if sign == 1 else sign * output for sign in self.signs)

    def absolute(self) -> Sum:
        return Sum(tuple(map(abs, self.signs)))

    def norm_bound(self, shape: Shape) -> float:
        return with_room(1.0)

    @property
    def roundings(self) -> int:
        return len(self.signs) + 4

    def rounding(self, given: Sequence[Array], result: Array) -> Array | float:
        """What `linear` loses on the given terms, in its order of summation (each loss is a float64: Knuth)."""
        total, lost = self.signs[0] * given[0], np.zeros_like(given[0])
        for sign, values in zip(self.signs[1:], given[1:], strict=True):
            term, before = sign * values, total
            total = before + term
            back = total - before
            lost += np.abs((before - (total - back)) + (term - back))
        return lost * (1 + len(given) * 2 * UNIT_ROUNDOFF)

    def merge(self, given: Sequence[Known]) -> Known:
        terms = [
            Known(sign * g.high, None if g.low is None else sign * g.low)
            for sign, g in zip(self.signs, given, strict=True)
        ]
        return functools.reduce(Known.plus, terms)

    def on_tensors(self, device: torch.device, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
        import torch

        return lambda *x: functools.reduce(torch.add, [s * t for s, t in zip(self.signs, x)])

    def carried(
        self, given: Sequence[Mapping[int, Carried]], shapes: Sequence[Shape], phases: int, nothing: Carried
    ) -> dict[int, Carried]:
        parts: dict[int, Carried] = {}
        for sign, argument in zip(self.signs, given, strict=True):
            for source, part in argument.items():
                parts[source] = parts.get(source, nothing).plus(part, float(sign))
        return parts

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        return functools.reduce(numbering.plus, [sign * term for sign, term in zip(self.signs, given, strict=True)])
