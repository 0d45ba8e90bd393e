"""The point of a polyhedron that is nearest to a given one, in rational arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Point = list[Fraction]
Row = Sequence[int]


def nearest_point(center: Sequence[Fraction], rows: Sequence[Row]) -> Point | None:
    """The point where all rows are nonnegative that is nearest to the center; None if there is none.

    Constraint by constraint: the nearest point that violates the next one moves to its boundary (Seidel's recursion,
    which is right for every strictly convex aim).
    """
    return _nearest(list(center), [], list(rows))


def _nearest(center: Point, equations: list[Row], rows: Sequence[Row]) -> Point | None:
    point = _projection(center, equations)
    for number, row in enumerate(rows):
        if point is None:
            return None
        if sum(a * x for a, x in zip(row, point)) + row[-1] < 0:
            point = _nearest(center, [*equations, row], rows[:number])
    return point


def _projection(center: Point, equations: list[Row]) -> Point | None:
    """The point nearest to the center that solves equations; None if they are dependent."""
    size = len(equations)
    gram = [[Fraction(sum(a * b for a, b in zip(one[:-1], other[:-1]))) for other in equations] for one in equations]
    wanted = [-(sum(a * x for a, x in zip(row, center)) + row[-1]) for row in equations]
    for k in range(size):
        if gram[k][k] == 0:  # the Gram matrix is semidefinite, and so are its Schur complements
            return None
        for i in range(k + 1, size):
            factor = gram[i][k] / gram[k][k]
            if factor:
                gram[i] = [a - factor * b for a, b in zip(gram[i], gram[k])]
                wanted[i] -= factor * wanted[k]
    for k in reversed(range(size)):
        wanted[k] = (wanted[k] - sum(gram[k][j] * wanted[j] for j in range(k + 1, size))) / gram[k][k]
    point = list(center)
    for weight, row in zip(wanted, equations):
        point = [x + weight * a for x, a in zip(point, row)]
    return point
