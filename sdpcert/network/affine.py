"""Affine layers: what they compute, and how large the rounding of composing them can be.

A layer works on batches: arrays of shape `(batch, *shape)`. `linear` is the layer without its offset and
`magnitude` is the same map with the absolute values of its coefficients, which bounds rounding errors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
Shape = tuple[int, ...]


class AffineLayer(ShortRepr, ABC):
    """A map `inputs -> linear(inputs) + offset` between tensors."""

    #: Number of products that are added up for one output entry; 0 where entries are only moved.
    terms: int = 0
    #: Relative uncertainty of the coefficients themselves (positive where they were rounded when made).
    coefficient_error: float = 0.0

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the output without batch axis; raises ValueError where the inputs do not fit."""

    @abstractmethod
    def linear(self, *inputs: Array) -> Array:
        """The linear part, on a batch."""

    def magnitude(self, *inputs: Array) -> Array:
        """The linear part with absolute coefficients, on a nonnegative batch."""
        return self.linear(*inputs)

    def offset(self) -> Array | float:
        """What is added to the linear part; broadcasts against the output."""
        return 0.0

    def __call__(self, *inputs: Array) -> Array:
        """Evaluate the layer on a batch."""
        return self.linear(*inputs) + self.offset()


@dataclass(frozen=True, eq=False)
class Dense(AffineLayer):
    """`y = W x + b` on the last axis: `weight` of shape (out, in), `bias` of shape (out,) or None."""

    weight: Array
    bias: Array | None = None
    coefficient_error: float = 0.0

    @property
    def terms(self) -> int:  # type: ignore[override]
        return self.weight.shape[1]

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not shape or shape[-1] != self.weight.shape[1]:
            raise ValueError(f"a dense layer with weight {self.weight.shape} (out, in) cannot read shape {shape}")
        return (*shape[:-1], self.weight.shape[0])

    def linear(self, *inputs: Array) -> Array:
        return inputs[0] @ self.weight.T

    def magnitude(self, *inputs: Array) -> Array:
        return inputs[0] @ np.abs(self.weight).T

    def offset(self) -> Array | float:
        return 0.0 if self.bias is None else self.bias


@dataclass(frozen=True, eq=False)
class Conv2d(AffineLayer):
    """Two-dimensional cross-correlation with zero or circular padding, as ONNX and torch define `Conv`.

    `kernel` has shape (out, in / groups, height, width), `bias` (out,); `padding` is (top, left, bottom, right).
    """

    kernel: Array
    bias: Array | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    coefficient_error: float = 0.0
    circular: bool = False

    @property
    def terms(self) -> int:  # type: ignore[override]
        return int(np.prod(self.kernel.shape[1:]))

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        out, per_group, *kernel = self.kernel.shape
        if len(shape) != 3 or shape[0] != per_group * self.groups or out % self.groups:
            raise ValueError(
                f"a convolution with kernel {self.kernel.shape} and {self.groups} groups cannot read {shape}"
            )
        top, left, bottom, right = self.padding
        padded = (shape[1] + top + bottom, shape[2] + left + right)
        spatial = []
        for axis in range(2):
            reach = self.dilation[axis] * (kernel[axis] - 1) + 1
            if padded[axis] < reach:
                raise ValueError(f"a convolution with kernel {self.kernel.shape} does not fit into an image {shape}")
            spatial.append((padded[axis] - reach) // self.stride[axis] + 1)
        return (out, *spatial)

    def _correlate(self, images: Array, kernel: Array) -> Array:
        out, height, width = self.output_shape(images.shape[1:])
        top, left, bottom, right = self.padding
        around = ((0, 0), (0, 0), (top, bottom), (left, right))
        images = np.pad(images, around, mode="wrap" if self.circular else "constant")
        result = np.zeros((len(images), out, height, width))
        ins, outs = kernel.shape[1], out // self.groups
        for dy in range(kernel.shape[2]):
            for dx in range(kernel.shape[3]):
                y, x = dy * self.dilation[0], dx * self.dilation[1]
                window = images[
                    :,
                    :,
                    y : y + (height - 1) * self.stride[0] + 1 : self.stride[0],
                    x : x + (width - 1) * self.stride[1] + 1 : self.stride[1],
                ]
                for g in range(self.groups):
                    part = window[:, g * ins : (g + 1) * ins].reshape(len(images), ins, -1)
                    taps = kernel[g * outs : (g + 1) * outs, :, dy, dx]
                    result[:, g * outs : (g + 1) * outs] += (taps @ part).reshape(len(images), outs, height, width)
        return result

    def linear(self, *inputs: Array) -> Array:
        return self._correlate(inputs[0], self.kernel)

    def magnitude(self, *inputs: Array) -> Array:
        return self._correlate(inputs[0], np.abs(self.kernel))

    def offset(self) -> Array | float:
        return 0.0 if self.bias is None else self.bias[:, None, None]


@dataclass(frozen=True, eq=False)
class Scale(AffineLayer):
    """Elementwise `factor * x + shift`; both broadcast against the tensor without its batch axis."""

    factor: Array | float = 1.0
    shift: Array | float = 0.0
    coefficient_error: float = 0.0
    terms = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if np.broadcast_shapes(shape, np.shape(self.factor), np.shape(self.shift)) != shape:
            raise ValueError(f"a scaling of shape {np.shape(self.factor)} would enlarge a tensor of shape {shape}")
        return shape

    def linear(self, *inputs: Array) -> Array:
        return inputs[0] * self.factor

    def magnitude(self, *inputs: Array) -> Array:
        return inputs[0] * np.abs(self.factor)

    def offset(self) -> Array | float:
        return self.shift


@dataclass(frozen=True, eq=False)
class Rearrange(AffineLayer):
    """Move entries: output entry k is input entry `indices[k]` (row major), or zero where the index is -1.

    Reshape, transpose, slice, gather, flip and zero padding are of this kind. `indices` has the output's shape.
    """

    indices: Array

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = int(np.prod(shape))
        if self.indices.size and (self.indices.max() >= size or self.indices.min() < -1):
            raise ValueError(f"a rearrangement reads entry {self.indices.max()} of a tensor of shape {shape}")
        return self.indices.shape

    def linear(self, *inputs: Array) -> Array:
        flat = inputs[0].reshape(len(inputs[0]), -1)
        moved = flat[:, self.indices.ravel()]
        if self.indices.size and self.indices.min() < 0:
            moved = moved * (self.indices.ravel() >= 0)
        return moved.reshape(len(flat), *self.indices.shape)


@dataclass(frozen=True, eq=False)
class Sum(AffineLayer):
    """`sum_i signs[i] * input_i` of tensors of one shape (after broadcasting)."""

    signs: tuple[int, ...] = (1, 1)

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

    def magnitude(self, *inputs: Array) -> Array:
        return sum(inputs[1:], start=inputs[0])


@dataclass(frozen=True, eq=False)
class Concat(AffineLayer):
    """Join tensors along `axis` (counted without the batch axis)."""

    axis: int = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        try:
            return np.concatenate([np.empty(s, dtype=np.int8) for s in shapes], axis=self.axis).shape
        except ValueError:
            raise ValueError(f"cannot join tensors of shapes {shapes} along axis {self.axis}") from None

    def linear(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, axis=self.axis + 1)
