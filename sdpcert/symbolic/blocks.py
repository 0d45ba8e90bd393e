"""Block matrices of expressions."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.expression import Expression, as_expression, identity, zero
from sdpcert.symbolic.notation import LATEX, TEXT, Notation
from sdpcert.symbolic.symbols import Dimension, Symbol


class Block:
    """A matrix partitioned into expressions, `rows` by `columns` of them; `+`, `-`, `@`, `.T` as for matrices."""

    __array_priority__ = 200

    def __init__(self, entries: Sequence[Sequence[Expression]]) -> None:
        self.entries = tuple(tuple(row) for row in entries)
        self.row_sizes: tuple[Dimension, ...] = tuple(row[0].rows for row in self.entries)
        self.column_sizes: tuple[Dimension, ...] = tuple(e.columns for e in self.entries[0])
        for i, row in enumerate(self.entries):
            if len(row) != len(self.column_sizes):
                raise AlgebraError(f"row {i} of the block matrix has {len(row)} blocks, row 0 {len(self.column_sizes)}")
            for k, entry in enumerate(row):
                if entry.shape != (self.row_sizes[i], self.column_sizes[k]):
                    raise AlgebraError(
                        f"block ({i}, {k}) is {entry.rows} x {entry.columns}, its row and column are "
                        f"{self.row_sizes[i]} x {self.column_sizes[k]}"
                    )

    @property
    def T(self) -> Block:
        """The transpose."""
        return Block([[row[k].T for row in self.entries] for k in range(len(self.column_sizes))])

    def map(self, change: Callable[[Expression], Expression]) -> Block:
        """The block matrix of changed entries."""
        return Block([[change(entry) for entry in row] for row in self.entries])

    def symbols(self) -> set[Symbol]:
        """The symbols that occur."""
        return {s for row in self.entries for entry in row for s in entry.symbols()}

    def __add__(self, other: Any) -> Block:
        other = as_block(other)
        if (self.row_sizes, self.column_sizes) != (other.row_sizes, other.column_sizes):
            raise AlgebraError("block matrices with different partitions cannot be added")
        return Block([[a + b for a, b in zip(x, y)] for x, y in zip(self.entries, other.entries)])

    def __neg__(self) -> Block:
        return self.map(lambda e: -e)

    def __sub__(self, other: Any) -> Block:
        return self + -as_block(other)

    def __mul__(self, other: Any) -> Block:
        if not isinstance(other, numbers.Rational | Expression):
            return NotImplemented
        return self.map(lambda e: e * other)

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Block:
        other = as_block(other)
        if self.column_sizes != other.row_sizes:
            raise AlgebraError(f"cannot multiply blocks with columns {self.column_sizes} by rows {other.row_sizes}")
        made = []
        for row in self.entries:
            sums = []
            for k in range(len(other.column_sizes)):
                total = zero(row[0].rows, other.column_sizes[k])
                for i, entry in enumerate(row):
                    total = total + entry @ other.entries[i][k]
                sums.append(total)
            made.append(sums)
        return Block(made)

    def __rmatmul__(self, other: Any) -> Block:
        return as_block(other) @ self

    def __bool__(self) -> bool:
        return any(entry for row in self.entries for entry in row)

    def minus(self, right: Any) -> Block:
        """The difference to a block matrix, an expression or a multiple of the identity (one block), or 0."""
        if isinstance(right, int) and right == 0:
            return self
        return self - (right if isinstance(right, Block) else as_expression(right, self.entries[0][0].shape))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def shown(self, notation: Notation) -> str:
        """The blocks; a single one without brackets."""
        rows = [[entry.shown(notation) for entry in row] for row in self.entries]
        return rows[0][0] if len(rows) == len(rows[0]) == 1 else notation.matrix(rows)

    def __repr__(self) -> str:
        return self.shown(TEXT)

    def _repr_latex_(self) -> str:
        return f"${self.shown(LATEX)}$"


def as_block(value: Any) -> Block:
    """An expression as a block matrix of one block; block matrices as they are."""
    if isinstance(value, Block):
        return value
    if isinstance(value, Expression):
        return Block([[value]])
    raise AlgebraError(f"{value!r} is neither an expression nor a block matrix")


def block(entries: Sequence[Sequence[Any]]) -> Block:
    """A block matrix; 0 stands for a block of zeros, 1 for an identity, with the size of its row and column."""
    rows = [next((e.rows for e in row if isinstance(e, Expression)), None) for row in entries]
    columns = [next((e.columns for e in column if isinstance(e, Expression)), None) for column in zip(*entries)]
    # An identity has as many rows as columns, so it passes a size on.
    for _ in range(len(rows) + len(columns)):
        for i, row in enumerate(entries):
            for k, entry in enumerate(row):
                if not isinstance(entry, Expression) and entry == 1:
                    rows[i] = columns[k] = rows[i] if rows[i] is not None else columns[k]
    made = []
    for i, row in enumerate(entries):
        line = []
        for k, entry in enumerate(row):
            if not isinstance(entry, Expression):
                height, width = rows[i], columns[k]
                if height is None or width is None:
                    raise AlgebraError(f"the size of block ({i}, {k}) does not follow from the others")
                shape = (height, width)
                entry = identity(height) if entry == 1 and height == width else as_expression(entry, shape)
            line.append(entry)
        made.append(line)
    return Block(made)


def symmetric_block(upper: Sequence[Sequence[Any]]) -> Block:
    """A symmetric block matrix from its upper triangle: row i lists the blocks (i, i), (i, i + 1), ..."""
    size = len(upper)
    full: list[list[Any]] = [[0] * size for _ in range(size)]
    for i, row in enumerate(upper):
        for offset, entry in enumerate(row):
            full[i][i + offset] = entry
            if offset:
                full[i + offset][i] = entry.T if isinstance(entry, Expression) else entry
    return block(full)


def diagonal_block(*entries: Any) -> Block:
    """A block diagonal matrix."""
    return block([[entry if i == k else 0 for k in range(len(entries))] for i, entry in enumerate(entries)])
