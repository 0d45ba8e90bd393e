"""A network of shift-invariant maps on a torus: what a convolutional network becomes once its image is embedded.

A signal assigns a vector of channels to every cell of a torus of `rows` by `columns` cells. Strided networks live on
the coarsest lattice, a finer layer's pixels of one cell being channels of their own (polyphase, space to depth).
`Taps` is a matrix of finite filters, `TorusForm` the stacked form with such matrices in place of numbers.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.network.activation import Activation
from sdpcert.network.filters import per_channel
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Taps(ShortRepr):
    """The map `y[cell] = sum_m weights[m] @ x[cell + offsets[m]]` on a torus.

    `offsets` has shape (taps, 2), distinct rows of integers (row, column), in ascending order; `weights` has shape
    (taps, out, in). Every entry of `weights` is known up to `radius`.
    """

    offsets: Array
    weights: Array
    radius: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", error_bound.largest(self.radius))

    @property
    def shape(self) -> tuple[int, int]:
        """Channels out and in."""
        return self.weights.shape[1], self.weights.shape[2]

    @property
    def moving(self) -> Array:
        """The pairs of channels that are not certainly unconnected, shape (out, in)."""
        return np.any(self.weights != 0, axis=0) | (self.radius > 0)

    def symbol(self, frequency: tuple[int, int], torus: tuple[int, int]) -> Array:
        """`sum_m weights[m] exp(2 pi i (k1 o1 / rows + k2 o2 / columns))`, complex, shape (out, in)."""
        turns = sum(np.remainder(frequency[a] * self.offsets[:, a], torus[a]) / torus[a] for a in range(2))
        return np.tensordot(np.exp(2j * np.pi * np.asarray(turns)), self.weights, axes=1)

    def __call__(self, signal: Array) -> Array:
        """Apply to a signal of shape (batch, in, rows, columns)."""
        result = 0.0
        for (row, column), weight in zip(self.offsets, self.weights, strict=True):
            moved = np.roll(signal, (-int(row), -int(column)), axis=(2, 3))
            result = result + np.einsum("oi,birc->borc", weight, moved)
        return np.asarray(result)


@dataclass(frozen=True, eq=False)
class Image(ShortRepr):
    """Where the image that an activation reads lies on a torus.

    `value` is the number of the activation's value in the network, `shape` its shape (channels, height, width),
    `places` where its entries lie in the torus's signal (flat, row major). Of the channels of that signal only those in
    the mask `kept` are neurons.
    """

    value: int
    shape: tuple[int, ...]
    places: Array
    kept: Array

    def select(self, keep: Array) -> Image:
        """The image of which only the neurons in the mask `keep` are left."""
        kept = self.kept.copy()
        kept[self.kept] = keep
        return replace(self, kept=kept)

    def evaluate(self, activation: Activation, signal: Array) -> Array:
        """The activation on the image, zero elsewhere, for a batch of signals of the channels that are neurons."""
        full = np.zeros((len(signal), len(self.kept), *signal.shape[2:]))
        full[:, self.kept] = signal
        flat = full.reshape(len(signal), -1)
        images = flat[:, self.places].reshape(-1, *self.shape)
        flat[:] = 0.0
        flat[:, self.places] = activation(images).reshape(len(signal), -1)
        return full[:, self.kept]

    def per_channel(self, values: float | Array) -> Array:
        """One entry per channel of neurons of what broadcasts against the image; raises ValueError if it varies over
        the pixels of a channel.
        """
        pixels = len(self.kept) // self.shape[0]
        return np.repeat(per_channel(values, self.shape), pixels)[self.kept]


@dataclass(frozen=True, eq=False)
class TorusGroup(ShortRepr):
    """Neurons with the same activation: one entry of `alpha` and `beta` per channel, the same in every cell.

    `bias` has shape (channels, rows, columns), `inside` the same shape: 1 where the neuron exists in the network, 0
    where it was cropped (it is then constantly zero, which is a slope of 0 within [alpha, beta]). `image` says which
    neurons of a network these are; without one the activation is applied to all entries alike.
    """

    activation: Activation
    alpha: Array
    beta: Array
    bias: Array
    inside: Array
    image: Image | None = None

    @property
    def size(self) -> int:
        """Number of channels."""
        return len(self.alpha)

    def evaluate(self, preactivations: Array) -> Array:
        """The neurons' outputs, on a batch of preactivations of shape (batch, channels, rows, columns)."""
        if self.image is None:
            return self.activation(preactivations) * self.inside
        return self.image.evaluate(self.activation, preactivations) * self.inside

    def select(self, keep: Array) -> TorusGroup:
        """The group of the channels in the boolean mask `keep`."""
        image = None if self.image is None else self.image.select(keep)
        return TorusGroup(self.activation, self.alpha[keep], self.beta[keep], self.bias[keep], self.inside[keep], image)


