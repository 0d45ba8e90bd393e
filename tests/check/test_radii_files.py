"""Files of radii: what is accepted, in which arithmetic, and what a proved one says."""

from __future__ import annotations

import copy
import json
import math
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdpcert
from sdpcert.check import check_document
from sdpcert.check.differences import Differences
from sdpcert.check.entries import Setting
from sdpcert.check.needed import Errors, reach, root_up
from sdpcert.check.network import read as read_network
from sdpcert.check.pieces import Requirement, check_separated
from sdpcert.check.radii_claim import Row
from sdpcert.check.radii_file import claim_of
from sdpcert.check.reading import Rejected
from sdpcert.check.verdict import main
from tests.check.covers import Document, bounds, hashed, pack, piece, piecewise_linear, relu, unpack
from tests.check.radii_example import example, random_layers, untrue
from tests.check.radii_files import Writer, completed, with_claim

ARITHMETICS = {True: "exact", False: "floating-point"}
KINDS = [(norm, level) for norm in ("l2", "linf") for level in "RF"]


def altered(document: Document, **values: Any) -> Document:
    """A copy with other values at the top."""
    return copy.deepcopy(document) | values


def entry_altered(document: Document, number: int, **values: Any) -> Document:
    """A copy with other values in one entry, and all that follows from entries."""
    changed = copy.deepcopy(document)
    changed["inputs"][number] |= values
    return completed(changed)


def rejected(document: Document, exact: bool | None = True) -> str:
    """Why a file is rejected."""
    result = check_document(document, exact)
    assert not result.ok and result.upper is None and result.level is None and result.radii == ()
    assert "could not be finished" not in result.reason and "\n" not in result.reason
    return result.reason


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("exact", ARITHMETICS)
@pytest.mark.parametrize(("norm", "level"), KINDS)
def test_every_kind_of_entry_and_proof_is_accepted_in_both_arithmetics(norm: str, level: str, exact: bool) -> None:
    document = example(norm, level)
    result = check_document(document, exact)
    assert (result.ok, result.upper, result.lower) == (True, None, None), result.reason
    assert result.level == ARITHMETICS[exact] and result.sha256 == document["network"]["sha256"]
    assert result.radii == tuple(
        Row(radius, *counts) for radius, *counts in ((0.0, 4, 4), (0.1, 2, 4), (0.5, 1, 4), (1.0, 0, 3))
    )
    assert untrue(document) is None
    kinds = {piece["end"]["kind"] for piece in document["inputs"][0]["proofs"][0]["pieces"]}
    assert {"split", "separated"} <= kinds


def test_little_work_is_done_in_integers() -> None:
    assert check_document(example()).level == "exact"


def test_a_file_says_what_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "radii.json"
    path.write_text(json.dumps(example()), encoding="utf-8")
    assert main([str(path)]) == 0
    out = capsys.readouterr().out
    net, data = example()["network"]["sha256"], example()["data_sha256"]
    assert out == (
        "proved: 4 of 6 inputs right; certified at radius 0.0: 4 (an attack leaves 4), 0.1: 2 (an attack leaves 4), "
        "0.5: 1 (an attack leaves 4), 1.0: 0 (an attack leaves 3) (Euclidean norm; real arithmetic; "
        "inputs within the box from [-1.5, -1.25] to [1.5, 1.25]; the model reads the inputs as they are; "
        "nothing claimed of 1; the stated weights, the stated "
        f"activations; proved in exact integer arithmetic; network sha256 {net}; data sha256 {data})\n"
    )
    result = sdpcert.check(path)
    assert result.ok and result.radii == (Row(0.0, 4, 4), Row(0.1, 2, 4), Row(0.5, 1, 4), Row(1.0, 0, 3))


def test_what_is_not_proved_is_said_at_level_f() -> None:
    reason = check_document(example("linf", "F")).reason
    assert (
        "(maximum norm; float32 arithmetic that is off by a vector of Euclidean norm at most 0.0001 + 0.001" in reason
    )
    assert "; stated and not proved: the network first subtracts the mean 0.5 and divides by 0.25; " in reason
    assert reason.endswith("; stated and not proved: how far float32 is off)")


