"""Exact elimination on sparse rows of rational numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

#: Coefficients by the unknown that they belong to.
Row = dict[Any, Fraction]


def reduced(rows: Iterable[Row], order: Sequence[Any]) -> dict[Any, Row]:
    """The reduced echelon form: for every pivot, the row that has the coefficient 1 there and no other pivot.

    Unknowns that come first in `order` become pivots first; a key that is not in `order` (a right-hand side) never is.
    A row that has such keys alone is left under the key None.
    """
    rank = {key: k for k, key in enumerate(order)}
    done: dict[Any, Row] = {}
    users: dict[Any, set[Any]] = {}
    for given in rows:
        row = {key: c for key, c in given.items() if c}
        for key in [k for k in row if k in done]:
            _subtract(row, done[key], row.get(key, Fraction(0)))
        pivots = [k for k in row if k in rank]
        if not pivots:
            if row:
                done[None] = row
            continue
        pivot = min(pivots, key=rank.__getitem__)
        scale = row[pivot]
        row = {k: c / scale for k, c in row.items()}
        for other in list(users.get(pivot, ())):
            if pivot in done[other]:
                _subtract(done[other], row, done[other][pivot])
                for key in row:
                    users.setdefault(key, set()).add(other)
        for key in row:
            users.setdefault(key, set()).add(pivot)
        done[pivot] = row
    return done


def null_space(rows: Iterable[Row], unknowns: Sequence[Any]) -> list[Row]:
    """A basis of the solutions of `row = 0` for all rows."""
    done = reduced(rows, unknowns)
    basis = []
    for free in unknowns:
        if free not in done:
            vector = {free: Fraction(1)}
            vector.update({pivot: -row[free] for pivot, row in done.items() if free in row})
            basis.append(vector)
    return basis


def _subtract(row: Row, other: Row, factor: Fraction) -> None:
    if not factor:
        return
    for key, coefficient in other.items():
        value = row.get(key, Fraction(0)) - factor * coefficient
        if value:
            row[key] = value
        else:
            row.pop(key, None)
