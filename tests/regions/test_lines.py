"""Lines are on their side of the activation, as near as any with their slope."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network import activations as act
from sdpcert.network.activation import FLOAT64
from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Group
from sdpcert.regions.lines import Envelope
from tests.regions.networks import ACTIVATIONS, PIECEWISE_LINEAR, Array

COUNT = 12


def group_of(activation: act.Activation, count: int = COUNT) -> Group:
    alpha, beta = (np.broadcast_to(np.asarray(end, dtype=float), count).copy() for end in activation.slopes())
    return Group(activation, (count,), np.arange(count), alpha, beta, np.zeros(count))


def intervals(rng: np.random.Generator, size: float) -> tuple[Array, Array]:
    low = size * rng.standard_normal(COUNT)
    high = low + size * rng.exponential(size=COUNT) * (rng.uniform(size=COUNT) < 0.9)
    return low, high


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)),
    size=st.sampled_from([1e-6, 0.1, 1.0, 10.0]),
    narrow=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_lines_are_on_their_side(name: str, size: float, narrow: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = group_of(ACTIVATIONS[name])
    low, high = intervals(rng, size)
    alpha, beta = group.slopes_on(low, high) if narrow else (group.alpha, group.beta)
    envelope = Envelope.of(group, low, high, alpha, beta)
    slopes = rng.uniform(-2, 2, (5, COUNT))
    slopes[0], slopes[1] = envelope.below.middle_slopes, envelope.above.middle_slopes
    below, at_zero_below, above, at_zero_above = envelope.lines(slopes, slopes)
    places = low + (high - low) * np.linspace(0, 1, 101)[:, None]
    values = group.evaluate(np.clip(places, low, high))
    slack = 1e-14 * (1 + np.abs(values) + 3 * np.abs(places))
    for k in range(5):
        assert np.all(below[k] * places + at_zero_below[k] <= values + slack)
        assert np.all(above[k] * places + at_zero_above[k] >= values - slack)
    assert np.all(np.abs(values) <= envelope.reach)


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(sorted(PIECEWISE_LINEAR)), seed=st.integers(0, 2**32 - 1))
def test_intercepts_of_piecewise_linear_ones_are_the_best_there_are(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    activation = PIECEWISE_LINEAR[name]
    assert isinstance(activation, PiecewiseLinear)
    group = group_of(activation)
    low, high = intervals(rng, 1.0)
    slopes = rng.uniform(-1, 1.5, COUNT)
    envelope = Envelope.of(group, low, high, group.alpha, group.beta)
    for corners, best in ((envelope.below, min), (envelope.above, max)):
        found = corners.intercepts(slopes)
        for k in range(COUNT):
            kinks = [float(np.asarray(kink)) for kink, _, _ in activation.segments[1:]]
            places = [low[k], high[k], *(kink for kink in kinks if low[k] < kink < high[k])]
            exact = best(_exact(activation, v) - Fraction(float(slopes[k])) * Fraction(float(v)) for v in places)
            lost = (exact - Fraction(float(found[k]))) * (1 if best is min else -1)
            size = max(
                abs(_exact(activation, v)) + abs(Fraction(float(slopes[k])) * Fraction(float(v))) for v in places
            )
            assert 0 <= lost <= 16 * Fraction(FLOAT64) * size  # at most a dozen roundings of these magnitudes


def _exact(activation: PiecewiseLinear, place: float) -> Fraction:
    found = activation.segment(np.array([place]))
    assert found is not None
    return Fraction(float(found[0][0])) * Fraction(float(place)) + Fraction(float(found[1][0]))


def test_lines_of_relu() -> None:
    group = group_of(act.relu(), 5)
    low, high = np.array([-1.0, -3.0, 0.0, -2.0, -np.inf]), np.array([3.0, 1.0, 2.0, 0.0, 1.0])
    envelope = Envelope.of(group, low, high, group.alpha, group.beta)
    np.testing.assert_array_equal(envelope.linear, [False, False, True, True, False])
    np.testing.assert_array_equal(envelope.known, [True, True, True, True, False])
    np.testing.assert_array_equal(envelope.below.middle_slopes[:2], [1.0, 0.0])
    np.testing.assert_allclose(envelope.above.middle_slopes[:2], [0.75, 0.25])
    np.testing.assert_array_equal(envelope.below.slope_range[0][:2], [0.0, 0.0])
    np.testing.assert_array_equal(envelope.below.slope_range[1][:2], [1.0, 1.0])
    lower, at_zero, _, _ = envelope.lines(np.full(5, 0.5), np.full(5, 0.5))
    np.testing.assert_array_equal(lower[:4], [0.5, 0.5, 1.0, 0.0])
    np.testing.assert_allclose(at_zero[:4], 0.0, atol=1e-15)


def test_what_a_certificate_cannot_name_has_no_lines() -> None:
    group = group_of(act.crop(0.5), 2)
    envelope = Envelope.of(group, -np.ones(2), np.ones(2), group.alpha, group.beta)
    assert not np.any(envelope.known)
    assert np.all(np.isinf(envelope.reach))
