"""Cells: polyhedra of which an interior point is known, cut by half-spaces in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from tests.oracles.nearest import nearest_point
from tests.oracles.simplex import positive_point

Row = tuple[int, ...]


@dataclass(frozen=True)
class Sphere:
    """The open ball of all points with `|x - center|^2 < squared_radius`."""

    center: tuple[Fraction, ...]
    squared_radius: Fraction

    def contains(self, point: Sequence[Fraction]) -> bool:
        return sum((a - b) ** 2 for a, b in zip(point, self.center)) < self.squared_radius


@dataclass(frozen=True)
class Cell:
    """The set where all rows are positive, within a sphere if one is given; `point / 2^exponent` lies in it.

    A row is an affine function of the free inputs: coefficients and a constant, integers.
    """

    rows: tuple[Row, ...]
    point: tuple[int, ...]
    exponent: int
    sphere: Sphere | None = None

    def value(self, row: Sequence[int]) -> int:
        """2^exponent times the row at the point."""
        return sum(a * x for a, x in zip(row, self.point)) + (row[-1] << self.exponent)

    @property
    def fractions(self) -> tuple[Fraction, ...]:
        """The point."""
        return tuple(Fraction(x, 1 << self.exponent) for x in self.point)

    def cut(self, row: Sequence[int]) -> Cell | None:
        """The part where the row is positive; None if that has no points, which means that `row >= 0` has no interior.

        A row that is constantly zero cuts nothing off.
        """
        if not any(row[:-1]):
            return self if row[-1] >= 0 else None
        divisor = gcd(*row)
        row = tuple(a // divisor for a in row)
        rows = (*self.rows, row)
        here = self.value(row)
        if here > 0:
            return Cell(rows, self.point, self.exponent, self.sphere)
        # In coordinates d = 2^exponent x - point; the slacks of the rows that are there are positive at d = 0.
        moved = [(*old[:-1], self.value(old)) for old in self.rows]
        found = positive_point((*row[:-1], here), moved)
        if found is None:
            return None
        # On the way from the point with row(found) > 0 to the interior point: interior, and the row still positive.
        there = sum(a * d for a, d in zip(row, found)) + here
        step = 1 - Fraction(there) / (2 * (there - here))
        inner = [(x + step * d) / (1 << self.exponent) for x, d in zip(self.point, found)]
        return self._with(rows, inner)

    def cut_by(self, rows: Iterable[Sequence[int]]) -> Cell | None:
        """The part where all of these rows are positive."""
        part: Cell | None = self
        for row in rows:
            part = part.cut(row)
            if part is None:
                return None
        return part

    def _with(self, rows: tuple[Row, ...], inner: list[Fraction]) -> Cell | None:
        """The cell with these rows, where they are positive at `inner`."""
        if self.sphere is not None and not self.sphere.contains(inner):
            nearest = nearest_point(self.sphere.center, rows)
            if nearest is None:
                raise ArithmeticError("a cell with an interior point has no point nearest to the center")
            if not self.sphere.contains(nearest):
                return None
            while not self.sphere.contains(inner):
                inner = [(a + b) / 2 for a, b in zip(inner, nearest)]
        return _rounded(rows, inner, self.sphere)


def _rounded(rows: tuple[Row, ...], inner: Sequence[Fraction], sphere: Sphere | None) -> Cell:
    """The cell with an interior point of few digits that is near the given one."""
    exponent = 2
    while True:
        cell = Cell(rows, tuple(round(x * (1 << exponent)) for x in inner), exponent, sphere)
        if all(cell.value(row) > 0 for row in rows) and (sphere is None or sphere.contains(cell.fractions)):
            return cell
        exponent *= 2


def whole(count: int) -> Cell:
    """All of R^count; the point is none that matters, since every network without biases changes its pieces at 0."""
    return Cell((), tuple(3 * k * k - 7 * k + 5 for k in range(count)), 3)


def box(low: Sequence[Fraction], high: Sequence[Fraction]) -> Cell:
    """The inside of a box, whose ends differ."""
    cell = whole(len(low))
    for k, (a, b) in enumerate(zip(low, high)):
        for sign, end in ((1, a), (-1, b)):
            row = [0] * (len(low) + 1)
            row[k], row[-1] = sign * end.denominator, -sign * end.numerator
            found = cell.cut(row)
            if found is None:
                raise ValueError("the box has no inside")
            cell = found
    return cell


def within(cell: Cell, center: Sequence[Fraction], squared_radius: Fraction) -> Cell:
    """The part of a cell inside of a sphere."""
    sphere = Sphere(tuple(center), squared_radius)
    found = Cell(cell.rows, cell.point, cell.exponent, sphere)._with(cell.rows, list(cell.fractions))
    if found is None:
        raise ValueError("the cell has no points inside of the sphere")
    return found
