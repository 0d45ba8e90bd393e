"""Proofs against exact fractions, certificates against the independent checker, and what mutations do to them."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import os
import struct
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network, certify
from sdpcert.arithmetic.exact import Total, add_product, square_root_up, two_product
from sdpcert.certificate.document import build_document, write_document
from sdpcert.certificate.evidence.factor_evidence import FactorEvidence
from sdpcert.certificate.evidence.scaling_evidence import ScalingEvidence
from sdpcert.certificate.input_factor import InputFactor, factor_input
from sdpcert.certificate.proof import Proof, ProofProblem
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.check import check, check_document
from sdpcert.network.activations import relu
from sdpcert.network.affine import Dense, Scale
from sdpcert.network.graph import Graph
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.running.choices import Method
from sdpcert.solvers import closed_form, product
from tests.check.version3 import with_claim

Array = np.ndarray
SLOPES = [(0.0, 1.0), (0.1, 1.0), (-1.0, 1.0), (-0.2, 1.1), (0.0, 0.25), (0.5, 2.0), (-2.0, -0.3)]


def random_form(
    seed: int,
    inputs: int = 2,
    radius: float = 0.0,
    scale: float = 0.0,
    mixed: bool = True,
    skips: bool = True,
    low: float = 0.0,
) -> StackedForm:
    """A form of a few small groups; with `low`, most blocks have a low part of that size relative to the weights."""
    rng = np.random.default_rng(seed)
    sizes = [inputs, *(int(k) for k in rng.integers(1, 4, int(rng.integers(1, 4)))), int(rng.integers(1, 3))]
    groups, blocks = [], {}
    for to in range(1, len(sizes)):
        for source in range(to):
            if source == to - 1 or (skips and rng.random() < 0.4):
                weights = rng.standard_normal((sizes[to], sizes[source])) * 10.0 ** rng.uniform(-scale, scale)
                rest = weights * low * rng.uniform(-1, 1, weights.shape) if low and rng.random() < 0.8 else None
                blocks[to, source] = Block(weights, radius * float(np.abs(weights).max()), None, rest)
        if to < len(sizes) - 1:
            picks = [SLOPES[k] for k in rng.integers(0, len(SLOPES) if mixed else 1, sizes[to])]
            alpha, beta = (np.array([p[k] for p in picks]) for k in (0, 1))
            groups.append(Group(relu(), (sizes[to],), np.arange(sizes[to]), alpha, beta, np.zeros(sizes[to])))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1]))


# ---------------------------------------------------------------- the format document in fractions


Exact = list[list[Fraction]]


def fractions(matrix: Array) -> Exact:
    return [[Fraction(float(x)) for x in row] for row in matrix]


def stored(block: Block) -> Exact:
    """The stored weights, low part included."""
    if block.low is None:
        return fractions(block.weights)
    pairs = zip(fractions(block.weights), fractions(block.low), strict=True)
    return [[a + b for a, b in zip(high, low, strict=True)] for high, low in pairs]


def dominant(matrix: Exact, charge: Exact) -> bool:
    n = range(len(matrix))
    return all(
        matrix[i][i] - charge[i][i] >= sum((abs(matrix[i][j]) + charge[i][j] for j in n if j != i), Fraction(0))
        for i in n
    )


def input_factor_of(proof: Proof) -> InputFactor | None:
    return proof.evidence.input_factor if isinstance(proof.evidence, FactorEvidence) else None


def condition(form: StackedForm, proof: Proof) -> tuple[Exact, Exact]:
    """M and the entrywise charges of the radii, for the network with the factor in place of the input."""
    blocks = dict(form.blocks)
    inputs, factor = form.inputs, input_factor_of(proof)
    if factor is not None:
        inputs, first = len(factor.weights), 0
        for key in sorted(k for k in blocks if k[1] == 0):
            size = len(blocks[key].weights)
            blocks[key] = Block(factor.weights[first : first + size])
            first += size
    sizes = [inputs, *(g.size for g in form.groups)]
    bounds = [0, *np.cumsum(sizes).tolist()]
    n = bounds[-1]
    M = [[Fraction(0)] * n for _ in range(n)]
    eps = [[Fraction(0)] * n for _ in range(n)]
    for j in range(inputs):
        M[j][j] = Fraction(proof.rho)
    for to in range(1, form.output_row + 1):
        size = form.sizes[to]
        for i in range(size):
            k, r = [Fraction(0)] * n, [Fraction(0)] * n
            for (row, source), block in blocks.items():
                if row == to:
                    for c in range(sizes[source]):
                        k[bounds[source] + c] = stored(block)[i][c]
                        r[bounds[source] + c] = Fraction(block.radius)
            if to == form.output_row:
                linear, square = Fraction(0), -(Fraction(4) ** -proof.exponent)
            else:
                group, t = form.groups[to - 1], Fraction(float(proof.multipliers[to - 1][i]))
                a, b = Fraction(float(group.alpha[i])), Fraction(float(group.beta[i]))
                linear, square = t * (a + b), 2 * t * a * b
                e = bounds[to] + i
                M[e][e] += 2 * t
                for j in range(n):
                    for p, q in ((e, j), (j, e)):
                        M[p][q] -= linear * k[j]
                        eps[p][q] += abs(linear) * r[j]
            for j in range(n):
                for l in range(n):
                    M[j][l] += square * k[j] * k[l]
                    eps[j][l] += abs(square) * (r[j] * abs(k[l]) + abs(k[j]) * r[l] + r[j] * r[l])
    return M, eps


def holds(form: StackedForm, proof: Proof) -> bool:
    """Whether a proof proves what it says, by the formulas of the format document, exactly."""
    if proof.rho < 0 or any(np.any(t < 0) for t in proof.multipliers):
        return False
    M, eps = condition(form, proof)
    evidence = proof.evidence
    if isinstance(evidence, ScalingEvidence):
        scale = [Fraction(float(a)) for a in evidence.vector]
        return all(a > 0 for a in scale) and dominant(scaled(M, scale), scaled(eps, scale))
    assert isinstance(evidence, FactorEvidence)
    order = evidence.elimination.permutation.tolist()
    L = evidence.integers()
    scale = [2**evidence.precision * Fraction(2) ** -int(d) for d in evidence.scaling]
    n = range(len(M))
    E, charge = scaled(M, scale), scaled(eps, scale)
    E = [[E[order[i]][order[j]] - sum(a * b for a, b in zip(L[i], L[j], strict=True)) for j in n] for i in n]
    charge = [[charge[order[i]][order[j]] for j in n] for i in n]
    return dominant(E, charge) and (evidence.input_factor is None or factor_holds(form, evidence.input_factor))


def scaled(matrix: Exact, scale: list[Fraction]) -> Exact:
    return [[a * b * x for b, x in zip(scale, row, strict=True)] for a, row in zip(scale, matrix, strict=True)]


def factor_holds(form: StackedForm, factor: InputFactor) -> bool:
    readers = [form.blocks[k] for k in sorted(form.blocks) if k[1] == 0]
    G = [row for b in readers for row in stored(b)]
    radius = [Fraction(b.radius) for b in readers for _ in b.weights]
    R = fractions(factor.weights)
    scale = [Fraction(2) ** -int(c) for c in factor.scaling]
    sums = [sum(map(abs, row), Fraction(0)) for row in G]
    n = range(len(G))
    C, eps = [], []
    for i in n:
        C.append([])
        eps.append([])
        for j in n:
            unit = scale[i] * scale[j]
            difference = sum((a * b for a, b in zip(R[i], R[j], strict=True)), Fraction(0))
            difference -= sum((a * b for a, b in zip(G[i], G[j], strict=True)), Fraction(0))
            C[i].append(unit * difference)
            eps[i].append(unit * (radius[i] * sums[j] + radius[j] * sums[i] + form.inputs * radius[i] * radius[j]))
    return dominant(C, eps)


def document_of(form: StackedForm, proof: Proof) -> dict[str, Any]:
    return build_document(StackedCondition(form, proof), None, {})


# ---------------------------------------------------------------- proofs are exact


@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.sampled_from([1, 2, 3, 9]),
    radius=st.sampled_from([0.0, 0.0, 1e-15, 1e-9, 1e-4]),
    scale=st.sampled_from([0.0, 0.0, 3.0, 20.0, 60.0]),
    low=st.sampled_from([0.0, 2.0**-53, 2.0**-53, 1e-3, 1.0]),
)
def test_what_is_accepted_is_exactly_true(seed: int, inputs: int, radius: float, scale: float, low: float) -> None:
    form = random_form(seed, inputs, radius, scale, low=low)
    for solution in (product(form), closed_form(form)):
        proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
        if proof is None:
            continue
        assert holds(form, proof)
        assert check_document(document_of(form, proof)).ok


@given(
    seed=st.integers(0, 2**32 - 1),
    shift=st.sampled_from([-250, -120, -60, 60, 120, 250]),
    tiny=st.sampled_from([0.0, 1e-170, 1e-200, 1e-300, 5e-324]),
    radius=st.sampled_from([0.0, 5e-324, 1e-300]),
    low=st.sampled_from([0.0, 2.0**-53, 1e-300]),
)
def test_extreme_exponents_are_proved_or_refused(seed: int, shift: int, tiny: float, radius: float, low: float) -> None:
    """Hidden scales of 2^shift, weights that vanish when squared, radii that vanish when multiplied."""
    form = random_form(seed, 2, 0.0, mixed=seed % 2 == 0)
    rng = np.random.default_rng(seed)
    blocks = {}
    for (to, source), block in form.blocks.items():
        weights = np.ldexp(block.weights, shift if to % 2 else -shift)
        if tiny:
            weights = np.where(rng.random(weights.shape) < 0.4, np.sign(weights) * tiny, weights)
        rest = weights * low * rng.uniform(-1, 1, weights.shape) if low and rng.random() < 0.8 else None
        blocks[to, source] = Block(weights, radius, None, rest)
    form = StackedForm(form.inputs, form.outputs, form.groups, blocks, form.offset)
    for solution in (product(form), closed_form(form)):
        multipliers = [t.copy() for t in solution.multipliers]
        if seed % 3 == 0:
            multipliers[seed % len(multipliers)][0] = 0.0
        try:
            proof = ProofProblem(form, solution.exponent).prove(solution.rho, tuple(multipliers))
        except OverflowError:
            continue
        if proof is not None:
            assert holds(form, proof)


def test_multipliers_below_normal_numbers_are_not_believed() -> None:
    """A multiplier of 2e-317 times a slope sum of 1.5 loses bits: 1e-8 of the matrix, found by a random search."""
    form = random_form(111497, 2, 0.0, 60.0)
    solution = closed_form(form)
    assert 0 < min(t.min() for t in solution.multipliers) < 1e-316
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is None or holds(form, proof)


@pytest.mark.parametrize("radius", [float("nan"), float("inf"), -1.0])
def test_a_radius_that_is_no_number_proves_nothing(radius: float) -> None:
    """`nan > 0` is false, and such a block must not count as exact."""
    for inputs in (1, 9):
        block = Block(np.ones((1, inputs)), radius)
        assert block.radius == float("inf") and not block.finite and np.all(block.moving)
        form = StackedForm(inputs, 1, (), {(1, 0): block}, np.zeros(1))
        assert ProofProblem(form, 0).prove(1e300, ()) is None


@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans())
@settings(max_examples=60)
def test_points_without_truth_are_refused(seed: int, wide: bool) -> None:
    """Points just below what the exact matrix allows: rho lowered until M is indefinite by its eigenvalues."""
    form = random_form(seed, 8 if wide else 2)
    solution = closed_form(form)
    low, high = 0.0, solution.rho

    def least(rho: float) -> float:
        return least_eigenvalue(form, rho, solution.multipliers, solution.exponent)

    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if least(middle) >= 0 else (middle, high)
    problem = ProofProblem(form, solution.exponent)
    proof = problem.prove(high * (1 - 1e-9), solution.multipliers, (0.0,))
    assert proof is None or holds(form, proof)
    assert problem.prove(low * 0.99, solution.multipliers, (0.0,)) is None
    proof = problem.prove(high * (1 + 1e-9), solution.multipliers)
    assert proof is not None and holds(form, proof)


def least_eigenvalue(form: StackedForm, rho: float, multipliers: Any, exponent: int) -> float:
    """Least eigenvalue of M at unit diagonal of its positive part, float64, the whole input."""
    sizes = form.sizes[:-1]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    n = int(bounds[-1])
    M = np.diag(np.where(np.arange(n) < form.inputs, rho, 0.0))
    for to in range(1, form.output_row + 1):
        K = np.zeros((form.sizes[to], n))
        for source, block in form.row(to).items():
            K[:, bounds[source] : bounds[source + 1]] = block.weights
        if to == form.output_row:
            K = np.ldexp(K, -exponent)
            M -= K.T @ K
            continue
        group, E = form.groups[to - 1], np.eye(n)[bounds[to] : bounds[to + 1]]
        P, Q = E - group.alpha[:, None] * K, E - group.beta[:, None] * K
        part = P.T @ (np.asarray(multipliers[to - 1])[:, None] * Q)
        M += part + part.T
    size = np.concatenate([np.full(form.inputs, rho), *(2 * np.asarray(t) for t in multipliers)])
    size = np.sqrt(np.where(size > 0, size, 1.0))
    return float(np.linalg.eigvalsh(M / np.outer(size, size))[0])


@pytest.mark.parametrize(
    ("rho", "change"),
    [
        (float("nan"), 1.0),
        (float("inf"), 1.0),
        (-1.0, 1.0),
        (0.0, 1.0),
        (1.0, float("nan")),
        (1.0, float("inf")),
        (1.0, 0.0),
        (1.0, -1.0),
    ],
)
def test_senseless_points_are_refused(rho: float, change: float) -> None:
    form = Network.mlp([np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[1.0, 1.0]])]).stacked
    point = closed_form(form)
    problem = ProofProblem(form, point.exponent)
    scale = point.rho if rho == 1.0 else 1.0
    proof = problem.prove(rho * scale, tuple(t * change for t in point.multipliers))
    assert proof is None or holds(form, proof)  # a trace of the interior may have made a true point of it


def test_negative_multipliers_never_reach_a_proof() -> None:
    """A solver's slightly negative multipliers count as zero."""
    weights = [np.diag([1.0, 1e-9]), np.array([[1.0, 0.0]])]
    form = Network.mlp(weights).stacked
    proof = ProofProblem(form, 0).prove(4.0, (np.array([2.0, -1e-12]),))
    assert proof is not None
    assert all(np.all(t >= 0) for t in proof.multipliers)
    assert holds(form, proof)


