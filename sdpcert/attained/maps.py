"""What the search needs to know of a network: sweeps of batches through it, forwards and backwards.

A map is linear pieces with groups of neurons between them; the search says what happens at the neurons, so the same two
sweeps give values, derivatives in directions, gradients, and gradients of derivatives. `BlockMap` reads the blocks of
an unrolled network, `GraphMap` (in `graph_map`) the layers of a graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.network.stacked import Group, StackedForm

Array = np.ndarray
#: What happens to the rows of a group of neurons, given the group's number; shapes are kept.
AtNeurons = Callable[[int, Array], Array]
#: Operations that a call of NumPy costs beside its arithmetic.
CALL = 2e4
#: Operations that a neuron with a kink at zero takes in one row of a climb, and one of functions of a library.
BENT, CURVED = 60.0, 300.0


class Neurons(ABC):
    """The activation of one group, elementwise on a batch."""

    #: Whether the activation is piecewise linear with its only kink at zero.
    kink_at_zero: bool
    #: Whether a neuron is a function of its own preactivation alone.
    elementwise: bool = True

    @property
    def cost(self) -> float:
        """Operations that one neuron takes in one row of a climb."""
        return BENT if self.kink_at_zero else CURVED

    @abstractmethod
    def __call__(self, values: Array) -> Array:
        """The activation."""

    @abstractmethod
    def derivative(self, values: Array) -> Array:
        """Its derivative, a slope at kinks."""

    def averaged(self, values: Array, half: Array) -> tuple[Array, Array]:
        """The derivative averaged over the intervals from `values - half` to `values + half`, and how that grows.

        Neurons that are not elementwise have no such intervals: theirs is the derivative at `values`.
        """
        if not self.elementwise:
            return self.derivative(values), np.zeros_like(values)
        above, below, scale = values + half, values - half, 0.5 / half
        growth = (self.derivative(above) - self.derivative(below)) * scale
        return (self(above) - self(below)) * scale, growth


class SearchedMap(ABC):
    """A network on batches of rows."""

    #: Numbers in a row: inputs, or coordinates in the space that the network reads; and the network's own inputs.
    inputs: int
    all_inputs: int
    outputs: int
    #: Number of neurons.
    size: int
    groups: tuple[Neurons, ...]
    #: Operations that one row costs in a sweep, and what a sweep costs beside that.
    cost: float
    overhead: float

    @property
    def cost_of_neurons(self) -> float:
        """Operations that the neurons take in one row of a climb, at most."""
        return self.size * max((neurons.cost for neurons in self.groups), default=0.0)

    @abstractmethod
    def sweep(self, rows: Array, count: int, at_neurons: AtNeurons) -> Array:
        """Rows through the linear pieces; offsets are added to the first `count` rows only."""

    @abstractmethod
    def back(self, rows: Array, at_neurons: AtNeurons) -> Array:
        """Rows of outputs through the transposed linear pieces."""

    @abstractmethod
    def lift(self, rows: Array) -> Array:
        """The inputs of the network that rows stand for; distances are kept."""

    @abstractmethod
    def coordinates(self, point: Array) -> Array:
        """The row that stands for an input of the network, or for the nearest one that rows stand for."""

    def moves(self, direction: Array) -> Array:
        """The direction of rows that stands for one of inputs."""
        return self.coordinates(direction)

    def values(self, points: Array) -> Array:
        """The outputs at points, up to a constant."""
        return self.sweep(points, len(points), lambda group, rows: self.groups[group](rows))

    def slopes(self, points: Array) -> list[Array]:
        """The derivatives of all activations at points."""
        found: list[Array] = []

        def at_neurons(group: int, rows: Array) -> Array:
            found.append(self.groups[group].derivative(rows))
            return self.groups[group](rows)

        self.sweep(points, len(points), at_neurons)
        return found


class _GroupNeurons(Neurons):
    """A group of a stacked form, on rows of its neurons."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.whole = group.size == int(np.prod(group.shape))
        self.kink_at_zero = group.activation.pieces is not None
        self.elementwise = group.coupled == 1

    @staticmethod
    def of(group: Group) -> Neurons:
        """The neurons of a group by the quickest way."""
        pieces = group.activation.pieces
        if pieces is None:
            return _GroupNeurons(group)
        return Kinked(*(group.per_neuron(slope) for slope in pieces))

    def __call__(self, values: Array) -> Array:
        if not self.whole:
            return self.group.evaluate(values)
        return self.group.activation(values.reshape(-1, *self.group.shape)).reshape(len(values), -1)

    def derivative(self, values: Array) -> Array:
        if not self.whole:
            return self.group.derivative(values)
        return self.group.activation.derivative(values.reshape(-1, *self.group.shape)).reshape(len(values), -1)


