"""Networks embedded in a torus compute what the networks compute."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Rearrange, Scale
from sdpcert.network.embedding import embed
from sdpcert.network.filters import Combination
from sdpcert.network.graph import Graph, Network
from sdpcert.network.piecewise import max_pool
from tests.network.torus_networks import random_convolutional, random_torus, unrolled

SHIPPED = Path(__file__).parents[2] / "examples" / "networks"
SHARED = Path(__file__).parents[3] / "shared" / "networks"


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_torus_network_is_its_unrolled_form(seed: int) -> None:
    form = random_torus(seed)
    signal = np.random.default_rng(seed).standard_normal((2, form.inputs, *form.torus))
    expected = unrolled(form).evaluate(signal.reshape(2, -1))
    np.testing.assert_allclose(form.evaluate(signal).reshape(2, -1), expected, atol=1e-11)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_symbols_are_the_fourier_transform(seed: int) -> None:
    form = random_torus(seed)
    for taps in form.blocks.values():
        signal = np.random.default_rng(seed).standard_normal((1, taps.shape[1], *form.torus))
        before, after = np.fft.fft2(signal)[0], np.fft.fft2(taps(signal))[0]
        for k in np.ndindex(form.torus):
            np.testing.assert_allclose(after[:, *k], taps.symbol(k, form.torus) @ before[:, *k], atol=1e-10)


@given(seed=st.integers(0, 2**32 - 1), head=st.booleans(), circular=st.booleans())
@settings(max_examples=120, deadline=None)
def test_the_embedded_network_is_the_network(seed: int, head: bool, circular: bool) -> None:
    network = random_convolutional(seed, head, circular)
    embedding = embed(network)
    inputs = np.random.default_rng(seed).standard_normal((3, *network.input_shape))
    value = embedding.value(inputs)
    if embedding.head is not None:
        value = embedding.head(value.reshape(3, *embedding.head.input_shape))
    value, expected = value.reshape(3, -1), network(inputs).reshape(3, -1)
    np.testing.assert_allclose(value - value[:1], expected - expected[:1], atol=1e-9)
    for group in embedding.form.groups:
        if not np.all(group.inside):
            assert np.all(group.alpha <= 0) and np.all(group.beta >= 0)
    if circular:
        assert embedding.form.torus == network.input_shape[1:]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_any_larger_torus_is_valid_and_a_smaller_one_refused(seed: int) -> None:
    network = random_convolutional(seed)
    rows, columns = embed(network).form.torus
    larger = embed(network, (rows + 2, columns + 1))
    inputs = np.random.default_rng(seed).standard_normal((2, *network.input_shape))
    value, small = larger.value(inputs), embed(network).value(inputs)
    np.testing.assert_allclose(value[1] - value[0], small[1] - small[0], atol=1e-9)
    with pytest.raises(ValueError, match="not valid for this network"):
        embed(network, (rows - 1, columns))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_radius_covers_the_rounding_of_merged_filters(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def filters(out: int, inner: int) -> dict[tuple[int, int], np.ndarray]:
        cells = {(int(a), int(b)) for a, b in rng.integers(-1, 2, (3, 2))}
        return {c: rng.standard_normal((out, inner)) * 10.0 ** rng.integers(-3, 4) for c in cells}

    first, second, third = filters(2, 3), filters(3, 2), filters(2, 2)
    combined = Combination(third).after(second).after(first)
    exact: dict[tuple[int, int], np.ndarray] = {}
    for (a, b), x in first.items():
        for (c, d), y in second.items():
            for (e, f), z in third.items():
                product = _fractions(x) @ _fractions(y) @ _fractions(z)
                cell = (a + c + e, b + d + f)
                exact[cell] = exact[cell] + product if cell in exact else product
    for cell, matrix in exact.items():
        error = np.abs(_fractions(combined.filters[cell]) - matrix).max()
        assert error <= Fraction(combined.error)
    assert 0 < combined.error < 1e-10 * max(np.abs(m).max() for m in combined.filters.values()) * 1e3


def _fractions(matrix: np.ndarray) -> np.ndarray:
    return np.array([[Fraction(float(v)) for v in row] for row in matrix], dtype=object)


def test_weights_that_are_only_placed_stay_exact() -> None:
    network = random_convolutional(3)
    assert all(taps.radius == 0 for taps in embed(_conv_chain()).form.blocks.values())
    assert embed(network).image == network.input_shape


def _conv_chain(channels: tuple[int, ...] = (1, 2, 3), size: int = 6) -> Network:
    rng = np.random.default_rng(0)
    graph, value = Graph((channels[0], size, size)), 0
    for inner, out in itertools.pairwise(channels):
        value = graph.add(
            relu(), graph.add(Conv2d(rng.standard_normal((out, inner, 3, 3)), None, padding=(1, 1, 1, 1)), value)
        )
    return graph.network(value, source="chain")


def test_the_least_torus_has_the_margin_of_one_kernel_radius() -> None:
    assert embed(_conv_chain()).form.torus == (7, 7)


def test_max_pooling_is_exact_on_the_torus() -> None:
    graph = Graph((2, 8, 8))
    value = graph.add(
        relu(), graph.add(Conv2d(np.random.default_rng(0).standard_normal((3, 2, 3, 3)), padding=(1, 1, 1, 1)), 0)
    )
    network = graph.network(max_pool(graph, value, (2, 2), (2, 2)), source="pooled")
    embedding = embed(network)
    assert embedding.head is None and embedding.form.torus == (5, 5)


def test_the_mean_over_the_image_is_folded_into_the_output() -> None:
    rng = np.random.default_rng(1)
    graph = Graph((1, 5, 5))
    value = graph.add(relu(), graph.add(Conv2d(rng.standard_normal((4, 1, 3, 3)), padding=(1, 1, 1, 1)), 0))
    mean = graph.add(Conv2d(np.full((4, 1, 5, 5), 1 / 25), groups=4), value)
    value = graph.add(Dense(rng.standard_normal((3, 4))), graph.add(Rearrange(np.arange(4)), mean))
    embedding = embed(graph.network(value, source="mean"))
    assert embedding.form.pooled and embedding.head is None
    assert [block.offsets.tolist() for (to, _), block in embedding.form.blocks.items() if to == 2] == [[[0, 0]]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Network.mlp([np.eye(3)]), "needs an image"),
        (lambda: _unequal_scale(), "differ over the image"),
        (lambda: _dense_first(), "no convolutional front"),
    ],
)
def test_what_is_not_shift_invariant_is_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(build())


def _unequal_scale() -> Network:
    graph = Graph((1, 3, 3))
    value = graph.add(Scale(np.arange(1.0, 10.0).reshape(1, 3, 3)), 0)
    value = graph.add(relu(), graph.add(Conv2d(np.ones((1, 1, 1, 1))), value))
    return graph.network(value, source="scaled")


def _dense_first() -> Network:
    graph = Graph((1, 2, 2))
    value = graph.add(relu(), graph.add(Dense(np.ones((3, 4))), graph.add(Rearrange(np.arange(4)), 0)))
    return graph.network(value, source="dense")


def test_shipped_convolutional_network() -> None:
    pytest.importorskip("onnx")
    embedding = embed(sdpcert.load(SHIPPED / "digits_cnn.onnx"))
    assert embedding.form.torus == (5, 5) and embedding.form.sizes[:-1] == [4, 16, 8]
    assert embedding.output_group == 2 and embedding.head is not None


@pytest.mark.skipif(not SHARED.exists(), reason="the shared networks are not here")
@pytest.mark.parametrize(
    ("name", "torus", "sizes"),
    [
        ("onnx/oval21_cifar_base_kw.onnx", (9, 9), [48, 32, 16]),
        ("onnx/cifar10_resnet_2b.onnx", (9, 9), [48, 32, 16, 16, 16, 16]),
        ("glipsdp_scalability/cnn_C3_CH8.onnx", (29, 29), [1, 8, 8, 8]),
    ],
)
def test_networks_of_full_size(name: str, torus: tuple[int, int], sizes: list[int]) -> None:
    pytest.importorskip("onnx")
    form = embed(sdpcert.load(SHARED / name)).form
    assert form.torus == torus and form.sizes[:-1] == sizes