# ---------------------------------------------------------------- singular by construction


def test_singular_conditions_are_proved() -> None:
    """Conditions whose matrix is singular at every optimum: linear maps, duplicates, a neuron that cancels another."""
    cases = [
        [np.array([[3.0, 4.0]])],
        [np.eye(3)],
        [np.ones((3, 3)), np.ones((1, 3))],
        [np.array([[1.0], [-1.0]]), np.array([[1.0, -1.0]])],
        [np.zeros((2, 2)), np.ones((1, 2))],
        [np.array([[1.0, 0.0]]), np.array([[1.0], [0.0]])],
        [np.eye(4), np.eye(4), np.eye(4), np.eye(4)],
    ]
    for weights in cases:
        for method in ("neuron", "layer", "product"):
            certificate = certify(Network.mlp(weights), method=method)
            assert certificate.status == "proved"
            assert (
                certificate.form is not None
                and certificate.proof is not None
                and holds(certificate.form, certificate.proof)
            )
            assert certificate.tau <= 1e-7
            assert check_document(certificate.document()).ok


def test_the_residue_of_an_exact_optimum_needs_room_only_of_rounding() -> None:
    form = Network.mlp([np.array([[3.0, 4.0]])]).stacked
    assert ProofProblem(form, 0).prove(25.0 * (1 - 1e-12), (), (0.0,)) is None
    proof = ProofProblem(form, 0).prove(25.0, ())
    assert proof is not None and proof.rho <= 25 * (1 + 1e-13)


