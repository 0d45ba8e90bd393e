"""Entries of tensors as short sums of atoms, the rows of a sparse matrix, and what can be done to them exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse

Array = np.ndarray
#: Columns of every matrix of sums: more atoms than a network can have.
WIDTH = 2**31 - 1

#: Entries (rows) as sums of atoms (columns): a canonical `scipy.sparse.csr_array` without stored zeros.
Sums = Any


def canonical(sums: Sums) -> Sums:
    """A canonical copy: SciPy works in place, on arrays that others may hold too."""
    sums = sums.copy()
    sums.sum_duplicates()
    sums.eliminate_zeros()
    return sums


def units(atoms: Array, factors: Array | None = None) -> Sums:
    """One atom a row, times a factor each."""
    rows = len(atoms)
    data = np.ones(rows) if factors is None else np.asarray(factors, dtype=float)
    return canonical(sparse.csr_array((data, atoms.astype(np.int32), np.arange(rows + 1)), shape=(rows, WIDTH)))


def constants(values: Array) -> Sums:
    return units(np.zeros(len(values), dtype=np.int32), values)


def nothing(rows: int) -> Sums:
    return units(np.zeros(rows, dtype=np.int32), np.zeros(rows))


def stack_rows(parts: Sequence[Sums]) -> Sums:
    return parts[0] if len(parts) == 1 else sparse.csr_array(sparse.vstack(parts, format="csr"))


def gather(sums: Sums, indices: Array) -> Sums:
    """The rows of the given numbers, an empty one for -1."""
    if np.any(indices < 0):
        sums, indices = stack_rows([sums, nothing(1)]), np.where(indices < 0, sums.shape[0], indices)
    return sums[indices]


def row_key(sums: Sums, row: Any) -> tuple[bytes, bytes]:
    """What distinguishes a row."""
    start, end = sums.indptr[row], sums.indptr[row + 1]
    return sums.indices[start:end].tobytes(), sums.data[start:end].tobytes()


def terms(sums: Sums, row: Any) -> dict[int, Fraction]:
    """The factors of a row by atom."""
    start, end = sums.indptr[row], sums.indptr[row + 1]
    return {int(a): Fraction(float(c)) for a, c in zip(sums.indices[start:end], sums.data[start:end], strict=True)}


def added(row: dict[int, Fraction], other: dict[int, Fraction], factor: Fraction) -> dict[int, Fraction]:
    """`row + factor other`, without terms that cancel."""
    added = {a: row.get(a, Fraction(0)) + factor * c for a, c in other.items()}
    return {a: c for a, c in (row | added).items() if c}


def is_stored_exactly(row: dict[int, Fraction]) -> bool:
    return all(abs(c) <= 2**500 and Fraction(float(c)) == c for c in row.values())


def from_terms(rows: list[dict[int, Fraction]]) -> Sums:
    """Rows of terms whose factors are float64s."""
    lengths = np.cumsum([0, *map(len, rows)])
    atoms = np.array([a for row in rows for a in sorted(row)], dtype=np.int32)
    factors = np.array([float(row[a]) for row in rows for a in sorted(row)])
    return canonical(sparse.csr_array((factors, atoms, lengths), shape=(len(rows), WIDTH)))


def digest_of(sums: Sums) -> bytes:
    """What distinguishes a value."""
    digest = hashlib.sha256()
    for part in (sums.indptr.astype("<i8"), sums.indices.astype("<i8"), sums.data.astype("<f8")):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()


def is_product(a: Array, b: Array, product: Array) -> Array:
    """Whether each float64 product is sure to be exact: the odd parts of the factors fit into 53 bits together."""
    odd_a, odd_b = np.abs(_odd_parts(a)[0]).astype(float), np.abs(_odd_parts(b)[0]).astype(float)
    short = (np.frexp(odd_a)[1] + np.frexp(odd_b)[1] <= 53) | (odd_a <= 1) | (odd_b <= 1)
    normal = (np.abs(product) >= np.finfo(float).tiny) | (a == 0) | (b == 0)
    return short & normal & np.isfinite(product)


def _odd_parts(values: Array) -> tuple[Array, Array]:
    """Odd integers and exponents with `values = odd 2^exponent` (0 for 0)."""
    mantissa, exponent = np.frexp(values)
    integer = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = integer & -integer
    shift = np.where(integer == 0, 0, np.frexp(lowest.astype(float))[1] - 1)
    return integer >> shift, exponent - 53 + shift


def primitive_rows(sums: Sums) -> tuple[Sums, Array]:
    """Every row over its scale, and the scales: rows that are multiples of each other become the same row.

    The primitive row has odd integers without common factor times powers of two, the first entry positive, the least
    exponent zero. Rows whose entries span more than float64 holds are only made positive at their first entry.
    """
    lengths = np.diff(sums.indptr)
    scales = np.ones(sums.shape[0])
    full = np.flatnonzero(lengths)
    if not len(full):
        return sums, scales
    starts, owner = sums.indptr[full], np.repeat(np.arange(len(full)), lengths[full])
    odd, exponent = _odd_parts(sums.data)
    sign = np.sign(sums.data[starts])
    divisor = np.gcd.reduceat(np.abs(odd), starts)
    least = np.minimum.reduceat(exponent, starts)
    wide = np.maximum.reduceat(exponent, starts) - least > 900
    divisor, least = np.where(wide, 1, divisor), np.where(wide, 0, least)
    data = np.ldexp((odd // divisor[owner]).astype(float), exponent - least[owner]) * sign[owner]
    scales[full] = np.ldexp(divisor.astype(float), least) * sign
    return sparse.csr_array((data, sums.indices, sums.indptr), shape=sums.shape), scales
