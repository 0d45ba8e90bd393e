"""Neurons that read the same are one neuron: exactly when they do, and never otherwise."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.certificate.proof import ProofProblem
from sdpcert.network import piecewise
from sdpcert.network.activation import Activation
from sdpcert.network.activations import BY_NAME, absolute, clip, leaky_relu, relu
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.graph import Graph, Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers import SOLVERS
from sdpcert.solvers.solution import Budget

Array = np.ndarray


def optimum(form: StackedForm) -> float:
    """The bound of the condition that is proved for a form."""
    form = form.reduced()
    solution = SOLVERS["native"](form, "neuron", Budget(1e-7), "cpu")
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is not None
    return float(np.ldexp(np.sqrt(proof.rho), proof.exponent))


# ---------------------------------------------------------------- exact evaluation, written apart from the package


def exact(
    layer: AffineLayer | Activation, given: list[list[Fraction]], shapes: list[tuple[int, ...]]
) -> list[Fraction]:
    """One layer on flat rational values."""
    match layer:
        case Dense():
            bias = [0.0] * len(layer.weight) if layer.bias is None else layer.bias
            rows = [[Fraction(float(w)) for w in row] for row in layer.weight]
            return [sum((w * x for w, x in zip(row, given[0])), Fraction(float(b))) for row, b in zip(rows, bias)]
        case Scale():
            factors = np.broadcast_to(layer.factor, shapes[0]).ravel()
            shifts = np.broadcast_to(layer.shift, shapes[0]).ravel()
            return [Fraction(float(f)) * x + Fraction(float(s)) for f, s, x in zip(factors, shifts, given[0])]
        case Rearrange():
            return [given[0][k] if k >= 0 else Fraction(0) for k in layer.indices.ravel()]
        case Sum():
            return [sum((s * x for s, x in zip(layer.signs, column)), Fraction(0)) for column in zip(*given)]
        case Concat():
            return [x for values in given for x in values]
    assert isinstance(layer, Activation)
    assert layer.pieces is not None
    left, right = (np.broadcast_to(np.asarray(p, dtype=float), shapes[0]).ravel() for p in layer.pieces)
    return [Fraction(float(r if x > 0 else l)) * x for l, r, x in zip(left, right, given[0])]


def check_sharing(network: Network, inputs: list[Fraction]) -> None:
    """Every claim about neurons holds for one input, in rational arithmetic."""
    values = {0: inputs}
    reads: dict[int, list[Fraction]] = {}  # what the neurons of an activation read, after corrections
    for number, node in enumerate(network.nodes, start=1):
        given = [values[k] for k in node.inputs]
        values[number] = exact(node.layer, given, [network.shape(k) for k in node.inputs])
        reads[number] = list(given[0])
        sharing = network.sharing.get(number)
        if sharing is None:
            continue
        for c in sharing.corrections:
            reads[number][c.entry] -= values[c.node][c.place]
            if c.reads:
                reads[number][c.entry] += reads[c.node][c.place]
        for k, z in enumerate(values[number]):
            if any(c.entry == k for c in sharing.corrections):
                assert z == max(reads[number][k], Fraction(0))
            earlier = values[int(sharing.node[k])][int(sharing.place[k])] if sharing.node[k] else Fraction(0)
            w = reads[number][k]
            gain, through, shift = (Fraction(c[k]) for c in (sharing.gain, sharing.through, sharing.shift))
            claimed = gain * earlier + through * w + shift
            error = Fraction(sharing.gain_error[k]) * abs(earlier) + Fraction(sharing.through_error[k]) * abs(w)
            assert abs(claimed - z) <= error


def random_network(data: st.DataObject, size: int = 3) -> Network:
    """A graph in which many neurons read the same, the opposite, or multiples."""
    graph = Graph((size,))
    values = [0]
    small = st.sampled_from([-3.0, -1.5, -1.0, -0.5, 0.0, 0.3, 1.0, 2.0, 6.0])
    for _ in range(data.draw(st.integers(3, 9))):
        a, b = data.draw(st.sampled_from(values)), data.draw(st.sampled_from(values))
        kind = data.draw(st.sampled_from(["dense", "scale", "sum", "difference", "move", "join", "kind", "max", "min"]))
        if kind == "dense":
            row = st.lists(small, min_size=size, max_size=size)
            weight = np.array(data.draw(st.lists(row, min_size=size, max_size=size)))
            bias = data.draw(st.sampled_from([None, np.array([0.0, 1.0, -0.25])]))
            values.append(graph.add(Dense(weight, bias), a))
        elif kind == "scale":
            values.append(graph.add(Scale(data.draw(small), data.draw(st.sampled_from([0.0, 0.0, 0.7]))), a))
        elif kind in ("sum", "difference"):
            values.append(graph.add(Sum((1, 1 if kind == "sum" else -1)), a, b))
        elif kind == "move":
            order = data.draw(st.lists(st.integers(-1, size - 1), min_size=size, max_size=size))
            values.append(graph.add(Rearrange(np.array(order)), a))
        elif kind == "join":
            both = graph.add(Concat(0), a, b)
            order = data.draw(st.lists(st.integers(0, 2 * size - 1), min_size=size, max_size=size))
            values.append(graph.add(Rearrange(np.array(order)), both))
        elif kind == "kind":
            chosen = data.draw(st.sampled_from([relu(), relu(), leaky_relu(0.25), leaky_relu(0.1), absolute()]))
            values.append(graph.add(chosen, a))
        else:
            values.append((piecewise.maximum if kind == "max" else piecewise.minimum)(graph, a, b))
    return graph.network(values[-1])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_claim_holds_in_rational_arithmetic(data: st.DataObject) -> None:
    network = random_network(data)
    numbers = st.fractions(-4, 4, max_denominator=8)
    for _ in range(3):
        check_sharing(network, data.draw(st.lists(numbers, min_size=3, max_size=3)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_form_is_the_network(data: st.DataObject) -> None:
    network = random_network(data)
    points = np.array([[0.3, -1.2, 0.7], [2.0, 0.0, -5.0], [-0.1, 0.1, 0.4]])
    expected = network(points)
    scale = 1e-12 * (1 + np.abs(expected).max())
    np.testing.assert_allclose(network.stacked.evaluate(points), expected, atol=scale)
    np.testing.assert_allclose(network.unshared.evaluate(points), expected, atol=scale)
    assert network.stacked.reduced().neurons <= network.unshared.reduced().neurons


def both(kind: Activation, factor: float = -1.0) -> Network:
    """`(phi(x), phi(factor x))` on three inputs."""
    graph = Graph((3,))
    first = graph.add(kind, 0)
    second = graph.add(kind, graph.add(Scale(factor), 0))
    return graph.network(graph.add(Concat(0), first, second))


REFLECTED = sorted(name for name, kind in BY_NAME.items() if kind().reflection is not None)


@pytest.mark.parametrize("name", [*REFLECTED, "relu", "leaky_relu", "abs"])
def test_opposite_preactivations_are_one_neuron(name: str) -> None:
    network = both(BY_NAME[name]())
    assert network.stacked.reduced().neurons == 3
    points = np.random.default_rng(0).standard_normal((50, 3)) * 3
    np.testing.assert_allclose(network.stacked.evaluate(points), network(points), atol=1e-14)


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - set(REFLECTED) - {"relu", "leaky_relu", "abs"}))
def test_other_kinds_are_not(name: str) -> None:
    assert both(BY_NAME[name]()).stacked.reduced().neurons == 6


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_equal_preactivations_are_one_neuron_of_any_kind(name: str) -> None:
    network = both(BY_NAME[name](), 1.0)
    assert network.stacked.reduced().neurons == 3
    points = np.random.default_rng(0).standard_normal((50, 3)) * 3
    np.testing.assert_allclose(network.stacked.evaluate(points), network(points), atol=1e-14)


def test_multiples_count_for_relu_and_not_for_smooth_kinds() -> None:
    assert both(relu(), 3.0).stacked.reduced().neurons == 3
    assert both(leaky_relu(0.3), -0.7).stacked.reduced().neurons == 3
    assert both(BY_NAME["tanh"](), 2.0).stacked.reduced().neurons == 6


def test_kinds_that_bend_at_zero_go_through_one_another() -> None:
    graph = Graph((2,))
    parts = [graph.add(kind, 0) for kind in (relu(), leaky_relu(0.2), absolute())]
    network = graph.network(graph.add(Sum((1, 1, 1)), *parts))
    assert network.stacked.reduced().neurons == 2
    points = np.random.default_rng(0).standard_normal((50, 2))
    np.testing.assert_allclose(network.stacked.evaluate(points), network(points), atol=1e-14)


def test_parameters_distinguish() -> None:
    graph = Graph((2,))
    first, second = graph.add(clip(0.0, 1.0), 0), graph.add(clip(0.0, 2.0), 0)
    assert graph.network(graph.add(Sum((1, -1)), first, second)).stacked.reduced().neurons == 4
    slopes = leaky_relu(np.array([0.1, 0.2]))
    graph = Graph((2,))
    swapped = graph.add(slopes, graph.add(Rearrange(np.array([1, 0])), 0))
    network = graph.network(graph.add(Sum((1, -1)), graph.add(slopes, 0), swapped))
    points = np.random.default_rng(0).standard_normal((50, 2))
    np.testing.assert_allclose(network.stacked.evaluate(points), network(points), atol=1e-14)


def test_what_is_only_close_is_not_equal() -> None:
    weight = np.array([[0.3, 0.7]])
    near = np.nextafter(weight, 1.0)
    graph = Graph((2,))
    first, second = graph.add(relu(), graph.add(Dense(weight), 0)), graph.add(relu(), graph.add(Dense(near), 0))
    assert graph.network(graph.add(Sum((1, -1)), first, second)).stacked.reduced().neurons == 2


def test_coefficients_that_were_rounded_are_not_equal() -> None:
    graph = Graph((2,))
    thirds = [graph.add(relu(), graph.add(Scale(1 / 3, 0.0, 2.0**-53), 0)) for _ in range(2)]
    assert graph.network(graph.add(Sum((1, -1)), *thirds)).stacked.reduced().neurons == 4


@pytest.mark.parametrize("layer", ["dense", "convolution"])
def test_rows_of_both_signs(layer: str) -> None:
    """W and -W in one layer, as concatenated ReLU is written: one neuron a pair."""
    generator = np.random.default_rng(0)
    graph = Graph((2, 4, 4) if layer == "convolution" else (6,))
    if layer == "dense":
        weight = generator.standard_normal((5, 6))
        read = graph.add(Dense(np.concatenate([weight, -weight]), np.tile([0.5], 10) * np.repeat([1, -1], 5)), 0)
    else:
        kernel = generator.standard_normal((3, 2, 3, 3))
        read = graph.add(Conv2d(np.concatenate([kernel, -2 * kernel]), padding=(1, 1, 1, 1)), 0)
    network = graph.network(graph.add(relu(), read))
    assert network.stacked.reduced().neurons == (5 if layer == "dense" else 48)
    points = generator.standard_normal((5, *network.input_shape))
    expected = network(points).reshape(5, -1)
    np.testing.assert_allclose(network.stacked.evaluate(points.reshape(5, -1)), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [((2, 2), (2, 2), (1, 1, 1, 1), 4), ((3, 3), (3, 3), (1, 1, 1, 1), 4), ((3, 3), (3, 3), (1, 0, 2, 1), 5)],
)
def test_pooling_without_overlap_is_nonexpansive(kernel, stride, padding, size) -> None:
    graph = Graph((1, size, size))
    network = graph.network(piecewise.max_pool(graph, 0, kernel, stride, padding))
    windows = int(np.prod(network.output_shape))
    assert network.stacked.reduced().neurons <= size * size - windows + 1
    assert optimum(network.stacked) <= 1 + 1e-6
    points = np.random.default_rng(0).standard_normal((20, 1, size, size))
    np.testing.assert_allclose(
        network.stacked.evaluate(points.reshape(20, -1)), network(points).reshape(20, -1), atol=1e-14
    )


def test_a_maximum_of_maxima_lists_every_entry_once() -> None:
    graph = Graph((4,))
    a, b, c, d = (graph.add(Rearrange(np.array([k])), 0) for k in range(4))
    top = piecewise.maximum(graph, piecewise.maximum(graph, a, b), piecewise.maximum(graph, b, c))
    network = graph.network(piecewise.maximum(graph, top, piecewise.maximum(graph, d, a)))
    assert network.stacked.reduced().neurons == 3
    assert optimum(network.stacked) <= 1 + 1e-6


def test_maximum_and_minimum_of_public_code() -> None:
    generator, graph = np.random.default_rng(1), Graph((6,))
    value = 0
    for _ in range(4):
        value = graph.add(Dense(np.linalg.qr(generator.standard_normal((6, 6)))[0]), value)
        a, b = graph.add(Rearrange(np.arange(3)), value), graph.add(Rearrange(np.arange(3, 6)), value)
        value = graph.add(Concat(0), piecewise.maximum(graph, a, b), piecewise.minimum(graph, a, b))
    network = graph.network(value)
    assert network.stacked.reduced().neurons == 12
    assert network.unshared.reduced().neurons == 24
    assert optimum(network.stacked) <= 1 + 1e-5


def test_negated_maxima_and_twice_the_same_relu() -> None:
    graph = Graph((4,))
    a, b = graph.add(Rearrange(np.arange(2)), 0), graph.add(Rearrange(np.arange(2, 4)), 0)
    less = [graph.add(Scale(-1.0), v) for v in (a, b)]
    smallest = graph.add(Scale(-1.0), piecewise.maximum(graph, *less))
    network = graph.network(graph.add(Concat(0), piecewise.maximum(graph, a, b), smallest))
    assert network.stacked.reduced().neurons == 2
    graph = Graph((3,))
    network = graph.network(graph.add(relu(), graph.add(relu(), 0)))
    assert network.stacked.reduced().neurons == 3


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_sharing_never_loosens(data: st.DataObject) -> None:
    network = random_network(data)
    if not network.stacked.reduced().neurons:
        return
    shared, apart = optimum(network.stacked), optimum(network.unshared)
    assert shared <= apart * (1 + 1e-5) + 1e-9