# ---------------------------------------------------------------- wide inputs, radii


@pytest.mark.parametrize("radius", [0.0, 1e-12])
def test_wide_inputs_are_factored(radius: float) -> None:
    rng = np.random.default_rng(1)
    form = random_form(3, 40, radius)
    factor = factor_input(form)
    assert factor is not None
    solution = closed_form(form)
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is not None
    kept = input_factor_of(proof)
    assert kept is not None and isinstance(proof.evidence, FactorEvidence)
    assert len(proof.evidence.scaling) == len(kept.weights) + form.neurons < 40
    assert holds(form, proof)
    # Every x has a shorter x~ that the factor maps to where G maps x.
    G = np.concatenate([form.blocks[k].weights for k in sorted(form.blocks) if k[1] == 0])
    x = rng.standard_normal(40)
    short = np.linalg.lstsq(factor.weights, G @ x, rcond=None)[0]
    assert np.linalg.norm(short) <= np.linalg.norm(x) * (1 + 1e-9)
    assert check_document(document_of(form, proof)).ok


def test_rows_that_read_nothing_do_not_spoil_the_factor() -> None:
    weights = np.random.default_rng(2).standard_normal((3, 20))
    weights[1] = 0
    form = Network.mlp([weights, np.ones((1, 3))]).stacked
    solution = closed_form(form)
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is not None and holds(form, proof)


