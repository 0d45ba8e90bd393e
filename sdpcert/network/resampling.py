"""Linear maps that change the size of an image: transposed convolution, and interpolation along an axis.

Both readers build them from the layers that are there: moves of entries, convolutions and dense layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.graph import Graph

Array = np.ndarray
#: One rounding of a coefficient, relative, with some slack.
ROUNDED = 2.0**-52


def conv_transpose(
    graph: Graph,
    value: int,
    kernel: Array,
    bias: Array | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    output_padding: tuple[int, int] = (0, 0),
    coefficient_error: float = 0.0,
) -> int:
    """The adjoint of a convolution, of a (channels, height, width) value, plus a bias.

    `kernel` has shape (in, out / groups, height, width) as in ONNX and torch; `padding` is (top, left, bottom, right)
    of the convolution, cut off here, and `output_padding` is what is added at the bottom and on the right. With zeros
    between the pixels it is the convolution with the flipped kernel and its channels swapped; a stride of one needs no
    zeros, so that the layer stays one on a torus. Raises ValueError where the parts do not fit.
    """
    channels, height, width = graph.shape(value)
    if kernel.ndim != 4 or groups < 1 or len(kernel) != channels or channels % groups:
        raise ValueError(f"a kernel {kernel.shape} in {groups} groups cannot be transposed onto {channels} channels")
    ins, outs = channels // groups, kernel.shape[1]
    flipped = kernel[:, :, ::-1, ::-1].reshape(groups, ins, outs, *kernel.shape[2:]).swapaxes(1, 2)
    flipped = np.ascontiguousarray(flipped).reshape(groups * outs, ins, *kernel.shape[2:])
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape[2:], strict=True)]
    around = [
        (reach[0] - padding[0], reach[0] - padding[2] + output_padding[0]),
        (reach[1] - padding[1], reach[1] - padding[3] + output_padding[1]),
    ]
    places = [
        _spread(n, s, before, after) for n, s, (before, after) in zip((height, width), stride, around, strict=True)
    ]
    if any(len(p) != n or np.any(p < 0) for p, n in zip(places, (height, width), strict=True)):
        image = np.arange(channels * height * width).reshape(channels, height, width)
        rows, columns = places[0][:, None], places[1][None, :]
        indices = np.where((rows < 0) | (columns < 0), -1, image[:, np.maximum(rows, 0), np.maximum(columns, 0)])
        value = graph.rearrange(value, lambda _: indices)
    top, left = (max(before, 0) for before, _ in around)
    bottom, right = (max(after, 0) for _, after in around)
    layer = Conv2d(flipped, bias, (1, 1), (top, left, bottom, right), dilation, groups, coefficient_error)
    return graph.add(layer, value)


def _spread(length: int, stride: int, before: int, after: int) -> Array:
    """The pixels of an axis with `stride - 1` zeros (-1) between them, without those that negative margins cut off."""
    places = np.full((length - 1) * stride + 1, -1)
    places[::stride] = np.arange(length)
    places = places[max(-before, 0) : len(places) - max(-after, 0)]
    if not len(places):
        raise ValueError("a transposed convolution whose padding leaves nothing of an axis")
    return places


@dataclass(frozen=True, eq=False)
class Interpolation(Dense):
    """A dense layer of interpolation weights; whoever runs it computes them from coordinates up to `reach`, rounded."""

    reach: float = 1.0


def interpolation(rows: Sequence[dict[int, Fraction]], inputs: int) -> Interpolation:
    """The layer whose output k is the sum of the given weights times entries of an axis of `inputs` entries."""
    weight, exact = np.zeros((len(rows), inputs)), True
    for k, row in enumerate(rows):
        for place, number in row.items():
            weight[k, place] = float(number)
            exact = exact and Fraction(weight[k, place]) == number
    return Interpolation(weight, None, 0.0 if exact else ROUNDED, float(inputs))


def linear_weights(coordinates: Iterable[Fraction], inputs: int) -> list[dict[int, Fraction]]:
    """Linear interpolation between neighbours; outside the ends, the entry at the end."""
    rows = []
    for coordinate in coordinates:
        place = min(max(coordinate, Fraction(0)), Fraction(inputs - 1))
        low = math.floor(place)
        rows.append(_gathered([(low, 1 - (place - low)), (low + 1, place - low)], inputs))
    return rows


def cubic_weights(
    coordinates: Iterable[Fraction], inputs: int, a: Fraction = Fraction(-3, 4), exclude_outside: bool = False
) -> list[dict[int, Fraction]]:
    """Cubic convolution with the coefficient `a` over four neighbours (Keys, 1981).

    Neighbours outside the ends repeat the entry at the end, or are left out and the others scaled to a sum of one.
    """
    rows = []
    for coordinate in coordinates:
        low = math.floor(coordinate)
        taps = [(low + k, _cubic(abs(coordinate - (low + k)), a)) for k in (-1, 0, 1, 2)]
        if exclude_outside:
            taps = [(place, weight) for place, weight in taps if 0 <= place < inputs]
            total = sum(weight for _, weight in taps)
            taps = [(place, weight / total) for place, weight in taps]
        rows.append(_gathered(taps, inputs))
    return rows


def _cubic(distance: Fraction, a: Fraction) -> Fraction:
    if distance <= 1:
        return ((a + 2) * distance - (a + 3)) * distance * distance + 1
    return ((distance - 5) * distance + 8) * distance * a - 4 * a


def _gathered(taps: list[tuple[int, Fraction]], inputs: int) -> dict[int, Fraction]:
    row: dict[int, Fraction] = {}
    for place, weight in taps:
        place = min(max(place, 0), inputs - 1)
        row[place] = row.get(place, Fraction(0)) + weight
    return {place: weight for place, weight in row.items() if weight}
