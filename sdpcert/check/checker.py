"""Check a Lipschitz certificate file, in integer arithmetic, with the standard library alone.

    python checker.py CERT.json        exit 0: proved, 1: rejected, 2: unreadable file or wrong usage

This file was written from docs/certificate-format.md, imports nothing of sdpcert and runs wherever it is copied.
What a certificate claims: the network in the file satisfies |f(x) - f(x')| <= upper |x - x'| in Euclidean norms, for
all inputs, in real arithmetic. The proof in the file is not believed but replayed:

1. `read_document` parses JSON, `parse_certificate` turns it into checked Python values (sizes, ranges, hash);
2. `check_input_factor` proves, where the certificate has one, that a smaller input may stand for the real one;
3. `build_matrix` derives the matrix M of the condition from the weights and the multipliers;
4. `check_factor` proves that M is positive semidefinite: 2^(2q) D M D - L L' is diagonally dominant;
5. `parse_certificate` has already compared upper^2 with 4^s rho.

All numbers of steps 2 to 5 are Python integers. A float64 x is held as the integer x 2^b ("b fraction bits"), with one
b for all weights, one for all slopes, one for all multipliers; nothing is ever rounded, so the verdict is exact.
Whatever does not lead to acceptance raises `Rejected`. There is no `assert` here, since `python -O` removes those.
"""

import base64
import binascii
import decimal
import hashlib
import json
import math
import operator
import os
import stat
import struct
import sys
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn

# Limits on the work, all compared with the file before the work starts.
MAX_FILE_BYTES = 2**31
MAX_COORDINATES = 20_000
MAX_FACTOR_ENTRIES = 10**8
MAX_WEIGHTS = 10**8
PANEL = 32  # rows multiplied at once; a matter of speed only

Rows = list[defaultdict[int, int]]  # lower triangle of a symmetric matrix: rows[i][j] is entry (i, j), j <= i


class Unreadable(Exception):
    """The file cannot be read as JSON at all."""


class Rejected(Exception):
    """The certificate does not prove its claim; the message says what is wrong."""


@dataclass(frozen=True)
class CheckResult:
    """The verdict on one certificate.

    Args:
        ok: True if the claim is proved.
        upper: the proved bound, None unless ok.
        reason: one line, what is proved or why not.
        sha256: the hash of the network that the proof is about, empty unless ok.
        lower: the lower bound that the file states, which is not re-evaluated here; None if there is none or not ok.
    """

    ok: bool
    upper: float | None
    reason: str
    sha256: str = ""
    lower: float | None = None


@dataclass(frozen=True)
class Block:
    """One weight matrix of the network."""

    target: int  # the group that it feeds, number of groups plus 1 for the output
    source: int  # the group that it reads, 0 for the input
    rows: int  # size of the target
    columns: int  # size of the source
    radius: float  # how far each true weight may be from the stored one
    weights: "array[float]"  # row major
    low: "array[float] | None" = None  # what is added to the weights, None where nothing is

    def numbers(self) -> "array[float]":
        """Return all floats of the block: their fraction bits are those of the stored weights and of the radius."""
        return self.weights + array("d", [self.radius]) + (self.low or array("d"))

    def fixed(self, bits: int) -> list[int]:
        """Return the stored weights times 2^bits, row major; a low part is added exactly."""
        high = [fixed(x, bits) if x else 0 for x in self.weights]
        return high if self.low is None else [x + fixed(y, bits) for x, y in zip(high, self.low, strict=True)]


@dataclass(frozen=True)
class Certificate:
    """Everything in a file that matters to the proof; types, lengths, ranges and the hash are already checked."""

    upper: float
    lower: float | None
    sizes: list[int]  # of the input, of each group, of the output
    alpha: "list[array[float]]"  # one array a group; index 0 is group 1
    beta: "list[array[float]]"
    multipliers: "list[array[float]]"
    blocks: list[Block]  # increasing in (target, source)
    sha256: str
    rho: float
    exponent: int  # s
    precision: int  # q
    scaling: list[int]  # d
    start: list[int]  # for row i of L the column of its first stored entry
    factor: list[list[int]]  # row i of L from start[i] to i
    input_scaling: list[int] | None  # c, None where there is no input factor
    input_weights: "array[float] | None"  # R