@pytest.mark.parametrize("inputs", [2, 12])
@pytest.mark.parametrize("radius", [0.0, 1e-40])
def test_points_of_the_rounded_weights_are_not_proved_for_the_stored_ones(inputs: int, radius: float) -> None:
    """A low part of 1e-3 raises the norm of a linear map, and a lower one would be accepted without it."""
    weights = np.random.default_rng(21).standard_normal((2, inputs))
    form = StackedForm(inputs, 2, (), {(1, 0): Block(weights, radius, None, weights * 1e-3)}, np.zeros(2))
    square = float(np.linalg.norm(weights, 2)) ** 2
    assert ProofProblem(form, 0).prove(square * 1.0019, ()) is None
    proof = ProofProblem(form, 0).prove(square * 1.001**2 * (1 + 1e-12), ())
    assert proof is not None and holds(form, proof)
    assert check_document(document_of(form, proof)).ok


@pytest.mark.parametrize("inputs", [2, 12])
def test_proofs_with_radii_cover_every_network_inside(inputs: int) -> None:
    radius = 1e-3
    form = random_form(11, inputs, radius)
    solution = product(form, inflation=0.05)
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers, (0.0, 0.1, 0.5))
    assert proof is not None and holds(form, proof)
    rng = np.random.default_rng(12)
    for _ in range(20):
        blocks = {
            key: Block(b.weights + rng.choice([-1.0, 1.0], b.weights.shape) * b.radius * 0.999)
            for key, b in form.blocks.items()
        }
        inside = StackedForm(form.inputs, form.outputs, form.groups, blocks, form.offset)
        assert least_eigenvalue(inside, proof.rho, proof.multipliers, proof.exponent) > -1e-12


