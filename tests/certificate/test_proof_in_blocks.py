"""Proofs that follow the blocks of the network: the verdicts of one block, any order of elimination, no dense array."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network, certify
from sdpcert.certificate import proof as proofs
from sdpcert.certificate.checking import seconds_in_integers
from sdpcert.certificate.document import build_document
from sdpcert.certificate.evidence.factor_evidence import FactorEvidence
from sdpcert.certificate.proof import Proof, ProofProblem
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.check import check_document
from sdpcert.condition.elimination import Elimination
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.solvers import closed_form, product
from tests.certificate.test_proof import condition, document_of, holds, random_form

Array = np.ndarray


def problem_in_blocks(form: StackedForm, exponent: int, turned: bool = False) -> ProofProblem:
    """The problem with a block of its own for each source; `turned` eliminates the last source first."""
    problem = ProofProblem(form, exponent)
    matrix = problem.matrix
    last = len(matrix.slices) - 1
    sources = matrix.slices[::-1] if turned else matrix.slices
    pattern = [(last - a, last - b) if turned else (a, b) for a, b in matrix.pattern()]
    found = Elimination.of(sources, pattern, smallest=0)
    matrix.elimination = Elimination(
        found.slices, found.later, found.place[::-1] if turned else found.place, found.fill
    )
    return problem


@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.sampled_from([1, 2, 3, 9]),
    radius=st.sampled_from([0.0, 0.0, 1e-15, 1e-9]),
    scale=st.sampled_from([0.0, 0.0, 3.0, 20.0]),
    low=st.sampled_from([0.0, 2.0**-53, 1e-3]),
    turned=st.booleans(),
)
@settings(max_examples=50)
def test_blocks_prove_what_one_block_proves(
    seed: int, inputs: int, radius: float, scale: float, low: float, turned: bool
) -> None:
    form = random_form(seed, inputs, radius, scale, low=low)
    for solution in (product(form), closed_form(form)):
        whole = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
        proof = problem_in_blocks(form, solution.exponent, turned).prove(solution.rho, solution.multipliers)
        assert (whole is None) == (proof is None)
        if proof is None or whole is None:
            continue
        assert math.isclose(proof.rho, whole.rho, rel_tol=max(1e-12, 10 * whole.tau))
        assert holds(form, proof)
        assert check_document(document_of(form, proof)).ok


@given(seed=st.integers(0, 2**32 - 1), turned=st.booleans())
@settings(max_examples=20)
def test_the_least_rho_is_that_of_one_block(seed: int, turned: bool) -> None:
    """Found by bisection with the one proof, refused a little below and proved a little above by the other."""
    form = random_form(seed, 2)
    point = closed_form(form, theta=0.4)
    whole, blocks = ProofProblem(form, point.exponent), problem_in_blocks(form, point.exponent, turned)
    low, high = 0.0, point.rho
    for _ in range(40):
        middle = (low + high) / 2
        proved = whole.prove(middle, point.multipliers, (0.0,)) is not None
        low, high = (low, middle) if proved else (middle, high)
    assert blocks.prove(low * (1 - 1e-9), point.multipliers, (0.0,)) is None
    proof = blocks.prove(high * (1 + 1e-9), point.multipliers, (0.0,))
    assert proof is not None and holds(form, proof)


@given(
    seed=st.integers(0, 2**32 - 1),
    radius=st.sampled_from([0.0, 1e-9]),
    low=st.sampled_from([0.0, 2.0**-53, 1e-3]),
    turned=st.booleans(),
)
@settings(max_examples=60)
def test_totals_hold_the_exact_matrix(seed: int, radius: float, low: float, turned: bool) -> None:
    form = random_form(seed, 1, radius, 3.0, low=low)  # one input: no factor takes its place
    solution = product(form)
    matrix = problem_in_blocks(form, solution.exponent, turned).matrix
    scaling = np.random.default_rng(seed).integers(-3, 4, matrix.order)
    total, allowances = matrix.bounded(solution.rho, solution.multipliers, scaling)
    point = Proof(solution.rho, solution.multipliers, solution.exponent, 0.0, proofs.ScalingEvidence(np.zeros(0)))
    exact, charge = condition(form, point)
    unit = [Fraction(2) ** -int(d) for d in scaling]
    permutation, bounds = matrix.elimination.permutation, np.cumsum([0, *matrix.elimination.sizes])
    seen = np.zeros((matrix.order, matrix.order), bool)
    for (i, j), block in total.entries.items():
        rows, columns = permutation[bounds[i] : bounds[i + 1]], permutation[bounds[j] : bounds[j + 1]]
        seen[np.ix_(rows, columns)] = seen[np.ix_(columns, rows)] = True
        for a, r in enumerate(rows):
            for b, c in enumerate(columns):
                near = Fraction(float(block.high[a, b])) + Fraction(float(block.low[a, b]))
                assert abs(exact[r][c] * unit[r] * unit[c] - near) <= Fraction(float(block.error[a, b]))
    for r in range(matrix.order):
        row = sum((unit[r] * unit[c] * charge[r][c] for c in range(matrix.order)), Fraction(0))
        assert row <= Fraction(float(allowances[r]))
        assert all(exact[r][c] == 0 for c in np.flatnonzero(~seen[r]))


# ---------------------------------------------------------------- the file, and figures


def skipping(depth: int, width: int, seed: int = 0) -> StackedForm:
    """Dense layers, each of which reads the input as well: the input is eliminated last."""
    rng = np.random.default_rng(seed)
    form = Network.mlp(
        [rng.standard_normal((width, width)) / width for _ in range(depth)] + [np.ones((1, width))]
    ).stacked
    blocks = dict(form.blocks)
    for to in range(2, depth + 1):
        blocks[to, 0] = Block(rng.standard_normal((width, width)) / width)
    return StackedForm(form.inputs, form.outputs, form.groups, blocks, form.offset)


def test_a_skip_from_the_input_is_eliminated_last_and_checked() -> None:
    form = skipping(5, 30)
    point = closed_form(form)
    problem = problem_in_blocks(form, point.exponent)
    assert not problem.matrix.elimination.is_natural
    proof = problem.prove(point.rho, point.multipliers)
    assert proof is not None and isinstance(proof.evidence, FactorEvidence)
    document = document_of(form, proof)
    assert "order" in document["tree"]["proof"]
    assert check_document(document).level == "exact"
    del document["tree"]["proof"]["order"]
    assert not check_document(document).ok


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("inputs", [3, 12])
def test_shares_add_up_to_the_quadratic_form(turned: bool, inputs: int) -> None:
    form = random_form(5, inputs)
    point = product(form, inflation=0.1)
    proof = problem_in_blocks(form, point.exponent, turned).prove(point.rho, point.multipliers)
    assert proof is not None and isinstance(proof.evidence, FactorEvidence)
    rng = np.random.default_rng(6)
    change, moved = rng.standard_normal(inputs), rng.standard_normal(form.neurons)
    reads = np.concatenate([b.weights @ change for (_, s), b in sorted(form.blocks.items()) if s == 0])
    shares = proof.evidence.shares(change, reads, moved)
    assert shares is not None
    factor = proof.evidence.input_factor
    first = change if factor is None else np.linalg.lstsq(factor.weights, reads, rcond=None)[0]
    xi, matrix = np.concatenate([first, moved]), np.array(condition(form, proof)[0], dtype=float)
    assert math.isclose(float(shares.sum()), float(xi @ matrix @ xi), rel_tol=1e-9)


# ---------------------------------------------------------------- what depth costs


def chain(layers: int, width: int) -> StackedForm:
    rng = np.random.default_rng(layers)
    sizes = [4, *[width] * (layers - 1), 1]
    return Network.mlp([rng.standard_normal((b, a)) / math.sqrt(a) for a, b in pairwise(sizes)]).stacked


def test_no_array_has_the_order_of_the_network() -> None:
    """3,100 neurons: one matrix of that order has 77 MB; all blocks with their errors take a fraction."""
    form = chain(63, 50)
    point = closed_form(form)
    problem = ProofProblem(form, point.exponent)
    tracemalloc.start()
    proof = problem.prove(point.rho, point.multipliers)
    assert proof is not None
    document = build_document(StackedCondition(form, proof), None, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 35e6
    assert check_document(document).ok


def test_the_estimate_of_a_check_grows_like_the_depth() -> None:
    short, long = (ProofProblem(form, 0) for form in (chain(10, 60), chain(40, 60)))
    ratio = seconds_in_integers(long.form, long.matrix) / seconds_in_integers(short.form, short.matrix)
    assert 4 < ratio < 5.5


# ---------------------------------------------------------------- in floating point


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "maxmin"])
def test_what_integers_take_too_long_for_is_proved_in_floating_point(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "LONGEST_CHECK", 0.0)
    rng = np.random.default_rng(8)
    network = Network.mlp(
        [rng.standard_normal((6, 20)), rng.standard_normal((6, 6)), rng.standard_normal((2, 6))], None, activation
    )
    certificate = certify(network, method="neuron")
    assert certificate.status == "proved" and certificate.level == "floating-point"
    document = certificate.document()
    assert document["tree"]["proof"]["kind"] == "floating-point"
    for exact in (None, False, True):
        verdict = check_document(document, exact=exact)
        assert verdict.ok and verdict.upper == certificate.upper
    monkeypatch.undo()
    assert certify(network, method="neuron").upper == pytest.approx(certificate.upper, rel=1e-6)


@given(seed=st.integers(0, 2**32 - 1), radius=st.sampled_from([0.0, 1e-9]))
@settings(max_examples=40)
def test_floating_point_refuses_what_is_not_true(seed: int, radius: float) -> None:
    form = random_form(seed, 2, radius)
    solution = closed_form(form)
    problem = ProofProblem(form, solution.exponent)
    problem.in_integers = False
    proof = problem.prove(solution.rho, solution.multipliers)
    whole = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is None or (whole is not None and check_document(document_of(form, proof), exact=False).ok)
    if whole is not None and whole.tau < 1e-7:
        assert proof is not None
        low = solution.rho * 0.5
        again = ProofProblem(form, solution.exponent)
        if again.prove(low, solution.multipliers, (1e-4,)) is None:
            assert problem.prove(low, solution.multipliers, (0.0,)) is None


def test_more_weights_than_a_checker_reads_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    form = chain(2, 3)
    point = product(form)
    assert ProofProblem(form, point.exponent).prove(point.rho * 1.1, point.multipliers) is not None
    monkeypatch.setattr("sdpcert.certificate.checking.MAX_WEIGHTS", 14)
    assert ProofProblem(form, point.exponent).prove(point.rho * 1.1, point.multipliers) is None
