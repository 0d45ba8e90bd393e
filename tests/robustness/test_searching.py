"""The largest radius of an input: proved, below every counterexample, and rounded as the region's own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.regions import Ball, Box
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.regions_of_radii import Norm, distance, region_of
from sdpcert.robustness.searching import radius_of
from sdpcert.solvers.solution import Budget
from tests.regions.networks import points_of
from tests.robustness.test_separating import SEEDS, classifier, label_at

NORMS = st.sampled_from(["l2", "linf"])


@settings(deadline=None, max_examples=4)
@given(norm=NORMS, cut=st.booleans(), seed=SEEDS)
def test_no_point_within_the_radius_is_another_class(norm: Norm, cut: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    form, center = classifier(seed), rng.standard_normal(3)
    within = Box(center - 0.2, center + 1) if cut else None
    margins = Margins(form, label_at(form, center))
    found = radius_of(form, center, margins.label, norm=norm, within=within, nodes=20)
    if found.counterexample is not None:
        assert found.radius <= distance(norm, center, found.counterexample) * (1 + 1e-9)
        assert np.min(margins.at(found.counterexample[None], margins.others)) <= 0
    if found.radius > 0:
        region = region_of(norm, center, found.radius, within)
        assert np.all(margins.at(points_of(region, rng, 3, 500), margins.others) > 0)
        assert sorted(j for proof in found.proofs for j in proof.classes) == list(margins.others)
        for proof in found.proofs:
            assert proof.pieces[0].parent is None
    if len(found.history) and found.counterexample is not None and within is None and found.radius > 0:
        assert found.radius >= 0.9 * distance(norm, center, found.counterexample)


def test_wanted_radii_are_tried_from_the_least() -> None:
    form, center = classifier(8), np.zeros(3)
    label = label_at(form, center)
    radii = [0.3, 0.9, 1.06, 9.0]  # a counterexample is 1.05 away
    found = radius_of(form, center, label, radii=radii)
    assert found.radius == 0.9
    assert found.counterexample is not None
    assert radius_of(form, center, label, radii=radii, below=0.4, beyond=0.8).history == ()


def test_limits_grow_with_the_radius() -> None:
    form, center = classifier(8), np.zeros(3)
    label = label_at(form, center)
    radii = [0.1, 0.9]
    free, bound = (radius_of(form, center, label, limits=f, radii=radii).radius for f in (lambda r: 0.0, lambda r: r))
    assert (bound, free) == (0.1, 0.9)


def test_no_time_leaves_what_is_known() -> None:
    form = classifier(8)
    found = radius_of(form, np.zeros(3), label_at(form, np.zeros(3)), below=0.01, budget=Budget(seconds=0.0))
    assert (found.radius, found.proofs) == (0.01, ())


@given(center=st.lists(st.floats(-5, 5), min_size=1, max_size=3), radius=st.floats(1e-6, 3))
def test_ends_of_boxes_are_next_to_the_sum(center: list[float], radius: float) -> None:
    region = region_of("linf", np.array(center), radius)
    assert isinstance(region, Box)
    for x, low, high in zip(center, region.low, region.high, strict=True):
        least, greatest = Fraction(x) - Fraction(radius), Fraction(x) + Fraction(radius)
        assert Fraction(float(low)) <= least < Fraction(float(np.nextafter(low, np.inf)))
        assert Fraction(float(np.nextafter(high, -np.inf))) < greatest <= Fraction(float(high))


def test_a_ball_keeps_its_radius_and_its_box() -> None:
    within = Box(np.zeros(2), np.ones(2))
    region = region_of("l2", np.array([0.5, 0.5]), 0.7, within)
    assert isinstance(region, Ball)
    assert (region.radius, region.within) == (0.7, within)
