"""Interpolation weights are what they are called."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sdpcert.network.affine.interpolation import cubic_weights, interpolation, linear_weights

COORDINATES = st.lists(st.fractions(-3, 9, max_denominator=64), min_size=1, max_size=6)


@given(places=COORDINATES)
def test_linear_weights_interpolate_linear_functions(places):
    for place, row in zip(places, linear_weights(places, 6), strict=True):
        assert sum(row.values()) == 1 and all(weight > 0 for weight in row.values())
        assert sum(k * weight for k, weight in row.items()) == min(max(place, Fraction(0)), Fraction(5))


@given(places=COORDINATES, outside=st.booleans())
def test_cubic_weights_sum_to_one_and_pass_through_the_entries(places, outside):
    inside = [p for p in places if 0 <= p <= 5]
    for place, row in zip(inside, cubic_weights(inside, 6, exclude_outside=outside), strict=True):
        assert sum(row.values()) == 1
        assert place.denominator > 1 or row == {int(place): 1}
        if 1 <= place <= 4:  # exact on linear functions where all neighbours are there, for the coefficient -1/2
            half = cubic_weights([place], 6, Fraction(-1, 2))[0]
            assert sum(k * weight for k, weight in half.items()) == place


def test_rounded_weights_say_so():
    exact = interpolation(linear_weights([Fraction(1, 4), Fraction(7, 2)], 5), 5)
    assert exact.coefficient_error == 0 and exact.weight.sum() == 2
    rounded = interpolation(linear_weights([Fraction(1, 3)], 5), 5)
    for weight, true in ((rounded.weight[0, 0], Fraction(2, 3)), (rounded.weight[0, 1], Fraction(1, 3))):
        assert 0 < abs(Fraction(float(weight)) - true) <= Fraction(rounded.coefficient_error) * true
