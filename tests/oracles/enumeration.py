"""The exact Lipschitz constant of a small network: all patterns of its pieces that have interior points in a region.

Depth first over the units in their order: a cell is divided by the pieces of the next unit, whose preactivations are
affine on it, and parts without interior are left out. What remains covers the region up to a set without interior, so
the constant is the largest norm of the Jacobians on these cells, and each is attained inside of its cell. All of it is
rational arithmetic, on integers with a power of two as common denominator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf

import numpy as np

from tests.oracles import cells
from tests.oracles.cells import Cell
from tests.oracles.networks import Layer, PiecewiseNetwork
from tests.oracles.norms import Jacobian

Array = np.ndarray
#: Norms that floating point has at least this much below the largest one are not the largest.
SURELY_SMALLER = 1 - 1e-9


@dataclass(frozen=True)
class Domain:
    """A set of inputs: all, a box, a ball (center, radius), or the ball within the box."""

    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None
    radius: float | None = None

    def cell(self, inputs: int) -> tuple[list[tuple[int, Fraction]], Cell]:
        """The fixed inputs with their values, and the set of the others."""
        free, fixed, start = list(range(inputs)), [], cells.whole(inputs)
        if self.low is not None and self.high is not None:
            ends = [(Fraction(a), Fraction(b)) for a, b in zip(self.low, self.high, strict=True)]
            fixed = [(k, a) for k, (a, b) in enumerate(ends) if a == b]
            free = [k for k, (a, b) in enumerate(ends) if a < b]
            start = cells.box([ends[k][0] for k in free], [ends[k][1] for k in free])
        if self.center is not None and self.radius is not None:
            center = [Fraction(a) for a in self.center]
            left = Fraction(self.radius) ** 2 - sum(((a - center[k]) ** 2 for k, a in fixed), Fraction(0))
            start = cells.within(start, [center[k] for k in free], left)
        return fixed, start


@dataclass(frozen=True)
class Forms:
    """Affine functions of the free inputs: integers (rows, inputs + 1), constants last, over 2^exponent."""

    numbers: Array
    exponent: int

    def through(self, weight: Array, bias: Array) -> Forms:
        """`weight forms + bias`."""
        shift = max(_digits(weight), _digits(bias) - self.exponent)
        made = _integers(weight, shift) @ self.numbers
        made[:, -1] += _integers(bias, shift + self.exponent)
        return Forms(made, self.exponent + shift)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The pieces of a unit in integers over 2^exponent: rows of inequalities and of outputs, constants last."""

    exponent: int
    pieces: list[tuple[Array, Array]]

    @staticmethod
    def of(layer: Layer) -> _Pieces:
        found = layer.unit.pieces()
        numbers = [a for piece in found for row in (*piece.inside, *piece.outputs) for a in row]
        exponent = max(a.denominator.bit_length() - 1 for a in numbers)
        size = layer.unit.size + 1

        def rows(vectors: Sequence[Sequence[Fraction]]) -> Array:
            made = np.empty((len(vectors), size), dtype=object)
            for i, vector in enumerate(vectors):
                made[i] = [int(a * 2**exponent) for a in vector]
            return made

        return _Pieces(exponent, [(rows(piece.inside), rows(piece.outputs)) for piece in found])


@dataclass
class Constant:
    """The Lipschitz constant of a network on a domain, as the Jacobians that may have it.

    `points[k]` is an interior point of a cell where the Jacobian is `candidates[k]`; `cells` counts all cells.
    """

    candidates: list[Jacobian]
    points: list[tuple[Fraction, ...]]
    cells: int
    _intervals: list[tuple[Fraction, Fraction]] = field(default_factory=list, repr=False)

    def is_at_most(self, bound: float | Fraction) -> bool:
        """Whether the constant is at most the bound, decided exactly."""
        return bound == inf or all(jacobian.norm_is_at_most(Fraction(bound)) for jacobian in self.candidates)

    def is_at_least(self, bound: float | Fraction) -> bool:
        """Whether the constant is at least the bound, decided exactly."""
        return any(not jacobian.norm_is_below(Fraction(bound)) for jacobian in self.candidates)

    @property
    def interval(self) -> tuple[Fraction, Fraction]:
        """Two numbers that have the constant between them, about 2^-40 apart (relative)."""
        if not self._intervals:
            self._intervals = [jacobian.interval for jacobian in self.candidates]
        return max(low for low, _ in self._intervals), max(high for _, high in self._intervals)

    def __float__(self) -> float:
        return float(self.interval[0])


