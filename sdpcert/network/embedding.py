"""The convolutional front of a network, embedded in a torus, and the head that reads it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.network.channel_sums import reads_channel_sums
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.graph import Network
from sdpcert.network.lattice import Lattice
from sdpcert.network.layouts import Arranged, arranged
from sdpcert.network.torus import Taps, TorusForm
from sdpcert.network.torus_builder import TorusBuilder
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: A head's matrix is looked at for a mean over the image up to this many entries.
LARGEST_HEAD = 50_000_000


@dataclass(frozen=True, eq=False)
class Embedding(ShortRepr):
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


def embed(network: Network, torus: tuple[int, int] | None = None, share: bool = True) -> Embedding:
    """Embed the convolutional front of a network in a torus, the smallest valid one or one of `torus` cells.

    With `share` channels that read the same are one channel. By `earlier_rules` none are, images are in the order of
    (channels, height, width) alone, pooled images are cropped once more, and filters have no low part. Raises
    ValueError if the network does not begin with shift-invariant layers, or if the torus asked for is too small.
    """
    arrangement = Arranged.unchanged(network) if by_earlier_rules() else arranged(network)
    front = arrangement.network
    lattice = Lattice.of(front)
    builder = TorusBuilder(front, lattice, lattice.torus(torus), share and not by_earlier_rules())
    embedding = Embedding(
        builder.form(),
        (front.input_shape[0], front.input_shape[1], front.input_shape[2]),
        builder.places(0),
        builder.places(lattice.cut),
        builder.output_group,
        None if front.output == lattice.cut else front.between(lattice.cut, front.output),
        lattice.cut,
        arrangement,
    )
    embedding = _in_order(_pooled(embedding))
    _compare(network, embedding)
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


def _pooled(embedding: Embedding) -> Embedding:
    """The embedding with its head folded in, if the head is an affine function of the sums over the image's channels,
    else as it is.
    """
    head, group = embedding.head, embedding.output_group
    if head is None or not group or head.neurons or head.input_shape[1:] == (1, 1):
        # The sum over an image of one pixel is that pixel, which the torus's other cells would only loosen.
        return embedding
    outputs = int(np.prod(head.output_shape))
    if outputs * len(embedding.output_index) > LARGEST_HEAD or not reads_channel_sums(head):
        return embedding
    block = head.stacked.blocks.get((1, 0))
    if block is None or not block.finite:
        return embedding
    channels = embedding.output_index // embedding.form.cells
    weights = np.zeros((outputs, embedding.form.outputs))
    spread = 0.0
    for c in np.unique(channels):
        columns = block.weights[:, channels == c]
        weights[:, c] = (columns.min(axis=1) + columns.max(axis=1)) / 2
        spread = error_bound.largest(spread, np.abs(columns - weights[:, c : c + 1]))
    if not spread <= 1e-12 * float(np.max(np.abs(weights), initial=0.0)):
        return embedding
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