def test_radii_that_vanish_when_squared_are_charged() -> None:
    """A zero map known up to 5e-324 has no bound zero."""
    form = StackedForm(1, 1, (), {(1, 0): Block(np.zeros((1, 1)), 5e-324)}, np.zeros(1))
    assert ProofProblem(form, 0).prove(0.0, ()) is None
    proof = ProofProblem(form, 0).prove(1e-300, ())
    assert proof is not None and holds(form, proof)


# ---------------------------------------------------------------- error-free arithmetic


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 4)),
    spread=st.sampled_from([0.0, 2.0, 10.0]),
    same=st.booleans(),
)
@settings(max_examples=80)
def test_products_are_right_within_their_error(
    seed: int, shape: tuple[int, int, int], spread: float, same: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows, inner, columns = shape
    left = rng.standard_normal((rows, inner)) * 10.0 ** rng.uniform(-spread, spread, (rows, inner))
    right = (
        left if same else rng.standard_normal((columns, inner)) * 10.0 ** rng.uniform(-spread, spread, (columns, inner))
    )
    start = rng.standard_normal((rows, len(right)))
    total = Total(start)
    add_product(total, left, right, -1.0)
    value, error = total.value()
    for i in range(rows):
        for j in range(len(right)):
            terms = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(left[i], right[j], strict=True)]
            exact = Fraction(float(start[i, j])) - sum(terms, Fraction(0))
            assert (
                abs(exact - (Fraction(float(total.high[i, j])) + Fraction(float(total.low[i, j])))) <= total.error[i, j]
            )
            assert abs(exact - Fraction(float(value[i, j]))) <= error[i, j]
            size = float(np.abs(left[i]).max() * np.abs(right[j]).max()) * inner + abs(start[i, j])
            assert total.error[i, j] <= 2.0**-85 * size


