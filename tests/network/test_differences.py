"""The form whose last neurons are the differences of a classifier's outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network
from sdpcert.network.affine import Dense, Scale
from sdpcert.network.differences import pairs_of_classes, with_differences


def classifier(seed: int, classes: int) -> Network:
    random = np.random.default_rng(seed)
    weights = [random.standard_normal((5, 3)), random.standard_normal((4, 5)), random.standard_normal((classes, 4))]
    network = Network.mlp(weights, [random.standard_normal(len(w)) for w in weights])
    return network.followed_by(Scale(random.standard_normal(classes), random.standard_normal(classes)))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
def test_outputs_and_differences_are_the_last_two_groups(seed: int, classes: int) -> None:
    network = classifier(seed, classes)
    form, pairs = with_differences(network), pairs_of_classes(classes)
    points = np.random.default_rng(seed).standard_normal((4, 3))
    outputs = network(points)
    expected = np.stack([outputs[:, y] - outputs[:, j] for y, j in pairs], axis=1)
    np.testing.assert_allclose(form.evaluate(points), expected, rtol=1e-12, atol=1e-12)
    logits, last = form.groups[-2:]
    assert (logits.size, last.size) == (classes, len(pairs))
    assert np.all(logits.alpha == 1) and np.all(logits.beta == 1) and not np.any(last.bias)
    block, read = form.blocks[len(form.groups), len(form.groups) - 1], form.blocks[form.output_row, form.output_row - 2]
    assert np.array_equal(block.weights, read.weights) and block.radius == 0
    assert not any(source == len(form.groups) for _, source in form.blocks)


def test_layers_that_are_multiplied_leave_a_radius_of_the_biases() -> None:
    form = with_differences(classifier(1, 3))
    assert form.groups[-2].bias_radius is not None and np.any(form.groups[-2].bias_radius > 0)


def test_it_is_stacked_once() -> None:
    network = classifier(2, 3)
    assert with_differences(network).groups[0] is with_differences(network).groups[0]


def test_one_output_has_no_classes() -> None:
    with pytest.raises(ValueError, match="no classes"):
        with_differences(Network.mlp([np.ones((2, 2)), np.ones((1, 2))]).followed_by(Dense(np.ones((1, 1)))))