# ---------------------------------------------------------------- reading single values


def members(value: Any, name: str, keys: str, closed: bool = True) -> list[Any]:
    """Return the values of an object's keys in the order given; a closed object must have no other keys."""
    if type(value) is not dict:
        raise Rejected(f"{name} is not an object")
    wanted = keys.split()
    for key in wanted:
        if key not in value:
            raise Rejected(f"{name} has no key {key!a}")
    if closed and len(value) != len(wanted):
        unknown = next(key for key in value if key not in wanted)
        raise Rejected(f"{name} has the unknown key {str(unknown)[:40]!a}")
    return [value[key] for key in wanted]


def integer(value: Any, name: str, low: int, high: int) -> int:
    """Return an integer in the stated range; bool and float are not integers."""
    if type(value) is not int:
        raise Rejected(f"{name} is not an integer")
    if not low <= value <= high:
        raise Rejected(f"{name} is not in {low} .. {high}")
    return value


def real(value: Any, name: str, low: float = -math.inf) -> float:
    """Return a finite float64 written exactly as float.hex() writes it, at least `low`."""
    if type(value) is not str:
        raise Rejected(f"{name} is not a hexadecimal floating-point string")
    try:
        number = float.fromhex(value)
    except (ValueError, OverflowError):
        raise Rejected(f"{name} is not a hexadecimal floating-point string") from None
    if not math.isfinite(number):
        raise Rejected(f"{name} is not finite")
    if number.hex() != value:
        raise Rejected(f"{name} is not written as float.hex() writes it")
    if number < low:
        raise Rejected(f"{name} is less than {low:g}")
    return number


def values(
    value: Any, name: str, code: str, count: int, low: float = -math.inf, high: float = math.inf
) -> "array[Any]":
    """Return exactly `count` values (code "d": float64, "q": signed 64-bit) from base64 of zlib, each in the range."""
    if type(value) is not str:
        raise Rejected(f"{name} is not a string")
    stream = zlib.decompressobj()
    try:
        # One byte more than expected is all that is ever unpacked, however much the stream holds.
        data = stream.decompress(base64.b64decode(value, validate=True), 8 * count + 1)
    except (ValueError, binascii.Error, zlib.error):
        raise Rejected(f"{name} is not base64 of a zlib stream") from None
    if len(data) != 8 * count or not stream.eof or stream.unused_data:
        raise Rejected(f"{name} does not hold exactly {count} values")
    result = array(code, data)
    if sys.byteorder == "big":
        result.byteswap()
    if code == "d" and not all(map(math.isfinite, result)):
        raise Rejected(f"{name} has a value that is not finite")
    if count and not (low <= min(result) and max(result) <= high):
        raise Rejected(f"{name} has a value out of range")
    return result


