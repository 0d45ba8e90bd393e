"""What every kind of activation has to do. A kind is in this suite as soon as it is in `activations.KINDS`."""

from __future__ import annotations

import pickle
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.evaluation.apart import can_go_apart
from sdpcert.network import activations as act
from sdpcert.network.activation import DERIVATIVE_ERROR, Activation
from sdpcert.network.activations import KINDS
from sdpcert.network.affine import Dense
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise_linear import Softshrink

Array = np.ndarray
FLOAT64, FLOAT32 = 2.0**-53, 2.0**-24
#: Parameters other than the usual ones.
UNUSUAL: list[Activation] = [
    act.leaky_relu(0.3),
    act.leaky_relu(-0.7),
    act.leaky_relu(2.5),
    act.elu(0.4),
    act.elu(3.0),
    act.elu(-0.8),
    act.celu(0.25),
    act.celu(5.0),
    act.selu(0.5, 0.9),
    act.clip(-0.3, 1.7),
    act.clip(0.5, np.inf),
    act.clip(-np.inf, -0.25),
    act.hard_sigmoid(1 / 6, 0.5),
    act.hard_sigmoid(-0.4, 0.1),
    act.crop(0.0),
    Softshrink(1.25),
    Softshrink(0.0),
]


#: Attributes of the operators that jump with their default ones.
ATTRIBUTES: dict[str | None, dict[str, float]] = {"Shrink": {"lambd": 0.5, "bias": 0.5}}


def usual(kind: type[Activation]) -> list[Activation]:
    return [make() for make in kind.usual().values()] or [kind()]


EXAMPLES = [activation for kind in KINDS for activation in usual(kind)] + UNUSUAL
SMOOTH = [a for a in EXAMPLES if a.turns is not None]
PIECEWISE = [a for a in EXAMPLES if a.segment(np.zeros(1)) is not None]
#: All but the one that stands for neurons which may be zero as well.
FUNCTIONS = [a for a in EXAMPLES if a.name != "crop"]


def ids(activations: list[Activation]) -> list[str]:
    return [f"{a.name}{[float(p) for p in a.parameters] or ''}" for a in activations]


def every(activations: list[Activation]) -> Any:
    return pytest.mark.parametrize("activation", activations, ids=ids(activations))


def exact(activation: Activation, value: float) -> Fraction:
    """The value of a piecewise linear function in exact arithmetic."""
    found = activation.segment(np.array([value]))
    assert found is not None
    slope, at_zero = (Fraction(float(part[0])) for part in found)
    return slope * Fraction(value) + at_zero


def points(count: int, seed: int = 0) -> Array:
    """Points of all sizes, those around kinks and turns, and zero."""
    rng = np.random.default_rng(seed)
    special = np.array([0.0, 0.3, 0.5, 1.0, 1.4142135623730951, 1.7, 2.5, 3.0, 6.0, np.pi / 2, np.pi])
    near = special[:, None] * (1 + 2.0**-52 * np.arange(-3, 4))
    wide = rng.standard_normal(count) * 10.0 ** rng.uniform(-12, 3, count)
    return np.concatenate([near.ravel(), -near.ravel(), wide, rng.uniform(-8, 8, count), [1e-300, -1e-300, 1e150]])


def test_a_kind_is_known_by_one_name() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == len({kind.__name__ for kind in KINDS})
    for names in ([n for k in KINDS for n in k.torch_functions], [k.onnx for k in KINDS if k.onnx is not None]):
        assert len(set(names)) == len(names)


@every(FUNCTIONS)
def test_sampled_slopes_lie_in_the_interval(activation: Activation) -> None:
    """A million pairs: near and far, around kinks and in the tails; the tolerance is the rounding of the quotient."""
    rng = np.random.default_rng(1)
    count = 250_000
    a = np.concatenate(
        [
            rng.uniform(-8, 8, count),
            rng.standard_normal(count) * 10.0 ** rng.uniform(-6, 3, count),
            rng.uniform(-3, 3, count),
            rng.choice([-6.0, -3.0, -2.5, -1.0, -0.3, 0.0, 1.0, 1.7, 2.5, 3.0, 6.0], count),
        ]
    )
    step = rng.choice([-1.0, 1.0], len(a)) * 10.0 ** rng.uniform(-5, 1, len(a))
    slope, tolerance = quotients(activation, a, a + step)
    assert np.all(slope >= activation.alpha - tolerance)
    assert np.all(slope <= activation.beta + tolerance)


