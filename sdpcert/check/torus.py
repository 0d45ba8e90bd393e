"""Check a certificate made of parts (format version 2) in integer arithmetic, with the standard library alone.

    python torus.py CERT.json        exit 0: proved, 1: rejected, 2: unreadable file or wrong usage

Written from docs/certificate-format.md; imports nothing but `checker.py`, which must lie beside it: parts of kind
"stacked" are certificates of version 1. For a part of kind "torus" one Hermitian matrix M(k) a frequency k has to be
positive semidefinite:

1. `parse` turns the file into checked values; every limit is compared before the work starts;
2. `Roots` encloses cosines and sines of rational turns in integers;
3. `matrix_at` derives D M(k) D from weights and multipliers, every entry an integer with a bound of its error;
4. `is_definite` finds a factor L in floating point, which needs no trust, and proves that D M D - L L* is diagonally
   dominant with all errors charged.

Certificates too large for integers are for `floating_checker.py`.
"""

import hashlib
import itertools
import math
import os
import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

if __package__:
    from sdpcert.check import checker
else:  # run alone: the two files lie in one folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import checker  # type: ignore[no-redef]

Rejected, Unreadable, CheckResult = checker.Rejected, checker.Unreadable, checker.CheckResult

MAX_PARTS = 100
MAX_SIDE = 4096
MAX_CHANNELS = 20_000
MAX_TAPS = 10**6
MAX_WEIGHTS = 10**8
#: Frequencies times order cubed, up to which integers are used: a few minutes.
MAX_WORK = 3 * 10**8
PRECISION = 50  # bits of the factor
BITS = 120  # bits of cosines and sines


@dataclass(frozen=True)
class Filter:
    """A block: `weights[m][i][j]` maps channel j at the cell moved by `offsets[m]` to channel i."""

    target: int
    source: int
    radius: float
    offsets: list[tuple[int, int]]
    weights: "list[array[float]]"  # one array of rows * columns a tap
    rows: int
    columns: int


@dataclass(frozen=True)
class TorusPart:
    """A part of kind "torus", checked for form."""

    upper: float
    torus: tuple[int, int]
    pooled: bool
    sizes: list[int]  # channels of the input, of each group, of the output
    alpha: "list[array[float]]"
    beta: "list[array[float]]"
    multipliers: "list[array[float]]"
    blocks: list[Filter]
    sha256: str
    rho: float
    exponent: int
    metric: "array[float]"
    scaling: list[int]

    @property
    def order(self) -> int:
        """Order of the matrices."""
        return sum(self.sizes[:-1])

    def frequencies(self) -> Iterator[tuple[int, int]]:
        """One of every pair of opposite frequencies."""
        rows, columns = self.torus
        for k in range(rows):
            for l in range(columns):
                if (k, l) <= ((rows - k) % rows, (columns - l) % columns):
                    yield k, l


@dataclass(frozen=True)
class StackedPart:
    """A part of kind "stacked": a document of version 1, and how it reads the part before it."""

    upper: float
    document: dict[str, Any]
    sha256: str
    inputs: int
    layout: list[int] | None
    scale: "array[float] | None"


Part = TorusPart | StackedPart


@dataclass(frozen=True)
class Parsed:
    """A certificate of version 2, checked for form and for how the parts fit together."""

    upper: float
    lower: float | None
    parts: list[Part]
    sha256: str


