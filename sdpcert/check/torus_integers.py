"""The condition of a network on a torus proved in integers, with the standard library alone.

1. `Roots` encloses cosines and sines of rational turns in integers;
2. `matrix_at` derives D M(k) D from weights and multipliers, every entry an integer with a bound of its error;
3. `is_definite` finds a factor L in floating point, which needs no trust, and proves that D M D - L L* is diagonally
   dominant with all error bounds added.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

from .integers import fixed, fraction_bits
from .reading import Rejected
from .torus import MAX_WORK, Filter, Torus

PRECISION = 50  # bits of the factor
BITS = 120  # bits of cosines and sines


class Roots:
    """`2^BITS cos` and `sin` of `turns / whole` of a turn as integers, each wrong by less than one."""

    def __init__(self, whole: int) -> None:
        self.whole = whole
        self.found: dict[int, tuple[int, int]] = {}
        guard = BITS + 40
        # Machin: pi = 16 arctan(1/5) - 4 arctan(1/239); the error is far below the guard bits that are dropped.
        self.guard, self.pi = guard, 16 * self._arctan(5, guard) - 4 * self._arctan(239, guard)

    @staticmethod
    def _arctan(inverse: int, bits: int) -> int:
        term = (1 << bits) // inverse
        total, k = term, 1
        while term:
            term //= -(inverse * inverse)
            k += 2
            total += term // k
            if abs(term) < 2:
                break
        return total

    def at(self, turns: int) -> tuple[int, int]:
        """Cosine and sine, exact at quarter turns."""
        turns %= self.whole
        if turns not in self.found:
            self.found[turns] = self._compute(turns)
        return self.found[turns]

    def _compute(self, turns: int) -> tuple[int, int]:
        quarter, rest = divmod(4 * turns, self.whole)  # angle = (quarter + rest / whole) * pi / 2
        if rest == 0:
            cosine, sine = 1 << BITS, 0
        else:
            mirrored = 2 * rest > self.whole
            share = self.whole - rest if mirrored else rest
            x = self.pi * share // (2 * self.whole)
            one = 1 << self.guard
            square = x * x >> self.guard
            cosine, sine, term_c, term_s, k = one, x, one, x, 0
            while term_c or term_s:
                term_c = -(term_c * square >> self.guard) // ((2 * k + 1) * (2 * k + 2))
                term_s = -(term_s * square >> self.guard) // ((2 * k + 2) * (2 * k + 3))
                cosine, sine, k = cosine + term_c, sine + term_s, k + 1
                if k > 60:
                    break
            half = 1 << (self.guard - BITS - 1)
            cosine, sine = (cosine + half) >> (self.guard - BITS), (sine + half) >> (self.guard - BITS)
            if mirrored:
                cosine, sine = sine, cosine
        for _ in range(quarter):
            cosine, sine = -sine, cosine
        return cosine, sine


Symbol = tuple[list[list[int]], list[list[int]], list[list[int]]]  # real parts, imaginary parts, error bounds


def symbol_at(
    block: Filter, weights: list[list[int]], condition: Torus, k: tuple[int, int], roots: Roots, bits: int
) -> Symbol:
    """The block's matrix at a frequency, times 2^(bits + BITS); `weights` are the block's times 2^bits."""
    rows, columns = condition.torus
    turns = [k[0] * a * (roots.whole // rows) + k[1] * b * (roots.whole // columns) for a, b in block.offsets]
    real, imaginary, error = [], [], []
    values = [roots.at(t) for t in turns]
    sure = [c % (1 << BITS) == 0 and s % (1 << BITS) == 0 for c, s in values]
    spread = len(turns) * (Fraction(block.radius) * (1 << bits + BITS)).__ceil__()
    for i in range(block.rows):
        first = i * block.columns
        row_r, row_i, row_e = [], [], []
        for j in range(first, first + block.columns):
            taps = [w[j] for w in weights]
            row_r.append(sum(w * v[0] for w, v in zip(taps, values, strict=True)))
            row_i.append(sum(w * v[1] for w, v in zip(taps, values, strict=True)))
            # Each of cosine and sine is wrong by less than one, so the complex number by less than two.
            row_e.append(2 * sum(abs(w) for w, known in zip(taps, sure, strict=True) if not known) + spread)
        real.append(row_r)
        imaginary.append(row_i)
        error.append(row_e)
    return real, imaginary, error


@dataclass
class Hermitian:
    """Lower triangle of a Hermitian matrix times 2^(2 PRECISION), with bounds of the entries' errors."""

    real: list[list[int]]
    imaginary: list[list[int]]
    error: list[list[int]]

    def add(self, i: int, j: int, entry: tuple[int, int, int]) -> None:
        """Add to entry (i, j), or to its mirror image."""
        a, b, e = entry
        if i < j:
            i, j, b = j, i, -b
        self.real[i][j] += a
        self.imaginary[i][j] += b
        self.error[i][j] += e


