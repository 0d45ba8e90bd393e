"""Rows of coefficients carried backward through a network, in integers.

A row is a sum of numbers of one group after the other with coefficients; a **descent** replaces preactivations by the
weighted sums that they are, and neurons by what their activation is replaced with, until inputs alone are left. What
bounds, linear forms and reduced conditions have in common is here; what they do with an activation is theirs.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from .blocks import Block
from .integers import fixed, fraction_bits
from .network import Network

PANEL = 32  # rows multiplied at once; a matter of speed only


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of some rows, times 2^bits: `columns[j]` has those of number j, one for each row."""

    bits: int
    columns: list[list[int]]

    def with_bits(self, bits: int) -> Coefficients:
        """The same numbers with at least as many fraction bits."""
        if bits == self.bits:
            return self
        return Coefficients(bits, [[x << bits - self.bits for x in column] for column in self.columns])

    def shortest(self) -> Coefficients:
        """The same numbers with as few fraction bits as they need, at least none."""
        together = reduce(operator.or_, (abs(x) for column in self.columns for x in column), 1 << self.bits)
        spare = min((together & -together).bit_length() - 1, self.bits)
        return Coefficients(self.bits - spare, [[x >> spare for x in column] for column in self.columns])

    def plus(self, other: Coefficients) -> Coefficients:
        """The sum."""
        bits = max(self.bits, other.bits)
        pairs = zip(self.with_bits(bits).columns, other.with_bits(bits).columns, strict=True)
        return Coefficients(bits, [list(map(operator.add, one, two)) for one, two in pairs])

    def sizes(self) -> list[int]:
        """For each row the sum of its absolute values."""
        return [sum(map(abs, row)) for row in zip(*self.columns, strict=True)]


class Weights:
    """The weights of one block, as integers over 2^bits, ready for products from the left."""

    def __init__(self, block: Block) -> None:
        self.source, self.inputs = block.source, block.columns
        self.bits = block.needed_bits()
        self.radius = block.fixed_radius(self.bits)
        entries = block.fixed(self.bits)
        self.largest = max(map(abs, entries), default=0)
        #: For each number that the block reads, the rows with a weight that is not zero (None: all) and these weights.
        self.columns: list[tuple[list[int] | None, list[int]]] = []
        for j in range(block.columns):
            column = entries[j :: block.columns]
            some = [i for i, x in enumerate(column) if x]
            sparse = 4 * len(some) < 3 * len(column)
            self.columns.append((some, [column[i] for i in some]) if sparse else (None, column))

    def times(self, coefficients: Coefficients) -> Coefficients:
        """What coefficients of the numbers that the block feeds become as those of the numbers that it reads."""
        rows = len(coefficients.columns[0])
        found: list[list[int]] = [[] for _ in range(self.inputs)]
        for first in range(0, rows, PANEL):
            panel = [column[first : first + PANEL] for column in coefficients.columns]
            for column, more in zip(found, self._products(panel), strict=True):
                column += more
        return Coefficients(coefficients.bits + self.bits, found)

    def _products(self, panel: list[list[int]]) -> Iterator[list[int]]:
        """The products of some rows with every column of weights.

        The rows go into one long integer for each coefficient, sum over rows t of 2^(8 size t) times that of row t, and
        one multiplication serves them all; the fields of the result are signed, and `size` bytes hold the largest.
        """
        count = len(panel[0])
        used = [i for i, column in enumerate(panel) if any(column)]
        most = max((max(max(panel[i]), -min(panel[i])) for i in used), default=0)
        bound = len(used) * most * self.largest
        if not bound:
            yield from ([0] * count for _ in range(self.inputs))
            return
        size = bound.bit_length() // 8 + 1  # bound < 2^(8 size - 1)
        half = 1 << 8 * size - 1
        bias = sum(half << 8 * size * t for t in range(count))  # makes every field nonnegative
        packed = [0] * len(panel)
        for i in used:
            fields = b"".join([(x + half).to_bytes(size, "little") for x in panel[i]])
            packed[i] = int.from_bytes(fields, "little") - bias
        few = 2 * len(used) < len(panel)
        chosen = [packed[i] for i in used]
        for some, weights in self.columns:
            if few and some is None:
                total = sum(map(operator.mul, [weights[i] for i in used], chosen))
            elif some is None:
                total = sum(map(operator.mul, weights, packed))
            else:
                total = sum(map(operator.mul, weights, [packed[i] for i in some]))
            fields = (total + bias).to_bytes(size * count, "little")
            yield [int.from_bytes(fields[k : k + size], "little") - half for k in range(0, size * count, size)]


class IntegerNetwork:
    """A network with its weights and biases as integers.

    Args:
        inward: for each group, and the output, the weights that feed it; index 0 is empty.
        biases: for each group (index 0 is empty) the biases and their radii, over 2^bias_bits.
        bits: fraction bits of all weights.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.inward: list[list[Weights]] = [[] for _ in range(len(network.groups) + 2)]
        for block in network.blocks:
            self.inward[block.target].append(Weights(block))
        self.bits = max((weights.bits for inward in self.inward for weights in inward), default=0)
        arrays = [array for group in network.groups for array in (group.bias, group.bias_radius)]
        self.bias_bits = max(map(fraction_bits, arrays), default=0)
        self.biases: list[tuple[list[int], list[int]]] = [([], [])]
        for group in network.groups:
            bias, radius = ([fixed(x, self.bias_bits) for x in a] for a in (group.bias, group.bias_radius))
            self.biases.append((bias, radius))


class Descent(ABC):
    """Rows on their way from preactivations down to the inputs."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network

    def run(self, direct: dict[int, Coefficients]) -> Coefficients | None:
        """The coefficients of the inputs; `direct` has those of preactivations of groups, and of the output.

        None if no input is read.
        """
        pending: dict[int, Coefficients] = {}
        for group in range(max(direct, default=0), 0, -1):
            neurons, own = pending.pop(group, None), direct.get(group)
            if neurons is not None:
                through = self.through(group, neurons)
                own = through if own is None else own.plus(through)
            if own is None:
                continue
            self.reads(group, own)
            for weights in self.network.inward[group]:
                more = weights.times(own)
                before = pending.get(weights.source)
                pending[weights.source] = more if before is None else before.plus(more)
        return pending.get(0)

    @abstractmethod
    def through(self, group: int, neurons: Coefficients) -> Coefficients:
        """Coefficients of a group's neurons as those of its preactivations."""

    @abstractmethod
    def reads(self, group: int, coefficients: Coefficients) -> None:
        """The preactivations of a group (or the output) are about to be replaced by weighted sums and biases."""


def units(neurons: list[int], size: int, sign: int = 1) -> Coefficients:
    """One row for each of some neurons of a group of `size`: sign times the neuron itself."""
    columns = [[0] * len(neurons) for _ in range(size)]
    for row, neuron in enumerate(neurons):
        columns[neuron][row] = sign
    return Coefficients(0, columns)
