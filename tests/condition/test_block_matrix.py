"""Block matrices, their factors and their selected inverses, against dense matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.arithmetic.arrays import Arrays, NumpyArrays, arrays_on
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination
from sdpcert.condition.factor import Factor

Array = np.ndarray


def random_matrix(seed: int, kind: str, arrays: Arrays | None = None) -> tuple[BlockMatrix, Array, list[slice]]:
    """A definite matrix in blocks, the same one dense, and the coordinates of its sources."""
    rng, arrays = np.random.default_rng(seed), arrays or NumpyArrays()
    sizes = [int(k) for k in rng.integers(1, 60, int(rng.integers(1, 7)))]
    slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(np.cumsum([0, *sizes]))]
    pattern = [(a, b) for a in range(len(sizes)) for b in range(a + 1) if rng.random() < 0.5]
    elimination = Elimination.of(slices, pattern, smallest=int(rng.integers(1, 80)))
    blocks, n = BlockMatrix.zeros(arrays, elimination), slices[-1].stop
    dense = np.zeros((n, n), dtype=complex if kind == "complex" else float)
    for a, b in pattern:
        block = rng.standard_normal((sizes[a], sizes[b]))
        block = block + (1j * rng.standard_normal(block.shape) if kind == "complex" else 0)
        block = block + block.conj().T if a == b else block
        dense[slices[a], slices[b]] += block
        if a != b:
            dense[slices[b], slices[a]] += block.conj().T
        if rng.random() < 0.5:
            blocks.add(slices, a, b, arrays.asarray(block))
        else:
            blocks.add(slices, b, a, arrays.asarray(block.conj().T))
    own = 1 + np.abs(dense).sum(axis=1).max() + rng.random(n)
    return blocks.with_diagonal(arrays.asarray(own)), dense + np.diag(own), slices


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["real", "complex"]))
@settings(max_examples=60, deadline=None)
def test_operations_are_those_of_the_dense_matrix(seed: int, kind: str) -> None:
    matrix, dense, slices = random_matrix(seed, kind)
    rng, n = np.random.default_rng(seed), len(dense)
    right = rng.standard_normal((n, 3)).astype(dense.dtype)
    real = rng.standard_normal(n)
    hermitian = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if kind == "complex" else 0)
    hermitian = hermitian + hermitian.conj().T
    unit = rng.random(n)
    np.testing.assert_allclose(matrix.dense(), dense)
    np.testing.assert_allclose(matrix.diagonal(), np.real(np.diag(dense)))
    np.testing.assert_allclose(matrix.times(right), dense @ right, atol=1e-9)
    np.testing.assert_allclose(matrix.apply(right[:, 0]), dense @ right[:, 0], atol=1e-9)
    np.testing.assert_allclose(matrix.apply(real), dense @ real, atol=1e-9)
    np.testing.assert_allclose(matrix.scaled(unit).dense(), unit[:, None] * dense * unit)
    np.testing.assert_allclose(matrix.plus(matrix, -0.25).dense(), 0.75 * dense)
    np.testing.assert_allclose(matrix.times_scalar(3.0).dense(), 3 * dense)
    np.testing.assert_allclose(matrix.inner(hermitian), np.vdot(hermitian, dense).real, atol=1e-7)
    np.testing.assert_allclose(matrix.inner(matrix.scaled(unit)), np.vdot(dense, unit[:, None] * dense * unit).real)
    for a, b in itertools.product(range(len(slices)), repeat=2):
        found = matrix.part(slices, a, b)
        expected = (dense - np.diag(matrix.own))[slices[a], slices[b]]
        np.testing.assert_allclose(np.zeros_like(expected) if found is None else found, expected, atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["real", "complex"]))
@settings(max_examples=60, deadline=None)
def test_factor(seed: int, kind: str) -> None:
    matrix, dense, _ = random_matrix(seed, kind)
    factor = Factor.of(matrix)
    assert factor is not None
    inverse = np.linalg.inv(dense)
    right = np.random.default_rng(seed).standard_normal((len(dense), 3)).astype(dense.dtype)
    np.testing.assert_allclose(factor.inverse(), inverse, atol=1e-9)
    np.testing.assert_allclose(dense @ factor.solve(right), right, atol=1e-9)
    np.testing.assert_allclose(factor.log_determinant(), np.linalg.slogdet(dense)[1])
    assert Factor.of(matrix.with_diagonal(np.full(len(dense), -3 * np.abs(dense).max()))) is None
    selected = factor.selected_inverse()
    for (i, j), entry in selected.entries.items():
        rows, columns = factor.elimination.slices[i], factor.elimination.slices[j]
        np.testing.assert_allclose(entry, inverse[rows, columns], atol=1e-9)
    assert {*matrix.entries} <= {*selected.entries}


@pytest.mark.parametrize("seed", range(4))
def test_torch_arrays_give_the_same(seed: int) -> None:
    pytest.importorskip("torch")
    arrays = arrays_on("torch:cpu")
    matrix, dense, _ = random_matrix(seed, "real", arrays)
    factor = Factor.of(matrix)
    assert factor is not None
    np.testing.assert_allclose(arrays.numpy(factor.inverse()), np.linalg.inv(dense), atol=1e-9)
    assert np.isclose(matrix.inner(factor.selected_inverse()), len(dense))


def test_a_chain_fills_nothing_and_stays_in_order() -> None:
    slices = [slice(100 * k, 100 * (k + 1)) for k in range(30)]
    elimination = Elimination.of(slices, [(k + 1, k) for k in range(29)])
    assert elimination.is_natural and elimination.fill == 0
    assert elimination.entries == 30 * 100**2 + 29 * 100**2


def test_what_everything_reads_is_eliminated_last() -> None:
    slices = [slice(100 * k, 100 * (k + 1)) for k in range(30)]
    pattern = [(k + 1, k) for k in range(29)] + [(k, 0) for k in range(1, 30)]
    elimination = Elimination.of(slices, pattern)
    assert elimination.entries <= 3 * 30 * 100**2
    assert sorted(elimination.permutation.tolist()) == list(range(3000))
