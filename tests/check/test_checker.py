"""The checker against an oracle in fractions, on valid, perturbed and broken certificates.

Everything here is written from docs/certificate-format.md and shares no code with the checker: a writer (`encode`),
a numerical recipe for small valid certificates (`prove_by_numpy`) and an oracle (`is_proof`) that follows the formulas
of the page entry by entry.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdpcert.check import CheckResult, check, check_document, factor_proof, integers, reading
from sdpcert.check.verdict import main

RELU, LEAKY, SIGNED, NARROW = (0.0, 1.0), (0.01, 1.0), (-1.0, 1.0), (0.1, 0.7)


# ---------------------------------------------------------------- a certificate in plain Python, and its writer


@dataclass
class Plain:
    inputs: int
    outputs: int
    slopes: list[list[tuple[float, float]]]  # one list a group, one pair a neuron
    blocks: dict[tuple[int, int], np.ndarray]
    radii: dict[tuple[int, int], float] = field(default_factory=dict)
    lows: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    rho: float = 1.0
    lambdas: list[list[float]] = field(default_factory=list)
    exponent: int = 0
    precision: int = 40
    scaling: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)  # stored entries of L
    input_factor: tuple[list[int], np.ndarray] | None = None
    upper: float = 0.0
    lower: float | None = None

    @property
    def sizes(self) -> list[int]:
        return [self.inputs, *map(len, self.slopes), self.outputs]

    def radius(self, key: tuple[int, int]) -> float:
        return self.radii.get(key, 0.0)


def f8(values: Any) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def i8(values: Any) -> bytes:
    return np.array(list(values), dtype="<i8").tobytes()


def pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def network_hash(plain: Plain) -> str:
    parts = [
        b"sdpcert-network-2" if plain.lows else b"sdpcert-network-1",
        i8([plain.inputs, plain.outputs, len(plain.slopes)]),
    ]
    for group in plain.slopes:
        parts += [i8([len(group)]), f8([a for a, _ in group]), f8([b for _, b in group])]
    for key in sorted(plain.blocks):
        parts += [i8(key), struct.pack("<d", plain.radius(key)), f8(plain.blocks[key])]
        if plain.lows:
            parts += [i8([1]), f8(plain.lows[key])] if key in plain.lows else [i8([0])]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def encode(plain: Plain) -> dict[str, Any]:
    factor = plain.input_factor
    points = pack(f8(np.zeros(plain.inputs)))
    return {
        "format": "sdpcert-certificate",
        "version": 1,
        "claim": "for people",
        "upper": plain.upper.hex(),
        "network": {
            "inputs": plain.inputs,
            "outputs": plain.outputs,
            "groups": [
                {
                    "size": len(group),
                    "activation": "some",
                    "alpha": pack(f8([a for a, _ in group])),
                    "beta": pack(f8([b for _, b in group])),
                }
                for group in plain.slopes
            ],
            "blocks": [
                {
                    "to": key[0],
                    "from": key[1],
                    "radius": plain.radius(key).hex(),
                    "weights": pack(f8(plain.blocks[key])),
                    **({"low": pack(f8(plain.lows[key]))} if key in plain.lows else {}),
                }
                for key in sorted(plain.blocks)
            ],
            "sha256": network_hash(plain),
        },
        "multipliers": {
            "rho": plain.rho.hex(),
            "lambda": [pack(f8(group)) for group in plain.lambdas],
            "exponent": plain.exponent,
        },
        "proof": {
            "kind": "diagonal-dominance",
            "precision": plain.precision,
            "scaling": pack(i8(plain.scaling)),
            "start": pack(i8(plain.start)),
            "factor": pack(i8(x for row in plain.rows for x in row)),
            "input_factor": None
            if factor is None
            else {"scaling": pack(i8(factor[0])), "weights": pack(f8(factor[1]))},
        },
        "attained": None if plain.lower is None else {"lower": plain.lower.hex(), "x": points, "x_prime": points},
        "information": {"solver": "none", "seconds": 0.5},
    }


# ---------------------------------------------------------------- the oracle


Matrix = list[list[Fraction]]


def zeros(rows: int, columns: int) -> Matrix:
    return [[Fraction(0)] * columns for _ in range(rows)]


def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def is_dominant(matrix: Matrix, eps: Matrix) -> bool:
    count = range(len(matrix))
    return all(
        matrix[i][i] - eps[i][i] >= sum((abs(matrix[i][j]) + eps[i][j] for j in count if j != i), Fraction(0))
        for i in count
    )


def read_network(plain: Plain) -> tuple[int, dict[tuple[int, int], Matrix], dict[tuple[int, int], Fraction]]:
    blocks = {key: [[Fraction(float(x)) for x in row] for row in weights] for key, weights in plain.blocks.items()}
    for key, low in plain.lows.items():
        pairs = zip(blocks[key], low, strict=True)
        blocks[key] = [[x + Fraction(float(y)) for x, y in zip(row, rest, strict=True)] for row, rest in pairs]
    return plain.inputs, blocks, {key: Fraction(plain.radius(key)) for key in plain.blocks}


def input_factor_holds(plain: Plain) -> bool:
    assert plain.input_factor is not None
    scaling, weights = plain.input_factor
    _, blocks, radii = read_network(plain)
    readers = [key for key in sorted(blocks) if key[1] == 0]
    rows = [row for key in readers for row in blocks[key]]
    radius = [radii[key] for key in readers for _ in blocks[key]]
    factor = [[Fraction(float(x)) for x in row] for row in weights]
    count = range(len(rows))
    residue, eps = zeros(len(rows), len(rows)), zeros(len(rows), len(rows))
    for i in count:
        for j in count:
            scale = power(-scaling[i] - scaling[j])
            product = sum(a * b for a, b in zip(factor[i], factor[j], strict=True))
            product -= sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
            residue[i][j] = scale * product
            eps[i][j] = scale * (
                radius[i] * sum(map(abs, rows[j]))
                + radius[j] * sum(map(abs, rows[i]))
                + plain.inputs * radius[i] * radius[j]
            )
    return is_dominant(residue, eps)


CONDITIONS: dict[str, tuple[Matrix, Matrix]] = {}  # of networks and multipliers already seen, since most recur


def condition(plain: Plain) -> tuple[Matrix, Matrix]:
    """Return M and the unscaled eps."""
    lows = {key: low.tobytes() for key, low in plain.lows.items()}
    blocks = [(key, w.tobytes(), plain.radius(key), lows.get(key)) for key, w in sorted(plain.blocks.items())]
    factor = plain.input_factor and plain.input_factor[1].tobytes()
    key = repr((plain.sizes, plain.slopes, blocks, plain.rho, plain.lambdas, plain.exponent, factor))
    if key not in CONDITIONS:
        CONDITIONS[key] = compute_condition(plain)
    return CONDITIONS[key]


def compute_condition(plain: Plain) -> tuple[Matrix, Matrix]:
    """Compute M and the unscaled eps, each entry straight from the page."""
    inputs, blocks, radii = read_network(plain)
    if plain.input_factor is not None:
        row = 0
        readers = [key for key in sorted(blocks) if key[1] == 0]
        inputs = sum(len(blocks[key]) for key in readers)
        for key in readers:
            count = len(blocks[key])
            part = plain.input_factor[1][row : row + count]
            blocks[key] = [[Fraction(float(x)) for x in line] for line in part]
            radii[key] = Fraction(0)
            row += count
    sizes = [inputs, *map(len, plain.slopes), plain.outputs]
    groups = len(plain.slopes)
    n = sum(sizes[:-1])
    offset = [sum(sizes[:g]) for g in range(groups + 1)]
    source = [g for g in range(groups + 1) for _ in range(sizes[g])]

    def full_row(target: int, i: int) -> tuple[list[Fraction], list[Fraction]]:
        row, radius = [Fraction(0)] * n, [Fraction(0)] * n
        for j in range(n):
            key = (target, source[j])
            if key in blocks:
                row[j] = blocks[key][i][j - offset[source[j]]]
                radius[j] = radii[key]
        return row, radius

    matrix, eps = zeros(n, n), zeros(n, n)
    for j in range(inputs):
        matrix[j][j] += Fraction(plain.rho)
    for g in range(1, groups + 1):
        for i in range(sizes[g]):
            k, r = full_row(g, i)
            e = offset[g] + i
            multiplier = Fraction(float(plain.lambdas[g - 1][i]))
            alpha, beta = map(Fraction, plain.slopes[g - 1][i])
            matrix[e][e] += 2 * multiplier
            for j in range(n):
                matrix[e][j] -= multiplier * (alpha + beta) * k[j]
                matrix[j][e] -= multiplier * (alpha + beta) * k[j]
                eps[e][j] += multiplier * abs(alpha + beta) * r[j]
                eps[j][e] += multiplier * abs(alpha + beta) * r[j]
            nonzero = [j for j in range(n) if alpha * beta != 0 and (k[j] or r[j])]
            for j in nonzero:
                for l in nonzero:
                    matrix[j][l] += 2 * multiplier * alpha * beta * k[j] * k[l]
                    change = r[j] * abs(k[l]) + abs(k[j]) * r[l] + r[j] * r[l]
                    eps[j][l] += 2 * multiplier * abs(alpha * beta) * change
    weight = power(-2 * plain.exponent)
    for o in range(plain.outputs):
        f, r = full_row(groups + 1, o)
        nonzero = [j for j in range(n) if f[j] or r[j]]
        for j in nonzero:
            for l in nonzero:
                matrix[j][l] -= weight * f[j] * f[l]
                eps[j][l] += weight * (r[j] * abs(f[l]) + abs(f[j]) * r[l] + r[j] * r[l])
    return matrix, eps


def is_proof(plain: Plain) -> bool:
    """Say whether a well-formed certificate proves its claim; exact."""
    if plain.rho < 0 or any(x < 0 for group in plain.lambdas for x in group):
        return False
    if plain.upper < 0 or Fraction(plain.upper) ** 2 < power(2 * plain.exponent) * Fraction(plain.rho):
        return False
    if plain.lower is not None and plain.lower > plain.upper:
        return False
    if plain.input_factor is not None and not input_factor_holds(plain):
        return False
    matrix, eps = condition(plain)
    n = len(matrix)
    factor = [
        [0] * first + row + [0] * (n - first - len(row)) for first, row in zip(plain.start, plain.rows, strict=True)
    ]
    residue, change = zeros(n, n), zeros(n, n)
    for i in range(n):
        for j in range(n):
            scale = power(2 * plain.precision - plain.scaling[i] - plain.scaling[j])
            residue[i][j] = scale * matrix[i][j] - sum(a * b for a, b in zip(factor[i], factor[j], strict=True))
            change[i][j] = scale * eps[i][j]
    return is_dominant(residue, change)


# ---------------------------------------------------------------- small valid certificates


def float_matrix(plain: Plain) -> np.ndarray:
    return np.array([[float(x) for x in row] for row in condition(plain)[0]])


def factorise(plain: Plain, share: float = 0.5) -> None:
    """Fill in scaling, start and rows: L = round(2^q chol(D M D - share * least eigenvalue))."""
    matrix = float_matrix(plain)
    n = len(matrix)
    diagonal = np.diag(matrix)
    plain.scaling = [round(math.log2(math.sqrt(x))) if x > 0 else 0 for x in diagonal]
    scale = np.ldexp(1.0, -np.array(plain.scaling, dtype=int))
    scaled = matrix * scale[:, None] * scale[None, :]
    alive = np.flatnonzero(diagonal > 0)
    lower = np.zeros((n, n))
    part = scaled[np.ix_(alive, alive)]
    least = np.linalg.eigvalsh(part)[0]
    lower[np.ix_(alive, alive)] = np.linalg.cholesky(part - share * least * np.eye(len(alive)))
    factor = [[round(math.ldexp(x, plain.precision)) for x in row] for row in lower.tolist()]
    plain.start = [next((j for j in range(i) if factor[i][j]), i) for i in range(n)]
    plain.rows = [factor[i][plain.start[i] : i + 1] for i in range(n)]


def prove_by_numpy(plain: Plain, slack: float = 1.1) -> Plain:
    """Find constant multipliers a group and rho so that M is positive definite, then the factor."""
    groups = len(plain.slopes)
    base = 1.0
    for _ in range(60):
        plain.lambdas = [[base * 4.0 ** (groups - g)] * len(group) for g, group in enumerate(plain.slopes)]
        for g, group in enumerate(plain.slopes, 1):  # a neuron that nothing reads and that reads nothing needs none
            for i in range(len(group)):
                reads = any(np.any(w[i]) for (to, _), w in plain.blocks.items() if to == g)
                read = any(np.any(w[:, i]) for (_, source), w in plain.blocks.items() if source == g)
                if not (reads or read):
                    plain.lambdas[g - 1][i] = 0.0
        for log_rho in range(-4, 30):
            plain.rho = 2.0**log_rho
            matrix = float_matrix(plain)
            alive = np.flatnonzero(np.diag(matrix) != 0)
            if np.linalg.eigvalsh(matrix[np.ix_(alive, alive)])[0] > 1e-3:
                plain.rho *= slack
                plain.upper = round_up_root(plain)
                factorise(plain)
                return plain
        base *= 2.0
    raise RuntimeError("the recipe found no certificate")


def round_up_root(plain: Plain) -> float:
    """Return the least float that is at least 2^s sqrt(rho)."""
    wanted = power(2 * plain.exponent) * Fraction(plain.rho)
    upper = math.ldexp(math.sqrt(plain.rho), plain.exponent)
    while Fraction(upper) ** 2 >= wanted and upper > 0:
        upper = math.nextafter(upper, 0.0)
    while Fraction(upper) ** 2 < wanted:
        upper = math.nextafter(upper, math.inf)
    return upper


def weights(rng: np.random.Generator, rows: int, columns: int, norm: float = 0.6) -> np.ndarray:
    matrix = rng.standard_normal((rows, columns))
    return matrix * (norm / np.linalg.norm(matrix, 2))


def chain(seed: int, sizes: list[int], slopes: list[tuple[float, float]], **options: Any) -> Plain:
    rng = np.random.default_rng(seed)
    groups = [[slopes[i % len(slopes)] for i in range(size)] for size in sizes[1:-1]]
    blocks = {(g, g - 1): weights(rng, sizes[g], sizes[g - 1]) for g in range(1, len(sizes))}
    return Plain(sizes[0], sizes[-1], groups, blocks, **options)


def with_input_factor(plain: Plain) -> Plain:
    stacked = np.vstack([w for (_, source), w in sorted(plain.blocks.items()) if source == 0])
    count = len(stacked)
    gram = stacked @ stacked.T
    radius = max(plain.radii.values(), default=0.0)
    factor = np.linalg.cholesky(gram + np.eye(count) * (1e-3 + 40 * radius * plain.inputs))
    plain.input_factor = ([round(math.log2(math.sqrt(x))) for x in np.diag(gram)], factor)
    return plain


def make_cases() -> dict[str, Callable[[], Plain]]:
    rng = np.random.default_rng(5)

    def skip() -> Plain:
        plain = chain(11, [2, 3, 3, 2], [RELU])
        plain.blocks[3, 0] = weights(rng, 2, 2, 0.3)
        plain.blocks[3, 1] = weights(rng, 2, 3, 0.3)
        plain.blocks[2, 0] = weights(rng, 3, 2, 0.3)
        return plain

    def uncertain(slopes: list[tuple[float, float]]) -> Plain:
        plain = chain(12, [2, 3, 3, 2], slopes)
        plain.blocks[3, 0] = weights(rng, 2, 2, 0.3)
        plain.blocks[3, 1] = weights(rng, 2, 3, 0.3)
        plain.radii = {(1, 0): 2.0**-22, (2, 1): 1e-6, (3, 2): 3e-7, (3, 1): 1e-6}
        return plain

    def wide(radius: float) -> Plain:
        plain = chain(13, [9, 3, 3, 2], [LEAKY])
        plain.blocks[3, 0] = weights(rng, 2, 9, 0.3)
        plain.radii = {(1, 0): radius, (2, 1): radius} if radius else {}
        return with_input_factor(plain)

    def dead_neuron() -> Plain:
        plain = chain(14, [3, 4, 2], [RELU])
        plain.blocks[1, 0][2] = 0.0
        plain.blocks[2, 1][:, 2] = 0.0
        return plain

    def rational() -> Plain:  # denormal, huge range, exact zeros
        plain = chain(15, [3, 3, 2], [LEAKY])
        plain.blocks[1, 0][0] = [5e-324, 0.0, -0.0]
        plain.blocks[2, 1][0, 0] = 1e-200
        return plain

    def unread_input() -> Plain:  # no block reads the input: the function is constant
        plain = Plain(3, 2, [[RELU, RELU]], {(2, 1): weights(rng, 2, 2)})
        return with_input_factor_of_nothing(plain)

    def with_input_factor_of_nothing(plain: Plain) -> Plain:
        plain.input_factor = ([], np.zeros((0, 0)))
        return plain

    def doubled(plain: Plain, share: float = 1e-3) -> Plain:  # all maps but the last have low parts
        for key in sorted(plain.blocks)[:-1]:
            plain.lows[key] = plain.blocks[key] * share * rng.uniform(-1, 1, plain.blocks[key].shape)
        return plain

    cases: dict[str, Callable[[], Plain]] = {
        "relu one layer": lambda: chain(0, [3, 4, 2], [RELU]),
        "relu two layers": lambda: chain(1, [2, 4, 3, 2], [RELU]),
        "relu three layers": lambda: chain(2, [2, 3, 2, 3, 2], [RELU]),
        "leaky": lambda: chain(3, [3, 4, 3, 2], [LEAKY]),
        "signed": lambda: chain(4, [3, 4, 3, 2], [SIGNED]),
        "narrow": lambda: chain(5, [3, 6, 2], [NARROW]),
        "mixed": lambda: chain(6, [3, 4, 4, 1], [RELU, LEAKY, SIGNED, NARROW]),
        "affine": lambda: chain(7, [4, 3], [RELU]),
        "scalar": lambda: chain(8, [1, 1, 1], [LEAKY]),
        "exponent": lambda: chain(9, [3, 4, 2], [RELU], exponent=3),
        "negative exponent": lambda: chain(10, [3, 4, 2], [LEAKY], exponent=-2),
        "skip": skip,
        "uncertain relu": lambda: uncertain([RELU]),
        "uncertain mixed": lambda: uncertain([LEAKY, SIGNED, NARROW]),
        "wide": lambda: wide(0.0),
        "wide uncertain": lambda: wide(1e-7),
        "dead neuron": dead_neuron,
        "rational": rational,
        "unread input": unread_input,
        "low precision": lambda: chain(16, [2, 3, 2], [RELU], precision=14),
        "lower bound": lambda: chain(17, [2, 3, 2], [RELU], lower=0.001),
        "low parts": lambda: doubled(chain(18, [3, 4, 3, 2], [RELU]), 2.0**-53),
        "low parts that matter": lambda: doubled(uncertain([LEAKY, SIGNED, NARROW])),
        "low parts of a wide input": lambda: doubled(wide(0.0)),
        "low parts, wide and uncertain": lambda: doubled(wide(1e-7), 1e-5),
    }
    return cases


CASES = {name: prove_by_numpy(make()) for name, make in make_cases().items()}


def verdict(plain: Plain) -> bool:
    """Check with both, insist that they agree and that the checker came to a proper end."""
    result = check_document(json.loads(json.dumps(encode(plain))))
    assert result.ok == is_proof(plain), result.reason
    assert_one_line(result)
    return result.ok


def assert_one_line(result: CheckResult) -> None:
    assert result.reason and "\n" not in result.reason
    assert "could not be finished" not in result.reason
    assert (result.upper is not None) == result.ok


# ---------------------------------------------------------------- valid certificates and perturbed ones


@pytest.mark.parametrize("name", CASES)
def test_valid_is_proved(name: str) -> None:
    plain = CASES[name]
    assert verdict(plain)
    result = check_document(encode(plain))
    assert result == check_document(encode(plain))
    assert result.upper == plain.upper
    assert result.sha256 == network_hash(plain)
    assert result.lower == plain.lower
    assert "real arithmetic" in result.reason and "Euclidean" in result.reason
    assert ("radii" in result.reason) == any(plain.radii.values())


def test_printed_bound_is_rounded_up() -> None:
    for plain in CASES.values():
        text = check_document(encode(plain)).reason.split("<= ")[1].split(" ")[0]
        assert 0 <= Fraction(text) - Fraction(plain.upper) <= Fraction(plain.upper) / 10**10


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_oracle_at_the_edge(name: str) -> None:
    """Few bits and a factor that uses up nearly all of the margin: the verdict hangs on the last unit."""
    seen: Counter[bool] = Counter()
    for precision in (1, 4, 8, 16):
        for share in (0.0, 0.1, 0.9999):
            plain = copy.deepcopy(CASES[name])
            plain.precision = precision
            factorise(plain, share)
            seen[verdict(plain)] += 1
    assert seen[False]


def test_exact_factor_needs_no_margin() -> None:
    """rho = 4, one affine 1x1 block of weight 2: E is exactly zero, and one unit less is rejected."""
    plain = Plain(1, 1, [], {(1, 0): np.array([[2.0]])}, rho=4.0, upper=2.0, precision=1)
    plain.scaling, plain.start, plain.rows = [0], [0], [[0]]
    assert verdict(plain)
    plain.rows = [[1]]
    assert not verdict(plain)
    plain.rows, plain.rho = [[0]], math.nextafter(4.0, 0.0)
    assert not verdict(plain)
    plain.rho, plain.radii = 4.0, {(1, 0): 5e-324}
    assert not verdict(plain)
    plain.rho = plain.upper = 4.0 + 1e-9
    assert verdict(plain)


def test_exact_input_factor_needs_no_margin() -> None:
    """G = (3, 4) and R = (5): R R' - G G' = 0."""
    plain = Plain(2, 1, [], {(1, 0): np.array([[3.0, 4.0]])}, rho=25.0, upper=5.0, precision=1)
    plain.scaling, plain.start, plain.rows = [0], [0], [[0]]
    plain.input_factor = ([7], np.array([[-5.0]]))
    assert verdict(plain)
    plain.input_factor = ([7], np.array([[math.nextafter(5.0, 0.0)]]))
    assert not verdict(plain)


def test_exact_uncertain_input_factor_needs_no_margin() -> None:
    """G = (1, 8) with radius 4 may become (5, 12), whose norm is 13: the page's eps is exact for one row."""
    plain = Plain(2, 1, [], {(1, 0): np.array([[1.0, 8.0]])}, {(1, 0): 4.0}, rho=169.0, upper=13.0, precision=1)
    plain.scaling, plain.start, plain.rows = [0], [0], [[0]]
    plain.input_factor = ([-3], np.array([[13.0]]))
    assert verdict(plain)
    plain.input_factor = ([-3], np.array([[math.nextafter(13.0, 0.0)]]))
    assert not verdict(plain)