def test_the_claim_is_known_before_there_is_one() -> None:
    for norm, level in KINDS:
        document = example(norm, level)
        assert claim_of(document | {"claim": ""}) == document["claim"]


def test_long_arrays_are_hashed_in_words() -> None:
    rng = np.random.default_rng(0)
    writer = Writer(
        [(rng.normal(size=(3, 20)), np.zeros(3)), (rng.normal(size=(2, 3)), np.zeros(2))],
        within=(np.zeros(20), np.linspace(1, 2, 20)),
        radii=(),
    )
    center = np.full(20, 0.5)
    document = writer.file([writer.entry(center, int(np.argmax(writer.outputs(center))), 0.0)])
    assert "from 0.0 to 20 numbers with sha256 " in document["claim"] and "No radius asked for." in document["claim"]
    assert "Of the 1 input below (20 numbers each, 2 classes" in document["claim"]
    assert check_document(document).ok
    changed = altered(document, within={"low": pack(np.zeros(20)), "high": pack(np.linspace(1, 2.5, 20))})
    assert rejected(changed).startswith("claim is not")
    assert check_document(with_claim(changed)).ok


# ---------------------------------------------------------------- entries


@pytest.mark.parametrize("exact", ARITHMETICS)
def test_a_tie_is_no_right_answer(exact: bool) -> None:
    """Two classes with the same output everywhere, although 0.1 is not binary."""
    weights = [(np.array([[0.1, 0.3]]), np.array([0.7])), (np.array([[0.1], [0.1], [-1.0]]), np.zeros(3))]
    writer = Writer(weights)
    tie, other = writer.wrong([0.3, 0.1], 0), writer.entry([0.3, 0.1], 1, 0.0)
    assert check_document(writer.file([tie]), exact).ok
    assert rejected(writer.file([other]), exact) == "inputs[0]: the label is not proved to have the greatest output"
    worst = writer.entry([0.3, 0.1], 2, 0.0)
    assert (
        rejected(writer.file([tie, worst]), exact) == "inputs[1]: the label is not proved to have the greatest output"
    )


def test_what_is_claimed_of_labels_is_proved() -> None:
    document = example()
    assert "inputs[0]: proofs[0].classes[0] is the label" in rejected(entry_altered(document, 0, label=0))
    nothing = {"radius": (0.0).hex(), "proofs": [], "attack": None}
    greatest = "the label is not proved to have the greatest output"
    assert rejected(entry_altered(document, 0, label=0, **nothing)) == f"inputs[0]: {greatest}"
    for number, values in (
        (0, {"correct": False, **nothing}),
        (3, {"label": 1}),
    ):
        reason = rejected(entry_altered(document, number, **values))
        assert reason == f"inputs[{number}]: no other class is proved to have an output at least that of the label"
    assert check_document(entry_altered(document, 5, correct=None)).ok
    assert "has a radius or an attack" in rejected(entry_altered(document, 0, correct=None))
    assert "correct is neither" in rejected(entry_altered(document, 5, correct=1))


@pytest.mark.parametrize("exact", ARITHMETICS)
def test_what_may_be_either_is_claimed_to_be_neither(exact: bool) -> None:
    """Weights within a radius, or float32, leave open whether a margin of 2e-4 is positive."""
    layers, point = [(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([5.0, 0.0]))], [-1.6666, 0.0]
    writer, float32 = Writer(layers), Writer(layers, errors=(2e-4, 0.0, np.zeros(2)))
    right, wrong = writer.entry(point, 0, 0.0), writer.wrong(point, 0)
    neither = wrong | {"correct": None}
    assert check_document(writer.file([right]), exact).ok and not check_document(writer.file([wrong]), exact).ok
    for entry, is_open in ((right, False), (wrong, False), (neither, True)):
        assert check_document(float32.file([entry]), exact).ok is is_open
        uncertain = writer.file([entry])
        uncertain["network"]["blocks"][0]["radius"] = (1e-4).hex()
        hashed(uncertain["network"])
        result = check_document(with_claim(uncertain), exact)
        assert result.ok is is_open and (not is_open or "every network with weights and biases" in result.reason)


