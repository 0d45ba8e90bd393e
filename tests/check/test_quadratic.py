"""Bounds by quadratic facts in integers, against what the same weights prove in floating point, and against points."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import network as networks
from sdpcert.check import region as regions
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.bounding import GUARD, MORE_BITS
from sdpcert.check.pieces import QuadraticStep
from sdpcert.check.quadratic import check_quadratic
from sdpcert.check.reading import Rejected
from sdpcert.check.state import first_state, input_bits
from tests.check import covers
from tests.check.covers import Document
from tests.check.quadratic_cases import NEAR, Case, affine_case, numbers, random_case
from tests.check.quadratic_oracle import ABSOLUTE, HARD_TANH, KINDS, LEAKY, RELU, TANH, Kind, Piece, linear_pieces

Array = np.ndarray

# ---------------------------------------------------------------- what weights prove


def agrees(case: Case) -> None:
    assert case.accepts(case.best - case.tolerance)
    assert not case.accepts(case.best + case.tolerance)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS))
def test_what_is_proved_is_what_the_weights_prove_and_holds_at_points(seed: int, kind: Kind) -> None:
    case = random_case(seed, kind)
    if case is not None:
        agrees(case)
        found = case.sign * case.piece.sample(np.random.default_rng(seed), 2000)[-1][:, case.neuron]
        assert np.all(found >= case.best - case.tolerance)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS))
def test_inputs_wider_than_the_rows_are_replaced(seed: int, kind: Kind) -> None:
    case = random_case(seed, kind, widest=40)
    if case is not None:
        agrees(case)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-60, 60))
def test_scales_of_weights_and_inputs_do_not_matter(seed: int, exponent: int) -> None:
    """The same network with inputs times t, and with its first weights divided by t."""
    case = random_case(seed, RELU)
    if case is None:
        return
    t, piece = 2.0**exponent, case.piece
    (weights, bias), *rest = piece.layers
    ball = None if piece.ball is None else (piece.ball[0] * t, piece.ball[1] * t)
    low, high = piece.box
    other = replace(piece, layers=[(weights / t, bias), *rest], box=(low * t, high * t), ball=ball)
    split = None if case.split is None else (case.split[0], case.split[1] * t, case.split[2])
    outer = case.outer[0] * t, case.outer[1] * t
    scaled = replace(case, piece=other, split=split, outer=outer)
    scaled = replace(scaled, ball=case.ball / t**2) if case.scales is None else replace(scaled, scales=case.scales * t)
    assert scaled.accepts(case.best - case.tolerance)
    assert not scaled.accepts(case.best + case.tolerance)


def test_weights_of_zero_leave_out_what_nothing_reads() -> None:
    case, least = affine_case(), 13 - np.sqrt(10) / 2
    assert case.accepts(least - NEAR) and not case.accepts(least + NEAR)


def test_what_the_preactivation_reads_has_to_be_weighed() -> None:
    case = affine_case()
    case.piece.low[0][0] = -1.0  # undecided now
    case.weights = [[np.zeros(6), np.zeros(6)]]
    assert not case.accepts(-100.0)


def test_a_ball_that_is_not_weighed_bounds_nothing() -> None:
    assert not replace(affine_case(), ball=0.0).accepts(-100.0)


# ---------------------------------------------------------------- what is uncertain


def charges(case: Case) -> float:
    """What radii of weights and biases may change, for one hidden layer."""
    piece, (low, high) = case.piece, case.piece.box
    size = np.maximum(np.abs(low), np.abs(high))
    error = case.weight_radius * size.sum() + case.bias_radius
    activations = []
    for i, (below, above) in enumerate(zip(piece.low[0], piece.high[0], strict=True)):
        kinks = [p[0] for p in piece.kind.pieces[1:] if below < p[0] < above]
        activations.append(np.abs(piece.kind.value(np.array([below, above, *kinks]))).max())
        assert i < len(piece.low[0])
    total = case.weight_radius * sum(activations) + case.bias_radius
    for i in range(len(piece.low[0])):  # decided neurons are substituted, errors included
        if i not in piece.undecided(1):
            (_, slope, _), *_ = piece.own_pieces(1, i)
            total += abs(slope * piece.layers[1][0][case.neuron, i]) * error
    linear = np.zeros(len(piece.low[0]))
    for (_, i, sign, _), weight in zip(piece.decisions, case.decisions, strict=True):
        linear[i] += weight * sign / 2
    forms = {
        i: sum(w * f for w, f in zip(own, piece.facts(1, i), strict=True))
        for i, own in zip(piece.undecided(1), case.weights[0], strict=True)
    }
    for i in range(len(linear)):
        form = np.asarray(forms.get(i, np.zeros((3, 3))))
        most = max(abs(piece.low[0][i]), abs(piece.high[0][i]))
        total += error * 2 * (abs(form[0, 1] + linear[i]) + abs(form[1, 2]) * activations[i])
        total += error * abs(form[1, 1]) * (2 * most + error)
    return float(total)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([k for k in KINDS if k is not TANH]))
def test_radii_of_weights_and_biases_cost_what_they_may_change(seed: int, kind: Kind) -> None:
    case = random_case(seed, kind, layers=1)
    if case is None:
        return
    case = replace(case, weight_radius=2.0**-8, bias_radius=2.0**-9)
    best = case.best - charges(case)
    assert case.accepts(best - case.tolerance)
    assert not case.accepts(best + case.tolerance)
    rng, certain = np.random.default_rng(seed), case.piece.layers
    for _ in range(10):
        moved = [
            (w + rng.choice([-1, 1], w.shape) * 2.0**-8, b + rng.choice([-1, 1], b.shape) * 2.0**-9) for w, b in certain
        ]
        found = replace(case.piece, layers=moved).sample(rng, 500)[-1][:, case.neuron] * case.sign
        assert np.all(found >= best - case.tolerance)


def test_uncertain_weights_need_bounds_of_what_they_multiply() -> None:
    case = random_case(1, LEAKY, layers=2, zeros=False)
    assert case is not None
    case.piece.high[0] = np.full_like(case.piece.high[0], np.inf)
    case.weights = [[np.zeros(6) for _ in case.piece.undecided(g)] for g in (1, 2)]
    with pytest.raises(Rejected, match="are uncertain, and what they multiply has no bound"):
        replace(case, weight_radius=2.0**-20).check(case.step(-1e6))


# ---------------------------------------------------------------- facts that there are not


def kinked(kind: Kind, low: float = -1.0, high: float = 2.0) -> Case:
    """The activation of one input in [low, high], and its bound from below."""
    layers = [(np.ones((1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
    box = np.array([-1.0]), np.array([2.0])
    own = np.array([2.0, 0.5, 0.25, 0.125, 0.0, 0.0])
    intervals = [np.array([low])], [np.array([high])]
    piece = Piece(layers, kind, box, None, *intervals, [np.zeros(1)], [np.full(1, 2 / 3)])
    return Case(piece, None, box, 0, 1, np.ones(1), 4.0, [[own]], np.zeros(0))


@pytest.mark.parametrize(
    ("low", "high", "fact", "proved"),
    [
        (-np.inf, 2.0, 4, False),
        (-np.inf, 2.0, 5, True),
        (-1.0, np.inf, 5, False),
        (-1.0, np.inf, 4, True),
        (-np.inf, np.inf, 3, False),  # no line above with the slope 2/3
        (-np.inf, np.inf, 0, True),
        (-np.inf, np.inf, 1, True),
        (-np.inf, np.inf, 2, True),
    ],
)
def test_facts_need_the_ends_and_lines_that_they_are_made_of(low: float, high: float, fact: int, proved: bool) -> None:
    case = kinked(RELU, low, high)
    case.weights[0][0][:] = 0
    case.weights[0][0][[0, fact]] = 2.0, 0.5
    if proved:
        case.check(case.step(-50.0))
    else:
        with pytest.raises(Rejected, match=rf"group 1: neuron 0: fact {fact} needs an end or a line"):
            case.check(case.step(-50.0))


@pytest.mark.parametrize(
    ("kind", "low", "high", "count"),
    [
        (RELU, -1.0, 2.0, 6),
        (RELU, -1.0, 0.0, 0),  # decided
        (RELU, 0.0, 0.0, 3),  # at its kink: both slopes meet the point, and none is inside
        (HARD_TANH, -0.5, 2.0, 6),
        (HARD_TANH, -2.0, 2.0, 3),
        (HARD_TANH, -1.0, 1.0, 0),
        (ABSOLUTE, -np.inf, np.inf, 6),
        (linear_pieces((-np.inf, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, -1.0)), -1.0, 2.0, 6),  # no kink at 0
        (TANH, -1.0, 2.0, 3),
    ],
)
def test_a_neuron_has_as_many_facts_as_its_kinks_say(kind: Kind, low: float, high: float, count: int) -> None:
    case = kinked(kind, low, high)
    for given_count in (0, 3, 5, 6, 7):
        step = replace(case.step(-1e6), multipliers=(numbers(np.eye(1, given_count)),))
        if given_count != count:
            with pytest.raises(Rejected, match=rf"group 1: {given_count} multipliers for {count} facts"):
                case.check(step)
        else:
            case.check(step)


# ---------------------------------------------------------------- decided neurons


@pytest.mark.parametrize(("low", "high"), [(-1.0, 0.5), (-np.inf, 0.5), (-1.0, 1.0), (1.0, 1.0)])
def test_pieces_of_the_same_slope_are_one(low: float, high: float) -> None:
    kind = linear_pieces((-np.inf, 0.5, 0.25), (0.0, 0.5, 0.25), (0.0, 0.5, 0.25), (1.0, 0.5, 0.25), (1.0, 2.0, -1.25))
    case = kinked(kind, low, high)
    case.weights = [[]] if low < high else [[np.array([4.0, 0.5, 0.25])]]
    assert len(case.piece.undecided(1)) == len(case.weights[0]) or low == high
    if low < high:
        agrees(case)
    else:  # on a point both lines are the piece on its left, v / 2 + 1/4
        assert case.accepts(-20.0)


def smooth_case(activation: Document, low: float, high: float, slope: float, everywhere: tuple[float, float]) -> Any:
    """v = 3 phi(x) for low <= x <= high, whose slope there is stated; what checks `v >= value` by the ellipsoid."""
    identity = covers.piecewise_linear(1, [], [1.0], [0.0])
    groups = [covers.group(activation, [0.0], everywhere), covers.group(identity, [0.0], (1.0, 1.0))]
    blocks = [covers.block(1, 0, [[1.0]]), covers.block(2, 1, [[3.0]]), covers.block(3, 2, [[1.0]])]
    network = networks.read(covers.network(1, 1, groups, blocks), "network")
    region = regions.read(covers.box([low], [high]), "region", 1)
    exact = IntegerNetwork(network)
    bits = exact.bits + MORE_BITS + GUARD + input_bits(region, [])
    state = first_state(network, region, [], bits)
    known = state.neurons(1).with_ends("low", [0], [low]).with_ends("high", [0], [high])
    state = state.with_neurons(1, known.with_slopes([0], [slope], [slope]))
    width = high - low  # the ball's weight that makes the matrix's least value that at x = low
    weight = 3 * slope / width

    def check(value: float) -> None:
        nothing = (array("d"),)
        step = QuadraticStep("low", 2, 0, value, numbers([1.0]), weight, nothing, None)
        check_quadratic(step, exact, state, region, bits)

    return check


@pytest.mark.parametrize(
    ("activation", "low", "high", "slope", "everywhere", "least"),
    [
        (covers.smooth("elu", 1.0), 0.5, 2.5, 1.0, (0.0, 1.0), 1.5),
        (covers.smooth("hard_sigmoid", 0.25, 0.5), -1.0, 1.0, 0.25, (0.0, 0.25), 0.75),
        (covers.smooth("hard_swish"), 4.0, 6.0, 1.0, (-0.5, 1.5), 12.0),
    ],
)
def test_smooth_activations_with_one_slope_are_substituted(
    activation: Document, low: float, high: float, slope: float, everywhere: tuple[float, float], least: float
) -> None:
    check = smooth_case(activation, low, high, slope, everywhere)
    check(least - NEAR)
    with pytest.raises(Rejected, match="not proved positive semidefinite"):
        check(least + NEAR)


def test_a_decided_activation_without_known_values_is_not_substituted() -> None:
    with pytest.raises(Rejected, match="neuron 0 of group 1 is decided, but its value at zero is not known"):
        smooth_case({"kind": "unknown"}, 0.0, 1.0, 0.5, (0.5, 0.5))(-100.0)
