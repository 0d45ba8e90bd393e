"""Proofs by a positive vector: what is accepted is exactly dominant, nonnegative networks are proved to rounding."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network
from sdpcert.certificate.evidence.scaling_evidence import ScalingEvidence
from sdpcert.certificate.proof import ProofProblem
from sdpcert.check import check_document
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.solvers import product
from tests.certificate.test_proof import document_of, holds, random_form

Array = np.ndarray
Point = tuple[float, tuple[Array, ...], Array]


def nonnegative_point(weights: list[Array]) -> Point:
    """The optimum of a chain of positive weights and its vector: forward `a = W a`, backward `b = W' b`, `b / a`."""
    whole = weights[0]
    for weight in weights[1:]:
        whole = weight @ whole
    vectors = [np.abs(np.linalg.svd(whole)[2][0])]
    for weight in weights[:-1]:
        vectors.append(weight @ vectors[-1])
    back, multipliers = weights[-1].T @ (weights[-1] @ vectors[-1]), []
    for weight, vector in zip(weights[-2::-1], vectors[:0:-1], strict=True):
        multipliers.insert(0, back / vector)
        back = weight.T @ back
    return float(np.linalg.norm(whole, 2)) ** 2, tuple(multipliers), np.concatenate(vectors)


def positive_chain(seed: int, layers: int, width: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    sizes = [3, *[width] * (layers - 1), 2]
    return [rng.random((b, a)) + 0.01 for a, b in pairwise(sizes)]


@pytest.mark.parametrize(("layers", "width"), [(1, 3), (2, 5), (6, 20), (40, 12)])
def test_a_nonnegative_network_is_proved_to_rounding(layers: int, width: int) -> None:
    weights = positive_chain(layers, layers, width)
    form = Network.mlp([w / np.linalg.norm(w, 2) for w in weights], None, "tanh").stacked
    rho, multipliers, vector = nonnegative_point([form.blocks[k + 1, k].weights for k in range(layers)])
    proof = ProofProblem(form, 0).prove_by_scaling(rho, multipliers, vector)
    assert proof is not None and proof.level == "exact"
    assert rho * (1 - 1e-12) <= proof.rho <= rho * (1 + 1e-13 * layers * (width + 20))
    document = document_of(form, proof)
    assert document["tree"]["proof"]["kind"] == "scaling"
    assert check_document(document).level == "exact"
    if form.neurons < 12:
        assert holds(form, proof)


@given(
    seed=st.integers(0, 2**32 - 1),
    radius=st.sampled_from([0.0, 0.0, 1e-15, 1e-4]),
    scale=st.sampled_from([0.0, 3.0, 60.0]),
    low=st.sampled_from([0.0, 2.0**-53, 1e-3]),
    skips=st.booleans(),
)
@settings(max_examples=60)
def test_what_is_accepted_is_exactly_dominant(seed: int, radius: float, scale: float, low: float, skips: bool) -> None:
    """Random points and vectors, rho as small as is accepted: by bisection, so that rows are as tight as they get."""
    form = random_form(seed, 2, radius, scale, skips=skips, low=low)
    rng = np.random.default_rng(seed)
    solution = product(form)
    vector = vector_of(form, rng)
    multipliers = tuple(t * 4.0 ** (len(solution.multipliers) - g) for g, t in enumerate(solution.multipliers))
    problem = ProofProblem(form, solution.exponent)
    high = solution.rho * 2.0**60
    proof = problem.prove_by_scaling(high, multipliers, vector)
    if proof is None:  # a row that no rho helps
        return
    low_end = 0.0
    for _ in range(50):
        middle = math.sqrt(low_end * high) if low_end else high / 2**20
        found = problem.prove_by_scaling(middle, multipliers, vector)
        proof = found or proof
        low_end, high = (low_end, middle) if found else (middle, high)
        if not high:
            break
    assert holds(form, proof)
    assert check_document(document_of(form, proof)).ok


def vector_of(form: StackedForm, rng: np.random.Generator) -> Array:
    """Numbers that grow from the input to the last group with what each reads, more or less."""
    parts = [rng.uniform(0.5, 2, form.inputs)]
    for to, group in enumerate(form.groups, start=1):
        slope = np.maximum(np.abs(group.alpha), np.abs(group.beta))
        reads = sum((np.abs(b.weights) @ parts[s] for s, b in form.row(to).items()), np.zeros(group.size))
        parts.append(np.maximum(slope * reads, 1e-3) * rng.uniform(1, 1.5, group.size))
    return np.concatenate(parts)


def test_radii_and_low_parts_are_charged() -> None:
    """Points that are tight for the weights alone."""
    weights = positive_chain(3, 3, 4)
    form = Network.mlp(weights, None, "tanh").stacked
    rho, multipliers, vector = nonnegative_point(weights)
    for radius, low in ((1e-6, None), (0.0, 1e-6)):
        blocks = {
            key: Block(b.weights, radius, None, None if low is None else low * b.weights)
            for key, b in form.blocks.items()
        }
        changed = StackedForm(form.inputs, form.outputs, form.groups, blocks, form.offset)
        proof = ProofProblem(changed, 0).prove_by_scaling(rho, multipliers, vector)
        assert proof is not None and holds(changed, proof)
        assert 1e-6 < proof.tau < 1e-4
        assert isinstance(proof.evidence, ScalingEvidence) and np.array_equal(proof.evidence.vector, vector)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_vector_needs_positive_numbers(value: float) -> None:
    weights = positive_chain(4, 2, 3)
    rho, multipliers, vector = nonnegative_point(weights)
    vector[2] = value
    with pytest.raises(ValueError, match="needs 6 numbers above zero"):
        ProofProblem(Network.mlp(weights, None, "tanh").stacked, 0).prove_by_scaling(rho, multipliers, vector)


@pytest.mark.parametrize("rho", [0.0, -1.0, math.inf, math.nan])
def test_senseless_points_are_refused(rho: float) -> None:
    weights = positive_chain(4, 2, 3)
    _, multipliers, vector = nonnegative_point(weights)
    form = Network.mlp(weights, None, "tanh").stacked
    assert ProofProblem(form, 0).prove_by_scaling(rho, multipliers, vector) is None
    negative = tuple(-t for t in multipliers)
    assert ProofProblem(form, 0).prove_by_scaling(100.0, negative, vector) is None


def test_idle_coordinates_need_no_room() -> None:
    """A neuron without a multiplier that nothing reads, and an input that nothing reads."""
    form = Network.mlp([np.ones((2, 2)), np.ones((1, 2))]).stacked
    first, last = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])
    group = random_form(1, mixed=False).groups[0]
    groups = tuple(
        type(group)(g.activation, (2,), np.arange(2), np.zeros(2), np.ones(2), np.zeros(2)) for g in (group,)
    )
    form = StackedForm(2, 1, groups, {(1, 0): Block(first), (2, 1): Block(last)}, form.offset)
    vector = np.array([1.0, 1.0, 1.0, 1.0])
    proof = ProofProblem(form, 0).prove_by_scaling(1.0, (np.array([1.0, 0.0]),), vector)
    assert proof is not None and holds(form, proof)
