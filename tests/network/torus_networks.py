"""Random networks on a torus and convolutional networks for the tests of the frequency form."""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import Activation, leaky_relu, relu, tanh
from sdpcert.network.affine import Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.graph import Graph, Network
from sdpcert.network.piecewise import max_pool
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.network.torus import Taps, TorusForm, TorusGroup

Array = np.ndarray


def random_torus(seed: int, slopes: bool = True) -> TorusForm:
    """Two or three groups of one to three channels on a small torus, skips and filters at random."""
    rng = np.random.default_rng(seed)
    torus = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    depth = int(rng.integers(1, 4))
    sizes = [int(k) for k in rng.integers(1, 4, depth + 2)]
    groups, blocks = [], {}
    for to in range(1, depth + 2):
        for source in range(to):
            if source == to - 1 or rng.random() < 0.3:
                count = int(rng.integers(1, 4))
                offsets = sorted({(int(a), int(b)) for a, b in rng.integers(0, torus, (count, 2))})
                weights = rng.standard_normal((len(offsets), sizes[to], sizes[source]))
                blocks[to, source] = Taps(np.array(offsets), weights)
        if to <= depth:
            kinds: list[Activation] = [relu(), leaky_relu(0.2), tanh()] if slopes else [relu()]
            kind = kinds[int(rng.integers(0, len(kinds)))]
            shape = (sizes[to], *torus)
            alpha, beta = np.full(sizes[to], kind.alpha), np.full(sizes[to], kind.beta)
            groups.append(TorusGroup(kind, alpha, beta, rng.standard_normal(shape), np.ones(shape)))
    return TorusForm(torus, sizes[0], sizes[-1], tuple(groups), blocks)


def unrolled(form: TorusForm) -> StackedForm:
    """The same network with one neuron a cell and channel."""
    grid = np.arange(form.cells).reshape(form.torus)
    cells = np.arange(form.cells)
    blocks = {}
    for key, taps in form.blocks.items():
        out, channels = taps.shape
        matrix = np.zeros((out, form.cells, channels, form.cells))
        for (a, b), weight in zip(taps.offsets, taps.weights, strict=True):
            read = np.roll(grid, (-int(a), -int(b)), (0, 1)).ravel()
            for i in range(out):
                for j in range(channels):
                    matrix[i, cells, j, read] += weight[i, j]
        blocks[key] = Block(matrix.reshape(out * form.cells, -1))
    groups = []
    for g in form.groups:
        size = g.size * form.cells
        alpha, beta = np.repeat(g.alpha, form.cells), np.repeat(g.beta, form.cells)
        groups.append(Group(g.activation, (size,), np.arange(size), alpha, beta, g.bias.ravel()))
    outputs = form.outputs * form.cells
    return StackedForm(form.inputs * form.cells, outputs, tuple(groups), blocks, np.zeros(outputs))


def random_convolutional(seed: int, head: bool = True, circular: bool = False) -> Network:
    """Convolutions with strides, dilation, groups, odd paddings, residual sums, pooling, a scale; perhaps a dense
    head.
    """
    rng = np.random.default_rng(seed)
    size = int(rng.integers(4, 8))
    channels = int(rng.integers(1, 3))
    graph = Graph((channels, size, size))
    value = 0

    def convolution(value: int, out: int, stride: int, kernel: int) -> int:
        inner, height, width = graph.shape(value)
        kernel = min(kernel, height, width)
        if circular:
            pad = (kernel // 2, kernel // 2, kernel - 1 - kernel // 2, kernel - 1 - kernel // 2)
            weight = rng.standard_normal((out, inner, kernel, kernel)) / np.sqrt(inner * kernel**2)
            return graph.add(Conv2d(weight, rng.standard_normal(out), padding=pad, circular=True), value)
        pad = tuple(int(k) for k in rng.integers(0, kernel, 4))
        dilation = 2 if rng.random() < 0.2 and height > 2 * kernel else 1
        groups = 2 if inner == 2 and out % 2 == 0 and rng.random() < 0.5 else 1
        weight = rng.standard_normal((out, inner // groups, kernel, kernel)) / np.sqrt(inner * kernel**2)
        layer = Conv2d(weight, rng.standard_normal(out), (stride, stride), pad, (dilation, dilation), groups)  # type: ignore[arg-type]
        return graph.add(layer, value)

    for depth in range(int(rng.integers(1, 4))):
        stride = 2 if rng.random() < 0.3 and graph.shape(value)[1] > 3 and not circular else 1
        value = convolution(value, int(rng.integers(1, 4)), stride, int(rng.integers(1, 4)))
        if rng.random() < 0.3:
            factor = rng.standard_normal((graph.shape(value)[0], 1, 1))
            value = graph.add(Scale(factor, rng.standard_normal(factor.shape)), value)
        value = graph.add([relu(), leaky_relu(0.1), tanh()][int(rng.integers(0, 3))], value)
        if rng.random() < 0.3 and depth:
            inner = graph.shape(value)[0]
            weight = rng.standard_normal((inner, inner, 3, 3)) / np.sqrt(9 * inner)
            branch = graph.add(Conv2d(weight, None, padding=(1, 1, 1, 1), circular=circular), value)
            value = graph.add(Sum(), value, branch)
            if rng.random() < 0.6:
                value = graph.add(relu(), value)
        if rng.random() < 0.2 and graph.shape(value)[1] >= 4 and graph.shape(value)[1] % 2 == 0 and not circular:
            value = max_pool(graph, value, (2, 2), (2, 2))
    if head:
        if not isinstance(graph.nodes[value - 1].layer, Activation):
            value = graph.add(relu(), value)
        numbers = int(np.prod(graph.shape(value)))
        value = graph.add(Rearrange(np.arange(numbers)), value)
        value = graph.add(Dense(rng.standard_normal((3, numbers)) / np.sqrt(numbers), rng.standard_normal(3)), value)
        if rng.random() < 0.5:
            value = graph.add(Dense(rng.standard_normal((2, 3))), graph.add(relu(), value))
    return graph.network(value, source="random")
