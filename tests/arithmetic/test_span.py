"""A basis of the span of many rows."""

from __future__ import annotations

import numpy as np
import pytest

from sdpcert.arithmetic.span import span


@pytest.mark.parametrize(
    ("count", "inputs", "rank"), [(200, 300, 40), (50, 30, 7), (3, 100, 3), (90, 64, 33), (1, 2, 1)]
)
def test_rows_of_small_rank_have_few_directions(count: int, inputs: int, rank: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.standard_normal((count, rank)) @ rng.standard_normal((rank, inputs))
    rows[: count // 2] *= 1e-3
    basis = span(rows)
    assert basis is not None and basis.shape == (inputs, rank)
    np.testing.assert_allclose(basis.T @ basis, np.eye(rank), atol=1e-13)
    np.testing.assert_allclose(rows @ basis @ basis.T, rows, atol=1e-11 * np.abs(rows).max())


def test_all_directions_need_no_basis() -> None:
    assert span(np.random.default_rng(0).standard_normal((20, 6))) is None


def test_rows_of_zeros_have_no_direction() -> None:
    for rows in (np.zeros((4, 3)), np.zeros((0, 3))):
        basis = span(rows)
        assert basis is not None and basis.shape == (3, 0)
