"""Torch functions that slide a window over an image or a sequence, convolution and pooling, by name: `WINDOWS`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.error_bounds import EPS
from sdpcert.readers.operators.linear import NORM
from sdpcert.readers.operators.values import Constant, Dynamic
from sdpcert.torch_modules.arguments import Handler
from sdpcert.torch_modules.trace import Trace
from sdpcert.torch_modules.translation import per_axis, translated


def adaptive_average_pool(trace: Trace, source: Dynamic, output_size: Any) -> Dynamic:
    """`adaptive_avg_pool1d` and `adaptive_avg_pool2d`: windows from floor(k n / m) to ceil((k + 1) n / m)."""
    axes = len(source.shape) - 2
    image, output = source.shape[2:], _output(source, output_size)
    if all(m == 1 for m in output):
        return trace.call("GlobalAveragePool", source)
    if all(n % m == 0 for n, m in zip(image, output)):
        return trace.call(
            "AveragePool", source, kernel_shape=_quotients(image, output), strides=_quotients(image, output)
        )
    for axis in range(axes):
        weight = _averages(image[axis], output[axis])
        source = trace.builder.rearrange(source, lambda x, k=axis + 2: np.swapaxes(x, k, -1))
        source = trace.call("MatMul", source, weight)
        source = trace.builder.rearrange(source, lambda x, k=axis + 2: np.swapaxes(x, k, -1))
    return source


def _adaptive_maximum_pool(trace: Trace, source: Dynamic, output_size: Any, return_indices: bool = False) -> Dynamic:
    image, output = source.shape[2:], _output(source, output_size)
    if return_indices or any(n % m for n, m in zip(image, output)):
        raise UnsupportedModel("indices are asked for, or windows of different sizes; use max_pool2d")
    return trace.call("MaxPool", source, kernel_shape=_quotients(image, output), strides=_quotients(image, output))


def _norm_pool(
    trace: Trace, source: Dynamic, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Dynamic:
    """The l1 norm is a sum of the entries as they are, in torch: `(sum x^p)^(1/p)` with p = 1."""
    if norm_type not in (1, 2):
        raise UnsupportedModel(f"it pools by the l{norm_type:g} norm: {NORM}")
    axes = len(source.shape) - 2
    kernel = per_axis(kernel_size, axes)
    steps = kernel if stride is None else per_axis(stride, axes)
    if norm_type == 2:
        return trace.call("LpPool", source, p=2, kernel_shape=kernel, strides=steps, ceil_mode=int(ceil_mode))
    mean = trace.call("AveragePool", source, kernel_shape=kernel, strides=steps, ceil_mode=int(ceil_mode))
    return trace.call("Mul", mean, float(math.prod(kernel)))


def _averages(inputs: int, outputs: int) -> Constant:
    """The matrix (inputs, outputs) of adaptive averages; one rounding an entry."""
    weight = np.zeros((inputs, outputs))
    for k in range(outputs):
        start, stop = k * inputs // outputs, -(-(k + 1) * inputs // outputs)
        weight[start:stop, k] = 1 / (stop - start)
    return Constant(weight, "of adaptive averages", EPS * weight)


def _output(source: Dynamic, output_size: Any) -> tuple[int, ...]:
    image = source.shape[2:]
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * len(image)
    output = tuple(n if m is None else int(m) for n, m in zip(image, given))
    if len(given) != len(image) or not output or min(output) < 1:
        raise ValueError(f"an output of size {output_size} does not fit a tensor of shape {source.shape}")
    return output


def _quotients(image: tuple[int, ...], output: tuple[int, ...]) -> list[int]:
    return [n // m for n, m in zip(image, output)]


def _both(name: str, operator: str, *required: str, **optional: Any) -> dict[str, Handler]:
    """A function of sequences and the same one of images."""
    return {f"{name}{axes}d": translated(operator, *required, axes=axes, **optional) for axes in (1, 2)}


_KERNEL = ("source", "weight")
_POOL = ("source", "kernel_size")
WINDOWS: dict[str, Handler] = {
    **_both("conv", "Conv", *_KERNEL, bias=None, stride=1, padding=0, dilation=1, groups=1),
    **_both(
        "conv_transpose",
        "ConvTranspose",
        *_KERNEL,
        bias=None,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        dilation=1,
    ),
    **_both(
        "avg_pool",
        "AveragePool",
        *_POOL,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ),
    **_both(
        "max_pool",
        "MaxPool",
        *_POOL,
        stride=None,
        padding=0,
        dilation=1,
        ceil_mode=False,
        return_indices=False,
    ),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), adaptive_average_pool),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), _adaptive_maximum_pool),
    **dict.fromkeys(("lp_pool1d", "lp_pool2d"), _norm_pool),
}