@pytest.mark.parametrize("exact", ARITHMETICS)
def test_smooth_networks_have_radii_too(exact: bool) -> None:
    writer = Writer(random_layers(), activation="tanh")
    center = np.array([-0.66, 0.53])
    values = writer.outputs(center)
    label, worst = int(np.argmax(values)), int(np.argmin(values))
    entries = [writer.entry(center, label, 0.01), writer.wrong(center, worst)]
    result = check_document(writer.file(entries), exact)
    assert (result.ok, result.level) == (True, ARITHMETICS[exact]), result.reason
    assert "no other class" in rejected(writer.file([entries[0], writer.wrong(center, label)]), exact)
    far = entry_altered(writer.file(entries), 0, radius=(0.5).hex())
    assert rejected(far, exact).startswith("inputs[0]: proofs[0]: pieces[0]: ")


def test_a_larger_radius_needs_another_proof() -> None:
    document = example()
    for number, radius in ((0, 0.75), (1, 0.5), (2, 0.3)):
        reason = rejected(entry_altered(document, number, radius=radius.hex()))
        assert reason.startswith(f"inputs[{number}]: proofs[")
    smaller = entry_altered(document, 0, radius=(0.69).hex())
    assert check_document(smaller).ok and untrue(smaller) is None


def test_every_other_class_is_proved_once() -> None:
    document = example()
    pieces, constants = document["inputs"][1]["proofs"]
    for proofs, problem in (
        ([pieces], "nothing proves its radius against class 0"),
        ([], "nothing proves its radius against class 0"),
        ([pieces, constants | {"classes": [0, 1]}], "proofs[1].classes[1] is the label, or a class that something"),
        ([pieces, constants | {"classes": [2]}], "proofs[1].classes[0] is the label"),
        ([pieces, constants | {"classes": [3]}], "proofs[1].classes[0] is not in 0 .. 2"),
        ([pieces, constants | {"classes": []}], "proofs[1].classes does not have 1 to 2 entries"),
        ([pieces, constants | {"kind": "trust"}], "proofs[1].kind is not 'pieces'"),
    ):
        assert problem in rejected(entry_altered(document, 1, proofs=proofs))
    assert "proofs does not have 0 entries" in rejected(entry_altered(document, 5, proofs=[constants]))


def test_proofs_by_constants_need_the_constant_and_the_margin() -> None:
    document = example()
    without = completed(altered(document, constants=document["constants"][1:]))
    assert rejected(without) == "inputs[1]: proofs[1]: there is no constant of the classes 2 and 0"
    far = entry_altered(document, 1, radius=(3.0).hex())
    far["inputs"][1]["proofs"].reverse()
    assert rejected(far) == "inputs[1]: proofs[0]: a margin at the center is not above what the constant may take off"
    twice = completed(altered(document, constants=document["constants"][:1] * 2))
    assert rejected(twice) == "constants[1] is the second of its pair of classes"


def test_constants_are_proved_though_nothing_uses_them() -> None:
    document = example()
    less = copy.deepcopy(document)
    less["constants"][1]["rho"] = (1e-3).hex()
    for exact in ARITHMETICS:
        assert rejected(completed(less), exact).startswith("constants[1]: ")


