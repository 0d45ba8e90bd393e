"""Small ONNX models for the tests, and the comparison of what is read with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from sdpcert.network.graph import Network
from sdpcert.readers import load

Constants = dict[str, Any]


def constant(name: str, value: Any) -> onnx.TensorProto:
    """A stored tensor: float arrays as float32, integers as int64."""
    array = np.asarray(value)
    array = array.astype(np.float32) if array.dtype.kind == "f" else array
    array = array.astype(np.int64) if array.dtype.kind == "i" else array
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def model(
    nodes: list[onnx.NodeProto],
    shape: tuple[int | str, ...],
    constants: Constants | None = None,
    opset: int = 17,
    output: str = "y",
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model with the input x of the given shape."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(output, kind, None)],
        [v if isinstance(v, onnx.TensorProto) else constant(k, v) for k, v in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save(proto: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def run(proto: onnx.ModelProto | Path, x: np.ndarray) -> np.ndarray:
    """ONNX Runtime on one input with its batch axis."""
    source = proto.SerializeToString() if isinstance(proto, onnx.ModelProto) else str(proto)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def agrees(proto: onnx.ModelProto, folder: Path, samples: int = 3) -> Network:
    """Read a model, compare with ONNX Runtime in values and shape, with the stacked form too; return the network."""
    network = load(save(proto, folder))
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    shape = tuple(d.dim_value or 1 for d in dims)
    double = proto.graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    generator = np.random.default_rng(7)
    for _ in range(samples):
        x = (3 * generator.standard_normal(shape)).astype(np.float64 if double else np.float32)
        expected = run(proto, x)
        batch = network(x.astype(float).reshape(-1, *network.input_shape))
        if len(batch) == 1:
            inner = expected.shape[1:] if expected.ndim >= 2 and expected.shape[0] == 1 else expected.shape
            assert batch.shape[1:] == (inner or (1,))
        else:
            assert batch.shape == (expected.shape if expected.ndim > 1 else (*expected.shape, 1))
        got = batch
        np.testing.assert_allclose(got.ravel(), expected.ravel(), rtol=2e-5, atol=2e-5 * (1 + np.abs(expected).max()))
        stacked = network.stacked.evaluate(x.astype(float).reshape(len(batch), -1))
        np.testing.assert_allclose(stacked.ravel(), got.ravel(), rtol=1e-9, atol=1e-9 * (1 + np.abs(got).max()))
    return network


def refused(path: Path, *words: str, kind: type[Exception] = ValueError, **options: Any) -> str:
    """Assert that a file is refused with one line that holds the words; return the line."""
    with pytest.raises(kind) as caught:
        load(path, **options)
    line = str(caught.value)
    assert "\n" not in line and "\r" not in line and len(line) < 900, line
    for word in words:
        assert word in line, line
    return line


def random_model(seed: int) -> onnx.ModelProto:
    """A random acyclic graph over vectors and images, with skips, of operators that are read."""
    r, node = np.random.default_rng(seed), helper.make_node
    image = r.random() < 0.5
    shape = (1, 2, 4, 4) if image else (1, 5)
    nodes, constants, values = [], {}, ["x"]
    for k in range(int(r.integers(3, 9))):
        out, a, b = f"v{k}", str(r.choice(values)), str(r.choice(values))
        kind = int(r.integers(0, 9))
        if kind == 0 and image:
            constants[f"w{k}"] = r.standard_normal((2, 2, 3, 3)) / 3
            nodes.append(node("Conv", [a, f"w{k}"], [out], pads=[1, 1, 1, 1]))
        elif kind == 0:
            constants[f"w{k}"] = r.standard_normal((5, 5)) / 2
            nodes.append(node("MatMul", [a, f"w{k}"], [out]))
        elif kind in (1, 2):
            nodes.append(node(str(r.choice(["Relu", "Tanh", "LeakyRelu", "Sigmoid", "Elu", "Abs"])), [a], [out]))
        elif kind in (3, 4):
            nodes.append(node(str(r.choice(["Add", "Sub", "Max", "Min"])), [a, b], [out]))
        elif kind in (5, 6):
            constants[f"c{k}"] = r.standard_normal((2, 1, 1) if image else (5,)) + 0.1
            nodes.append(node(str(r.choice(["Add", "Mul", "Sub", "Div"])), [a, f"c{k}"], [out]))
        elif kind == 7:
            nodes.append(node("Concat", [a, b], [f"j{k}"], axis=1))
            nodes.append(node("Split", [f"j{k}"], [f"p{k}", out], axis=1))
        elif image:
            nodes.append(node("MaxPool", [a], [out], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        else:
            nodes.append(node("Flatten", [a], [out]))
        values.append(out)
    nodes.append(node("Flatten", [values[-1]], ["y"]))
    return model(nodes, shape, constants)
