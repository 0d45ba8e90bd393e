"""The form on a torus of a convolutional front: every value as filters of the input and of groups of neurons.

A zero-padded image becomes a signal on a torus that is larger than the image by at least what the layers read beyond
it. Neurons outside the image do not exist: they are neurons of slope 0 there, and 0 is made part of the slope
interval. So every bound for all networks on the torus with these slopes holds for the network. Circular convolutions
need no margin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer, Scale
from sdpcert.network.channel_sharing import ChannelSharing, share_channels
from sdpcert.network.doubled_filters import DoubledCombination
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.filters import Carried, Combination, Filters, Pixels, Stencil, per_channel
from sdpcert.network.graph import Network
from sdpcert.network.lattice import Lattice, Level
from sdpcert.network.piecewise_linear import Crop
from sdpcert.network.torus import Image, Taps, TorusForm, TorusGroup

Array = np.ndarray


@dataclass(eq=False)
class _Value:
    """An image as an affine combination of sources on the coarse lattice."""

    shape: tuple[int, ...]
    level: Level
    parts: dict[int, Carried]
    constant: Array
    clean: bool

    def rows(self, chosen: Array) -> _Value:
        """The value with the channels of the torus in the mask `chosen` alone; shape and constant are the image's."""
        pick = {(0, 0): np.eye(len(chosen))[chosen]}
        return replace(self, parts={source: part.after(pick) for source, part in self.parts.items()})


@dataclass(frozen=True, eq=False)
class _Source:
    """A group of neurons: its number, the column of every channel of the torus (-1: none), lattice and image."""

    number: int
    columns: Array
    level: Level
    shape: tuple[int, ...]


