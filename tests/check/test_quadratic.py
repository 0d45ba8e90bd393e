"""Bounds by quadratic facts in integers, against what the same weights prove in floating point, and against points."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import network as networks
from sdpcert.check import pieces
from sdpcert.check import region as regions
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.bounding import GUARD, MORE_BITS
from sdpcert.check.pieces import QuadraticStep, Requirement, Split
from sdpcert.check.quadratic import check_quadratic
from sdpcert.check.reading import Rejected
from sdpcert.check.replay import prove
from sdpcert.check.state import Decision, State, first_state, input_bits
from tests.check import covers
from tests.check.covers import Document
from tests.check.quadratic_oracle import ABSOLUTE, HARD_TANH, KINDS, LEAKY, RELU, TANH, Kind, Piece, linear_pieces

Array = np.ndarray
#: How near to the best value, relative to what it is made of, a value has to be accepted, or rejected.
NEAR = 1e-9


def numbers(values: Any) -> array[float]:
    return array("d", np.asarray(values, dtype=float).ravel().tolist())


@dataclass
class Case:
    """A piece, a neuron of its last layer, and weights."""

    piece: Piece
    split: tuple[int, float, str] | None  # of an input
    outer: tuple[Array, Array]  # the region's box
    neuron: int
    sign: int
    scales: Array | None
    ball: float
    weights: list[list[Array]]
    decisions: Array
    weight_radius: float = 0.0
    bias_radius: float = 0.0

    @property
    def group(self) -> int:
        return len(self.piece.layers)

    @property
    def best(self) -> float:
        return self.piece.best(
            self.group, self.neuron, self.sign, self.scales, self.ball, self.weights, self.decisions
        )  # fmt: skip

    @property
    def tolerance(self) -> float:
        return NEAR * (1 + abs(self.best) + self.ball * float(np.sum(np.square(self.piece.box[1] - self.piece.box[0]))))

    def step(self, value: float) -> QuadraticStep:
        """The step that states `sign v >= value`."""
        flat = tuple(numbers(np.concatenate([*own, []])) for own in self.weights)
        scales = None if self.scales is None else numbers(self.scales)
        side, decisions = "low" if self.sign > 0 else "high", numbers(self.decisions)
        return QuadraticStep(side, self.group, self.neuron, self.sign * value, scales, self.ball, flat, decisions)

    def check(self, step: QuadraticStep) -> None:
        """Prove a step on the piece."""
        piece, kind = self.piece, self.piece.kind
        inputs, last = len(piece.box[0]), len(piece.layers[-1][1])
        groups = [covers.group(kind.document(len(b)), b, kind.slopes, self.bias_radius) for _, b in piece.layers]
        blocks = [covers.block(k, k - 1, w, self.weight_radius) for k, (w, _) in enumerate(piece.layers, 1)]
        blocks.append(covers.block(len(groups) + 1, len(groups), np.ones((1, last))))
        network = networks.read(covers.network(inputs, 1, groups, blocks), "network")
        document = covers.box(*self.outer) if piece.ball is None else covers.ball(*piece.ball, *self.outer)
        region = regions.read(document, "region", inputs)
        split = None if self.split is None else Split(0, self.split[0], self.split[1])
        splits, exact = [] if split is None else [split], IntegerNetwork(network)
        bits = exact.bits + MORE_BITS + GUARD + input_bits(region, splits)
        state = first_state(network, region, splits, bits)
        if split is not None and self.split is not None:
            state = state.on_side(split, self.split[2])
        check_quadratic(step, exact, self._known(state), region, bits)

    def _known(self, state: State) -> State:
        piece = self.piece
        for g, (low, high, lower, upper) in enumerate(
            zip(piece.low, piece.high, piece.lower, piece.upper, strict=True)
        ):
            everyone = range(len(low))
            known = state.neurons(g + 1).with_ends("low", everyone, low.tolist())
            known = known.with_ends("high", everyone, high.tolist())
            state = state.with_neurons(g + 1, known.with_lines(everyone, lower.tolist(), upper.tolist()))
        return replace(state, decisions=tuple(Decision(*decision) for decision in piece.decisions))

    def accepts(self, value: float) -> bool:
        """Whether `sign v >= value` is proved."""
        try:
            self.check(self.step(value))
        except Rejected as rejected:
            if "not proved positive semidefinite" in str(rejected):
                return False
            raise
        return True


def random_case(seed: int, kind: Kind, widest: int = 4, layers: int | None = None, zeros: bool = True) -> Case | None:
    """A random piece of a random network with weights that prove something; None if they do not."""
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, widest + 1))
    hidden = rng.integers(1, 5, int(rng.integers(1, 4)) if layers is None else layers)
    sizes = [inputs, *hidden, int(rng.integers(1, 3))]
    pairs = pairwise(sizes)
    network = [(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b) / 2) for a, b in pairs]
    center, radius = rng.normal(size=inputs), float(rng.uniform(0.1, 1))
    low, high = center - radius * rng.uniform(0.3, 1, inputs), center + radius * rng.uniform(0.3, 1, inputs)
    outer, split = (low.copy(), high.copy()), None
    if rng.integers(2):
        j, side = int(rng.integers(inputs)), str(rng.choice(["below", "above"]))
        split = j, float((low[j] + 2 * high[j]) / 3), side
        (high if side == "below" else low)[j] = split[1]
    ball = (center, radius) if rng.integers(2) else None
    piece = Piece(network, kind, (low, high), ball, [], [], [], [])
    for v in piece.run(rng.uniform(low, high, (200, inputs)))[:-1]:
        piece.low.append(np.quantile(v, 0.02, axis=0) - 0.05 * rng.random(v.shape[1]))
        piece.high.append(np.quantile(v, 0.98, axis=0) + 0.05 * rng.random(v.shape[1]))
        piece.lower.append(rng.uniform(*kind.slopes, v.shape[1]))
        piece.upper.append(rng.uniform(*kind.slopes, v.shape[1]))
    for g in range(1, len(network)):
        if rng.integers(2):
            i = int(rng.integers(sizes[g]))
            at = float(rng.uniform(piece.low[g - 1][i], piece.high[g - 1][i]))
            piece.decisions.append((g, i, int(rng.choice([-1, 1])), at))
    weights: list[list[Array]] = []
    for g in range(1, len(network)):
        weights.append([])
        for i in piece.undecided(g):
            own = rng.uniform(0.1, 1, len(piece.facts(g, i)))
            own[1:] *= rng.integers(0, 2, len(own) - 1) if zeros else 1
            weights[-1].append(own + np.eye(len(own))[0] * (1 + rng.random()))
    scales = None if ball is not None and rng.integers(2) else rng.uniform(0.2, 1, inputs)
    decisions = rng.uniform(0, 1, len(piece.decisions)) * rng.integers(0, 2, len(piece.decisions))
    sign, neuron = int(rng.choice([-1, 1])), int(rng.integers(sizes[-1]))
    for ball_weight in 0.125 * 2.0 ** np.arange(14):
        case = Case(piece, split, outer, neuron, sign, scales, float(ball_weight), weights, decisions)
        if case.best > -np.inf:
            return case
    return None


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


def affine_case() -> Case:
    """v = 3 + 2 x1 - x2 + ReLU(x1 + 10) on |x| <= 1/2, by the ball's weight alone; another neuron is not read."""
    layers = [(np.array([[1.0, 0.0], [2.0, -1.0], [1.0, 1.0]]), np.array([10.0, 20.0, 0.0]))]
    layers.append((np.array([[1.0, 1.0, 0.0]]), np.array([-17.0])))
    ball, box = (np.zeros(2), 0.5), (np.full(2, -0.5), np.full(2, 0.5))
    intervals = [np.array([9.0, 18.0, -1.0])], [np.array([11.0, 22.0, 1.0])]
    piece = Piece(layers, RELU, box, ball, *intervals, [np.ones(3)], [np.ones(3)])
    return Case(piece, None, box, 0, 1, None, float(np.sqrt(10)), [[np.zeros(6)]], np.zeros(0))


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


