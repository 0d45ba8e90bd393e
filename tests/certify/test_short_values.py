"""Bounds that are short numbers are proved as those: what is exactly 1 is 1, and what is not is above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert import Network, certify
from sdpcert.certify.short_values import short_below

HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
CASES = {
    "identity": [np.eye(3)],
    "identities": [np.eye(3)] * 3,
    "orthogonal": [HADAMARD],
    "permutations": [np.eye(5)[[3, 1, 4, 0, 2]]] * 2,
    "selection": [np.eye(4)[:2]],
}


@pytest.mark.parametrize("method", ["product", "layer", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_networks_that_are_one_lipschitz_have_the_bound_one(name: str, method: str, tmp_path: Path) -> None:
    certificate = certify(Network.mlp(CASES[name]), method)  # type: ignore[arg-type]
    assert certificate.upper == 1.0
    assert certificate.level == "exact"
    certificate.save(tmp_path / "one.json")
    assert sdpcert.check(tmp_path / "one.json").upper == 1.0


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_what_is_near_one_and_above_it_is_not_proved_to_be_one(size: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    orthogonal = np.linalg.qr(draw.normal(size=(size, size)))[0]
    bound = certify(Network.mlp([orthogonal])).upper
    largest = max(np.linalg.eigvalsh(_gram(orthogonal)))
    assert bound >= 1 if largest > 0 else bound <= 1 + 1e-12
    grown = np.eye(size)
    grown[-1, -1] = 1 + 2.0**-52
    assert 1 < certify(Network.mlp([grown])).upper < 1 + 1e-12


def _gram(matrix: np.ndarray) -> np.ndarray:
    """W'W - I without the rounding of W'W."""
    exact = matrix.astype(np.longdouble)
    return np.asarray(exact.T @ exact - np.eye(len(matrix)), dtype=float)


def test_short_numbers_are_those_a_bound_is_a_little_above_of() -> None:
    assert short_below(1 + 5e-15) == 1.0
    assert short_below(3 + 1e-12) == 3.0
    assert short_below(1.0) is None
    assert short_below(1 - 1e-12) is None
    assert short_below(1 + 1e-6) is None
    assert short_below(0.0) is None
    assert short_below(float("inf")) is None


def test_repairs_of_a_proof_begin_anew_where_an_earlier_one_was_hopeless() -> None:
    # The weights are known up to 2^-52: a bound near 1, not one of 1 + 1.6e-7.
    network = sdpcert.load(Path(__file__).parents[2] / "examples" / "networks" / "digits_mlp.onnx").between(1, 2)
    assert certify(network, "product").upper < 1 + 1e-12
