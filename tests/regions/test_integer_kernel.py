"""Kernels of integer matrices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdpcert.regions.integer_kernel import kernel_vector


@given(st.lists(st.integers(-(2**70), 2**70), min_size=6, max_size=6), st.integers(1, 5), st.integers(1, 2**60))
def test_a_column_that_depends_on_the_others(entries: list[int], first: int, second: int) -> None:
    one, two = entries[:3], entries[3:]
    third = [first * a - second * b for a, b in zip(one, two, strict=True)]
    found = kernel_vector([one, two, third])
    if found is None:  # the first two depend on each other already
        assert all(one[i] * two[j] == one[j] * two[i] for i in range(3) for j in range(3))
        return
    assert any(found)
    assert all(sum(w * c[i] for w, c in zip(found, (one, two, third), strict=True)) == 0 for i in range(3))


def test_no_kernel_and_one_that_is_too_large() -> None:
    assert kernel_vector([[1, 0], [0, 1]]) is None
    assert kernel_vector([[0, 0], [0, 0]]) is None
    assert kernel_vector([[0, 0], [0, 5]]) == [1, 0]
    assert kernel_vector([[2, 4], [3, 6]]) in ([3, -2], [-3, 2])
