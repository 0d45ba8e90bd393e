"""The attained lower bound: exact ratios as a reference, adjoints, and what the search finds on graph and blocks."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network, certify, load
from sdpcert.attained import Attained, attained_lower_bound, evaluate_ratio
from sdpcert.network.activations import Activation, absolute, activation_by_name, clip, leaky_relu, relu
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Shape, Sum
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise import max_pool
from sdpcert.network.piecewise_linear import Softshrink

Array = np.ndarray
EXAMPLES = sorted((Path(__file__).parents[2] / "examples/networks").glob("*.onnx"))
SMALL = 2e8


# ---------------------------------------------------------------- adjoints


def convolution(rng: np.random.Generator) -> tuple[AffineLayer, list[Shape]]:
    groups, ins, outs = (int(k) for k in rng.integers(1, 4, 3))
    kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
    stride, dilation = (tuple(int(k) for k in rng.integers(1, 4, 2)) for _ in range(2))
    padding = tuple(int(k) for k in rng.integers(0, 5, 4))
    layer = Conv2d(
        rng.standard_normal((outs * groups, ins, *kernel)),
        rng.standard_normal(outs * groups),
        (stride[0], stride[1]),
        (padding[0], padding[1], padding[2], padding[3]),
        (dilation[0], dilation[1]),
        groups,
        0.0,
        bool(rng.integers(2)),
    )
    least = [max(1, d * (k - 1) + 1 - p) for d, k, p in zip(dilation, kernel, padding[:2], strict=True)]
    return layer, [(ins * groups, int(rng.integers(least[0], 9)), int(rng.integers(least[1], 9)))]


def layers(kind: str, rng: np.random.Generator) -> tuple[AffineLayer, list[Shape]]:
    shape = tuple(int(k) for k in rng.integers(1, 5, rng.integers(1, 4)))
    if kind == "conv":
        return convolution(rng)
    if kind == "dense":
        return Dense(rng.standard_normal((3, shape[-1])), rng.standard_normal(3)), [shape]
    if kind == "scale":
        return Scale(rng.standard_normal(shape if rng.integers(2) else shape[-1:]), 1.0), [shape]
    if kind == "rearrange":
        size, out = int(np.prod(shape)), tuple(int(k) for k in rng.integers(1, 5, 2))
        if rng.integers(2):
            return Rearrange(rng.permutation(size)), [shape]
        return Rearrange(rng.integers(-1, size, out)), [shape]
    if kind == "sum":
        count = int(rng.integers(1, 4))
        return Sum(tuple(int(s) for s in rng.choice([-1, 1], count))), [shape] * count
    axis = int(rng.integers(len(shape)))
    parts = [(*shape[:axis], int(k), *shape[axis + 1 :]) for k in rng.integers(1, 4, rng.integers(1, 4))]
    return Concat(axis), parts


@pytest.mark.parametrize("kind", ["conv", "dense", "scale", "rearrange", "sum", "concat"])
@given(seed=st.integers(0, 2**32 - 1))
def test_adjoint_is_the_transposed_map(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = layers(kind, rng)
    inputs = [rng.standard_normal((3, *shape)) for shape in shapes]
    output = rng.standard_normal((3, *layer.output_shape(*shapes)))
    back = layer.adjoint(output, *shapes)
    assert [b.shape for b in back] == [x.shape for x in inputs]
    image = layer.linear(*inputs)
    for k in range(3):
        forward = float(np.vdot(image[k], output[k]))
        assert forward == pytest.approx(sum(float(np.vdot(x[k], b[k])) for x, b in zip(inputs, back)), abs=1e-9)


# ---------------------------------------------------------------- the ratio of a pair


def exact_outputs(network: Network, x: Array) -> list[Fraction]:
    """The outputs of a piecewise linear network in rational arithmetic, with NumPy on arrays of fractions."""
    values = [np.array([Fraction(float(a)) for a in x], dtype=object).reshape(network.input_shape)]
    for node in network.nodes:
        values.append(exact_layer(node.layer, [values[k] for k in node.inputs]))
    return list(values[network.output].ravel())


def exact(array: Array | float) -> Array:
    return np.vectorize(lambda a: Fraction(float(a)), otypes=[object])(array)


def exact_layer(layer: AffineLayer | Activation, given: list[Array]) -> Array:
    if isinstance(layer, Dense):
        return given[0] @ exact(layer.weight).T + exact(layer.offset())
    if isinstance(layer, Scale):
        return given[0] * exact(layer.factor) + exact(layer.shift)
    if isinstance(layer, Rearrange):
        padded = np.append(given[0].ravel(), exact(0.0))
        return padded[layer.indices]
    if isinstance(layer, Sum):
        return sum(s * g for s, g in zip(layer.signs, given))  # type: ignore[return-value]
    if isinstance(layer, Concat):
        return np.concatenate(given, axis=layer.axis)
    if isinstance(layer, Conv2d):
        matrix = unrolled(layer, given[0].shape)
        shape = layer.output_shape(given[0].shape)
        return (exact(matrix) @ given[0].ravel()).reshape(shape) + exact(layer.offset())
    assert isinstance(layer, Activation)
    if isinstance(layer, Softshrink):
        return given[0] - np.minimum(np.maximum(given[0], Fraction(-1, 2)), Fraction(1, 2))  # type: ignore[arg-type]
    if layer.name == "clip":
        return np.minimum(np.maximum(given[0], Fraction(-1)), Fraction(1))  # type: ignore[arg-type]
    slope = exact(layer.derivative(-np.ones(given[0].shape)))
    return np.where(given[0] > 0, given[0], slope * given[0])


def unrolled(layer: AffineLayer, shape: Shape) -> Array:
    """The matrix of a layer: unit vectors are mapped without rounding."""
    size = int(np.prod(shape))
    return layer.linear(np.eye(size).reshape(size, *shape)).reshape(size, -1).T


def exact_square(network: Network, x: Array, x_prime: Array) -> Fraction:
    outputs = zip(exact_outputs(network, x), exact_outputs(network, x_prime), strict=True)
    distance = sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, x_prime))
    return sum(((a - b) ** 2 for a, b in outputs), start=Fraction(0)) / distance


def piecewise_network(seed: int) -> Network:
    """A small image network with a convolution, a skip, pooling, a concatenation and two dense layers."""
    rng = np.random.default_rng(seed)
    kinds = [
        relu(),
        leaky_relu(-0.3),
        absolute(),
        clip(-1.0, 1.0),
        Softshrink(),
        leaky_relu(np.array([0.1, 0.2]).reshape(2, 1, 1)),
    ]
    first, second = (kinds[int(k)] for k in rng.integers(len(kinds), size=2))
    graph = Graph((1, 3, 4))
    value = graph.add(Scale(rng.uniform(0.5, 2, (1, 1, 1)), rng.standard_normal((1, 1, 1))), 0)
    kernel = rng.standard_normal((2, 1, 2, 2))
    conv = Conv2d(kernel, rng.standard_normal(2), (1, 1), (1, 0, 0, 1), circular=bool(rng.integers(2)))
    image = graph.add(conv, value)
    value = graph.add(first, image)
    value = graph.add(Sum((1, -1)), graph.add(second, graph.add(Scale(rng.standard_normal((2, 1, 1))), value)), image)
    if rng.integers(2):
        value = max_pool(graph, value, (2, 2), (1, 1))
    value = graph.add(Concat(0), value, graph.add(relu(), value))
    flat = graph.rearrange(value, np.ravel)
    size = graph.shape(flat)[0]
    hidden = graph.add(kinds[0], graph.add(Dense(rng.standard_normal((4, size)), rng.standard_normal(4)), flat))
    return graph.network(graph.add(Dense(rng.standard_normal((2, 4))), hidden))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), digits=st.integers(-12, 2), centre=st.integers(-3, 8))
def test_ratio_is_below_the_exact_one_and_near_it(seed: int, digits: int, centre: int) -> None:
    rng = np.random.default_rng(seed)
    network = piecewise_network(seed)
    x = rng.standard_normal(12) * 10.0**centre
    x_prime = x + 10.0 ** (digits + centre) * rng.standard_normal(12)
    square = exact_square(network, x, x_prime) if np.any(x != x_prime) else Fraction(0)
    assert Fraction(evaluate_ratio(network, x, x_prime)) ** 2 <= square
    # merging layers into blocks rounds weights: there the bound is one of the blocks
    assert evaluate_ratio(network.stacked, x, x_prime) ** 2 <= float(square) * (1 + 1e-9) + 1e-12
    if digits >= -6:
        assert evaluate_ratio(network, x, x_prime) ** 2 >= float(square) * (1 - 1e-6) - 1e-12


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
@pytest.mark.parametrize("distance", [1.0, 1e-4, 1e-8])
def test_graph_and_blocks_agree_on_a_pair(path: Path, distance: float) -> None:
    network = load(path)
    rng = np.random.default_rng(2)
    x = rng.standard_normal(int(np.prod(network.input_shape)))
    x_prime = x + distance * rng.standard_normal(len(x))
    graph, blocks = evaluate_ratio(network, x, x_prime), evaluate_ratio(network.stacked, x, x_prime)
    assert graph == pytest.approx(blocks, rel=1e-9)
    chosen = evaluate_ratio(network, x, x_prime, [3, 0])
    assert chosen == pytest.approx(evaluate_ratio(network.stacked, x, x_prime, [3, 0]), rel=1e-9)
    assert chosen < graph


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "elu", "softplus", "hard_swish"])
def test_smooth_activations_agree_with_the_blocks(name: str) -> None:
    rng = np.random.default_rng(5)
    network = Network.mlp(
        [rng.standard_normal((5, 4)), rng.standard_normal((3, 5))], [rng.standard_normal(5), None], name
    )
    x, x_prime = rng.standard_normal((2, 4))
    ratio = evaluate_ratio(network, x, x_prime)
    outputs = network(np.stack([x, x_prime]))
    assert ratio == pytest.approx(np.linalg.norm(outputs[0] - outputs[1]) / np.linalg.norm(x - x_prime), rel=1e-11)
    assert ratio == pytest.approx(evaluate_ratio(network.stacked, x, x_prime), rel=1e-11)


def test_close_pairs_do_not_cancel() -> None:
    """Far from the origin and close together: the difference is carried, so its error stays relative to itself."""
    rng = np.random.default_rng(0)
    network = Network.mlp([rng.standard_normal((8, 6)), rng.standard_normal((4, 8))])
    x = 1e6 * rng.standard_normal(6)
    x_prime = x + 1e-9 * np.maximum(np.abs(x), 1) * rng.standard_normal(6)
    exact_ratio = float(exact_square(network, x, x_prime)) ** 0.5
    assert exact_ratio * (1 - 1e-13) <= evaluate_ratio(network, x, x_prime) <= exact_ratio * (1 + 1e-15)


@pytest.mark.parametrize("kind", ["conv", "dense", "scale", "rearrange", "sum", "concat"])
@given(seed=st.integers(0, 2**32 - 1))
def test_norms_of_layers_are_bounded(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = layers(kind, rng)
    for k, shape in enumerate(shapes):
        size = int(np.prod(shape))
        given = [np.zeros((size, *s)) for s in shapes]
        given[k] = np.eye(size).reshape(size, *shape)
        matrix = layer.linear(*given).reshape(size, -1)
        assert float(np.linalg.norm(matrix, 2)) <= layer.norm_bound(shape) * (1 + 1e-12)


def test_wide_and_deep_networks_keep_a_bound() -> None:
    """Six layers of width 256: errors grow by the norms of the layers, not of their absolute values."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((256, 256)) / 16 for _ in range(6)]
    network = Network.mlp(weights)
    x, step = rng.standard_normal((2, 256))
    outputs = network(np.stack([x, x + 1e-3 * step]))
    ratio = np.linalg.norm(outputs[0] - outputs[1]) / np.linalg.norm(1e-3 * step)
    assert ratio * (1 - 1e-7) <= evaluate_ratio(network, x, x + 1e-3 * step) <= ratio * (1 + 1e-11)