class Kinked(Neurons):
    """Neurons that are linear on both sides of a kink at zero, with their slopes below and above it."""

    kink_at_zero = True

    def __init__(self, below: Array, above: Array) -> None:
        self.below, self.bend = below, above - below
        self.half_bend = 0.5 * self.bend
        self.flat_below = not np.any(below)

    def __call__(self, values: Array) -> Array:
        bent = np.maximum(values, 0.0) * self.bend
        return bent if self.flat_below else bent + self.below * values

    def derivative(self, values: Array) -> Array:
        bent = (values > 0) * self.bend
        return bent if self.flat_below else bent + self.below

    def averaged(self, values: Array, half: Array) -> tuple[Array, Array]:
        places = values / half
        growth = (np.abs(places) < 1) * (self.half_bend / half)
        places += 1.0
        bent = np.minimum(np.maximum(places, 0.0, out=places), 2.0, out=places)
        bent *= self.half_bend
        return bent if self.flat_below else self.below + bent, growth


#: Norms between these come from squares that neither overflow nor lose digits.
SAFE = (1e-140, 1e140)
#: The square of a singular value that counts as zero, relative to the largest one.
NEGLIGIBLE = 1e-13


class BlockMap(SearchedMap):
    """The map of a stacked form.

    All sources lie side by side in one array, so that a row of blocks is one product; a chain needs no such array.
    With `reduce` only the space is searched that the rows which read the input span, where it is smaller.
    """

    def __init__(self, form: StackedForm, reduce: bool = True) -> None:
        self.all_inputs, self.outputs, self.size = form.inputs, form.outputs, form.neurons
        self.groups = tuple(_GroupNeurons.of(g) for g in form.groups)
        self.activations = tuple(g.activation for g in form.groups)
        self.basis = _read_space(form) if reduce else None
        self.inputs = form.inputs if self.basis is None else self.basis.shape[1]
        self.chain = form.is_chain and len(form.blocks) == form.output_row
        ends = [0, *np.cumsum([self.inputs, *(g.size for g in form.groups)])]
        self.width = int(ends[-1])
        #: For every row of blocks: the columns it reads, its matrix, its offset, and its place as a source.
        self.rows: list[tuple[slice, Array, Array, slice]] = []
        for to in range(1, form.output_row + 1):
            row = form.row(to)
            first, last = min(row, default=0), max(row, default=0)
            read = slice(int(ends[first]), int(ends[last + 1]))
            matrix = np.zeros((form.sizes[to], read.stop - read.start))
            for source, block in row.items():
                weights = block.weights if source or self.basis is None else block.weights @ self.basis
                matrix[:, ends[source] - read.start : ends[source + 1] - read.start] = weights
            inner = to < form.output_row
            place = slice(int(ends[to]), int(ends[to + 1])) if inner else slice(0, 0)
            offset = form.groups[to - 1].bias if inner else np.zeros(form.outputs)
            self.rows.append((read, matrix, offset, place))
        self.cost = 2.0 * sum(matrix.size for _, matrix, _, _ in self.rows)
        self.overhead = 4 * CALL * len(self.rows)

    def sweep(self, rows: Array, count: int, at_neurons: AtNeurons) -> Array:
        if self.chain:
            for group, (_, matrix, offset, _) in enumerate(self.rows[:-1]):
                rows = rows @ matrix.T
                if count:
                    rows[:count] += offset
                rows = self.activations[group].summed(at_neurons(group, rows))
            return rows @ self.rows[-1][1].T
        sources = np.empty((len(rows), self.width))
        sources[:, : self.inputs] = rows
        for group, (read, matrix, offset, place) in enumerate(self.rows[:-1]):
            values = sources[:, read] @ matrix.T
            values[:count] += offset
            sources[:, place] = self.activations[group].summed(at_neurons(group, values))
        read, matrix, _, _ = self.rows[-1]
        return sources[:, read] @ matrix.T

    def back(self, rows: Array, at_neurons: AtNeurons) -> Array:
        if self.chain:
            for group in range(len(self.rows) - 1, 0, -1):
                rows = at_neurons(group - 1, self.activations[group - 1].unsummed(rows @ self.rows[group][1]))
            return rows @ self.rows[0][1]
        gradients = np.zeros((len(rows), self.width))
        read, matrix, _, _ = self.rows[-1]
        gradients[:, read] = rows @ matrix
        for group in range(len(self.rows) - 2, -1, -1):
            read, matrix, _, place = self.rows[group]
            given = self.activations[group].unsummed(gradients[:, place])
            gradients[:, read] += at_neurons(group, given) @ matrix
        return gradients[:, : self.inputs]

    def lift(self, rows: Array) -> Array:
        return rows if self.basis is None else rows @ self.basis.T

    def coordinates(self, point: Array) -> Array:
        return point if self.basis is None else point @ self.basis


