"""Operators that choose, sort and pool by norms in ONNX files, and functions of constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import agrees, model, refused, save

from sdpcert.network.activations import Activation

node = helper.make_node
ZERO = {"zero": np.float32(0), "slope": np.float32(0.25)}


@pytest.mark.parametrize("operator", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_a_leaky_relu_that_is_written_as_a_choice(operator: str, tmp_path: Path) -> None:
    nodes = [
        node(operator, ["x", "zero"], ["c"]),
        node("Mul", ["x", "slope"], ["s"]),
        node("Where", ["c", *(("x", "s") if operator.startswith("G") else ("s", "x"))], ["y"]),
    ]
    network = agrees(model(nodes, (1, 2, 3), ZERO), tmp_path)
    assert [n.layer.name for n in network.nodes if isinstance(n.layer, Activation)] == ["leaky_relu"]


@pytest.mark.parametrize("batch", [1, 3])
def test_householder_by_masks(batch: int, tmp_path: Path) -> None:
    """Pairs (x_k, x_k+2) reflected where x sin(t/2) > y cos(t/2), the way that exporters write it."""
    angle = np.array([0.7, 2.1], dtype=np.float32)
    constants = {"half": angle / 2, "angle": angle, "split": np.array([2, 2]), "zero": np.float32(0)}
    nodes = [
        *(node(f, [a], [f + a]) for f in ("Sin", "Cos") for a in ("half", "angle")),
        node("Split", ["x", "split"], ["a", "b"], axis=1),
        *(node("Mul", [v, w], [v + w]) for v in "ab" for w in ("Sinhalf", "Coshalf", "Sinangle", "Cosangle")),
        node("Sub", ["aSinhalf", "bCoshalf"], ["s"]),
        node("Add", ["aCosangle", "bSinangle"], ["a2"]),
        node("Sub", ["aSinangle", "bCosangle"], ["b2"]),
        node("Greater", ["s", "zero"], ["g"]),
        node("LessOrEqual", ["s", "zero"], ["l"]),
        node("Cast", ["g"], ["gf"], to=TensorProto.FLOAT),
        node("Cast", ["l"], ["lf"], to=TensorProto.FLOAT),
        *(node("Mul", [v, "lf"], [v + "l"]) for v in "ab"),
        *(node("Mul", [v + "2", "gf"], [v + "g"]) for v in "ab"),
        *(node("Add", [v + "l", v + "g"], [v + "z"]) for v in "ab"),
        node("Concat", ["az", "bz"], ["y"], axis=1),
    ]
    network = agrees(model(nodes, (batch, 4), constants), tmp_path)
    assert network.input_shape == (4,) and network.stacked.neurons == 2


def test_a_choice_by_another_value_and_a_sign(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["x", "order"], ["r"], axis=1),
        node("Less", ["x", "r"], ["c"]),
        node("Where", ["c", "r", "x"], ["m"]),
        node("Sign", ["m"], ["s"]),
        node("Mul", ["s", "m"], ["y"]),
    ]
    agrees(model(nodes, (1, 3), {"order": np.array([2, 0, 1])}), tmp_path)


def test_a_condition_that_the_file_states(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Where", ["mask", "r", "x"], ["y1"]),
        node("Where", ["mask", "y1", "c"], ["y"]),
    ]
    constants = {
        "mask": helper.make_tensor("mask", TensorProto.BOOL, [3], [1, 0, 1]),
        "c": np.array([1, 2, 3], dtype=np.float32),
    }
    agrees(model(nodes, (1, 3), constants), tmp_path)


@pytest.mark.parametrize("step", [1.0, 1e-3])
def test_a_choice_that_jumps_is_refused(step: float, tmp_path: Path) -> None:
    nodes = [
        node("Add", ["x", "step"], ["u"]),
        node("Greater", ["x", "zero"], ["c"]),
        node("Where", ["c", "u", "x"], ["y"]),
    ]
    refused(save(model(nodes, (1, 3), {**ZERO, "step": np.float32(step)}), tmp_path), "output 'y'", "jumps")


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(("axis", "count"), [(1, 5), (2, 2), (-1, 4)])
def test_sorting(largest: int, axis: int, count: int, tmp_path: Path) -> None:
    nodes = [node("TopK", ["x", "k"], ["y", "i"], axis=axis, largest=largest)]
    agrees(model(nodes, (2, 5, 4), {"k": np.array([count])}), tmp_path)


def test_indices_of_a_sorted_tensor_are_refused(tmp_path: Path) -> None:
    nodes = [node("TopK", ["x", "k"], ["v", "i"]), node("Cast", ["i"], ["y"], to=TensorProto.FLOAT)]
    refused(save(model(nodes, (1, 5), {"k": np.array([5])}), tmp_path), "operator Cast", "'i'")
    unordered = [node("TopK", ["x", "k"], ["y", "i"], sorted=0)]
    refused(save(model(unordered, (1, 5), {"k": np.array([5])}), tmp_path), "operator TopK", "order")


def test_pooling_by_norms(tmp_path: Path) -> None:
    agrees(model([node("LpPool", ["x"], ["y"], p=1, kernel_shape=[2, 2], strides=[2, 1])], (1, 2, 4, 5)), tmp_path)
    agrees(model([node("GlobalLpPool", ["x"], ["y"], p=1)], (1, 2, 4, 5)), tmp_path)
    agrees(model([node("ReduceL1", ["x"], ["y"], axes=[1], keepdims=0)], (1, 2, 4), opset=13), tmp_path)
    agrees(model([node("LpPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])], (1, 2, 4, 5)), tmp_path)
    agrees(model([node("LpPool", ["x"], ["y"], kernel_shape=[3], strides=[3])], (1, 2, 6)), tmp_path)
    agrees(model([node("GlobalLpPool", ["x"], ["y"])], (1, 2, 4, 5)), tmp_path)
    agrees(model([node("ReduceL2", ["x"], ["y"], axes=[1], keepdims=0)], (1, 3, 4), opset=13), tmp_path)
    agrees(model([node("ReduceL2", ["x"], ["y"], axes=[1, 2])], (1, 3, 4), opset=13), tmp_path)
    refusals: list[dict[str, Any]] = [{"p": 3}, {"strides": [1, 1]}, {"strides": [2, 2], "pads": [1, 1, 0, 0]}]
    for given in refusals:
        proto = model([node("LpPool", ["x"], ["y"], kernel_shape=[2, 2], **given)], (1, 2, 4, 5))
        refused(save(proto, tmp_path), "operator LpPool", "norm", "multiply the bounds")


@pytest.mark.parametrize("operator", ["Relu", "Sin", "Cos", "Tanh", "Sigmoid", "Sign", "Round", "Clip"])
def test_functions_of_constants(operator: str, tmp_path: Path) -> None:
    values = np.array([-30, -1.25, -0.3, 0.2, 0.7, 40], dtype=np.float32)
    ends = ["low", "high"] if operator == "Clip" else []
    nodes = [node(operator, ["c", *ends], ["d"]), node("Add", ["x", "d"], ["y"])]
    constants = {"c": values, **({"low": np.float32(-1), "high": np.float32(2)} if ends else {})}
    agrees(model(nodes, (1, 6), constants), tmp_path)


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "LayerNormalization", "Softmax", "Exp", "Floor"])
def test_refusals_say_what_a_region_would_need(operator: str, tmp_path: Path) -> None:
    refused(save(model([node(operator, ["x"], ["y"])], (1, 1, 4)), tmp_path), f"operator {operator}", "region")