def test_uncertain_coefficients_are_charged() -> None:
    weight = np.array([[3.0, 4.0]])
    x, zero = np.array([0.6, 0.8]), np.zeros(2)
    certain, uncertain = (
        evaluate_ratio(graph.network(graph.add(Dense(weight, None, error), 0)), x, zero)
        for graph, error in ((Graph((2,)), 0.0), (Graph((2,)), 1e-3))
    )
    assert certain == pytest.approx(5.0, rel=1e-14)
    assert certain <= 5.0
    assert 5.0 * (1 - 1.001e-3) < uncertain <= 5.0 * (1 - 1e-3)


def test_bad_pairs_give_zero_and_bad_arguments_raise() -> None:
    network = Network.mlp([np.eye(2) * 1e200, np.eye(2) * 1e200])
    good = np.array([1.0, 2.0])
    assert evaluate_ratio(network, good, good) == 0
    assert evaluate_ratio(network, good, 0 * good) == 0  # overflow on the way
    for bad in (np.inf, -np.inf, np.nan):
        assert evaluate_ratio(network, good, np.array([bad, 0.0])) == 0
    with pytest.raises(ValueError, match="reads 2 numbers"):
        evaluate_ratio(network, good, np.zeros(3))
    with pytest.raises(ValueError, match="row 2 does not exist"):
        evaluate_ratio(network, good, -good, [2])
    with pytest.raises(ValueError, match="no output row"):
        attained_lower_bound(network, output_rows=[])


