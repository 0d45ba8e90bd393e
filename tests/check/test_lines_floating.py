"""Lines of smooth activations in floating point, compared with integers."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import functions, network_floating
from sdpcert.check.activations import Smooth
from sdpcert.check.lines_floating import Range
from tests.check.tiny_networks import (
    doubles,
)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["tanh", "sigmoid", "softplus", "gelu", "sin", "softsign"]),
    st.floats(-20, 20),
    st.floats(0, 10),
    st.floats(-1.5, 1.5),
)
def test_lines_of_smooth_activations_are_those_of_integers(name: str, low: float, width: float, slope: float) -> None:
    smooth = Smooth(name, doubles([]), functions.read(name, []))
    curves = network_floating.CURVES[Smooth](smooth)
    ends = np.array([low, low + width])
    stated = [float(x) for x in curves.slopes_between(float(ends[0]), float(ends[1]))]
    alpha, beta = np.nextafter(stated[:1], -inf), np.nextafter(stated[1:], inf)
    one = np.arange(1)
    known = Range(
        ends[:1],
        ends[1:],
        alpha,
        beta,
        curves.enclosed(ends[:1], one),
        curves.enclosed(ends[1:], one),
        np.abs(ends).max(keepdims=True),
    )
    own, bits = np.array([slope]), 400
    interval, slopes = (float(ends[0]), float(ends[1])), (float(alpha[0]), float(beta[0]))
    for below, got, sign in (
        (True, curves.least(known, own, one)[0], 1),
        (False, curves.greatest(known, own, one)[0], -1),
    ):
        offset = smooth.offset(0, interval, slopes, slope, below, bits)
        assert offset is not None
        wanted = Fraction(offset, 1 << bits)
        assert sign * Fraction(float(got)) <= sign * wanted + Fraction(2, 1 << bits)
        assert abs(Fraction(float(got)) - wanted) <= Fraction(1, 10**12) * (1 + abs(wanted))
    for t in np.linspace(0, 1, 7):
        v = float(ends[0] + t * (ends[1] - ends[0]))
        value = float(smooth.function.value(Fraction(v), 80)[0])
        assert slope * v + curves.least(known, own, one)[0] <= value + 1e-12
        assert slope * v + curves.greatest(known, own, one)[0] >= value - 1e-12
        assert abs(value) <= curves.largest(known)[0]
