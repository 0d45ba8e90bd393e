"""Steps of a file that state a bound by quadratic facts: what is read, what ends an interval, what is rejected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sdpcert.check import network as networks
from sdpcert.check import pieces
from sdpcert.check import region as regions
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.pieces import Requirement
from sdpcert.check.quadratic import check_quadratic
from sdpcert.check.reading import Rejected
from sdpcert.check.replay import prove
from sdpcert.check.state import first_state
from tests.check import covers
from tests.check.covers import Document
from tests.check.quadratic_cases import affine_case, numbers


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
