"""Files that `radii` wrote, altered at every leaf: what is accepted nevertheless is true by the exact radii.

`tests/check/test_radii_mutants.py` does that to files written by hand; here are those of the search, with constants,
attacks, and quadratic steps. Bound to the model and to the data, no file of other ones is accepted.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.check import check_document
from sdpcert.regions import Box
from sdpcert.robustness.binding import check_with_model
from tests.check.covers import Document, hashed, unpack
from tests.check.radii_files import completed
from tests.check.test_radii_mutants import leaves, others, replaced
from tests.oracles.networks import PiecewiseNetwork
from tests.oracles.robustness import Nearest, margins, nearest_of_another_class
from tests.robustness.test_radii_against_enumeration import classifier, inputs_of

Array = np.ndarray
#: Leaves of an entry that are its statement; what they say is compared with the exact radius.
STATED = ("radius", "center", "label", "correct", "distance", "point")
#: Seconds for one input: no test hangs.
LIMIT = 30.0


class Truth:
    """What is true of the inputs of a network, in rational arithmetic."""

    def __init__(self, network: PiecewiseNetwork, norm: Any) -> None:
        self.network, self.norm = network, norm
        self.known: dict[Any, Nearest] = {}

    def nearest(self, center: Array, label: int, within: tuple[Array, Array] | None) -> Nearest:
        """As the oracle has it, computed once."""
        key = (center.tobytes(), label, None if within is None else (within[0].tobytes(), within[1].tobytes()))
        if key not in self.known:
            self.known[key] = nearest_of_another_class(self.network, center, label, self.norm, within)
        return self.known[key]

    def assert_holds(self, document: Document) -> None:
        """Every entry of a file of level R is true, and its rows count them."""
        assert document["norm"] == self.norm and document["level"] == "R"
        box = document["within"]
        within = None if box is None else (unpack(box["low"]), unpack(box["high"]))
        right, radii, distances = [], [], []
        for entry in document["inputs"]:
            center, label = unpack(entry["center"]), entry["label"]
            assert within is None or np.all((within[0] <= center) & (center <= within[1]))
            values = self.network([Fraction(float(x)) for x in center])
            lead = values[label] - max(value for j, value in enumerate(values) if j != label)
            assert entry["correct"] is None or entry["correct"] == (lead > 0)
            radius = float.fromhex(entry["radius"])
            right.append(entry["correct"] is True)
            radii.append(radius)
            assert radius == 0 or (right[-1] and self.nearest(center, label, within).is_beyond(radius))
            distances.append(inf if entry["attack"] is None else self.distance(entry, center, label, within))
        for row in document["rows"]:
            asked = float.fromhex(row["radius"])
            assert row["certified"] == sum(r and radius >= asked for r, radius in zip(right, radii, strict=True))
            left = sum(r and d > asked for r, d in zip(right, distances, strict=True))
            assert row["attacked"] is None or row["attacked"] == left

    def distance(self, entry: Document, center: Array, label: int, within: tuple[Array, Array] | None) -> float:
        """The stated distance of an attack, which is one."""
        point, distance = unpack(entry["attack"]["point"]), float.fromhex(entry["attack"]["distance"])
        assert within is None or np.all((within[0] <= point) & (point <= within[1]))
        assert min(margins(self.network, [Fraction(float(x)) for x in point], label)) <= 0
        steps = [abs(Fraction(float(a)) - Fraction(float(c))) for a, c in zip(point, center, strict=True)]
        away = sum(d * d for d in steps) if self.norm == "l2" else max(steps)
        assert away <= (Fraction(distance) ** 2 if self.norm == "l2" else Fraction(distance))
        return distance


def proved(seed: int, norm: Any, **asked: Any) -> tuple[PiecewiseNetwork, Array, Array, sdpcert.Radii]:
    """Radii of a few inputs of a random network, one of them with another label than its class."""
    network = classifier(seed)
    centers, labels = inputs_of(network, seed, 3)
    labels[-1] = (labels[-1] + 1) % len(network.weight)
    within = Box(centers.min(axis=0) - 0.25, centers.max(axis=0) + 0.75) if seed % 2 else None
    found = sdpcert.radii(
        network.network(), centers, labels, norm=norm, within=within, nodes=9, time_limit=LIMIT, **asked
    )
    return network, centers, labels, found


def anew(plain: Document) -> Document | None:
    """The document with hashes, rows and claim that follow from the rest; None where these say nothing."""
    try:
        changed = replaced(plain, ("data_sha256",), "")
        hashed(changed["network"])
        return completed(changed)
    except (ValueError, KeyError, IndexError, TypeError):  # such as an array of another length
        return None


def assert_forgeries_fail(seed: int, norm: Any, share: float) -> None:
    """Alter leaves one at a time; `share` of those within pieces and the network, all others."""
    network, centers, labels, found = proved(seed, norm)
    model, truth, document = network.network(), Truth(network, norm), found.document()
    truth.assert_holds(document)
    assert check_with_model(found, model, (centers, labels)).ok
    rng = np.random.default_rng(seed)
    for path, value in leaves(document):
        deep = "pieces" in path or path[0] == "network" or "multipliers" in path
        if deep and rng.random() > share:
            continue
        choices = others(value, rng)
        plain = replaced(document, path, choices[int(rng.integers(len(choices)))])
        for changed in (plain, anew(plain)):
            if changed is None or changed == document:
                continue
            verdict = check_document(changed)
            assert "could not be finished" not in verdict.reason, (path, verdict.reason)
            if verdict.ok and path[0] != "network":
                truth.assert_holds(changed)
            if verdict.ok:
                bound = check_with_model(sdpcert.Radii.of(changed), model, (centers, labels))
                whose = path[0] == "network" and changed["network"]["sha256"] != document["network"]["sha256"]
                whose |= path[-1] in ("center", "label") or path[0] == "normalisation"
                assert bound.ok != whose, (path, bound.reason)


@pytest.mark.parametrize(("seed", "norm"), [(2, "l2"), (5, "linf")])
def test_no_altered_leaf_of_a_proved_file_says_what_is_not_true(seed: int, norm: str) -> None:
    assert_forgeries_fail(seed, norm, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", [2, 3, 5, 6, 8, 9, 14])
def test_no_altered_leaf_of_many_proved_files_says_what_is_not_true(seed: int, norm: str) -> None:
    assert_forgeries_fail(seed, norm, 0.5)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_radius_that_reaches_the_exact_one_is_rejected(norm: Any) -> None:
    """Whatever else the file says, with all that follows from it made anew."""
    network, _, _, found = proved(2, norm)
    truth, document = Truth(network, norm), found.document()
    for k, entry in enumerate(document["inputs"]):
        if entry["correct"]:
            exact = float(truth.nearest(unpack(entry["center"]), entry["label"], None))
            for radius in (nextafter(exact, inf), 1.001 * exact, 10 * exact):
                changed = anew(replaced(document, ("inputs", k, "radius"), radius.hex()))
                assert changed is not None and not check_document(changed).ok


def test_another_normalisation_is_that_of_another_network() -> None:
    network, centers, labels, found = proved(2, "l2", normalisation=(0.25, 0.5))
    model, document = network.network(), found.document()
    assert check_with_model(found, model).ok
    for key, value in (("mean", 0.26), ("std", 0.51), ("mean", 0.0)):
        changed = anew(replaced(document, ("normalisation", key, 0), value.hex()))
        assert changed is not None
        assert not check_with_model(sdpcert.Radii.of(changed), model, (centers, labels)).ok
    changed = anew(replaced(document, ("normalisation",), None))
    assert changed is not None and not check_with_model(sdpcert.Radii.of(changed), model).ok


def test_smaller_errors_of_float32_are_not_those_of_the_model() -> None:
    network = classifier(2)
    centers = np.float32(inputs_of(network, 2, 1)[0])
    labels = np.argmax(network.network()(centers.astype(float)), axis=1)
    model = network.network()
    found = sdpcert.radii(model, centers, labels, level="F", nodes=1, attack=False)
    assert check_with_model(found, model).ok
    document = found.document()
    for key in ("offset", "slope"):
        value = float.fromhex(document["errors"][key])
        changed = anew(replaced(document, ("errors", key), (value / 2).hex()))
        assert changed is not None
        verdict = check_with_model(sdpcert.Radii.of(changed), model)
        assert not verdict.ok and key in verdict.reason
    assert document["errors"]["center"] is None  # they hold around each input