# ---------------------------------------------------------------- the search


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_graph_search_finds_what_the_blocks_give(path: Path) -> None:
    network = load(path)
    stacked = attained_lower_bound(network.stacked)
    graph = attained_lower_bound(network, operations=2e10)
    assert graph.lower >= 0.98 * stacked.lower
    assert graph.lower == evaluate_ratio(network, graph.x, graph.x_prime, repeatable=True)


def test_never_above_a_proved_bound() -> None:
    for path in EXAMPLES:
        network = load(path)
        certificate = certify(network, method="layer")
        attained = attained_lower_bound(network, operations=2e9)
        assert 0 < attained.lower <= certificate.upper


def test_chosen_outputs() -> None:
    network = load(EXAMPLES[0])
    blocks = attained_lower_bound(network.stacked, operations=2e9, output_rows=[7, 2])
    graph = attained_lower_bound(network, operations=2e10, output_rows=[7, 2])
    assert graph.lower == evaluate_ratio(network, graph.x, graph.x_prime, [7, 2], repeatable=True)
    assert graph.lower >= 0.95 * blocks.lower
    assert graph.lower <= certify(network, method="layer", output_rows=[7, 2]).upper


def same(first: Attained, second: Attained) -> bool:
    pairs = ((first.x, second.x), (first.x_prime, second.x_prime))
    return first.lower == second.lower and all(np.array_equal(a, b) for a, b in pairs)


