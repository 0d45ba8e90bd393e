"""Printed numbers: never on the wrong side, and never so that rounding reads as a violated claim."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdpcert.report import rounded_apart, rounded_down, rounded_up

numbers = st.floats(min_value=1e-30, max_value=1e30)
digits = st.sampled_from([2, 4, 6, 10])
#: Decimals that people claim, and how far rounding may take a number from them.
claims = st.tuples(st.integers(1, 99), st.integers(-3, 3)).map(lambda t: float(f"{t[0]}e{t[1]}"))
excesses = st.floats(min_value=2.0**-52, max_value=9e-11)


@given(numbers, digits)
@example(1.0, 10)
@example(1 + 2.0**-52, 10)
@example(1.00000015, 6)
def test_a_printed_bound_is_on_its_side_of_the_number(value: float, digits: int) -> None:
    up, down = Decimal(rounded_up(value, digits)), Decimal(rounded_down(value, digits))
    assert down <= Decimal(value) <= up
    assert float(up - down) <= 2.1 * 10.0 ** (1 - digits) * value


@given(claims, excesses)
def test_an_excess_over_a_short_decimal_is_shown_as_what_it_is(claim: float, excess: float) -> None:
    value = claim * (1 + excess)
    true = Decimal(value) - Decimal(repr(claim))
    shown = Decimal(rounded_up(value)) - Decimal(repr(claim))
    assert true <= shown <= 2 * true
    below = claim * (1 - excess)
    missing = Decimal(repr(claim)) - Decimal(below)
    assert missing <= Decimal(repr(claim)) - Decimal(rounded_down(below)) <= 2 * missing


@given(numbers, st.floats(1, 1.01), digits)
def test_ends_that_are_equal_look_equal_and_others_do_not_cross(lower: float, ratio: float, digits: int) -> None:
    same = rounded_apart(lower, lower, digits)
    assert same[0] == same[1] and float(same[0]) == lower
    down, up = rounded_apart(lower, lower * ratio, digits)
    assert Decimal(down) <= Decimal(up)


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [
        (1.0, "1", "1"),
        (1.000000000000005, "1.000000000000006", "1"),
        (1 - 2.0**-51, "1", "0.9999999999999995"),
        (3.39852743012345, "3.398527431", "3.39852743"),
        (0.0, "0", "0"),
        (float("inf"), "inf", "inf"),
    ],
)
def test_examples(value: float, up: str, down: str) -> None:
    assert rounded_up(value) == up
    assert rounded_down(value) == down


def test_six_digits_do_not_make_a_violation_of_what_is_none() -> None:
    assert rounded_up(1.0000001581138707, 6) == "1.0000002"
    assert rounded_down(0.9999999999999996, 6) == "0.9999999999999995"
    assert rounded_up(1.00000051, 6) == "1.0000006"
    assert rounded_up(1.000011, 6) == "1.00002"
