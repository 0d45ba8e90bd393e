"""The proof `diagonal-dominance`: an integer factor that leaves a diagonally dominant rest."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from .blocks import MAX_WEIGHTS
from .inequality import Inequality, InputGram
from .inequality_matrix import MatrixOfInequality
from .part import EXACT
from .reading import Rejected, integer, members, values
from .stacked_proof import Shape, StackedProof
from .symmetric import Factor, check_dominant

MAX_COORDINATES = 100_000
MAX_FACTOR_ENTRIES = 10**8
#: Of the squares of the lengths of L's rows: twice the multiplications of L L' at most, 32 of which are done at once.
MAX_SQUARES = 10**12


@dataclass(frozen=True)
class FactorProof(StackedProof):
    """2^(2q) P D M D P' - L L' is diagonally dominant, P a permutation of the coordinates.

    If there is an input factor R, M is that of the network in which R stands for what reads the input.
    """

    precision: int  # q
    exponents: list[int]  # d, by coordinate
    order: list[int] | None  # the coordinate of each row of L, None for 0, 1, ...
    start: list[int]  # for row i of L the column of its first stored entry
    factor: list[list[int]]  # row i of L from start[i] to i
    input_scaling: list[int] | None  # c, None if there is no input factor
    square: array[float] | None  # R

    @classmethod
    def read(cls, value: dict[str, Any], shape: Shape) -> FactorProof:
        keys = "kind precision scaling start factor input_factor" + " order" * ("order" in value)
        _, precision, scaling, start, factor, input_factor, *ordered = members(value, "proof", keys)
        precision = integer(precision, "proof.precision", 1, 200)
        n, m = shape.coordinates, shape.rows_of_input
        if input_factor is not None:
            n += m - shape.sizes[0]
        if n > MAX_COORDINATES:
            raise Rejected(f"more than {MAX_COORDINATES} coordinates")
        if shape.weights + (0 if input_factor is None else m**2) > MAX_WEIGHTS:
            raise Rejected(f"more than {MAX_WEIGHTS} weights")
        order = read_permutation(ordered[0], n) if ordered else None
        scaling = values(scaling, "proof.scaling", "q", n, -4000, 4000).tolist()
        start = values(start, "proof.start", "q", n, low=0).tolist()
        if any(first > i for i, first in enumerate(start)):
            raise Rejected("proof.start has a column beyond the diagonal")
        lengths = [i + 1 - first for i, first in enumerate(start)]
        if sum(lengths) > MAX_FACTOR_ENTRIES:
            raise Rejected(f"more than {MAX_FACTOR_ENTRIES} entries of L")
        if sum(length**2 for length in lengths) > MAX_SQUARES:
            raise Rejected(f"L L' takes more than {MAX_SQUARES // 2} multiplications")
        flat, rows, position = values(factor, "proof.factor", "q", sum(lengths)), [], 0
        for length in lengths:
            rows.append(flat[position : position + length].tolist())
            position += length
        input_scaling = square = None
        if input_factor is not None:
            input_scaling, square = members(input_factor, "proof.input_factor", "scaling weights")
            input_scaling = values(input_scaling, "input_factor.scaling", "q", m, -4000, 4000).tolist()
            square = values(square, "input_factor.weights", "d", m**2)
        return cls(precision, scaling, order, start, rows, input_scaling, square)

    def prove(self, inequality: Inequality, exact: bool | None) -> str:
        if self.input_scaling is not None and self.square is not None:
            gram = InputGram(inequality.blocks)
            lacking, _ = gram.missing(self.input_scaling, self.square)
            check_dominant(lacking, "R R' - G G' of the input factor")
            inequality = inequality.reading(gram.replaced(self.square), gram.size)
        inequality.check_work()
        matrix = MatrixOfInequality(inequality, self.order)
        factor = Factor(self.precision, [self.exponents[c] for c in matrix.order], self.start, self.factor)
        lacking, _ = matrix.missing(factor)
        check_dominant(lacking, "the residue E")
        return EXACT

    @property
    def scaling(self) -> list[int]:
        return self.exponents

    @property
    def input_weights(self) -> array[float] | None:
        return self.square


def read_permutation(value: Any, count: int) -> list[int]:
    """Return a permutation of the coordinates."""
    order = values(value, "proof.order", "q", count, 0, count - 1).tolist()
    if len(set(order)) != count:
        raise Rejected("proof.order has a coordinate twice")
    return order
