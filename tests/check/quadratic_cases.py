"""Random pieces with weights of quadratic facts, as the checker has them and as numbers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sdpcert.check import network as networks
from sdpcert.check import region as regions
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.bounding import GUARD, MORE_BITS
from sdpcert.check.pieces import QuadraticStep, Split
from sdpcert.check.quadratic import check_quadratic
from sdpcert.check.reading import Rejected
from sdpcert.check.state import Decision, State, first_state, input_bits
from tests.check import covers
from tests.check.quadratic_oracle import RELU, Kind, Piece

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

    def for_checker(self, bits: int | None = None) -> tuple[IntegerNetwork, State, regions.Region, int]:
        """Network, state of the piece, region, and the fraction bits of sizes (None: those of a replay)."""
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
        bits = exact.bits + MORE_BITS + GUARD + input_bits(region, splits) if bits is None else bits
        state = first_state(network, region, splits, bits)
        if split is not None and self.split is not None:
            state = state.on_side(split, self.split[2])
        return exact, self._known(state), region, bits

    def check(self, step: QuadraticStep) -> None:
        """Prove a step on the piece."""
        network, state, region, bits = self.for_checker()
        check_quadratic(step, network, state, region, bits)

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


def affine_case() -> Case:
    """v = 3 + 2 x1 - x2 + ReLU(x1 + 10) on |x| <= 1/2, by the ball's weight alone; another neuron is not read."""
    layers = [(np.array([[1.0, 0.0], [2.0, -1.0], [1.0, 1.0]]), np.array([10.0, 20.0, 0.0]))]
    layers.append((np.array([[1.0, 1.0, 0.0]]), np.array([-17.0])))
    ball, box = (np.zeros(2), 0.5), (np.full(2, -0.5), np.full(2, 0.5))
    intervals = [np.array([9.0, 18.0, -1.0])], [np.array([11.0, 22.0, 1.0])]
    piece = Piece(layers, RELU, box, ball, *intervals, [np.ones(3)], [np.ones(3)])
    return Case(piece, None, box, 0, 1, None, float(np.sqrt(10)), [[np.zeros(6)]], np.zeros(0))
