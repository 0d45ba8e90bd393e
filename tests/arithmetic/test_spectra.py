"""Largest eigenvalues by Lanczos and least ones are those of LAPACK; what Lanczos is not sure of goes to LAPACK."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpcert.arithmetic import spectra
from sdpcert.arithmetic.spectra import largest_gram_eigenvalue, least_eigenvalue, spectral_norm

KINDS = {
    "normal": lambda rng, m, n: rng.standard_normal((m, n)),
    "positive": lambda rng, m, n: rng.random((m, n)),
    "complex": lambda rng, m, n: rng.standard_normal((m, n)) + 1j * rng.standard_normal((m, n)),
    "orthogonal": lambda rng, m, n: np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))[0][:m],
    "rank one": lambda rng, m, n: np.outer(rng.standard_normal(m), rng.standard_normal(n)),
    "diagonal": lambda rng, m, n: np.eye(m, n) * rng.random(n),
    "two equal blocks": lambda rng, m, n: np.kron(np.eye(2), rng.standard_normal((m, n)))[:m, :n],
    "six orders": lambda rng, m, n: rng.standard_normal((m, n)) * 10.0 ** rng.uniform(-6, 0, (m, 1)),
    "large": lambda rng, m, n: np.ldexp(rng.standard_normal((m, n)), 900),
    "small": lambda rng, m, n: np.ldexp(rng.standard_normal((m, n)), -1000),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("shape", [(60, 60), (90, 70), (70, 200)])
def test_norms_are_those_of_lapack(kind: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "DIRECT", 8)
    matrix = KINDS[kind](np.random.default_rng(len(kind)), *shape)
    norm = float(np.linalg.norm(matrix, 2))
    assert spectral_norm(matrix) == pytest.approx(norm, rel=1e-13)
    if 1e-100 < norm < 1e100:
        assert largest_gram_eigenvalue(matrix) == pytest.approx(norm**2, rel=1e-13)


@pytest.mark.parametrize("kind", ["normal", "two equal blocks", "orthogonal"])
def test_few_steps_fall_back_on_lapack(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "DIRECT", 8)
    monkeypatch.setattr(spectra, "STEPS", 6)
    matrix = KINDS[kind](np.random.default_rng(0), 40, 40)
    assert spectral_norm(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_norm(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "DIRECT", 8)
    matrix = np.ones((20, 20))
    matrix[3, 4] = value
    assert spectral_norm(matrix) == largest_gram_eigenvalue(matrix) == np.inf


def test_nothing_and_zero_have_norm_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "DIRECT", 8)
    for shape in ((0, 3), (3, 0), (20, 20)):
        assert spectral_norm(np.zeros(shape)) == largest_gram_eigenvalue(np.zeros(shape)) == 0


@given(seed=st.integers(0, 2**32 - 1), order=st.integers(1, 12), is_complex=st.booleans())
def test_least_eigenvalue_is_the_first_of_all(seed: int, order: int, is_complex: bool) -> None:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((order, order)) + (1j * rng.standard_normal((order, order)) if is_complex else 0)
    matrix = root + root.conj().T
    values = np.linalg.eigvalsh(matrix)
    assert least_eigenvalue(matrix) == pytest.approx(values[0], abs=1e-13 * np.abs(values).max())


def test_least_eigenvalue_fails_closed() -> None:
    assert least_eigenvalue(np.zeros((0, 0))) == 0.0
    assert least_eigenvalue(np.array([[1.0, np.nan], [np.nan, 1.0]])) == -np.inf
    assert least_eigenvalue(np.array([[np.inf, 0.0], [0.0, 1.0]])) == -np.inf