def test_attacks_are_points_with_another_class() -> None:
    document = example()
    attack = document["inputs"][0]["attack"]
    distance, point = float.fromhex(attack["distance"]), unpack(attack["point"])
    center = unpack(document["inputs"][0]["center"])
    for values, problem in (
        ({"distance": (distance * (1 + 1e-8)).hex()}, "distance is not that of the point, rounded up"),
        ({"distance": (distance * (1 - 1e-9)).hex()}, "distance is not that of the point, rounded up"),
        ({"point": pack(point + 1e-3)}, "distance is not that of the point, rounded up"),
        ({"point": pack([0.1, 9.0])}, "attack.point does not lie in the box of the claim"),
        ({"point": pack(center), "distance": (0.0).hex()}, "distance is not above the radius"),
    ):
        assert problem in rejected(entry_altered(document, 0, attack=attack | values))
    inside = center + 0.8 * np.array([0.0, -0.9])
    stated = {"point": pack(inside), "distance": (0.72 * (1 + 1e-12)).hex()}
    assert "attack: no other class" in rejected(entry_altered(document, 0, attack=stated))
    longer = entry_altered(document, 0, attack=attack | {"distance": (distance * (1 + 5e-10)).hex()})
    assert check_document(longer).ok


def test_the_table_follows_from_the_entries() -> None:
    document = example()
    for k, row in enumerate(document["rows"]):
        for key in ("certified", "attacked"):
            for step in (-1, 1):
                changed = copy.deepcopy(document)
                changed["rows"][k][key] = row[key] + step
                wanted = f"rows[{k}]: {key} is not the number" if row[key] + step >= 0 else f"rows[{k}].{key} is not in"
                assert rejected(with_claim(changed)).startswith(wanted)
        changed = copy.deepcopy(document)
        changed["rows"][k]["attacked"] = None
        assert rejected(with_claim(changed)).startswith(f"rows[{k}]: attacked is not the number")
    silent = entry_altered(document, 0, attack=None)
    assert [row["attacked"] for row in silent["rows"]] == [None] * 4 and check_document(silent).ok
    tried = copy.deepcopy(silent)
    for row in tried["rows"]:
        row["attacked"] = 4
    assert check_document(with_claim(tried)).ok
    tried["rows"][1]["attacked"] = None
    assert rejected(with_claim(tried)).startswith("rows[1]: attacked is not the number")
    falling = completed(altered(document, radii=document["radii"][::-1]))
    assert rejected(falling) == "radii do not ascend"


def test_normalisation_is_a_claim_about_another_network() -> None:
    """The proof does not depend on it: a file with another one is about another model, which the model itself tells."""
    document = example("l2", "F")
    for normalisation in (None, {"mean": [(0.0).hex()], "std": [(0.25).hex()]}):
        changed = altered(document, normalisation=normalisation)
        assert rejected(changed).startswith("claim is not ")
        assert check_document(with_claim(changed)).ok
    for mean, std, problem in (
        ([0.0], [0.0], "not above zero"),
        ([0.0], [-1.0], "not above zero"),
        ([0.0, 0.0], [1.0], "as many means"),
        ([0.0] * 3, [1.0] * 3, "normalisation.mean does not have 1 to 2 entries"),
        ([], [], "normalisation.mean does not have 1 to 2 entries"),
    ):
        stated = {"mean": [x.hex() for x in mean], "std": [x.hex() for x in std]}
        assert problem in rejected(altered(document, normalisation=stated))


# ---------------------------------------------------------------- a radius that is known


def linear(radius: float, kind: str, value: float) -> Document:
    """Two classes with the margin 3 x + 4 y + 5, a radius around zero, and a bound of one of two kinds."""
    writer = Writer([(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([5.0, 0.0]))], radii=(radius,))
    step = bounds("low", 2, [value])
    if kind == "quadratic":
        weights = {"scales": None, "ball": (2.5 * radius**-1).hex(), "multipliers": [pack([])], "decisions": None}
        step = {"kind": "quadratic", "side": "low", "group": 2, "neuron": 0, "value": value.hex(), **weights}
    proof = {"kind": "pieces", "classes": [1], "pieces": [piece({"kind": "separated"}, step)]}
    return writer.file([writer.entry([0.0, 0.0], 0, radius, [proof])])


