"""Maximum, MaxMin, max pooling and Householder as ReLU neurons with linear feed-through.

`max(a, b) = b + relu(a - b)` is exact, so these enter the condition with slopes [0, 1], one multiplier per comparison.
This is tighter than the published constraint for GroupSort, which only uses that sorting preserves norm and sum.
"""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import relu
from sdpcert.network.affine import Concat, Rearrange, Scale, Sum
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.nodes import GraphBuilder

Array = np.ndarray


def maximum(graph: GraphBuilder, a: int, b: int) -> int:
    """Elementwise maximum of two values of one shape."""
    larger = graph.add(relu(), graph.add(Sum((1, -1)), a, b))
    return graph.add(Sum(), b, larger)


def minimum(graph: GraphBuilder, a: int, b: int) -> int:
    """Elementwise minimum of two values of one shape."""
    return graph.add(Sum((1, -1)), a, graph.add(relu(), graph.add(Sum((1, -1)), a, b)))


def sorted_pairs(graph: GraphBuilder, value: int, first: Array, second: Array, ascending: bool = True) -> int:
    """Sort pairs of entries: entry `first[k]` and entry `second[k]` (row major) of the value, k = 0, 1, ...

    The two arrays of one shape together name every entry at most once; entries that are not named pass unchanged.
    Arrays of shape (channels, height, width) name whole channels of an image, and values stay images. One ReLU neuron
    per pair: u = relu(a - b), maximum b + u, minimum a - u. Raises ValueError if the pairs are not disjoint.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        raise ValueError("pairs to be sorted must be disjoint")
    a, b = graph.add(Rearrange(first), value), graph.add(Rearrange(second), value)
    u = graph.add(relu(), graph.add(Sum((1, -1)), a, b))
    larger, smaller = graph.add(Sum(), b, u), graph.add(Sum((1, -1)), a, u)
    return _put_back(graph, value, first, second, *((smaller, larger) if ascending else (larger, smaller)))


def _put_back(graph: GraphBuilder, value: int, first: Array, second: Array, new_first: int, new_second: int) -> int:
    """The value with the entries `first` and `second` replaced."""
    shape = graph.shape(value)
    size = int(np.prod(shape))
    used = np.concatenate([first.ravel(), second.ravel()])
    if len(np.unique(used)) != len(used):
        raise ValueError("pairs to be sorted must be disjoint")
    rest = np.setdiff1d(np.arange(size), used).reshape(-1, *first.shape[1:])
    parts = [new_first, new_second]
    if rest.size:
        parts.append(graph.add(Rearrange(rest), value))
    # Position k of the joined parts belongs to entry order[k] of the tensor.
    order = np.concatenate([used, rest.ravel()])
    position = np.empty(size, dtype=int)
    position[order] = np.arange(size)
    return graph.add(Rearrange(position.reshape(shape)), graph.add(Concat(0), *parts))


def maxmin(graph: GraphBuilder, value: int, axis: int = 0, ascending: bool = True) -> int:
    """MaxMin (GroupSort of size 2): neighbours (0, 1), (2, 3), ... along `axis` are sorted.

    Raises ValueError if the axis has an odd length.
    """
    shape = graph.shape(value)
    if shape[axis] % 2:
        raise ValueError(f"maxmin needs an even number of channels, not {shape[axis]}")
    indices = np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), axis, 0)
    first, second = indices[0::2], indices[1::2]
    if axis:
        first, second = first.ravel(), second.ravel()
    return sorted_pairs(graph, value, first, second, ascending)


def householder(graph: GraphBuilder, value: int, first: Array, second: Array, angle: Array) -> int:
    """Householder activation of order 1 on pairs of entries, `z = v + 2 w relu(-w'v)`.

    `first[k]` and `second[k]` are the entries (row major) of pair k, `angle[k]` its angle theta in radians, and
    w = (-sin(theta/2), cos(theta/2)); theta = pi/2 swaps the pair into descending order. Source: Singla, Singla, Feizi,
    "Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100", Householder of order 1.
    """
    half = np.asarray(angle, dtype=float) / 2
    return reflected_pairs(graph, value, np.asarray(first), np.asarray(second), -np.sin(half), np.cos(half))


def reflected_pairs(graph: GraphBuilder, value: int, first: Array, second: Array, w1: Array, w2: Array) -> int:
    """`z = v + 2 w relu(-w'v)` on pairs of entries; w1 and w2 broadcast against the index arrays."""
    a, b = graph.add(Rearrange(first), value), graph.add(Rearrange(second), value)
    below = graph.add(Sum(), graph.add(Scale(-w1), a), graph.add(Scale(-w2), b))
    u = graph.add(relu(), below)
    new_a = graph.add(Sum(), a, graph.add(Scale(2 * w1), u))
    new_b = graph.add(Sum(), b, graph.add(Scale(2 * w2), u))
    return _put_back(graph, value, first, second, new_a, new_b)


def max_pool(
    graph: GraphBuilder,
    value: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> int:
    """Max pooling of a (channels, height, width) value by a tree of comparisons.

    `padding` is (top, left, bottom, right) of minus infinity: a window has the pixels that are inside. Raises
    ValueError if a window has no pixel inside the image or does not fit.
    """
    channels, height, width = graph.shape(value)
    top, left, bottom, right = padding
    rows = (height + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    columns = (width + left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    if rows <= 0 or columns <= 0:
        raise ValueError(f"a pooling window {kernel} does not fit into an image {(height, width)}")
    y = np.arange(rows)[:, None] * stride[0] - top + np.arange(kernel[0])[None, :] * dilation[0]
    x = np.arange(columns)[:, None] * stride[1] - left + np.arange(kernel[1])[None, :] * dilation[1]
    image = np.arange(channels * height * width).reshape(channels, height, width)
    cells = [
        graph.add(Rearrange(image[:, at_y, at_x]), value)
        for at_y, at_x in (_first_inside if by_earlier_rules() else _each_once)(y, x, height, width)
    ]
    while len(cells) > 1:
        pairs = [maximum(graph, a, b) for a, b in zip(cells[0::2], cells[1::2], strict=False)]
        cells = pairs + ([cells[-1]] if len(cells) % 2 else [])
    return cells[0]


def _first_inside(y: Array, x: Array, height: int, width: int) -> list[tuple[Array, Array]]:
    """For every place in the window a pixel (row, column) for every output: outside, the first one inside."""
    places = []
    for positions, length in ((y, height), (x, width)):
        inside = _inside(positions, length)
        substitute = positions[np.arange(len(positions)), inside.argmax(axis=1)]
        places.append(np.where(inside, positions, substitute[:, None]))
    rows, columns = places
    return [
        (rows[:, i][:, None], columns[:, j][None, :]) for i in range(rows.shape[1]) for j in range(columns.shape[1])
    ]


def _each_once(y: Array, x: Array, height: int, width: int) -> list[tuple[Array, Array]]:
    """For every place in the tree of comparisons a pixel (row, column) for every output.

    A window that has fewer pixels than places repeats whole branches of its tree, so that no comparison is made twice.
    """
    count = y.shape[1] * x.shape[1]
    rows, columns = np.zeros((2, count, len(y), len(x)), dtype=int)
    for r, row in enumerate(np.where(_inside(y, height), y, -1)):
        for c, column in enumerate(np.where(_inside(x, width), x, -1)):
            pixels = [(i, j) for i in row if i >= 0 for j in column if j >= 0]
            chosen = np.array([pixels[k] for k in _repeated(len(pixels), count)])
            rows[:, r, c], columns[:, r, c] = chosen.T
    return [(rows[k], columns[k]) for k in range(count)]


def _repeated(distinct: int, places: int) -> list[int]:
    """`distinct` leaves on the `places` leaves of a tree that joins neighbours, so that what repeats are branches.

    A last leaf that stays alone repeats its neighbour, which the branch that it is joined with has already.
    """
    if distinct == places:
        return list(range(places))
    branches = _repeated((distinct + 1) // 2, places // 2)
    leaves = [min(2 * k + side, distinct - 1) for k in branches for side in (0, 1)]
    return leaves + leaves[-1:] * (places % 2)


def _inside(positions: Array, length: int) -> Array:
    inside = (positions >= 0) & (positions < length)
    if not inside.any(axis=1).all():
        raise ValueError("a pooling window lies in the padding altogether")
    return inside