@pytest.mark.parametrize(
    ("name", "only"), [(name, only) for name, plain in CASES.items() if plain.radii for only in (None, *plain.radii)]
)
def test_radius_at_the_edge(name: str, only: tuple[int, int] | None) -> None:
    """Find by bisection the largest radii that are proved, of all blocks or of one: the two must agree all the way."""
    base = CASES[name]
    low, high = 0.0, 40.0  # binary logarithm of the factor

    def proved(log: float) -> bool:
        plain = copy.deepcopy(base)
        plain.radii = {
            key: radius * 2.0**log if only in (None, key) else 0.0 if only else radius
            for key, radius in base.radii.items()
        }
        return verdict(plain)

    assert proved(low) and not proved(high)
    for _ in range(11):
        middle = (low + high) / 2
        low, high = (middle, high) if proved(middle) else (low, middle)


def test_no_groups_and_no_blocks() -> None:
    plain = Plain(2, 2, [], {}, rho=0.0, upper=0.0, scaling=[0, 5], start=[0, 1], rows=[[0], [0]])
    assert verdict(plain)
    plain.input_factor = ([], np.zeros((0, 0)))
    plain.scaling, plain.start, plain.rows = [], [], []
    assert verdict(plain)


@pytest.mark.parametrize("panel", [1, 2, 5])
@pytest.mark.parametrize("name", ["relu three layers", "skip", "mixed", "wide uncertain", "rational"])
def test_panels_do_not_change_the_verdict(name: str, panel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integers, "PANEL", panel)
    plain = copy.deepcopy(CASES[name])
    assert verdict(plain)
    plain.rows[-1][-1] += 4 << plain.precision
    assert not verdict(plain)