class TorusBuilder:
    """Carries the values of a front as filters of the sources and collects the groups and blocks of its form."""

    def __init__(self, network: Network, lattice: Lattice, torus: tuple[int, int], share: bool) -> None:
        self.network, self.lattice, self.torus = network, lattice, torus
        self.sharing = network.sharing if share else {}
        self.filters: Callable[[Filters], Carried] = Combination if by_earlier_rules() else DoubledCombination.of
        self.values: dict[int, _Value] = {}
        self.groups: list[TorusGroup] = []
        self.blocks: dict[tuple[int, int], Taps] = {}
        self.notes: list[str] = []
        self._sources: dict[int, _Source] = {}

    def form(self) -> TorusForm:
        """The form of the front, whose output is the value at the cut."""
        network, lattice = self.network, self.lattice
        channels = network.input_shape[0] * int(np.prod(lattice.total))
        identity = self.filters({(0, 0): np.eye(channels)})
        self.values[0] = _Value(network.input_shape, (1, 1), {0: identity}, np.zeros(network.input_shape), True)
        for number in lattice.trunk:
            node = network.nodes[number - 1]
            arguments = [self.values[k] for k in node.inputs]
            if isinstance(node.layer, Crop):
                self.values[number] = arguments[0] if arguments[0].clean else self._gate(arguments[0], number)
            elif isinstance(node.layer, Activation) and not node.layer.is_linear:
                self.values[number] = self._activate(node.layer, arguments[0], number)
            else:
                self.values[number] = self._affine(node.layer, arguments, number)
        value, row = self.values[lattice.cut], len(self.groups) + 1
        self._store(row, value)
        outputs = value.shape[0] * self._pixels(value.level)
        return TorusForm(self.torus, channels, outputs, tuple(self.groups), self.blocks, notes=tuple(self.notes))

    @property
    def output_group(self) -> int:
        """The group of neurons that the value at the cut is, 0 if it is something else."""
        value = self.values[self.lattice.cut]
        own = [s for s, part in value.parts.items() if s and part.is_identity]
        return own[0] if len(value.parts) == 1 and own and not np.any(value.constant) else 0

    def places(self, number: int) -> Array:
        """Where the entries of a value lie in the signal on the torus, both flat."""
        return self._places(self.values[number])

    def _places(self, value: _Value) -> Array:
        return self.lattice.places(value.shape, value.level, self.torus)

    def _pixels(self, level: Level) -> int:
        """Pixels of a cell."""
        return int(np.prod(self.lattice.phases(level)))

    def _affine(self, layer: AffineLayer | Activation, arguments: list[_Value], number: int) -> _Value:
        first, shape = arguments[0], self.network.shape(number)
        level = self.lattice.levels[number]
        if isinstance(layer, Activation):
            layer = Scale(np.broadcast_to(np.asarray(layer.alpha, dtype=float), shape))
        if layer.is_pointwise:
            given, shapes = [a.parts for a in arguments], [a.shape for a in arguments]
            constant = layer(*(a.constant[None] for a in arguments))[0]
            parts = layer.carried(given, shapes, self._pixels(level), self.filters({}))
            return _Value(shape, level, parts, constant, all(a.clean for a in arguments))
        picture = layer.stencil(first.shape, shape)
        if not first.clean and self._reads_outside(picture.pixels, first):
            first = self._gate(first)
        left = picture.filters(self.lattice.phases(first.level), self.lattice.phases(level))
        clean = first.clean and not by_earlier_rules() and self._stays_inside(picture, first, shape, level)
        parts = {s: part.after(left, layer.coefficient_error) for s, part in first.parts.items()}
        return _Value(shape, level, parts, layer(first.constant[None])[0], clean)

    def _reads_outside(self, pixels: Pixels, value: _Value) -> bool:
        if pixels.circular:
            return False
        return any(pixels.lowest[a] < 0 or pixels.highest[a] >= value.shape[1 + a] for a in range(2))

    def _stays_inside(self, picture: Stencil, value: _Value, shape: tuple[int, ...], level: Level) -> bool:
        """Whether the layer makes nothing outside of its image of what is inside of the value's (as pooling does)."""
        for shift in picture.taps:
            touched, leaves = True, False
            for axis in range(2):
                pixels = np.arange(self.torus[axis] * self.lattice.phases(level)[axis])
                turn = self.torus[axis] * self.lattice.phases(value.level)[axis]
                read = (pixels * picture.pixels.stride[axis] + shift[axis]) % turn < value.shape[1 + axis]
                touched &= bool(np.any(read))
                leaves |= bool(np.any(read & (pixels >= shape[1 + axis])))
            if touched and leaves:
                return False
        return True

    def _gate(self, value: _Value, node: int = 0) -> _Value:
        """Crop a value that no activation has cropped: neurons that pass everything inside and nothing outside.

        `node` is the value of the `Crop` that asks for it, 0 where none does.
        """
        self.notes.append("a residual stream is cropped by neurons of slope [0, 1], which may loosen the bound")
        return self._activate(Crop(lowest=0.0), value, node)

    def _activate(self, activation: Activation, value: _Value, node: int) -> _Value:
        """Neurons for what a value holds; `node` is the activation's value, whose channels may be known already."""
        index, channels = self._places(value), value.shape[0] * self._pixels(value.level)
        inside = np.zeros(channels * int(np.prod(self.torus)))
        inside[index] = 1.0
        bias = np.zeros_like(inside)
        bias[index] = value.constant.ravel()
        alpha, beta = (
            np.repeat(per_channel(slopes, value.shape), channels // value.shape[0])
            for slopes in (activation.alpha, activation.beta)
        )
        if not np.all(inside):
            alpha, beta = np.minimum(alpha, 0.0), np.maximum(beta, 0.0)
        shape = (channels, *self.torus)
        image = Image(node, value.shape, index, np.ones(channels, dtype=bool))
        group = TorusGroup(activation, alpha, beta, bias.reshape(shape), inside.reshape(shape), image)
        known = self._known_channels(node, value, bool(np.all(inside)))
        new = np.repeat(known.node == node, channels // value.shape[0])
        if np.any(new):
            number = len(self.groups) + 1
            self._store(number, value if np.all(new) else value.rows(new))
            self.groups.append(group if np.all(new) else group.select(new))
            self._sources[node] = _Source(number, np.where(new, np.cumsum(new) - 1, -1), value.level, value.shape)
        return self._outputs(value, known, channels)

    def _known_channels(self, node: int, value: _Value, whole: bool) -> ChannelSharing:
        """Which channels depend on earlier ones.

        What is read may lie outside the image, where neurons are zero: unless the image is the `whole` torus, a channel
        is a multiple of an earlier one or new.
        """
        known = share_channels(self.sharing.get(node), node, value.shape)
        phases = self._pixels(value.level)
        for c in range(len(known.node)):
            source = self._sources.get(int(known.node[c]))
            if known.node[c] == node:
                continue
            alike = source is not None and (source.level, source.shape[1:]) == (value.level, value.shape[1:])
            if (
                source is None
                or not alike
                or source.columns[known.channel[c] * phases] < 0
                or (known.through[c] and not whole)
            ):
                known.forget(c, node)
        return known

    def _outputs(self, value: _Value, known: ChannelSharing, channels: int) -> _Value:
        """The outputs of an activation by the sources that its channels are."""
        phases = channels // value.shape[0]
        parts: dict[int, Carried] = {}
        for node in np.unique(known.node):
            source = self._sources[int(node)]
            matrix = np.zeros((channels, self.groups[source.number - 1].size))
            for c in np.flatnonzero(known.node == node):
                rows = np.arange(c * phases, (c + 1) * phases)
                matrix[rows, source.columns[rows + (known.channel[c] - c) * phases]] = known.gain[c]
            parts[source.number] = self.filters({(0, 0): matrix})
        through, constant = known.through[:, None, None] * value.constant, known.shift[:, None, None]
        if np.any(known.through):
            factor = {(0, 0): np.diag(np.repeat(known.through, phases))}
            for source, part in value.parts.items():
                moved = part.after(factor)
                parts[source] = parts[source].plus(moved, 1.0) if source in parts else moved
        return _Value(value.shape, value.level, parts, through + constant, not np.any(known.through))

    def _store(self, to: int, value: _Value) -> None:
        for source, part in sorted(value.parts.items(), key=lambda item: item[0]):
            wrapped = part.wrapped(self.torus)
            cells, radius = wrapped.filters, wrapped.error
            if not cells:
                continue
            offsets = sorted(cells)
            radius = float(np.nextafter(radius, np.inf)) if radius > 0 else 0.0
            self.blocks[to, source] = Taps(np.array(offsets), np.array([cells[o] for o in offsets]), radius)
