"""The checker's enclosures of smooth activations, against mpmath and against what the certifier says of each kind."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdpcert.check import elementary
from sdpcert.check.function import SLOPE_BITS, Function, Range
from sdpcert.check.functions import KINDS as NAMES
from sdpcert.check.functions import read
from sdpcert.check.reading import Rejected
from sdpcert.network import activations as act
from sdpcert.network.activation import Activation
from sdpcert.network.activations import KINDS
from sdpcert.network.piecewise_linear import HardSigmoid, PiecewiseLinear

#: mpmath rounds to this many digits: what cancels at the least and the greatest numbers takes hundreds.
DIGITS = 60
SMOOTH: list[Activation] = [
    act.sigmoid(),
    act.tanh(),
    act.elu(),
    act.elu(0.4),
    act.elu(3.0),
    act.elu(-0.8),
    act.elu(0.0),
    act.celu(),
    act.celu(0.25),
    act.celu(5.0),
    act.selu(),
    act.selu(0.5, 0.9),
    act.selu(2.0, 0.0),
    act.softplus(),
    act.softsign(),
    act.arctan(),
    act.sin(),
    act.cos(),
    act.erf(),
    act.gelu(),
    act.gelu_tanh(),
    act.silu(),
    act.mish(),
    act.hard_swish(),
    act.hard_sigmoid(),
    act.hard_sigmoid(1 / 6, 0.5),
    act.hard_sigmoid(-0.4, 0.1),
    act.hard_sigmoid(0.0, 0.3),
]
ONE = mpmath.mpf(1)
#: Turns, kinks, and points where tails begin.
PLACES = [0.0, 1.0, 1.4905711794854285, 2**0.5, 1.4185040087908284, math.pi / 2, 2.2563763963607932]
PLACES += [2.3993572805154677, 2.5, 3.0, math.pi, 5.0, 17.88854381999832, 320.0]


def inner(v: Any) -> Any:
    return mpmath.sqrt(2 / mpmath.pi) * (v + mpmath.mpf(44715) / 10**6 * v**3)


def normal(v: Any) -> Any:
    return mpmath.erfc(-v / mpmath.sqrt(2)) / 2 if abs(v) < 1e6 else mpmath.mpf(int(v > 0))


def sigmoid(v: Any) -> Any:
    return 1 / (1 + mpmath.exp(-v)) if v > 0 else mpmath.exp(v) / (1 + mpmath.exp(v))


def elu(v: Any, scale: float = 1.0) -> Any:
    return v if v >= 0 else scale * mpmath.expm1(v)


def mish_tanh(v: Any) -> Any:
    w = mpmath.exp(-abs(v))
    return (1 + 2 * w) / (1 + 2 * w + 2 * w * w) if v > 0 else (w * w + 2 * w) / (w * w + 2 * w + 2)


VALUES: dict[str, Callable[..., Any]] = {
    "sigmoid": sigmoid,
    "tanh": mpmath.tanh,
    "elu": elu,
    "celu": lambda v, a: v if v >= 0 else a * mpmath.expm1(v / a),
    "selu": lambda v, a, c: c * elu(v, mpmath.mpf(a)),
    "softplus": lambda v: max(v, 0) + mpmath.log1p(mpmath.exp(-abs(v))),
    "softsign": lambda v: v / (1 + abs(v)),
    "atan": mpmath.atan,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "erf": mpmath.erf,
    "gelu": lambda v: v * normal(v),
    "gelu_tanh": lambda v: v * sigmoid(2 * inner(v)),
    "silu": lambda v: v * sigmoid(v),
    "mish": lambda v: v * mish_tanh(v),
    "hard_swish": lambda v: v * min(max((v + 3) / 6, 0), 1),
    "hard_sigmoid": lambda v, a, b: min(max(a * v + b, 0), 1),
}


def gelu_tanh_slope(v: Any) -> Any:
    s = sigmoid(2 * inner(v))
    return s + 2 * v * s * sigmoid(-2 * inner(v)) * mpmath.sqrt(2 / mpmath.pi) * (
        1 + 3 * mpmath.mpf(44715) / 10**6 * v * v
    )


def mish_slope(v: Any) -> Any:
    t = mish_tanh(v)
    return t + v * (1 - t * t) * sigmoid(v)


#: At kinks that of the right.
DERIVATIVES: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda v: sigmoid(v) * sigmoid(-v),
    "tanh": lambda v: 4 * sigmoid(2 * v) * sigmoid(-2 * v),
    "elu": lambda v, a: ONE if v >= 0 else a * mpmath.exp(v),
    "celu": lambda v, a: ONE if v >= 0 else mpmath.exp(v / a),
    "selu": lambda v, a, c: mpmath.mpf(c) if v >= 0 else mpmath.mpf(c) * a * mpmath.exp(v),
    "softplus": sigmoid,
    "softsign": lambda v: 1 / (1 + abs(v)) ** 2,
    "atan": lambda v: 1 / (1 + v * v),
    "sin": mpmath.cos,
    "cos": lambda v: -mpmath.sin(v),
    "erf": lambda v: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-v * v),
    "gelu": lambda v: normal(v) + v * mpmath.exp(-v * v / 2) / mpmath.sqrt(2 * mpmath.pi),
    "gelu_tanh": gelu_tanh_slope,
    "silu": lambda v: sigmoid(v) * (1 + v * sigmoid(-v)),
    "mish": mish_slope,
    "hard_swish": lambda v: ONE if v >= 3 else (v / 3 + ONE / 2 if v >= -3 else 0 * ONE),
    "hard_sigmoid": lambda v, a, b: mpmath.mpf(a) if 0 <= a * v + b < 1 else 0 * ONE,
}


def ids(activation: Activation) -> str:
    return f"{activation.name}{[float(p) for p in activation.parameters] or ''}"


every = pytest.mark.parametrize("activation", SMOOTH, ids=ids)


def function(activation: Activation) -> Function:
    return read(activation.name, [float(p) for p in activation.parameters])


def number(exact: Fraction) -> Any:
    return mpmath.mpf(exact.numerator) / exact.denominator


def evaluated(table: dict[str, Callable[..., Any]], activation: Activation, x: float) -> Any:
    return table[activation.name](mpmath.mpf(x), *map(mpmath.mpf, activation.parameters))


def points(seed: int = 0, count: int = 120) -> list[float]:
    """Points of all sizes, those around kinks, turns and where the tails begin, and the extreme ones."""
    rng = random.Random(seed)
    special = [*PLACES, 5e-324, 2.0**-1022, 1e-300, 1e-30, 1e-9, 0.5, 1.25, 12.6, 88.0, 160.0, 256.0, 709.0]
    special += [1e3, 1e9, 1e22, 1e100, 1e154, 1e300, 1.7976931348623157e308]
    special += [math.nextafter(x, math.inf) for x in special if x < 1e308] + [math.nextafter(x, 0) for x in special]
    wide = [10.0 ** rng.uniform(-25, 4) for _ in range(count)] + [rng.uniform(0, 30) for _ in range(count)]
    return [sign * x for x in special + wide for sign in (1.0, -1.0)]


def test_the_checker_knows_every_function_whose_pieces_float64_does_not_hold() -> None:
    known = {kind.name for kind in KINDS if kind.name != "crop" and not issubclass(kind, PiecewiseLinear)}
    assert known == set(NAMES) == set(VALUES) == set(DERIVATIVES) == {a.name for a in SMOOTH}


def test_parameters_identify_a_function() -> None:
    """Two kinds never share a name, and what they are made of are the parameters in their order."""
    for activation in SMOOTH:
        again = type(activation)(*activation.parameters)
        assert again.parameters == activation.parameters
        v = np.linspace(-5, 5, 101)
        np.testing.assert_array_equal(again(v), activation(v))
    assert len({(a.name, a.parameters) for a in SMOOTH}) == len(SMOOTH)


@every
def test_values_are_enclosed(activation: Activation) -> None:
    ours = function(activation)
    with mpmath.workdps(DIGITS):
        for x in points():
            low, high = ours.value(Fraction(x))
            right = evaluated(VALUES, activation, x)
            slack = abs(right) * mpmath.mpf(10) ** (3 - DIGITS)
            assert number(low) - slack <= right <= number(high) + slack, x
            assert high - low <= max(1, abs(Fraction(x))) / 2**125, x


@every
def test_more_bits_lie_inside_of_fewer(activation: Activation) -> None:
    ours = function(activation)
    for x in [0.3, -0.3, 7.7, -7.7, 40.0, -40.0]:
        wide, narrow = ours.value(Fraction(x), 40), ours.value(Fraction(x), 300)
        assert narrow[1] - narrow[0] <= Fraction(1, 2**290)
        assert wide[0] <= narrow[1] and narrow[0] <= wide[1]


@every
def test_ends_of_values_are_multiples_of_a_power_of_two(activation: Activation) -> None:
    """So that they can be held as integers."""
    for x in points()[::7]:
        for end in function(activation).value(Fraction(x)):
            assert end.denominator & (end.denominator - 1) == 0


@every
def test_slopes_everywhere_are_within_those_that_the_kind_states(activation: Activation) -> None:
    least, most = function(activation).everywhere()
    assert Fraction(float(activation.alpha)) <= least <= most <= Fraction(float(activation.beta))
    with mpmath.workdps(DIGITS):
        for x in points():
            slope = evaluated(DERIVATIVES, activation, x)
            assert number(least) - mpmath.mpf(10) ** -50 <= slope <= number(most) + mpmath.mpf(10) ** -50


def sampled(activation: Activation, low: float, high: float, count: int = 100) -> tuple[Any, Any]:
    """The least and the greatest derivative at points of [low, high], where the derivative turns among them."""
    inside = {low, high} | {low + (high - low) * k / count for k in range(1, count)}
    turns = list(activation.turns or ())
    if activation.name in ("sin", "cos"):
        turns = [math.pi / 2 * k for k in range(-80, 81)]
    if isinstance(activation, HardSigmoid) and activation.slope:
        turns = [(end - activation.offset) / activation.slope for end in (0, 1)]
    for turn in turns:
        inside |= {math.nextafter(turn, -math.inf), turn, math.nextafter(turn, math.inf)}
    # A kink at the end belongs to the piece inside.
    with mpmath.workdps(DIGITS):
        tiny = (mpmath.mpf(high) - mpmath.mpf(low)) * mpmath.mpf(10) ** -40
        where = [mpmath.mpf(x) for x in inside if low < x < high] + [mpmath.mpf(low) + tiny, mpmath.mpf(high) - tiny]
        slopes = [evaluated(DERIVATIVES, activation, x) for x in where]
    return min(slopes), max(slopes)


def steepest(activation: Activation) -> Any:
    return max(abs(float(activation.alpha)), abs(float(activation.beta)), 1e-300)


@every
def test_derivatives_are_enclosed_and_no_wider_than_needed(activation: Activation) -> None:
    ours, rng = function(activation), random.Random(3)
    ends = [0.0, -3.0, 3.0, 2**0.5, -(2**0.5), 1.0, -1.0, 1e-9, -1e-9, -2.5, 2.5]
    for _ in range(30):
        low = rng.choice([*ends, rng.uniform(-6, 6), rng.gauss(0, 1) * 10 ** rng.uniform(-9, 2)])
        high = low + abs(rng.choice([1e-12, 1e-6, rng.uniform(0, 1), rng.uniform(0, 9)]))
        with mpmath.workdps(DIGITS):
            least, most = map(number, ours.derivative(Fraction(low), Fraction(high)))
            bottom, top = sampled(activation, low, high)
            slack = steepest(activation) * mpmath.mpf(10) ** -35
            assert least <= bottom + slack and top - slack <= most
            # A turn is sampled to a unit in the last place, where the derivative changes by the square of that.
            assert least >= bottom - 2e-12 * steepest(activation), (low, high)
            assert most <= top + 2e-12 * steepest(activation), (low, high)


finite = st.floats(allow_nan=False, allow_infinity=False)
sizes = finite | st.floats(-8, 8) | st.floats(-1e3, 1e3) | st.floats(-1e-3, 1e-3)
turning = st.sampled_from(PLACES)
around = st.tuples(turning, st.integers(-4, 4), st.integers(0, 9), st.sampled_from([1, -1])).map(
    lambda t: (
        t[3] * (t[0] + t[1] * 2.0**-51),
        t[3] * (t[0] + t[1] * 2.0**-51) + t[2] * 2.0**-51,
    )
)
intervals = st.tuples(sizes, sizes).map(lambda pair: (min(pair), max(pair))) | around


@every
@settings(max_examples=60, deadline=None)
@given(interval=intervals)
@example(interval=(-1.7976931348623157e308, 1.7976931348623157e308))
@example(interval=(0.0, 0.0))
@example(interval=(-5e-324, 5e-324))
@example(interval=(-5e-324, 0.0))
@example(interval=(0.0, 5e-324))
@example(interval=(-3.0, -3.0))
@example(interval=(3.0, 3.0))
@example(interval=(-2.5, -2.5))
@example(interval=(1e16, 1e16))
def test_what_the_certifier_says_of_an_interval_contains_what_the_checker_finds(
    activation: Activation, interval: tuple[float, float]
) -> None:
    low, high = interval
    least, most = function(activation).derivative(Fraction(low), Fraction(high))
    bottom, top = activation.slopes_on(low, high)
    assert Fraction(float(bottom)) <= least <= most <= Fraction(float(top))


numbers = st.floats(-1e100, 1e100) | st.floats(-3, 3)
sizes_of_scales = st.floats(1e-300, 1e100) | st.floats(0.1, 3)


@settings(max_examples=200, deadline=None)
@given(
    activation=st.builds(act.elu, numbers)
    | st.builds(act.celu, sizes_of_scales)
    | st.builds(act.selu, sizes_of_scales, sizes_of_scales)
    | st.builds(act.hard_sigmoid, numbers, numbers),
    interval=intervals,
)
def test_what_the_certifier_says_holds_for_any_parameters(
    activation: Activation, interval: tuple[float, float]
) -> None:
    ours = function(activation)
    least, most = ours.derivative(*map(Fraction, interval))
    bottom, top = activation.slopes_on(*interval)
    assert Fraction(float(bottom)) <= least <= most <= Fraction(float(top))
    least, most = ours.everywhere()
    assert Fraction(float(activation.alpha)) <= least <= most <= Fraction(float(activation.beta))


@every
@settings(max_examples=30, deadline=None)
@given(interval=intervals, inside=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_quotients_lie_in_the_slopes_of_an_interval(
    activation: Activation, interval: tuple[float, float], inside: tuple[float, float]
) -> None:
    """In exact arithmetic, with what the values are known to."""
    ours = function(activation)
    low, high = map(Fraction, interval)
    a, b = sorted(low + (high - low) * Fraction(part) for part in inside)
    first, last = ours.value(a, 256), ours.value(b, 256)
    least, most = ours.derivative(low, high)
    assert last[1] - first[0] >= least * (b - a) and last[0] - first[1] <= most * (b - a)


@every
@settings(max_examples=30, deadline=None)
@given(interval=intervals, inside=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_smaller_interval_has_no_other_slopes(
    activation: Activation, interval: tuple[float, float], inside: tuple[float, float]
) -> None:
    ours = function(activation)
    low, high = map(Fraction, interval)
    a, b = sorted(low + (high - low) * Fraction(part) for part in inside)
    outer, inner = ours.derivative(low, high), ours.derivative(a, b)
    rounding = Fraction(steepest(activation)) / 2**90
    everywhere = ours.everywhere()
    assert everywhere[0] <= outer[0] <= inner[0] + rounding or a == b
    assert everywhere[1] >= outer[1] >= inner[1] - rounding or a == b


HOSTILE: list[tuple[str, list[float], str]] = [
    ("relu", [], "no activation is called 'relu'"),
    ("", [], "no activation is called ''"),
    ("Tanh", [], "no activation is called"),
    ("x" * 1000, [], "no activation is called 'x{40}'$"),
    ("tanh", [1.0], "tanh has 0 parameters, not 1"),
    ("elu", [], "elu has 1 parameters, not 0"),
    ("selu", [1.0], "selu has 2 parameters, not 1"),
    ("elu", [math.nan], "not finite"),
    ("elu", [math.inf], "not finite"),
    ("celu", [math.inf], "not finite"),
    ("celu", [0.0], "celu is not positive"),
    ("celu", [-1.0], "celu is not positive"),
    ("celu", [-0.0], "celu is not positive"),
    ("selu", [-1.0, 1.0], "selu is negative"),
    ("selu", [1.0, -5e-324], "selu is negative"),
    ("hard_sigmoid", [math.nan, 0.5], "not finite"),
    ("hard_sigmoid", [0.2, -math.inf], "not finite"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), HOSTILE)
def test_a_function_that_is_none_is_rejected(name: str, parameters: list[float], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        read(name, parameters)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("elu", [1e308]),
        ("elu", [-1e308]),
        ("elu", [5e-324]),
        ("celu", [1e308]),
        ("celu", [5e-324]),
        ("selu", [1e308, 1e308]),
        ("selu", [1e308, 5e-324]),
        ("hard_sigmoid", [1e308, -1e308]),
        ("hard_sigmoid", [5e-324, 0.5]),
        ("hard_sigmoid", [-1e308, 1e308]),
    ],
)
def test_extreme_parameters_are_as_right_as_others(name: str, parameters: list[float]) -> None:
    ours = read(name, parameters)
    bottom, top = ours.everywhere()
    steep = max(abs(bottom), abs(top))
    begun = time.perf_counter()
    with mpmath.workdps(700):
        for x in [0.0, -5e-324, 5e-324, -1e-300, -1.0, 1.0, -700.0, -1e308, 1e308]:
            low, high = ours.value(Fraction(x))
            right = VALUES[name](mpmath.mpf(x), *map(mpmath.mpf, parameters))
            assert number(low) - abs(right) / mpmath.mpf(10) ** 650 <= right
            assert right <= number(high) + abs(right) / mpmath.mpf(10) ** 650
            assert high - low <= max(1, abs(Fraction(x))) / 2**125
            least, most = ours.derivative(Fraction(x), Fraction(x))
            assert bottom <= least <= most <= top and most - least <= steep / 2**90
    assert time.perf_counter() - begun < 2


@every
def test_a_value_and_a_slope_take_about_a_millisecond(activation: Activation) -> None:
    """With a wide margin for a busy machine; alone it is about a tenth of that."""
    ours, rng = function(activation), random.Random(0)
    where = [Fraction(rng.gauss(0, 3)) for _ in range(200)] + [Fraction(x) for x in points()[:40]]
    ours.derivative(*ours.value(where[0]))  # constants are computed once
    begun = time.process_time()
    for x in where:
        ours.value(x)
        ours.derivative(x, x + 1)
    assert (time.process_time() - begun) / len(where) < 5e-3


def enclosed(found: Range | elementary.Interval, right: Any, bits: int) -> None:
    low, high = found.ends if isinstance(found, elementary.Interval) else found
    slack = (1 + abs(right)) * mpmath.mpf(2) ** (-bits - 200)
    assert number(low) - slack <= right <= number(high) + slack
    assert number(high) - number(low) <= (1 + abs(right)) * mpmath.mpf(2) ** (8 - bits)


@settings(max_examples=200, deadline=None)
@given(scaled=st.integers(-(2**70), 2**70), bits=st.sampled_from([64, 128, 300, 1100]))
def test_elementary_functions_are_enclosed(scaled: int, bits: int) -> None:
    """Exponents up to 2^6 either way."""
    v = elementary.Interval(scaled << (bits - 64), scaled << (bits - 64), bits)
    with mpmath.workprec(2 * bits + 600):
        x = number(v.ends[0])
        enclosed(elementary.exponential(v), mpmath.exp(x), bits)
        enclosed(elementary.arctangent(v.ends[0], bits), mpmath.atan(x), bits)
        enclosed(elementary.cosine(v.ends[0], 0, bits), mpmath.cos(x), bits)
        enclosed(elementary.cosine(v.ends[0], 3, bits), mpmath.sin(x), bits)
        unit = elementary.Interval(abs(scaled) << (bits - 64) >> 6, abs(scaled) << (bits - 64) >> 6, bits)
        enclosed(elementary.logarithm_above_one(unit), mpmath.log1p(number(unit.ends[0])), bits)
        enclosed(elementary.square_root(unit), mpmath.sqrt(number(unit.ends[0])), bits // 2)
        enclosed(elementary.pi(bits), mpmath.pi, bits)
        enclosed(elementary.logarithm_of_two(bits), mpmath.log(2), bits)
        y = number(unit.ends[0])
        if y:
            root = mpmath.sqrt(y)
            right = mpmath.sqrt(mpmath.pi / 2) * mpmath.erf(root / mpmath.sqrt(2)) * mpmath.exp(y / 2) / root
            enclosed(elementary.gaussian_sum(unit), right, bits)


corners = st.integers(-(2**40), 2**40)


@settings(max_examples=300, deadline=None)
@given(ends=st.tuples(corners, corners, corners, corners), parts=st.tuples(st.integers(0, 8), st.integers(0, 8)))
def test_arithmetic_of_intervals_contains_every_result(ends: tuple[int, ...], parts: tuple[int, int]) -> None:
    a = elementary.Interval(min(ends[:2]), max(ends[:2]), 30)
    b = elementary.Interval(min(ends[2:]), max(ends[2:]), 30)
    x, y = (e.ends[0] + (e.ends[1] - e.ends[0]) * Fraction(part, 8) for e, part in zip((a, b), parts, strict=True))
    cases = [(a + b, x + y), (a - b, x - y), (a * b, x * y), (-a, -x), (a + 3, x + 3), (a * -5, x * -5), (a / 7, x / 7)]
    if b.low > 0:
        cases.append((a / b, x / y))
    else:
        with pytest.raises(ZeroDivisionError):
            assert a / b
    for found, right in cases:
        assert found.ends[0] <= right <= found.ends[1]


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "mish"])
def test_turns_are_where_the_second_derivative_vanishes(name: str) -> None:
    """The enclosures of the turns are narrow, and the derivative is extreme there."""
    ours: Any = read(name, [])
    with mpmath.workdps(DIGITS):
        for turn in ours.turns(SLOPE_BITS):
            low, high = map(number, turn.ends)
            assert 0 <= high - low <= mpmath.mpf(2) ** -110
            middle, step = (low + high) / 2, mpmath.mpf(10) ** -10
            slope, left, right = (DERIVATIVES[name](middle + k * step) for k in (0, -1, 1))
            assert (left - slope) * (right - slope) > 0


def test_what_cannot_be_computed_is_an_error_and_not_a_number() -> None:
    with pytest.raises(OverflowError):
        elementary.cosine(Fraction(2**10000), 0, 128)
    with pytest.raises(OverflowError):
        elementary.exponential(elementary.Interval(2**20 << 64, 2**20 << 64, 64))
