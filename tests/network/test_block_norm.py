"""Norms of blocks of neurons: the inequality that the condition uses, evaluation, and bounds against sampled pairs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import sdpcert
from sdpcert.attained.graph_ratio import sure_difference as sure_of_graph
from sdpcert.attained.maps import BlockMap
from sdpcert.attained.stacked_ratio import sure_difference as sure_of_form
from sdpcert.certificate.document import build_document
from sdpcert.certificate.proof import ProofProblem
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.check import check_document
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.block_norm import BlockNorm, block_norms
from sdpcert.network.graph import Graph, Network
from sdpcert.network.layouts import arranged
from sdpcert.running.choices import Method
from sdpcert.solvers import closed_form, product

Array = np.ndarray
FLOAT64, FLOAT32 = 2.0**-53, 2.0**-24
entries = st.floats(-1e3, 1e3) | st.floats(-1e-290, 1e-290) | st.floats(-1e290, 1e290)
blocks = st.integers(2, 5).flatmap(lambda k: st.tuples(arrays(float, 2 * k, elements=entries), st.just(k)))


def network(seed: int, size: int = 2, before: str = "relu", bias: bool = True) -> Network:
    """Dense layers with an elementwise activation, then norms of blocks of neurons, then a dense layer."""
    rng = np.random.default_rng(seed)
    graph, count = Graph((5,)), 3
    hidden = graph.add(Dense(rng.standard_normal((6, 5)), rng.standard_normal(6) * bias), 0)
    hidden = graph.add(activation_by_name(before), hidden)
    read = graph.add(Dense(rng.standard_normal((count * size, 6)), rng.standard_normal(count * size) * bias), hidden)
    norms = block_norms(graph, graph.rearrange(read, lambda x: x.reshape(count, size)))
    return graph.network(graph.add(Dense(rng.standard_normal((2, count))), norms))


def squared(values: Array) -> Fraction:
    return sum((Fraction(float(x)) ** 2 for x in values), Fraction(0))


@settings(max_examples=40)
@given(blocks)
def test_values_are_as_right_as_they_are_said_to_be(drawn: tuple[Array, int]) -> None:
    values, size = drawn
    kind = BlockNorm(size)
    relative = Fraction(kind.evaluation_error(FLOAT64)[0])
    found = kind(values[None])[0].reshape(2, size)
    assert not found[:, 1:].any()
    for block, given_norm in zip(values.reshape(2, size), found[:, 0], strict=True):
        norm, right = Fraction(float(given_norm)), squared(block)
        room = Fraction(2) ** -1070
        assert max(norm * (1 - relative) - room, 0) ** 2 <= right <= (norm * (1 + relative) + room) ** 2


@settings(max_examples=40)
@given(st.integers(2, 6).flatmap(lambda k: arrays(float, (2, k), elements=st.floats(-1e3, 1e3))))
def test_increments_satisfy_the_sum_of_the_sector_terms(pair: Array) -> None:
    """`(|v| - |w|)^2 <= |v - w|^2` is `|v|^2 |w|^2 >= (v w)^2`, which is decided in rationals."""
    v, w = ([Fraction(float(x)) for x in row] for row in pair)
    dot = sum(a * b for a, b in zip(v, w, strict=True))
    assert dot <= 0 or dot**2 <= squared(pair[0]) * squared(pair[1])
    kind = BlockNorm(pair.shape[1])
    dz, dv = kind(pair[0]) - kind(pair[1]), pair[0] - pair[1]
    scale = 1 + np.linalg.norm(pair)
    assert dz @ dz <= dv @ dv + 1e-12 * scale * np.linalg.norm(dv) + 1e-24 * scale**2


def test_no_single_term_has_a_sign() -> None:
    """Why the multipliers have to be equal: each of the two terms is negative for some pair of arguments."""
    kind = BlockNorm(2)
    for v in ([0.0, 1.0], [1.0, 0.0]):
        start, end = np.array(v), 2 * np.array(v)
        terms = np.square(end - start) - np.square(kind(end) - kind(start))
        assert terms.sum() == 0 and (terms.min() < 0 or v[0] == 1)
    assert kind(np.array([-1.0, 0.0]))[0] - kind(np.array([-2.0, 0.0]))[0] == -1  # a slope of -1: [0, 1] is too little


def test_torch_evaluates_and_differentiates_the_same() -> None:
    torch = pytest.importorskip("torch")
    kind, v = BlockNorm(3), np.random.default_rng(0).standard_normal((20, 6)) * 10.0 ** np.arange(-10, 10)[:, None]
    v[3] = 0
    for dtype, roundoff in ((torch.float64, FLOAT64), (torch.float32, FLOAT32)):
        inputs = torch.tensor(v, dtype=dtype, requires_grad=True)
        result = kind.on_torch(inputs)
        right = kind(inputs.detach().double().numpy())
        error = np.abs(result.detach().double().numpy() - right)
        assert np.all(error <= (kind.evaluation_error(roundoff)[0] + kind.evaluation_error(FLOAT64)[0]) * right)
        result.sum().backward()
        np.testing.assert_allclose(inputs.grad.numpy(), kind.derivative(v), atol=1e-6)


def test_a_block_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="two entries at least"):
        BlockNorm(1)
    for shape in ((4,), (3, 2), (6, 4)):
        with pytest.raises(ValueError, match="blocks of 3 do not fit"):
            Graph(shape).add(BlockNorm(3), 0)


@pytest.mark.parametrize("size", [2, 3])
def test_the_jacobian_is_that_of_differences(size: int) -> None:
    form = network(0, size, "tanh").stacked
    x, h = np.random.default_rng(1).standard_normal(5), 1e-6
    moved = np.stack([form.evaluate((x + h * e)[None])[0] - form.evaluate((x - h * e)[None])[0] for e in np.eye(5)])
    np.testing.assert_allclose(form.jacobian(x), moved.T / (2 * h), atol=1e-7)
    searched = BlockMap(form, reduce=False)
    slopes = searched.slopes(x[None])
    back = searched.back(np.eye(2), lambda group, rows: rows * slopes[group])
    np.testing.assert_allclose(back, form.jacobian(x), atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_what_two_inputs_attain_is_rounded_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = network(seed % 7, 2 + seed % 2)
    x = rng.standard_normal((1, 5)) * 10.0 ** rng.uniform(-8, 8)
    step = rng.standard_normal((1, 5)) * 10.0 ** rng.uniform(-12, 1)
    exact = np.abs(_long(net, x + step) - _long(net, x))
    room = 1e-13 * (np.abs(_long(net, x)) + np.abs(step).max()).astype(float)  # what long double itself may lose
    assert np.all(sure_of_form(net.stacked, (x + step)[0], x[0]) <= exact + room)
    assert (
        np.linalg.norm(sure_of_graph(net, x + step, x)[0])
        <= np.linalg.norm(exact.astype(float)) * (1 + 1e-9) + room.sum()
    )


def _long(net: Network, x: Array) -> Array:
    value = x.astype(np.longdouble)
    for node in net.nodes:
        if isinstance(node.layer, BlockNorm):
            found = np.zeros_like(value)
            found[..., 0] = np.sqrt(np.square(value).sum(axis=-1))
            value = found
        elif isinstance(node.layer, Dense):
            weight, bias = node.layer.weight.astype(np.longdouble), node.layer.offset()
            value = (value @ weight.T + bias).astype(np.longdouble)
        elif hasattr(node.layer, "slopes"):
            value = np.maximum(value, 0)
        else:
            layer: Any = node.layer
            value = value.reshape(len(value), -1)[:, layer.places(value.shape[1:])]
    return value


def test_neurons_of_one_norm_are_one_neuron_never_and_stay_together() -> None:
    """Two entries that read the same are no multiples of each other after it; unread ones are still needed."""
    graph = Graph((2,))
    read = graph.add(Dense(np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]])), 0)
    norms = block_norms(graph, graph.rearrange(read, lambda x: x.reshape(2, 2)))
    net = graph.network(graph.add(Dense(np.array([[1.0, 0.0]])), norms))
    form = net.stacked
    assert [g.size for g in form.groups] == [4] and [g.size for g in form.reduced().groups] == [2]
    assert [g.size for g in form.without_unread().groups] == [2]
    x = np.random.default_rng(0).standard_normal((5, 2))
    np.testing.assert_allclose(form.reduced().evaluate(x), np.sqrt(2) * np.abs(x[:, :1]))
    assert sdpcert.certify(net).upper == pytest.approx(2**0.5, rel=1e-6)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("method", ["auto", "neuron", "layer", "product"])
def test_bounds_hold_and_are_checked(method: Method, size: int) -> None:
    net = network(3, size)
    found = sdpcert.certify(net, method=method)
    checked = check_document(found.document())
    assert checked.ok and checked.level == "exact" and "or norms" in checked.reason
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20000, 5)) * 3
    step = rng.standard_normal((20000, 5)) * 10.0 ** rng.uniform(-6, 1, (20000, 1))
    ratios = np.linalg.norm(net(x + step) - net(x), axis=1) / np.linalg.norm(step, axis=1)
    assert ratios.max() * (1 - 1e-8) <= found.upper and 0 < found.lower <= found.upper
    if method == "neuron":
        assert any("share" in note for note in found.notes)


def test_a_norm_of_an_isometry_has_the_constant_one() -> None:
    graph = Graph((6,))
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    turned = graph.add(Dense(rotation), 0)
    net = graph.network(block_norms(graph, graph.rearrange(turned, lambda x: x.reshape(2, 3))))
    found = sdpcert.certify(net)
    assert 1 - 1e-6 <= found.lower <= found.upper <= 1 + 1e-6


def test_any_point_is_tied_before_it_is_proved() -> None:
    form = network(5).stacked.reduced()
    for point in (product(form), closed_form(form)):
        rng = np.random.default_rng(0)
        loose = tuple(t * (1 + 1e-9 * rng.random(len(t))) for t in point.multipliers)
        proof = ProofProblem(form, point.exponent).prove(point.rho * (1 + 1e-6), loose)
        if proof is not None:
            assert check_document(build_document(StackedCondition(form, proof), None, {})).ok


def test_regions_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"norm pooling.*on all inputs"):
        sdpcert.certify(network(0), region=sdpcert.Box(-np.ones(5), np.ones(5)))


def test_norms_along_channels_that_are_stored_last_end_the_front_over_frequencies() -> None:
    """There a convolution goes over frequencies, and what reads its image in another order is the head."""
    rng, graph = np.random.default_rng(0), Graph((1, 4, 4))
    read = graph.add(Conv2d(rng.standard_normal((4, 1, 3, 3)), None, (1, 1), (1, 1, 1, 1)), 0)
    last = graph.rearrange(graph.add(activation_by_name("relu"), read), lambda x: np.moveaxis(x, 0, -1))
    norms = graph.rearrange(graph.add(BlockNorm(2), last), np.ravel)
    net = graph.network(graph.add(Dense(rng.standard_normal((2, 64))), norms))
    alike, x = arranged(net), rng.standard_normal((3, 1, 4, 4))
    moved = x.reshape(3, -1)[:, alike.inputs].reshape(3, *alike.network.input_shape)
    np.testing.assert_array_equal(alike.network(moved).reshape(3, -1)[:, alike.outputs], net(x))
    for form in ("unrolled", "frequency"):
        found = sdpcert.certify(net, method="product", form=form)
        assert found.status == "proved" and found.lower <= found.upper and check_document(found.document()).ok