def little_endian(numbers: "array[Any]") -> bytes:
    """Return the bytes of the values as the file stores and hashes them."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


# ---------------------------------------------------------------- reading the certificate


def read_document(path: str | os.PathLike[str]) -> Any:
    """Return the JSON value in a file; raise Unreadable if there is none, Rejected for a duplicate key or a NaN."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Rejected(f"the key {key[:40]!a} occurs twice in one object")
            found[key] = value
        return found

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else not_finite(text)

    def not_finite(text: str) -> NoReturn:
        raise Rejected(f"the number {text[:40]} is not finite")

    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could block or never end
            raise Unreadable("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise Unreadable(f"larger than {MAX_FILE_BYTES} bytes")
        with open(path, "rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=not_finite)
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8 text") from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except MemoryError:
        raise Unreadable("too large for the memory") from None
    except ValueError as error:  # JSON errors, integers of thousands of digits, a null byte in the path
        raise Unreadable(f"not JSON ({str(error)[:80]!a})") from None


def parse_certificate(document: Any) -> Certificate:
    """Return the checked content of a certificate, every limit compared before the array in question is unpacked."""
    if type(document) is dict and document.get("version") == 2:
        raise Rejected("the certificate has version 2, which frequency_checker.py (beside this file) checks")
    keys = "format version claim upper network multipliers proof attained information"
    form, version, claim, upper, network, multipliers, proof, attained, information = members(
        document, "the certificate", keys, closed=False
    )
    if form != "sdpcert-certificate":
        raise Rejected("format is not 'sdpcert-certificate'")
    integer(version, "version", 1, 1)
    if type(claim) is not str or type(information) is not dict:
        raise Rejected("claim is not a string or information is not an object")
    upper = real(upper, "upper", 0.0)

    # Sizes first: every limit is compared before an array is unpacked.
    inputs, outputs, groups, blocks, sha256 = members(network, "network", "inputs outputs groups blocks sha256")
    if type(groups) is not list or type(blocks) is not list:
        raise Rejected("network.groups or network.blocks is not a list")
    if len(groups) > MAX_COORDINATES:
        raise Rejected(f"more than {MAX_COORDINATES} groups")
    groups = [members(group, f"group {g}", "size activation alpha beta") for g, group in enumerate(groups, 1)]
    sizes = [integer(inputs, "network.inputs", 1, 10**7)]
    sizes += [integer(group[0], f"size of group {g}", 1, 10**6) for g, group in enumerate(groups, 1)]
    sizes += [integer(outputs, "network.outputs", 1, 10**7)]
    last = len(groups) + 1

    doubled = any(type(block) is dict and "low" in block for block in blocks)
    blocks = [
        members(block, f"blocks[{b}]", "to from radius weights" + " low" * (type(block) is dict and "low" in block))
        for b, block in enumerate(blocks)
    ]
    previous = (0, 0)
    total = rows_of_input = 0
    for b, (target, source, _, _, *low) in enumerate(blocks):
        integer(target, f"blocks[{b}].to", 1, last)
        integer(source, f"blocks[{b}].from", 0, target - 1)
        if (target, source) <= previous:
            raise Rejected(f"blocks[{b}] is a duplicate or out of order")
        previous = (target, source)
        total += sizes[target] * sizes[source] * (1 + len(low))
        rows_of_input += sizes[target] if source == 0 else 0

    kind, precision, scaling, start, factor, input_factor = members(
        proof, "proof", "kind precision scaling start factor input_factor"
    )
    if kind != "diagonal-dominance":
        raise Rejected("proof.kind is not 'diagonal-dominance'")
    precision = integer(precision, "proof.precision", 1, 200)
    coordinates = sum(sizes[:last])
    if input_factor is not None:
        coordinates += rows_of_input - sizes[0]
        total += rows_of_input**2
    if coordinates > MAX_COORDINATES:
        raise Rejected(f"more than {MAX_COORDINATES} coordinates")
    if total > MAX_WEIGHTS:
        raise Rejected(f"more than {MAX_WEIGHTS} weights")

    # The network and its hash.
    name = b"sdpcert-network-2" if doubled else b"sdpcert-network-1"
    digest = hashlib.sha256(name + struct.pack("<3q", sizes[0], sizes[-1], len(groups)))
    alpha, beta = [], []
    for g, (size, activation, low, high) in enumerate(groups, 1):
        if type(activation) is not str:
            raise Rejected(f"activation of group {g} is not a string")
        alpha.append(values(low, f"alpha of group {g}", "d", size))
        beta.append(values(high, f"beta of group {g}", "d", size))
        if not all(map(operator.le, alpha[-1], beta[-1])):
            raise Rejected(f"group {g} has alpha > beta")
        digest.update(struct.pack("<q", size) + little_endian(alpha[-1]) + little_endian(beta[-1]))
    matrices = []
    for b, (target, source, radius, weights, *low) in enumerate(blocks):
        radius = real(radius, f"blocks[{b}].radius", 0.0)
        weights = values(weights, f"blocks[{b}].weights", "d", sizes[target] * sizes[source])
        digest.update(struct.pack("<qqd", target, source, radius) + little_endian(weights))
        low = values(low[0], f"blocks[{b}].low", "d", sizes[target] * sizes[source]) if low else None
        if doubled:
            digest.update(struct.pack("<q", low is not None) + (b"" if low is None else little_endian(low)))
        matrices.append(Block(target, source, sizes[target], sizes[source], radius, weights, low))
    if sha256 != digest.hexdigest():
        raise Rejected("network.sha256 is not the hash of the network")

    # The multipliers and what the file says about the bound.
    rho, lambdas, exponent = members(multipliers, "multipliers", "rho lambda exponent")
    rho = real(rho, "multipliers.rho", 0.0)
    exponent = integer(exponent, "multipliers.exponent", -1100, 1100)
    if type(lambdas) is not list or len(lambdas) != len(groups):
        raise Rejected("multipliers.lambda is not a list of one array a group")
    lambdas = [values(item, f"lambda of group {g}", "d", sizes[g], low=0.0) for g, item in enumerate(lambdas, 1)]
    if Fraction(upper) ** 2 < Fraction(4) ** exponent * Fraction(rho):
        raise Rejected("upper is less than 2^s sqrt(rho)")
    lower = None
    if attained is not None:
        lower, *points = members(attained, "attained", "lower x x_prime", closed=False)
        lower = real(lower, "attained.lower")
        if lower > upper:
            raise Rejected("attained.lower is greater than upper")
        for name, point in zip(("x", "x_prime"), points, strict=True):
            values(point, f"attained.{name}", "d", sizes[0])

    # The proof: row i of L is stored from column start[i] to its diagonal.
    scaling = values(scaling, "proof.scaling", "q", coordinates, -4000, 4000).tolist()
    start = values(start, "proof.start", "q", coordinates, low=0).tolist()
    if any(first > i for i, first in enumerate(start)):
        raise Rejected("proof.start has a column beyond the diagonal")
    entries = sum(i + 1 - first for i, first in enumerate(start))
    if entries > MAX_FACTOR_ENTRIES:
        raise Rejected(f"more than {MAX_FACTOR_ENTRIES} entries of L")
    flat = values(factor, "proof.factor", "q", entries).tolist()
    factor, position = [], 0
    for i, first in enumerate(start):
        factor.append(flat[position : position + i + 1 - first])
        position += i + 1 - first
    input_scaling = input_weights = None
    if input_factor is not None:
        input_scaling, input_weights = members(input_factor, "proof.input_factor", "scaling weights")
        input_scaling = values(input_scaling, "input_factor.scaling", "q", rows_of_input, -4000, 4000).tolist()
        input_weights = values(input_weights, "input_factor.weights", "d", rows_of_input**2)

    return Certificate(
        upper, lower, sizes, alpha, beta, lambdas, matrices, sha256, rho, exponent, precision,
        scaling, start, factor, input_scaling, input_weights,
    )  # fmt: skip


# ---------------------------------------------------------------- exact arithmetic


def fraction_bits(numbers: Iterable[float]) -> int:
    """Return the least b >= 0 for which every number times 2^b is an integer."""
    return max((x.as_integer_ratio()[1].bit_length() for x in numbers), default=1) - 1


def fixed(number: float, bits: int) -> int:
    """Return number times 2^bits, exactly; bits is at least `fraction_bits` of the number."""
    numerator, denominator = number.as_integer_ratio()
    return numerator << (bits + 1 - denominator.bit_length())


def products(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]], start: list[int]) -> Iterator[list[int]]:
    """For i = 0, 1, ... yield the exact dot products of left row i with the right rows j = start[i], ..., i.

    Row i, left or right, is stored from column start[i] on and zero elsewhere; where two rows j < i may have columns in
    common, start[i] <= j. Nearly all the time of a check is spent here, so a panel of left rows goes into one long
    integer a column, sum over rows t of left_t 2^(8 size t), and one multiplication serves the whole panel. The fields
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


def check_dominance(rows: Iterable[dict[int, int]], charges: list[int], name: str) -> None:
    """Prove that a symmetric matrix, and each one near it, is diagonally dominant with nonnegative diagonal.

    The rows are those of the lower triangle; a charge is the sum of what the entries of a row, the diagonal one
    included, may change.
    """
    diagonal = [0] * len(charges)
    needed = list(charges)
    for i, row in enumerate(rows):
        for j, entry in row.items():
            if i == j:
                diagonal[i] = entry
            else:
                size = abs(entry)
                needed[i] += size
                needed[j] += size
    for i in range(len(charges)):
        if diagonal[i] < needed[i]:
            raise Rejected(f"{name} is not diagonally dominant in row {i}")


# ---------------------------------------------------------------- the proof


def check_input_factor(blocks: list[Block], scaling: list[int], factor: "array[float]") -> list[Block]:
    """Prove R R' - G G' positive semidefinite, G all blocks that read the input; return the blocks with R for G."""
    m = len(scaling)
    readers = [block for block in blocks if block.source == 0]
    bits = max([fraction_bits(factor)] + [fraction_bits(b.numbers()) for b in readers])
    difference: Rows = [defaultdict(int) for _ in range(m)]
    inputs = readers[0].columns if readers else 0
    gathered = [x for block in readers for x in block.fixed(bits)]  # G, row major
    columns = (gathered[k::inputs] for k in range(inputs))
    add_squares(difference, (([(i, x) for i, x in enumerate(column) if x], -1) for column in columns))
    factor_rows = [[fixed(x, bits) for x in factor[i * m : (i + 1) * m]] for i in range(m)]
    for i, row in enumerate(products(factor_rows, factor_rows, [0] * m)):
        for j, x in enumerate(row):
            difference[i][j] += x

    # Multiplying by 2^(2 max c) makes every power of two in the scaling a left shift.
    shifts = [max(scaling) - c for c in scaling] if scaling else []
    charges = [0] * m
    if any(block.radius for block in readers):
        radii = []  # one a row of G, and below the sums of absolute values
        for block in readers:
            radii += [fixed(block.radius, bits)] * block.rows
        sums = [sum(map(abs, gathered[i * inputs : (i + 1) * inputs])) for i in range(m)]
        all_radii = sum(map(operator.lshift, radii, shifts))
        all_sums = sum(map(operator.lshift, sums, shifts))
        for i, shift in enumerate(shifts):
            charge = radii[i] * (all_sums + inputs * all_radii) + sums[i] * all_radii
            charges[i] = charge << shift
    scaled = ({j: x << (shifts[i] + shifts[j]) for j, x in row.items()} for i, row in enumerate(difference))
    check_dominance(scaled, charges, "R R' - G G' of the input factor")

    replaced, row = [], 0
    for block in blocks:
        if block.source == 0:
            part = factor[row * m : (row + block.rows) * m]
            replaced.append(Block(block.target, 0, block.rows, m, 0.0, part))
            row += block.rows
        else:
            replaced.append(block)
    return replaced


def build_matrix(certificate: Certificate, blocks: list[Block], shifts: list[int]) -> tuple[Rows, list[int], int]:
    """Derive the matrix of the condition from the weights and the multipliers.

    Returns the lower triangle of 2^bits M, for each row i the sum over all j of 2^bits eps_ij 2^(shift of j), and bits.
    """
    groups = len(certificate.alpha)
    offsets = [0, len(shifts) - sum(certificate.sizes[1:-1])]  # first coordinate of the input, of group 1, ...
    for size in certificate.sizes[1:-1]:
        offsets.append(offsets[-1] + size)

    # Radii share the fraction bits of the weights, so that each eps term has the bits of the term of M it belongs to.
    weight_bits = max((fraction_bits(block.numbers()) for block in blocks), default=0)
    slope_bits = max(map(fraction_bits, certificate.alpha + certificate.beta), default=0)
    multiplier_bits = max(map(fraction_bits, certificate.multipliers), default=0)
    linear_bits = multiplier_bits + slope_bits + weight_bits
    square_bits = multiplier_bits + 2 * slope_bits + 2 * weight_bits
    output_bits = 2 * weight_bits + 2 * certificate.exponent
    bits = max(fraction_bits([certificate.rho]), square_bits, output_bits)

    matrix: Rows = [defaultdict(int) for _ in shifts]
    charges = [0] * len(shifts)
    for j in range(offsets[1]):
        matrix[j][j] = fixed(certificate.rho, bits)
    for target in range(1, groups + 2):
        inward = [(block, block.fixed(weight_bits)) for block in blocks if block.target == target]
        # The factors of -(e_i k_i' + k_i e_i') and of k_i k_i', one a row.
        linear, square, terms = [], [], []
        for i in range(certificate.sizes[target]):
            if target > groups:
                linear.append(0)
                square.append(-1 << (bits - output_bits))
            else:
                slopes = certificate.alpha[target - 1][i], certificate.beta[target - 1][i]
                low, high = (fixed(slope, slope_bits) for slope in slopes)
                multiplier = fixed(certificate.multipliers[target - 1][i], multiplier_bits)
                linear.append(multiplier * (low + high) << (bits - linear_bits))
                square.append(2 * multiplier * low * high << (bits - square_bits))
                matrix[offsets[target] + i][offsets[target] + i] += 2 * multiplier << (bits - multiplier_bits)
            if not (linear[i] or square[i]):
                continue
            row = [
                (offsets[block.source] + c, x)
                for block, entries in inward
                for c, x in enumerate(entries[i * block.columns : (i + 1) * block.columns])
                if x
            ]
            if linear[i]:
                neuron = matrix[offsets[target] + i]
                for j, x in row:  # j belongs to an earlier group, so (i, j) is in the lower triangle
                    neuron[j] -= linear[i] * x
            if square[i]:
                terms.append((row, square[i]))
        add_squares(matrix, terms)
        if any(block.radius for block, _ in inward):
            add_charges(charges, shifts, offsets, inward, linear, square, weight_bits)
    return matrix, charges, bits


def add_charges(
    charges: list[int], shifts: list[int], offsets: list[int], inward: list[tuple[Block, list[int]]],
    linear: list[int], square: list[int], bits: int,
) -> None:  # fmt: skip
    """Add to the charges, the row sums of eps, what the uncertain weights into one group or the output contribute.

    `linear` and `square` have for each row i the factors of its entries k_ij and of products of two of them. With A_j
    the sum over i of |square_i k_ij|, the formulas of the format description, summed over the column, need only sums
    over whole sources: of the scales 2^shift and of the scaled A_l. So it costs no more than reading the weights.
    """
    first = offsets[inward[0][0].target] if any(linear) else 0
    all_linear = sum(abs(x) << shifts[first + i] for i, x in enumerate(linear) if x)
    all_square = sum(map(abs, square))
    radii, scales, columns, all_columns = [], [], [], 0
    for block, entries in inward:
        span = range(offsets[block.source], offsets[block.source] + block.columns)
        sums = [0] * block.columns
        for i, factor in enumerate(square):
            if factor:
                for c, x in enumerate(entries[i * block.columns : (i + 1) * block.columns]):
                    sums[c] += abs(factor * x)
        radii.append(fixed(block.radius, bits))
        scales.append(sum(1 << shifts[j] for j in span))
        columns.append(sums)
        all_columns += sum(total << shifts[j] for total, j in zip(sums, span, strict=True))
    all_radii = sum(map(operator.mul, radii, scales))
    for i, factor in enumerate(linear):
        if factor:  # entries (i, j) of neuron i
            charges[first + i] += abs(factor) * all_radii
    for (block, _), radius, sums in zip(inward, radii, columns, strict=True):
        for c, total in enumerate(sums):  # entries (j, i), then entries (j, l)
            charges[offsets[block.source] + c] += (
                radius * (all_linear + all_columns + all_square * all_radii) + total * all_radii
            )


def check_factor(certificate: Certificate, matrix: Rows, charges: list[int], bits: int, shifts: list[int]) -> None:
    """Prove that E = 2^(2q) D M D - L L' is diagonally dominant for all weights within radii; clears the matrix."""
    # 2^extra E is an integer matrix, and all its powers of two are left shifts.
    common = 2 * certificate.precision - bits - 2 * max(certificate.scaling, default=0)
    extra = max(0, -common)
    common += extra

    def rows() -> Iterator[dict[int, int]]:
        for i, product in enumerate(products(certificate.factor, certificate.factor, certificate.start)):
            row = {j: x << (common + shifts[i] + shifts[j]) for j, x in matrix[i].items()}
            matrix[i].clear()
            for j, x in enumerate(product, certificate.start[i]):  # elsewhere in the row L L' is zero
                row[j] = row.get(j, 0) - (x << extra)
            yield row

    check_dominance(rows(), [x << (common + shift) for x, shift in zip(charges, shifts, strict=True)], "the residue E")


