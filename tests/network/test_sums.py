"""Sums of atoms as arrays: the same as with dictionaries of rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdpcert.network.sums import Sums, added, from_terms, is_product, matrix_rows, primitive_rows, stack_rows, units

#: Numbers of few bits, so that sums and products of a few are exact, near the ends of the range too.
FACTORS = st.builds(lambda odd, k: float(np.ldexp(odd, k)), st.integers(-999, 999), st.integers(-1060, 900))
SMALL = st.integers(-99, 99).map(float)


def rows_of(factors: st.SearchStrategy[float], size: int = 4) -> st.SearchStrategy[Sums]:
    row = st.dictionaries(st.integers(0, 6), factors.filter(bool).map(Fraction), max_size=4)
    return st.lists(row, min_size=size, max_size=size).map(from_terms)


@given(rows_of(SMALL), rows_of(SMALL), st.sampled_from([1.0, -1.0]))
def test_sums_are_added_row_by_row(left: Sums, right: Sums, sign: float) -> None:
    total = added(left, right, sign)
    for k in range(len(total)):
        one, two = left.terms(k), right.terms(k)
        expected = {a: one.get(a, Fraction(0)) + Fraction(sign) * two.get(a, Fraction(0)) for a in one | two}
        assert total.terms(k) == {a: c for a, c in expected.items() if c}
        assert list(total.terms(k)) == sorted(total.terms(k))


@given(rows_of(FACTORS), rows_of(FACTORS), st.lists(st.integers(-1, 7), max_size=9))
def test_rows_are_chosen_and_stacked(left: Sums, right: Sums, chosen: list[int]) -> None:
    whole = [s.terms(k) for s in (left, right) for k in range(len(s))]
    found = stack_rows([left, right]).rows(np.array(chosen, dtype=int))
    assert [found.terms(k) for k in range(len(found))] == [whole[k] if k >= 0 else {} for k in chosen]


@given(rows_of(FACTORS))
def test_a_row_is_its_scale_times_its_primitive_row(sums: Sums) -> None:
    primitive, scales = primitive_rows(sums)
    for k in range(len(sums)):
        scaled = {a: Fraction(float(scales[k])) * c for a, c in primitive.terms(k).items()}
        assert scaled == sums.terms(k)
        assert next(iter(primitive.terms(k).values()), 1) > 0


@given(rows_of(SMALL, 1), st.integers(-999, 999).filter(bool), st.integers(-900, 900))
def test_multiples_have_the_same_primitive_row(sums: Sums, times: int, exponent: int) -> None:
    factor = Fraction(times) * Fraction(2) ** exponent
    multiple = from_terms([{a: factor * c for a, c in sums.terms(0).items()}])
    (one, scale), (other, scaled) = primitive_rows(sums), primitive_rows(multiple)
    assert one.key(0) == other.key(0)
    assert not sums.terms(0) or Fraction(float(scaled[0])) == factor * Fraction(float(scale[0]))


@given(FACTORS, FACTORS)
def test_products_that_are_said_to_be_exact_are(a: float, b: float) -> None:
    with np.errstate(all="ignore"):
        product = np.array([a]) * b
        exact = is_product(np.array([a]), np.array([b]), product)
    assert not exact[0] or Fraction(float(product[0])) == Fraction(a) * Fraction(b)


def test_zeros_are_left_out() -> None:
    matrix = np.array([[0.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    assert [matrix_rows(matrix).terms(k) for k in range(3)] == [{1: 2}, {}, {0: 3, 1: 4}]
    assert [units(np.array([5, 6]), np.array([0.0, 1.5])).terms(k) for k in range(2)] == [{}, {6: Fraction(3, 2)}]
