"""Entries of tensors as short sums of atoms, and what can be done to them exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: The type of atoms' numbers, and the bits that it has.
ATOM, ATOM_BITS = np.int32, 32
#: Bits of a float64 that its fraction takes, and what its exponent is counted from where the fraction is an integer.
FRACTION, BIAS = 52, 1075


@dataclass(frozen=True, eq=False)
class Sums(ShortRepr):
    """Entries (rows): row k has the atoms `atoms[ends[k] : ends[k + 1]]`, ascending, each times its factor, never zero.

    They are the arrays of a sparse matrix by rows; most have a row or two of one entry, where the calls of a library
    for large ones would cost more than all that is done.
    """

    ends: Array
    atoms: Array
    factors: Array

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __rmul__(self, sign: float) -> Sums:
        """Every row times 1 or -1."""
        return Sums(self.ends, self.atoms, sign * self.factors)

    @cached_property
    def lengths(self) -> Array:
        """The number of atoms of every row."""
        return np.diff(self.ends)

    @property
    def owners(self) -> Array:
        """The row of every factor."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def rows(self, chosen: Array) -> Sums:
        """The rows of the given numbers, an empty one for -1."""
        lengths = np.where(chosen < 0, 0, self.lengths[chosen]) if len(self) else np.zeros(len(chosen), dtype=int)
        ends = _ends(lengths)
        places = np.arange(ends[-1]) + np.repeat(self.ends[chosen] - ends[:-1], lengths)
        return Sums(ends, self.atoms[places], self.factors[places])

    def key(self, row: Any) -> tuple[bytes, bytes]:
        """What distinguishes a row."""
        start, end = self.ends[row], self.ends[row + 1]
        return self.atoms[start:end].tobytes(), self.factors[start:end].tobytes()

    def terms(self, row: Any) -> dict[int, Fraction]:
        """The factors of a row by atom."""
        start, end = self.ends[row], self.ends[row + 1]
        named = zip(self.atoms[start:end].tolist(), self.factors[start:end].tolist(), strict=True)
        return {atom: Fraction(factor) for atom, factor in named}

    @property
    def digest(self) -> bytes:
        """What distinguishes a value."""
        digest = hashlib.sha256()
        for part in (self.ends.astype("<i8"), self.atoms.astype("<i8"), self.factors.astype("<f8")):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.digest()


def _ends(lengths: Array) -> Array:
    ends = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def without_zeros(count: int, owners: Array, atoms: Array, factors: Array) -> Sums:
    """The sums of so many rows, of entries in their order."""
    kept = factors != 0
    if not np.all(kept):
        owners, atoms, factors = owners[kept], atoms[kept], factors[kept]
    return Sums(_ends(np.bincount(owners, minlength=count)), atoms, factors)


def units(atoms: Array, factors: Array | None = None) -> Sums:
    """One atom a row, times a factor each."""
    count = len(atoms)
    factors = np.ones(count) if factors is None else np.array(factors, dtype=float)
    if np.all(factors):
        return Sums(np.arange(count + 1), np.array(atoms, dtype=ATOM), factors)
    return without_zeros(count, np.arange(count), np.array(atoms, dtype=ATOM), factors)


def constants(values: Array) -> Sums:
    return units(np.zeros(len(values), dtype=ATOM), values)


def nothing(rows: int) -> Sums:
    return Sums(np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=ATOM), np.zeros(0))


def matrix_rows(matrix: Array) -> Sums:
    """The rows of a matrix as sums of its columns."""
    count, columns = matrix.shape
    factors = matrix.ravel()
    if np.all(factors):
        return Sums(columns * np.arange(count + 1), np.tile(np.arange(columns, dtype=ATOM), count), factors)
    kept = np.flatnonzero(factors)
    owners, atoms = np.divmod(kept, columns)
    return Sums(_ends(np.bincount(owners, minlength=count)), atoms.astype(ATOM), factors[kept])


def stack_rows(parts: Sequence[Sums]) -> Sums:
    if len(parts) == 1:
        return parts[0]
    lengths, atoms, factors = (
        np.concatenate(column) for column in zip(*((p.lengths, p.atoms, p.factors) for p in parts), strict=True)
    )
    return Sums(_ends(lengths), atoms, factors)