@pytest.mark.parametrize("bits", [1, 2, 7, 8, 31, 63, 300])
def test_products_over_many_panels(bits: int) -> None:
    """Extreme entries fill the fields of the packed integers to the last bit."""
    rng = np.random.default_rng(bits)
    n, high = 75, (1 << bits) - 1
    start = [int(rng.integers(max(0, i - 40), i + 1)) for i in range(n)]
    for signs in ((-1, 1), (1,), (-1,), (0, 1), (0,)):
        left, right = (
            [[int(rng.choice(signs)) * high for _ in range(i + 1 - start[i])] for i in range(n)] for _ in "lr"
        )
        got = list(integers.products(left, right, start))
        assert len(got) == n
        for i in range(n):
            wanted = []
            for j in range(start[i], i + 1):
                common = range(max(start[i], start[j]), j + 1)
                wanted.append(sum(left[i][c - start[i]] * right[j][c - start[j]] for c in common))
            assert got[i] == wanted


def test_squares_of_mixed_families() -> None:
    rng = np.random.default_rng(3)
    terms = []
    for _ in range(30):
        positions = [[0, 1, 2], [1, 4], [], list(range(40))][int(rng.integers(4))]
        vector = [(i, int(rng.integers(-9, 10)) << int(rng.integers(80))) for i in positions]
        terms.append((vector, int(rng.integers(-5, 6))))
    matrix: integers.Rows = [defaultdict(int) for _ in range(40)]
    integers.add_squares(matrix, terms)
    for i in range(40):
        for j in range(i + 1):
            assert matrix[i].get(j, 0) == sum(w * dict(v).get(i, 0) * dict(v).get(j, 0) for v, w in terms)
        assert all(j <= i for j in matrix[i])


