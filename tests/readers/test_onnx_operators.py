"""Every operator that is read, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import agrees, constant, model, refused, save

from sdpcert.readers import load

node = helper.make_node
R = np.random.default_rng(0)


def w(*shape):
    return R.standard_normal(shape)


def one(operator, shape, constants=None, opset=17, outputs=("y",), **attributes: Any):
    """A model of one node that reads x and the constants in order."""
    return model([node(operator, ["x", *(constants or {})], list(outputs), "n", **attributes)], shape, constants, opset)


ACTIVATIONS = [
    ("Relu", {}),
    ("LeakyRelu", {}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("LeakyRelu", {"alpha": 1.5}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("Elu", {}),
    ("Elu", {"alpha": 1.7}),
    ("Selu", {}),
    ("Selu", {"alpha": 1.2, "gamma": 1.1}),
    ("Celu", {}),
    ("Celu", {"alpha": 0.5}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.1, "beta": 0.6}),
    ("HardSwish", {}),
    ("Erf", {}),
    ("Abs", {}),
    ("Neg", {}),
    ("Identity", {}),
    ("Atan", {}),
]


@pytest.mark.parametrize(("operator", "attributes"), ACTIVATIONS)
def test_activation(operator, attributes, tmp_path):
    network = agrees(one(operator, (1, 3, 4), **attributes), tmp_path)
    x = np.random.default_rng(1).standard_normal((400, 3, 4)) * 3
    a, b = network(x), network(x[::-1])
    slopes = ((a - b) / (x - x[::-1]))[np.abs(x - x[::-1]) > 1e-6]
    if network.nodes:
        layer = network.nodes[0].layer
        low, high = (layer.alpha, layer.beta) if hasattr(layer, "alpha") else (-1.0, -1.0)  # type: ignore[union-attr]
        assert slopes.min() >= low - 1e-9 and slopes.max() <= high + 1e-9


def test_newer_activations(tmp_path):
    for approximate in ("none", "tanh"):
        agrees(one("Gelu", (1, 5), opset=20, approximate=approximate), tmp_path)
    agrees(one("Mish", (1, 5), opset=18), tmp_path)


@pytest.mark.parametrize("slope", [[0.25], [[[0.1]], [[0.2]], [[-0.3]]], [[[[0.5, -0.5, 2.0, 0.0]]]]])
def test_prelu(slope, tmp_path):
    agrees(one("PRelu", (1, 3, 2, 4), {"s": np.array(slope)}), tmp_path)


@pytest.mark.parametrize(
    ("opset", "ends", "attributes"),
    [(6, {}, {"min": -1.0, "max": 2.0}), (6, {}, {"min": 0.0}), (6, {}, {})]
    + [(13, e, {}) for e in ({"a": np.float32(-1), "b": np.float32(1.5)}, {"a": np.float32(0)}, {})],
)
def test_clip(opset, ends, attributes, tmp_path):
    network = agrees(one("Clip", (1, 6), ends, 7 if opset == 6 else opset, **attributes), tmp_path)
    if len(ends) + len(attributes) == 1:
        assert network.nodes[-1].layer.name in ("relu", "clip")  # type: ignore[union-attr]


def test_clip_without_lower_end(tmp_path):
    agrees(model([node("Clip", ["x", "", "b"], ["y"])], (1, 6), {"b": np.float32(0.5)}), tmp_path)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (1, 3, 4), (2, 3, 4), (1, 1, 3, 4), (5, 1, 1, 1)])
def test_elementwise_with_constants(operator, first, shape, tmp_path):
    if operator == "Div" and not first:
        return  # a division by the input is refused elsewhere
    c = np.asarray(w(*shape))
    c = np.sign(c) * (np.abs(c) + 0.5)
    names = ["x", "c"] if first else ["c", "x"]
    agrees(model([node(operator, names, ["y"])], (1, 3, 4), {"c": c}), tmp_path)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Max", "Min", "Sum", "Mean"])
def test_elementwise_of_two_branches(operator, tmp_path):
    nodes = [node("Relu", ["x"], ["r"]), node("ReduceSum", ["x", "k"], ["s"]), node(operator, ["r", "s"], ["y"])]
    agrees(model(nodes, (1, 3, 4), {"k": np.array([1])}), tmp_path)


@pytest.mark.parametrize("operator", ["Sum", "Mean", "Max", "Min"])
def test_many_operands(operator, tmp_path):
    nodes = [node("Neg", ["x"], ["n"]), node("Tanh", ["x"], ["t"]), node(operator, ["x", "c", "n", "t", "d"], ["y"])]
    agrees(model(nodes, (1, 3, 4), {"c": w(4), "d": w(3, 1)}), tmp_path)


@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1, 1), ()])
def test_gemm(ta, tb, bias, tmp_path):
    c = {"w": w(*((5, 4) if tb else (4, 5)))} | ({} if bias is None else {"b": np.asarray(w(*bias))})
    gemm = node("Gemm", ["h", *c], ["y"], transA=ta, transB=tb, alpha=0.7, beta=1.3)
    first = node("Transpose", ["x"], ["h"]) if ta else node("Identity", ["x"], ["h"])
    agrees(model([first, gemm], (1, 4), c), tmp_path)


@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
def test_gemm_with_constant_on_the_left(ta, tb, tmp_path):
    shape = (1, 4) if tb else (4, 1)
    nodes = [
        node("Reshape", ["x", "s"], ["h"]),
        node("Gemm", ["w", "h", "x0"], ["y"], transA=ta, transB=tb),
        node("ReduceMean", ["x"], ["x0"], axes=[0, 1]),
    ]
    constants = {"s": np.array(shape), "w": w(*((4, 3) if ta else (3, 4)))}
    agrees(model([nodes[0], nodes[2], nodes[1]], (1, 4), constants), tmp_path)


@pytest.mark.parametrize(
    ("shape", "weight", "left"),
    [
        ((1, 4), (4, 5), False),
        ((4,), (4, 5), False),
        ((1, 3, 4), (4, 5), False),
        ((1, 3, 4), (4,), False),
        ((1, 4), (4,), False),
        ((1, 2, 3, 4), (1, 4, 5), False),
        ((1, 3, 4), (2, 3), True),
        ((1, 3, 4), (3,), True),
        ((4, 1), (3, 4), True),
        ((4,), (3, 4), True),
        ((3, 4), (4, 5), False),
    ],
)
def test_matmul(shape, weight, left, tmp_path):
    agrees(model([node("MatMul", ["w", "x"] if left else ["x", "w"], ["y"])], shape, {"w": w(*weight)}), tmp_path)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_batch_normalization(rank, tmp_path):
    shape = (1, 3, 4, 2)[:rank]
    c = {"s": w(3), "b": w(3), "m": w(3), "v": np.abs(w(3)) + 0.1}
    network = agrees(one("BatchNormalization", shape, c, epsilon=1e-3), tmp_path)
    assert network.nodes[0].layer.coefficient_error > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("auto", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("group", "strides", "kernel"), [(1, 1, 3), (2, 2, 3), (4, 2, 2), (1, 3, 2)])
def test_convolution(auto, group, strides, kernel, tmp_path):
    c = {"w": w(8, 4 // group, kernel, kernel), "b": w(8)}
    pads: dict[str, Any] = {"pads": [1, 0, 2, 1]} if auto == "NOTSET" else {}
    proto = one("Conv", (1, 4, 7, 6), c, auto_pad=auto, group=group, strides=[strides] * 2, **pads)
    agrees(proto, tmp_path, 1)


def test_convolution_dilated_and_of_sequences(tmp_path):
    agrees(one("Conv", (1, 2, 9, 8), {"w": w(3, 2, 3, 2)}, dilations=[2, 3], pads=[1, 2, 1, 2]), tmp_path)
    agrees(one("Conv", (1, 2, 9), {"w": w(3, 2, 3), "b": w(3)}, dilations=[2], pads=[1, 2], strides=[2]), tmp_path)
    agrees(one("Conv", (1, 2, 9), {"w": w(4, 1, 4)}, group=2, auto_pad="SAME_LOWER"), tmp_path)


@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1},
    ],
)
@pytest.mark.parametrize("include", [0, 1])
def test_pooling(operator, attributes, include, tmp_path):
    if operator == "AveragePool":
        attributes = attributes | {"count_include_pad": include}
    elif include:
        attributes = attributes | {"dilations": [1, 2]} if "auto_pad" not in attributes else attributes
    agrees(one(operator, (1, 2, 6, 7), **attributes), tmp_path, 1)


def test_pooling_of_sequences_and_global(tmp_path):
    for operator in ("AveragePool", "MaxPool"):
        agrees(one(operator, (1, 2, 9), kernel_shape=[3], strides=[2], pads=[1, 1]), tmp_path)
    for operator in ("GlobalAveragePool", "GlobalMaxPool"):
        agrees(one(operator, (1, 3, 4, 5)), tmp_path)


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [None, [1], [-1], [2, 1], [0], [0, 1, 2]])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(operator, axes, keep, tmp_path):
    if operator == "ReduceSum":
        proto = one(operator, (1, 3, 4), {} if axes is None else {"a": np.array(axes)}, keepdims=keep)
    else:
        proto = one(operator, (1, 3, 4), keepdims=keep, **({} if axes is None else {"axes": axes}))
    agrees(proto, tmp_path)
    if axes and operator != "ReduceSum":
        agrees(one(operator, (1, 3, 4), {"a": np.array(axes)}, 18, keepdims=keep), tmp_path)


def i(*values):
    return np.array(values)


MOVES = [
    ("Flatten", {}, {}, 17),
    ("Flatten", {}, {"axis": 2}, 17),
    ("Flatten", {}, {"axis": 0}, 17),
    ("Flatten", {}, {"axis": -1}, 17),
    ("Reshape", {"s": i(1, -1)}, {}, 17),
    ("Reshape", {"s": i(0, 3, 2, -1)}, {}, 17),
    ("Reshape", {"s": i(-1)}, {}, 17),
    ("Reshape", {"s": i(6, 4)}, {}, 17),
    ("Transpose", {}, {}, 17),
    ("Transpose", {}, {"perm": [0, 3, 1, 2]}, 17),
    ("Unsqueeze", {"a": i(1, -1)}, {}, 17),
    ("Unsqueeze", {}, {"axes": [0, 3]}, 11),
    ("Slice", {"a": i(1), "b": i(3), "c": i(2)}, {}, 17),
    ("Slice", {"a": i(-1, 0), "b": i(-(2**62), 9), "c": i(3, 1), "d": i(-2, 2)}, {}, 17),
    ("Slice", {}, {"starts": [0, 1], "ends": [2, 2**31 - 1], "axes": [2, 3]}, 9),
    ("Gather", {"a": i(2, 0, -1)}, {"axis": 1}, 17),
    ("Gather", {"a": np.array(1)}, {"axis": 3}, 17),
    ("Expand", {"a": i(2, 3, 1, 4)}, {}, 17),
    ("Tile", {"a": i(1, 2, 1, 2)}, {}, 17),
    ("Pad", {"a": i(0, 1, 0, 2, 0, 0, 1, 1)}, {}, 17),
    ("Pad", {"a": i(0, 1, 0, 2, 0, 0, 1, 1), "v": np.float32(1.5)}, {}, 17),
    ("Pad", {"a": i(0, 0, 1, 2, 0, 0, 1, 1)}, {"mode": "reflect"}, 17),
    ("Pad", {"a": i(0, 1, 1, 2, 0, 1, 1, 3)}, {"mode": "edge"}, 17),
    ("Pad", {"a": i(0, -1, 0, 2, 0, 0, 0, -1)}, {}, 17),
    ("Pad", {}, {"pads": [0, 0, 1, 0, 0, 0, 0, 1], "value": -2.0}, 9),
    ("Dropout", {}, {}, 17),
    ("Dropout", {}, {"ratio": 0.3}, 9),
    ("Cast", {}, {"to": TensorProto.FLOAT}, 17),
]


@pytest.mark.parametrize(("operator", "constants", "attributes", "opset"), MOVES)
def test_moves(operator, constants, attributes, opset, tmp_path):
    agrees(one(operator, (1, 3, 2, 4), constants, opset, **attributes), tmp_path)


def test_squeeze_and_images(tmp_path):
    agrees(one("Squeeze", (1, 3, 1, 4)), tmp_path)
    agrees(one("Squeeze", (1, 3, 1, 4), {"a": i(2)}), tmp_path)
    agrees(one("Squeeze", (1, 3, 1, 4), opset=11, axes=[0, 2]), tmp_path)
    for mode in ("DCR", "CRD"):
        agrees(one("DepthToSpace", (1, 8, 2, 3), blocksize=2, mode=mode), tmp_path)
    agrees(one("SpaceToDepth", (1, 2, 4, 6), blocksize=2), tmp_path)
    agrees(one("GatherElements", (1, 3, 4), {"a": np.array([[[0, 2], [1, 1], [3, -1]]])}, axis=2), tmp_path)


@pytest.mark.parametrize(
    ("opset", "sizes", "attributes"), [(17, {"s": i(1, 3)}, {}), (11, {}, {}), (18, {}, {"num_outputs": 2})]
)
def test_split(opset, sizes, attributes, tmp_path):
    nodes = [
        node("Split", ["x", *sizes], ["a", "b"], axis=1, **attributes),
        node("ReduceSum", ["b", "k"], ["t"]) if opset >= 13 else node("ReduceSum", ["b"], ["t"], axes=[1]),
        node("Sub", ["a", "t"], ["y"]),
    ]
    agrees(model(nodes, (1, 4, 2), sizes | ({"k": i(1)} if opset >= 13 else {}), opset), tmp_path)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_concat_of_tensors_and_constants(axis, tmp_path):
    shape = (1, 1, 3) if axis == 1 else (1, 2, 1)
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Concat", ["r", "c", "x"], ["y"], axis=axis),
    ]
    agrees(model(nodes, (1, 2, 3), {"c": w(*shape)}), tmp_path)


def test_legacy_broadcast(tmp_path):
    """`axis` and `broadcast` of operator sets before 7, which ONNX Runtime no longer runs."""
    c = w(3)
    proto = model([node("Add", ["x", "c"], ["y"], broadcast=1)], (1, 2, 3), {"c": c}, 6)
    network = load(save(proto, tmp_path))
    x = w(2, 3)
    np.testing.assert_allclose(network(x), x + c.astype(np.float32))
    assert "onnx.reference" in network.details["verified"]
    # With equal lengths the two readings could not be told apart by running the file.
    proto = model([node("Add", ["x", "c"], ["y"], "old", broadcast=1, axis=1)], (1, 3, 3), {"c": c}, 6)
    refused(save(proto, tmp_path), "Add", "old", "axis 1")


def test_float64_is_compared_in_float64(tmp_path):
    from onnx import numpy_helper

    weight = numpy_helper.from_array(w(4, 3), "w")
    proto = model([node("MatMul", ["x", "w"], ["y"])], (1, 4), {"w": weight}, kind=TensorProto.DOUBLE)
    network = agrees(proto, tmp_path)
    deviation = float(network.details["verified"].split("deviation ")[1].split()[0])
    assert deviation < 1e-14


def test_batch_axis(tmp_path):
    for first in ("N", 1):
        network = agrees(model([node("Relu", ["x"], ["y"])], (first, 3, 2)), tmp_path)
        assert network.input_shape == (3, 2)
        assert network.details["batch axis"].startswith("the first axis")
    network = agrees(model([node("Relu", ["x"], ["y"])], (5,)), tmp_path)
    assert network.input_shape == (5,) and network.details["batch axis"] == "none"


def test_constant_node_forms(tmp_path):
    nodes = [
        node("Constant", [], ["a"], value=constant("", np.array([1.0, 2.0]))),
        node("Constant", [], ["b"], value_floats=[0.5, 0.25]),
        node("Constant", [], ["c"], value_float=2.0),
        node("Constant", [], ["k"], value_ints=[1, 2]),
        node("Add", ["x", "a"], ["h"]),
        node("Mul", ["h", "b"], ["i"]),
        node("Div", ["i", "c"], ["j"]),
        node("Reshape", ["j", "k"], ["y"]),
    ]
    agrees(model(nodes, (1, 2)), tmp_path)