def added(left: Sums, right: Sums, sign: float = 1.0) -> Sums:
    """`left + sign right`, in float64."""
    places = np.concatenate([(s.owners << ATOM_BITS) | s.atoms for s in (left, right)])
    factors = np.concatenate([left.factors, sign * right.factors])
    order = np.argsort(places, kind="stable")  # two ascending runs, which are merged
    places, factors = places[order], factors[order]
    first = np.flatnonzero(np.append(True, places[1:] != places[:-1])[: len(places)])
    if len(first) < len(places):
        places, factors = places[first], np.add.reduceat(factors, first)
    return without_zeros(len(left), places >> ATOM_BITS, places.astype(ATOM), factors)


def added_terms(row: dict[int, Fraction], other: dict[int, Fraction], factor: Fraction) -> dict[int, Fraction]:
    """`row + factor other`, without terms that cancel."""
    changed = {a: row.get(a, Fraction(0)) + factor * c for a, c in other.items()}
    return {a: c for a, c in (row | changed).items() if c}


def is_stored_exactly(row: dict[int, Fraction]) -> bool:
    return all(abs(c) <= 2**500 and Fraction(float(c)) == c for c in row.values())


def from_terms(rows: list[dict[int, Fraction]]) -> Sums:
    """Rows of terms whose factors are float64s, none of them zero."""
    atoms = np.array([a for row in rows for a in sorted(row)], dtype=ATOM)
    factors = np.array([float(row[a]) for row in rows for a in sorted(row)])
    return Sums(_ends(np.array([len(row) for row in rows], dtype=np.int64)), atoms, factors)


def is_product(a: Array, b: Array, product: Array) -> Array:
    """Whether each float64 product is sure to be exact: the odd parts of the factors fit into 53 bits together."""
    odd_a, odd_b = _odd_parts(a)[0].astype(float), _odd_parts(b)[0].astype(float)
    short = (np.frexp(odd_a)[1] + np.frexp(odd_b)[1] <= 53) | (odd_a <= 1) | (odd_b <= 1)
    normal = (np.abs(product) >= np.finfo(float).tiny) | (a == 0) | (b == 0)
    return short & normal & np.isfinite(product)


def _odd_parts(values: Array) -> tuple[Array, Array]:
    """Odd integers and exponents with `|values| = odd 2^exponent` (0 for 0), from the bits of float64s."""
    bits = np.ascontiguousarray(values).view(np.int64)
    exponent, integer = (bits >> FRACTION) & 0x7FF, bits & (2**FRACTION - 1)
    normal = exponent > 0
    integer |= normal.astype(np.int64) << FRACTION
    # the lowest bit that is set is a power of two, whose float64 has the exponent that is looked for
    shift = ((integer & -integer).astype(float).view(np.int64) >> FRACTION) - (BIAS - FRACTION)
    shift[integer == 0] = 0
    exponent += shift
    exponent -= BIAS
    exponent += ~normal
    return integer >> shift, exponent


def primitive_rows(sums: Sums) -> tuple[Sums, Array]:
    """Every row over its scale, and the scales: rows that are multiples of each other become the same row.

    The primitive row has odd integers without common factor times powers of two, the first entry positive, the least
    exponent zero. Rows whose entries span more than float64 holds are only made positive at their first entry.
    """
    scales = np.ones(len(sums))
    full = np.flatnonzero(sums.lengths)
    if not len(full):
        return sums, scales
    starts, lengths = sums.ends[full], sums.lengths[full]
    odd, exponent = _odd_parts(sums.factors)
    sign = np.sign(sums.factors[starts])
    divisor = np.gcd.reduceat(odd, starts)
    least = np.minimum.reduceat(exponent, starts)
    wide = np.maximum.reduceat(exponent, starts) - least > 900
    divisor, least = np.where(wide, 1, divisor), np.where(wide, 0, least)
    factors = np.ldexp(sums.factors, np.repeat(-least, lengths)) * np.repeat(sign, lengths)
    if np.any(divisor > 1):  # both are integers times the same power of two, so that the quotient is exact
        factors = factors / np.repeat(divisor.astype(float), lengths)
    scales[full] = np.ldexp(divisor.astype(float), least) * sign
    return Sums(sums.ends, sums.atoms, factors), scales
