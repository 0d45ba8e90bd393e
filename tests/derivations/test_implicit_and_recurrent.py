"""What the results on steps, equilibria and recurrences say, in numbers that no symbolic proof had a part in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.derivations.library import load
from sdpcert.derivations.retraction import step_of
from sdpcert.symbolic.proof_object import check_theorems, theorem

seeds = st.integers(0, 10**6)
NAMES = [
    "averaged", "gradient_step", "monotone_equilibrium", "invertible_residual", "retraction", "state_space",
    "block_reflector", "lot", "lipschitz_equilibrium", "contracting_recurrent",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_of_the_author_are_a_proof_for_the_checker(name):
    """Nothing is searched: the steps in the file are all of it."""
    for derivation in load(name):
        for part in derivation.parts:
            assert part.proof is not None
            check_theorems(theorem(part.claim, part.proof, part.layer))


def norm(matrix):
    return np.linalg.norm(matrix, 2)


def equilibrium(W, reads, inverse_step, count=2000):
    """The fixed point of z = relu(W z + reads) by damped steps; None where they have not settled."""
    z = np.zeros(len(W))
    for _ in range(count):
        after = np.maximum((1 - inverse_step) * z + inverse_step * (W @ z + reads), 0)
        if np.max(np.abs(after - z)) < 1e-13 * (1 + np.max(np.abs(z))):
            return after
        z = after
    return None


@settings(max_examples=8, deadline=None)
@given(seeds, st.floats(0.4, 1.5))
def test_equilibria_move_by_at_most_the_norm_over_the_margin(seed, margin):
    rng = np.random.default_rng(seed)
    A, S, U = rng.standard_normal((3, 4)), rng.standard_normal((4, 4)), rng.standard_normal((4, 2))
    W = (1 - margin) * np.eye(4) - A.T @ A + S - S.T
    bias, x, dx = rng.standard_normal(4), rng.standard_normal(2), rng.standard_normal(2)
    step = margin / norm(np.eye(4) - W) ** 2
    first, second = (equilibrium(W, U @ v + bias, step) for v in (x, x + dx))
    if first is not None and second is not None:
        assert np.linalg.norm(second - first) <= norm(U) / margin * np.linalg.norm(dx) * (1 + 1e-6)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.5, 4))
def test_bounded_equilibria_keep_their_constant(seed, gamma):
    rng = np.random.default_rng(seed)
    U, V, X, S = (rng.standard_normal(shape) for shape in ((4, 2), (3, 4), (4, 4), (4, 4)))
    scale = np.diag(np.exp(rng.standard_normal(4)))
    half = (V.T @ V + scale @ U @ U.T @ scale) / (2 * gamma) + X.T @ X + S - S.T
    W = np.eye(4) - np.linalg.inv(scale) @ half
    # The Jacobian at every pattern of slopes in place of an equilibrium.
    for slopes in (np.ones(4), rng.integers(0, 2, 4), rng.random(4)):
        D = np.diag(slopes)
        assert norm(V @ np.linalg.solve(np.eye(4) - D @ W, D @ U)) <= gamma * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.01, 0.5))
def test_the_retraction_shrinks_the_distance_at_its_rate(seed, length):
    weight = np.random.default_rng(seed).standard_normal((5, 3))
    weight /= norm(weight)
    before, stepped = np.linalg.svd(weight, compute_uv=False), step_of(weight, length)
    after = np.linalg.svd(stepped, compute_uv=False)
    assert after[0] <= 1 + 1e-12
    assert np.all(after >= before - 1e-12)
    assert 1 - after[-1] ** 2 <= (1 - 2 * length * before[-1] ** 2) * (1 - before[-1] ** 2) + 1e-12


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.05, 0.95))
def test_the_inverse_of_a_residual_layer(seed, top):
    rng = np.random.default_rng(seed)
    U, V = rng.standard_normal((5, 3)), rng.standard_normal((3, 5))
    U, V = U / norm(U), top * V / norm(V)
    for slopes in (rng.integers(0, 2, 5) * 2 - 1, rng.uniform(-1, 1, 5)):
        jacobian = np.eye(3) + V @ np.diag(slopes) @ U
        singular = np.linalg.svd(jacobian, compute_uv=False)
        assert 1 - top - 1e-9 <= singular[-1] <= singular[0] <= 1 + top + 1e-9


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_a_recurrent_step_contracts_in_a_diagonal_metric(seed):
    rng = np.random.default_rng(seed)
    root = np.diag(np.exp(rng.standard_normal(3)))
    inner = rng.standard_normal((3, 3))
    W = np.linalg.inv(root) @ (0.8 * inner / norm(inner)) @ root
    assert norm(root @ np.diag(rng.random(3)) @ W @ np.linalg.inv(root)) <= 0.8 + 1e-9