@pytest.mark.parametrize("exact", ARITHMETICS)
@pytest.mark.parametrize("kind", ["bounds", "quadratic"])
def test_the_radius_of_a_linear_classifier_is_a_distance_from_a_line(kind: str, exact: bool) -> None:
    """At radius 1 the margin is zero at (-0.6, -0.8): a tie, which is no margin."""
    assert check_document(linear(0.75, kind, 1.25 - 1e-9), exact).ok
    nearly = check_document(linear(1 - 1e-9, kind, 1e-9), exact)
    assert nearly.ok and nearly.radii == (Row(1 - 1e-9, 1, None),)
    assert "do not keep neuron 0" in rejected(linear(1.0, kind, -1e-9), exact)
    for radius, value in ((1.0, 1e-9), (1 + 1e-9, 1e-9), (0.75, 1.25 + 1e-9)):
        assert "steps[0]" in rejected(linear(radius, kind, value), exact)
    if exact and kind == "bounds":  # nothing is rounded away from zero
        assert "do not keep neuron 0" in rejected(linear(1.0, kind, 0.0), exact)


# ---------------------------------------------------------------- the network of differences


def test_the_last_groups_have_to_be_outputs_and_their_differences() -> None:
    def changed(alter: Any) -> Document:
        document = copy.deepcopy(example())
        alter(document["network"])
        hashed(document["network"])
        return document

    def last(net: Document) -> Document:
        return net["groups"][-1]

    def weights(net: Document, block: int, place: int, value: float) -> None:
        numbers = unpack(net["blocks"][block]["weights"])
        numbers[place] = value
        net["blocks"][block]["weights"] = pack(numbers)

    count, twice = len(example()["network"]["blocks"]), {key: pack([2.0] * 3) for key in ("alpha", "beta")}
    for alter, problem in (
        (lambda net: weights(net, count - 2, 0, 1.5), "are not the differences"),
        (lambda net: weights(net, count - 1, 2, 1.0), "are not the differences"),
        (lambda net: net["blocks"][-2].update(radius=(1e-9).hex()), "are not the differences"),
        (lambda net: net["blocks"][-2].update(low=pack(np.zeros(9))), "are not the differences"),
        (lambda net: net["blocks"][-1].update({"from": 4}), "are not the differences"),
        (lambda net: last(net).update(bias=pack([0.0, 1e-9, 0.0])), "has biases"),
        (lambda net: last(net).update(bias_radius=pack([0.0, 1e-9, 0.0])), "has biases"),
        (lambda net: net["groups"][-2].update(activation=relu(3), alpha=pack(np.zeros(3))), "does not pass on"),
        (lambda net: net["groups"][-2].update(activation=line(3, 1.0, 0.5)), "does not pass on"),
        (lambda net: net["groups"][-2].update(activation=line(3, 2.0, 0.0), **twice), "does not pass on"),
        (lambda net: net["groups"].clear() or net["blocks"].clear(), "has no groups of outputs"),
    ):
        assert problem in rejected(changed(alter)), problem


def line(size: int, slope: float, at_zero: float) -> Document:
    return piecewise_linear(size, [], [slope], [at_zero])


@given(st.integers(2, 12))
def test_margins_are_neurons_of_the_last_group(classes: int) -> None:
    pairs = [(y, j) for y in range(classes) for j in range(y + 1, classes)]
    differences = Differences(None, classes)  # type: ignore[arg-type]
    numbers = [Fraction(k + 1) for k in range(len(pairs))]
    for label in range(classes):
        margins = differences.margins(label, numbers, [n + 1 for n in numbers])
        assert list(margins) == [j for j in range(classes) if j != label]
        for other, (low, high) in margins.items():
            place = pairs.index((min(label, other), max(label, other)))
            assert differences.neuron(label, other) == (place, 1 if label < other else -1)
            own = (numbers[place], numbers[place] + 1)
            assert (low, high) == (own if label < other else (-own[1], -own[0]))


def test_a_pair_has_its_difference_as_the_only_output() -> None:
    differences = Differences.of(read_network(example()["network"], "network"))
    network = differences.of_pair(2, 0)
    assert (network.outputs, len(network.groups)) == (1, 3)
    assert list(network.blocks[-1].weights) == [-1.0, 0.0, 1.0]


# ---------------------------------------------------------------- requirements and what is needed