def parse(document: Any) -> Parsed:
    """Return the checked content; raise Rejected."""
    keys = "format version claim upper parts attained information"
    form, version, claim, upper, parts, attained, information = checker.members(document, "the certificate", keys)
    if form != "sdpcert-certificate":
        raise Rejected("format is not 'sdpcert-certificate'")
    checker.integer(version, "version", 2, 2)
    if type(claim) is not str or type(information) is not dict:
        raise Rejected("claim is not a string or information is not an object")
    upper = checker.real(upper, "upper", 0.0)
    if type(parts) is not list or not 1 <= len(parts) <= MAX_PARTS:
        raise Rejected(f"parts is not a list of 1 to {MAX_PARTS} parts")
    parsed: list[Part] = []
    for p, part in enumerate(parts):
        if type(part) is not dict:
            raise Rejected(f"parts[{p}] is not an object")
        kind = part.get("kind")
        if kind == "torus" and p == 0:
            parsed.append(parse_torus(part))
        elif kind == "stacked":
            parsed.append(parse_stacked(part, p))
        else:
            raise Rejected(f"parts[{p}] is no part of kind 'torus' at the beginning or 'stacked'")
    check_joints(parsed)
    bound = Fraction(1)
    for part in parsed:
        bound *= Fraction(part.upper)
    if Fraction(upper) < bound:
        raise Rejected("upper is less than the product of the parts' bounds")
    lower = None
    if attained is not None:
        lower, _, _ = checker.members(attained, "attained", "lower x x_prime")
        lower = checker.real(lower, "attained.lower")
        if lower > upper:
            raise Rejected("attained.lower is greater than upper")
    digest = hashlib.sha256("\n".join(part.sha256 for part in parsed).encode()).hexdigest()
    return Parsed(upper, lower, parsed, digest)


def parse_stacked(part: Any, p: int) -> StackedPart:
    """Return a part of kind "stacked"."""
    _, upper, network, multipliers, proof, reads = checker.members(
        part, f"parts[{p}]", "kind upper network multipliers proof reads"
    )
    document = {
        "format": "sdpcert-certificate",
        "version": 1,
        "claim": "",
        "upper": upper,
        "network": network,
        "multipliers": multipliers,
        "proof": proof,
        "attained": None,
        "information": {},
    }
    certificate = checker.parse_certificate(document)
    layout = scale = None
    inputs = certificate.sizes[0]
    if (reads is None) != (p == 0):
        raise Rejected(f"parts[{p}].reads must be null for the first part, and an object for the others")
    if reads is not None:
        layout, scale = checker.members(reads, f"parts[{p}].reads", "layout scale")
        layout = checker.values(layout, f"parts[{p}].reads.layout", "q", inputs, 0, 10**9).tolist()
        scale = checker.values(scale, f"parts[{p}].reads.scale", "d", inputs, math.ulp(0.0))
        if len(set(layout)) != len(layout):
            raise Rejected(f"parts[{p}].reads.layout has an index twice")
    return StackedPart(certificate.upper, document, certificate.sha256, inputs, layout, scale)


