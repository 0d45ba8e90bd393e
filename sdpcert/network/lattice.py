"""The coarsest lattice of a convolutional front: which values are images on it, and the torus that it needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer
from sdpcert.network.filters import NotInvariant, Pixels, per_channel
from sdpcert.network.nodes import LayerGraph

Array = np.ndarray
Level = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Lattice:
    """The lattice of the front of a network that ends at the value `cut`.

    `levels` are the strides along both axes between the input and every value that is an image; `trunk` are the values
    that the cut depends on, in order; a pixel of level `total` is a cell.
    """

    network: LayerGraph
    levels: dict[int, Level]
    cut: int
    trunk: list[int]
    total: Level

    @staticmethod
    def of(network: LayerGraph) -> Lattice:
        """The lattice of a network.

        Raises ValueError if the network does not begin with shift-invariant layers.
        """
        if len(network.input_shape) != 3:
            raise ValueError(
                "the condition over frequencies needs an image (channels, height, width) as input, "
                f"not {network.input_shape}"
            )
        levels, reasons = _levels(network)
        cut = _cut(network, levels)
        convolved = any(_reads_images(node.layer) for node in network.nodes[:cut])
        if cut is None or not (convolved or cut == network.output):
            reason = next(iter(reasons.values()), "there is no convolution before an activation")
            raise ValueError(f"the network has no convolutional front for the condition over frequencies: {reason}")
        trunk = network.path(0, cut)
        total = tuple(int(np.lcm.reduce([levels[k][axis] for k in {0, *trunk}])) for axis in range(2))
        return Lattice(network, levels, cut, trunk, (total[0], total[1]))

    def phases(self, level: Level) -> tuple[int, int]:
        """Pixels of a cell along both axes, for an image of that level."""
        return self.total[0] // level[0], self.total[1] // level[1]

    def torus(self, asked: tuple[int, int] | None) -> tuple[int, int]:
        """The smallest torus on which nothing wraps around into the image, or the one that is asked for.

        Raises ValueError if none is right, or the one asked for is too small.
        """
        least, exact = [1, 1], [0, 0]
        for number in {0, *self.trunk}:
            phases = self.phases(self.levels[number])
            for axis in range(2):
                least[axis] = max(least[axis], -(-self.network.shape(number)[1 + axis] // phases[axis]))
        padded = False
        for number in self.trunk:
            pixels = self._pixels(number)
            if pixels is None:
                continue
            source = self.network.nodes[number - 1].inputs[0]
            phases, shape = self.phases(self.levels[source]), self.network.shape(source)
            for axis in range(2):
                size = shape[1 + axis]
                if pixels.circular:
                    if size % phases[axis] or exact[axis] not in (0, size // phases[axis]):
                        raise ValueError(f"layer {number}: circular padding needs an image that the strides divide")
                    exact[axis] = size // phases[axis]
                else:
                    padded |= pixels.lowest[axis] < 0 or pixels.highest[axis] >= size
                    needed = max(size - min(pixels.lowest[axis], 0), pixels.highest[axis] + 1)
                    least[axis] = max(least[axis], -(-needed // phases[axis]))
        if any(exact) and padded:
            raise ValueError("circular and zero padding in one network have no common torus; certify it unrolled")
        if any(e and n > e for n, e in zip(least, exact, strict=True)):
            raise ValueError("circular padding makes an image larger than the torus; certify the network unrolled")
        smallest = (exact[0] or least[0], exact[1] or least[1])
        if asked is None:
            return smallest
        if any(a != s if e else a < s for a, s, e in zip(asked, smallest, exact, strict=True)):
            raise ValueError(f"a torus of {asked} cells is not valid for this network; it needs {smallest} or more")
        return asked

    def _pixels(self, number: int) -> Pixels | None:
        node = self.network.nodes[number - 1]
        if isinstance(node.layer, Activation):
            return None
        return node.layer.pixels(self.network.shape(node.inputs[0]), node.shape)

    def places(self, shape: tuple[int, ...], level: Level, torus: tuple[int, int]) -> Array:
        """Where the entries of an image lie in the signal on a torus, both flat."""
        py, px = self.phases(level)
        c, y, x = np.indices(shape)
        channel = (c * py + y % py) * px + x % px
        return np.ravel(((channel * torus[0]) + y // py) * torus[1] + x // px)


def _levels(network: LayerGraph) -> tuple[dict[int, Level], dict[int, str]]:
    """The level of every value that is an image on the lattice, and why the others are not."""
    levels: dict[int, Level] = {0: (1, 1)}
    reasons: dict[int, str] = {}
    shapes = [network.input_shape, *(n.shape for n in network.nodes)]
    for number, node in enumerate(network.nodes, start=1):
        if any(k not in levels for k in node.inputs):
            continue
        given = {levels[k] for k in node.inputs}
        try:
            if len(given) != 1:
                raise NotInvariant("branches of different strides are joined")
            levels[number] = _level(node.layer, given.pop(), shapes[node.inputs[0]], node.shape)
        except NotInvariant as error:
            reasons[number] = f"layer {number}: {error}"
    return levels, reasons


def _reads_images(layer: AffineLayer | Activation) -> bool:
    return isinstance(layer, AffineLayer) and layer.reads_images


def _level(layer: AffineLayer | Activation, level: Level, shape: tuple[int, ...], output: tuple[int, ...]) -> Level:
    if len(output) != 3:
        raise NotInvariant("its output is no image")
    if isinstance(layer, Activation):
        if layer.coupled > 1:
            raise NotInvariant("it takes norms of several entries")
        for slopes in (layer.alpha, layer.beta):
            per_channel(slopes, output)
        return level
    if shape[1:] == output[1:] == (1, 1) and not (layer.reads_images or layer.is_pointwise):
        raise NotInvariant("its output is no image")
    stride = layer.pixels(shape, output).stride
    return level[0] * stride[0], level[1] * stride[1]


def _cut(network: LayerGraph, levels: dict[int, Level]) -> int | None:
    """The output if it is an image on the lattice, else the latest activation that all later nodes depend on the
    front by.
    """
    if network.output in levels and network.output:
        return network.output
    needed = network.path(0, network.output)
    for k in reversed(needed):
        if k not in levels or not isinstance(network.nodes[k - 1].layer, Activation):
            continue
        after = {k}  # the values that depend on the front by this one alone
        for later in needed:
            if all(i in after for i in network.nodes[later - 1].inputs):
                after.add(later)
        if network.output in after:
            return k
    return None
