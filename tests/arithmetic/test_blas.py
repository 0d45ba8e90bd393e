"""BLAS on blocks in place, divided among threads and not, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from sdpcert.arithmetic import blas, threads

Array = np.ndarray


def definite(order: int, imaginary: bool) -> Array:
    rng = np.random.default_rng(order)
    root = rng.standard_normal((order, order))
    root = root + 1j * rng.standard_normal((order, order)) if imaginary else root
    return root @ root.conj().T + order * np.eye(order)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2, 159, 160, 161, 500])
def test_factor(order: int, imaginary: bool, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORKERS", workers)
    monkeypatch.setattr(blas, "DIVIDED_FACTOR", 0)
    matrix = definite(order, imaginary)
    for given in (np.ascontiguousarray(matrix), np.asfortranarray(matrix)):
        for in_place in (False, True):
            work = given.copy(order="A")
            factor = blas.cholesky(work, in_place)
            assert factor is not None
            assert not np.any(np.triu(factor, 1))
            np.testing.assert_allclose(factor @ factor.conj().T, matrix, rtol=1e-12, atol=1e-12 * order)
            assert in_place or np.array_equal(work, matrix)
            if in_place and not imaginary and order:
                assert np.shares_memory(factor, work)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("place", [0, 170, 499])
def test_no_factor_of_an_indefinite_matrix(place: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORKERS", workers)
    monkeypatch.setattr(blas, "DIVIDED_FACTOR", 0)
    matrix = definite(500, False)
    matrix[place, place] = -1.0
    assert blas.cholesky(matrix) is None
    matrix[place, place] = np.nan
    assert blas.cholesky(matrix, in_place=True) is None


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("order", [0, 1, 7, 200])
def test_vectors(order: int, imaginary: bool) -> None:
    matrix = definite(order, imaginary)
    factor = blas.cholesky(matrix)
    assert factor is not None
    vector = np.random.default_rng(1).standard_normal(order)
    np.testing.assert_allclose(factor @ blas.triangular_solve_vector(factor, vector), vector, atol=1e-10)
    np.testing.assert_allclose(factor.conj().T @ blas.triangular_solve_vector(factor, vector, True), vector, atol=1e-10)
    np.testing.assert_allclose(blas.apply_hermitian(matrix, vector), matrix @ vector, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2, 128, 129])
def test_a_congruence_and_solves_with_a_factor(order: int, imaginary: bool) -> None:
    rng = np.random.default_rng(order)
    matrix, middle = definite(order, imaginary), definite(order, imaginary) - 2 * order * np.eye(order)
    factor = blas.cholesky(matrix)
    assert factor is not None
    np.testing.assert_allclose(
        blas.congruence(factor, middle), factor @ middle @ factor.conj().T, rtol=1e-11, atol=1e-11 * order**2
    )
    right = rng.standard_normal(order)
    kept = right.copy()
    np.testing.assert_allclose(matrix @ blas.solve(factor, right), right, rtol=1e-10, atol=1e-10)
    assert np.array_equal(right, kept)
