"""A batch that was left in an export: one network where every sample goes through it, the whole input where not."""

from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx_models import agrees, constant, model, random_model, refused, save

from sdpcert.readers import load

node = helper.make_node
R = np.random.default_rng(3)
BATCH = 5


def w(*shape: int) -> np.ndarray:
    return R.standard_normal(shape)


def i(*values: int) -> np.ndarray:
    return np.array(values)


MLP = [node("MatMul", ["x", "a"], ["u"]), node("Relu", ["u"], ["v"]), node("MatMul", ["v", "b"], ["y"])]
MLP_WEIGHTS = {"a": w(6, 9), "b": w(9, 3)}


def of_samples(
    nodes: list[Any], shape: tuple[int, ...], constants: dict[str, Any], folder: Any, opset: int = 17
) -> Any:
    """Read with a batch and with a first axis of one: the same network."""
    many = agrees(model(nodes, (BATCH, *shape), constants, opset), folder)
    assert many.input_shape == shape and "every sample" in many.details["batch axis"]
    return many


def test_dense_file(tmp_path):
    many = of_samples(MLP, (6,), MLP_WEIGHTS, tmp_path)
    one = agrees(model(MLP, (1, 6), MLP_WEIGHTS), tmp_path)
    assert many.neurons == 9 and many.stacked.sha256 == one.stacked.sha256
    assert str(BATCH) in many.details["batch axis"]


