"""Exact arithmetic with floats held as integers, and proofs that a symmetric matrix is diagonally dominant.

A float64 x is held as the integer x 2^b ("b fraction bits"), with one b for all numbers of a sort; nothing is ever
rounded.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

PANEL = 32  # rows multiplied at once; a matter of speed only

Rows = list[defaultdict[int, int]]  # lower triangle of a symmetric matrix: rows[i][j] is entry (i, j), j <= i


def fraction_bits(numbers: Iterable[float]) -> int:
    """Return the least b >= 0 for which every number times 2^b is an integer."""
    return max((x.as_integer_ratio()[1].bit_length() for x in numbers), default=1) - 1


def fixed(number: float, bits: int) -> int:
    """Return number times 2^bits, exactly; bits is at least `fraction_bits` of the number."""
    numerator, denominator = number.as_integer_ratio()
    return numerator << (bits + 1 - denominator.bit_length())


def rounded_up(number: float, bits: int) -> int:
    """Return number times 2^bits, rounded up."""
    numerator, denominator = number.as_integer_ratio()
    return -((-numerator << bits) // denominator)


def rounded_to(number: int, bits: int, wanted: int, down: bool) -> int:
    """Return an integer over 2^bits as one over 2^wanted, rounded down or up."""
    if wanted >= bits:
        return number << wanted - bits
    return number >> bits - wanted if down else -(-number >> bits - wanted)


def products(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]], start: list[int]) -> Iterator[list[int]]:
    """For i = 0, 1, ... yield the exact dot products of left row i with the right rows j = start[i], ..., i.

    Row i, left or right, is stored from column start[i] on and zero elsewhere; if two rows j < i may have columns in
    common, start[i] <= j. Nearly all the time of a check is spent here, so a panel of left rows goes into one long
    integer per column, sum over rows t of left_t 2^(8 size t), and one multiplication serves the panel. The fields
    of the result are signed; `size` bytes hold the largest dot product possible, so none runs into the next.
    """
    bound = max((max(map(len, rows)) * largest(left) * largest(right) for rows in (left, right) if rows), default=0)
    size = bound.bit_length() // 8 + 1  # bound < 2^(8 size - 1)
    half = 1 << (8 * size - 1)
    for top in range(0, len(left), PANEL):
        panel = range(top, min(top + PANEL, len(left)))
        base = min(start[i] for i in panel)
        packed = [0] * (max(start[i] + len(left[i]) for i in panel) - base)
        for i in reversed(panel):
            packed = [x << 8 * size for x in packed]
            for column, x in enumerate(left[i], start[i] - base):
                packed[column] += x
        bias = sum(half << 8 * size * t for t in range(len(panel)))  # makes every field nonnegative
        results: list[list[int]] = [[] for _ in panel]
        for j in range(base, panel.stop):
            begin = max(base, start[j])
            total = sum(map(operator.mul, right[j][begin - start[j] :], packed[begin - base :]))
            fields = (total + bias).to_bytes(size * len(panel), "little")
            for t, i in enumerate(panel):
                if start[i] <= j <= i:
                    results[t].append(int.from_bytes(fields[t * size : (t + 1) * size], "little") - half)
        yield from results


def largest(rows: Sequence[Sequence[int]]) -> int:
    """Return the largest absolute value."""
    return max((max(max(row), -min(row)) for row in rows if row), default=0)


def add_squares(matrix: Rows, terms: Iterable[tuple[list[tuple[int, int]], int]]) -> None:
    """Add the sum of weight v v' over the terms (v, weight), a sparse v given as (index, value), index increasing."""
    # Vectors with the same nonzero positions (a dense layer, one place of a convolution) are added together.
    families: defaultdict[tuple[int, ...], list[tuple[list[int], int]]] = defaultdict(list)
    for vector, weight in terms:
        families[tuple(i for i, _ in vector)].append(([x for _, x in vector], weight))
    for positions, members_of_family in families.items():
        weights = [weight for _, weight in members_of_family]
        right = list(zip(*(vector for vector, _ in members_of_family), strict=True))
        left = [list(map(operator.mul, weights, column)) for column in right]
        for i, row in zip(positions, products(left, right, [0] * len(positions)), strict=True):
            target = matrix[i]
            for j, x in zip(positions, row, strict=False):  # j <= i
                target[j] += x


def missing_dominance(rows: Iterable[dict[int, int]], allowances: list[int]) -> list[int]:
    """What each diagonal entry of a symmetric matrix, or of one near it, may lack for diagonal dominance.

    The rows are those of the lower triangle; an allowance is the sum of what the entries of a row, the diagonal one
    included, may change. If nothing is above zero, the matrices are diagonally dominant with nonnegative diagonal.
    """
    lacking = list(allowances)
    for i, row in enumerate(rows):
        for j, entry in row.items():
            if i == j:
                lacking[i] -= entry
            else:
                size = abs(entry)
                lacking[i] += size
                lacking[j] += size
    return lacking