def cost_of_read_space(form: StackedForm) -> float:
    """Operations of finding the space that the rows which read the input span."""
    rows = float(sum(len(block.weights) for (_, source), block in form.blocks.items() if source == 0))
    order = min(rows, float(form.inputs))
    return 10 * order**3 + 6 * order * rows * form.inputs


def _read_space(form: StackedForm) -> Array | None:
    """An orthonormal basis (columns) of what the rows that read the input span, or None where it is no smaller."""
    reading = [block.weights for (_, source), block in form.blocks.items() if source == 0]
    matrix = np.concatenate(reading) if reading else np.zeros((0, form.inputs))
    largest = np.max(np.abs(matrix), initial=0.0)
    if not 0 < largest < np.inf:
        return None
    matrix = matrix / largest
    gram = matrix @ matrix.T if len(matrix) < form.inputs else matrix.T @ matrix
    found = eigenpairs(gram)
    if found is None:
        return None
    squares, vectors = found
    kept = squares > NEGLIGIBLE * squares[-1]
    if np.sum(kept) >= form.inputs:
        return None
    spanning = matrix.T @ vectors[:, kept] if len(matrix) < form.inputs else vectors[:, kept]
    return np.linalg.qr(spanning)[0]


def norms(rows: Array) -> Array:
    """Euclidean norms of rows, without overflow."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if _are_safe(lengths):
        return lengths
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    safe = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
    return largest * np.sqrt(np.square(rows / safe[:, None]).sum(axis=1))


def unit(rows: Array, instead: Array | None = None) -> Array:
    """Rows divided by their norms; rows that are zero or not finite become those of `instead`, or zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if _are_safe(lengths):
        return rows / lengths[:, None]
    safe = (lengths > SAFE[0]) & (lengths < SAFE[1])
    result = rows / np.where(safe, lengths, 1.0)[:, None]
    rest = np.flatnonzero(~safe)
    result[rest] = _unit_of_any(rows[rest], 0.0 if instead is None else instead[rest])
    return result


def _unit_of_any(rows: Array, instead: Array | float) -> Array:
    """The same where squares may leave the range of float64."""
    if not np.any(rows):
        return np.broadcast_to(instead, rows.shape)
    lengths = norms(rows)
    usable = (lengths > 0) & (lengths < np.inf)
    # denormal lengths have few digits: first by the largest entry
    scaled = np.where(usable[:, None], rows, 1.0)
    scaled = scaled / np.max(np.abs(scaled), axis=1, initial=0.0, keepdims=True)
    scaled = scaled / np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    return np.where(usable[:, None], scaled, instead)


def _are_safe(lengths: Array) -> bool:
    """Whether no square on the way to any of the lengths can have left the range of float64."""
    if not len(lengths):
        return True
    return bool(np.minimum.reduce(lengths) > SAFE[0] and np.maximum.reduce(lengths) < SAFE[1])