@given(a=st.floats(-1e150, 1e150), b=st.floats(-1e150, 1e150))
def test_two_product_is_exact(a: float, b: float) -> None:
    if 0 < abs(a * b) < 1e-250 or min(abs(a), abs(b)) < 1e-140:
        return
    high, low = two_product(np.array([a]), np.array([b]))
    assert Fraction(a) * Fraction(b) == Fraction(float(high[0])) + Fraction(float(low[0]))


@given(value=st.floats(0, 1e300), exponent=st.integers(-500, 300))
def test_square_root_up_is_the_least_float_above(value: float, exponent: int) -> None:
    square = Fraction(4) ** exponent * Fraction(value)
    try:
        root = square_root_up(value, exponent)
    except OverflowError:
        assert square > Fraction(float(np.finfo(float).max)) ** 2 / 2
        return
    assert Fraction(root) ** 2 >= square
    assert root == 0 or Fraction(math.nextafter(root, 0.0)) ** 2 < square


@pytest.mark.parametrize(
    ("value", "exponent", "root"),
    [
        (0.0, 5, 0.0),
        (4.0, 0, 2.0),
        (2.0, 1, math.sqrt(8.0)),
        (5e-324, -1000, 5e-324),
        (9.0, 10, 3072.0),
    ],
)
def test_square_roots_of_known_numbers(value: float, exponent: int, root: float) -> None:
    assert square_root_up(value, exponent) == root


def test_square_roots_beyond_float64_are_refused() -> None:
    with pytest.raises(OverflowError):
        square_root_up(1.7e308, 600)


# ---------------------------------------------------------------- the file


def networks() -> dict[str, Network]:
    rng = np.random.default_rng(21)

    def weights(*sizes: int) -> list[Array]:
        return [rng.standard_normal((b, a)) / math.sqrt(a) for a, b in pairwise(sizes)]

    graph = Graph((3,))
    value = graph.add(Scale(np.array([0.3, 0.7, 1.9]), np.ones(3)), 0)
    value = graph.add(relu(), graph.add(Dense(rng.standard_normal((4, 3))), value))
    folded = graph.network(graph.add(Dense(rng.standard_normal((2, 4))), value))
    return {
        "relu": Network.mlp(weights(3, 5, 4, 2)),
        "leaky": Network.mlp(weights(2, 4, 4, 1), None, "leaky_relu"),
        "signed": Network.mlp(weights(3, 4, 2), None, "abs"),
        "wide": Network.mlp(weights(30, 4, 4, 2), None, "tanh"),
        "folded": folded,
        "maxmin": Network.mlp(weights(3, 4, 4, 2), None, "maxmin"),
        "linear": Network.mlp(weights(4, 3)),
    }


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, Any]]:
    found = {}
    for name, network in networks().items():
        certificate = certify(network, method="neuron")
        assert certificate.status == "proved"
        found[name] = certificate.document()
    return found


@pytest.mark.parametrize("name", list(networks()))
@pytest.mark.parametrize("method", ["neuron", "layer", "product"])
def test_a_saved_certificate_checks(name: str, method: Method, tmp_path: Path) -> None:
    certificate = certify(networks()[name], method=method)
    path = tmp_path / "certificate.json"
    certificate.save(path)
    verdict = check(path)
    assert verdict.ok, verdict.reason
    assert verdict.upper == certificate.upper and verdict.lower == certificate.lower
    assert verdict.sha256 == certificate.sha256
    assert json.loads(path.read_text()) == json.loads(json.dumps(certificate.document()))
    assert certificate.form is not None and certificate.proof is not None and holds(certificate.form, certificate.proof)
    assert certificate.upper == square_root_up(certificate.proof.rho, certificate.proof.exponent)


# ---------------------------------------------------------------- mutations


def unpack(text: str, kind: str) -> Array:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind).copy()


def pack(values: Array, kind: str) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, dtype=kind).tobytes())).decode()


def rehash(network: dict[str, Any]) -> None:
    digest = hashlib.sha256(b"sdpcert-network-1")
    digest.update(struct.pack("<3q", network["inputs"], network["outputs"], len(network["groups"])))
    for group in network["groups"]:
        digest.update(struct.pack("<q", group["size"]))
        digest.update(unpack(group["alpha"], "<f8").tobytes() + unpack(group["beta"], "<f8").tobytes())
    for block in network["blocks"]:
        digest.update(struct.pack("<qqd", block["to"], block["from"], float.fromhex(block["radius"])))
        digest.update(unpack(block["weights"], "<f8").tobytes())
    network["sha256"] = digest.hexdigest()


