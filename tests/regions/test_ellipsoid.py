"""Ellipsoids around pieces, and scales that suit a function."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network import activations as act
from sdpcert.regions import AllInputs, Box
from sdpcert.regions.ellipsoid import Ellipsoid, box_scales
from sdpcert.regions.state import State
from tests.regions.networks import chain

FEW = settings(deadline=None, max_examples=15)


def test_an_ellipsoid_needs_a_region_that_has_one() -> None:
    form = chain(np.random.default_rng(3), [3, 4, 2], act.relu()).stacked
    with pytest.raises(ValueError, match="needs the ball of the region, or scales"):
        Ellipsoid.of(State.of(form, Box(np.zeros(3), np.ones(3))))
    with pytest.raises(ValueError, match="an end in every direction"):
        Ellipsoid.of(State.of(form, AllInputs()), np.ones(3))
    with pytest.raises(ValueError, match="positive and finite"):
        Ellipsoid.of(State.of(form, Box(np.zeros(3), np.ones(3))), np.array([1.0, 0.0, 1.0]))


@FEW
@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(1, 30), fixed=st.booleans())
def test_box_scales_lose_nothing_on_a_linear_function(seed: int, inputs: int, fixed: bool) -> None:
    rng = np.random.default_rng(seed)
    half, row = rng.uniform(0.1, 2, inputs), rng.uniform(0.1, 1, inputs) * rng.choice([-1, 1], inputs)
    half[0] = 0.0 if fixed and inputs > 1 else half[0]
    form = chain(rng, [inputs, 2, 2], act.relu()).stacked
    state = State.of(form, Box(-half, half))
    ellipsoid = Ellipsoid.of(state, box_scales(state, row))
    assert np.linalg.norm(row * ellipsoid.axes) == pytest.approx(np.abs(row) @ half, rel=1e-2 if fixed else 1e-9)