# ---------------------------------------------------------------- mutations of the numbers, judged by the oracle


def number_mutations(plain: Plain, rng: np.random.Generator) -> list[Plain]:
    mutants: list[Plain] = []

    def mutant() -> Plain:
        mutants.append(copy.deepcopy(plain))
        return mutants[-1]

    for share in (0.01, 0.5, 0.9, 0.99999):  # the upper bound is right for the lowered rho
        m = mutant()
        m.rho *= share
        m.upper = round_up_root(m)
    mutant().rho = -plain.rho
    mutant().rho = 0.0
    mutant().upper = math.nextafter(plain.upper, 0.0)
    mutant().upper = -plain.upper
    mutant().lower = math.nextafter(plain.upper, math.inf)
    mutant().exponent -= 1
    mutant().exponent += 1
    for _ in range(2):
        if plain.lambdas:
            g = int(rng.integers(len(plain.lambdas)))
            i = int(rng.integers(len(plain.lambdas[g])))
            for factor in (-1.0, 0.0, 0.3, 1.7, 100.0):
                mutant().lambdas[g][i] *= factor
    for key in plain.blocks:
        if plain.blocks[key].size:
            mutant().blocks[key].flat[0] *= -1
            mutant().blocks[key].flat[-1] += 3.0
            mutant().radii[key] = 0.5
    for key in plain.lows:
        mutant().lows[key].flat[0] += 0.5
        mutant().lows[key].flat[-1] *= -1
        mutant().lows[key] *= 300.0
        del mutant().lows[key]
        m = mutant()
        m.blocks[key], m.lows[key] = m.lows[key], m.blocks[key]  # the same sum
        m = mutant()
        m.lows[key] = m.blocks[key].copy()
    for _ in range(5):
        i = int(rng.integers(len(plain.rows)))
        j = int(rng.integers(len(plain.rows[i])))
        mutant().rows[i][j] ^= 1 << (plain.precision - int(rng.integers(4)))
        mutant().rows[i][j] *= -1
        mutant().rows[i][j] += 1
    i = int(rng.integers(len(plain.rows)))
    mutant().scaling[i] += 1
    mutant().scaling[i] -= 1
    mutant().scaling[i] = 4000
    mutant().scaling[i] = -4000
    mutant().precision += 1
    mutant().precision -= 1
    if plain.input_factor is not None and plain.input_factor[0]:
        mutant().input_factor = (plain.input_factor[0], plain.input_factor[1] * 0.99)
        mutant().input_factor = (plain.input_factor[0], plain.input_factor[1] * 1.5)
        mutant().input_factor = ([x + 3 * (i % 2) for i, x in enumerate(plain.input_factor[0])], plain.input_factor[1])
    for slope in ((-3.0, 1.0), (0.0, 3.0)):
        if plain.slopes:
            mutant().slopes[-1][0] = slope
    return mutants


