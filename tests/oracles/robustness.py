"""How robust a small network is, exactly: the nearest input of another class, and the least margins of regions.

On every cell of the enumeration the outputs are affine, so that the inputs of a cell where another class reaches the
label are a polyhedron. Its point nearest to the center is rational in the Euclidean norm (Seidel's recursion) and in
the maximum norm (a linear programme); so is the least margin on a box. The least margin on a ball is a root in general,
of which this decides exactly whether it is above a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, lcm, sqrt
from typing import Literal

import numpy as np

from tests.oracles.cells import Cell, Row
from tests.oracles.enumeration import Domain, Forms, linear_cells
from tests.oracles.nearest import nearest_point
from tests.oracles.networks import PiecewiseNetwork
from tests.oracles.simplex import largest_point, positive_point

Array = np.ndarray
Norm = Literal["l2", "linf"]
#: Points of the search for some input of another class, which only makes the enumeration short.
SAMPLES = 4000


@dataclass(frozen=True)
class Nearest:
    """The nearest input where another class reaches the label's output, None where there is none.

    `measure` is its squared distance from the center in the Euclidean norm, its distance in the maximum norm.
    """

    norm: Norm
    measure: Fraction | None
    point: tuple[Fraction, ...] | None

    def is_beyond(self, radius: float | Fraction) -> bool:
        """Whether no input at a distance of at most the radius has another class, decided exactly."""
        if self.measure is None:
            return True
        return self.measure > (Fraction(radius) ** 2 if self.norm == "l2" else Fraction(radius))

    def __float__(self) -> float:
        """The distance, correctly rounded up to an ulp or two; infinity if no input has another class."""
        if self.measure is None:
            return inf
        return sqrt(self.measure) if self.norm == "l2" else float(self.measure)


def margins(network: PiecewiseNetwork, point: Sequence[Fraction], label: int) -> list[Fraction]:
    """The label's output minus every other one, without rounding."""
    values = network(point)
    return [values[label] - value for j, value in enumerate(values) if j != label]


def nearest_of_another_class(
    network: PiecewiseNetwork,
    center: Array,
    label: int,
    norm: Norm = "l2",
    within: tuple[Array, Array] | None = None,
    others: Sequence[int] | None = None,
) -> Nearest:
    """The input nearest to the center where one of the other classes (or of `others`) reaches the label's output.

    `within`, a box around the center with different ends, bounds the inputs that count.
    """
    at = [Fraction(float(c)) for c in center]
    if others is None:
        others = [j for j in range(len(network.weight)) if j != label]
    reach = _distance_of_some(network, center, label, norm, within, others)
    found = _among(network, at, label, norm, others, _near(center, reach, norm, within))
    if reach < inf and found.is_beyond(reach * (1 - 1e-9)):  # the search was misled by its rounding: look at all cells
        found = _among(network, at, label, norm, others, _near(center, inf, norm, within))
    return found


def _near(center: Array, reach: float, norm: Norm, within: tuple[Array, Array] | None) -> Domain:
    """All inputs up to a distance, in the box."""
    if norm == "l2" or reach == inf:
        ends = (None, None) if within is None else (tuple(within[0].tolist()), tuple(within[1].tolist()))
        return Domain(*ends) if reach == inf else Domain(*ends, tuple(center.tolist()), reach)
    low, high = center - reach, center + reach
    if within is not None:
        low, high = np.maximum(low, within[0]), np.minimum(high, within[1])
    return Domain(tuple(low.tolist()), tuple(high.tolist()))


def _distance_of_some(
    network: PiecewiseNetwork,
    center: Array,
    label: int,
    norm: Norm,
    within: tuple[Array, Array] | None,
    others: Sequence[int],
) -> float:
    """A little more than the distance of some input of another class, in floating point; infinity if none is found."""
    random, evaluate = np.random.default_rng(0), network.network()
    step = random.standard_normal((SAMPLES, network.inputs))
    step *= 10.0 ** random.uniform(-3, 2, (SAMPLES, 1)) / np.linalg.norm(step, axis=1, keepdims=True)

    def wrong(points: Array) -> Array:
        values = evaluate(points)
        return np.max(values[:, list(others)], axis=1) >= values[:, label]

    points = center + step if within is None else np.clip(center + step, *within)
    points = points[wrong(points)]
    if not len(points):
        return inf
    lengths = np.linalg.norm(points - center, axis=1, ord=2 if norm == "l2" else inf)
    point = points[np.argmin(lengths)]
    inner, outer = 0.0, 1.0
    for _ in range(30):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if wrong((center + middle * (point - center))[None])[0] else (middle, outer)
    return float(lengths.min() * outer * (1 + 1e-6) + 1e-12)


def _among(
    network: PiecewiseNetwork,
    center: list[Fraction],
    label: int,
    norm: Norm,
    others: Sequence[int],
    domain: Domain,
) -> Nearest:
    best = Nearest(norm, None, None)
    for cell, forms in linear_cells(network, domain):
        for other in others:
            reached = _negated(_margin(forms, label, other), Fraction(0))
            found = (_nearest if norm == "l2" else _nearest_in_maximum_norm)(cell, reached, center)
            if found is None:
                continue
            steps = [abs(a - c) for a, c in zip(found, center, strict=True)]
            measure = sum((d * d for d in steps), Fraction(0)) if norm == "l2" else max(steps)
            if best.measure is None or measure < best.measure:
                best = Nearest(norm, measure, tuple(found))
    return best


