"""The kernel of an integer matrix, without fractions."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd


def kernel_vector(columns: Sequence[Sequence[int]]) -> list[int] | None:
    """The integers w, not all zero, with `sum_k w_k columns[k] = 0`, if they are unique up to a factor, else None.

    Gauss and Jordan's elimination as Bareiss has it: every entry on the way is a minor of the matrix, so that the
    divisions are exact and numbers stay as short as they can be.
    """
    rows = [list(row) for row in zip(*columns, strict=True) if any(row)]
    pivots: list[int] = []
    previous = 1
    for column in range(len(columns)):
        place = len(pivots)
        at = next((r for r in range(place, len(rows)) if rows[r][column]), None)
        if at is None:
            continue
        rows[place], rows[at] = rows[at], rows[place]
        pivot = rows[place]
        for r, row in enumerate(rows):
            if r != place:
                factor = row[column]
                rows[r] = [(pivot[column] * a - factor * b) // previous for a, b in zip(row, pivot, strict=True)]
        previous = pivot[column]
        pivots.append(column)
    if len(pivots) != len(columns) - 1:
        return None
    free = next(k for k in range(len(columns)) if k not in pivots)
    found = [0] * len(columns)
    found[free] = previous
    for r, column in enumerate(pivots):
        found[column] = -rows[r][free]
    divisor = gcd(*found)
    return [value // divisor for value in found]