def rounded(numerator: int, shift: int) -> int:
    """`numerator / 2^shift` rounded to the nearest integer."""
    if shift <= 0:
        return numerator << -shift
    return (numerator + (1 << (shift - 1))) >> shift


def scaled_up(numerator: int, shift: int) -> int:
    """`numerator / 2^shift` of a nonnegative integer, rounded up."""
    return numerator << -shift if shift <= 0 else -((-numerator) >> shift)


def matrix_at(condition: Torus, symbols: dict[tuple[int, int], Symbol], bits: int, k: tuple[int, int]) -> Hermitian:
    """`2^(2 PRECISION) D M(k) D`."""
    n, last = condition.order, len(condition.sizes) - 1
    start = [sum(condition.sizes[:g]) for g in range(last)]
    result = Hermitian(*([[0] * (i + 1) for i in range(n)] for _ in range(3)))
    unit = 2 * PRECISION
    rho, down = condition.rho.as_integer_ratio()
    for j in range(condition.sizes[0]):
        shift = down.bit_length() - 1 + 2 * condition.scaling[j] - unit
        result.add(j, j, (rounded(rho, shift), 0, 1))
    rows: dict[int, list[int]] = {}
    for target, source in symbols:
        rows.setdefault(target, []).append(source)
    for g in range(1, last):
        for i in range(condition.sizes[g]):
            weight = Fraction(condition.multipliers[g - 1][i])
            low, high = Fraction(condition.alpha[g - 1][i]), Fraction(condition.beta[g - 1][i])
            own = start[g] + i
            numerator, denominator = (2 * weight).as_integer_ratio()
            shift = denominator.bit_length() - 1 + 2 * condition.scaling[own] - unit
            result.add(own, own, (rounded(numerator, shift), 0, 1))
            mixed, denominator = (-weight * (low + high)).as_integer_ratio()
            base = denominator.bit_length() - 1 + condition.scaling[own] + bits + BITS - unit
            for s in rows.get(g, []) if mixed else []:
                real, imaginary, error = symbols[g, s]
                for j in range(condition.sizes[s]):
                    a, b, e = real[i][j], imaginary[i][j], error[i][j]
                    if a or b or e:
                        shift = base + condition.scaling[start[s] + j]
                        entry = (rounded(mixed * a, shift), rounded(mixed * b, shift))
                        result.add(own, start[s] + j, (*entry, scaled_up(abs(mixed) * e, shift) + 2))
            add_square(result, condition, symbols, rows.get(g, []), (g, i), 2 * weight * low * high, bits, start)
    if condition.pooled and k != (0, 0):
        return result
    factor = -(Fraction(4) ** -condition.exponent) * (condition.cells if condition.pooled else 1)
    for o in range(condition.sizes[-1]):
        weight = factor * Fraction(condition.metric[o])
        add_square(result, condition, symbols, rows.get(last, []), (last, o), weight, bits, start)
    return result


def add_square(
    result: Hermitian,
    condition: Torus,
    symbols: dict[tuple[int, int], Symbol],
    sources: list[int],
    row: tuple[int, int],
    weight: Fraction,
    bits: int,
    start: list[int],
) -> None:
    """Add `weight * k* k` for one row k of a symbol."""
    if not weight:
        return
    numerator, denominator = weight.as_integer_ratio()
    base = denominator.bit_length() - 1 + 2 * (bits + BITS) - 2 * PRECISION
    entries = []
    for s in sources:
        real, imaginary, error = (values[row[1]] for values in symbols[row[0], s])
        for j in range(condition.sizes[s]):
            if real[j] or imaginary[j] or error[j]:
                size = abs(real[j]) + abs(imaginary[j])
                entries.append((start[s] + j, real[j], imaginary[j], error[j], size))
    for position, (j, a, b, e, size) in enumerate(entries):
        for l, c, d, f, other in entries[: position + 1]:
            # conj(a + bi) (c + di) is entry (j, l).
            shift = base + condition.scaling[j] + condition.scaling[l]
            entry = (rounded(numerator * (a * c + b * d), shift), rounded(numerator * (a * d - b * c), shift))
            spread = size * f + e * other + e * f
            result.add(j, l, (*entry, scaled_up(abs(numerator) * spread, shift) + 2))


