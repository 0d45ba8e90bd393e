"""Operators that move entries: `MOVES` are functions of an array, `MOVING` what they make of a tensor.

The function of an array folds a constant. Given the numbers of a tensor's entries, it tells where each entry of a
tensor that depends on the input goes. Concatenation and padding move entries too, and bring constants in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sdpcert.network.affine import Concat
from sdpcert.readers.errors import check_size
from sdpcert.readers.operators.linear import shifted
from sdpcert.readers.operators.values import Call, Dynamic, Handler, NotSamplewise, axes_of, axis_of, entries

Array = np.ndarray


def _reshape(call: Call, array: Array) -> Array:
    target = call.integers(1, "shape")
    if target is None:
        raise ValueError("the target shape is missing")
    shape = list(target)
    if not call.attribute("allowzero", 0):
        for k, length in enumerate(shape):
            if length == 0:
                if k >= array.ndim:
                    raise ValueError(f"the target shape {target} copies an axis that a tensor {array.shape} lacks")
                shape[k] = array.shape[k]
    return array.reshape(shape)


def _flatten(call: Call, array: Array) -> Array:
    axis = call.attribute("axis", 1)
    if not -array.ndim <= axis <= array.ndim:
        raise ValueError(f"axis {axis} does not exist in a tensor of rank {array.ndim}")
    axis = axis + array.ndim if axis < 0 else axis
    return array.reshape(int(np.prod(array.shape[:axis])), int(np.prod(array.shape[axis:])))


def _transpose(call: Call, array: Array) -> Array:
    return np.transpose(array, call.attribute("perm"))


def _squeeze(call: Call, array: Array) -> Array:
    axes = call.integers(1, "axes")
    return np.squeeze(array, None if axes is None else axes_of(axes, array.ndim))


def _unsqueeze(call: Call, array: Array) -> Array:
    axes = call.integers(1, "axes")
    if axes is None:
        raise ValueError("its axes are missing")
    return np.expand_dims(array, axes_of(axes, array.ndim + len(axes)))


def _slice(call: Call, array: Array) -> Array:
    starts, ends = call.integers(1, "starts"), call.integers(2, "ends")
    if starts is None or ends is None or len(starts) != len(ends):
        raise ValueError("its starts and ends are missing or of different lengths")
    axes = call.integers(3, "axes")
    steps = call.integers(4)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("its starts, ends, axes and steps do not fit together")
    for start, end, axis, step in zip(starts, ends, axes, steps):
        place = axis_of(axis, array.ndim)
        array = array[(slice(None),) * place + (slice(start, end, step),)]
    return array


def _gather(call: Call, array: Array) -> Array:
    indices = call.stored(1)
    if indices is None or indices.dtype.kind not in "iu":
        raise ValueError("its indices are missing or no integers")
    axis = axis_of(call.attribute("axis", 0), array.ndim)
    check_size((*array.shape[:axis], *indices.shape, *array.shape[axis + 1 :]), "the gathered tensor")
    return np.take(array, indices, axis=axis)


def _gather_elements(call: Call, array: Array) -> Array:
    indices = call.stored(1)
    if indices is None or indices.dtype.kind not in "iu":
        raise ValueError("its indices are missing or no integers")
    return np.take_along_axis(array, indices, axis=axis_of(call.attribute("axis", 0), array.ndim))


def _split(call: Call, array: Array) -> list[Array]:
    axis = axis_of(call.attribute("axis", 0), array.ndim)
    length = array.shape[axis]
    sizes = call.integers(1, "split")
    if sizes is None:
        parts = call.attribute("num_outputs", call.outputs)
        if not 0 < parts <= max(length, 1):
            raise ValueError(f"an axis of length {length} cannot be split into {parts} parts")
        each = -(-length // parts)
        sizes = (*((each,) * (parts - 1)), length - each * (parts - 1))
    if sum(sizes) != length or min(sizes, default=-1) < 0:
        raise ValueError(f"the parts {sizes} do not make up an axis of length {length}")
    return np.split(array, np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _expand(call: Call, array: Array) -> Array:
    target = call.integers(1)
    if target is None:
        raise ValueError("the target shape is missing")
    shape = np.broadcast_shapes(array.shape, target)
    check_size(shape, "the expanded tensor")
    return np.broadcast_to(array, shape)


def _tile(call: Call, array: Array) -> Array:
    repeats = call.integers(1)
    if repeats is None or len(repeats) != array.ndim or min(repeats, default=0) < 0:
        raise ValueError("its repeats do not fit the tensor")
    check_size((a * b for a, b in zip(array.shape, repeats)), "the tiled tensor")
    return np.tile(array, repeats)


def _depth_to_space(call: Call, array: Array) -> Array:
    b, (n, c, h, w) = call.attribute("blocksize"), array.shape
    if call.attribute("mode", "DCR") == "DCR":
        return array.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)
    return array.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)


def _space_to_depth(call: Call, array: Array) -> Array:
    b, (n, c, h, w) = call.attribute("blocksize"), array.shape
    return array.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b**2, h // b, w // b)


def _identity(call: Call, array: Array) -> Array:
    return array


def _dropout(call: Call, array: Array) -> Array:
    if call.scalar(2, default=0.0):
        raise ValueError("it is in training mode; export the model in evaluation mode")
    return array


MOVES: dict[str, Callable[[Call, Array], Array | list[Array]]] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Identity": _identity,
    "Dropout": _dropout,
}


def padding_of(call: Call, rank: int) -> tuple[list[tuple[int, int]], str, float]:
    """Of a Pad node: (before, after) for every axis, the mode, and the value that is filled in."""
    pads = call.integers(1, "pads") or call.integers(1, "paddings")
    if pads is None:
        raise ValueError("its pads are missing")
    axes = call.integers(3)
    places = tuple(range(rank)) if axes is None else tuple(axis_of(a, rank) for a in axes)
    if len(pads) != 2 * len(places):
        raise ValueError(f"{len(pads)} pads do not fit a tensor of rank {rank}")
    widths = [(0, 0)] * rank
    for k, place in enumerate(places):
        widths[place] = (pads[k], pads[k + len(places)])
    value = call.scalar(2, "value", 0.0)
    return widths, call.attribute("mode", "constant"), 0.0 if value is None else value


def pad(array: Array, widths: list[tuple[int, int]], mode: str, fill: float) -> Array:
    """Pad an array as ONNX does; negative widths cut off, before the rest is filled."""
    cut = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(array.shape, widths))
    array = array[cut]
    widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    check_size((n + a + b for n, (a, b) in zip(array.shape, widths)), "the padded tensor")
    if mode == "constant":
        return np.pad(array, widths, constant_values=fill)
    if mode not in ("reflect", "edge", "wrap"):
        raise ValueError(f"the mode {mode!r} is not known")
    if mode == "reflect" and any(max(w) >= n for n, w in zip(array.shape, widths) if max(w)):
        raise ValueError("reflection is wider than the tensor")
    return np.pad(array, widths, mode=mode)  # type: ignore[call-overload]


def _concat(call: Call) -> Dynamic:
    parts = call.operands
    axis = axis_of(call.attribute("axis", 1), len(parts[0].shape))
    builder, start = call.builder.of_one_sample(), 0
    if call.builder.batch > 1:
        if axis == 0:
            raise NotSamplewise("it joins along the batch axis")
        parts = [call.builder.one_sample(part) for part in parts]
    indices, fills, tensors = [], [], []
    for part in parts:
        if isinstance(part, Dynamic):
            indices.append(entries(part.shape) + start)
            fills.append(np.zeros(part.shape))
            start += int(np.prod(part.shape))
            tensors.append(builder.rearrange(part, np.ravel))
        else:
            indices.append(np.full(part.shape, -1))
            fills.append(part.shift())
    joined = tensors[0] if len(tensors) == 1 else builder.layer(Concat(0), (start,), *tensors)
    result = builder.move(joined, np.concatenate(indices, axis=axis))
    fill = np.concatenate(fills, axis=axis)
    if np.any(fill):
        result = shifted(replace(call, builder=builder), result, builder.meet(result, fill)[1])
    return Dynamic(result.number, (call.builder.batch * result.shape[0], *result.shape[1:]))


def _pad(call: Call) -> Dynamic:
    value = call.dynamic()
    widths, mode, fill = padding_of(call, len(value.shape))
    indices = pad(entries(value.shape), widths, mode, -1)
    result = call.builder.move(value, indices)
    if mode != "constant" or fill == 0:
        return result
    if not np.isfinite(fill):
        raise ValueError("its filling is not finite")
    return shifted(call, result, call.builder.meet(result, np.where(indices < 0, fill, 0.0))[1])


def _move(call: Call) -> Dynamic | list[Dynamic]:
    """An operator of `MOVES` on a tensor that depends on the input."""
    value = call.dynamic()
    indices = MOVES[call.operator](call, entries(value.shape))
    if isinstance(indices, list):
        return [call.builder.move(value, part) for part in indices]
    return call.builder.move(value, indices)


MOVING: dict[str, Handler] = {"Concat": _concat, "Pad": _pad, **dict.fromkeys(MOVES, _move)}
