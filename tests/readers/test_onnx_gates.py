"""Activations that files write out as products, and those that are new: values, slopes, refusals."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx_models import agrees, model, refused, save

from sdpcert import certify
from sdpcert.network.activations import Activation, cos, sin
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.graph import Network
from sdpcert.readers import load

node = helper.make_node
f = np.float32


def slopes_of(network: Network) -> tuple[float, float]:
    """The smallest and largest slope of an elementwise network on a fine grid."""
    x = np.linspace(-12, 12, 200_001)[:, None] * np.ones(network.input_shape)
    slopes = np.diff(network(x)[:, 0]) / np.diff(x[:, 0])
    return float(slopes.min()), float(slopes.max())


def activations_of(network: Network) -> list[str]:
    return [n.layer.name for n in network.nodes if isinstance(n.layer, Activation)]


def proved(network: Network) -> float:
    """The bound of one entry, and that it is above every slope."""
    low, high = slopes_of(network)
    certificate = certify(network)
    assert certificate.status == "proved" and certificate.upper >= max(-low, high) - 1e-9
    return certificate.upper


def sigmoid(beta: float, *more: Any) -> tuple[list[Any], dict[str, Any]]:
    return [node("Mul", ["x", "beta"], ["s"]), node("Sigmoid", ["s"], ["g"]), *more], {"beta": f(beta)}


@pytest.mark.parametrize("beta", [1.702, 0.5, -1.3, 4.0, 1.0])
@pytest.mark.parametrize("order", [("x", "g"), ("g", "x")])
def test_swish_written_out(beta, order, tmp_path):
    """`x sigmoid(beta x)` has the slopes of SiLU for every beta."""
    nodes, constants = sigmoid(beta, node("Mul", list(order), ["y"]))
    network = agrees(model(nodes, (1, 2), constants), tmp_path)
    assert activations_of(network) == ["silu"]
    assert proved(network) < 1.09985


def test_swish_with_factors_around_it(tmp_path):
    nodes, constants = sigmoid(1.7, node("Mul", ["g", "p"], ["q"]), node("Mul", ["x", "h"], ["t"]))
    nodes.append(node("Mul", ["q", "t"], ["y"]))
    network = agrees(model(nodes, (1, 2), constants | {"p": f(0.3), "h": f(3.0)}), tmp_path)
    assert activations_of(network) == ["silu"] and proved(network) < 0.9 * 1.09985


def test_swish_of_a_scaled_value(tmp_path):
    """The factor of what is gated belongs to x: `(2 x) sigmoid(2 x)`."""
    nodes = [node("Mul", ["x", "two"], ["t"]), node("Sigmoid", ["t"], ["g"]), node("Mul", ["t", "g"], ["y"])]
    network = agrees(model(nodes, (1, 2), {"two": f(2)}), tmp_path)
    assert activations_of(network) == ["silu"] and proved(network) < 2 * 1.09985


@pytest.mark.parametrize(
    ("operator", "domain", "attributes"),
    [("QuickGelu", "com.microsoft", {}), ("QuickGelu", "com.microsoft", {"alpha": 0.7}), ("Gelu", "com.microsoft", {})],
)
def test_operators_of_onnxruntime(operator, domain, attributes, tmp_path):
    proto = model([node(operator, ["x"], ["y"], domain=domain, **attributes)], (1, 3))
    proto.opset_import.append(helper.make_opsetid(domain, 1))
    assert proved(agrees(proto, tmp_path)) < 1.13


@pytest.mark.parametrize("alpha", [None, 1.0, 1.702, -0.5, 0.0])
def test_swish_of_the_standard(alpha, tmp_path):
    if onnx.defs.onnx_opset_version() < 24:
        pytest.skip("this onnx has no Swish")
    attributes = {} if alpha is None else {"alpha": alpha}
    network = load(save(model([node("Swish", ["x"], ["y"], **attributes)], (1, 3), opset=24), tmp_path))
    x = np.linspace(-5, 5, 12).reshape(4, 3)
    beta = float(f(1.0 if alpha is None else alpha))
    np.testing.assert_allclose(network(x), x / (1 + np.exp(-beta * x)), rtol=1e-12)


def hard_swishes():
    clip = [node("Add", ["x", "three"], ["s"]), node("Clip", ["s", "zero", "six"], ["c"])]
    clamps = [node("Add", ["x", "three"], ["s"]), node("Relu", ["s"], ["r"]), node("Min", ["r", "six"], ["c"])]
    maxmin = [node("Add", ["x", "three"], ["s"]), node("Max", ["s", "zero"], ["r"]), node("Min", ["r", "six"], ["c"])]
    for gate in (clip, clamps, maxmin):
        yield [*gate, node("Mul", ["x", "c"], ["m"]), node("Div", ["m", "six"], ["y"])]
        yield [*gate, node("Div", ["c", "six"], ["d"]), node("Mul", ["d", "x"], ["y"])]
        yield [*gate, node("Mul", ["c", "sixth"], ["d"]), node("Mul", ["x", "d"], ["y"])]
        yield [*gate, node("Div", ["x", "six"], ["d"]), node("Mul", ["d", "c"], ["y"])]
    scaled = [
        node("Mul", ["x", "two"], ["t"]),
        node("Add", ["t", "three"], ["s"]),
        node("Clip", ["s", "zero", "six"], ["c"]),
    ]
    yield [*scaled, node("Mul", ["x", "c"], ["m"]), node("Div", ["m", "six"], ["y"])]
    yield [node("HardSigmoid", ["x"], ["c"], alpha=0.2, beta=0.5), node("Mul", ["x", "c"], ["y"])]
    yield [node("HardSigmoid", ["x"], ["c"], alpha=-0.3, beta=0.5), node("Mul", ["c", "x"], ["y"])]


@pytest.mark.parametrize("nodes", list(hard_swishes()))
def test_hard_swish_written_out(nodes, tmp_path):
    constants = {"three": f(3), "zero": f(0), "six": f(6), "sixth": f(1 / 6), "two": f(2)}
    network = agrees(model(nodes, (1, 2), constants), tmp_path)
    assert activations_of(network) == ["hard_swish"]
    assert proved(network) <= 1.5 * (1 + 1e-5)


@pytest.mark.parametrize(
    "gate",
    [
        [node("Add", ["x", "a"], ["s"]), node("Sigmoid", ["s"], ["g"])],
        [node("Sigmoid", ["x"], ["s"]), node("Add", ["s", "a"], ["g"])],
        [node("Add", ["x", "a"], ["s"]), node("Clip", ["s", "zero", "six"], ["g"])],
        [node("Clip", ["x", "zero", "six"], ["g"])],
        [node("Neg", ["x"], ["s"]), node("Relu", ["s"], ["g"])],
        [node("Mul", ["x", "zero"], ["s"]), node("Sigmoid", ["s"], ["g"])],
    ],
)
def test_other_products_are_refused_for_a_true_reason(gate, tmp_path):
    nodes = [*gate, node("Mul", ["x", "g"], ["y"], "gate")]
    path = save(model(nodes, (1, 2), {"a": f(1), "zero": f(0), "six": f(6)}), tmp_path)
    refused(path, "operator Mul", "'gate'", "no x g(x) that is known")


def quarters(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).filter(bool).map(lambda k: k / 4)


@given(
    low=quarters(-8, 8),
    height=quarters(1, 12),
    inner=quarters(-8, 8),
    between=quarters(-8, 8),
    outer=quarters(-8, 8),
    turned=st.booleans(),
    off=st.sampled_from([0.0, 0.25]),
)
@settings(max_examples=60, deadline=None)
def test_chains_of_clamps(low, height, inner, between, outer, turned, off, tmp_path_factory):
    """`h x (k clip(c x + m, l, u) - k l)`, or with u for l: a hard swish where m is the middle, else refused."""
    high = low + height
    constants = {
        "inner": inner,
        "middle": low + height / 2 + off,
        "low": low,
        "between": between,
        "high": between * high,
        "zero": between * (high if turned else low),
        "outer": outer,
    }
    nodes = [
        node("Mul", ["x", "inner"], ["a"]),
        node("Add", ["a", "middle"], ["b"]),
        node("Max", ["b", "low"], ["c"]),
        node("Mul", ["c", "between"], ["d"]),
        node("Min" if between > 0 else "Max", ["d", "high"], ["e"]),
        node("Sub", ["e", "zero"], ["g"]),
        node("Mul", ["g", "outer"], ["h"]),
        node("Mul", ["h", "x"], ["y"], "gate"),
    ]
    proto = model(nodes, (1, 2), {name: f(value) for name, value in constants.items()})
    folder = tmp_path_factory.mktemp("chain")
    if off:
        refused(save(proto, folder), "operator Mul", "'gate'", "no x g(x) that is known")
        return
    network = agrees(proto, folder)
    assert activations_of(network) == ["hard_swish"]
    x = np.linspace(-60, 60, 4001)[:, None] * np.ones(2)
    gate = between * outer * (np.clip(inner * x + constants["middle"], low, high) - (high if turned else low))
    np.testing.assert_allclose(network(x), x * gate, rtol=1e-12, atol=1e-10)
    steepest = 1.5 * height * abs(between * outer)
    assert steepest <= certify(network, method="neuron").upper <= steepest * (1 + 1e-4)


def test_factors_out_of_range_are_refused(tmp_path):
    """What underflows is no factor of zero, for one number and for one a channel."""
    two = np.asarray(2.0)
    for small in (np.float64(1e-200), np.full((1, 2), 1e-200) * [[1.0, 2.0]]):
        nodes = [
            node("Mul", ["x", "small"], ["t"]),
            node("Mul", ["x", "two"], ["u"]),
            node("Sigmoid", ["u"], ["s"]),
            node("Mul", ["s", "small"], ["g"]),
            node("Mul", ["t", "g"], ["y"], "gate"),
        ]
        stored = {
            "small": numpy_helper.from_array(np.asarray(small), "small"),
            "two": numpy_helper.from_array(two, "two"),
        }
        path = save(model(nodes, (1, 2), stored, kind=onnx.TensorProto.DOUBLE), tmp_path)
        refused(path, "'gate'", "range of floats")


@pytest.mark.parametrize(("operator", "make"), [("Sin", sin), ("Cos", cos)])
def test_sine_and_cosine(operator, make, tmp_path):
    network = agrees(model([node(operator, ["x"], ["y"])], (1, 3)), tmp_path)
    low, high = slopes_of(network)
    kind = make()
    assert kind.alpha == -1 <= low < -0.999 and 0.999 < high <= kind.beta == 1
    x = np.linspace(-4, 4, 101)
    np.testing.assert_allclose(kind.derivative(x), (kind(x + 1e-6) - kind(x - 1e-6)) / 2e-6, atol=1e-8)


def test_shrinking(tmp_path):
    for end in (0.5, 1.25, 0.0):
        network = agrees(model([node("Shrink", ["x"], ["y"], lambd=end, bias=end)], (1, 3)), tmp_path)
        assert proved(network) <= 1 + 1e-6 and network.neurons == (3 if end else 0)
    path = save(model([node("Shrink", ["x"], ["y"], lambd=0.5, bias=0.5)], (1, 3)), tmp_path)
    with earlier_rules():
        network = load(path)
    assert activations_of(network) == ["clip"] and proved(network) <= 1 + 1e-6
    for lambd, bias in ((0.5, 0.0), (0.5, 0.25), (-1.0, -1.0)):
        proto = model([node("Shrink", ["x"], ["y"], "hard", lambd=lambd, bias=bias)], (1, 3))
        refused(save(proto, tmp_path), "Shrink", "'hard'", "jumps")


def test_thresholds_and_powers_that_do_not_jump(tmp_path):
    network = agrees(model([node("ThresholdedRelu", ["x"], ["y"], alpha=0.0)], (1, 3)), tmp_path)
    assert activations_of(network) == ["relu"]
    agrees(model([node("Pow", ["x", "p"], ["y"])], (1, 3), {"p": f(1)}), tmp_path)


def test_a_clamp_to_one_number_is_constant(tmp_path):
    nodes = [node("Clip", ["x", "a", "a"], ["c"]), node("Relu", ["x"], ["r"]), node("Add", ["c", "r"], ["y"])]
    network = agrees(model(nodes, (1, 3), {"a": f(2)}), tmp_path)
    assert network.neurons == 3
    constant = agrees(model(nodes[:1], (1, 3), {"a": f(2)}, output="c"), tmp_path)
    assert constant.neurons == 0 and certify(constant).upper <= 1e-6
    refused(save(model(nodes[:1], (1, 3), {"a": f(np.inf)}, output="c"), tmp_path), "Clip", "infinite")


def test_reasons(tmp_path):
    for operator, word in (
        ("Log", "slope"),
        ("Tan", "slope"),
        ("Round", "jumps"),
        ("Hardmax", "jumps"),
        ("Det", "read"),
    ):
        refused(save(model([node(operator, ["x"], ["y"])], (1, 3, 3)), tmp_path), operator, word)
    nodes = [node("Log", ["c"], ["l"], "log"), node("Mul", ["x", "l"], ["y"])]
    refused(save(model(nodes, (1, 3), {"c": f(2)}), tmp_path), "'log'", "constants")
