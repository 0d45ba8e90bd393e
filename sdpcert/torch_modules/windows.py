"""Torch functions that slide a window over an image or a sequence: convolution and pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators import resize as _resize  # noqa: F401  (enters the shared operators)
from sdpcert.readers.operators.error_bounds import EPS
from sdpcert.readers.operators.values import Constant, Dynamic

if TYPE_CHECKING:
    from sdpcert.torch_modules.trace import Trace

Array = np.ndarray


def convolution(
    trace: Trace,
    source: Dynamic,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Dynamic:
    """`conv1d` and `conv2d`; a kernel (out, in / groups, *window)."""
    kernel = trace.constant(weight)
    axes = len(kernel.shape) - 2
    if len(source.shape) != axes + 2:
        raise UnsupportedModel(
            f"a kernel of shape {kernel.shape} on a tensor of shape {source.shape}; keep the batch axis"
        )
    step, spread = _numbers(stride, axes), _numbers(dilation, axes)
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(spread, kernel.shape[2:])]
        before = [t // 2 for t in total]
        pads = [*before, *(t - b for t, b in zip(total, before))]
    else:
        pads = _numbers(padding, axes) * 2
    return trace.call("Conv", source, kernel, bias, strides=step, pads=pads, dilations=spread, group=int(groups))


def transposed_convolution(
    trace: Trace,
    source: Dynamic,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Dynamic:
    """`conv_transpose1d` and `conv_transpose2d`; a kernel (in, out / groups, *window)."""
    kernel = trace.constant(weight)
    axes = len(kernel.shape) - 2
    if len(source.shape) != axes + 2:
        raise UnsupportedModel(
            f"a kernel of shape {kernel.shape} on a tensor of shape {source.shape}; keep the batch axis"
        )
    return trace.call(
        "ConvTranspose",
        source,
        kernel,
        bias,
        strides=_numbers(stride, axes),
        pads=_numbers(padding, axes) * 2,
        output_padding=_numbers(output_padding, axes),
        dilations=_numbers(dilation, axes),
        group=int(groups),
    )


def average_pool(
    trace: Trace,
    source: Dynamic,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Dynamic:
    """`avg_pool1d` and `avg_pool2d`."""
    if divisor_override is not None:
        raise UnsupportedModel("a divisor of its own; multiply by a constant instead")
    return _pool(trace, "AveragePool", source, kernel_size, stride, padding, ceil_mode, int(count_include_pad))


def maximum_pool(
    trace: Trace,
    source: Dynamic,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Dynamic:
    """`max_pool1d` and `max_pool2d`."""
    if return_indices:
        raise UnsupportedModel("its second output, the indices, has no linear form")
    return _pool(trace, "MaxPool", source, kernel_size, stride, padding, ceil_mode, None, dilation)


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


def adaptive_maximum_pool(trace: Trace, source: Dynamic, output_size: Any, return_indices: bool = False) -> Dynamic:
    """`adaptive_max_pool1d` and `adaptive_max_pool2d`, where the output's size divides the image's."""
    image, output = source.shape[2:], _output(source, output_size)
    if return_indices or any(n % m for n, m in zip(image, output)):
        raise UnsupportedModel("indices are asked for, or windows of different sizes; use max_pool2d")
    return trace.call("MaxPool", source, kernel_shape=_quotients(image, output), strides=_quotients(image, output))


def _pool(
    trace: Trace,
    operator: str,
    source: Dynamic,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include: int | None,
    dilation: Any = None,
) -> Dynamic:
    axes = len(source.shape) - 2
    kernel = _numbers(kernel_size, axes)
    return trace.call(
        operator,
        source,
        kernel_shape=kernel,
        strides=kernel if stride is None or stride == [] else _numbers(stride, axes),
        pads=_numbers(padding, axes) * 2,
        dilations=None if dilation is None else _numbers(dilation, axes),
        ceil_mode=int(ceil_mode),
        count_include_pad=include,
    )


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


def _numbers(value: Any, axes: int) -> list[int]:
    """One number for every axis, or as many as axes."""
    numbers = [int(k) for k in value] if isinstance(value, tuple | list) else [int(value)]
    numbers = numbers * axes if len(numbers) == 1 else numbers
    if len(numbers) != axes or axes not in (1, 2):
        raise UnsupportedModel(
            f"a window of {value} over {axes} spatial axes; keep the batch axis, and at most two others"
        )
    return numbers