def test_requirements_are_strict_and_exact() -> None:
    low, high = [0.0, 0.5], [1.0, 2.0]
    third = Fraction(1, 3)
    for required, holds in (
        (Requirement(0, "low", Fraction(0)), False),
        (Requirement(0, "low", Fraction(-1, 10**400)), True),
        (Requirement(1, "low", Fraction(1, 2)), False),
        (Requirement(1, "low", third), True),
        (Requirement(0, "high", Fraction(1)), False),
        (Requirement(0, "high", 1 + Fraction(1, 10**400)), True),
    ):
        assert required.holds(low[required.neuron], high[required.neuron]) is holds
        if holds:
            check_separated((required,), low, high)
        else:
            with pytest.raises(Rejected, match=f"do not keep neuron {required.neuron} of the last group"):
                check_separated((required,), low, high)
    for unknown in (-math.inf, math.nan):
        assert not Requirement(0, "low", Fraction(-(10**9))).holds(unknown, 0.0)
    with pytest.raises(Rejected, match="nothing is required"):
        check_separated((), low, high)


@given(st.fractions(min_value=0))
def test_roots_are_rounded_up(square: Fraction) -> None:
    root = root_up(square)
    assert root**2 >= square and (root * (1 - Fraction(1, 2**120))) ** 2 <= square


def test_roots_of_squares_of_float64_are_exact_and_those_of_all_sizes_close() -> None:
    for number in (0.1, 1e-3, 0.7, 1.0, 2.0**-60):
        assert root_up(Fraction(number) ** 2) == Fraction(number)
    for square in (Fraction(5e-324), Fraction(5e-324) ** 2, Fraction(10**600), Fraction(1, 3)):
        assert square <= root_up(square) ** 2 <= square * (1 + Fraction(1, 2**118))


def test_float32_needs_margins_that_grow_with_the_distance() -> None:
    errors = Errors(0.5, 0.25, array("d", [1.0, 2.0]))
    center = array("d", [4.0, 6.0])
    assert float(errors.needed(center, Fraction(0))) == pytest.approx(math.sqrt(2) * (0.5 + 0.25 * 5), rel=1e-15)
    assert errors.needed(center, Fraction(2)) ** 2 >= 2 * Fraction(9, 4) ** 2


def test_boxes_contain_every_input_within_the_radius_and_reach_their_corners() -> None:
    ends = array("d", [0.0, 0.0]), array("d", [1.0, 0.35])
    center, radius = array("d", [0.3, 0.1]), 0.1
    free = Setting(None, "linf", None, None, {})  # type: ignore[arg-type]
    region = free.region(center, radius)
    assert region.low is not None and region.high is not None
    for c, low, high in zip(center, region.low, region.high, strict=True):
        assert Fraction(low) <= Fraction(c) - Fraction(radius) < Fraction(math.nextafter(low, 1.0))
        assert Fraction(high) >= Fraction(c) + Fraction(radius) > Fraction(math.nextafter(high, -1.0))
    assert reach(center, region) >= root_up(2 * Fraction(radius) ** 2)
    within = Setting(None, "linf", ends, None, {}).region(center, 0.2)  # type: ignore[arg-type]
    assert within.low is not None and within.low[1] == 0.0 and 0.0 < within.low[0] < 0.1
    assert float(reach(center, within)) == pytest.approx(math.hypot(0.2, 0.2), rel=1e-12)
    for huge in (1.7e308, -1.7e308):
        with pytest.raises(Rejected, match="not within the range of float64"):
            free.region(array("d", [huge, 0.0]), 1e308)


def test_level_f_needs_more_than_level_r() -> None:
    """The same proofs at both levels: with larger errors what is needed is not there any more."""
    document = example("l2", "F")
    errors = document["errors"] | {"slope": (0.3).hex()}
    assert "inputs[" in rejected(with_claim(altered(document, errors=errors)))
    assert rejected(altered(document, errors=None)) == "errors is not null at level R, or null at level F"
    assert check_document(with_claim(altered(document, errors=None, level="R"))).ok