@pytest.mark.parametrize("target", [(BATCH, -1), (BATCH, 8), (-1, 8), (0, -1), (BATCH, 2, 4)])
def test_convolutional_file_with_the_batch_in_a_reshape(target, tmp_path):
    nodes = [
        node("Conv", ["x", "k", "c"], ["h"], strides=[2, 2]),
        node("BatchNormalization", ["h", "s", "o", "m", "v"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1]),
        node("AveragePool", ["p"], ["g"], kernel_shape=[1, 1]),
        node("Reshape", ["g", "t"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    constants = {"k": w(2, 1, 2, 2), "c": w(2), "t": i(*target), "w": w(4 if len(target) == 3 else 8, 3)}
    constants |= {"s": w(2), "o": w(2), "m": w(2), "v": np.abs(w(2)) + 0.1}
    network = of_samples(nodes, (1, 4, 4), constants, tmp_path)
    single = agrees(model(nodes[:3], (1, 1, 4, 4), constants, output="r"), tmp_path)
    assert network.neurons >= single.neurons == 8


def test_sequences_sums_concatenations_and_gates(tmp_path):
    nodes = [
        node("Conv", ["x", "k"], ["h"], pads=[1, 1]),
        node("Sigmoid", ["h"], ["s"]),
        node("Mul", ["h", "s"], ["g"]),
        node("Concat", ["g", "x", "fixed"], ["j"], axis=1),
        node("Split", ["j"], ["j1", "j2"], axis=1),
        node("Max", ["j1", "j2"], ["m"]),
        node("Pad", ["m", "pads", "fill"], ["q"]),
        node("ReduceMean", ["q"], ["r"], axes=[2], keepdims=0),
        node("PRelu", ["r", "slopes"], ["t"]),
        node("Mul", ["t", "scale"], ["c"]),
        node("Gemm", ["c", "w", "b"], ["y"], transB=1),
    ]
    constants = {"k": w(3, 2, 3), "fixed": np.ones((BATCH, 1, 7)), "pads": i(0, 0, 1, 0, 0, 2), "fill": np.float32(0.5)}
    constants |= {"slopes": w(3), "scale": np.ones((BATCH, 1)) * 2, "w": w(4, 3), "b": np.ones((BATCH, 4)) * w(4)}
    of_samples(nodes, (2, 7), constants, tmp_path)


def test_shapes_and_expansions_of_the_batch(tmp_path):
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=1),
        node("Concat", ["s", "rest"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["h"]),
        node("Expand", ["h", "wide"], ["e"]),
        node("Transpose", ["e"], ["p"], perm=[0, 2, 1]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "v"], ["y"]),
    ]
    constants = {"rest": i(1, 6), "wide": i(BATCH, 2, 6), "v": w(12)}
    network = of_samples(nodes, (6,), constants, tmp_path)
    assert network.output_shape == (1,)


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs_are_the_same_network_with_a_batch(seed, tmp_path):
    proto = random_model(seed)
    one = load(save(proto, tmp_path))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    many = agrees(proto, tmp_path, 1)
    assert many.stacked.sha256 == one.stacked.sha256 and "every sample" in many.details["batch axis"]


def test_the_batch_merged_with_other_axes(tmp_path):
    """Tokens of all samples in one axis, as dense layers on sequences are exported."""
    nodes = [
        node("Reshape", ["x", "flat"], ["f"]),
        node("MatMul", ["f", "w"], ["g"]),
        node("BatchNormalization", ["g", "s", "o", "m", "v"], ["n"]),
        node("Mul", ["n", "each"], ["e"]),
        node("Concat", ["e", "g", "fixed"], ["c"], axis=1),
        node("Reshape", ["c", "back"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Reshape", ["r", "one"], ["y"]),
    ]
    constants = {"flat": i(-1, 6), "w": w(6, 2), "back": i(BATCH, 3, 5), "one": i(-1)}
    constants |= {"s": w(2), "o": w(2), "m": w(2), "v": np.abs(w(2)) + 0.1}
    constants |= {"each": np.tile(w(3, 1), (BATCH, 1)), "fixed": np.tile(w(3, 1), (BATCH, 1))}
    network = load(save(model(nodes, (BATCH, 3, 6), constants), tmp_path))
    assert network.input_shape == (3, 6) and network.output_shape == (15,) and network.neurons == 15
    assert "every sample" in network.details["batch axis"]
    constants["each"] = w(3 * BATCH, 1)
    other = load(save(model(nodes, (BATCH, 3, 6), constants), tmp_path))
    assert other.input_shape == (BATCH, 3, 6) and other.details["batch axis"] == "none"


MIXING = [
    ([node("MatMul", ["c", "x"], ["h"]), node("Relu", ["h"], ["y"])], {"c": w(BATCH, BATCH)}),
    ([node("Transpose", ["x"], ["t"]), node("MatMul", ["t", "c"], ["h"]), node("Relu", ["h"], ["y"])], {"c": w(5, 5)}),
    ([node("Relu", ["x"], ["h"]), node("ReduceSum", ["h", "k"], ["y"])], {"k": i(0)}),
    ([node("Relu", ["x"], ["h"]), node("ReduceMean", ["h"], ["y"])], {}),
    ([node("Slice", ["x", "s", "e", "a"], ["h"]), node("Relu", ["h"], ["y"])], {"s": i(0), "e": i(3), "a": i(0)}),
    ([node("Gather", ["x", "s"], ["h"]), node("Relu", ["h"], ["y"])], {"s": i(4, 3, 2, 1, 0)}),
    ([node("Mul", ["x", "c"], ["h"]), node("Relu", ["h"], ["y"])], {"c": w(BATCH, 1)}),
    ([node("Relu", ["x"], ["h"]), node("Add", ["h", "c"], ["y"])], {"c": w(BATCH, BATCH)}),
    ([node("PRelu", ["x", "c"], ["y"])], {"c": w(BATCH, 1)}),
    ([node("Max", ["x", "c"], ["y"])], {"c": w(BATCH, 1)}),
    ([node("Reshape", ["x", "s"], ["h"]), node("MatMul", ["h", "c"], ["y"])], {"s": i(-1), "c": w(25, 2)}),
    ([node("Add", ["x", "c"], ["h"]), node("Reshape", ["h", "s"], ["y"])], {"s": i(-1), "c": w(BATCH, 1)}),
    ([node("Reshape", ["x", "s"], ["h"]), node("Add", ["h", "c"], ["y"])], {"s": i(-1), "c": w(25)}),
    ([node("Reshape", ["x", "s"], ["h"]), node("Slice", ["h", "a", "e"], ["y"])], {"s": i(-1), "a": i(0), "e": i(20)}),
    ([node("Flatten", ["x"], ["h"], axis=0), node("MatMul", ["h", "c"], ["y"])], {"c": w(25, 2)}),
    ([node("Concat", ["x", "x"], ["h"], axis=0), node("Relu", ["h"], ["y"])], {}),
    ([node("Concat", ["x", "c"], ["h"], axis=1), node("Relu", ["h"], ["y"])], {"c": w(BATCH, 1)}),
    ([node("Tile", ["x", "s"], ["h"]), node("Relu", ["h"], ["y"])], {"s": i(2, 1)}),
    (
        [node("ReduceSum", ["x", "k"], ["s"], keepdims=0), node("Add", ["x", "s"], ["y"])],
        {"k": i(1)},
    ),
    ([node("MatMul", ["x", "c"], ["s"]), node("MatMul", ["s", "d"], ["y"])], {"c": w(BATCH), "d": w(BATCH, 2)}),
]


@pytest.mark.parametrize(("nodes", "constants"), MIXING)
def test_an_axis_that_is_no_batch_stays_an_axis(nodes, constants, tmp_path):
    """Square inputs, so that no length gives away which axis is which."""
    network = agrees(model(nodes, (BATCH, 5), constants), tmp_path)
    assert network.input_shape == (BATCH, 5) and network.details["batch axis"] == "none"


def test_images_of_a_batch_that_is_mixed_are_refused_as_before(tmp_path):
    nodes = [node("Conv", ["x", "k"], ["h"]), node("ReduceSum", ["h", "a"], ["y"])]
    path = save(model(nodes, (2, 1, 3, 3), {"k": np.ones((1, 1, 2, 2)), "a": i(0)}), tmp_path)
    refused(path, "Conv", "batch of 2")


def test_what_fails_in_both_readings_is_named(tmp_path):
    nodes = [node("Relu", ["x"], ["h"]), node("Mul", ["h", "x"], ["y"], "both")]
    refused(save(model(nodes, (BATCH, 3)), tmp_path), "'both'")


def test_a_wrong_sample_is_noticed(tmp_path, monkeypatch):
    """The comparison runs the whole batch: a reading that ignores that samples differ does not pass."""
    from sdpcert.readers.operators.values import Builder

    nodes = [node("Mul", ["x", "c"], ["h"]), node("Relu", ["h"], ["y"])]
    path = save(model(nodes, (BATCH, 3), {"c": constant("c", w(BATCH, 1))}), tmp_path)
    assert load(path).input_shape == (BATCH, 3)
    monkeypatch.setattr(Builder, "sample_of", lambda self, values, length: values[:1])
    refused(path, "does not compute")
