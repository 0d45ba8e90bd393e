"""Layouts of images: whatever order of axes a network keeps its images in, the torus sees channels, height, width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpcert.certify.frequencies import front_and_head
from sdpcert.network.activations import leaky_relu, relu, tanh
from sdpcert.network.affine import Concat, Conv2d, Dense, Scale, Sum
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.embedding import embed
from sdpcert.network.graph import Graph, Network
from sdpcert.network.layouts import arranged

FIRST, LAST = (2, 0, 1), (1, 2, 0)


def _conv(graph: Graph, value: int, out: int, generator: np.random.Generator, size: int = 3, **options) -> int:
    kernel = generator.standard_normal((out, graph.shape(value)[0], size, size)) / 3
    around = size // 2
    padding = (around, around, around, around)
    return graph.add(Conv2d(kernel, generator.standard_normal(out), padding=padding, **options), value)


def _turned(graph: Graph, value: int, axes: tuple[int, ...]) -> int:
    return graph.rearrange(value, lambda x: x.transpose(axes))


def _chain(layout: str) -> Network:
    """Two convolutions with a strided one, a slope and a factor for each channel, and a dense head."""
    generator = np.random.default_rng(7)
    last = layout == "last"
    graph = Graph({"first": (2, 6, 6), "last": (6, 6, 2), "flat": (72,)}[layout])
    value = 0
    if last:
        value = _turned(graph, 0, FIRST)
    elif layout == "flat":
        value = graph.rearrange(0, lambda x: x.reshape(2, 6, 6))
    value = _conv(graph, value, 3, generator, stride=(2, 2))
    slopes, factors = np.array([0.1, 0.3, 0.5]), np.array([1.0, -2.0, 0.5])
    if last:
        value = graph.add(leaky_relu(slopes), graph.add(Scale(factors), _turned(graph, value, LAST)))
        value = _turned(graph, value, FIRST)
    else:
        value = graph.add(leaky_relu(slopes[:, None, None]), graph.add(Scale(factors[:, None, None]), value))
    value = graph.rearrange(graph.add(relu(), _conv(graph, value, 2, generator)), np.ravel)
    head = generator.standard_normal((4, 18))
    return graph.network(graph.add(Dense(head), value))


def test_the_order_of_the_axes_changes_nothing_on_the_torus():
    forms = {layout: front_and_head(_chain(layout)) for layout in ("first", "last", "flat")}
    hashes = {(form.sha256, head.sha256) for _, form, head in forms.values() if head is not None}
    assert len(hashes) == 1


@st.composite
def _scrambled(draw: st.DrawFn) -> Network:
    """A network of convolutions whose values are turned, joined and added in many orders."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.integers(1, 3))
    turned = draw(st.booleans())
    graph = Graph((4, 5, channels) if turned else (channels, 4, 5))
    image = _turned(graph, 0, FIRST) if turned else 0
    for _ in range(draw(st.integers(1, 3))):
        image = graph.add(relu(), _conv(graph, image, draw(st.integers(1, 3)), generator))
        match draw(st.sampled_from(["plain", "dense", "join", "join last", "add", "crop", "flat"])):
            case "dense":
                last = _turned(graph, image, LAST)
                weight = generator.standard_normal((2, graph.shape(last)[-1]))
                image = _turned(graph, graph.add(tanh(), graph.add(Dense(weight), last)), FIRST)
            case "join":
                opposite = graph.add(relu(), graph.add(Scale(-1.0), image))
                joined = graph.add(Concat(0), *(graph.rearrange(v, np.ravel) for v in (image, opposite)))
                shape = graph.shape(image)
                image = graph.rearrange(joined, lambda x, s=shape: x.reshape(2 * s[0], *s[1:]))
            case "join last":
                other = _conv(graph, image, 2, generator, size=1)
                joined = graph.add(Concat(2), *(_turned(graph, v, LAST) for v in (other, image, other)))
                image = _turned(graph, joined, FIRST)
            case "add":
                factor = generator.standard_normal((*graph.shape(image)[1:], graph.shape(image)[0]))
                scaled = graph.add(Scale(np.broadcast_to(factor[:1, :1], factor.shape)), _turned(graph, image, LAST))
                image = _turned(graph, graph.add(Sum((1, -1)), _turned(graph, image, LAST), scaled), FIRST)
            case "crop" if graph.shape(image)[1] > 2:
                image = _turned(graph, graph.rearrange(_turned(graph, image, LAST), lambda x: x[:-1]), FIRST)
            case "flat":
                shape = graph.shape(image)
                flat = graph.add(tanh(), graph.rearrange(image, np.ravel))
                image = graph.rearrange(flat, lambda x, s=shape: x.reshape(s))
    if draw(st.booleans()):
        image = _turned(graph, image, draw(st.sampled_from([LAST, FIRST])))
    return graph.network(image)