def quotients(activation: Activation, a: Array, b: Array) -> tuple[Array, Array]:
    """Difference quotients, and how far values that are right to some units can move them."""
    top, bottom = activation(b), activation(a)
    size = np.abs(a) + np.abs(b) + np.abs(top) + np.abs(bottom) + 1
    return (top - bottom) / (b - a), 16 * 2.0**-52 * size / np.abs(b - a)


@every(FUNCTIONS)
def test_the_derivative_is_right_and_fills_the_interval(activation: Activation) -> None:
    grid = np.concatenate([np.linspace(-60, 60, 240_001), np.linspace(-4, 4, 80_001) + 1e-6])
    slopes = np.broadcast_to(activation.derivative(grid), grid.shape)
    assert np.all(slopes >= activation.alpha) and np.all(slopes <= activation.beta)
    assert slopes.min() == pytest.approx(activation.alpha, abs=2e-3)
    assert slopes.max() == pytest.approx(activation.beta, abs=2e-3)
    h = 1e-5
    grid = np.linspace(-9, 9, 1801) + 0.00123  # no kink within h of a point
    quotient = (activation(grid + h) - activation(grid - h)) / (2 * h)
    np.testing.assert_allclose(activation.derivative(grid), quotient, atol=1e-8, rtol=1e-7)


@every(SMOOTH)
def test_the_derivative_is_monotone_between_turns(activation: Activation) -> None:
    ends = [-60.0, *(activation.turns or ()), 60.0]
    for low, high in pairwise(ends):
        inside = np.linspace(low, high, 40_001)[1:-1]
        steps = np.diff(activation.derivative(inside))
        assert np.all(steps >= -DERIVATIVE_ERROR) or np.all(steps <= DERIVATIVE_ERROR)


intervals = st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(sorted) | st.tuples(
    st.floats(-1e6, 1e6), st.floats(0, 2)
).map(lambda pair: [pair[0], pair[0] + pair[1]])


@every(EXAMPLES)
@settings(max_examples=40, deadline=None)
@given(interval=intervals, seed=st.integers(0, 1000))
def test_slopes_between_two_points_lie_in_their_interval(
    activation: Activation, interval: list[float], seed: int
) -> None:
    low, high = interval
    least, most = activation.slopes_on(low, high)
    assert activation.alpha <= least <= most <= activation.beta
    inside = np.linspace(low, high, 101)
    slopes = activation.derivative(inside[1:-1])
    if low < inside[1] < inside[-2] < high:  # the derivative itself is evaluated with rounding
        rounding = DERIVATIVE_ERROR * max(abs(float(activation.alpha)), abs(float(activation.beta)))
        assert np.all(slopes >= least - rounding) and np.all(slopes <= most + rounding)
    a, b = np.sort(np.random.default_rng(seed).uniform(low, high, (2, 50)), axis=0)
    a, b = a[a < b], b[a < b]
    slope, tolerance = quotients(activation, a, b)
    assert np.all(slope >= least - tolerance) and np.all(slope <= most + tolerance)
    if activation.segment(np.zeros(1)) is not None and len(a):
        for first, second in zip(a, b, strict=True):
            rise = exact(activation, second) - exact(activation, first)
            run = Fraction(float(second)) - Fraction(float(first))
            assert Fraction(float(least)) * run <= rise <= Fraction(float(most)) * run


@every(SMOOTH)
def test_slopes_on_small_intervals_are_those_of_the_derivative(activation: Activation) -> None:
    low = np.linspace(-5, 5, 2001)
    high = low + 1e-3
    least, most = activation.slopes_on(low, high)
    ends = np.sort([activation.derivative(low), activation.derivative(high)], axis=0)
    jumps = (low[:, None] <= (activation.turns or ())) & (high[:, None] >= (activation.turns or ()))
    plain = ~jumps.any(axis=1)
    np.testing.assert_allclose(least[plain], ends[0][plain], atol=1e-11)
    np.testing.assert_allclose(most[plain], ends[1][plain], atol=1e-11)