def test_same_seed_same_pair() -> None:
    network = piecewise_network(7)
    search = partial(attained_lower_bound, network, operations=SMALL)
    assert same(search(seed=3), search(seed=3))
    assert not same(search(seed=3), search(seed=4))


@pytest.mark.parametrize("seed", range(6))
def test_search_is_sound_on_exact_networks(seed: int) -> None:
    network = piecewise_network(seed)
    found = attained_lower_bound(network, operations=SMALL)
    assert 0 < Fraction(found.lower) ** 2 <= exact_square(network, found.x, found.x_prime)


def test_constant_networks_attain_nothing() -> None:
    zero = Network.mlp([np.zeros((3, 2)), np.ones((1, 3))], [np.ones(3), None])
    assert attained_lower_bound(zero, operations=SMALL).lower == 0
    dead = Network.mlp([np.zeros((3, 2))], [np.ones(3)])
    assert attained_lower_bound(dead, operations=SMALL).lower == 0


@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e100])
def test_affine_networks_attain_their_norm(scale: float) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 6)) * scale
    norm = np.linalg.norm(weight / scale, 2) * scale
    assert attained_lower_bound(Network.mlp([weight]), operations=SMALL).lower == pytest.approx(norm, rel=1e-12)
    graph = Graph((1, 5, 5))
    network = graph.network(graph.add(Conv2d(np.ones((1, 1, 3, 3)), padding=(1, 1, 1, 1), circular=True), 0))
    assert attained_lower_bound(network, operations=SMALL).lower == pytest.approx(9.0, rel=1e-12)


def test_the_identity_and_nodes_that_are_not_read() -> None:
    graph = Graph((3,))
    graph.add(relu(), graph.add(Dense(np.ones((2, 3))), 0))
    assert attained_lower_bound(graph.network(0), operations=SMALL).lower == pytest.approx(1.0, rel=1e-12)
    value = graph.add(Dense(np.diag([1.0, 2.0, 3.0])), 0)
    assert attained_lower_bound(graph.network(value), operations=SMALL).lower == pytest.approx(3.0, rel=1e-12)
    twice = graph.add(Sum((1, -1)), value, value)
    assert attained_lower_bound(graph.network(twice), operations=SMALL).lower == 0


def test_overflowing_weights_are_harmless() -> None:
    network = Network.mlp([np.eye(3) * 1e300, np.eye(3) * 1e300])
    assert attained_lower_bound(network, operations=SMALL).lower >= 0


def test_linear_activations_are_no_neurons() -> None:
    graph = Graph((3,))
    value = graph.add(activation_by_name("relu"), graph.add(Dense(np.eye(3)), 0))
    value = graph.add(leaky_relu(1.0), value)
    assert attained_lower_bound(graph.network(value), operations=SMALL).lower == pytest.approx(1.0, rel=1e-9)


# ---------------------------------------------------------------- trained networks

SHARED = {
    "onnx/oval21_cifar_base_kw.onnx": 1.58135,
    "onnx/cifar10_resnet_2b.onnx": 3.21295,
    "glipsdp_scalability/cnn_C3_CH8.onnx": 2.11337,
    "onnx/verivital_convnet_avgpool.onnx": 39.8135,
}


@pytest.mark.parametrize("name", SHARED)
def test_trained_convolutions_attain_what_was_sampled(shared_networks: Path, name: str) -> None:
    """More than the largest gradient on the data; a part of the default search is enough."""
    network = load(shared_networks / name)
    assert attained_lower_bound(network, operations=2e10).lower >= SHARED[name]


@pytest.mark.slow
def test_deep_trained_convolutions(shared_networks: Path) -> None:
    network = load(shared_networks / "glipsdp_scalability/cnn_C9_CH16.onnx")
    assert attained_lower_bound(network).lower >= 16.1989