def float_factor(matrix: Hermitian, shift: float) -> list[list[complex]] | None:
    """A Cholesky factor of the matrix minus `shift` in floating point, or None."""
    n = len(matrix.real)
    unit = 2.0 ** (-2 * PRECISION)
    factor: list[list[complex]] = []
    for i in range(n):
        row: list[complex] = []
        for j in range(i + 1):
            value = complex(matrix.real[i][j] * unit, matrix.imaginary[i][j] * unit)
            other = factor[j] if j < i else row
            value -= sum(a * b.conjugate() for a, b in zip(row, other, strict=False))
            if j < i:
                row.append(value / factor[j][j].real)
            else:
                pivot = value.real - shift
                if not pivot > 0:
                    return None
                row.append(complex(math.sqrt(pivot), 0.0))
        factor.append(row)
    return factor


def is_definite(matrix: Hermitian) -> bool:
    """Prove that the matrix is positive semidefinite: what a factor leaves is diagonally dominant."""
    n = len(matrix.real)
    try:
        sizes = [row[-1] / 4**PRECISION for row in matrix.real]
        # The factor has to leave room for the error bounds, however small the rest of the room may be.
        columns = itertools.zip_longest(*matrix.error, fillvalue=0)
        allowance = (max(map(sum, matrix.error), default=0) + max(map(sum, columns), default=0)) / 4**PRECISION
    except OverflowError:
        return False
    if any(size < 0 for size in sizes) or not n:
        return not n
    for bits in (34, 38, 41, 44, 47):
        factor = float_factor(matrix, max(sizes) * 2.0**-bits + 1.25 * allowance)
        if factor is not None and leaves_dominant(matrix, factor):
            return True
    return False


def leaves_dominant(matrix: Hermitian, factor: list[list[complex]]) -> bool:
    """Whether `2^(2q) D M D - L L*` is diagonally dominant, with all error bounds added; L is the rounded factor."""
    n, unit = len(factor), float(1 << PRECISION)
    real = [[round(v.real * unit) for v in row] for row in factor]
    imaginary = [[round(v.imag * unit) for v in row] for row in factor]
    complex_entries = any(any(row) for row in imaginary)
    sums, diagonal = [0] * n, [0] * n
    for i in range(n):
        for j in range(i + 1):
            a = matrix.real[i][j] - sum(map(int.__mul__, real[i], real[j]))
            b = matrix.imaginary[i][j]
            if complex_entries:
                a -= sum(map(int.__mul__, imaginary[i], imaginary[j]))
                b -= sum(map(int.__mul__, imaginary[i], real[j])) - sum(map(int.__mul__, real[i], imaginary[j]))
            if i == j:
                diagonal[i] = a - matrix.error[i][i]
            else:
                size = (math.isqrt(a * a + b * b) + 1 if b else abs(a)) + matrix.error[i][j]
                sums[i] += size
                sums[j] += size
    return all(own >= rest for own, rest in zip(diagonal, sums, strict=True))


def prove(condition: Torus) -> None:
    """Prove that M(k) is positive semidefinite at every frequency; raise Rejected."""
    if condition.work > MAX_WORK:
        raise Rejected("the network on a torus is too large to be proved in integers")
    roots = Roots(math.lcm(*condition.torus))
    bits = fraction_bits(w for block in condition.blocks for tap in block.weights for w in tap)
    integers = [[[fixed(w, bits) for w in tap] for tap in block.weights] for block in condition.blocks]
    for k in condition.frequencies():
        symbols = {
            (b.target, b.source): symbol_at(b, w, condition, k, roots, bits)
            for b, w in zip(condition.blocks, integers, strict=True)
        }
        if not is_definite(matrix_at(condition, symbols, bits, k)):
            raise Rejected(f"M is not proved positive semidefinite at frequency {k}")
