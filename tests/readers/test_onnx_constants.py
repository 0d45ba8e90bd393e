"""Constants that are computed while reading: the bound holds against exact arithmetic, at every scale."""

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import model, refused, save

from sdpcert.readers import UnsupportedModel, load
from sdpcert.readers.onnx.constants import FOLDED, fold
from sdpcert.readers.operators.error_bounds import TINY
from sdpcert.readers.operators.values import Builder, Call, Constant

node = helper.make_node
#: More digits than sums and products of a few float64 have.
EXACT = decimal.Context(prec=2400, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
#: For what has no finite number of digits.
MANY = decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


def call(operator: str, *operands: Constant, opset: int = 17, **attributes: Any) -> Call:
    return Call(operator, list(operands), attributes, opset, 1, Builder((1, 1)))


def exact(values: Any) -> np.ndarray:
    """Decimal numbers, without rounding."""
    return np.vectorize(Decimal, otypes=[object])(np.asarray(values, dtype=float))


def roots(a: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda x: x.sqrt(MANY), otypes=[object])(a)


def powers(a: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda x: x.exp(MANY), otypes=[object])(a)


def absolute(a: np.ndarray) -> np.ndarray:
    return np.vectorize(abs, otypes=[object])(a)


def by_series(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function of mpmath, with more digits than the argument has, and 80 of the value; 1e-2000 for what is less."""

    def one(x: Decimal) -> Decimal:
        argument = mpmath.mpf(str(x))
        value = 1 / (1 + mpmath.exp(-argument)) if name == "sigmoid" else getattr(mpmath, name)(argument)
        return Decimal("1e-2000") if 0 < value < mpmath.mpf("1e-2000") else Decimal(str(mpmath.nstr(value, 80)))

    def apply(a: np.ndarray) -> np.ndarray:
        with mpmath.workdps(2400):
            return np.vectorize(one, otypes=[object])(a)

    return apply


def clamped(a: np.ndarray, low: str, high: str) -> np.ndarray:
    return np.vectorize(lambda x: min(max(x, Decimal(low)), Decimal(high)), otypes=[object])(a)


#: What each operator means on two 2 x 2 matrices (the second left out by those of one), and its attributes.
MEANINGS: dict[str, tuple[str, Callable[..., Any], dict[str, Any]]] = {
    "add": ("Add", lambda a, b: a + b, {}),
    "sub": ("Sub", lambda a, b: a - b, {}),
    "mul": ("Mul", lambda a, b: a * b, {}),
    "div": ("Div", lambda a, b: a / b, {}),
    "sum": ("Sum", lambda a, b: a + b, {}),
    "matmul": ("MatMul", lambda a, b: a @ b, {}),
    "gemm": ("Gemm", lambda a, b: Decimal("0.75") * (a.T @ b), {"alpha": 0.75, "transA": 1}),
    "neg": ("Neg", lambda a: -a, {}),
    "abs": ("Abs", absolute, {}),
    "reciprocal": ("Reciprocal", lambda a: 1 / a, {}),
    "square": ("Pow", lambda a: a * a, {"power": 2.0}),
    "inverse": ("Pow", lambda a: 1 / a, {"power": -1.0}),
    "root": ("Pow", roots, {"power": 0.5}),
    "inverse root": ("Pow", lambda a: 1 / roots(a), {"power": -0.5}),
    "sqrt": ("Sqrt", roots, {}),
    "exp": ("Exp", powers, {}),
    "reduce sum": ("ReduceSum", lambda a: a.sum(keepdims=True), {}),
    "mean": ("ReduceMean", lambda a: a.sum(axis=0) / 2, {"axes": [0], "keepdims": 0}),
    "l1": ("ReduceL1", lambda a: absolute(a).sum(axis=1, keepdims=True), {"axes": [1]}),
    "l2": ("ReduceL2", lambda a: roots((a * a).sum(axis=1, keepdims=True)), {"axes": [1]}),
    "sin": ("Sin", lambda a: by_series("sin")(a), {}),
    "cos": ("Cos", lambda a: by_series("cos")(a), {}),
    "tanh": ("Tanh", lambda a: by_series("tanh")(a), {}),
    "sigmoid": ("Sigmoid", lambda a: by_series("sigmoid")(a), {}),
    "relu": ("Relu", lambda a: clamped(a, "0", "Infinity"), {}),
    "clip": ("Clip", lambda a: clamped(a, "-0.5", "3"), {"min": -0.5, "max": 3.0}),
    "squares": ("ReduceSumSquare", lambda a: (a * a).sum(axis=0, keepdims=True), {"axes": [0]}),
}
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 5e-324, -1e-310, 2.0**-1022, 1e-200, 1e200, 1.7e308, -800.0, 709.0]),
    st.builds(lambda m, e: m * 2.0**e, st.floats(-2, 2), st.integers(-1070, 1022)),
    st.floats(-4, 4),
)
ERRORS = st.one_of(st.just(0.0), st.just(5e-324), st.builds(lambda e: 2.0**e, st.integers(-1070, 900)))


@st.composite
def operand(draw: Any) -> tuple[Constant, np.ndarray]:
    """A constant with its bound, and exact values that the bound allows."""
    value = np.array(draw(st.lists(NUMBERS, min_size=4, max_size=4))).reshape(2, 2)
    if draw(st.booleans()):
        return Constant(value), exact(value)
    error = np.array(draw(st.lists(ERRORS, min_size=4, max_size=4))).reshape(2, 2)
    place = np.array(draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4))).reshape(2, 2)
    with decimal.localcontext(EXACT):
        return Constant(value, "", error), exact(value) + exact(error) * exact(place)


def positive(constant: Constant, truth: np.ndarray) -> tuple[Constant, np.ndarray]:
    """The absolute values, without a bound where that would reach below zero."""
    value, error = np.abs(constant.value), np.broadcast_to(constant.error, (2, 2))
    kept = error < value
    with decimal.localcontext(EXACT):
        return Constant(value, "", np.where(kept, error, 0.0)), np.where(kept, absolute(truth), exact(value))


def plain(*values: float) -> tuple[Constant, np.ndarray]:
    value = np.array(values, dtype=float).reshape(2, 2)
    return Constant(value), exact(value)


@pytest.mark.parametrize("meaning", MEANINGS)
@given(first=operand(), second=operand())
@example(first=plain(-800, -745, -746, 1), second=plain(1, 1, 1, 1))
@example(first=plain(1e-200, 1e-170, 1e-160, 0), second=plain(1e-200, 1e-150, 1e200, 5e-324))
@example(first=plain(1, 2, 3, 4), second=plain(1e200, 1e308, 3, 7))
@settings(max_examples=40, deadline=None)
def test_the_bound_holds_against_exact_arithmetic(meaning, first, second):
    operator, function, attributes = MEANINGS[meaning]
    operands = [first, second][: function.__code__.co_argcount]
    if meaning in ("root", "inverse root", "sqrt"):
        operands = [positive(*first)]
    constants = [c for c, _ in operands]
    if "power" in attributes:
        constants.append(Constant(np.asarray(attributes["power"])))
    try:
        (result,) = fold(call(operator, *constants, **attributes))
    except ValueError:  # not finite, or not defined; by name in the tests below
        assume(False)
        return
    with decimal.localcontext(EXACT):
        truth = function(*(t for _, t in operands))
        distance = absolute(truth - exact(result.value))
        bound = exact(np.broadcast_to(result.error, result.shape))
        # Roots and exponentials are cut off after 60 digits.
        assert np.all(distance <= bound + absolute(truth) * Decimal("1e-58"))


ORDINARY = st.floats(0.1, 4).flatmap(lambda x: st.sampled_from([x, x * 1e-30, x * 1e25]))


@pytest.mark.parametrize("meaning", [m for m in MEANINGS if m != "exp"])
@given(values=st.lists(ORDINARY, min_size=8, max_size=8))
@settings(max_examples=20, deadline=None)
def test_ordinary_numbers_are_computed_with_small_bounds(meaning, values):
    operator, function, attributes = MEANINGS[meaning]
    constants = [Constant(np.array(v).reshape(2, 2)) for v in (values[:4], values[4:])]
    constants = constants[: function.__code__.co_argcount]
    if "power" in attributes:
        constants.append(Constant(np.asarray(attributes["power"])))
    (result,) = fold(call(operator, *constants, **attributes))
    assert np.max(result.error) <= 1e-13 * np.max(np.abs(result.value))


def test_zero_by_structure_stays_exactly_zero():
    zero, one = Constant(np.zeros((2, 2))), Constant(np.array([[1.0, 1 / 3], [1e-30, 0.1]]), "", np.full((2, 2), 1e-37))
    for operator in ("Mul", "MatMul", "Div"):
        (result,) = fold(call(operator, zero, one))
        assert result.exact and not np.any(result.value)


def test_underflow_is_not_zero():
    (result,) = fold(call("Exp", Constant(np.array([-800.0]))))
    assert result.value[0] == 0 and result.error[0] >= TINY  # type: ignore[index]
    (result,) = fold(call("Mul", Constant(np.array([1e-200])), Constant(np.array([1e-200]))))
    assert result.value[0] == 0 and result.error[0] >= TINY  # type: ignore[index]


@pytest.mark.parametrize("error", [np.nan, np.inf, -1.0])
def test_a_bound_is_a_finite_number(error):
    with pytest.raises(UnsupportedModel, match="bound"):
        Constant(np.ones(2), "", np.array([0.0, error]))


def test_entries_with_a_bound_count_however_small():
    constant = Constant(np.array([1e20, 1.0]), "", np.array([5e-324, 0.0]))
    assert not constant.exact and constant.relative_error() > 0
    with pytest.raises(UnsupportedModel, match="underflow"):
        Constant(np.array([0.0, 1.0]), "w", np.array([1e-300, 0.0])).relative_error()


INFINITE = [
    ("Exp", [800.0], {}),
    ("Exp", [np.inf], {}),
    ("Reciprocal", [5e-324], {}),
    ("Reciprocal", [np.inf], {}),
    ("Sqrt", [np.inf], {}),
    ("ReduceSum", [np.inf], {}),
    ("ReduceL2", [1e200], {}),
]


@pytest.mark.parametrize(("operator", "value", "attributes"), INFINITE)
def test_what_is_not_finite_is_refused(operator, value, attributes):
    with pytest.raises(UnsupportedModel, match="not finite"):
        fold(call(operator, Constant(np.array(value)), **attributes))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "MatMul", "Gemm", "Sum"])
def test_infinite_operands_are_refused(operator):
    for a, b in (
        (np.inf, 1.0),
        (1.0, -np.inf),
        (np.nan, 0.0),
        (1e308, 1e308) if operator != "Div" else (1e308, 1e-308),
    ):
        if operator == "Sub" and a == b:
            b = -b
        with pytest.raises(ValueError, match=r"not finite|zero"):
            fold(call(operator, Constant(np.full((1, 1), a)), Constant(np.full((1, 1), b))))


def test_infinite_ends_may_be_moved_and_stored():
    (moved,) = fold(call("Reshape", Constant(np.array([-np.inf])), Constant(np.array([1, 1]))))
    assert moved.value == -np.inf


INTEGERS = st.sampled_from([0, 1, -1, 3, -7, 127, -128, 255, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63)])
KINDS = ["i1", "u1", "i4", "i8", "u8"]


@pytest.mark.parametrize("kind", KINDS)
@given(a=INTEGERS, b=INTEGERS)
@settings(max_examples=60, deadline=None)
def test_integers_are_exact_or_refused(kind, a, b):
    ends = np.iinfo(kind)
    assume(ends.min <= a <= ends.max and ends.min <= b <= ends.max)
    quotient = None if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    truths = {"Add": a + b, "Sub": a - b, "Mul": a * b, "MatMul": a * b, "Div": quotient, "Neg": -a, "Abs": abs(a)}
    for operator, truth in truths.items():
        operands = [Constant(np.array([[k]], dtype=kind)) for k in ((a,) if operator in ("Neg", "Abs") else (a, b))]
        try:
            (result,) = fold(call(operator, *operands))
        except ValueError:
            size = abs(a) * abs(b) if operator in ("Mul", "MatMul") else abs(a) + abs(b)
            assert truth is None or size >= 2**63 or not ends.min <= truth <= ends.max
            continue
        assert int(result.value.ravel()[0]) == truth and result.value.dtype == np.dtype(kind)


def test_integers_of_reductions_powers_and_ranges():
    many = Constant(np.array([2**31 - 1, 2**31 - 1], dtype=np.int32))
    for operator in ("ReduceSum", "ReduceProd"):
        with pytest.raises(UnsupportedModel, match=r"fit|overflow"):
            fold(call(operator, many))
    (result,) = fold(call("ReduceProd", Constant(np.array([3, -4, 5]))))
    assert result.value.item() == -60
    with pytest.raises(UnsupportedModel):
        fold(call("Pow", Constant(np.array([10])), Constant(np.array([19]))))
    with pytest.raises(UnsupportedModel):
        fold(call("Pow", Constant(np.array([10])), Constant(np.array([0.5]))))
    (result,) = fold(call("Pow", Constant(np.array([10])), Constant(np.array([3]))))
    assert result.value.item() == 1000
    (result,) = fold(call("Range", *(Constant(np.array(k)) for k in (0.0, 1.0, 0.1))))
    assert len(result.value) == 10 and not result.exact
    with decimal.localcontext(EXACT):
        truth = np.array([k * exact(0.1).item() for k in range(10)])
        assert np.all(absolute(truth - exact(result.value)) <= exact(np.broadcast_to(result.error, (10,))))
    (result,) = fold(call("Range", *(Constant(np.array(k, dtype=np.int32)) for k in (7, 0, -3))))
    assert result.value.tolist() == [7, 4, 1] and result.value.dtype == np.int32


def test_casts():
    (result,) = fold(call("Cast", Constant(np.array([2**60 + 1])), to=TensorProto.DOUBLE))
    assert result.error >= 1 and abs(int(result.value[0]) - (2**60 + 1)) <= result.error
    (result,) = fold(call("Cast", Constant(np.array([2**53])), to=TensorProto.FLOAT))
    assert result.exact
    (result,) = fold(call("Cast", Constant(np.array([1 / 3])), to=TensorProto.FLOAT16))
    assert result.exact and result.value[0] == float(np.float16(1 / 3))
    for value, to in (
        (np.array([1e30]), TensorProto.INT64),
        (np.array([np.nan]), TensorProto.INT32),
        (np.array([-1.0]), TensorProto.UINT8),
        (np.array([300]), TensorProto.INT8),
        (np.array([1e6]), TensorProto.FLOAT16),
        (np.array([np.nan]), TensorProto.BOOL),
    ):
        with pytest.raises(UnsupportedModel):
            fold(call("Cast", Constant(value), to=to))


def test_remainders():
    for fmod, truth in ((0, 2), (1, -1)):
        (result,) = fold(call("Mod", Constant(np.array([-7])), Constant(np.array([3])), fmod=fmod))
        assert result.value.item() == truth
    with pytest.raises(UnsupportedModel):
        fold(call("Mod", Constant(np.array([-7])), Constant(np.array([0]))))
    with pytest.raises(UnsupportedModel):
        fold(call("Mod", Constant(np.array([1.5])), Constant(np.array([1.0]))))


def test_floats_and_integers_do_not_mix():
    for operator in ("Add", "Mul", "Div", "MatMul", "Concat"):
        with pytest.raises(UnsupportedModel, match="mixes"):
            fold(call(operator, Constant(np.ones((1, 1))), Constant(np.ones((1, 1), dtype=int)), axis=0))


@pytest.mark.parametrize(
    ("operator", "function"), [("GreaterOrEqual", np.greater_equal), ("LessOrEqual", np.less_equal)]
)
def test_comparisons_of_exact_constants(operator, function):
    a, b = np.array([1.0, 2.0, np.nextafter(3.0, 4.0)]), np.array([2.0, 2.0, 3.0])
    (result,) = fold(call(operator, Constant(a), Constant(b)))
    assert result.exact and np.array_equal(result.value, function(a, b))
    with pytest.raises(UnsupportedModel, match="comparison"):
        fold(call(operator, Constant(a, "", np.full(3, 1e-9)), Constant(b)))


def test_steps_and_exclusive_or_of_exact_constants():
    values = np.array([-2.5, -0.5, 0.0, 0.5, 1.5, 2.5])
    for operator, function in (("Round", np.rint), ("Sign", np.sign)):
        (result,) = fold(call(operator, Constant(values)))
        assert result.exact and np.array_equal(result.value, function(values))
        with pytest.raises(UnsupportedModel, match="comparison"):
            fold(call(operator, Constant(values, "", np.full(6, 1e-9))))
    left, right = np.array([True, True, False, False]), np.array([True, False, True, False])
    (result,) = fold(call("Xor", Constant(left), Constant(right)))
    assert result.exact and result.value.tolist() == [False, True, True, False]


def test_every_operator_on_constants_is_tested_here():
    tested = {operator for operator, _, _ in MEANINGS.values()} | {"ReduceProd", "Range", "Cast", "Mod"}
    whole = {"Concat", "Pad", "ConstantOfShape", "Where", "Equal", "Greater", "Less", "Not", "And", "Or", "Xor"}
    whole |= {"GreaterOrEqual", "LessOrEqual", "Round", "Sign"}
    assert set(FOLDED) == tested | whole | {"Max", "Min", "Floor", "Ceil", "ReduceMax", "ReduceMin", "DequantizeLinear"}


def computed(nodes: list[Any], constants: dict[str, Any], folder: Any) -> Any:
    """`relu(x w) v` with a weight w that the nodes compute, in double precision."""
    nodes = [*nodes, node("MatMul", ["x", "w"], ["z"]), node("Relu", ["z"], ["r"]), node("MatMul", ["r", "v"], ["y"])]
    stored = {k: numpy_helper.from_array(np.asarray(c), k) for k, c in constants.items()}
    return save(model(nodes, (1, 1), stored, kind=TensorProto.DOUBLE), folder)


def test_weights_from_what_underflowed_or_overflowed(tmp_path):
    one, big = np.ones((1, 1)), np.full((1, 1), 1e200)
    product = [node("Mul", ["e", "b"], ["m"]), node("Mul", ["m", "b"], ["n"]), node("Add", ["n", "c"], ["w"])]
    constants = {"b": big, "c": one, "v": one}
    for first, extra in (
        ([node("Exp", ["a"], ["e"])], {"a": np.full((1, 1), -800.0)}),
        ([node("Mul", ["a", "a"], ["e"])], {"a": np.full((1, 1), 1e-200)}),
        ([node("Pow", ["a", "p"], ["e"])], {"a": np.full((1, 1), 1e-200), "p": np.array(2.0)}),
        ([node("MatMul", ["a", "a"], ["e"])], {"a": np.full((1, 1), 1e-200)}),
        ([node("ReduceSumSquare", ["a"], ["e"])], {"a": np.full((1, 1), 1e-200)}),
        ([node("Div", ["a", "b"], ["e"])], {"a": np.full((1, 1), 1e-200)}),
    ):
        refused(computed([*first, *product], {**constants, **extra}, tmp_path), "cancellation or underflow")
    quotient = [node("Exp", ["a"], ["e"]), node("Div", ["one", "e"], ["d"]), node("Mul", ["d", "b"], ["w"])]
    constants = {"a": np.array([[1.0, 800.0]]), "b": np.array([[1.0, 1e200]]), "one": one, "v": np.ones((2, 1))}
    refused(computed(quotient, constants, tmp_path), "Exp", "not finite")
    sound = {**constants, "a": np.array([[1.0, -2.0]]), "b": np.array([[1.0, 3.0]])}
    network = load(computed(quotient, sound, tmp_path))
    np.testing.assert_allclose(network(np.array([2.0])), [2 * np.exp(-1.0) + 6 * np.exp(2.0)])


def test_a_bias_that_was_lost_is_refused(tmp_path):
    nodes = [
        node("Exp", ["a"], ["e"]),
        node("Mul", ["e", "b"], ["m"]),
        node("Mul", ["m", "b"], ["n"]),
        node("Add", ["x", "n"], ["y"]),
    ]
    constants = {"a": np.array([-800.0]), "b": np.array([1e200])}
    stored = {k: numpy_helper.from_array(c, k) for k, c in constants.items()}
    refused(save(model(nodes, (1, 1), stored, kind=TensorProto.DOUBLE), tmp_path), "underflow")