def _margin(forms: Forms, label: int, other: int) -> tuple[Row, int]:
    """Output `label` minus output `other` on a cell: integers over 2^exponent."""
    return tuple(int(a) for a in forms.numbers[label] - forms.numbers[other]), forms.exponent


def _negated(margin: tuple[Row, int], bound: Fraction) -> Row:
    """A positive multiple of `bound - margin`."""
    row, exponent = margin
    scaled = [-a * bound.denominator for a in row]
    scaled[-1] += bound.numerator << exponent
    return tuple(scaled)


def _nearest(cell: Cell, row: Row, center: list[Fraction]) -> list[Fraction] | None:
    """The point of the closed cell with `row >= 0` that is nearest to the center."""
    return nearest_point(center, [row, *cell.rows])


def _nearest_in_maximum_norm(cell: Cell, row: Row, center: list[Fraction]) -> list[Fraction] | None:
    """The same in the maximum norm."""
    start = _some_point(cell, row)
    if start is None:
        return None
    unit = lcm(*(a.denominator for a in (*start, *center)))
    there, aim = ([int(a * unit) for a in point] for point in (start, center))
    size = max((abs(a - c) for a, c in zip(there, aim, strict=True)), default=0)
    # In coordinates d = unit x - there, and the last one for the bound of |x - center|.
    rows: list[tuple[int, ...]] = [(*old[:-1], 0, _at(old, there, unit)) for old in (*cell.rows, row)]
    for k, (a, c) in enumerate(zip(there, aim, strict=True)):
        for sign in (1, -1):
            entries = [0] * (len(there) + 2)
            entries[k], entries[-2], entries[-1] = sign, 1, size + sign * (a - c)
            rows.append(tuple(entries))
    found = largest_point([0] * len(there) + [-1, 0], rows)
    return [(a + d) / unit for a, d in zip(there, found[:-1], strict=True)]


def _some_point(cell: Cell, row: Row) -> list[Fraction] | None:
    """A point of the closed cell where the row is not negative."""
    if cell.value(row) >= 0:
        return list(cell.fractions)
    moved = [(*old[:-1], cell.value(old)) for old in cell.rows]
    aim = (*row[:-1], cell.value(row))
    step = positive_point(aim, moved)
    if step is None:
        step = largest_point(aim, moved)
        if sum((a * d for a, d in zip(row, step)), Fraction(cell.value(row))) < 0:
            return None
    return [(x + d) / (1 << cell.exponent) for x, d in zip(cell.point, step, strict=True)]


def _at(row: Row, point: list[int], unit: int) -> int:
    """The row at `point / unit`, times the unit."""
    return sum(a * x for a, x in zip(row, point)) + row[-1] * unit


@dataclass(frozen=True, eq=False)
class LeastMargin:
    """The least of `output label - output other` on a box, a ball, or a ball within a box, with different ends."""

    network: PiecewiseNetwork
    domain: Domain
    label: int
    other: int

    def exceeds(self, bound: float | Fraction) -> bool:
        """Whether the margin is above the bound everywhere, decided exactly."""
        return not any(self._reaches(cell, margin, Fraction(bound)) for cell, margin in self._cells())

    @property
    def interval(self) -> tuple[Fraction, Fraction]:
        """Two numbers that have the least margin between them, at most 1e-12 apart (relative, and absolute below 1)."""
        most: Fraction | None = None
        least = Fraction(0)
        for cell, margin in self._cells():
            if most is not None and not self._reaches(cell, margin, least):
                continue
            high = Fraction(cell.value(margin[0]), 1 << (cell.exponent + margin[1]))
            width = Fraction(1)
            while self._reaches(cell, margin, high - width):
                width *= 4
            low = high - width
            while high - low > Fraction(1, 10**12) * max(1, abs(low)):
                middle = _short((low + high) / 2, (high - low) / 8)
                low, high = (low, middle) if self._reaches(cell, margin, middle) else (middle, high)
            least, most = low, high
        if most is None:
            raise ArithmeticError("the domain has no cells")
        return least, most

    def _cells(self) -> Iterator[tuple[Cell, tuple[Row, int]]]:
        for cell, forms in linear_cells(self.network, self.domain):
            yield cell, _margin(forms, self.label, self.other)

    def _reaches(self, cell: Cell, margin: tuple[Row, int], bound: Fraction) -> bool:
        """Whether the margin is at most the bound somewhere in the closed cell, and ball."""
        row = _negated(margin, bound)
        if cell.sphere is None:
            return _some_point(cell, row) is not None
        found = _nearest(cell, row, list(cell.sphere.center))
        if found is None:
            return False
        return sum((a - c) ** 2 for a, c in zip(found, cell.sphere.center)) <= cell.sphere.squared_radius


def _short(number: Fraction, error: Fraction) -> Fraction:
    """A number of few digits that is at most `error` away."""
    scale = 1 << max(0, (error.denominator // error.numerator).bit_length() + 1)
    return Fraction(round(number * scale), scale)