@every(EXAMPLES)
def test_slopes_where_an_end_is_not_finite(activation: Activation) -> None:
    low = np.array([-np.inf, 0.0, -np.inf, np.nan, 1.0, -1e300])
    high = np.array([np.inf, np.inf, 0.0, 1.0, np.nan, 1e300])
    least, most = activation.slopes_on(low, high)
    whole = np.isnan(low) | np.isnan(high) | (np.isinf(low) & np.isinf(high))
    assert np.all(least[whole] == activation.alpha) and np.all(most[whole] == activation.beta)
    v = np.linspace(0, 50, 5001)
    for k, side in ((1, v), (2, -v)):
        slopes = activation.derivative(side[1:])
        assert np.all(slopes >= least[k]) and np.all(slopes <= most[k])
    with pytest.raises(ValueError, match="above its upper end"):
        activation.slopes_on(1.0, 0.0)


@every(EXAMPLES)
def test_what_is_said_to_be_linear_is_linear(activation: Activation) -> None:
    rng = np.random.default_rng(2)
    low = np.concatenate([points(500), rng.uniform(-4, 4, 500)])
    low, high = np.sort([low, low + rng.uniform(0, 3, len(low))], axis=0)
    sure, slope = activation.linear_on(low, high)
    assert sure.shape == slope.shape == low.shape
    rise = activation(high) - activation(low)
    size = np.abs(low) + np.abs(high) + np.abs(activation(low)) + np.abs(activation(high))
    assert np.all(np.abs(rise - slope * (high - low))[sure] <= (8 * FLOAT64 * size)[sure])
    least, most = activation.slopes_on(low, high)
    assert np.all((least == slope)[sure]) and np.all((most == slope)[sure])


@every(PIECEWISE)
def test_pieces_are_found_where_they_are(activation: Activation) -> None:
    v = points(2000)
    sure, _ = activation.linear_on(v, v)
    assert sure.all()
    ends = [-1e5, *np.unique(v[np.abs(v) < 100]), 1e5]
    found = [activation.linear_on(a, b) for a, b in pairwise(ends)]
    assert sum(bool(sure) for sure, _ in found) >= len(found) - 2


@every(EXAMPLES)
def test_symmetry_sign_and_pieces_are_those_of_the_function(activation: Activation) -> None:
    v = points(2000)[:-1]
    value, opposite = activation(v), activation(-v)
    if activation.reflection is not None:
        a, b, c = activation.reflection
        assert abs(a) == 1
        np.testing.assert_allclose(opposite, a * value + b * v + c, rtol=1e-12, atol=1e-13)
    if activation.nonnegative:
        assert np.all(value >= 0) and np.all(activation(points(20)) >= 0)
    if activation.pieces is not None:
        below, above = activation.pieces
        np.testing.assert_array_equal(value, np.where(v > 0, above * v, below * v))
    if activation.is_linear:
        np.testing.assert_array_equal(value, activation.alpha * v)


@every(PIECEWISE)
def test_roundings_are_counted(activation: Activation) -> None:
    """In float64 and in float32 against exact arithmetic."""
    torch = pytest.importorskip("torch")
    v = points(300)
    v = v[(np.abs(v) < 1e30) & (np.abs(v) > 1e-30)]
    single = torch.tensor(v, dtype=torch.float32)
    steepest = Fraction(activation.steepest)
    for roundoff, at, values in (
        (FLOAT64, v, activation(v)),
        (FLOAT64, v, activation.on_torch(torch.from_numpy(v)).numpy()),
        (FLOAT32, single.double().numpy(), activation.on_torch(single).double().numpy()),
    ):
        error = activation.evaluation_error(roundoff)
        assert error is not None
        of_result, of_argument = map(Fraction, error)
        for x, y in zip(at.tolist(), values.tolist(), strict=True):
            right = exact(activation, x)
            assert abs(Fraction(y) - right) <= of_result * abs(right) + of_argument * steepest * abs(Fraction(x))


