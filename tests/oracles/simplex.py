"""A linear programme in integers: the simplex method without fractions, by Bland's rule."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Row = Sequence[int]


def positive_point(objective: Row, rows: Sequence[Row]) -> list[Fraction] | None:
    """A point d where `objective` is positive and no row is negative, or None if there is none.

    `objective` and the rows are affine functions of d in R^n: n coefficients and a constant, all integers. The rows
    have to be nonnegative at d = 0, where the method starts; the variables are free. All entries of the tableau are
    minors of the matrix of rows, so that every division is exact (Edmonds 1967; Avis 2000).
    """
    point = _ascend(objective, rows, until_positive=True)
    return point if sum((a * d for a, d in zip(objective, point)), Fraction(objective[-1])) > 0 else None


def largest_point(objective: Row, rows: Sequence[Row]) -> list[Fraction]:
    """A point d where `objective` is largest among those where no row is negative; arguments as of `positive_point`.

    Raises ArithmeticError if the objective grows for ever.
    """
    return _ascend(objective, rows, until_positive=False)


def _ascend(objective: Row, rows: Sequence[Row], until_positive: bool) -> list[Fraction]:
    """The point where the method ends: the objective is positive there if that was asked for, or largest."""
    count = len(objective) - 1
    table = [list(row) for row in (*rows, objective)]
    last, denominator = len(rows), 1
    outside = list(range(count))  # the variables of the columns, 0 .. n - 1 are those of d, the others slacks of rows
    inside = list(range(count, count + last))  # the variables of the rows
    signs = [1] * count
    while not (until_positive and table[last][count] > 0):
        column = _entering(table[last], outside, count)
        if column is None:
            break
        if table[last][column] < 0:  # a free variable, which moves down
            signs[outside[column]] *= -1
            for row in table:
                row[column] = -row[column]
        pivot = _leaving(table, inside, column, count)
        if pivot is None:  # objective and rows grow for ever
            if not until_positive:
                raise ArithmeticError("the objective has no largest value")
            step = Fraction(1 - table[last][count], table[last][column])
            return _point(table, inside, outside, signs, denominator, (column, step))
        denominator = _exchange(table, pivot, column, denominator)
        inside[pivot], outside[column] = outside[column], inside[pivot]
    return _point(table, inside, outside, signs, denominator, None)


def _entering(objective: Row, outside: list[int], free: int) -> int | None:
    """A column that raises the objective: one of a free variable if there is any, else Bland's."""
    best = None
    for column, name in enumerate(outside):
        if name < free:
            if objective[column]:
                return column
        elif objective[column] > 0 and (best is None or name < outside[best]):
            best = column
    return best


def _leaving(table: list[list[int]], inside: list[int], column: int, free: int) -> int | None:
    """The slack that is first to vanish as a column grows; of several the one with the least name."""
    best = None
    for number, name in enumerate(inside):
        row = table[number]
        if name < free or row[column] >= 0:
            continue
        if best is not None:
            other = table[best]
            difference = row[-1] * other[column] - other[-1] * row[column]
            if difference < 0 or (difference == 0 and name > inside[best]):
                continue
        best = number
    return best


def _exchange(table: list[list[int]], pivot: int, column: int, denominator: int) -> int:
    """Solve the pivot's row for the column's variable, and put that into all other rows; the new denominator.

    A row stands for `denominator * variable = sum of coefficients times variables of the columns + constant`.
    """
    chosen = table[pivot]
    scale = -chosen[column]
    for number, row in enumerate(table):
        if number == pivot:
            continue
        factor = row[column]
        if factor:
            for k, entry in enumerate(chosen):
                row[k] = (factor * entry + row[k] * scale) // denominator
        elif scale != denominator:
            for k, entry in enumerate(row):
                row[k] = entry * scale // denominator
        row[column] = -factor
    chosen[column] = -denominator
    return scale


def _point(
    table: list[list[int]],
    inside: list[int],
    outside: list[int],
    signs: list[int],
    denominator: int,
    ray: tuple[int, Fraction] | None,
) -> list[Fraction]:
    """The values of d, the variables of the columns being zero but for the one of a ray."""
    count = len(signs)
    point = [Fraction(0)] * count
    for name, row in zip(inside, table, strict=False):
        if name < count:
            moved = row[-1] + (row[ray[0]] * ray[1] if ray else 0)
            point[name] = signs[name] * Fraction(moved) / denominator
    if ray and outside[ray[0]] < count:
        point[outside[ray[0]]] = signs[outside[ray[0]]] * ray[1]
    return point
