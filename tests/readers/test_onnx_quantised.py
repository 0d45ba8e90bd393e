"""Weights in few bits enter as the numbers they stand for; files in half precision are compared in two ways."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import agrees, model, refused, save

from sdpcert.network.affine import Dense
from sdpcert.readers import load
from sdpcert.readers.onnx.constants import fold
from sdpcert.readers.operators.error_bounds import rounded_product_is_exact
from sdpcert.readers.operators.values import Builder, Call, Constant

ml_dtypes = pytest.importorskip("ml_dtypes")
node = helper.make_node
R = np.random.default_rng(9)
HALF = [(np.float16, TensorProto.FLOAT16), (ml_dtypes.bfloat16, TensorProto.BFLOAT16)]
TAIL = [node("Relu", ["u"], ["v"]), node("MatMul", ["v", "b"], ["y"])]


def stored(name: str, values: Any, dtype: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values).astype(dtype), name)


def dense(network: Any, number: int = 0) -> np.ndarray:
    return [n.layer for n in network.nodes if isinstance(n.layer, Dense)][number].weight


@pytest.mark.parametrize(("dtype", "kind"), HALF)
def test_half_precision_weights_are_exact(dtype, kind, tmp_path):
    a, b = R.standard_normal((6, 9)).astype(dtype), R.standard_normal((9, 3)).astype(dtype)
    weights = {"a": stored("a", a, dtype), "b": stored("b", b, dtype)}
    casts = [node("Cast", ["a"], ["A"], to=TensorProto.FLOAT), node("Cast", ["b"], ["B"], to=TensorProto.FLOAT)]
    nodes = [*casts, node("MatMul", ["x", "A"], ["u"]), TAIL[0], node("MatMul", ["v", "B"], ["y"])]
    network = agrees(model(nodes, (1, 6), weights), tmp_path)
    np.testing.assert_array_equal(dense(network), a.astype(float).T)
    whole = load(save(model([node("MatMul", ["x", "a"], ["u"]), *TAIL], (1, 6), weights, kind=kind), tmp_path))
    assert whole.stacked.sha256 == network.stacked.sha256
    name = np.dtype(dtype).name
    assert "in float32: onnxruntime" in whole.details["verified"] and f"in {name}:" in whole.details["verified"]
    assert name in whole.details["precision"]
    sharp = float(whole.details["verified"].split("deviation ")[1].split()[0])
    assert sharp < 1e-5


@pytest.mark.parametrize(("dtype", "kind"), HALF)
def test_half_precision_files_are_compared_sharply(dtype, kind, tmp_path, monkeypatch):
    """A change of one weight below the file's own rounding is noticed."""
    from sdpcert.readers.operators.table import OPERATORS

    weights = {"a": stored("a", R.standard_normal((6, 9)), dtype), "b": stored("b", R.standard_normal((9, 3)), dtype)}
    path = save(model([node("MatMul", ["x", "a"], ["u"]), *TAIL], (1, 6), weights, kind=kind), tmp_path)
    load(path)
    right = OPERATORS["MatMul"]

    def handle(call: Call) -> Any:
        weight = call.inputs[1]
        assert isinstance(weight, Constant)
        nudge = np.zeros(weight.shape)
        nudge[1, 1] = 1e-3
        call.inputs[1] = Constant(weight.value + nudge, weight.name)
        return right(call)

    monkeypatch.setitem(OPERATORS, "MatMul", handle)
    refused(path, "does not compute")


@pytest.mark.parametrize(("dtype", "kind"), HALF)
def test_casts_of_half_precision_files(dtype, kind, tmp_path):
    weights = {"a": stored("a", R.standard_normal((6, 9)), dtype), "b": stored("b", R.standard_normal((9, 3)), dtype)}
    inside = [node("Cast", ["x"], ["X"], to=TensorProto.FLOAT), node("Cast", ["a"], ["A"], to=TensorProto.FLOAT)]
    mixed = [*inside, node("MatMul", ["X", "A"], ["w"]), node("Cast", ["w"], ["u"], to=kind), *TAIL]
    assert load(save(model(mixed, (1, 6), weights, kind=kind), tmp_path)).neurons == 9
    narrow = [node("Cast", ["x"], ["X"], "narrow", to=kind), node("MatMul", ["X", "a"], ["u"]), *TAIL]
    refused(save(model(narrow, (1, 6), weights), tmp_path), "'narrow'", "rounds")
    # A weight that the file itself rounds is the rounded one.
    wide = {**weights, "a": stored("a", R.standard_normal((6, 9)), np.float32)}
    rounded = [node("Cast", ["a"], ["A"], to=kind), node("MatMul", ["x", "A"], ["u"]), *TAIL]
    network = load(save(model(rounded, (1, 6), wide, kind=kind), tmp_path))
    np.testing.assert_array_equal(dense(network), numpy_helper.to_array(wide["a"]).astype(dtype).astype(float).T)


INTEGERS = [(np.int8, 17), (np.uint8, 17), (ml_dtypes.int4, 21), (ml_dtypes.uint4, 21), (np.int16, 21)]