def test_a_clamp_at_what_float32_does_not_hold_is_rounded_there() -> None:
    assert act.clip(-1.0, 6.0).evaluation_error(FLOAT32) == (0.0, 0.0) == act.clip(-1.0, 0.1).evaluation_error(FLOAT64)
    assert act.clip(-1.0, 0.1).evaluation_error(FLOAT32) == (2 * FLOAT32, 0.0)
    assert act.tanh().evaluation_error(FLOAT32) is None


@every(EXAMPLES)
def test_torch_evaluates_as_exactly_as_numpy(activation: Activation) -> None:
    torch = pytest.importorskip("torch")
    v = points(3000)
    error = activation.evaluation_error(FLOAT64)
    assert error is not None
    of_result, of_argument = error
    values = activation(v)
    inputs = torch.from_numpy(v).requires_grad_()
    result = activation.on_torch(inputs)
    bound = 2 * (of_result * np.abs(values) + of_argument * activation.steepest * np.abs(v)) + 1e-300
    assert np.all(np.abs(result.detach().numpy() - values) <= bound)
    result.sum().backward()
    inside = np.abs(v) < 1e100
    slopes, smooth = inputs.grad.numpy(), np.abs(np.diff(activation.slopes_on(v - 1e-9, v + 1e-9), axis=0)[0]) < 1e-6
    np.testing.assert_allclose(slopes[inside & smooth], activation.derivative(v)[inside & smooth], atol=1e-7)


@every(EXAMPLES)
def test_a_module_is_read_as_the_activation(activation: Activation) -> None:
    nn = pytest.importorskip("torch.nn")
    network = sdpcert.from_torch(nn.Sequential(activation.module()).double(), (4,))
    v = np.random.default_rng(0).standard_normal((50, 4)) * 3
    np.testing.assert_allclose(network(v), activation(v), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in KINDS for n in k.torch_functions])
def test_torch_functions_are_read_as_the_kind(kind: type[Activation], name: str) -> None:
    torch = pytest.importorskip("torch")
    owners = (torch.special,) if name.startswith("special_") else (torch.nn.functional, torch, torch.Tensor)
    function = next(found for owner in owners if (found := getattr(owner, name.removeprefix("special_"), None)))

    class Called(torch.nn.Module):
        def forward(self, inputs: Any) -> Any:
            return function(inputs)

    network = sdpcert.from_torch(Called(), (4,))
    assert [type(node.layer) for node in network.nodes] == [kind]


@pytest.mark.parametrize("kind", [k for k in KINDS if k.onnx is not None])
def test_an_onnx_node_is_read_as_the_kind(kind: type[Activation], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    version = 22
    node = onnx.helper.make_node(kind.onnx, ["x"], ["y"], **ATTRIBUTES.get(kind.onnx, {}))
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    graph = onnx.helper.make_graph([node], "one", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)], ir_version=10)
    path = tmp_path / "one.onnx"
    path.write_bytes(model.SerializeToString())
    network = sdpcert.load(path)  # which runs the file beside it
    assert [type(node.layer) for node in network.nodes] == [kind]


@every(EXAMPLES)
def test_a_form_goes_to_another_process_with_its_activations(activation: Activation) -> None:
    rng, graph = np.random.default_rng(0), Graph((3,))
    value = graph.add(activation, graph.add(Dense(rng.standard_normal((4, 3)), rng.standard_normal(4)), 0))
    form = graph.network(graph.add(Dense(rng.standard_normal((2, 4))), value)).stacked
    assert can_go_apart(form)
    moved = pickle.loads(pickle.dumps(form))
    x = rng.standard_normal((7, 3))
    assert moved.sha256 == form.sha256
    np.testing.assert_array_equal(moved.evaluate(x), form.evaluate(x))
    for ours, theirs in zip(form.groups, moved.groups, strict=True):
        assert type(theirs.activation) is type(ours.activation)
        assert theirs.activation.parameters == ours.activation.parameters