def test_number_mutations_get_the_oracles_verdict() -> None:
    rng = np.random.default_rng(1)
    seen: Counter[bool] = Counter()
    for plain in CASES.values():
        for mutant in number_mutations(plain, rng):
            if mutant.rho < 0 or any(x < 0 for group in mutant.lambdas for x in group):
                result = check_document(encode(mutant))
                assert not result.ok
                assert "less than" in result.reason or "out of range" in result.reason
                seen[False] += 1
            else:
                seen[verdict(mutant)] += 1
    assert seen[False] >= 400
    assert seen[True] >= 50  # harmless changes stay accepted, so the oracle and not prejudice decides


# ---------------------------------------------------------------- mutations of the file


Change = Callable[[dict[str, Any]], Any]


def edit_array(code: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[str], str]:
    def edited(text: str) -> str:
        values = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<" + code)
        return pack(change(values.copy()).astype("<" + code).tobytes())

    return edited


def at(path: str, change: Callable[[Any], Any]) -> Change:
    """Apply a change to the value at a path such as "network.blocks.0.to"."""

    def changed(document: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = document
        for part in parents:
            place = place[part]
        place[last] = change(place[last])

    return changed


def put(path: str, value: Any) -> Change:
    return at(path, lambda _: value)


def first_is(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[0] = value
        return values

    return change


def drop(path: str) -> Change:
    def changed(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for part in parents:
            place = place[int(part)] if part.isdigit() else place[part]
        del place[last]

    return changed


def rehash(document: dict[str, Any]) -> None:
    """Make the hash right again, so that only what else is wrong can lead to rejection."""
    network = document["network"]
    doubled = any("low" in block for block in network["blocks"])
    raw = {"sha": hashlib.sha256(b"sdpcert-network-2" if doubled else b"sdpcert-network-1")}

    def feed(data: bytes) -> None:
        raw["sha"].update(data)

    feed(i8([network["inputs"], network["outputs"], len(network["groups"])]))
    for group in network["groups"]:
        feed(i8([group["size"]]))
        feed(zlib.decompress(base64.b64decode(group["alpha"])) + zlib.decompress(base64.b64decode(group["beta"])))
    for block in network["blocks"]:
        feed(i8([block["to"], block["from"]]) + struct.pack("<d", float.fromhex(block["radius"])))
        feed(zlib.decompress(base64.b64decode(block["weights"])))
        if doubled:
            feed(i8([1]) + zlib.decompress(base64.b64decode(block["low"])) if "low" in block else i8([0]))
    network["sha256"] = raw["sha"].hexdigest()


def rehashed(change: Change) -> Change:
    def changed(document: dict[str, Any]) -> None:
        change(document)
        rehash(document)

    return changed


def swap_blocks(document: dict[str, Any]) -> None:
    document["network"]["blocks"].reverse()


def duplicate_block(document: dict[str, Any]) -> None:
    blocks = document["network"]["blocks"]
    blocks.insert(1, copy.deepcopy(blocks[0]))


def extra_group(document: dict[str, Any]) -> None:
    document["network"]["groups"].append(copy.deepcopy(document["network"]["groups"][0]))


def move_low(document: dict[str, Any]) -> None:
    blocks = document["network"]["blocks"]
    blocks[-1]["low"] = blocks[0].pop("low")


def structural_mutations() -> dict[str, Change]:
    f8_arrays = [
        "network.groups.0.alpha",
        "network.groups.1.beta",
        "network.blocks.1.weights",
        "network.blocks.1.low",
        "multipliers.lambda.0",
        "proof.input_factor.weights",
        "attained.x",
        "attained.x_prime",
    ]
    i8_arrays = ["proof.scaling", "proof.start", "proof.factor", "proof.input_factor.scaling"]
    integers = {
        "version": 1,
        "network.inputs": 1,
        "network.outputs": 1,
        "network.groups.0.size": 1,
        "network.blocks.0.to": 1,
        "network.blocks.0.from": 0,
        "multipliers.exponent": 0,
        "proof.precision": 1,
    }
    hexes = ["upper", "network.blocks.0.radius", "multipliers.rho", "attained.lower"]
    changes: dict[str, Change] = {
        "wrong format": put("format", "sdpcert"),
        "version 2": put("version", 2),
        "kind": put("proof.kind", "diagonal dominance"),
        "claim a number": put("claim", 1),
        "information a list": put("information", []),
        "hash of another": put("network.sha256", "0" * 64),
        "hash in capitals": at("network.sha256", str.upper),
        "hash null": put("network.sha256", None),
        "blocks swapped": swap_blocks,
        "block twice": duplicate_block,
        "extra group": extra_group,
        "groups an object": put("network.groups", {}),
        "blocks null": put("network.blocks", None),
        "activation null": put("network.groups.0.activation", None),
        "extra lambda": at("multipliers.lambda", lambda x: [*x, x[0]]),
        "missing lambda": at("multipliers.lambda", lambda x: x[:-1]),
        "lambda swapped": at("multipliers.lambda", lambda x: x[::-1]),
        "missing block": at("network.blocks", lambda x: x[:-1]),
        "missing group": at("network.groups", lambda x: x[:-1]),
        "block to itself": put("network.blocks.0.from", 1),
        "block backwards": put("network.blocks.1.from", 3),
        "block from nowhere": put("network.blocks.0.from", -1),
        "block beyond the output": put("network.blocks.3.to", 4),
        "no inputs": put("network.inputs", 0),
        "too many inputs": put("network.inputs", 10**7 + 1),
        "many inputs": put("network.inputs", 10**7),
        "too many outputs": put("network.outputs", 10**30),
        "many outputs": put("network.outputs", 10**7),
        "empty group": put("network.groups.0.size", 0),
        "large group": put("network.groups.0.size", 10**6),
        "huge exponent": put("multipliers.exponent", 1101),
        "huge negative exponent": put("multipliers.exponent", -(10**40)),
        "precision zero": put("proof.precision", 0),
        "precision 201": put("proof.precision", 201),
        "scaling beyond": at("proof.scaling", edit_array("i8", first_is(4001))),
        "scaling far beyond": at("proof.scaling", edit_array("i8", first_is(-(2**63)))),
        "input scaling beyond": at("proof.input_factor.scaling", edit_array("i8", first_is(-4001))),
        "start beyond the diagonal": at("proof.start", edit_array("i8", first_is(1))),
        "start negative": at("proof.start", edit_array("i8", first_is(-1))),
        "start later": at("proof.start", edit_array("i8", lambda x: np.arange(len(x)))),
        "alpha above beta": at("network.groups.0.alpha", edit_array("f8", first_is(1.5))),
        "lambda negative": at("multipliers.lambda.0", edit_array("f8", first_is(-1e-300))),
        "radius negative": put("network.blocks.0.radius", (-1.0).hex()),
        "rho negative": put("multipliers.rho", (-5e-324).hex()),
        "upper negative": put("upper", (-5.0).hex()),
        "lower above upper": put("attained.lower", (1e6).hex()),
        "no input factor": put("proof.input_factor", None),
        "input factor a list": put("proof.input_factor", []),
        "attained a number": put("attained", 0.0),
        "low dropped": drop("network.blocks.0.low"),
        "low in another block": rehashed(move_low),
        "low of another size": at("network.blocks.3", lambda block: {**block, "low": pack(f8(np.zeros(1)))}),
    }
    for name in ("blocks swapped", "block twice", "alpha above beta", "missing block", "missing group", "extra group"):
        changes[f"{name}, rehashed"] = rehashed(changes[name])
    for path in ("network", "multipliers", "proof"):
        changes[f"{path} has an unknown key"] = at(path, lambda x: {**x, "note": 1})
        changes[f"{path} a list"] = put(path, [])
        changes[f"{path} null"] = put(path, None)
    for path in ("network.groups.0", "network.blocks.0", "proof.input_factor"):
        changes[f"{path} has an unknown key"] = at(path, lambda x: {**x, "bias": ""})
    keys = "format version claim upper network multipliers proof attained information network.inputs network.outputs"
    keys += " network.groups network.blocks network.sha256 multipliers.rho multipliers.lambda multipliers.exponent"
    keys += " proof.kind proof.precision proof.scaling proof.start proof.factor proof.input_factor attained.lower"
    keys += " attained.x attained.x_prime network.groups.0.activation network.blocks.0.radius network.blocks.0.to"
    for key in keys.split():
        changes[f"{key} missing"] = drop(key)
    for path, value in integers.items():
        changes[f"{path} a bool"] = put(path, bool(value))
        changes[f"{path} a float"] = put(path, float(value))
        changes[f"{path} a string"] = put(path, str(value))
        changes[f"{path} null"] = put(path, None)
    for path in hexes:
        for text in ("nan", "inf", "-inf", "0x1p+5000", "1.5", "", "x", "0x1p3", " 0x1.0000000000000p+1", 1.5, 1, True):
            changes[f"{path} is {text!r}"] = put(path, text)
    for path in f8_arrays + i8_arrays:
        code = "f8" if path in f8_arrays else "i8"
        changes[f"{path} truncated"] = at(path, edit_array(code, lambda x: x[:-1]))
        changes[f"{path} longer"] = at(path, edit_array(code, lambda x: np.append(x, x[:1])))
        changes[f"{path} empty"] = put(path, pack(b""))
        changes[f"{path} one byte more"] = at(path, lambda x: pack(zlib.decompress(base64.b64decode(x)) + b"\0"))
        changes[f"{path} half a value"] = put(path, pack(b"\0" * 12))
        changes[f"{path} not base64"] = at(path, lambda x: "*" + x[1:])
        changes[f"{path} not ASCII"] = at(path, lambda x: "\ud800" + x[1:])
        changes[f"{path} not padded"] = at(path, lambda x: x.rstrip("=")[:-1])
        changes[f"{path} line break"] = at(path, lambda x: x[:4] + "\n" + x[4:])
        changes[f"{path} not zlib"] = put(path, base64.b64encode(b"\0" * 40).decode())
        changes[f"{path} stream cut"] = at(path, lambda x: base64.b64encode(base64.b64decode(x)[:-3]).decode())
        changes[f"{path} stream followed"] = at(path, lambda x: base64.b64encode(base64.b64decode(x) + b"0").decode())
        changes[f"{path} a list"] = put(path, [1.0])
        changes[f"{path} null"] = put(path, None)
        changes[f"{path} a bomb"] = put(path, BOMB)
    for path in f8_arrays:
        for value in (math.nan, math.inf, -math.inf):
            changes[f"{path} has {value}"] = at(path, edit_array("f8", first_is(value)))
    return changes


BOMB = pack(b"\0" * 50_000_000)


def base_plain() -> Plain:
    plain = copy.deepcopy(CASES["low parts, wide and uncertain"])
    plain.lower = 1e-3
    return plain


STRUCTURAL = structural_mutations()

REASONS = {  # where a mutation would fall to a later test as well, the reason shows that the first one works
    "block twice, rehashed": "duplicate or out of order",
    "blocks swapped, rehashed": "duplicate or out of order",
    "alpha above beta, rehashed": "alpha > beta",
    "scaling beyond": "out of range",
    "scaling far beyond": "out of range",
    "input scaling beyond": "out of range",
    "lambda negative": "out of range",
    "extra lambda": "one array per group",
    "missing lambda": "one array per group",
    "hash": "sha256",
    "huge": "multipliers.exponent is not in",
    "radius negative": "less than 0",
    "rho negative": "less than 0",
    "upper negative": "less than 0",
    "lower above upper": "greater than upper",
}


@pytest.mark.parametrize("name", STRUCTURAL)
def test_structural_mutation_is_rejected(name: str) -> None:
    document = encode(base_plain())
    STRUCTURAL[name](document)
    result = check_document(document)
    assert not result.ok
    assert_one_line(result)
    for beginning, word in REASONS.items():
        if name.startswith(beginning):
            assert word in result.reason


def test_unmutated_base_is_proved_and_mutations_are_many() -> None:
    assert verdict(base_plain())
    assert len(STRUCTURAL) >= 200


def test_every_array_entry_counts_for_the_hash() -> None:
    """A changed network without a new hash is rejected, whatever else holds."""
    plain = CASES["mixed"]
    document = encode(plain)
    for block in range(len(document["network"]["blocks"])):
        for position in range(plain.blocks[sorted(plain.blocks)[block]].size):
            changed = copy.deepcopy(document)
            flip = edit_array("f8", lambda x, p=position: np.where(np.arange(len(x)) == p, -x, x))
            at(f"network.blocks.{block}.weights", flip)(changed)
            result = check_document(changed)
            assert not result.ok and "sha256" in result.reason


def test_every_entry_of_a_low_part_counts_for_the_hash() -> None:
    plain = CASES["low parts"]
    document = encode(plain)
    assert check_document(document).ok
    for block, key in enumerate(sorted(plain.blocks)):
        changed = copy.deepcopy(document)
        if key not in plain.lows:
            changed["network"]["blocks"][block]["low"] = pack(f8(np.zeros_like(plain.blocks[key])))
            assert "sha256" in check_document(changed).reason
            continue
        for position in range(plain.lows[key].size):
            flip = edit_array("f8", lambda x, p=position: np.where(np.arange(len(x)) == p, -x, x))
            changed = copy.deepcopy(document)
            at(f"network.blocks.{block}.low", flip)(changed)
            assert "sha256" in check_document(changed).reason
        changed = copy.deepcopy(document)
        changed["network"]["blocks"][block].pop("low")
        assert "sha256" in check_document(changed).reason


def test_start_beyond_the_diagonal() -> None:
    plain = copy.deepcopy(CASES["dead neuron"])
    row = next(i for i, stored in enumerate(plain.rows) if stored == [0])
    assert verdict(plain)
    plain.start[row] += 1  # the row is zero, so nothing but the rule forbids this
    plain.rows[row] = []
    result = check_document(encode(plain))
    assert not result.ok and "beyond the diagonal" in result.reason


def test_start_earlier_than_the_stored_rows() -> None:
    document = encode(CASES["relu three layers"])
    at("proof.start", edit_array("i8", lambda x: x * 0))(document)
    result = check_document(document)
    assert not result.ok and "proof.factor" in result.reason


def test_unknown_key_at_the_top_is_allowed() -> None:
    assert check_document({**encode(CASES["leaky"]), "note": "for people"}).ok


@pytest.mark.parametrize("document", [None, [], "x", 1, True, {}, {"format": "sdpcert-certificate"}])
def test_not_a_certificate(document: Any) -> None:
    result = check_document(document)
    assert not result.ok
    assert_one_line(result)


def test_limits_come_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CASES["wide"]
    entries = sum(map(len, plain.rows))
    count = len(plain.rows)
    assert plain.input_factor is not None
    stored = sum(w.size for w in plain.blocks.values()) + plain.input_factor[1].size
    for name, limit, word in (
        ("MAX_COORDINATES", count, "coordinates"),
        ("MAX_FACTOR_ENTRIES", entries, "entries of L"),
        ("MAX_WEIGHTS", stored, "weights"),
    ):
        monkeypatch.setattr(factor_proof, name, limit)
        assert check_document(encode(plain)).ok
        monkeypatch.setattr(factor_proof, name, limit - 1)
        result = check_document(encode(plain))
        assert not result.ok and word in result.reason
        monkeypatch.undo()


# ---------------------------------------------------------------- files, the command line, standing alone


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    text = json.dumps(encode(CASES["leaky"]))
    contents = {
        "garbage": bytes(range(256)) * 10,
        "not-utf8": text.encode("utf-16"),
        "truncated": text[:-40].encode(),
        "empty": b"",
        "nested": b"[" * 200_000,
        "nested-closed": b"[" * 200_000 + b"]" * 200_000,
        "long-integer": b'{"version": ' + b"1" * 10_000 + b"}",
        "two-values": text.encode() * 2,
        "byte-order-mark": b"\xef\xbb\xbf" + text.encode(),
    }
    files = {"missing": folder / "nothing.json", "folder": folder, "through-a-file": folder / "garbage" / "x.json"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        files[name] = folder / name
    return files


def test_unreadable_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, path in bad_files(tmp_path).items():
        result = check(path)
        assert not result.ok, name
        assert_one_line(result)
        assert main([str(path)]) == 2, name
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1, name
    assert not check("null\0byte").ok
    assert main(["null\0byte"]) == 2


def test_file_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "c.json", encode(CASES["leaky"]))
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", path.stat().st_size - 1)
    assert "larger than" in check(path).reason
    assert main([str(path)]) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 1, "version": 1'),
        ('"rho":', '"rho": "0x0.0p+0", "rho":'),
        ('"solver": "none"', '"solver": "none", "solver": "none"'),
        ('"seconds": 0.5', '"seconds": NaN'),
        ('"seconds": 0.5', '"seconds": -Infinity'),
        ('"seconds": 0.5', '"seconds": 1e999'),
        ('"version": 1', '"version": 1.0'),
        ('"version": 1', '"version": true'),
        ('"version": 1', '"version": 1e0'),
    ],
)
def test_bad_json_content_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    text = json.dumps(encode(CASES["leaky"]))
    assert text.count(old) == 1
    path = tmp_path / "c.json"
    path.write_text(text.replace(old, new), encoding="utf-8")
    result = check(path)
    assert not result.ok
    assert_one_line(result)
    assert main([str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.startswith("rejected: ") and captured.out.count("\n") == 1


def test_strange_names_are_printed_in_ascii(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = encode(CASES["leaky"])
    document["network"]["\ud800\n" + "x" * 1000] = 1
    path = write(tmp_path / "c.json", document)
    assert main([str(path)]) == 1
    out = capsys.readouterr().out
    assert out.isascii() and out.count("\n") == 1 and len(out) < 200


def test_zero_weight_envelope_costs_little() -> None:
    """A long chain: the work follows the envelope, so 1200 coordinates of width 4 take well under a second."""
    groups, width = 299, 4
    eye = np.eye(width) * 0.5
    plain = Plain(width, width, [[RELU] * width] * groups, {(g, g - 1): eye for g in range(1, groups + 2)})
    n = width * (groups + 1)
    plain.lambdas = [[1.0] * width for _ in range(groups)]
    plain.rho = plain.upper = 1.0
    # D M D - L L' with L = diag: 2 on the diagonal of z (1 of x, 2 - 1/4 of the last group), 1/2 beside it.
    plain.precision, plain.scaling = 1, [0] * n
    plain.start, plain.rows = list(range(n)), [[1] for _ in range(n)]
    assert check_document(encode(plain)).ok
