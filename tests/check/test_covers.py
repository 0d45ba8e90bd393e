"""Restrictions and covers: what the checker accepts, and every rule of the format broken once."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sdpcert.check import check_document, cover, reduced
from tests.check import covers
from tests.check.branching import Set, Writer
from tests.check.covers import (
    EMPTY,
    Document,
    attained,
    ball,
    block,
    bounds,
    box,
    chain,
    condition,
    everything,
    file,
    flat,
    group,
    hashed,
    lines,
    lines_step,
    network,
    pack,
    piece,
    piecewise_linear,
    relu,
    slopes_step,
    smooth,
    split,
    with_claim,
)

ROOM = 1 + 1e-9
ONE = np.eye(1)


def proved(document: Document, exact: bool | None = True) -> bool:
    result = check_document(json.loads(json.dumps(document)), exact)
    assert result.reason and "\n" not in result.reason and "could not be finished" not in result.reason
    return result.ok


def reason(document: Document) -> str:
    result = check_document(json.loads(json.dumps(document)), True)
    assert not result.ok and "\n" not in result.reason
    return result.reason


# ---------------------------------------------------------------- restrictions


def stable() -> Document:
    """Two inputs, one rectifier that is linear on the box: 2 (3 x + 4 y + 10)."""
    net = chain([(np.array([[3.0, 4.0]]), [10.0]), (np.array([[2.0]]), [0.0])])
    steps = bounds("low", 1, [3.0]), bounds("high", 1, [17.0])
    return file(net, box([-1, -1], [1, 1]), [piece(condition(100 * ROOM, []), *steps)], 10 * ROOM)


def test_a_linear_piece_has_the_norm_of_its_matrix() -> None:
    result = check_document(stable())
    assert result.ok and result.level == "exact"
    assert "for all inputs x, x' in the box (" in result.reason
    assert "; 1 piece; proved in exact integer arithmetic; " in result.reason
    low = stable()
    low["tree"]["pieces"][0]["end"] = condition(100 * (1 - 1e-9), [])
    assert "M is not proved positive semidefinite" in reason(low)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_linear_piece_of_a_wide_network(count: int) -> None:
    """More inputs than rows and fewer, all neurons decided: the bound is within 1e-9 of the norm."""
    rng = np.random.default_rng(count)
    first, last = rng.normal(size=(4, 6)), rng.normal(size=(count, 4))
    net = chain([(first, [100.0] * 4), (last, [0.0] * count)])
    upper = float(np.linalg.norm(last @ first, 2)) * ROOM
    document = file(
        net, box([-1] * 6, [1] * 6), [piece(condition(upper**2, []), bounds("low", 1, [0.0] * 4))], upper * ROOM
    )
    assert proved(document)
    document["tree"]["pieces"][0]["end"] = condition((upper * (1 - 3e-9)) ** 2, [])
    assert not proved(document)


def test_a_ball_is_bounded_by_the_norm_and_a_box_by_the_sum() -> None:
    net = chain([(np.array([[3.0, 4.0]]), [5.0]), (ONE, [0.0])])
    for region, least in ((ball([0, 0], 1.0), 0.0), (box([-1, -1], [1, 1]), -2.0)):
        end = condition(25 * ROOM, [] if least == 0 else [1.0])
        assert proved(file(net, region, [piece(end, bounds("low", 1, [least]))], 6.0))
        above = bounds("low", 1, [math.nextafter(least, 1.0)])
        assert "neuron 0 of group 1 is not proved to be as low" in reason(file(net, region, [piece(end, above)], 6.0))


def test_a_ball_within_a_box_takes_the_better_bound() -> None:
    net = chain([(np.array([[1.0, 1.0], [1.0, 0.0]]), [0.0, 0.0]), (np.array([[1.0, 1.0]]), [0.0])])
    region = ball([0, 0], 1.0, [-1, -0.25], [0.5, 0.25])
    low, high = [-1.25, -1.0], [0.75, 0.5]
    steps = bounds("low", 1, low), bounds("high", 1, high)
    assert proved(file(net, region, [piece(condition(30.0, [2.0, 2.0]), *steps)], 6.0))
    tight = bounds("low", 1, [-1.2, -1.0])  # true, and beyond what one of the two bounds says
    assert "neuron 0 of group 1 is not proved" in reason(
        file(net, region, [piece(condition(30.0, [2.0, 2.0]), tight)], 6.0)
    )


def test_fixed_inputs_do_not_count() -> None:
    net = chain([(np.array([[1.0, 100.0]]), [0.0]), (ONE, [0.0])])
    for region in (box([0, 7], [1, 7]), ball([0.5, 7.0], 0.5, [-1, 7], [2, 7])):
        document = file(net, region, [piece(condition(ROOM, []), bounds("low", 1, [690.0]))], ROOM)
        assert proved(document)


def test_the_reduced_condition_has_a_largest_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduced, "MAX_COORDINATES", 0)
    assert "the reduced condition has more than 0 coordinates" in reason(stable())


def test_inputs_that_are_all_fixed() -> None:
    net = chain([(np.array([[1.0, 100.0]]), [0.0]), (ONE, [0.0])])
    assert proved(file(net, box([1, 7], [1, 7]), [piece(condition(0.0, []), bounds("low", 1, [690.0]))], 0.0))


def test_lines_of_a_step_are_for_its_rows_alone() -> None:
    """Two layers; the second row needs the slope 1 of the line below, the first one 0."""
    net = chain([(ONE, [0.0]), (np.array([[1.0], [1.0]]), [0.0, 0.0]), (np.array([[1.0, 1.0]]), [0.0])])
    first = [bounds("low", 1, [-1.0]), bounds("high", 1, [2.0])]
    own = lines(1, [0], [[0.0], [1.0]], [[0.0], [0.0]])

    def document(values: list[float], lines: Any) -> Document:
        end = condition(1e4, [9.0], [3.0, 3.0])
        return file(net, box([-1], [2]), [piece(end, *first, bounds("low", 2, values, lines=lines))], 100.0)

    assert "neuron 1 of group 2" in reason(document([0.0, -0.5], [lines(1, [0], [[0.0], [1.0]], [[0.0], [0.0]])]))
    assert "neuron 0 of group 2" in reason(document([0.5, -1.0], [own]))
    for ends in ([0.0, -1.0], [0.0, -2.0]):
        assert "proved to be as" not in check_document(document(ends, [own])).reason


def test_rounding_keeps_bounds_sharp() -> None:
    """Many layers of halves: bounds to the last bit are proved, one bit more is not."""
    depth = 12
    layers = [(np.array([[0.5 + 2.0**-30]]), [0.0])] * depth + [(ONE, [0.0])]
    exact, steps = Fraction(2), []
    for g in range(1, depth + 1):
        exact *= Fraction(0.5 + 2.0**-30)
        nearest = float(exact)
        above = nearest if Fraction(nearest) > exact else math.nextafter(nearest, 9.0)
        steps += [bounds("low", g, [0.0]), bounds("high", g, [above])]
    document = file(chain(layers), box([0.0], [2.0]), [piece(condition(1.0, *[[]] * depth), *steps)], 1.0)
    assert proved(document)
    steps[-1] = bounds("high", depth, [math.nextafter(above, 0.0)])
    assert "is not proved to be as high" in reason(
        file(chain(layers), box([0.0], [2.0]), [piece(condition(1.0, *[[]] * depth), *steps)], 1.0)
    )


def test_uncertain_weights_and_biases_count() -> None:
    def document(radius: float, bias_radius: float, low: float) -> Document:
        net = network(
            2, 1, [group(relu(1), [10.0], radius=bias_radius)],
            [block(1, 0, [[3.0, 4.0]], radius), block(2, 1, [[1.0]])],
        )  # fmt: skip
        end = condition(25.0 * (1 + 10 * radius + 1e-9), [])
        return file(net, box([-1, -1], [1, 1]), [piece(end, bounds("low", 1, [low]))], 8.0)

    assert proved(document(0.0, 0.0, 3.0))
    assert proved(document(0.0, 0.25, 2.75)) and not proved(document(0.0, 0.25, 2.8))
    assert proved(document(0.125, 0.0, 2.75)) and not proved(document(0.125, 0.0, 2.8))
    result = check_document(document(0.125, 0.0, 2.75))
    assert "every network with weights and biases within the stated radii" in result.reason
    close = document(0.125, 0.0, 2.75)
    close["tree"]["pieces"][0]["end"] = condition(25.0 * 1.01, [])  # |(3.125, 4.125)|^2 is 26.78
    assert "M is not proved" in reason(close)


def test_residual_blocks_and_low_parts() -> None:
    net = network(
        1, 1, [group(relu(1), [2.0]), group(relu(1), [0.0])],
        [
            block(1, 0, [[1.0]]), block(2, 0, [[1.0]]), block(2, 1, [[1.0]], low=[[2.0**-60]]),
            block(3, 0, [[1.0]]), block(3, 2, [[1.0]]),
        ],
    )  # fmt: skip
    steps = bounds("low", 1, [1.0]), bounds("low", 2, [0.0])  # v2 = x + (x + 2)(1 + 2^-60)
    assert proved(file(net, box([-1], [1]), [piece(condition(9 * ROOM, [], []), *steps)], 3 * ROOM))
    steps = bounds("low", 1, [1.0]), bounds("low", 2, [1e-17])
    assert not proved(file(net, box([-1], [1]), [piece(condition(9 * ROOM, [], []), *steps)], 3 * ROOM))


# ---------------------------------------------------------------- activations


def test_piecewise_linear_lines_and_slopes() -> None:
    """A clip between 0 and 1: beyond it the slope is 0, within 1; a line that tends to infinity is none."""

    def clip(size: int) -> Document:
        return piecewise_linear(size, [0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])

    net = chain([(ONE, [0.0]), (ONE, [0.0]), (ONE, [0.0])], clip)
    for low, high, second in ((2.0, 3.0, (1.0, 1.0)), (-3.0, -2.0, (0.0, 0.0)), (0.25, 0.5, (0.25, 0.5))):
        steps = [bounds("low", 1, [low]), bounds("high", 1, [high])]
        steps += [bounds("low", 2, second[:1]), bounds("high", 2, second[1:])]
        slope = 1.0 if low == 0.25 else 0.0
        # At a kink alone both slopes are met, so that the second neuron is not decided there.
        end = condition(slope * ROOM, [], [] if slope else [1.0])
        assert proved(file(net, box([low], [high]), [piece(end, *steps)], 1.1))
    # Not bounded from above: the line above with slope 0 is at 1, the one with slope -1 is none, as is that with 1.
    steps = [lines_step(1, [0], [0.0], [0.0]), bounds("high", 2, [1.0]), bounds("low", 2, [0.0])]
    assert proved(file(net, everything(), [piece(condition(1.1, [1.0], []), *steps)], 1.1))
    for slope in (-1.0, 1.0):
        steps[0] = lines_step(1, [0], [0.0], [slope])
        assert "there is no line above the activation of neuron 0 of group 1" in reason(
            file(net, everything(), [piece(condition(1.1, [1.0], []), *steps)], 1.1)
        )


def test_smooth_activations() -> None:
    net = chain([(ONE, [0.0]), (ONE, [0.0])], lambda size: smooth("tanh"))
    first = [bounds("low", 1, [1.0]), bounds("high", 1, [2.0])]
    steep = 1 - math.tanh(1.0) ** 2
    stated = slopes_step(1, [0], [0.0], [steep * (1 + 1e-12)])
    end = condition(steep**2 * 1.001, [1.0005])
    assert proved(file(net, box([1], [2]), [piece(end, *first, stated)], steep * 1.001))
    for wrong in (slopes_step(1, [0], [0.0], [steep * (1 - 1e-12)]), slopes_step(1, [0], [0.1], [1.0])):
        assert "the slopes of neuron 0 are not proved" in reason(
            file(net, box([1], [2]), [piece(end, *first, wrong)], steep * 1.001)
        )
    assert "not proved" in reason(file(net, box([1], [2]), [piece(end, stated)], steep * 1.001))
    assert "tree: activation of group 1" in reason(
        file(
            chain([(ONE, [0.0]), (ONE, [0.0])], lambda size: smooth("tanh"), (0.0, 0.5)),
            box([1], [2]),
            [piece(end)],
            1.0,
        )
    )
    assert "no activation is called" in reason(
        file(chain([(ONE, [0.0]), (ONE, [0.0])], lambda size: smooth("tan")), box([1], [2]), [piece(end)], 1.0)
    )


def test_lines_of_smooth_activations_hold_and_are_not_loose() -> None:
    """v2 = tanh(v1) on [-1, 1]: bounds from values at the ends and slopes."""
    net = chain([(ONE, [0.0]), (ONE, [0.0]), (ONE, [0.0])], lambda size: smooth("tanh"))
    least = 1 - math.tanh(1.0) ** 2
    first = [bounds("low", 1, [-1.0]), bounds("high", 1, [1.0]), slopes_step(1, [0], [least * (1 - 1e-12)], [1.0])]

    def said(slope: float, value: float) -> str:
        steps = [*first, lines_step(1, [0], [slope], [slope]), bounds("low", 2, [value])]
        return check_document(file(net, box([-1], [1]), [piece(condition(9.0, [9.0], [2.0]), *steps)], 3.0)).reason

    # With slope 0 the least value of the line is tanh(-1) itself.
    assert "as low" not in said(0.0, math.tanh(-1.0) - 1e-12)
    assert "as low" in said(0.0, math.tanh(-1.0) + 1e-12)
    assert "as low" in said(least, math.tanh(-1.0) + 1e-12)


def test_unknown_activations_have_slopes_and_no_values() -> None:
    net = chain([(ONE, [0.0]), (ONE, [0.0]), (ONE, [0.0])], lambda size: {"kind": "unknown"})
    steps = bounds("low", 1, [-1.0]), bounds("high", 1, [1.0])
    assert proved(file(net, box([-1], [1]), [piece(condition(1.1, [1.0], [1.0]), *steps)], 1.1))
    assert "there is no line below" in reason(
        file(net, box([-1], [1]), [piece(condition(1.1, [1.0], [1.0]), *steps, bounds("low", 2, [-9.0]))], 1.1)
    )


# ---------------------------------------------------------------- covers


def three_directions(region: Document, all_weights: dict[str, tuple[int, ...]], upper: float) -> Document:
    """Three directions at 120 degrees, output weights 1, 1, -2: all patterns of phases as pieces of a region."""
    root = math.sqrt(3) / 2
    first = np.array([[1.0, 0.0], [-0.5, root], [-0.5, -root]])
    last = np.array([[1.0, 1.0, -2.0]])
    pieces: list[Document] = []

    def add(pattern: str, parent: int | None, side: str | None) -> None:
        number = len(pieces)
        if len(pattern) < 3:
            pieces.append(piece(split(1, len(pattern)), parent=parent, side=side))
            add(pattern + "-", number, "below")
            add(pattern + "+", number, "above")
            return
        on = np.array([sign == "+" for sign in pattern], dtype=float)
        norm = float(np.linalg.norm((last * on) @ first))
        end = flat(*all_weights[pattern]) if pattern in all_weights else condition(norm**2 * ROOM, [])
        pieces.append(piece(end, parent=parent, side=side))

    add("", None, None)
    return file(chain([(first, [0.0] * 3), (last, [0.0])]), region, pieces, upper)


@pytest.mark.parametrize("region", [everything(), ball([0, 0], 2.0), box([-1, -1], [1, 1])], ids=["all", "ball", "box"])
def test_three_directions_have_the_square_root_of_seven_and_not_three(region: Document) -> None:
    seven = math.sqrt(7) * ROOM
    flat_ones = {"+++": (1, 1, 1), "---": (2, 2, 2)}
    assert proved(three_directions(region, flat_ones, seven))
    assert "upper is less than 2^s sqrt(rho)" in reason(three_directions(region, {"---": (1, 1, 1)}, seven))
    assert proved(three_directions(region, {"---": (1, 1, 1)}, 3 * ROOM))
    for pattern in ("++-", "+-+", "-++", "--+", "-+-", "+--"):
        for weights in ((1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)):
            wrong = three_directions(region, {**flat_ones, pattern: weights}, 3.0)
            assert "half-spaces have points inside of the region" in reason(wrong)
    wrong = three_directions(region, {**flat_ones, "+++": (1, 1, 2)}, seven)
    assert "half-spaces have points inside of the region" in reason(wrong)


def divided(end: Document, at: float, region: Document, layers: Any = None, side: str = "below") -> Document:
    """One rectifier of the sum of two inputs, divided; `end` is that of one side."""
    layers = layers or [(np.array([[1.0, 1.0]]), [0.0]), (ONE, [0.0])]
    pieces = [piece(split(1, 0, at))]
    for way in ("below", "above"):
        pieces.append(piece(end if way == side else condition(9.0, [] if at >= 0 else [1.0]), parent=0, side=way))
    return file(chain(layers), region, pieces, 3.0)


def test_flat_pieces_touch_the_region_in_a_hyperplane_or_not_at_all() -> None:
    corner = box([0, 0], [1, 1])
    assert proved(divided(flat(1), 0.0, corner))  # x + y <= 0 on [0, 1]^2: a point
    assert not proved(divided(flat(1), 0.5, corner))
    sphere = ball([2.0, 0.0], 2.0)
    layers = [(np.array([[1.0, 0.0]]), [0.0]), (ONE, [0.0])]
    assert proved(divided(flat(1), 0.0, sphere, layers))  # touches
    assert proved(divided(flat(1), -(2.0**-40), sphere, layers, "below"))
    assert not proved(divided(flat(1), 2.0**-40, sphere, layers))
    fixed = [(np.array([[1.0, 0.0]]), [0.0]), (ONE, [0.0])]
    # The only input that the preactivation reads is fixed at zero: v = 0 everywhere, which is no hyperplane.
    assert "do not move with the inputs" in reason(divided(flat(1), 0.0, box([0, 0], [0, 1]), fixed))
    assert proved(divided(flat(1), -1.0, box([0, 0], [0, 1]), fixed))


def test_a_fixed_input_takes_its_part_of_the_radius() -> None:
    """Ball of radius 5 at zero, second input fixed at 3: the first is within [-4, 4]."""
    layers = [(np.array([[1.0, 0.0]]), [0.0]), (ONE, [0.0])]
    region = ball([0, 0], 5.0, [-10, 3], [10, 3])
    assert proved(divided(flat(1), -4.0, region, layers))
    assert not proved(divided(flat(1), -4.0 + 2.0**-40, region, layers))


def test_a_flat_piece_needs_neurons_that_are_linear_and_known() -> None:
    layers = [(ONE, [0.0]), (ONE, [1.0]), (ONE, [0.0])]

    def document(steps: list[Document], radius: float = 0.0) -> Document:
        net = chain(layers)
        if radius:
            net["blocks"][0]["radius"] = radius.hex()
            hashed(net)
        pieces = [
            piece(split(2, 0, 1.0), *steps),
            piece(flat(1), parent=0, side="below"),
            piece(condition(1.1 + radius * 9, []), parent=0, side="above"),
        ]
        pieces[2]["end"] = condition((1.1 + radius) * 1.2, [], [])
        return file(net, box([0.0], [1.0]), pieces, 2.0)

    assert proved(document([bounds("low", 1, [0.0])]))
    assert "neuron 0 of group 1 is not linear on the piece" in reason(document([]))
    assert "not proved" in reason(document([bounds("low", 1, [0.0])], 2.0**-40))


def test_empty_pieces() -> None:
    layers = [(np.array([[1.0, 1.0]]), [1.0]), (ONE, [0.0])]
    region = box([0, 0], [1, 1])
    pieces = [
        piece(split(1, 0), bounds("low", 1, [1.0])),
        piece(EMPTY, parent=0, side="below"),
        piece(condition(2 * ROOM, []), parent=0, side="above"),
    ]
    good = file(chain(layers), region, pieces, math.sqrt(2) * ROOM)
    assert proved(good)
    late = copy.deepcopy(good)
    late["tree"]["pieces"][0]["steps"] = []
    late["tree"]["pieces"][1]["steps"] = [bounds("low", 1, [1.0])]
    assert proved(late)
    more = copy.deepcopy(late)
    more["tree"]["pieces"][1]["steps"] *= 2
    assert "pieces[1]: steps[1]: the piece is empty already" in reason(more)
    for end in (condition(9.0, []), flat(1), split(1, 0)):
        wrong = copy.deepcopy(good)
        wrong["tree"]["pieces"][1]["end"] = end
        if end["kind"] == "split":
            wrong["tree"]["pieces"] += [piece(EMPTY, parent=1, side=side) for side in ("below", "above")]
        assert "pieces[1]: end: the piece is empty" in reason(wrong)
    wrong = copy.deepcopy(good)
    wrong["tree"]["pieces"][2]["end"] = EMPTY
    assert "pieces[2]: end: no interval of the piece is empty" in reason(wrong)


def test_halves_of_a_box() -> None:
    """|x| as x + 2 relu(-x): slope 1 on either half, each of which is linear."""
    net = network(1, 1, [group(relu(1), [0.0])], [block(1, 0, [[-1.0]]), block(2, 0, [[1.0]]), block(2, 1, [[2.0]])])
    pieces = [
        piece(split(0, 0, 0.0)),
        piece(condition(ROOM, []), bounds("low", 1, [0.0]), parent=0, side="below"),
        piece(condition(ROOM, []), bounds("high", 1, [0.0]), parent=0, side="above"),
    ]
    for region in (box([-1], [3]), ball([0.5], 2.0)):
        assert proved(file(net, region, pieces, ROOM))
        for at in (-4.0, 7.0):
            wrong = copy.deepcopy(pieces)
            wrong[0]["end"] = split(0, 0, at)
            assert "is not divided inside of its ends" in reason(file(net, region, wrong, ROOM))
    assert "has no ends" in reason(file(net, everything(), pieces, ROOM))
    edge = copy.deepcopy(pieces)
    edge[0]["end"] = split(0, 0, -1.0)
    assert "is not divided inside of its ends" in reason(file(net, box([-1], [3]), edge, ROOM))


def test_multipliers_of_decisions_sharpen_bounds() -> None:
    """v2 = x + y - 1 where x + y >= 1 was decided is at least zero, which no line says."""
    net = network(
        2, 1, [group(relu(1), [0.0]), group(relu(1), [-1.0])],
        [block(1, 0, [[1.0, 1.0]]), block(2, 0, [[1.0, 1.0]]), block(3, 2, [[1.0]])],
    )  # fmt: skip

    def document(multiplier: float, value: float) -> Document:
        pieces = [
            piece(split(1, 0, 1.0)),
            piece(condition(2.0 * ROOM, [], []), bounds("high", 2, [0.0], multipliers=[[1.0]]), parent=0, side="below"),
            piece(
                condition(2.0 * ROOM, [], []),
                bounds("low", 2, [value], multipliers=[[multiplier]]),
                parent=0,
                side="above",
            ),
        ]
        pieces[1]["steps"].insert(0, bounds("low", 1, [0.0]))
        return file(net, box([0, 0], [1, 1]), pieces, math.sqrt(2) * ROOM)

    assert proved(document(1.0, 0.0))
    assert "not proved to be as low" in reason(document(0.0, 0.0))
    assert "not proved to be as low" in reason(document(0.5, 0.0))
    assert "not proved to be as low" in reason(document(1.0, 2.0**-60))


def test_decisions_of_later_groups_bound_earlier_ones() -> None:
    """v1 = x, v2 = z1 - 1/2, decided v2 >= 0: then x >= 1/2, by a pass that begins above v1."""
    net = chain([(ONE, [0.0]), (ONE, [-0.5]), (ONE, [0.0])])
    pieces = [
        piece(split(2, 0), bounds("low", 1, [-1.0]), bounds("high", 1, [1.0])),
        piece(condition(0.0, [0.0], []), parent=0, side="below"),
        piece(condition(1.01, [], []), parent=0, side="above"),
    ]
    # On [-1, 1] the line above relu is (x + 1) / 2: v2 >= 0 leaves (x + 1) / 2 >= 1/2, x >= 0.
    step = bounds("low", 1, [0.0], multipliers=[[2.0]])
    pieces[2]["steps"] = [lines_step(1, [0], [0.0], [0.5]), step]
    assert proved(file(net, box([-1], [1]), pieces, 1.01))
    pieces[2]["steps"][1] = bounds("low", 1, [2.0**-40], multipliers=[[2.0]])
    assert "not proved to be as low" in reason(file(net, box([-1], [1]), pieces, 1.01))


def test_the_arithmetic_is_chosen_by_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cover, "MAX_WORK", 0)
    assert check_document(stable(), True).level == "exact"
    assert check_document(stable()).level != "exact"


# ---------------------------------------------------------------- every rule once


def small() -> Document:
    """A cover with every kind of step and end but flat ones."""
    rng = np.random.default_rng(5)
    layers = [(rng.normal(size=(3, 2)), rng.normal(size=3)), (rng.normal(size=(2, 3)), rng.normal(size=2))]
    layers.append((rng.normal(size=(1, 2)), np.zeros(1)))
    center = np.zeros(2)
    region = Set(center - 1, center + 1, center, 1.2, True)
    return Writer(layers, region, 3).document(attained(0.0, [0.0, 0.5], [0.5, 0.0]))


SMALL = small()
KINDS = {one["end"]["kind"]: number for number, one in enumerate(SMALL["tree"]["pieces"])}
STEP = ("tree", "pieces", 0, "steps")
LINES = next(k for k, step in enumerate(SMALL["tree"]["pieces"][0]["steps"]) if step["kind"] == "lines")
FIRST_BOUND = ("tree", "pieces", 0, "steps", 0)
MULTIPLIED = next(
    (p, s)
    for p, one in enumerate(SMALL["tree"]["pieces"])
    for s, step in enumerate(one["steps"])
    if step["kind"] == "bounds" and step["multipliers"] is not None and one["parent"] is not None
)
ENDED = ("tree", "pieces", KINDS["condition"], "end")
GROUP = ("tree", "network", "groups", 0)
WITHIN = ("region", "within")


def test_the_small_cover_is_proved() -> None:
    assert proved(SMALL)
    assert {"split", "condition"} <= set(KINDS)
    result = check_document(SMALL)
    assert "in the ball of radius 1.2 within a box (" in result.reason
    assert f"; {len(SMALL['tree']['pieces'])} pieces; " in result.reason


def changed(path: tuple[str | int, ...], value: Any) -> Document:
    document = copy.deepcopy(SMALL)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    hashed(document["tree"]["network"])
    return with_claim(document)


def also_in_claim(path: tuple[str | int, ...], value: Any) -> Document:
    """The same change of the region at the top and of the tree."""
    document = changed(("region", *path), value)
    place: Any = document["tree"]["claim"]["region"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return document


def longer(text: str) -> str:
    numbers = covers.unpack(text)
    return pack(np.append(numbers, 0.5))


def ids(text: str) -> str:
    numbers = covers.unpack(text, "<i8")
    return pack(numbers[::-1], "<i8")


RULES: list[tuple[str, Callable[[], Document], str]] = [
    ("unknown kind of part", lambda: changed(("tree", "kind"), "union"), "of the unknown kind 'union'"),
    ("restriction of many", lambda: changed(("tree", "kind"), "restriction"), "pieces does not have 1 entries"),
    ("too few", lambda: changed(("tree", "pieces"), lambda v: v[:1]), "pieces does not have 3 to 1000000 entries"),
    ("key", lambda: _more(), "has the unknown key 'more'"),
    ("metric", lambda: changed(("tree", "claim", "metric"), pack([1.0])), "claim.metric is not null"),
    ("inputs", lambda: changed(("tree", "claim", "inputs"), 3), "does not hold exactly 3 values"),
    ("outputs", lambda: changed(("tree", "claim", "outputs"), 2), "has other inputs or outputs than the network"),
    ("size", lambda: changed(("region", "size"), 1), "region.size is not the number"),
    ("coordinates", lambda: changed(("region", "coordinates"), "torus"), "region.coordinates is not 'input'"),
    ("sentence", lambda: {**SMALL, "claim": SMALL["claim"].replace("in the region below ", "")}, "claim is not "),
    ("region kind", lambda: also_in_claim(("kind",), "disc"), "region.kind is none of"),
    ("region all", lambda: changed(("region",), {"kind": "all", "coordinates": "input", "size": 2}), "claim|region"),
    ("other region", lambda: changed(("region", "radius"), (1.1).hex()), "region is not that of the tree"),
    ("no ball", lambda: also_in_claim(("radius",), (0.0).hex()), "radius is zero"),
    ("negative radius", lambda: also_in_claim(("radius",), (-1.0).hex()), "radius is less than 0"),
    ("ends", lambda: also_in_claim(("within", "low"), pack([2.0, 0.0])), "within has low > high"),
    ("away", lambda: also_in_claim(("within",), {"low": pack([1.2, 0]), "high": pack([2, 1])}), "no point inside"),
    ("attained", lambda: changed(("attained", "x"), pack([1.0, 1.0])), "attained.x does not lie in the region"),
    ("attained'", lambda: changed(("attained", "x_prime"), pack([0.0, -1.01])), "attained.x_prime does not lie"),
    ("hash", lambda: {**changed(("attained",), None), "tree": _hash()}, "network.sha256 is not the hash"),
    ("activation kind", lambda: _unhashed("kind", "relu"), "has no key 'parameters'"),
    ("starts", lambda: changed((*GROUP, "activation", "starts"), []), "starts does not have 1 entries"),
    ("values", lambda: changed((*GROUP, "activation", "values"), lambda v: v[:1]), "values does not have 2 entries"),
    ("many", lambda: changed((*GROUP, "activation", "slopes"), lambda v: v * 9), "does not have 1 to 16 entries"),
    ("jump", lambda: changed((*GROUP, "activation", "values", 1), pack([0, 1e-300, 0])), "pieces 0 and 1 do not meet"),
    ("slope", lambda: changed((*GROUP, "activation", "slopes", 1), pack([1, 1, 1.5])), "beyond alpha or beta"),
    ("alpha", lambda: changed((*GROUP, "alpha"), pack([0.5, 0, 0])), "beyond alpha or beta"),
    ("order", lambda: changed((*GROUP, "alpha"), pack([2.0, 0, 0])), "group 1 has alpha > beta"),
    ("radius of a bias", lambda: changed((*GROUP, "bias_radius"), pack([-1.0, 0, 0])), "has a value out of range"),
    ("bias", lambda: changed((*GROUP, "bias"), longer), "bias of group 1 does not hold exactly 3 values"),
    ("first parent", lambda: changed(("tree", "pieces", 0, "parent"), 0), "of the first piece are not null"),
    ("parent", lambda: changed(("tree", "pieces", 1, "parent"), 1), r"parent is not in 0 \.\. 0"),
    ("null parent", lambda: changed(("tree", "pieces", 1, "parent"), None), "parent is not an integer"),
    ("side", lambda: changed(("tree", "pieces", 1, "side"), "left"), "neither 'below' nor 'above'"),
    ("twice", lambda: changed(("tree", "pieces", 1, "side"), "above"), "another piece is above the split"),
    ("missing", lambda: changed(("tree", "pieces"), lambda v: v[:-1]), "no piece is above the split of pieces"),
    ("of no split", lambda: _under(KINDS["condition"]), "is not split"),
    ("step", lambda: changed((*FIRST_BOUND, "kind"), "cut"), "of the unknown kind 'cut'"),
    ("slopes", lambda: _slopes(), "the activation of group 1 is not smooth"),
    ("bound's side", lambda: changed((*FIRST_BOUND, "side"), "below"), "neither 'low' nor 'high'"),
    ("bound's group", lambda: changed((*FIRST_BOUND, "group"), 3), r"group is not in 1 \.\. 2"),
    ("bound's neurons", lambda: changed((*FIRST_BOUND, "neurons"), ids), "neurons do not ascend"),
    ("neuron", lambda: changed((*FIRST_BOUND, "neurons"), pack([0, 1, 3], "<i8")), "has a value out of range"),
    ("bound's values", lambda: changed((*FIRST_BOUND, "values"), longer), "does not hold exactly 3 values"),
    ("infinite", lambda: changed((*FIRST_BOUND, "values"), pack([np.inf] * 3)), "not finite"),
    ("lines of all", lambda: changed((*FIRST_BOUND, "lines"), [lines(1, [], [], [])]), "does not have 0 entries"),
    ("lines' slopes", lambda: changed((*STEP, LINES, "lower"), longer), "does not hold exactly 3 values"),
    ("multipliers", lambda: changed((*FIRST_BOUND, "multipliers"), pack([0.5])), "does not hold exactly 0 values"),
    ("negative", lambda: _negative(), "multipliers has a value out of range"),
    ("not proved", lambda: changed((*FIRST_BOUND, "values"), pack([100.0] * 3)), "not proved to be as low"),
    ("end", lambda: changed((*ENDED, "kind"), "leaf"), "end is of the unknown kind 'leaf'"),
    ("rho", lambda: changed((*ENDED, "rho"), (-1.0).hex()), "rho is less than 0"),
    ("more rho", lambda: changed((*ENDED, "rho"), (1e9).hex()), "upper is less than"),
    ("less rho", lambda: changed((*ENDED, "rho"), (0.0).hex()), "M is not proved positive semidefinite"),
    ("exponent", lambda: changed((*ENDED, "exponent"), 1101), r"exponent is not in -1100 \.\. 1100"),
    ("groups", lambda: changed((*ENDED, "multipliers"), lambda v: v[:1]), "multipliers does not have 2 entries"),
    ("undecided", lambda: changed((*ENDED, "multipliers", 0), lambda v: _other_length(v)), "multipliers for"),
    ("split group", lambda: changed(("tree", "pieces", 0, "end", "group"), 3), r"group is not in 0 \.\. 2"),
    ("split neuron", lambda: changed(("tree", "pieces", 0, "end", "neuron"), 3), r"neuron is not in 0 \.\. 2"),
    ("upper", lambda: _upper(), "upper is less than 2"),
    ("flat", lambda: changed(ENDED, flat()), "weights does not have"),
    ("zero", lambda: _flat(0), "weights are all zero"),
    ("minus", lambda: _flat("-1"), "is not a decimal integer >= 0"),
    ("leading zero", lambda: _flat("01"), "is not a decimal integer >= 0"),
    ("number", lambda: _flat(None), "is not a string"),
    ("digits", lambda: _flat("1" * 100_001), "has more than 100000 digits"),
    ("inside", lambda: _flat(10**5000), "the weighed half-spaces|not linear"),
]


def _more() -> Document:
    document = copy.deepcopy(SMALL)
    document["tree"]["more"] = None
    return document


def _unhashed(key: str, value: Any) -> Document:
    document = copy.deepcopy(SMALL)
    document["tree"]["network"]["groups"][0]["activation"][key] = value
    return document


def _hash() -> Document:
    tree = copy.deepcopy(SMALL["tree"])
    tree["network"]["sha256"] = "0" * 64
    return tree


def _under(parent: int) -> Document:
    document = copy.deepcopy(SMALL)
    document["tree"]["pieces"].append(piece(EMPTY, parent=parent, side="below"))
    return document


def _slopes() -> Document:
    return changed(STEP, lambda v: [slopes_step(1, [0], [0.0], [1.0]), *v])


def _negative() -> Document:
    number, step = MULTIPLIED
    path = ("tree", "pieces", number, "steps", step, "multipliers")
    return changed(path, lambda v: pack(-1.0 - covers.unpack(v)))


def _other_length(text: str) -> str:
    numbers = covers.unpack(text)
    return pack(numbers[:-1] if len(numbers) == 3 else np.append(numbers, 1.0))


def _upper() -> Document:
    document = copy.deepcopy(SMALL)
    document["upper"] = document["tree"]["claim"]["upper"] = (0.001).hex()
    document["attained"] = None
    return with_claim(document)


def _flat(weight: Any) -> Document:
    number = next(k for k, one in enumerate(SMALL["tree"]["pieces"]) if one["end"]["kind"] == "condition")
    depth, parent = 0, SMALL["tree"]["pieces"][number]["parent"]
    while parent is not None:
        depth, parent = depth + 1, SMALL["tree"]["pieces"][parent]["parent"]
    weights = [str(weight) if isinstance(weight, int) and weight < 10**9 else weight] * depth
    if isinstance(weight, int) and weight >= 10**9:
        weights = ["1" + "0" * 5000] * depth
    return changed(("tree", "pieces", number, "end"), {"kind": "flat", "weights": weights})


@pytest.mark.parametrize(("make", "message"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_every_rule_is_enforced(make: Callable[[], Document], message: str) -> None:
    found = reason(make())
    assert re.search(message, found), found


def test_a_cover_is_the_whole_tree() -> None:
    from tests.check.version3 import as_version_3, kept, sequence

    outer = as_version_3(kept("dense-relu"))
    outer["tree"] = sequence((100.0).hex(), [SMALL["tree"], outer["tree"]], [{"layout": "", "scale": ""}])
    assert "can only be the whole tree" in reason(outer)
