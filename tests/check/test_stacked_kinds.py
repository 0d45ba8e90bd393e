"""The three kinds of proof of a stacked form: what is accepted, in which arithmetic, and what is not."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network
from sdpcert.certificate.document import build_document
from sdpcert.certificate.evidence.floating_evidence import FloatingEvidence
from sdpcert.certificate.evidence.scaling_evidence import ScalingEvidence
from sdpcert.certificate.proof import Proof, ProofProblem
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.check import check_document
from sdpcert.condition.matrix import Condition
from sdpcert.network.stacked import StackedForm
from sdpcert.running.encoding import encode
from sdpcert.solvers import absolute, closed_form
from sdpcert.solvers.least_rho import least_rho

Array = np.ndarray


def chain(seed: int, activation: str = "relu", nonnegative: bool = False) -> StackedForm:
    """A chain of two to five layers."""
    rng = np.random.default_rng(seed)
    sizes = [int(k) for k in rng.integers(1, 7, int(rng.integers(3, 7)))]
    draw = rng.random if nonnegative else rng.standard_normal
    return Network.mlp([draw((b, a)) for a, b in pairwise(sizes)], None, activation).stacked.reduced()


def in_floating_point(form: StackedForm, share: float = 1.0) -> dict[str, Any]:
    """The certificate of the closed form's multipliers and `share` times the least rho that they allow, whose proof is
    an order of elimination.
    """
    point, condition = closed_form(form), Condition(form)
    scaled = zip(point.multipliers, condition.scaling.neurons, strict=True)
    rho = least_rho(condition, np.concatenate([np.ldexp(t, -2 * a) for t, a in scaled]))
    order = tuple(range(len(form.groups) + 1))
    proof = Proof(rho * share, point.multipliers, point.exponent, 0.0, FloatingEvidence(order))
    return build_document(StackedCondition(form, proof), None, {})


def by_scaling(form: StackedForm) -> tuple[dict[str, Any], Proof]:
    """The certificate of the closed form of absolute values."""
    point = absolute(form)
    assert point.vector is not None
    proof = ProofProblem(form, point.exponent).prove_by_scaling(point.rho, point.multipliers, point.vector)
    assert proof is not None
    return build_document(StackedCondition(form, proof), None, {}), proof


def proof_of(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    changed["tree"]["proof"] |= changes
    return changed


@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(["relu", "leaky_relu", "tanh", "abs"]))
@settings(max_examples=40, deadline=None)
def test_a_factor_of_the_checker_is_found_in_both_arithmetics(seed: int, activation: str) -> None:
    form = chain(seed, activation)
    if not form.neurons:
        return
    for exact in (True, False):
        result = check_document(in_floating_point(form, 1 + 1e-9), exact)
        assert result.ok, result.reason
        assert result.level == ("exact" if exact else "floating-point")


@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(["relu", "leaky_relu", "tanh"]))
@settings(max_examples=40, deadline=None)
def test_a_bound_below_what_the_multipliers_allow_is_rejected(seed: int, activation: str) -> None:
    form = chain(seed, activation)
    if form.neurons:
        for exact in (True, False):
            assert not check_document(in_floating_point(form, 1 - 1e-7), exact).ok


@given(seed=st.integers(0, 2**32 - 1), nonnegative=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_positive_vector_proves_the_closed_form_of_absolute_values(seed: int, nonnegative: bool) -> None:
    form = chain(seed, "relu", nonnegative)
    if not form.neurons:
        return
    document, proof = by_scaling(form)
    result = check_document(document)
    assert result.ok, result.reason
    assert result.level == "exact"
    lower = Proof(proof.rho * (1 - 1e-9), proof.multipliers, proof.exponent, 0.0, proof.evidence)
    assert not check_document(build_document(StackedCondition(form, lower), None, {})).ok


@given(seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=60, deadline=None)
def test_another_vector_proves_nothing_or_the_same(seed: int, data: st.DataObject) -> None:
    """At the optimum of a nonnegative network the vector is unique up to its length in every connected block."""
    form = chain(seed, "relu", True)
    if not form.neurons:
        return
    document, proof = by_scaling(form)
    evidence = proof.evidence
    assert isinstance(evidence, ScalingEvidence)
    vector = evidence.vector.copy()
    vector[data.draw(st.integers(0, len(vector) - 1))] *= data.draw(st.sampled_from([0.5, 1.001, 8.0]))
    assert not check_document(proof_of(document, vector=encode(vector))).ok


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_vector_is_positive(value: float) -> None:
    document, proof = by_scaling(chain(1, "relu", True))
    evidence = proof.evidence
    assert isinstance(evidence, ScalingEvidence)
    vector = evidence.vector.copy()
    vector[0] = value
    result = check_document(proof_of(document, vector=encode(vector)))
    assert not result.ok
    assert "proof.vector" in result.reason
    assert "\n" not in result.reason


def test_what_is_no_proof_is_said_in_a_line() -> None:
    floating = in_floating_point(chain(1), 1 + 1e-9)
    count = len(floating["tree"]["proof"]["order"])
    scaling, proof = by_scaling(chain(1))
    evidence = proof.evidence
    assert isinstance(evidence, ScalingEvidence)
    cases = [
        proof_of(floating, order=[0] * count),
        proof_of(floating, order=list(range(count + 1))),
        proof_of(floating, order=list(range(1, count + 1))),
        proof_of(floating, order=None),
        proof_of(floating, kind="word"),
        proof_of(floating, vector=[]),
        proof_of(scaling, vector=encode(evidence.vector[1:])),
        proof_of(scaling, vector=encode(np.append(evidence.vector, 1.0))),
        proof_of(scaling, vector="none"),
        proof_of(scaling, kind="floating-point"),
    ]
    for document in cases:
        result = check_document(document)
        assert not result.ok
        assert result.reason
        assert "\n" not in result.reason
