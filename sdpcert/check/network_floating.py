"""A network in NumPy, and what rounding loses in products with its weights; needs NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .activations import PiecewiseLinear, Smooth, Unknown
from .blocks import Block
from .lines_floating import BrokenLines, Curves, SmoothCurves, UnknownCurves
from .network import Network
from .reading import Rejected
from .rounding import RANGE, SLACK, TINY, U, gamma, total

Array = np.ndarray

#: Weights below this are taken as zero and as uncertain, so that no product of them underflows unnoticed.
FLUSHED = 1e-100


class Weights:
    """One block: every true weight is within `radius`, and one relative rounding if `rounded`, of that in `matrix`."""

    def __init__(self, block: Block) -> None:
        shape = (block.rows, block.columns)
        self.target, self.source, self.radius = block.target, block.source, block.radius
        self.matrix = np.asarray(block.weights).reshape(shape)
        self.rounded = block.low is not None
        if block.low is not None:
            self.matrix = self.matrix + np.asarray(block.low).reshape(shape)
        size = np.abs(self.matrix)
        tiny = (size < FLUSHED) & (size > 0)
        if np.any(tiny):
            self.matrix = np.where(tiny, 0.0, self.matrix)
            self.radius = (self.radius + FLUSHED) * SLACK
        if not np.all(np.isfinite(self.matrix)):
            raise Rejected(RANGE)


class Sizes:
    """Bounds of the absolute values of what a block reads, and sums with weights, which descendants of a piece share.

    What bounds them on a piece does so on all pieces within it.
    """

    def __init__(self, sizes: Array) -> None:
        self.sizes = sizes
        finite = np.isfinite(sizes)
        self.sum, self.finite_sum = float(sizes.sum()), float(sizes[finite].sum())
        self._sums: dict[int, Array] = {}

    def refined(self, sizes: Array) -> Sizes:
        """Those of a piece within: these again unless the others are much smaller."""
        smaller = np.sum(np.isfinite(sizes)) > np.sum(np.isfinite(self.sizes))
        other = Sizes(sizes)
        return other if smaller or not other.finite_sum >= self.finite_sum / 2 else self

    def weighed(self, weights: Weights) -> Array:
        """Bounds of `|K| @ sizes`."""
        key = id(weights)  # they live as long as the network
        if key not in self._sums:
            self._sums[key] = total(weights.matrix, self.sizes)
        return self._sums[key]

    def charges(self, weights: Weights, steps: int) -> tuple[Array, Array]:
        """What each row of K costs a bound: by coefficient, if it is multiplied in sums of `steps`, and if it is taken.

        A row of coefficients C loses at most |C| times the first to the rounding of `C @ K`, and to what is uncertain
        in K; a coefficient 1 or -1 alone loses the second.
        """
        weighed = self.weighed(weights)
        uncertain = np.full(len(weighed), self.sum * weights.radius * SLACK if weights.radius else 0.0)
        if weights.rounded:
            uncertain = uncertain + 2 * U * weighed
        rounding = gamma(steps + 2) * weighed + steps * 1e-323 * self.finite_sum
        return (rounding + uncertain) * SLACK + TINY, uncertain * SLACK


class FloatingNetwork:
    """The blocks by target, and arrays by group (index 0 is group 1)."""

    def __init__(self, network: Network) -> None:
        self.inputs, self.outputs, self.groups = network.inputs, network.outputs, len(network.groups)
        self.uncertain = network.uncertain
        self.sizes = [network.inputs, *(group.size for group in network.groups), network.outputs]
        self.blocks: list[list[Weights]] = [[] for _ in self.sizes]
        for block in network.blocks:
            self.blocks[block.target].append(Weights(block))
        self.alpha = [np.array(group.alpha) for group in network.groups]
        self.beta = [np.array(group.beta) for group in network.groups]
        self.bias = [np.array(group.bias) for group in network.groups]
        self.bias_radius = [np.array(group.bias_radius) for group in network.groups]
        self.curves = [CURVES[type(group.activation)](group.activation) for group in network.groups]


def _broken_lines(activation: PiecewiseLinear) -> Curves:
    parts = activation.starts, activation.slopes, activation.values
    return BrokenLines(*([np.array(numbers) for numbers in part] for part in parts))


CURVES: dict[type, Callable[[Any], Curves]] = {
    PiecewiseLinear: _broken_lines,
    Smooth: lambda activation: SmoothCurves(activation.function),
    Unknown: lambda _: UnknownCurves(),
}