def parse_torus(part: Any) -> TorusPart:
    """Return a part of kind "torus"."""
    _, upper, network, multipliers, proof, reads = checker.members(
        part, "parts[0]", "kind upper network multipliers proof reads"
    )
    if reads is not None:
        raise Rejected("parts[0].reads is not null")
    upper = checker.real(upper, "parts[0].upper", 0.0)
    keys = "torus inputs outputs pooled groups blocks sha256"
    torus, inputs, outputs, pooled, groups, blocks, sha256 = checker.members(network, "network", keys)
    if type(torus) is not list or len(torus) != 2:
        raise Rejected("network.torus is not a list of two sizes")
    rows, columns = (checker.integer(side, "a side of the torus", 1, MAX_SIDE) for side in torus)
    if type(pooled) is not bool or type(groups) is not list or type(blocks) is not list:
        raise Rejected("network.pooled is no boolean, or network.groups or network.blocks no list")
    if len(groups) > MAX_CHANNELS or len(blocks) > MAX_CHANNELS:
        raise Rejected("too many groups or blocks")
    groups = [checker.members(group, f"group {g}", "size activation alpha beta") for g, group in enumerate(groups, 1)]
    sizes = [checker.integer(inputs, "network.inputs", 1, MAX_CHANNELS)]
    sizes += [checker.integer(group[0], f"size of group {g}", 1, MAX_CHANNELS) for g, group in enumerate(groups, 1)]
    sizes += [checker.integer(outputs, "network.outputs", 1, MAX_CHANNELS)]
    if sum(sizes) > 2 * MAX_CHANNELS:
        raise Rejected(f"more than {2 * MAX_CHANNELS} channels")
    digest = hashlib.sha256(b"sdpcert-torus-1")
    digest.update(struct.pack("<6q", rows, columns, sizes[0], sizes[-1], len(groups), int(pooled)))
    alpha, beta = [], []
    for g, (size, activation, low, high) in enumerate(groups, 1):
        if type(activation) is not str:
            raise Rejected(f"activation of group {g} is not a string")
        alpha.append(checker.values(low, f"alpha of group {g}", "d", size))
        beta.append(checker.values(high, f"beta of group {g}", "d", size))
        if any(a > b for a, b in zip(alpha[-1], beta[-1], strict=True)):
            raise Rejected(f"group {g} has alpha > beta")
        digest.update(struct.pack("<q", size) + checker.little_endian(alpha[-1]) + checker.little_endian(beta[-1]))
    filters, previous, total = [], (0, 0), 0
    for b, block in enumerate(blocks):
        target, source, radius, taps, offsets, weights = checker.members(
            block, f"blocks[{b}]", "to from radius taps offsets weights"
        )
        target = checker.integer(target, f"blocks[{b}].to", 1, len(groups) + 1)
        source = checker.integer(source, f"blocks[{b}].from", 0, target - 1)
        if (target, source) <= previous:
            raise Rejected(f"blocks[{b}] is a duplicate or out of order")
        previous = (target, source)
        taps = checker.integer(taps, f"blocks[{b}].taps", 1, MAX_TAPS)
        entries = sizes[target] * sizes[source]
        total += taps * entries
        if total > MAX_WEIGHTS:
            raise Rejected(f"more than {MAX_WEIGHTS} weights")
        radius = checker.real(radius, f"blocks[{b}].radius", 0.0)
        offsets = checker.values(offsets, f"blocks[{b}].offsets", "q", 2 * taps, -(2**31), 2**31)
        weights = checker.values(weights, f"blocks[{b}].weights", "d", taps * entries)
        pairs = list(zip(offsets[0::2], offsets[1::2], strict=True))
        if any(first >= second for first, second in itertools.pairwise(pairs)):
            raise Rejected(f"blocks[{b}].offsets are not ascending")
        if pooled and target == len(groups) + 1 and pairs != [(0, 0)]:
            raise Rejected("the output of a pooled network has an offset")
        digest.update(struct.pack("<3q", target, source, taps) + struct.pack("<d", radius))
        digest.update(checker.little_endian(offsets) + checker.little_endian(weights))
        each = [weights[m * entries : (m + 1) * entries] for m in range(taps)]
        filters.append(Filter(target, source, radius, pairs, each, sizes[target], sizes[source]))
    if sha256 != digest.hexdigest():
        raise Rejected("network.sha256 is not the hash of the network")

    rho, lambdas, exponent, metric = checker.members(multipliers, "multipliers", "rho lambda exponent metric")
    rho = checker.real(rho, "multipliers.rho", 0.0)
    exponent = checker.integer(exponent, "multipliers.exponent", -1100, 1100)
    if type(lambdas) is not list or len(lambdas) != len(groups):
        raise Rejected("multipliers.lambda is not a list of one array a group")
    lambdas = [checker.values(v, f"lambda of group {g}", "d", sizes[g], 0.0) for g, v in enumerate(lambdas, 1)]
    metric = checker.values(metric, "multipliers.metric", "d", sizes[-1], math.ulp(0.0))
    if Fraction(upper) ** 2 < Fraction(4) ** exponent * Fraction(rho):
        raise Rejected("parts[0].upper is less than 2^s sqrt(rho)")
    kind, level, scaling = checker.members(proof, "proof", "kind level scaling")
    if kind != "frequency" or level not in ("exact", "floating-point"):
        raise Rejected("proof is not of kind 'frequency', level 'exact' or 'floating-point'")
    scaling = checker.values(scaling, "proof.scaling", "q", sum(sizes[:-1]), -4000, 4000).tolist()
    return TorusPart(
        upper, (rows, columns), pooled, sizes, alpha, beta, lambdas, filters, sha256, rho, exponent, metric, scaling
    )  # fmt: skip