def form_of(network: dict[str, Any]) -> StackedForm:
    sizes = [network["inputs"], *(g["size"] for g in network["groups"]), network["outputs"]]
    groups = tuple(
        Group(
            relu(),
            (g["size"],),
            np.arange(g["size"]),
            unpack(g["alpha"], "<f8"),
            unpack(g["beta"], "<f8"),
            np.zeros(g["size"]),
        )
        for g in network["groups"]
    )
    blocks = {
        (b["to"], b["from"]): Block(unpack(b["weights"], "<f8").reshape(sizes[b["to"]], sizes[b["from"]]))
        for b in network["blocks"]
    }
    return StackedForm(sizes[0], sizes[-1], groups, blocks, np.zeros(sizes[-1]))


def is_false(document: dict[str, Any]) -> bool:
    """Whether M of a document is indefinite beyond rounding: then no factor at all can prove it."""
    point = document["tree"]["multipliers"]
    multipliers = [unpack(t, "<f8") for t in point["lambda"]]
    if any(np.any(t < 0) for t in multipliers):
        return True
    least = least_eigenvalue(
        form_of(document["tree"]["network"]), float.fromhex(point["rho"]), multipliers, point["exponent"]
    )
    return least < -1e-12


def set_rho(document: dict[str, Any], rho: float) -> None:
    document["tree"]["multipliers"]["rho"] = rho.hex()
    document["upper"] = square_root_up(rho, document["tree"]["multipliers"]["exponent"]).hex()
    document["tree"]["claim"]["upper"] = document["upper"]
    document["attained"] = None
    with_claim(document)


def lower_rho(document: dict[str, Any], rng: np.random.Generator) -> None:
    rho = float.fromhex(document["tree"]["multipliers"]["rho"])
    set_rho(document, rho * (1 - 10.0 ** rng.uniform(-7, -3)))


def change_lambda(document: dict[str, Any], rng: np.random.Generator) -> None:
    point = document["tree"]["multipliers"]
    if not point["lambda"]:
        return
    g = int(rng.integers(len(point["lambda"])))
    values = unpack(point["lambda"][g], "<f8")
    values[rng.integers(len(values))] *= 1 + rng.choice([-1, 1]) * 10.0 ** rng.uniform(-3, -1)
    point["lambda"][g] = pack(values, "<f8")


def change_weight(document: dict[str, Any], rng: np.random.Generator) -> None:
    block = document["tree"]["network"]["blocks"][int(rng.integers(len(document["tree"]["network"]["blocks"])))]
    values = unpack(block["weights"], "<f8")
    values[rng.integers(len(values))] *= 1 + 10.0 ** rng.uniform(-3, 0)
    block["weights"] = pack(values, "<f8")
    rehash(document["tree"]["network"])


def change_slope(document: dict[str, Any], rng: np.random.Generator) -> None:
    if not document["tree"]["network"]["groups"]:
        return
    group = document["tree"]["network"]["groups"][int(rng.integers(len(document["tree"]["network"]["groups"])))]
    key, sign = [("alpha", -1), ("beta", 1)][int(rng.integers(2))]
    values = unpack(group[key], "<f8")
    values[rng.integers(len(values))] += sign * 10.0 ** rng.uniform(-2, 0)
    group[key] = pack(values, "<f8")
    rehash(document["tree"]["network"])


MUTATIONS = [lower_rho, change_lambda, change_weight, change_slope]


def test_two_hundred_false_certificates_are_rejected(documents: dict[str, dict[str, Any]]) -> None:
    """Each mutation is consistent (hash, upper) and makes the condition false, by the eigenvalues of its matrix."""
    rng = np.random.default_rng(31)
    rejected = {mutation.__name__: 0 for mutation in MUTATIONS}
    for _ in range(3000):
        name = str(rng.choice(list(documents)))
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        document = copy.deepcopy(documents[name])
        mutation(document, rng)
        if document == documents[name] or not is_false(document):
            continue
        assert not check_document(document).ok, (name, mutation.__name__)
        rejected[mutation.__name__] += 1
        if min(rejected.values()) >= 60:
            break
    assert sum(rejected.values()) >= 200, rejected
    assert min(rejected.values()) >= 40, rejected