@given(_scrambled())
def test_an_arranged_network_is_the_network_up_to_the_order_of_entries(network: Network):
    result = arranged(network)
    inputs = np.random.default_rng(0).standard_normal((3, *network.input_shape))
    given = inputs.reshape(3, -1)[:, result.inputs].reshape(3, *result.network.input_shape)
    found = result.network(given).reshape(3, -1)[:, result.outputs]
    np.testing.assert_allclose(found, network(inputs).reshape(3, -1), rtol=1e-12, atol=1e-12)
    # `embed` compares the torus with the network on random inputs; here it has to come that far.
    assert embed(network).head is None


@pytest.mark.parametrize("parts", ["input and neurons", "crelu", "three"])
def test_joined_channels_stay_an_image(parts: str):
    generator = np.random.default_rng(3)
    graph = Graph((2, 5, 5))
    value = _conv(graph, 0, 3, generator)
    above, below = graph.add(relu(), value), graph.add(relu(), graph.add(Scale(-1.0), value))
    joined = {"input and neurons": (0, above), "crelu": (above, below), "three": (above, 0, below)}[parts]
    flat = graph.add(Concat(0), *(graph.rearrange(v, np.ravel) for v in joined))
    rows = sum(graph.shape(v)[0] for v in joined)
    image = graph.rearrange(flat, lambda x: x.reshape(rows, 5, 5))
    embedding = embed(graph.network(_conv(graph, image, 2, generator)))
    assert embedding.head is None
    assert embedding.form.sizes == [2, *([3] * (1 if parts == "input and neurons" else 2)), 2]


def test_images_in_one_dimension_are_images():
    generator = np.random.default_rng(4)
    graph = Graph((2, 9))
    value = graph.rearrange(0, lambda x: x[:, None])
    value = graph.add(relu(), graph.add(Conv2d(generator.standard_normal((3, 2, 1, 3))), value))
    assert embed(graph.network(graph.rearrange(value, lambda x: x[:, 0]))).form.torus == (1, 9)


def test_pooled_images_need_no_further_neurons():
    """Pooling makes nothing outside of its image, unlike a convolution; certificates made before still bind."""
    generator = np.random.default_rng(5)
    graph = Graph((1, 8, 8))
    value = graph.add(relu(), _conv(graph, 0, 2, generator))
    pooled = graph.add(Conv2d(np.full((2, 1, 2, 2), 0.25), stride=(2, 2), groups=2), value)
    network = graph.network(_conv(graph, pooled, 2, generator))
    assert len(embed(network).form.groups) == 1
    with earlier_rules():
        assert len(embed(network).form.groups) == 2


def test_rows_are_counted_as_the_network_counts_them():
    network = _chain("last")
    whole = network.stacked.blocks
    _, _, head = front_and_head(network, [2])
    assert head is not None
    row = head.blocks[head.output_row, 0].weights
    last = len(network.stacked.groups)
    np.testing.assert_array_equal(row[0], whole[last + 1, last].weights[2])
