"""The transposed linear part of every affine layer, on batches: what carries gradients back through a network."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Shape, Sum

Array = np.ndarray


@singledispatch
def adjoint(layer: AffineLayer, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    """The arrays x_i with `<linear(z_1, ...), output> = sum_i <z_i, x_i>` for all z, one for each input of the layer.

    `output` is a batch of tensors of the layer's output shape; `input_shapes` are without batch axis. Raises TypeError
    for an unknown kind of layer.
    """
    raise TypeError(f"no adjoint is known for a layer of kind {type(layer).__name__}")


@adjoint.register
def _(layer: Dense, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    return (output @ layer.weight,)


@adjoint.register
def _(layer: Scale, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    return (output * layer.factor,)


@adjoint.register
def _(layer: Sum, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    return tuple(output if sign == 1 else sign * output for sign in layer.signs)


@adjoint.register
def _(layer: Concat, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    ends = np.cumsum([shape[layer.axis] for shape in input_shapes])
    return tuple(np.split(output, ends[:-1], axis=layer.axis + 1))


@adjoint.register
def _(layer: Rearrange, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    (shape,) = input_shapes
    size, count = int(np.prod(shape)), len(output)
    kept = layer.indices.ravel() >= 0
    places, values = layer.indices.ravel()[kept], output.reshape(count, -1)[:, kept]
    if np.max(np.bincount(places), initial=0) <= 1:  # nothing is read twice
        result = np.zeros((count, size))
        result[:, places] = values
    else:
        everywhere = (np.arange(count)[:, None] * size + places).ravel()
        result = np.bincount(everywhere, weights=values.ravel(), minlength=count * size)
    return (result.reshape(count, *shape),)


@adjoint.register
def _(layer: Conv2d, output: Array, *input_shapes: Shape) -> tuple[Array, ...]:
    (shape,) = input_shapes
    count, out, height, width = output.shape
    _, ins, rows, columns = layer.kernel.shape
    top, left, bottom, right = layer.padding
    kernel = layer.kernel.reshape(layer.groups, out // layer.groups, ins, rows, columns)
    part = output.reshape(count, layer.groups, out // layer.groups, height * width)
    padded = np.zeros((count, shape[0], shape[1] + top + bottom, shape[2] + left + right))
    for dy in range(rows):
        for dx in range(columns):
            y, x = dy * layer.dilation[0], dx * layer.dilation[1]
            taps = np.ascontiguousarray(kernel[:, :, :, dy, dx].transpose(0, 2, 1))
            padded[
                :,
                :,
                y : y + (height - 1) * layer.stride[0] + 1 : layer.stride[0],
                x : x + (width - 1) * layer.stride[1] + 1 : layer.stride[1],
            ] += (taps @ part).reshape(count, shape[0], height, width)
    if layer.circular:
        return (_fold(_fold(padded, 2, top, shape[1]), 3, left, shape[2]),)
    return (padded[:, :, top : top + shape[1], left : left + shape[2]],)


def _fold(padded: Array, axis: int, before: int, length: int) -> Array:
    """Add the margins of one axis to the entries that they repeat."""
    moved = np.moveaxis(padded, axis, 0)
    result = moved[before : before + length].copy()
    for k in (*range(before), *range(before + length, len(moved))):
        result[(k - before) % length] += moved[k]
    return np.moveaxis(result, 0, axis)