@pytest.mark.parametrize(("dtype", "opset"), INTEGERS)
@pytest.mark.parametrize("axis", [None, 0, 1, -1, "block"])
@pytest.mark.parametrize("zero", [True, False])
def test_dequantised_weights_are_exact(dtype, opset, axis, zero, tmp_path):
    ends = ml_dtypes.iinfo(dtype)
    shape = {None: (), 0: (6,), 1: (9,), -1: (9,), "block": (2, 9)}[axis]
    q = R.integers(int(ends.min), int(ends.max) + 1, (6, 9)).astype(dtype)
    s = (R.random(shape) + 0.01).astype(np.float32)
    z = R.integers(int(ends.min), int(ends.max) + 1, shape).astype(dtype) if zero else np.zeros(shape, dtype)
    constants = {"a": stored("a", q, dtype), "s": stored("s", s, np.float32), "z": stored("z", z, dtype)}
    constants["b"] = stored("b", R.standard_normal((9, 3)), np.float32)
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    if axis == "block":
        attributes, opset = {"axis": 0, "block_size": 3}, 21
    inputs = ["a", "s", "z"] if zero else ["a", "s"]
    nodes = [node("DequantizeLinear", inputs, ["A"], **attributes), node("MatMul", ["x", "A"], ["u"]), *TAIL]
    proto = model(nodes, (1, 6), constants if zero else {k: c for k, c in constants.items() if k != "z"}, opset)
    proto.ir_version = 10
    network = agrees(proto, tmp_path)
    layer = network.nodes[0].layer
    assert isinstance(layer, Dense) and layer.coefficient_error == 0
    spread = {None: lambda p: p, 0: lambda p: p[:, None], "block": lambda p: np.repeat(p, 3, axis=0)}.get(
        axis, lambda p: p
    )
    factors = np.broadcast_to(spread(s.astype(float)), (6, 9))
    numbers = q.astype(int) - np.broadcast_to(spread(z.astype(int)), (6, 9))
    for place in np.ndindex(6, 9):
        assert Fraction(float(layer.weight.T[place])) == Fraction(float(factors[place])) * int(numbers[place])


@given(
    q=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3),
    scale=st.floats(1e-300, 1e280) | st.sampled_from([5e-324, 2.0**-1060, 3 * 2.0**-1074, 0.1, 2.0**-20]),
    zero=st.integers(-(2**31), 2**31 - 1),
)
@settings(max_examples=200, deadline=None)
def test_products_that_do_not_fit_have_a_bound(q, scale, zero):
    operands = [
        Constant(np.array(q, dtype=np.int32)),
        Constant(np.asarray(scale)),
        Constant(np.asarray(zero, np.int32)),
    ]
    (result,) = fold(Call("DequantizeLinear", list(operands), {}, 21, 1, Builder((1, 1))))
    error = np.broadcast_to(result.error, (3,))
    for k in range(3):
        distance = abs(Fraction(float(result.value[k])) - Fraction(scale) * (q[k] - zero))
        assert distance <= Fraction(float(error[k]))


@given(a=st.floats(allow_nan=False, allow_infinity=False), b=st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=200)
def test_products_that_are_called_exact_are(a, b):
    with np.errstate(all="ignore"):
        product = np.array([a]) * np.array([b])
    if rounded_product_is_exact(np.array([a]), np.array([b]), product):
        assert Fraction(float(product[0])) == Fraction(a) * Fraction(b)


def test_products_of_short_numbers_are_exact():
    assert rounded_product_is_exact(
        np.array([127.0, 0.0]), np.array([float(np.float32(0.1))] * 2), np.array([127 * 0.1, 0])
    )
    assert not rounded_product_is_exact(np.array([1 / 3]), np.array([1 / 3]), np.array([1 / 9]))


def test_quantised_values_are_refused(tmp_path):
    constants = {"s": np.float32(0.1), "z": stored("z", 0, np.int8)}
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"], "inner"), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    refused(save(model(nodes, (1, 3), constants), tmp_path), "QuantizeLinear", "'inner'", "rounds")


@pytest.mark.parametrize(
    ("scale", "zero", "attributes", "words"),
    [
        (np.ones(4, np.float32), None, {"axis": 0}, ["does not fit axis 0"]),
        (np.ones(6, np.float32), np.zeros(3, np.int8), {"axis": 0}, ["zero point"]),
        (np.ones(6, np.float32), None, {"axis": 5}, ["axis 5"]),
        (np.ones((3, 9), np.float32), None, {"axis": 0, "block_size": 3}, ["blocks"]),
        (np.float32(np.nan), None, {}, ["not finite"]),
    ],
)
def test_scales_that_do_not_fit(scale, zero, attributes, words, tmp_path):
    constants = {"a": stored("a", np.ones((6, 9)), np.int8), "s": numpy_helper.from_array(np.asarray(scale), "s")}
    inputs = ["a", "s"]
    if zero is not None:
        constants["z"], inputs = numpy_helper.from_array(zero, "z"), ["a", "s", "z"]
    nodes = [node("DequantizeLinear", inputs, ["A"], "scaled", **attributes), node("MatMul", ["x", "A"], ["y"])]
    refused(save(model(nodes, (1, 6), constants, 21), tmp_path), "DequantizeLinear", "'scaled'", *words)


def test_files_that_onnxruntime_loads_and_cannot_run(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = save(model([node("Relu", ["x"], ["y"])], (1, 3)), tmp_path)

    class Broken(onnxruntime.InferenceSession):
        def run(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("NOT_IMPLEMENTED: no kernel for this type")

    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken)
    verified = load(path).details["verified"]
    assert verified.startswith("onnx.reference") and "no kernel" in verified


def test_a_runtime_that_refuses_a_file_prints_nothing(tmp_path, capfd):
    dtype, kind = HALF[1]
    load(
        save(
            model([node("MatMul", ["x", "a"], ["y"])], (1, 2), {"a": stored("a", np.eye(2), dtype)}, kind=kind),
            tmp_path,
        )
    )
    assert capfd.readouterr().out == ""
