"""Operators that change the size of an image, transposed convolution and interpolation, by name: `RESIZING`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.network.affine import ConvTranspose
from sdpcert.network.affine.interpolation import cubic_weights, interpolation, linear_weights
from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.values import Call, Dynamic, Handler, axis_of
from sdpcert.readers.operators.windows import image_of, kernel_of, lowered, two

single = np.float32
#: Longest axis that is resized.
MAX_LENGTH = 2**14


def _conv_transpose(call: Call) -> Dynamic:
    value, axes = image_of(call)
    weight, kernel, bias = kernel_of(call, axes)
    stride, dilation = two(call, "strides", axes), two(call, "dilations", axes)
    groups = int(call.attribute("group", 1))
    extra = [int(k) for k in call.attribute("output_padding", [0] * axes)]
    before, after = _cut_off(call, value.shape[2:][-axes:], kernel.shape[2:][-axes:], stride, dilation, extra)
    if axes == 1:
        extra, before, after = [0, *extra], [0, *before], [0, *after]
    if len(extra) != 2 or min(extra) < 0:
        raise ValueError(f"its output_padding {extra} does not fit a window over {axes} axes")
    if bias is not None and bias.shape != (kernel.shape[1] * groups,):
        raise ValueError(f"its bias of shape {bias.shape} does not fit {kernel.shape[1] * groups} channels")
    sizes = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(value.shape[2:], stride, dilation, kernel.shape[2:], extra)
    ]
    check_size((kernel.shape[1] * max(groups, 1), *sizes), "its output")
    padding = (before[0], before[1], after[0], after[1])
    error = weight.relative_error()
    layer = ConvTranspose(kernel, bias, stride, padding, (extra[0], extra[1]), dilation, groups, error)
    output = layer.output_shape(value.shape[1:])
    return lowered(call, call.builder.layer(layer, (value.shape[0], *output), value), axes)


def _cut_off(
    call: Call,
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    extra: list[int],
) -> tuple[list[int], list[int]]:
    """The padding that is cut off before and after every axis."""
    axes = len(image)
    mode, stated = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape")
    if stated is None and mode in ("NOTSET", "VALID"):
        pads = call.attribute("pads") if mode == "NOTSET" else None
        pads = [0] * 2 * axes if pads is None else [int(k) for k in pads]
        if len(pads) != 2 * axes:
            raise ValueError(f"its pads {pads} do not fit a window over {axes} axes")
        return pads[:axes], pads[axes:]
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"its auto_pad {mode!r} is not known")
    steps, spread = stride[-axes:], dilation[-axes:]
    output = [n * s for n, s in zip(image, steps)] if stated is None else [int(k) for k in stated][-axes:]
    total = [
        s * (n - 1) + e + d * (k - 1) + 1 - o
        for n, k, s, d, e, o in zip(image, kernel, steps, spread, extra, output, strict=True)
    ]
    half = [int(t / 2) for t in total]
    rest = [t - h for t, h in zip(total, half)]
    return (half, rest) if mode == "SAME_UPPER" else (rest, half)


@dataclass(frozen=True)
class Axis:
    """How an axis is resized: from `inputs` to `outputs` entries by `scale`.

    `rounded` is the scale as runtimes compute it in float32, which decides what the nearest neighbours are.
    """

    axis: int
    inputs: int
    outputs: int
    scale: Fraction
    rounded: single


def _axes(call: Call, shape: tuple[int, ...]) -> list[Axis]:
    """The axes that change, from constant scales or sizes."""
    rank = len(shape)
    given = call.attribute("axes")
    places = tuple(range(rank)) if given is None else tuple(axis_of(int(k), rank) for k in given)
    if call.operator == "Upsample" or call.opset < 11:
        scales, sizes = call.stored(1, "scales"), None
    else:
        scales, sizes = call.stored(2), call.stored(3)
    scales = None if scales is None or scales.size == 0 else scales.ravel()
    sizes = None if sizes is None or sizes.size == 0 else sizes.ravel()
    if (scales is None) == (sizes is None) or len(scales if sizes is None else sizes) != len(places):  # type: ignore[arg-type]
        raise ValueError("it needs either scales or sizes, one for each axis")
    result = []
    if sizes is not None:
        policy = call.attribute("keep_aspect_ratio_policy", "stretch")
        ratios = [Fraction(int(n), shape[k]) for n, k in zip(sizes, places)]
        if policy in ("not_larger", "not_smaller"):
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            sizes = np.array([math.floor(ratio * shape[k] + Fraction(1, 2)) for k in places])
            ratios = [ratio] * len(places)
        elif policy != "stretch":
            raise ValueError(f"its policy {policy!r} is not known")
        for size, axis, ratio in zip(sizes, places, ratios):
            result.append(Axis(axis, shape[axis], int(size), ratio, single(int(size)) / single(shape[axis])))
    else:
        assert scales is not None
        for scale, axis in zip(scales, places):
            if not (np.isfinite(scale) and scale > 0):
                raise ValueError(f"its scale {scale} is not positive")
            outputs = math.floor(single(shape[axis]) * single(scale))
            result.append(Axis(axis, shape[axis], outputs, Fraction(float(scale)), single(scale)))
    if any(a.outputs < 1 for a in result):
        raise ValueError("it leaves nothing of an axis")
    if any(max(a.outputs, a.inputs) > MAX_LENGTH for a in result if a.outputs != a.inputs):
        raise UnsupportedModel(f"it resizes an axis of more than {MAX_LENGTH} entries, above the limit")
    new = {a.axis: a.outputs for a in result}
    check_size((new.get(k, n) for k, n in enumerate(shape)), "the resized tensor")
    return [a for a in result if a.outputs != a.inputs or a.scale != 1]


def _coordinate(mode: str, axis: Axis, rounded: bool) -> Callable[[int], Any]:
    """Where in the input an entry of the output lies: exactly, or as runtimes compute it in float32."""
    number: Any = single if rounded else Fraction
    scale, half, one = (axis.rounded if rounded else axis.scale), number(1) / number(2), number(1)
    inputs, outputs = number(axis.inputs), number(axis.outputs)
    if mode == "pytorch_half_pixel":
        mode = "half_pixel" if axis.outputs > 1 else "first"
    if mode == "align_corners":
        if axis.outputs == 1:
            return lambda x: number(0)
        return lambda x: number(x) * (inputs - one) / (outputs - one)
    if mode == "half_pixel_symmetric":
        shift = inputs / number(2) * (one - outputs / (scale * inputs))
        return lambda x: shift + (number(x) + half) / scale - half
    rules: dict[str, Callable[[int], Any]] = {
        "half_pixel": lambda x: (number(x) + half) / scale - half,
        "asymmetric": lambda x: number(x) / scale,
        "tf_half_pixel_for_nn": lambda x: (number(x) + half) / scale,
        "first": lambda x: number(0),
    }
    if mode not in rules:
        raise UnsupportedModel(f"its coordinates of mode {mode!r} are not read")
    return rules[mode]


def _nearest(rule: str, place: float, shrinks: bool) -> int:
    low = math.floor(place)
    if rule == "simple":  # operator sets before 11
        return math.ceil(place) if shrinks else low
    choices = {
        "floor": low,
        "ceil": math.ceil(place),
        "round_prefer_floor": math.ceil(place - 0.5),
        "round_prefer_ceil": math.floor(place + 0.5),
    }
    if rule not in choices:
        raise ValueError(f"its nearest_mode {rule!r} is not known")
    return choices[rule]


def _resize(call: Call) -> Dynamic:
    value = call.dynamic()
    old = call.operator == "Upsample" or call.opset < 11
    mode = call.attribute("mode", "nearest")
    if call.attribute("antialias", 0):
        raise UnsupportedModel("antialias is not read; blur with a convolution before it")
    coordinates = "asymmetric" if old else call.attribute("coordinate_transformation_mode", "half_pixel")
    rule = "simple" if old else call.attribute("nearest_mode", "round_prefer_floor")
    builder = call.builder
    for axis in _axes(call, value.shape):
        if mode == "nearest":
            place = _coordinate(coordinates, axis, rounded=True)
            chosen = [_nearest(rule, float(place(k)), axis.scale < 1) for k in range(axis.outputs)]
            places = np.clip(chosen, 0, axis.inputs - 1)
            value = builder.rearrange(value, lambda x, p=places, k=axis.axis: np.take(x, p, axis=k))
            continue
        value = interpolated(call, value, axis, mode, coordinates)
    return value


def interpolated(call: Call, value: Dynamic, axis: Axis, mode: str, coordinates: str) -> Dynamic:
    """A tensor interpolated along one axis, linearly or by cubic convolution, at exact coordinates, by ONNX's name."""
    place = _coordinate(coordinates, axis, rounded=False)
    places = [Fraction(place(k)) for k in range(axis.outputs)]  # type: ignore[arg-type]
    if mode in ("linear", "bilinear"):
        rows = linear_weights(places, axis.inputs)
    elif mode == "cubic":
        a = Fraction(float(call.attribute("cubic_coeff_a", -0.75)))
        rows = cubic_weights(places, axis.inputs, a, bool(call.attribute("exclude_outside", 0)))
    else:
        raise ValueError(f"its mode {mode!r} is not known")
    builder = call.builder
    value = builder.rearrange(value, lambda x: np.swapaxes(x, axis.axis, -1))
    value = builder.layer(interpolation(rows, axis.inputs), (*value.shape[:-1], len(rows)), value)
    return builder.rearrange(value, lambda x: np.swapaxes(x, axis.axis, -1))


RESIZING: dict[str, Handler] = {"ConvTranspose": _conv_transpose, "Resize": _resize, "Upsample": _resize}
