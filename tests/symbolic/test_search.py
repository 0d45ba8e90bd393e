"""Proof search, fitted multipliers and refutation: proved, refuted or open, never a guess."""

from fractions import Fraction

import numpy as np
import pytest

from sdpcert.symbolic import (
    Claim,
    Instance,
    Layer,
    check,
    derive,
    diagonal,
    fit_multipliers,
    identity,
    indices,
    inverse,
    matrix,
    positive,
    refute,
    rule,
    search,
    sqrt2,
    symmetric,
    symmetric_block,
    total,
)

W, q = matrix("W", "n", "m"), diagonal("q", "m")
i, j = indices("i j")
G = W.T @ W
T = rule("T", "m", i, total(abs(G[i, j]) * q[j] / q[i], j))
residual = Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T, multipliers=2 * T**-1)


def cayley():
    """A', B' with A A' + B B' = I, for all X and Y."""
    one, X, Y = identity("p"), matrix("X", "p", "p"), matrix("Y", "n", "p")
    Z = X - X.T + Y.T @ Y
    R = inverse("R", one + Z)
    return ((one - Z) @ R).T, (-2 * Y @ R).T


def test_strategies_say_which_one_closed_it():
    S = symmetric("S", "m", positive=True)
    X = matrix("X", "m", "k")
    claims = {
        "sum of sandwiches": residual.claim("SLL"),
        "Schur complement": Claim("schur", positive(symmetric_block([[X.T @ S**-1 @ X + identity("k"), X.T], [S]]))),
    }
    for strategy, claim in claims.items():
        found = search(claim)
        assert found is not None
        assert found.strategy == strategy
        assert check(claim, found.proof).proved


def test_search_finds_nothing_for_a_false_claim():
    assert search(Claim("false", positive(identity("m"), G))) is None


def test_multipliers_of_the_residual_layer_are_found():
    fit = fit_multipliers(Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T))
    assert fit is not None
    assert fit.multipliers == 2 * T**-1


def test_a_template_without_multipliers_is_proved():
    A, B = cayley()
    Psi = diagonal("Psi", "p")
    result = derive(Layer(G=sqrt2 * A.T @ Psi, U=sqrt2 * Psi**-1 @ B))
    assert result.status == "proved"
    assert "Psi^2" in result.note
    assert "Schur" in result.text()


def test_a_template_without_multipliers_is_refuted_by_two_inputs():
    result = derive(Layer(H=identity("n"), G=-3 * W @ T**-1, U=W.T))
    assert result.status == "refuted"
    network = result.parts[0].network
    assert network is not None
    assert network.stretched > network.allowed


def test_sums_of_squares_are_found():
    A, B, C = (matrix(x, "n", "n") for x in "ABC")
    cases = [
        (A - B).T @ (A - B) + (A + 2 * C).T @ (A + 2 * C),
        2 * A.T @ A + 2 * B.T @ B + A.T @ B + B.T @ A,
        (A.T + B) @ (A + B.T),
    ]
    for expression in cases:
        claim = Claim("squares", positive(expression))
        found = search(claim)
        assert found is not None
        assert check(claim, found.proof).proved
    assert search(Claim("none", positive(A.T @ A + B.T @ B + 3 * (A.T @ B + B.T @ A)))) is None


def test_a_true_claim_without_a_proof_is_open(monkeypatch):
    # (W'W)^3 + I >= W'W holds (t^3 - t + 1 > 0) but takes a polynomial, which the search does not try.
    monkeypatch.setattr("sdpcert.symbolic.strategies.STRATEGIES", [])
    monkeypatch.setattr("sdpcert.symbolic.refutation.RANDOM_INSTANCES", 500)
    monkeypatch.setattr("sdpcert.symbolic.refutation.GRADIENT_STARTS", 3)
    result = derive(Claim("open", positive(G @ G @ G + identity("m"), G)))
    assert result.status == "open"
    assert "neither proved nor refuted" in result.text()


def test_refutations_are_exact_and_small():
    halved = rule("T", "m", i, total(abs(G[i, j]) * q[j] / q[i], j) / 2)
    layer = Layer(H=identity("n"), G=-2 * W @ halved**-1, U=W.T, multipliers=2 * halved**-1)
    claim = layer.claim("half")
    witness = refute(claim)
    assert witness is not None
    assert witness.holds(claim)
    assert witness.instance.sizes == {"m": 1, "n": 1}
    assert witness.value == witness.vector @ witness.matrix @ witness.vector < 0
    network = layer.counterexample(witness.instance)
    assert network is not None
    # The layer evaluated by hand at both inputs.
    weight, scale = witness.values[W.symbol], witness.values[halved.symbol]

    def apply(x):
        hidden = [max(v, Fraction(0)) for v in weight.T @ x + np.array(network.biases, dtype=object)]
        return x - 2 * weight @ np.array([h / scale[k, k] for k, h in enumerate(hidden)], dtype=object)

    difference = apply(network.input) - apply(0 * network.input)
    assert difference @ difference == network.stretched > network.allowed == network.input @ network.input


def test_gradients_find_what_random_numbers_miss():
    # 1 + 10^-3 - x^2 (2 - x^2) >= 0 has its minimum 10^-3 at x = 1; with -10^-3 only a neighbourhood of 1 fails.
    x = matrix("x", 1, 1)
    square = x.T @ x
    one = identity(1)
    almost = Claim("almost", positive(one * (1 - Fraction(1, 10**5)) - 2 * square + square @ square))
    witness = refute(almost)
    assert witness is not None
    assert witness.holds(almost)


def test_several_layers_in_one_block_are_refuted_by_inputs():
    # Two ReLU layers in a row whose norms multiply to more than one, with multipliers one.
    A, B = matrix("A", 1, 1), matrix("B", 1, 1)
    layer = Layer(G=B, U=A, multipliers=identity(1))
    result = derive(layer)
    assert result.status == "refuted"
    assert result.parts[0].network is not None


def test_true_claims_are_not_refuted():
    assert refute(residual.claim("SLL"), effort=0.1) is None


@pytest.mark.parametrize("seed", range(3))
def test_same_seed_same_witness(seed):
    claim = Claim("false", positive(identity("m"), G))
    first, second = refute(claim, seed), refute(claim, seed)
    assert first is not None
    assert second is not None
    assert np.all(first.matrix == second.matrix)
    assert isinstance(first.instance, Instance)