def check_joints(parts: list[Part]) -> None:
    """Every part must read the part before it in the metric that was proved there."""
    for p, part in enumerate(parts):
        after = parts[p + 1] if p + 1 < len(parts) else None
        if isinstance(part, TorusPart) and after is None and any(d < 1 for d in part.metric):
            raise Rejected("multipliers.metric is below 1 where the output is the network's")
        if not isinstance(after, StackedPart):
            continue
        if after.layout is None or after.scale is None:
            raise Rejected(f"parts[{p + 1}] does not say what it reads")
        if isinstance(part, TorusPart):
            cells = 1 if part.pooled else part.torus[0] * part.torus[1]
            size = part.sizes[-1] * cells
            squares = [Fraction(d) for d in part.metric]
        else:
            cells, size = 1, part.document["network"]["outputs"]
            squares = [Fraction(1)] * size
        for index, t in zip(after.layout, after.scale, strict=True):
            if index >= size:
                raise Rejected(f"parts[{p + 1}].reads.layout has an index beyond the part before it")
            if squares[index // cells] * Fraction(t) ** 2 < 1:
                raise Rejected(f"parts[{p + 1}].reads.scale is too small for the metric of the part before it")


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
    block: Filter, weights: list[list[int]], part: TorusPart, k: tuple[int, int], roots: Roots, bits: int
) -> Symbol:
    """The block's matrix at a frequency, times 2^(bits + BITS); `weights` are the block's times 2^bits."""
    rows, columns = part.torus
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


def matrix_at(part: TorusPart, symbols: dict[tuple[int, int], Symbol], bits: int, k: tuple[int, int]) -> Hermitian:
    """`2^(2 PRECISION) D M(k) D`."""
    n, last = part.order, len(part.sizes) - 1
    start = [sum(part.sizes[:g]) for g in range(last)]
    result = Hermitian(*([[0] * (i + 1) for i in range(n)] for _ in range(3)))
    unit = 2 * PRECISION
    rho, down = part.rho.as_integer_ratio()
    for j in range(part.sizes[0]):
        shift = down.bit_length() - 1 + 2 * part.scaling[j] - unit
        result.add(j, j, (rounded(rho, shift), 0, 1))
    rows: dict[int, list[int]] = {}
    for target, source in symbols:
        rows.setdefault(target, []).append(source)
    for g in range(1, last):
        for i in range(part.sizes[g]):
            weight = Fraction(part.multipliers[g - 1][i])
            low, high = Fraction(part.alpha[g - 1][i]), Fraction(part.beta[g - 1][i])
            own = start[g] + i
            numerator, denominator = (2 * weight).as_integer_ratio()
            shift = denominator.bit_length() - 1 + 2 * part.scaling[own] - unit
            result.add(own, own, (rounded(numerator, shift), 0, 1))
            mixed, denominator = (-weight * (low + high)).as_integer_ratio()
            base = denominator.bit_length() - 1 + part.scaling[own] + bits + BITS - unit
            for s in rows.get(g, []) if mixed else []:
                real, imaginary, error = symbols[g, s]
                for j in range(part.sizes[s]):
                    a, b, e = real[i][j], imaginary[i][j], error[i][j]
                    if a or b or e:
                        shift = base + part.scaling[start[s] + j]
                        entry = (rounded(mixed * a, shift), rounded(mixed * b, shift))
                        result.add(own, start[s] + j, (*entry, scaled_up(abs(mixed) * e, shift) + 2))
            add_square(result, part, symbols, rows.get(g, []), (g, i), 2 * weight * low * high, bits, start)
    if part.pooled and k != (0, 0):
        return result
    factor = -(Fraction(4) ** -part.exponent) * (part.torus[0] * part.torus[1] if part.pooled else 1)
    for o in range(part.sizes[-1]):
        add_square(result, part, symbols, rows.get(last, []), (last, o), factor * Fraction(part.metric[o]), bits, start)
    return result


