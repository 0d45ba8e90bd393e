"""Regions: what may be asked for, membership in rational arithmetic, boxes around them, and the way through a file."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpcert import Ball, Box
from sdpcert.certificate.saved import region_of
from sdpcert.regions import AllInputs, Region
from sdpcert.regions.pieces import Flat

NUMBERS = st.floats(-1e3, 1e3, allow_nan=False)


@given(center=st.lists(NUMBERS, min_size=1, max_size=4), radius=st.floats(1e-9, 1e3), data=st.data())
def test_a_ball_contains_what_rational_arithmetic_says(center: list[float], radius: float, data: Any) -> None:
    point = data.draw(st.lists(NUMBERS, min_size=len(center), max_size=len(center)))
    square = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(point, center, strict=True))
    assert Ball(center, radius).contains(np.array(point)) == (square <= Fraction(radius) ** 2)


def test_the_boundary_belongs_to_the_region() -> None:
    ball = Ball([0.0, 0.0], 5.0)
    assert ball.contains(np.array([3.0, 4.0]))
    assert not ball.contains(np.array([3.0, np.nextafter(4.0, 5.0)]))
    box = Box([0.0, 1.0], [0.0, 2.0])
    assert box.contains(np.array([0.0, 2.0]))
    assert not box.contains(np.array([np.nextafter(0.0, 1.0), 1.5]))


@given(center=st.lists(NUMBERS, min_size=1, max_size=4), radius=st.floats(1e-9, 1e3))
def test_the_box_around_a_ball_has_all_of_it(center: list[float], radius: float) -> None:
    low, high = Ball(center, radius).box(len(center))
    for value, first, last in zip(center, low, high, strict=True):
        assert Fraction(float(first)) <= Fraction(value) - Fraction(radius)
        assert Fraction(float(last)) >= Fraction(value) + Fraction(radius)


@pytest.mark.parametrize(
    "region",
    [AllInputs(), Box(-1, 1), Box([0, 0, 1], [1, 2, 1]), Ball(0.5, 2), Ball([0.5, 0, 1], 0.25, within=Box(0, 1))],
)
def test_a_region_comes_back_from_its_document(region: Region) -> None:
    fitted = region.fitted(3)
    back = region_of({"version": 3, "region": fitted.document()})
    assert back.document() == fitted.document()
    assert type(back) is type(fitted)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Box(1, 0), "low is above high"),
        (lambda: Box([0, 0], [1, 1, 1]), "shape"),
        (lambda: Box(float("nan"), 1), "not finite"),
        (lambda: Box(0, float("inf")), "not finite"),
        (lambda: Box([], []), "empty"),
        (lambda: Ball([0, 0], 0), "positive"),
        (lambda: Ball([0, 0], float("nan")), "positive"),
        (lambda: Ball([0, float("inf")], 1), "not finite"),
        (lambda: Ball([0, 0], 1, within=Box(2, 3)), "no point inside"),
        (lambda: Ball([0, 0], 1, within=Box([1, 0], [2, 0])), "no point inside"),
        (lambda: Ball([0, 0], 1).fitted(3), "reads 3"),
        (lambda: Box([0, 0], [1, 1]).box(3), "reads 3"),
    ],
)
def test_what_is_no_region_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Ball, ([0, 0], "1")),
        (Ball, ([0, 0], True)),
        (Ball, ("center", 1)),
        (Box, (object(), 1)),
        (Ball, ([0, 0], 1, (0, 1))),
    ],
)
def test_arguments_of_other_types_are_refused(kind: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        kind(*arguments)


def test_weights_of_any_length_are_written() -> None:
    weight = 7 * 10**9000 + 3
    (text,) = Flat((weight,)).document()["weights"]
    assert text == "7" + "0" * 8999 + "3"
