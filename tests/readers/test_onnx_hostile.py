"""Files that must be refused, each with one line that names the thing."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import constant, model, refused, save

from sdpcert.readers import UnsupportedModel, load
from sdpcert.readers.errors import MAX_MADE

node = helper.make_node


def dense(**changes):
    """A model `y = x w` whose weight is changed before it is written."""
    weight = constant("w", np.arange(6.0).reshape(3, 2))
    for field, value in changes.items():
        if field == "dims":
            weight.dims[:] = value
        else:
            setattr(weight, field, value)
    return model([node("MatMul", ["x", "w"], ["y"], "product")], (1, 3), {"w": weight})


def of(operator, shape=(1, 3), constants=None, opset=17, **attributes):
    return model([node(operator, ["x", *(constants or {})], ["y"], "n", **attributes)], shape, constants, opset)


def outcome(path):
    """The network, or None where the file is refused with one line."""
    message = "not refused"
    try:
        return load(path)
    except ValueError as error:
        message = str(error)
    assert "\n" not in message
    return None


def test_truncated_and_garbage(tmp_path):
    whole = dense().SerializeToString()
    path = tmp_path / "m.onnx"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        refused(path, "m.onnx")
    generator = np.random.default_rng(0)
    for _ in range(20):
        path.write_bytes(generator.bytes(200))
        refused(path, "m.onnx")
    path.write_bytes(b"\x00" * 4096)
    refused(path, "m.onnx")
    path.write_text("<html>not found</html>\nsecond line\n")
    refused(path, "no ONNX file")


def test_mutated_files_never_surprise(tmp_path):
    """Flipped bytes give a network, or a refusal in one line; never another exception."""
    nodes = [
        node("Conv", ["x", "k"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("Reshape", ["r", "s"], ["f"]),
        node("Gemm", ["f", "w"], ["y"], "last", transB=1),
    ]
    constants = {"k": np.ones((2, 1, 3, 3)), "s": np.array([1, -1]), "w": np.ones((3, 32))}
    whole = bytearray(model(nodes, (1, 1, 4, 4), constants).SerializeToString())
    generator = np.random.default_rng(1)
    path, refusals = tmp_path / "m.onnx", 0
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(int(generator.integers(1, 4))):
            changed[int(generator.integers(0, 330))] = int(generator.integers(0, 256))
        path.write_bytes(changed)
        refusals += outcome(path) is None
    assert refusals > 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dims": [2, 2]}, ["'w'", "16 bytes", "24"]),
        ({"dims": [30000, 30000]}, ["'w'", "limit"]),
        ({"dims": [2**40, 2**40]}, ["'w'", "limit"]),
        ({"dims": [-3, -2]}, ["'w'", "negative"]),
        ({"dims": [3, 0], "raw_data": b""}, ["'w'", "without entries"]),
        ({"raw_data": np.array([1, 2, np.nan, 4, 5, 6], "<f4").tobytes()}, ["'w'", "not finite"]),
        ({"raw_data": np.array([1, 2, np.inf, 4, 5, 6], "<f4").tobytes()}, ["'w'", "not finite"]),
        ({"data_type": TensorProto.FLOAT16, "raw_data": b"\0" * 11}, ["'w'", "12 bytes", "11"]),
        ({"data_type": TensorProto.FLOAT16, "raw_data": b"\0\x7c" * 6}, ["'w'", "not finite"]),
        ({"data_type": TensorProto.BFLOAT16, "raw_data": b"\xc0\x7f" * 6}, ["'w'", "not finite"]),
        ({"data_type": TensorProto.INT4, "raw_data": b"\1" * 4}, ["'w'", "3 bytes", "4"]),
        ({"data_type": TensorProto.INT4, "raw_data": b"\1" * 3}, ["'w'", "int8", "float32"]),
        ({"data_type": TensorProto.FLOAT8E4M3FN, "raw_data": b"\1" * 6}, ["'w'", "element type"]),
        ({"data_type": TensorProto.INT8, "raw_data": b"\1" * 6}, ["'w'", "int8", "float32"]),
        ({"data_type": TensorProto.COMPLEX64, "raw_data": b"\0" * 48}, ["'w'", "element type"]),
        ({"data_type": TensorProto.STRING}, ["'w'", "element type"]),
        ({"data_type": 99}, ["'w'", "element type"]),
    ],
)
def test_weights(changes, words, tmp_path):
    refused(save(dense(**changes), tmp_path), *words)


def external(location, **entries):
    proto = dense()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, str(value)
    return proto


def test_external_data(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    data = np.arange(6, dtype="<f4").tobytes()
    (tmp_path / "secret").write_bytes(data)
    for name in ("w.data", "sub/w.data"):
        (folder / name).write_bytes(b"\0" * 8 + data)
        network = load(save(external(name, offset=8, length=24), folder))
        np.testing.assert_array_equal(network(np.eye(3)), np.arange(6.0).reshape(3, 2))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "round").symlink_to("round")
    os.mkfifo(folder / "pipe")
    for location, word in (
        (str(tmp_path / "secret"), "relative"),
        ("../secret", "leaves"),
        ("sub/../../secret", "leaves"),
        ("sub/../w.data", "leaves"),
        ("..\\secret", "relative"),
        ("C:/secret", "relative"),
        ("link", "leaves"),
        ("up/secret", "leaves"),
        ("round", "round"),
        ("missing.data", "does not exist"),
        ("sub", "no regular file"),
        ("pipe", "no regular file"),
        ("", "no file name"),
        ("a\0b", "no file name"),
        ("a\nb", "does not exist"),
    ):
        refused(save(external(location), folder), "'w'", word)
    for entries in ({"offset": 16}, {"offset": -1}, {"length": 8}, {"offset": "x"}, {"offset": 2**63}):
        refused(save(external("w.data", **entries), folder), "'w'")
    (folder / "short").write_bytes(data[:-1])
    refused(save(external("short"), folder), "'w'", "too short")


def test_external_data_of_unread_weights_is_not_opened(tmp_path):
    proto = external("../secret")
    proto.graph.ClearField("node")
    proto.graph.node.append(node("Relu", ["x"], ["y"]))
    assert load(save(proto, tmp_path)).neurons == 3


@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (of("Softmax"), ["operator Softmax", "'n'", "logits"]),
        (of("LogSoftmax"), ["operator LogSoftmax", "'n'"]),
        (of("Exp"), ["operator Exp", "'n'", "slope"]),
        (of("Sqrt"), ["operator Sqrt"]),
        (of("Sign"), ["output 'y'", "jumps"]),
        (of("ThresholdedRelu"), ["operator ThresholdedRelu"]),
        (of("ArgMax"), ["operator ArgMax"]),
        (of("Pow", constants={"e": np.float32(2)}), ["operator Pow"]),
        (of("LayerNormalization", constants={"s": np.ones(3)}), ["operator LayerNormalization", "norm"]),
        (of("LpNormalization"), ["operator LpNormalization"]),
        (of("CumSum", constants={"e": np.array(1)}), ["operator CumSum"]),
        (of("NoSuchOperator"), ["operator NoSuchOperator", "'n'"]),
        (of("Cast", to=TensorProto.INT64), ["operator Cast"]),
        (of("Cast", to=TensorProto.FLOAT16), ["operator Cast"]),
        (of("ConvTranspose", (1, 1, 3, 3, 3), {"w": np.ones((1, 1, 2, 2, 2))}), ["operator ConvTranspose", "spatial"]),
        (of("Conv", (1, 1, 3, 3, 3), {"w": np.ones((1, 1, 2, 2, 2))}), ["operator Conv", "spatial"]),
        (of("Conv", (1, 3, 3, 3), {"w": np.ones((2, 1, 2, 2))}, group=3), ["operator Conv", "'n'"]),
        (of("Conv", (1, 1, 3, 3), {"w": np.ones((1, 1, 2, 2))}, group=0), ["operator Conv", "groups"]),
        (of("Conv", (1, 1, 3, 3), {"w": np.ones((1, 1, 2, 2))}, strides=[0, 1]), ["operator Conv", "strides"]),
        (of("Conv", (1, 1, 3, 3), {"w": np.ones((1, 1, 2, 2))}, pads=[0, -1, 0, 0]), ["operator Conv", "pads"]),
        (of("Conv", (1, 1, 3, 3), {"w": np.ones((1, 1, 4, 4))}), ["operator Conv", "does not fit"]),
        (of("Conv", (1, 1, 3, 3), {"w": np.ones((1, 1, 2, 2))}, pads=[2**40] * 4), ["operator Conv", "limit"]),
        (of("MaxPool", (1, 1, 9, 9), kernel_shape=[100, 100], pads=[99] * 4), ["operator MaxPool", "cells"]),
        (of("AveragePool", (1, 1, 9, 9), kernel_shape=[2**31, 2**31]), ["operator AveragePool", "cells"]),
        (of("MaxPool", (1, 1, 4), kernel_shape=[1], pads=[2, 2]), ["operator MaxPool", "padding"]),
        (of("Div", constants={"c": np.array([1.0, 0.0, 1.0])}), ["operator Div", "zero"]),
        (of("Clip", constants={"a": np.float32(2), "b": np.float32(1)}), ["operator Clip", "above"]),
        (of("Add", constants={"c": np.ones(4)}), ["operator Add", "'n'"]),
        (of("MatMul", constants={"c": np.ones((4, 2))}), ["operator MatMul", "does not fit"]),
        (of("MatMul", (2, 3, 3), {"c": np.ones((2, 3, 2))}), ["operator MatMul", "stack"]),
        (of("Gemm", constants={"c": np.ones((4, 2))}), ["operator Gemm"]),
        (of("Reshape", constants={"s": np.array([2, 2])}), ["operator Reshape"]),
        (of("Reshape", constants={"s": np.array([1, 1, 0, 3])}), ["operator Reshape"]),
        (of("Gather", constants={"s": np.array([7])}, axis=1), ["operator Gather"]),
        (of("Gather", constants={"s": np.array([0])}, axis=5), ["operator Gather", "axis 5"]),
        (of("Slice", constants={"a": np.array([0]), "b": np.array([0])}), ["operator Slice"]),
        (of("Expand", constants={"s": np.array([2**20, 2**20, 3])}), ["operator Expand", "limit"]),
        (of("Tile", constants={"s": np.array([2**30, 2**30])}), ["operator Tile", "limit"]),
        (of("Pad", constants={"s": np.array([0, 0, 0, 2**40])}), ["operator Pad", "limit"]),
        (of("Pad", constants={"s": np.array([0, 5, 0, 5])}, mode="reflect"), ["operator Pad", "wider"]),
        (of("Dropout", constants={"r": np.float32(0.5), "t": np.array(True)}), ["operator Dropout", "training"]),
        (
            of("BatchNormalization", constants={k: np.ones(3) for k in "abcd"}, training_mode=1),
            ["operator BatchNormalization", "training"],
        ),
        (
            of("BatchNormalization", constants={k: -np.ones(3) for k in "abcd"}),
            ["operator BatchNormalization", "positive"],
        ),
        (of("PRelu", constants={"s": np.array([np.inf])}), ["operator PRelu", "'s'", "not finite"]),
        (of("Elu", alpha=float("nan")), ["operator Elu", "'alpha'", "not finite"]),
    ],
)
def test_operators(proto, words, tmp_path):
    refused(save(proto, tmp_path), *words)


def test_products_of_computed_values(tmp_path):
    for operator in ("Mul", "Div", "MatMul", "Gemm"):
        nodes = [node("Relu", ["x"], ["r"]), node(operator, ["x", "r"], ["y"], "both")]
        refused(save(model(nodes, (3, 3)), tmp_path), f"operator {operator}", "'both'", kind=UnsupportedModel)
    refused(save(model([node("Div", ["c", "x"], ["y"], "inverse")], (1, 3), {"c": np.ones(3)}), tmp_path), "'inverse'")
    nodes = [
        node("Greater", ["x", "c"], ["g"]),
        node("Where", ["g", "x", "d"], ["z"]),
        node("Relu", ["z"], ["y"], "after"),
    ]
    constants = {"c": np.ones(3), "d": np.zeros(3)}
    refused(save(model(nodes, (1, 3), constants), tmp_path), "operator Relu", "'after'", "where the choice switches")
    nodes = [node("MaxPool", ["x"], ["y0", "i"], "pool", kernel_shape=[2]), node("Cast", ["i"], ["y"], to=1)]
    refused(save(model(nodes, (1, 1, 4)), tmp_path), "operator MaxPool", "indices")


def test_attention_names_softmax(tmp_path):
    nodes = [
        node("MatMul", ["x", "q"], ["a"]),
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["a", "t"], ["s"]),
        node("Softmax", ["s"], ["p"], "attention/softmax"),
        node("MatMul", ["p", "x"], ["y"]),
    ]
    proto = model(nodes, (1, 4, 3), {"q": np.ones((3, 3))})
    refused(save(proto, tmp_path), "operator Softmax (node 'attention/softmax')", kind=UnsupportedModel)


def test_huge_constants(tmp_path):
    big = np.array([2**20, 2**20])
    for first in (
        node("ConstantOfShape", ["n"], ["c"], "fill"),
        node("Expand", ["one", "n"], ["c"], "fill"),
        node("Tile", ["one", "n"], ["c"], "fill"),
        node("Range", ["zero", "most", "step"], ["c"], "fill"),
    ):
        constants = {"n": big, "one": np.ones((1, 1)), "zero": np.array(0), "step": np.array(1)}
        constants["most"] = np.array(2**60)
        proto = model([first, node("ReduceSum", ["c"], ["s"]), node("Add", ["x", "s"], ["y"])], (1, 3), constants)
        refused(save(proto, tmp_path), "'fill'", "limit")
    side = np.ones((MAX_MADE // 1000, 1))
    nodes = [
        node("Transpose", ["a"], ["t"]),
        node("MatMul", ["a", "t"], ["m"], "outer"),
        node("Add", ["x", "m"], ["y"]),
    ]
    refused(save(model(nodes, (1, 1), {"a": side}), tmp_path), "'outer'", "limit")


def test_many_large_tensors(tmp_path):
    nodes = [node("Expand", ["x", "n"], ["h0"])]
    nodes += [node("Relu", [f"h{k}"], [f"h{k + 1}"]) for k in range(40)]
    nodes.append(node("ReduceSum", ["h40"], ["y"]))
    refused(save(model(nodes, (1, 1), {"n": np.array([1000, 4000])}), tmp_path), "limit")


def test_control_flow_functions_and_domains(tmp_path):
    branch = helper.make_graph([node("Relu", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", 1, None)])
    nodes = [node("If", ["c"], ["y"], "choice", then_branch=branch, else_branch=branch)]
    refused(save(model(nodes, (1, 3), {"c": np.array(True)}), tmp_path), "operator If", "'choice'", "control flow")
    nodes = [node("FusedGemm", ["x", "w"], ["y"], "fused", domain="com.microsoft")]
    refused(save(model(nodes, (1, 3), {"w": np.ones((3, 2))}), tmp_path), "com.microsoft.FusedGemm", "'fused'")
    proto = model([node("Relu", ["x"], ["y"], "mine")], (1, 3))
    proto.functions.append(
        helper.make_function("", "Relu", ["x"], ["y"], [node("Exp", ["x"], ["y"])], [helper.make_opsetid("", 17)])
    )
    refused(save(proto, tmp_path), "'mine'", "function")


def test_sparse_weights(tmp_path):
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0]), "i"), [3, 2])
    proto = model([node("MatMul", ["x", "w"], ["y"])], (1, 3))
    proto.graph.sparse_initializer.append(sparse)
    refused(save(proto, tmp_path), "sparse")
    nodes = [node("Constant", [], ["w"], "stored", sparse_value=sparse), node("MatMul", ["x", "w"], ["y"])]
    refused(save(model(nodes, (1, 3)), tmp_path), "'stored'")


def test_broken_graphs(tmp_path):
    relu = node("Relu", ["x"], ["y"], "r")
    for nodes, words in (
        ([node("Relu", ["missing"], ["y"], "r")], ["'r'", "'missing'", "nothing defines"]),
        ([node("Relu", ["x"], ["z"])], ["'y'", "nothing defines"]),
        ([node("Add", ["x", "b"], ["a"], "first"), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])], ["cycle"]),
        ([node("Add", ["x", "y"], ["y"], "self")], ["'self'", "cycle"]),
        ([relu, node("Tanh", ["x"], ["y"])], ["'y'", "twice"]),
        ([node("Relu", ["y"], ["x"])], ["'x'", "twice"]),
        ([node("Relu", [], ["y"], "r")], ["Relu", "'r'"]),
        ([node("Relu", [""], ["y"], "r")], ["Relu", "'r'"]),
        ([node("Add", ["x"], ["y"], "r"), relu], ["twice"]),
        ([node("Sub", ["x"], ["y"], "r")], ["Sub", "'r'"]),
        ([node("Neg", ["c"], ["y"])], ["does not depend"]),
    ):
        refused(save(model(nodes, (1, 3), {"c": np.ones(3)}), tmp_path), *words)
    refused(save(model([], (1, 3)), tmp_path), "no graph")
    proto = model([relu], (1, 3), {"c": np.ones(3)})
    proto.graph.initializer.append(proto.graph.initializer[0])
    refused(save(proto, tmp_path), "one name")


def test_names_with_line_ends(tmp_path):
    evil = "a\nb\x1b[31m\rc" + "d" * 500
    line = refused(save(model([node("Softmax", ["x"], ["y"], evil)], (1, 3)), tmp_path), "Softmax")
    assert "\x1b" not in line
    line = refused(save(model([node("Relu\nx", ["x"], ["y"])], (1, 3)), tmp_path))
    assert "\x1b" not in line
    refused(save(model([node("Relu", [evil], ["y"])], (1, 3)), tmp_path), "nothing defines")


def test_inputs_and_outputs(tmp_path):
    info = helper.make_tensor_value_info
    proto = model([node("Add", ["x", "z"], ["y"])], (1, 3))
    proto.graph.input.append(info("z", 1, [1, 3]))
    refused(save(proto, tmp_path), "2 inputs", "'x'", "'z'")
    proto = model([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["z"])], (1, 3))
    proto.graph.output.append(info("z", 1, [1, 3]))
    refused(save(proto, tmp_path), "2 outputs", "'y'", "'z'")
    proto = model([node("Add", ["x", "w"], ["y"])], (1, 3), {"w": np.ones(3)})
    proto.graph.input.append(info("w", 1, [3]))  # old files list weights among the inputs
    assert load(save(proto, tmp_path)).input_shape == (3,)
    proto.graph.ClearField("input")
    refused(save(proto, tmp_path), "0 inputs")
    for shape, word in ((("N",), "open"), ((1, "H", 3), "axis 1"), ((), "shape"), ((1, 0), "empty"), ((1, -3), "neg")):
        refused(save(model([node("Relu", ["x"], ["y"])], shape), tmp_path), "'x'", word)
    refused(save(model([node("Relu", ["x"], ["y"])], (1, 2**40)), tmp_path), "'x'", "limit")
    for kind in (TensorProto.INT64, TensorProto.FLOAT8E5M2):
        refused(save(model([node("Relu", ["x"], ["y"])], (1, 3), kind=kind), tmp_path), "'x'", "element type")


def test_without_onnx_or_its_runtime(tmp_path, monkeypatch):
    import sys

    path = save(dense(), tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "onnx.reference" in load(path).details["verified"]
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(path, "pip install 'sdpcert[onnx]'", kind=ImportError)


def test_untyped_attributes_of_the_first_versions(tmp_path):
    proto = of("LeakyRelu", alpha=0.25)
    proto.graph.node[0].attribute[0].ClearField("type")
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    assert onnx.load(path).graph.node[0].attribute[0].type == 0
    network = outcome(path)  # runtimes may refuse such a file
    if network is not None:
        assert network.nodes[0].layer.alpha == 0.25  # type: ignore[union-attr]
