"""What a convolutional front may be folded with, and filters whose products underflow."""

from __future__ import annotations

import numpy as np
import pytest

import sdpcert
from sdpcert.certify import proved
from sdpcert.network.activations import leaky_relu, relu
from sdpcert.network.affine import Conv2d, Dense, Scale
from sdpcert.network.channel_sums import reads_channel_sums
from sdpcert.network.embedding import embed
from sdpcert.network.graph import Graph, Network

SHAPE = (3, 2, 4)


def head(weight: np.ndarray, error: float = 0.0) -> Network:
    graph = Graph(SHAPE)
    return graph.network(graph.add(Dense(weight, None, error), graph.rearrange(0, np.ravel)))


def averages() -> Network:
    """A global average as readers build it: sums over the last axis, a rounded factor, a dense layer."""
    graph = Graph(SHAPE)
    places = graph.rearrange(0, lambda x: x.reshape(3, 8))
    sums = graph.add(Scale(1 / 7, 0.0, 2.0**-53), graph.add(Dense(np.ones((1, 8))), places))
    return graph.network(graph.add(Dense(np.ones((2, 3))), graph.rearrange(sums, np.ravel)))


def window(kernel: np.ndarray, error: float = 0.0) -> Network:
    graph = Graph(SHAPE)
    return graph.network(graph.add(Conv2d(kernel, None, groups=3, coefficient_error=error), 0))


def test_sums_over_channels_are_told_from_weights_of_places() -> None:
    weight = np.repeat(np.random.default_rng(0).standard_normal((2, 3)), 8, axis=1)
    assert reads_channel_sums(head(weight))
    assert reads_channel_sums(averages())
    assert reads_channel_sums(window(np.ones((3, 1, 2, 4))))
    other = weight.copy()
    other[1, 5] *= 1 + 2.0**-52
    assert not reads_channel_sums(head(other))
    assert not reads_channel_sums(head(weight, 2.0**-53))  # rounded weights may differ from place to place
    assert not reads_channel_sums(window(np.ones((3, 1, 2, 4)), 2.0**-53))
    assert not reads_channel_sums(window(np.ones((3, 1, 2, 3))))  # two windows, not the whole image
    graph = Graph(SHAPE)
    assert not reads_channel_sums(graph.network(graph.rearrange(0, np.ravel)))
    cropped = Graph(SHAPE)
    some = cropped.rearrange(0, lambda x: x[:, :, :3].ravel())
    assert not reads_channel_sums(cropped.network(cropped.add(Dense(np.ones((1, 18))), some)))


@pytest.mark.parametrize(("spread", "pooled"), [(0.0, True), (1e-13, False)])
def test_weights_of_places_are_not_summed_up(spread: float, pooled: bool) -> None:
    """Weights that differ by less than rounding from pixel to pixel: the sum over the image does not see them."""
    graph = Graph((1, 1, 8))
    high_pass = Conv2d(np.array([[[[1.0, -1.0]]]]), None, padding=(0, 1, 0, 0), circular=True)
    value = graph.add(leaky_relu(0.5), graph.add(high_pass, 0))
    weight = 1 + spread * (-1.0) ** np.arange(8)
    network = graph.network(graph.add(Dense(weight[None]), graph.rearrange(value, np.ravel)))
    assert embed(network).form.pooled == pooled


def test_filters_that_underflow_stay_uncertain() -> None:
    """Four 1 x 1 convolutions by 1e-170, 1e-170, 1e170 and 1e170: the constant is 1, in float64 the product is 0."""
    graph, value = Graph((1, 3, 3)), 0
    for weight in (1e-170, 1e-170, 1e170, 1e170):
        value = graph.add(Conv2d(np.full((1, 1, 1, 1), weight)), value)
    cert = sdpcert.certify(graph.network(value), "product", form="frequency")
    assert cert.status == "unproved" or cert.upper >= 1


def test_a_circular_convolution_that_enlarges_the_image_is_refused_over_frequencies() -> None:
    graph = Graph((1, 3, 3))
    convolution = Conv2d(np.ones((1, 1, 2, 2)), None, padding=(1, 1, 1, 1), circular=True)
    network = graph.network(graph.add(relu(), graph.add(convolution, 0)))
    with pytest.raises(ValueError, match="larger than the torus; certify the network unrolled"):
        sdpcert.certify(network, form="frequency")
    assert sdpcert.certify(network).status == "proved"


def test_a_point_that_the_checker_refuses_leaves_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph((1, 3, 3))
    value = graph.add(relu(), graph.add(Conv2d(np.ones((2, 1, 2, 2))), 0))
    network = graph.network(graph.add(Conv2d(np.ones((1, 2, 1, 1))), value))
    product = sdpcert.certify(network, "product", form="frequency")
    accepted, answers = proved.accepted, iter([None])
    monkeypatch.setattr(proved, "accepted", lambda *given: next(answers, accepted(*given)))
    cert = sdpcert.certify(network, "neuron", form="frequency")
    assert cert.status == "proved" and cert.upper == product.upper
    assert any("the checker did not accept" in note for note in cert.notes)