@dataclass(frozen=True, eq=False)
class TorusForm(ShortRepr):
    """A network on a torus in blocks, numbered as in `StackedForm`: source 0 is the input, row `len(groups) + 1` the
    output.

    With `pooled` the output is one vector, the sum of the output signal over all cells.
    """

    torus: tuple[int, int]
    inputs: int
    outputs: int
    groups: tuple[TorusGroup, ...]
    blocks: dict[tuple[int, int], Taps]
    pooled: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def cells(self) -> int:
        """Number of cells of the torus."""
        return self.torus[0] * self.torus[1]

    @property
    def channels(self) -> int:
        """Channels of neurons, all groups: the number of multipliers."""
        return sum(g.size for g in self.groups)

    @property
    def neurons(self) -> int:
        """Neurons of the network that was embedded (cropped ones do not count)."""
        return int(sum(np.count_nonzero(g.inside) for g in self.groups))

    @property
    def output_row(self) -> int:
        """The number of the output in `blocks`."""
        return len(self.groups) + 1

    @property
    def sizes(self) -> list[int]:
        """Channels of the sources and of the output, in order."""
        return [self.inputs, *(g.size for g in self.groups), self.outputs]

    def row(self, to: int) -> dict[int, Taps]:
        """The blocks of one row by source."""
        return {source: block for (row, source), block in self.blocks.items() if row == to}

    @property
    def frequencies(self) -> list[tuple[int, int]]:
        """One of every pair of opposite frequencies."""
        rows, columns = self.torus
        return [
            (k, l)
            for k in range(rows)
            for l in range(columns)
            if (k, l) <= ((rows - k) % rows, (columns - l) % columns)
        ]

    def evaluate(self, signal: Array) -> Array:
        """The output without its offset for a batch of signals (batch, inputs, rows, columns)."""
        sources: list[Any] = [np.asarray(signal, dtype=float)]
        for number, group in enumerate(self.groups, start=1):
            value = self._combine(number, sources) + group.bias
            sources.append(group.evaluate(value))
        result = self._combine(self.output_row, sources)
        return result.sum(axis=(2, 3)) if self.pooled else result

    def _combine(self, to: int, sources: list[Any]) -> Array:
        total = np.zeros((len(sources[0]), self.sizes[to], *self.torus))
        for source, block in self.row(to).items():
            total += block(sources[source])
        return total

    def reduced(self, protected: int = 0) -> TorusForm:
        """Without channels that are constant or do not reach the output; exact. Group `protected` stays as it is."""
        keep = [np.ones(size, dtype=bool) for size in self.sizes]
        for number in range(1, self.output_row):  # constant: nothing that moves moves them
            if number != protected:
                keep[number] = np.zeros(self.groups[number - 1].size, dtype=bool)
                for source, block in self.row(number).items():
                    keep[number] |= block.moving[:, keep[source]].any(axis=1)
        for number in range(len(self.groups), 0, -1):  # dead: nothing that reaches the output reads them
            if number != protected:
                read = np.zeros(self.groups[number - 1].size, dtype=bool)
                for (to, source), block in self.blocks.items():
                    if source == number:
                        read |= block.moving[keep[to]].any(axis=0)
                keep[number] &= read
        if all(k.all() for k in keep):
            return self
        kept = [0, *(n for n in range(1, self.output_row) if keep[n].any()), self.output_row]
        blocks: dict[tuple[int, int], Taps] = {}
        for (to, source), block in self.blocks.items():
            if to in kept and source in kept:
                weights = block.weights[:, keep[to]][:, :, keep[source]]
                if block.radius > 0 or np.any(weights):
                    blocks[kept.index(to), kept.index(source)] = replace(block, weights=weights)
        groups = tuple(self.groups[n - 1].select(keep[n]) for n in kept[1:-1])
        return replace(self, groups=groups, blocks=blocks)

    @property
    def sha256(self) -> str:
        """Hash of torus, sizes, slopes and blocks as `docs/certificate-format.md` defines it."""
        digest = hashlib.sha256(b"sdpcert-torus-1")
        digest.update(struct.pack("<6q", *self.torus, self.inputs, self.outputs, len(self.groups), int(self.pooled)))
        for group in self.groups:
            digest.update(struct.pack("<q", group.size))
            digest.update(group.alpha.astype("<f8").tobytes() + group.beta.astype("<f8").tobytes())
        for (to, source), block in sorted(self.blocks.items()):
            digest.update(struct.pack("<3q", to, source, len(block.offsets)) + struct.pack("<d", block.radius))
            digest.update(np.ascontiguousarray(block.offsets, dtype="<i8").tobytes())
            digest.update(np.ascontiguousarray(block.weights, dtype="<f8").tobytes())
        return digest.hexdigest()
