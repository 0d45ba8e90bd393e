"""Layers and activations against definitions that are written here anew, in NumPy, torch and mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from sdpcert import Network
from sdpcert.network import activations as act
from sdpcert.network.activations import Activation
from sdpcert.network.affine import Concat, Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise import householder, max_pool, maximum, maxmin, minimum, sorted_pairs
from sdpcert.network.piecewise_linear import Softshrink

Array = np.ndarray


def value(graph: Graph, output: int, inputs: Array) -> Array:
    return graph.network(output)(inputs)


# ---------------------------------------------------------------- activations


def _mp_gelu(v):
    return v * mpmath.ncdf(v)


def _mp_gelu_tanh(v):
    return v / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (v + mpmath.mpf("0.044715") * v**3)))


def _mp_silu(v):
    return v / (1 + mpmath.exp(-v))


def _mp_mish(v):
    return v * mpmath.tanh(mpmath.log1p(mpmath.exp(v)))


@pytest.mark.parametrize(
    ("activation", "function"),
    [(act.gelu(), _mp_gelu), (act.gelu_tanh(), _mp_gelu_tanh), (act.silu(), _mp_silu), (act.mish(), _mp_mish)],
    ids=["gelu", "gelu_tanh", "silu", "mish"],
)
def test_smooth_activations_have_their_extreme_slopes(activation: Activation, function) -> None:
    """Every zero of the second derivative, at 40 digits; the interval holds the extremes and is tight to 1e-5."""
    with mpmath.workdps(40):
        grid = [mpmath.mpf(k) / 8 for k in range(-96, 97)]
        curvature = [mpmath.diff(function, v, 2) for v in grid]
        extremes = []
        for (left, before), (right, after) in zip(
            zip(grid, curvature, strict=True), zip(grid[1:], curvature[1:], strict=True), strict=False
        ):
            if before * after <= 0 and abs(before) > mpmath.mpf("1e-12"):
                root = mpmath.findroot(
                    lambda v: mpmath.diff(function, v, 2), (left, right), solver="anderson", tol=1e-30
                )
                extremes.append(mpmath.diff(function, root))
        assert len(extremes) == 2
        low, high = min(extremes), max(extremes)
        assert activation.alpha <= low <= activation.alpha + 1e-5
        assert activation.beta - 1e-5 <= high <= activation.beta


def test_irrational_ends_are_rounded_outward() -> None:
    with mpmath.workdps(40):
        assert act.erf().beta >= 2 / mpmath.sqrt(mpmath.pi)
        selu = act.selu()
        assert selu.beta >= mpmath.mpf(1.0507009873554805) * mpmath.mpf(1.6732632423543772)


def test_slopes_per_channel() -> None:
    slopes = np.array([[[0.5]], [[-0.25]], [[3.0]]])
    activation = act.leaky_relu(slopes)
    values = np.random.default_rng(0).standard_normal((5, 3, 2, 2))
    np.testing.assert_array_equal(activation(values), np.where(values > 0, values, slopes * values))
    np.testing.assert_array_equal(np.ravel(activation.alpha), [0.5, -0.25, 1.0])
    np.testing.assert_array_equal(np.ravel(activation.beta), [1.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("activation", "value"),
    [(act.clip(0.25, 0.25), 0.25), (act.hard_sigmoid(0.0, 0.5), 0.5), (act.hard_sigmoid(0.0, 7.0), 1.0)],
)
def test_what_has_one_value_is_no_neuron(activation: Activation, value: float) -> None:
    graph = Graph((3,))
    network = graph.network(graph.add(activation, 0))
    x = np.random.default_rng(0).standard_normal((4, 3))
    assert network.neurons == 0 and np.all(network(x) == value) and np.all(network.stacked.evaluate(x) == value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: act.leaky_relu(float("nan")),
        lambda: act.celu(0.0),
        lambda: act.selu(-1.0, 1.0),
        lambda: act.clip(1.0, 0.0),
        lambda: Softshrink(-1.0),
        lambda: act.activation_by_name("softmax"),
    ],
)
def test_activations_without_meaning_are_refused(make) -> None:
    with pytest.raises(ValueError):
        make()


# ---------------------------------------------------------------- piecewise linear parts


def test_maximum_and_minimum() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 6))
    for build, define in ((maximum, np.maximum), (minimum, np.minimum)):
        graph = Graph((6,))
        a = graph.rearrange(0, lambda i: i[:3])
        b = graph.rearrange(0, lambda i: i[3:])
        output = build(graph, a, b)
        np.testing.assert_allclose(value(graph, output, x), define(x[:, :3], x[:, 3:]), atol=1e-15)
        assert graph.network(output).neurons == 3


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(("shape", "axis"), [((8,), 0), ((4, 3, 2), 0), ((3, 6), 1)])
def test_maxmin_sorts_neighbours(shape: tuple[int, ...], axis: int, ascending: bool) -> None:
    x = np.random.default_rng(3).standard_normal((40, *shape))
    graph = Graph(shape)
    output = maxmin(graph, 0, axis, ascending)
    moved = np.moveaxis(x, axis + 1, -1)
    pairs = np.sort(moved.reshape(*moved.shape[:-1], -1, 2), axis=-1)
    expected = (pairs if ascending else pairs[..., ::-1]).reshape(moved.shape)
    np.testing.assert_allclose(value(graph, output, x), np.moveaxis(expected, -1, axis + 1), atol=1e-15)
    assert graph.network(output).neurons == np.prod(shape) // 2


def test_maxmin_of_an_odd_number_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        maxmin(Graph((5,)), 0)


def test_sorted_pairs_leave_the_rest_and_must_be_disjoint() -> None:
    x = np.random.default_rng(4).standard_normal((30, 7))
    graph = Graph((7,))
    output = sorted_pairs(graph, 0, np.array([5, 0]), np.array([2, 6]))
    expected = x.copy()
    expected[:, 5], expected[:, 2] = np.minimum(x[:, 5], x[:, 2]), np.maximum(x[:, 5], x[:, 2])
    expected[:, 0], expected[:, 6] = np.minimum(x[:, 0], x[:, 6]), np.maximum(x[:, 0], x[:, 6])
    np.testing.assert_allclose(value(graph, output, x), expected, atol=1e-15)
    with pytest.raises(ValueError, match="disjoint"):
        sorted_pairs(graph, 0, np.array([0, 1]), np.array([1, 2]))
    with pytest.raises(ValueError, match="disjoint"):
        sorted_pairs(graph, 0, np.array([0, 1]), np.array([2]))


def test_householder_reflects_one_half_plane() -> None:
    rng = np.random.default_rng(5)
    x, angle = rng.standard_normal((200, 5)), np.array([0.7, -2.1])
    graph = Graph((5,))
    output = householder(graph, 0, np.array([0, 3]), np.array([4, 1]), angle)
    expected = x.copy()
    for theta, i, j in ((angle[0], 0, 4), (angle[1], 3, 1)):
        for row in range(len(x)):
            a, b = x[row, i], x[row, j]
            if a * np.sin(theta / 2) - b * np.cos(theta / 2) > 0:  # reflected at the line of angle theta / 2
                expected[row, i] = np.cos(theta) * a + np.sin(theta) * b
                expected[row, j] = np.sin(theta) * a - np.cos(theta) * b
    np.testing.assert_allclose(value(graph, output, x), expected, atol=1e-14)


def test_householder_of_a_right_angle_sorts() -> None:
    x = np.random.default_rng(6).standard_normal((100, 2))
    graph = Graph((2,))
    output = householder(graph, 0, np.array([0]), np.array([1]), np.array([np.pi / 2]))
    got = value(graph, output, x)
    np.testing.assert_allclose(np.sort(got, axis=1), np.sort(x, axis=1), atol=1e-14)
    assert np.all(got[:, 0] <= got[:, 1] + 1e-14)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [
        ((2, 2), (2, 2), 0, (1, 1)),
        ((3, 3), (2, 2), 1, (1, 1)),
        ((3, 2), (1, 2), (1, 0), (1, 1)),
        ((2, 3), (2, 1), (1, 1), (2, 1)),
        ((1, 5), (1, 1), (0, 2), (1, 1)),
    ],
)
def test_max_pool_is_torchs(kernel, stride, padding, dilation) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(7).standard_normal((20, 2, 7, 8))
    pads = (padding, padding) if isinstance(padding, int) else padding
    graph = Graph((2, 7, 8))
    output = max_pool(graph, 0, kernel, stride, (pads[0], pads[1], pads[0], pads[1]), dilation)
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), kernel, stride, padding, dilation).numpy()
    np.testing.assert_allclose(value(graph, output, x), expected, atol=1e-14)


def test_max_pool_windows_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        max_pool(Graph((1, 2, 2)), 0, (3, 3), (1, 1))
    with pytest.raises(ValueError, match="padding"):
        max_pool(Graph((1, 2, 2)), 0, (1, 1), (1, 1), (1, 1, 1, 1))


# ---------------------------------------------------------------- affine layers


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding", "dilation", "groups"),
    [
        ((3, 4), (3, 3), (1, 1), (1, 1), (1, 1), 1),
        ((4, 6), (2, 3), (2, 1), (0, 1), (1, 2), 2),
        ((5, 5), (3, 3), (2, 2), (1, 1), (1, 1), 5),
        ((1, 2), (4, 1), (3, 2), (2, 0), (2, 1), 1),
    ],
)
def test_convolution_is_torchs(channels, kernel, stride, padding, dilation, groups) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    x = rng.standard_normal((6, channels[0], 9, 8))
    weight = rng.standard_normal((channels[1], channels[0] // groups, *kernel))
    bias = rng.standard_normal(channels[1])
    layer = Conv2d(weight, bias, stride, (*padding, *padding), dilation, groups)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(bias), stride, padding, dilation, groups
    ).numpy()
    assert layer.output_shape(x.shape[1:]) == expected.shape[1:]
    np.testing.assert_allclose(layer(x), expected, atol=1e-13)


def test_convolution_with_uneven_padding() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(9)
    x, weight = rng.standard_normal((2, 1, 5, 5)), rng.standard_normal((2, 1, 3, 3))
    padded = torch.nn.functional.pad(torch.from_numpy(x), (0, 2, 1, 3))  # left, right, top, bottom
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(weight)).numpy()
    np.testing.assert_allclose(Conv2d(weight, None, (1, 1), (1, 0, 3, 2))(x), expected, atol=1e-13)


def test_layers_refuse_what_does_not_fit() -> None:
    for layer, shape in (
        (Dense(np.ones((2, 3))), (4,)),
        (Conv2d(np.ones((2, 3, 2, 2))), (2, 5, 5)),
        (Conv2d(np.ones((2, 3, 6, 6))), (3, 5, 5)),
        (Scale(np.ones((4, 1)), np.float64(0.0)), (1,)),
        (Rearrange(np.array([0, 5])), (4,)),
    ):
        with pytest.raises(ValueError):
            layer.output_shape(shape)
    with pytest.raises(ValueError):
        Sum().output_shape((2,), (3,))
    with pytest.raises(ValueError):
        Sum((1, 1, 1)).output_shape((2,), (2,))
    with pytest.raises(ValueError):
        Concat(0).output_shape((2, 2), (2, 3))


# ---------------------------------------------------------------- networks


def test_mlp_is_the_chain_of_its_layers() -> None:
    rng = np.random.default_rng(10)
    weights = [rng.standard_normal((b, a)) for a, b in ((3, 5), (5, 4), (4, 2))]
    biases = [rng.standard_normal(5), None, rng.standard_normal(2)]
    network = Network.mlp(weights, biases, "tanh")
    x = rng.standard_normal((7, 3))
    hidden = np.tanh(np.tanh(x @ weights[0].T + biases[0]) @ weights[1].T)
    np.testing.assert_allclose(network(x), hidden @ weights[2].T + biases[2], atol=1e-14)
    np.testing.assert_allclose(network(x[0]), network(x)[0], atol=1e-15)
    assert network.neurons == 9 and network.output_shape == (2,)


@pytest.mark.parametrize(
    ("weights", "biases"),
    [
        ([], None),
        ([np.ones((2, 3)), np.ones((2, 3))], None),
        ([np.ones((2, 3))], [np.ones(3)]),
        ([np.ones((2, 3))], [None, None]),
        ([np.ones((2, 0))], None),
        ([np.array([[np.nan]])], None),
        ([np.array([[np.inf]])], None),
        ([np.ones(3)], None),
        ([[["a"]]], None),
        ([np.ones((1, 1))], [np.array([np.inf])]),
    ],
)
def test_mlp_refuses_bad_weights(weights, biases) -> None:
    with pytest.raises(ValueError) as error:
        Network.mlp(weights, biases)
    assert "\n" not in str(error.value)


def test_inputs_of_the_wrong_shape_are_refused() -> None:
    network = Network.mlp([np.ones((2, 3))])
    with pytest.raises(ValueError, match="shape"):
        network(np.ones(4))
    with pytest.raises(ValueError, match="empty"):
        Graph((3, 0))


def test_the_public_names_of_the_folder() -> None:
    from sdpcert import network

    graph = network.Graph((2,))
    made = graph.network(graph.add(network.Dense(np.eye(2)), graph.add(network.relu(), 0)))
    assert isinstance(made, network.Network) and network.Network is Network
    np.testing.assert_array_equal(made(np.array([-1.0, 2.0])), [0.0, 2.0])


def test_space_to_depth_moves_the_pixels_of_cells_into_channels() -> None:
    graph = Graph((1, 2, 4))
    network = graph.network(graph.space_to_depth(0, 2))
    image = np.arange(8.0).reshape(1, 2, 4)
    np.testing.assert_array_equal(network(image), [[[0, 2]], [[1, 3]], [[4, 6]], [[5, 7]]])
    with pytest.raises(ValueError, match="2 x 4 pixels has no cells of 3 x 3"):
        graph.space_to_depth(0, 3)