def exact_constant(network: PiecewiseNetwork, domain: Domain = Domain()) -> Constant:
    """The Lipschitz constant in the Euclidean norms, by enumeration."""
    found: dict[tuple[tuple[Fraction, ...], ...], tuple[Fraction, ...]] = {}
    count = 0
    for cell, forms in linear_cells(network, domain):
        count += 1
        entries = tuple(tuple(Fraction(a, 1 << forms.exponent) for a in row[:-1]) for row in forms.numbers)
        found.setdefault(entries, cell.fractions)
    jacobians = {Jacobian(entries): point for entries, point in found.items()}
    largest = max(jacobian.rounded for jacobian in jacobians)
    chosen = {j: point for j, point in jacobians.items() if j.rounded >= largest * SURELY_SMALLER}
    return Constant(list(chosen), list(chosen.values()), count)


def linear_cells(network: PiecewiseNetwork, domain: Domain = Domain()) -> Iterator[tuple[Cell, Forms]]:
    """Every cell with interior on which all units are on one piece, and the network's output there."""
    fixed, start = domain.cell(network.inputs)
    values = dict(fixed)
    free = [k for k in range(network.inputs) if k not in values]
    digits = max((a.denominator.bit_length() - 1 for a in values.values()), default=0)
    numbers = np.zeros((network.inputs, len(free) + 1), dtype=object)
    for k in range(network.inputs):
        if k in values:
            numbers[k, -1] = int(values[k] * 2**digits)
        else:
            numbers[k, free.index(k)] = 1 << digits
    pieces = [_Pieces.of(layer) for layer in network.layers]

    def layers(number: int, cell: Cell, forms: Forms) -> Iterator[tuple[Cell, Forms]]:
        if number == len(network.layers):
            yield cell, forms.through(network.weight, network.bias)
            return
        layer = network.layers[number]
        read = forms.through(layer.weight, layer.bias)
        for part, made in groups(number, 0, cell, read, []):
            if layer.skip:
                shift = made.exponent - forms.exponent
                made = Forms(made.numbers + forms.numbers * (1 << shift), made.exponent)
            yield from layers(number + 1, part, made)

    def groups(number: int, group: int, cell: Cell, read: Forms, made: list[Array]) -> Iterator[tuple[Cell, Forms]]:
        unit, layer = pieces[number], network.layers[number]
        if group == layer.groups:
            yield cell, Forms(np.concatenate(made), read.exponent + unit.exponent)
            return
        size = layer.unit.size
        own = np.zeros((size + 1, read.numbers.shape[1]), dtype=object)
        own[:size] = read.numbers[group * size : (group + 1) * size]
        own[size, -1] = 1 << read.exponent
        parts: dict[tuple[object, ...], tuple[Cell, Array]] = {}
        for inside, outputs in unit.pieces:
            part = cell.cut_by(row.tolist() for row in inside @ own)
            if part is not None:
                result = outputs @ own
                parts.setdefault((part.rows, *result.ravel().tolist()), (part, result))
        if not parts:
            raise ArithmeticError("a cell with interior has none on any piece of a unit")
        for part, result in parts.values():
            # A cell on one piece alone is not cut by the piece's rows, which then need not be kept.
            inner = part if len(parts) > 1 else cell
            yield from groups(number, group + 1, inner, read, [*made, result])

    yield from layers(0, start, Forms(numbers, digits))


def _digits(values: Array) -> int:
    """Binary digits behind the point that the numbers have."""
    return max((Fraction(float(a)).denominator.bit_length() - 1 for a in np.ravel(values)), default=0)


def _integers(values: Array, exponent: int) -> Array:
    """The numbers times 2^exponent, as integers."""
    made = np.empty(np.shape(values), dtype=object)
    for place, a in np.ndenumerate(values):
        numerator, denominator = float(a).as_integer_ratio()
        made[place] = (numerator << exponent) // denominator
    return made
