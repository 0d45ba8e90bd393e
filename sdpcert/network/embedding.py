"""The convolutional front of a network, embedded in a torus.

A zero-padded image becomes a signal on a torus that is larger than the image by at least what the layers read beyond
it. Neurons outside the image do not exist: they are neurons of slope 0 there, and 0 is made part of the slope
interval. So every bound for all networks on the torus with these slopes holds for the network. Circular convolutions
need no margin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer, Concat, Scale, Sum
from sdpcert.network.channel_sharing import ChannelSharing, share_channels
from sdpcert.network.channel_sums import reads_channel_sums
from sdpcert.network.doubled_filters import DoubledCombination
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.filters import Carried, Combination, Filters, NotInvariant, Pixels, Stencil, stencil
from sdpcert.network.graph import Network
from sdpcert.network.layouts import Arranged, arranged
from sdpcert.network.piecewise_linear import Crop
from sdpcert.network.torus import Image, Taps, TorusForm, TorusGroup, per_channel

Array = np.ndarray
Level = tuple[int, int]
#: A head's matrix is looked at for a mean over the image up to this many entries.
LARGEST_HEAD = 50_000_000


@dataclass(frozen=True, eq=False)
class Embedding:
    """The front of a network as a `TorusForm`, and what follows.

    `input_index[j]` is where number j of the input sits in the torus's input signal (flat index of (channels, rows,
    columns)), `output_index` the same for the numbers of the value at the cut (empty where the form is pooled),
    `output_group` the group of neurons that the cut is (0 where it is something else), `head` the network that reads
    the cut, or None; `cut` is the number of the value at the cut in `arrangement`, the network as `layouts.arranged`
    writes it, whose output has the network's output k at place `output_order[k]`.
    """

    form: TorusForm
    image: tuple[int, int, int]
    input_index: Array
    output_index: Array
    output_group: int
    head: Network | None
    cut: int
    arrangement: Arranged

    @property
    def output_order(self) -> Array:
        """The place of every output of the network in the output of `arrangement`."""
        return self.arrangement.outputs

    def signal(self, inputs: Array) -> Array:
        """The torus signals of a batch of inputs."""
        inputs = np.asarray(inputs, dtype=float).reshape(-1, len(self.input_index))
        result = np.zeros((len(inputs), self.form.inputs * self.form.cells))
        result[:, self.input_index] = inputs
        return result.reshape(len(inputs), self.form.inputs, *self.form.torus)

    def value(self, inputs: Array) -> Array:
        """The value at the cut (the output, if there is no head) without its offset, shape (batch, size)."""
        output = self.form.evaluate(self.signal(inputs)).reshape(len(inputs), -1)
        return output if self.form.pooled else output[:, self.output_index]


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


def embed(network: Network, torus: tuple[int, int] | None = None, share: bool = True) -> Embedding:
    """Embed the convolutional front of a network in a torus, the smallest valid one or one of `torus` cells.

    With `share` channels that read the same are one channel. By `earlier_rules` none are, images are in the order of
    (channels, height, width) alone, pooled images are cropped once more, and filters have no low part. Raises
    ValueError if the network does not begin with shift-invariant layers, or if the torus asked for is too small.
    """
    original, arrangement = network, Arranged.unchanged(network) if by_earlier_rules() else arranged(network)
    network = arrangement.network
    if len(network.input_shape) != 3:
        raise ValueError(
            "the condition over frequencies needs an image (channels, height, width) as input, "
            f"not {network.input_shape}"
        )
    levels, reasons = _levels(network)
    cut = _cut(network, levels)
    if cut is None or not any(hasattr(network.nodes[k - 1].layer, "kernel") for k in range(1, cut + 1)):
        reason = next(iter(reasons.values()), "there is no convolution before an activation")
        raise ValueError(f"the network has no convolutional front for the condition over frequencies: {reason}")
    trunk = _needed(network, cut)
    total = tuple(int(np.lcm.reduce([levels[k][axis] for k in {0, *trunk}])) for axis in range(2))
    builder = _Builder(arrangement, levels, (total[0], total[1]), share and not by_earlier_rules())
    size = builder.choose_torus(trunk, torus)
    embedding = builder.build(trunk, cut, size)
    if embedding.head is not None:
        pooled = _pooled(embedding, builder.values[cut])
        embedding = embedding if pooled is None else pooled
    embedding = _in_order(embedding)
    _compare(original, embedding)
    return embedding


def _in_order(embedding: Embedding) -> Embedding:
    """The embedding with the entries of input and output counted as the original network counts them."""
    arrangement = embedding.arrangement
    index = np.empty_like(embedding.input_index)
    index[arrangement.inputs] = embedding.input_index
    embedding = replace(embedding, input_index=index)
    if embedding.head is None and not embedding.form.pooled:
        return replace(embedding, output_index=embedding.output_index[arrangement.outputs])
    return embedding


def _levels(network: Network) -> tuple[dict[int, Level], dict[int, str]]:
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


def _level(layer: AffineLayer | Activation, level: Level, shape: tuple[int, ...], output: tuple[int, ...]) -> Level:
    if len(output) != 3:
        raise NotInvariant("its output is no image")
    if isinstance(layer, Activation):
        for slopes in (layer.alpha, layer.beta):
            per_channel(slopes, output)
        return level
    if isinstance(layer, Scale):
        per_channel(layer.factor, output)
        if layer.coefficient_error and any(n > 1 for n in np.shape(layer.factor)[-2:]) and np.ndim(layer.factor) > 1:
            raise NotInvariant("its coefficients were rounded pixel by pixel")
        return level
    if isinstance(layer, Sum):
        return level
    if isinstance(layer, Concat):
        if layer.axis not in (0, -3):
            raise NotInvariant("images are joined side by side")
        return level
    if shape[1:] == output[1:] == (1, 1) and not hasattr(layer, "kernel"):
        raise NotInvariant("its output is no image")
    stride = stencil(layer, shape, output).pixels.stride
    return level[0] * stride[0], level[1] * stride[1]


def _needed(network: Network, value: int) -> list[int]:
    """The nodes that a value depends on, itself included, in order."""
    needed, open_values = set(), [value]
    while open_values:
        k = open_values.pop()
        if k and k not in needed:
            needed.add(k)
            open_values.extend(network.nodes[k - 1].inputs)
    return sorted(needed)


def _cut(network: Network, levels: dict[int, Level]) -> int | None:
    """The output if it is an image on the lattice, else the latest activation that all later nodes depend on the
    front by.
    """
    if network.output in levels and network.output:
        return network.output
    needed = _needed(network, network.output)
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


class _Builder:
    def __init__(self, arrangement: Arranged, levels: dict[int, Level], total: Level, share: bool) -> None:
        self.filters: Callable[[Filters], Carried] = Combination if by_earlier_rules() else DoubledCombination.of
        self.arrangement, self.levels, self.total, self.share = arrangement, levels, total, share
        self.network = network = arrangement.network
        self.shapes = [network.input_shape, *(n.shape for n in network.nodes)]
        self.values: dict[int, _Value] = {}
        self.groups: list[TorusGroup] = []
        self.blocks: dict[tuple[int, int], Taps] = {}
        self.notes: list[str] = []
        self.torus = (0, 0)
        self._sources: dict[int, _Source] = {}

    def phases(self, level: Level) -> tuple[int, int]:
        """Pixels of a cell, an axis."""
        return self.total[0] // level[0], self.total[1] // level[1]

    def choose_torus(self, trunk: list[int], asked: tuple[int, int] | None) -> tuple[int, int]:
        """The smallest torus on which nothing wraps around into the image; raises ValueError where none is right."""
        least, exact = [1, 1], [0, 0]
        for number in {0, *trunk}:
            phases = self.phases(self.levels[number])
            for axis in range(2):
                least[axis] = max(least[axis], -(-self.shapes[number][1 + axis] // phases[axis]))
        padded = False
        for number in trunk:
            pixels = self._pixels(number)
            if pixels is None:
                continue
            source = self.network.nodes[number - 1].inputs[0]
            phases, shape = self.phases(self.levels[source]), self.shapes[source]
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
        if isinstance(node.layer, Activation | Scale | Sum | Concat):
            return None
        return stencil(node.layer, self.shapes[node.inputs[0]], node.shape).pixels

    def build(self, trunk: list[int], cut: int, torus: tuple[int, int]) -> Embedding:
        """Carry every value of the trunk as filters of the sources."""
        network, self.torus = self.network, torus
        channels = network.input_shape[0] * int(np.prod(self.total))
        identity = self.filters({(0, 0): np.eye(channels)})
        self.values[0] = _Value(network.input_shape, (1, 1), {0: identity}, np.zeros(network.input_shape), True)
        for number in trunk:
            node = network.nodes[number - 1]
            arguments = [self.values[k] for k in node.inputs]
            if isinstance(node.layer, Crop):
                self.values[number] = arguments[0] if arguments[0].clean else self._gate(arguments[0], number)
            elif isinstance(node.layer, Activation) and not node.layer.is_linear:
                self.values[number] = self._activate(node.layer, arguments[0], number)
            else:
                self.values[number] = self._affine(node.layer, arguments, number)
        value, row = self.values[cut], len(self.groups) + 1
        self._store(row, value)
        form = TorusForm(
            torus,
            channels,
            value.shape[0] * int(np.prod(self.phases(value.level))),
            tuple(self.groups),
            self.blocks,
            notes=tuple(self.notes),
        )
        own = [s for s, part in value.parts.items() if s and part.is_identity]
        group = own[0] if len(value.parts) == 1 and own and not np.any(value.constant) else 0
        head = None if network.output == cut else network.between(cut, network.output)
        return Embedding(
            form,
            (network.input_shape[0], network.input_shape[1], network.input_shape[2]),
            self._index(self.values[0]),
            self._index(value),
            group,
            head,
            cut,
            self.arrangement,
        )

    def _affine(self, layer: AffineLayer | Activation, arguments: list[_Value], number: int) -> _Value:
        first, shape = arguments[0], self.shapes[number]
        level = self.levels[number]
        if isinstance(layer, Activation):
            layer = Scale(np.broadcast_to(np.asarray(layer.alpha, dtype=float), shape))
        if isinstance(layer, Sum):
            parts: dict[int, Carried] = {}
            for sign, argument in zip(layer.signs, arguments, strict=True):
                for s, part in argument.parts.items():
                    parts[s] = parts.get(s, self.filters({})).plus(part, float(sign))
            clean = all(a.clean for a in arguments)
            return _Value(shape, level, parts, layer(*(a.constant[None] for a in arguments))[0], clean)
        if isinstance(layer, Concat):
            return self._concat(layer, arguments, shape, level)
        if isinstance(layer, Scale):
            factor = np.repeat(per_channel(layer.factor, shape), int(np.prod(self.phases(level))))
            left, uncertainty = {(0, 0): np.diag(factor)}, layer.coefficient_error
            clean = first.clean
        else:
            picture = stencil(layer, first.shape, shape)
            if not first.clean and self._reads_outside(picture.pixels, first):
                first = self._gate(first)
            left = picture.filters(self.phases(first.level), self.phases(level))
            uncertainty = getattr(layer, "coefficient_error", 0.0)
            clean = first.clean and not by_earlier_rules() and self._stays_inside(picture, first, shape, level)
        parts = {s: part.after(left, uncertainty) for s, part in first.parts.items()}
        return _Value(shape, level, parts, layer(first.constant[None])[0], clean)

    def _concat(self, layer: Concat, arguments: list[_Value], shape: tuple[int, ...], level: Level) -> _Value:
        pixels = int(np.prod(self.phases(level)))
        rows = shape[0] * pixels
        parts: dict[int, Carried] = {}
        first = 0
        for argument in arguments:
            size = argument.shape[0] * pixels
            for s, part in argument.parts.items():
                parts[s] = parts.get(s, self.filters({})).plus(part.placed(rows, first), 1.0)
            first += size
        constant = layer(*(a.constant[None] for a in arguments))[0]
        return _Value(shape, level, parts, constant, all(a.clean for a in arguments))

    def _reads_outside(self, pixels: Pixels, value: _Value) -> bool:
        if pixels.circular:
            return False
        return any(pixels.lowest[a] < 0 or pixels.highest[a] >= value.shape[1 + a] for a in range(2))

    def _stays_inside(self, picture: Stencil, value: _Value, shape: tuple[int, ...], level: Level) -> bool:
        """Whether the layer makes nothing outside of its image of what is inside of the value's (as pooling does)."""
        for shift in picture.taps:
            touched, leaves = True, False
            for axis in range(2):
                pixels = np.arange(self.torus[axis] * self.phases(level)[axis])
                turn = self.torus[axis] * self.phases(value.level)[axis]
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
        index, channels = self._index(value), value.shape[0] * int(np.prod(self.phases(value.level)))
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
        sharing = self.network.sharing.get(node) if self.share else None
        known = share_channels(sharing, node, value.shape)
        phases = int(np.prod(self.phases(value.level)))
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

    def _index(self, value: _Value) -> Array:
        """Flat places of the image's pixels in the torus's signal."""
        py, px = self.phases(value.level)
        c, y, x = np.indices(value.shape)
        channel = (c * py + y % py) * px + x % px
        return np.ravel(((channel * self.torus[0]) + y // py) * self.torus[1] + x // px)

    def _store(self, to: int, value: _Value) -> None:
        for source, part in sorted(value.parts.items(), key=lambda item: item[0]):
            wrapped = part.wrapped(self.torus)
            cells, radius = wrapped.filters, wrapped.error
            if not cells:
                continue
            offsets = sorted(cells)
            radius = float(np.nextafter(radius, np.inf)) if radius > 0 else 0.0
            self.blocks[to, source] = Taps(np.array(offsets), np.array([cells[o] for o in offsets]), radius)


def _pooled(embedding: Embedding, value: _Value) -> Embedding | None:
    """The embedding with its head folded in, where the head is an affine function of the sums over the image's
    channels.
    """
    head, group = embedding.head, embedding.output_group
    if head is None or not group or head.neurons or value.shape[1:] == (1, 1):
        return None  # the sum over an image of one pixel is that pixel, which the torus's other cells would only loosen
    outputs = int(np.prod(head.output_shape))
    if outputs * len(embedding.output_index) > LARGEST_HEAD or not reads_channel_sums(head):
        return None
    block = head.stacked.blocks.get((1, 0))
    if block is None or not block.finite:
        return None
    channels = embedding.output_index // embedding.form.cells
    weights = np.zeros((outputs, embedding.form.outputs))
    spread = 0.0
    for c in np.unique(channels):
        columns = block.weights[:, channels == c]
        weights[:, c] = (columns.min(axis=1) + columns.max(axis=1)) / 2
        spread = error_bound.largest(spread, np.abs(columns - weights[:, c : c + 1]))
    if not spread <= 1e-12 * float(np.max(np.abs(weights), initial=0.0)):
        return None
    if block.low is not None:  # filters have no low parts
        spread += error_bound.largest(np.abs(block.low))
    radius = error_bound.up(spread + block.radius)
    form = embedding.form
    blocks = {key: t for key, t in form.blocks.items() if key[0] != form.output_row}
    blocks[form.output_row, group] = Taps(np.zeros((1, 2), dtype=int), weights[None], radius)
    form = replace(form, outputs=outputs, blocks=blocks, pooled=True)
    return replace(embedding, form=form, output_index=np.zeros(0, dtype=int), output_group=0, head=None)


def _compare(network: Network, embedding: Embedding) -> None:
    """Evaluate both on random inputs, differences of two at a time: offsets of the output are not part of the form."""
    inputs = np.random.default_rng(0).standard_normal((3, *network.input_shape))
    expected = network(inputs).reshape(3, -1)
    found = embedding.value(inputs)
    if embedding.head is not None:
        cut = embedding.head.input_shape
        if embedding.output_group:
            found = embedding.head(found.reshape(3, *cut)).reshape(3, -1)[:, embedding.output_order]
        else:
            return
    difference = (expected[1:] - expected[:1]) - (found[1:] - found[:1])
    # Where the outputs' differences cancel, what is left of them is rounding of the outputs.
    size = float(np.max(np.abs(expected[1:] - expected[:1]), initial=0.0))
    rounding = 1e-6 * float(np.max(np.abs(expected), initial=0.0))
    if not np.max(np.abs(difference), initial=0.0) <= 1e-9 * max(size, rounding, 1e-300):
        raise ArithmeticError("the network on the torus differs from the network; please report this model")