def test_bounds_below_the_optimum_cannot_be_proved(documents: dict[str, dict[str, Any]]) -> None:
    """Every rho below the dual bound, in steps down to what the solver's gap leaves."""
    count = 0
    for document in documents.values():
        lowest = document["information"]["sdp_lower"]
        for relative in 10.0 ** np.arange(-7.0, -2.9, 0.5):
            mutated = copy.deepcopy(document)
            set_rho(mutated, float.fromhex(document["tree"]["multipliers"]["rho"]) * (1 - relative))
            if float.fromhex(mutated["upper"]) < lowest:
                assert not check_document(mutated).ok
                count += 1
    assert count >= 40


def test_bits_of_the_factor_are_all_used(documents: dict[str, dict[str, Any]]) -> None:
    """High bits of L flipped: the residue is no longer dominant."""
    rng = np.random.default_rng(32)
    for document in documents.values():
        for _ in range(20):
            mutated = copy.deepcopy(document)
            values = unpack(mutated["tree"]["proof"]["factor"], "<i8")
            k = int(rng.choice(np.flatnonzero(values)))
            values[k] ^= 1 << int(rng.integers(35, 50))
            mutated["tree"]["proof"]["factor"] = pack(values, "<i8")
            assert not check_document(mutated).ok


def test_swapped_parts_are_rejected(documents: dict[str, dict[str, Any]]) -> None:
    for one in documents:
        for two in documents:
            if one != two:
                for part in ("network", "multipliers", "proof"):
                    mutated = copy.deepcopy(documents[one])
                    mutated["tree"][part] = documents[two]["tree"][part]
                    assert not check_document(mutated).ok, (one, two, part)


@pytest.mark.parametrize("shift", [1, 2, 10])
def test_other_exponents_are_rejected(documents: dict[str, dict[str, Any]], shift: int) -> None:
    for document in documents.values():
        mutated = copy.deepcopy(document)
        mutated["tree"]["multipliers"]["exponent"] -= shift
        set_rho(mutated, float.fromhex(mutated["tree"]["multipliers"]["rho"]))
        assert not check_document(mutated).ok


def test_a_smaller_input_factor_is_rejected(documents: dict[str, dict[str, Any]]) -> None:
    document = copy.deepcopy(documents["wide"])
    factor = document["tree"]["proof"]["input_factor"]
    assert factor is not None
    factor["weights"] = pack(unpack(factor["weights"], "<f8") * (1 - 1e-9), "<f8")
    assert not check_document(document).ok
    document["tree"]["proof"]["input_factor"] = None
    assert not check_document(document).ok


# ---------------------------------------------------------------- saving


def contents(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_saving_replaces_a_file_whole(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_text("old")
    write_document(documents["relu"], path)
    assert check(path).ok
    assert contents(tmp_path) == ["certificate.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def one_line(error: pytest.ExceptionInfo[ValueError]) -> bool:
    return "\n" not in str(error.value) and "cannot write" in str(error.value)


def test_saving_into_a_missing_folder(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        write_document(documents["relu"], tmp_path / "missing" / "certificate.json")
    assert one_line(error) and contents(tmp_path) == []


def test_saving_onto_a_folder_leaves_nothing(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError) as error:
        write_document(documents["relu"], tmp_path / "taken")
    assert one_line(error) and contents(tmp_path) == ["taken"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_saving_into_a_folder_without_permission(documents: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(ValueError) as error:
        write_document(documents["relu"], folder / "certificate.json")
    assert one_line(error) and contents(folder) == []


def test_a_failing_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_text("old")
    for broken in ({"upper": float("nan")}, {"upper": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_document(broken, path)
    assert path.read_text() == "old" and contents(tmp_path) == ["certificate.json"]


def test_nothing_unproved_is_saved(tmp_path: Path) -> None:
    from dataclasses import replace

    certificate = certify(Network.mlp([np.eye(2), np.eye(2)]))
    unproved = replace(certificate, tree=None, status="unproved", upper=math.inf)
    with pytest.raises(ValueError, match="nothing was proved"):
        unproved.save(tmp_path / "certificate.json")
    assert unproved.gap == math.inf and unproved.summary()["upper"] is None
    assert contents(tmp_path) == []