def prove(certificate: Certificate) -> None:
    """Replay the proof in a certificate; raise Rejected if it is not one."""
    blocks = certificate.blocks
    if certificate.input_scaling is not None and certificate.input_weights is not None:
        blocks = check_input_factor(blocks, certificate.input_scaling, certificate.input_weights)
    highest = max(certificate.scaling, default=0)
    shifts = [highest - d for d in certificate.scaling]
    matrix, charges, bits = build_matrix(certificate, blocks, shifts)
    check_factor(certificate, matrix, charges, bits, shifts)


# ---------------------------------------------------------------- the public functions


def claim_of(certificate: Certificate) -> str:
    """Return what a proved certificate says, in one line, with the bound rounded up."""
    bound = decimal.Context(prec=12, rounding=decimal.ROUND_CEILING).create_decimal_from_float(certificate.upper)
    uncertain = any(block.radius for block in certificate.blocks)
    return (
        f"|f(x)-f(x')| <= {bound} |x-x'| for all inputs x, x' (Euclidean norms; real arithmetic; "
        f"{'every network with weights within the stated radii' if uncertain else 'the stored weights'}, "
        f"activations with the stated slopes; network sha256 {certificate.sha256})"
    )


def check_document(document: dict[str, Any]) -> CheckResult:
    """Check a certificate that is already parsed from JSON.

    Args:
        document: the JSON object.

    Returns:
        The verdict; a bad document gives ok=False and never an exception.
    """
    try:
        certificate = parse_certificate(document)
        prove(certificate)
        return CheckResult(True, certificate.upper, claim_of(certificate), certificate.sha256, certificate.lower)
    except Rejected as error:
        return CheckResult(False, None, str(error))
    except Exception as error:  # such as MemoryError: what could not be finished is not proved
        return CheckResult(False, None, f"the check could not be finished ({type(error).__name__})")


def check(path: str | os.PathLike[str]) -> CheckResult:
    """Check a certificate file.

    Args:
        path: the file.

    Returns:
        The verdict; a bad or missing file gives ok=False and never an exception.
    """
    try:
        document = read_document(path)
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))
    return check_document(document)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the arguments without the program's name, those of the process by default.

    Returns:
        0 proved, 1 rejected (both with one line on stdout), 2 unreadable or wrong usage (one line on stderr).
    """
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python checker.py CERT.json   (exit 0: proved, 1: rejected, 2: unreadable)", file=sys.stderr)
        return 2
    try:
        result = check_document(read_document(arguments[0]))
    except Unreadable as error:
        print(f"{arguments[0]!a}: {error}", file=sys.stderr)
        return 2
    except Rejected as error:
        result = CheckResult(False, None, str(error))
    print(("proved: " if result.ok else "rejected: ") + result.reason)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
