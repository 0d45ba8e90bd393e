"""Networks of the sizes of public benchmarks, with random weights: too large for one dense condition.

Kernels have variance 2 / fan-in (He), so that signals keep their size through ReLU layers, and biases are small.
"""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Rearrange, Sum
from sdpcert.network.graph import Graph, Network
from sdpcert.network.piecewise import max_pool

Array = np.ndarray


def pooled_mnist(filters: int = 32, kernel: int = 5, side: int = 28, hidden: int = 128, seed: int = 0) -> Network:
    """A convolution of a grey image with ReLU and max pooling, and a dense head with one hidden layer."""
    build = _Builder((1, side, side), seed)
    value = max_pool(build.graph, build.relu(build.conv(0, filters, kernel, padding=kernel // 2)), (2, 2), (2, 2))
    return build.finish(build.dense(build.relu(build.dense(value, hidden)), 10), "pooled mnist")


def residual_cifar(
    widths: tuple[int, ...] = (16, 32, 64, 64), blocks: int = 1, hidden: int = 100, side: int = 32, seed: int = 0
) -> Network:
    """A residual network of CIFAR images: a convolution, stages of blocks that halve the image, and a dense head."""
    build = _Builder((3, side, side), seed)
    value = build.relu(build.conv(0, widths[0], 3, 2, 1))
    for stage, width in enumerate(widths):
        for k in range(blocks):
            value = build.residual(value, width, 2 if stage and not k else 1)
    return build.finish(build.dense(build.relu(build.dense(value, hidden)), 10), "residual cifar")


def detector(width: int = 16, side: int = 52, boxes: int = 125, seed: int = 0) -> Network:
    """A detector in the manner of YOLO: convolutions, average pooling, residual blocks, an image of boxes as output."""
    build = _Builder((3, side, side), seed)
    value = build.relu(build.conv(0, width, 3, 1, 1))
    value = build.relu(build.conv(value, 2 * width, 3, 1, 1))
    value = build.average(value)
    value = build.residual(value, 2 * width)
    value = build.average(value)
    for _ in range(2):
        value = build.residual(value, 2 * width)
    return build.finish(build.conv(build.relu(build.conv(value, 4 * width, 3, 1, 1)), boxes, 1), "detector")


def bias_field(inputs: int = 16, side: int = 32, widths: tuple[int, ...] = (32, 32, 64, 64), seed: int = 0) -> Network:
    """A few coefficients of a smooth field that is added to an image, and a convolutional network that reads it."""
    build = _Builder((inputs,), seed)
    pixels = 3 * side**2
    image = build.graph.add(Dense(build.random((pixels, inputs), inputs), build.random((pixels,), 10)), 0)
    value = build.graph.add(Rearrange(np.arange(pixels).reshape(3, side, side)), image)
    for k, width in enumerate(widths):
        value = build.relu(build.conv(value, width, 3, 1 + k % 2, 1))
    return build.finish(build.dense(build.relu(build.dense(value, 64)), 10), "bias field")


class _Builder:
    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.graph, self.generator = Graph(shape), np.random.default_rng(seed)

    def finish(self, value: int, name: str) -> Network:
        return self.graph.network(value, source=name)

    def random(self, shape: tuple[int, ...], read: int) -> Array:
        return self.generator.standard_normal(shape).astype(np.float32).astype(float) * float(
            np.float32((2 / read) ** 0.5)
        )

    def relu(self, value: int) -> int:
        return self.graph.add(relu(), value)

    def conv(self, value: int, width: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        channels = self.graph.shape(value)[0]
        weights = self.random((width, channels, kernel, kernel), channels * kernel**2)
        layer = Conv2d(weights, self.random((width,), 200), (stride, stride), (padding, padding, padding, padding))
        return self.graph.add(layer, value)

    def average(self, value: int) -> int:
        channels = self.graph.shape(value)[0]
        return self.graph.add(Conv2d(np.full((channels, 1, 2, 2), 0.25), None, (2, 2), groups=channels), value)

    def residual(self, value: int, width: int, stride: int = 1) -> int:
        inner = self.conv(self.relu(self.conv(value, width, 3, stride, 1)), width, 3, 1, 1)
        same = stride == 1 and self.graph.shape(value)[0] == width
        return self.relu(self.graph.add(Sum(), value if same else self.conv(value, width, 1, stride), inner))

    def dense(self, value: int, width: int) -> int:
        size = int(np.prod(self.graph.shape(value)))
        flat = self.graph.add(Rearrange(np.arange(size)), value)
        return self.graph.add(Dense(self.random((width, size), size), self.random((width,), 200)), flat)