def add_square(
    result: Hermitian,
    part: TorusPart,
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
        for j in range(part.sizes[s]):
            if real[j] or imaginary[j] or error[j]:
                size = abs(real[j]) + abs(imaginary[j])
                entries.append((start[s] + j, real[j], imaginary[j], error[j], size))
    for position, (j, a, b, e, size) in enumerate(entries):
        for l, c, d, f, other in entries[: position + 1]:
            # conj(a + bi) (c + di) is entry (j, l).
            shift = base + part.scaling[j] + part.scaling[l]
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
        # The factor has to leave room for the errors that are charged, however small the rest of the room may be.
        columns = itertools.zip_longest(*matrix.error, fillvalue=0)
        charged = (max(map(sum, matrix.error), default=0) + max(map(sum, columns), default=0)) / 4**PRECISION
    except OverflowError:
        return False
    if any(size < 0 for size in sizes) or not n:
        return not n
    for bits in (34, 38, 41, 44, 47):
        factor = float_factor(matrix, max(sizes) * 2.0**-bits + 1.25 * charged)
        if factor is not None and leaves_dominant(matrix, factor):
            return True
    return False


def leaves_dominant(matrix: Hermitian, factor: list[list[complex]]) -> bool:
    """Whether `2^(2q) D M D - L L*` is diagonally dominant, all errors charged; L is the rounded factor."""
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


def work_of(part: TorusPart) -> int:
    """Frequencies times order cubed."""
    return (part.torus[0] * part.torus[1] // 2 + 1) * part.order**3


def prove_torus(part: TorusPart) -> None:
    """Prove that M(k) is positive semidefinite at every frequency; raise Rejected."""
    if work_of(part) > MAX_WORK:
        raise Rejected("the torus part is too large for integers: use floating_checker.py, which needs NumPy")
    roots = Roots(math.lcm(*part.torus))
    bits = checker.fraction_bits(w for block in part.blocks for tap in block.weights for w in tap)
    integers = [[[checker.fixed(w, bits) for w in tap] for tap in block.weights] for block in part.blocks]
    for k in part.frequencies():
        symbols = {
            (b.target, b.source): symbol_at(b, w, part, k, roots, bits)
            for b, w in zip(part.blocks, integers, strict=True)
        }
        if not is_definite(matrix_at(part, symbols, bits, k)):
            raise Rejected(f"M is not proved positive semidefinite at frequency {k}")


def prove_stacked(part: StackedPart, p: int) -> None:
    """Prove a part of kind "stacked"; raise Rejected."""
    result = checker.check_document(part.document)
    if not result.ok:
        raise Rejected(f"parts[{p}]: {result.reason}")


def claim_of(parsed: Parsed, how: str) -> str:
    """What a proved certificate says, in one line, the bound rounded up."""
    context = checker.decimal.Context(prec=12, rounding=checker.decimal.ROUND_CEILING)
    bound = context.create_decimal_from_float(parsed.upper)
    return (
        f"|f(x)-f(x')| <= {bound} |x-x'| for all inputs x, x' (Euclidean norms; real arithmetic; networks on a "
        f"torus and stacked forms in sequence, {len(parsed.parts)} in all; {how}; sha256 {parsed.sha256})"
    )


def check_document(document: Any) -> "checker.CheckResult":
    """Check a certificate of version 1 or 2 that is already parsed from JSON; never raises."""
    if type(document) is dict and document.get("version") == 1:
        return checker.check_document(document)
    try:
        parsed = parse(document)
        for p, part in enumerate(parsed.parts):
            if isinstance(part, TorusPart):
                prove_torus(part)
            else:
                prove_stacked(part, p)
        reason = claim_of(parsed, "proved in exact integer arithmetic")
        return CheckResult(True, parsed.upper, reason, parsed.sha256, parsed.lower)
    except Rejected as error:
        return CheckResult(False, None, str(error))
    except Exception as error:  # what could not be finished is not proved
        return CheckResult(False, None, f"the check could not be finished ({type(error).__name__})")


def check(path: "str | os.PathLike[str]") -> "checker.CheckResult":
    """Check a certificate file; never raises."""
    try:
        return check_document(checker.read_document(path))
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))


def main(argv: list[str] | None = None) -> int:
    """Run the command line: 0 proved, 1 rejected, 2 unreadable or wrong usage."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python torus.py CERT.json", file=sys.stderr)
        return 2
    try:
        result = check_document(checker.read_document(arguments[0]))
    except Unreadable as error:
        print(f"{arguments[0]!a}: {error}", file=sys.stderr)
        return 2
    except Rejected as error:
        result = CheckResult(False, None, str(error))
    print(("proved: " if result.ok else "rejected: ") + result.reason)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
