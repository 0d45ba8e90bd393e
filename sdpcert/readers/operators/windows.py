"""Operators that slide a window over an image or a sequence, convolution and pooling, by name: `WINDOWS`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.activations import absolute
from sdpcert.network.affine import Conv2d
from sdpcert.network.piecewise import max_pool
from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.error_bounds import EPS
from sdpcert.readers.operators.linear import NORM, norms, power_of, scaled
from sdpcert.readers.operators.values import Call, Constant, Dynamic, Handler

Array = np.ndarray
#: Most cells of a pooling window.
MAX_WINDOW = 4096


@dataclass(frozen=True)
class Window:
    """The geometry of a sliding window in two dimensions; a sequence is an image of height one."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    #: Padding on the far side that rounding the output's size up adds; it counts as outside everything.
    extra: tuple[int, int]
    output: tuple[int, int]

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right, the extra included."""
        bottom, right = (self.after[k] + self.extra[k] for k in range(2))
        return (*self.before, bottom, right)


def two(call: Call, name: str, axes: int) -> tuple[int, int]:
    """An attribute with one positive number per axis, 1 by default; the height of a sequence gets 1."""
    numbers = tuple(int(k) for k in call.attribute(name, (1,) * axes))
    if len(numbers) != axes or min(numbers) < 1:
        raise ValueError(f"its {name} {numbers} do not fit a window over {axes} axes")
    return (numbers[0], numbers[1]) if axes == 2 else (1, numbers[0])


def _window(call: Call, image: tuple[int, int], axes: int, kernel: tuple[int, ...]) -> Window:
    stride, dilation = two(call, "strides", axes), two(call, "dilations", axes)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    mode = call.attribute("auto_pad", "NOTSET")
    ceil = bool(call.attribute("ceil_mode", 0))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        output = [-(-n // s) for n, s in zip(image, stride)]
        total = [max((o - 1) * s + r - n, 0) for o, s, r, n in zip(output, stride, reach, image)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
        ceil = False
    elif mode in ("NOTSET", "VALID"):
        pads = call.attribute("pads") if mode == "NOTSET" else None
        pads = [0] * 2 * axes if pads is None else [int(k) for k in pads]
        if len(pads) != 2 * axes or min(pads) < 0:
            raise ValueError(f"its pads {pads} do not fit a window over {axes} axes")
        before, after = pads[:axes], pads[axes:]
        if axes == 1:
            before, after = [0, *before], [0, *after]
    else:
        raise ValueError(f"its auto_pad {mode!r} is not known")
    check_size((n + a + b for n, a, b in zip(image, before, after)), "the padded image")
    sizes, extra = [], []
    for n, s, r, a, b in zip(image, stride, reach, before, after):
        room = n + a + b - r
        if room < 0:
            raise ValueError(f"a window that reaches over {r} does not fit into {n + a + b}")
        size = room // s + 1
        if ceil and room % s and size * s < n + a:  # a further window must start inside the image or its near padding
            size += 1
        sizes.append(size)
        extra.append(max((size - 1) * s + r - (n + a + b), 0))
    return Window(
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        (dilation[0], dilation[1]),
        (before[0], before[1]),
        (after[0], after[1]),
        (extra[0], extra[1]),
        (sizes[0], sizes[1]),
    )


def image_of(call: Call) -> tuple[Dynamic, int]:
    """The first input as a tensor (batch, channels, height, width), and its number of spatial axes."""
    value = call.dynamic()
    axes = len(value.shape) - 2
    if axes not in (1, 2):
        raise UnsupportedModel(f"only one and two spatial axes are read, its input has {axes}")
    if value.shape[0] != call.builder.batch:
        raise UnsupportedModel(f"its input of shape {value.shape} has a batch of {value.shape[0]}")
    if axes == 1:
        value = call.builder.rearrange(value, lambda x: x[:, :, None])
    return value, axes


def lowered(call: Call, value: Dynamic, axes: int) -> Dynamic:
    """An image as the sequence that it was, where there is one spatial axis."""
    return value if axes == 2 else call.builder.rearrange(value, lambda x: x[:, :, 0])


def kernel_of(call: Call, axes: int) -> tuple[Constant, Array, Array | None]:
    """The weight of a convolution, its kernel over two axes, and its bias."""
    weight, bias = call.required(1), call.weight(2)
    kernel = weight.weight()
    if kernel.ndim != axes + 2:
        raise ValueError(f"its weight of shape {weight.shape} does not fit a tensor of rank {axes + 2}")
    stated = call.attribute("kernel_shape")
    if stated is not None and tuple(stated) != kernel.shape[2:]:
        raise ValueError(f"its kernel_shape {tuple(stated)} is not that of its weight {weight.shape}")
    return weight, kernel if axes == 2 else kernel[:, :, None], None if bias is None else bias.shift()


def _conv(call: Call) -> Dynamic:
    value, axes = image_of(call)
    weight, kernel, vector = kernel_of(call, axes)
    window = _window(call, (value.shape[2], value.shape[3]), axes, kernel.shape[2:])
    groups = int(call.attribute("group", 1))
    if groups < 1:
        raise ValueError(f"its number of groups {groups} is not positive")
    if vector is not None and vector.shape != kernel.shape[:1]:
        raise ValueError(f"its bias of shape {vector.shape} does not have one entry for each of {len(kernel)} channels")
    layer = Conv2d(kernel, vector, window.stride, window.padding, window.dilation, groups, weight.relative_error())
    result = call.builder.layer(layer, (value.shape[0], len(kernel), *window.output), value)
    return lowered(call, result, axes)


def _pool_window(call: Call, value: Dynamic, axes: int) -> Window:
    if call.attribute("kernel_shape") is None:
        raise ValueError("its kernel_shape is missing")
    kernel = two(call, "kernel_shape", axes)
    if int(np.prod(kernel)) > MAX_WINDOW:
        raise UnsupportedModel(f"its window {kernel} has more than {MAX_WINDOW} cells")
    return _window(call, (value.shape[2], value.shape[3]), axes, kernel)


def _average_pool(call: Call) -> Dynamic:
    value, axes = image_of(call)
    window = _pool_window(call, value, axes)
    channels, (height, width) = value.shape[1], value.shape[2:]
    check_size((channels, *window.kernel), "the pooling kernel")
    sums = Conv2d(
        np.ones((channels, 1, *window.kernel)), None, window.stride, window.padding, window.dilation, channels
    )
    result = call.builder.layer(sums, (value.shape[0], channels, *window.output), value)
    # How many cells of each window count: those of the image, and with count_include_pad those of the stated padding.
    counted = np.ones((1, 1, height, width))
    (top, left), (bottom, right) = window.before, window.after
    if call.attribute("count_include_pad", 0):
        counted = np.pad(counted, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=1.0)
        padding = (0, 0, *window.extra)
    else:
        padding = window.padding
    counts = Conv2d(np.ones((1, 1, *window.kernel)), None, window.stride, padding, window.dilation)(counted)[0]
    if np.any(counts == 0):
        raise ValueError("a pooling window lies in the padding altogether")
    if np.all(counts == counts.flat[0]):
        counts = counts.flat[:1].reshape(())
    exact = bool(np.all(np.frexp(counts)[0] == 0.5))
    return lowered(call, scaled(call, result, 1 / counts, 0.0 if exact else EPS), axes)


def _norm_pool(call: Call) -> Dynamic:
    """Sums of absolute values over windows, or l2 norms of windows that do not overlap."""
    power = power_of(call)
    value, axes = image_of(call)
    window = _pool_window(call, value, axes)
    if power == 2:
        return lowered(call, _norms_of_windows(call, value, window), axes)
    channels = value.shape[1]
    check_size((channels, *window.kernel), "the pooling kernel")
    kernel = np.ones((channels, 1, *window.kernel))
    sums = Conv2d(kernel, None, window.stride, window.padding, window.dilation, channels)
    sizes = call.builder.layer(absolute(), value.shape, value)
    return lowered(call, call.builder.layer(sums, (value.shape[0], channels, *window.output), sizes), axes)


def _norms_of_windows(call: Call, value: Dynamic, window: Window) -> Dynamic:
    (kh, kw), (height, width) = window.kernel, window.output
    if window.stride != window.kernel or window.dilation != (1, 1) or any(window.padding):
        raise UnsupportedModel(f"its windows overlap, leave gaps or are padded: {NORM}")
    shape = (*value.shape[:2], height, kh, width, kw)

    def cut(x: Array) -> Array:
        cells = x[:, :, : height * kh, : width * kw].reshape(shape)
        return cells.transpose(0, 1, 2, 4, 3, 5).reshape(*value.shape[:2], height, width, kh * kw)

    return call.builder.rearrange(norms(call, call.builder.rearrange(value, cut)), lambda x: x[..., 0])


def _max_pool(call: Call) -> Dynamic:
    value, axes = image_of(call)
    if call.outputs > 1:
        raise UnsupportedModel("its second output, the indices, has no linear form")
    window = _pool_window(call, value, axes)
    shape = (*value.shape[:2], *window.output)
    check_size((*shape, int(np.prod(window.kernel))), "the windows of a maximum pooling")
    number = max_pool(call.builder.graph, value.number, window.kernel, window.stride, window.padding, window.dilation)
    return lowered(call, call.builder.checked(number, shape), axes)


WINDOWS: dict[str, Handler] = {
    "Conv": _conv,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "LpPool": _norm_pool,
}