# ---------------------------------------------------------------- steps of a file


def written(**changed: Any) -> tuple[Document, Document]:
    """A network whose last group has v = 1 - ReLU(x1 + x2) - ReLU(x1 - x2) and twice v, on |x| <= 1/2, and a step.

    The least value of v is 1 - 1 = 0 (at x = (1/2, 0)); bounds by lines show -0.2 at best.
    """
    identity = covers.piecewise_linear(2, [], [1.0], [0.0])
    hidden = np.array([[1.0, 1.0], [1.0, -1.0]])
    last = np.array([[-1.0, -1.0], [-2.0, -2.0]])
    groups = [covers.group(covers.relu(2), np.zeros(2)), covers.group(identity, np.array([1.0, 2.0]), (1.0, 1.0))]
    blocks = [covers.block(1, 0, hidden), covers.block(2, 1, last), covers.block(3, 2, np.eye(2))]
    own = [2.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    step = {
        "kind": "quadratic", "side": "low", "group": 2, "neuron": 0, "value": (-2.0**-30).hex(), "scales": None,
        "ball": (2.0).hex(), "multipliers": [covers.pack(own * 2)], "decisions": None,
    }  # fmt: skip
    return covers.network(2, 2, groups, blocks), {**step, **changed}


@dataclass
class Separating:
    """Pieces of a network on a region that have to keep neuron 0 of the last group above a limit."""

    network: networks.Network
    region: regions.Region
    pieces: tuple[pieces.Piece, ...]
    requirements: tuple[Requirement, ...]
    upper: float = 0.0


def replayed(
    document: Document, step: Document, region: Document | None = None, limit: float = -0.125, neuron: int = 0,
    side: str = "low",
) -> None:  # fmt: skip
    """Replay one piece that bounds the hidden group, has the step, and is separated."""
    network = networks.read(document, "network")
    room = 0.75 * np.ones(2)
    steps = [covers.bounds("low", 1, -room), covers.bounds("high", 1, room), step]
    listed = [covers.piece({"kind": "separated"}, *steps)]
    found = pieces.read(listed, "pieces", network, 1, 1, ends=pieces.SEPARATING)
    read = regions.read(region or covers.ball(np.zeros(2), 0.5), "region", 2)
    prove(Separating(network, read, found, (Requirement(neuron, side, Fraction(limit)),)))


def test_a_step_ends_the_interval_of_its_neuron() -> None:
    network, step = written()
    replayed(network, step)
    with pytest.raises(Rejected):
        replayed(network, step, limit=0.0)
    with pytest.raises(Rejected, match="do not keep neuron 1"):
        replayed(network, step, neuron=1)
    doubled = {"neuron": 1, "ball": (4.0).hex(), "multipliers": [covers.pack([4.0, 0, 0, 0, 0, 0] * 2)]}
    replayed(network, {**step, **doubled}, neuron=1)


def test_a_step_may_be_one_of_the_high_side() -> None:
    network, step = written()
    high = {**step, "side": "high", "value": (1.0 + 2.0**-30).hex()}
    # v = 1 - z1 - z2 <= 1 by the facts z >= 0, whatever z is
    facts = [covers.pack([0.0, 1.0, 0, 0, 0, 0] * 2)]
    replayed(network, {**high, "multipliers": facts, "ball": (0.0).hex()}, limit=1.125, side="high")
    with pytest.raises(Rejected, match="not proved positive"):
        replayed(network, {**high, "multipliers": facts, "value": (1.0 - 2.0**-30).hex()}, limit=1.125, side="high")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": (2.0**-30).hex()}, "the matrix of the quadratic function is not proved positive semidefinite"),
        ({"ball": (1.9).hex()}, "not proved positive semidefinite"),
        ({"ball": (-2.0).hex()}, "ball is less than 0"),
        ({"multipliers": [covers.pack([2.0, 0, 0, 0, 0, 0] + [1.9, 0, 0, 0, 0, 0])]}, "not proved positive"),
        ({"multipliers": [covers.pack([2.0, 0, 0, 0, 0, 0] * 2 + [0])]}, "at most 12 values"),
        ({"multipliers": [covers.pack([2.0, 0, 0, 0, 0, 0])]}, "group 1: 6 multipliers for 12 facts"),
        ({"multipliers": [covers.pack([2.0, 0, 0, 0, 0, -1e-9] * 2)]}, "out of range"),
        ({"multipliers": []}, "1 entries"),
        ({"multipliers": [covers.pack([2.0, 0, 0, 0, 0, 0] * 2), covers.pack([])]}, "1 entries"),
        ({"scales": covers.pack([1.0, 0.0])}, "scales has a zero"),
        ({"scales": covers.pack([1.0, -1.0])}, "out of range"),
        ({"scales": covers.pack([1.0])}, "exactly 2 values"),
        ({"scales": covers.pack([1.0, 1.0])}, "not proved positive semidefinite"),  # of the box, which is wider
        ({"decisions": covers.pack([1.0])}, "exactly 0 values"),
        ({"side": "above"}, "neither 'low' nor 'high'"),
        ({"side": "high"}, "not proved positive semidefinite"),
        ({"neuron": 2}, "not in 0 .. 1"),
        ({"neuron": 1}, "not proved positive semidefinite"),
        ({"group": 1, "multipliers": []}, "not proved positive semidefinite"),
        ({"group": 3}, "group"),
        ({"value": "0x1p0"}, "float.hex"),
        ({"facts": 0}, "unknown key"),
    ],
)
def test_other_steps_are_rejected(changed: Document, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        replayed(*written(**changed))


def test_without_a_ball_there_have_to_be_scales() -> None:
    network, step = written()
    region = covers.box(np.full(2, -0.5), np.full(2, 0.5))
    with pytest.raises(Rejected, match="the region has no ball"):
        replayed(network, step, covers.box(np.full(2, -0.25), np.full(2, 0.25)))
    with pytest.raises(Rejected, match="not proved"):
        replayed(network, {**step, "scales": covers.pack([1.0, 1.0])}, region)
    # The ellipsoid of semi-axes (1, 1) around the box of half the size is the ball of radius 2^(-3/2).
    inner = covers.box(np.full(2, -0.25), np.full(2, 0.25))
    replayed(network, {**step, "scales": covers.pack([1.0, 1.0])}, inner)


def test_all_inputs_have_no_ellipsoid_around_them() -> None:
    case = affine_case()
    network = networks.read(written()[0], "network")
    exact, state = IntegerNetwork(network), first_state(network, regions.ALL, [], 300)
    for scales in (None, numbers([1.0, 1.0])):
        step = replace(case.step(-1.0), group=2, scales=scales, multipliers=(numbers([0.0] * 12),))
        with pytest.raises(Rejected, match="the inputs have no ends"):
            check_quadratic(step, exact, state, regions.ALL, 300)


@pytest.mark.parametrize(("group", "message"), [(1, "not proved positive"), (2, "a decision on group 2 is weighed")])
def test_decisions_below_the_neuron_may_be_weighed(group: int, message: str) -> None:
    case = affine_case()
    case.piece.decisions.append((group, 0, 1, 0.0))
    case.decisions = np.array([0.25])
    with pytest.raises(Rejected, match=message):
        case.check(case.step(50.0))
