"""`torch.nn.functional.interpolate` by linear and cubic interpolation, and by areas: linear maps along every axis."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.resize import Axis, interpolated
from sdpcert.readers.operators.values import Call, Dynamic
from sdpcert.torch_modules.trace import OPSET, Trace
from sdpcert.torch_modules.windows import adaptive_average_pool

_LINEAR = ("linear", "bilinear", "bicubic")


def moves_entries(size: Any = None, scale_factor: Any = None, mode: str = "nearest", *_: Any, **named: Any) -> bool:
    """Whether a call of `interpolate` takes nearest neighbours, which only moves entries."""
    return mode in ("nearest", "nearest-exact")


def resized(
    trace: Trace,
    source: Dynamic,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Dynamic:
    """`interpolate` in the modes linear, bilinear, bicubic and area."""
    if antialias:
        raise UnsupportedModel("antialias is not read; blur with a convolution before it")
    axes = len(source.shape) - 2
    fits = axes in (1, 2) if mode == "area" else axes == (1 if mode == "linear" else 2)
    if mode not in (*_LINEAR, "area") or not fits:
        raise UnsupportedModel(f"mode {mode!r} on a tensor of shape {source.shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError("it needs either a size or a scale factor")
    image = source.shape[2:]
    if size is not None:
        outputs = [int(n) for n in _each(size, axes)]
        scales = [Fraction(m, n) for m, n in zip(outputs, image)]
    else:
        factors = [float(f) for f in _each(scale_factor, axes)]
        if not all(0 < f < math.inf for f in factors):
            raise ValueError(f"the scale factor {scale_factor} is not positive")
        outputs = [math.floor(n * f) for n, f in zip(image, factors)]
        scales = [Fraction(m, n) if recompute_scale_factor else Fraction(f) for m, n, f in zip(outputs, image, factors)]
    if min(outputs) < 1:
        raise ValueError("it leaves nothing of an axis")
    check_size((*source.shape[:2], *outputs), "the resized tensor")
    if mode == "area":
        return adaptive_average_pool(trace, source, outputs)
    call = Call("Resize", [source], {}, OPSET, 1, trace.builder)
    coordinates = "align_corners" if align_corners else "half_pixel"
    for axis, (inputs, output, scale) in enumerate(zip(image, outputs, scales), start=2):
        if output != inputs or (scale != 1 and not align_corners):
            rule = "cubic" if mode == "bicubic" else "linear"
            along = Axis(axis, inputs, output, scale, np.float32(scale))
            source = interpolated(call, source, along, rule, coordinates)
    return source


def _each(value: Any, axes: int) -> list[Any]:
    given = list(value) if isinstance(value, tuple | list) else [value] * axes
    if len(given) != axes:
        raise ValueError(f"{value} does not have one number for each of {axes} axes")
    return given
