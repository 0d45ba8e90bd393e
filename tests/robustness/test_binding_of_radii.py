"""Files of radii are about the model and the data that they are compared with, normalisation and float32 included."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert import Network, Radii
from sdpcert.check import CheckResult, check_document
from sdpcert.network.affine import Dense
from sdpcert.network.differences import with_differences
from sdpcert.robustness.binding import check_with_model
from sdpcert.robustness.constants import constant_of
from sdpcert.robustness.entry import ByConstants, Entry
from sdpcert.robustness.from_logits import ErrorBound
from sdpcert.robustness.needed import Errors
from sdpcert.robustness.normalisation import Normalisation
from sdpcert.robustness.request import Request
from sdpcert.robustness.statement import Statement
from tests.robustness.test_radii import INPUTS, LABELS, NETWORK, linear, small

Array = np.ndarray


def made(**given: Any) -> Radii:
    return sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[0.01], nodes=1, attack=False, **given)


@pytest.mark.parametrize("level", ["R", "F"])
def test_a_file_is_about_its_model_and_its_data(level: Any) -> None:
    found = made(level=level, normalisation=(0.25, 0.3))
    verdict = check_with_model(found, NETWORK, (INPUTS, LABELS))
    assert verdict.ok, verdict.reason
    assert verdict.reason.endswith("the network is that of mlp; the inputs and labels are the 5 of the data")
    assert check_with_model(found, None).ok


def test_what_differs_is_said_in_one_line() -> None:
    found, other = made(normalisation=(0.25, 0.3)), LABELS.copy()
    other[3] = (other[3] + 1) % 3
    moved = INPUTS.astype(float)
    moved[2, 1] += 1e-9
    for network, data, says in (
        (small(1), None, "the file is about other weights than mlp behind the stated normalisation"),
        (NETWORK, (INPUTS, other), "the label of input 3 is"),
        (NETWORK, (moved, LABELS), "input 2 of the file is not that of the data"),
        (NETWORK, (INPUTS[:4], LABELS[:4]), "the file has 5 inputs, and the data 4"),
        (None, (INPUTS[:, :3], LABELS), "the file's inputs have 4 numbers, and those of the data 3"),
    ):
        verdict = check_with_model(found, network, data)
        assert not verdict.ok and says in verdict.reason and "\n" not in verdict.reason
    assert not check_with_model(sdpcert.certify(NETWORK), NETWORK).ok
    with pytest.raises(TypeError):
        check_with_model(3, NETWORK)  # type: ignore[arg-type]


def test_another_normalisation_is_another_network() -> None:
    request = Request.of(NETWORK, INPUTS, LABELS, normalisation=(0.25, 0.3))
    other = replace(request.statement, normalisation=Normalisation(np.array([0.25]), np.array([0.31])))
    entries = [Entry(center, int(label), None) for center, label in zip(request.inputs, LABELS, strict=True)]
    document = other.document(entries)
    assert sdpcert.check(Radii.of(document)).ok
    assert "other weights" in check_with_model(Radii.of(document), NETWORK).reason


def test_errors_that_are_too_small_are_refused() -> None:
    request = Request.of(NETWORK, INPUTS, LABELS, level="F")
    errors = request.statement.errors
    assert errors is not None
    entries = [Entry(center, int(label), None) for center, label in zip(request.inputs, LABELS, strict=True)]
    for offset, slope, named in ((0.9, 1.0, "offset"), (1.0, 0.9, "slope")):
        bound = ErrorBound(errors.bound.offset * offset, errors.bound.slope * slope)
        stated = replace(request.statement, errors=Errors(bound, errors.center))
        verdict = check_with_model(Radii.of(stated.document(entries)), NETWORK)
        assert not verdict.ok and verdict.reason.startswith(f"errors.{named} is")


def test_errors_without_a_center_are_those_around_each_input() -> None:
    """Of a linear classifier: the margin 2 falls by 1 for each unit of distance, float32 is off by 0.2 + 0.3 of it."""
    network = linear([1.0, 0.0], [0.0, 0.0])
    form, center = with_differences(network), np.array([2.0, 7.0])
    constant = constant_of(form, (0, 1))
    assert constant is not None
    largest = (2 - math.sqrt(2) * 0.2) / (constant.upper + math.sqrt(2) * 0.3)
    for around, radius, ok in (
        (None, largest * (1 - 1e-9), True),
        (None, largest * (1 + 1e-9), False),
        (np.array([2.0, 6.0]), largest * (1 - 1e-9), False),
    ):
        entry = Entry(center, 0, True, radius, (ByConstants((1,)),))
        statement = Statement(form, "l2", None, Errors(ErrorBound(0.2, 0.3), around))
        for exact in (False, True):
            assert check_document(statement.document([entry], [constant]), exact=exact).ok is ok


# ---------------------------------------------------------------- the range of float32


def verdict_at(network: Network, center: Array, label: int, around: Array | None = None) -> CheckResult:
    """That on a file of level F that claims one input without a radius, with the errors that are computed again."""
    errors = Errors.of(network, network, center[None], around).stated
    statement = Statement(with_differences(network), "l2", None, errors)
    return check_with_model(Radii.of(statement.document([Entry(center, label, True, 0.0)])), network)


def test_errors_are_bounded_up_to_some_distance() -> None:
    """At 1e20 float32 subtracts infinity from infinity."""
    weights = [np.array([[1e18], [1e18]]), np.array([[1e5, -0.5e5], [0.0, 0.0]])]
    network, zero = Network.mlp(weights, [np.zeros(2), np.zeros(2)]), np.zeros(1)
    assert verdict_at(network, np.array([2.0]), 0, zero).ok
    reason = verdict_at(network, np.array([1e20], dtype=np.float32).astype(float), 0, zero).reason
    assert reason == "the region of input 0 reaches farther than errors of float32 are bounded"
    assert verdict_at(network, np.array([0.1]), 0).reason == "input 0 has numbers that are no float32 numbers"


def test_weights_that_float32_has_not() -> None:
    """One that underflows leaves a tie, two that overflow leave no number."""
    first, one, zeros = np.array([[1e22]]), np.ones(1), np.zeros(2)
    small = Network.mlp([first, np.array([[0.0], [1e-46]])], [np.zeros(1), zeros])
    assert "inputs[0]: the label is not proved" in verdict_at(small, one, 1).reason
    large = Network.mlp([np.full((2, 1), 1e-30), np.array([[1e39, -5e38], [0.0, 0.0]])], [zeros, zeros])
    with pytest.raises(ValueError, match="level F: coefficients may be too large for float32; use level R"):
        verdict_at(large, one, 0)
    with pytest.raises(ValueError, match="normalisation: every entry of std"):
        Normalisation.of((0.0, 1e39), (1,))


# ---------------------------------------------------------------- normalisations


@pytest.mark.parametrize(
    ("shape", "mean", "std"),
    [((3, 2, 2), [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]), ((4,), 0.1307, 0.3081), ((4,), [0.0, 1.0, 2.0, 3.0], 0.5)],
)
def test_a_normalisation_is_what_the_model_reads(shape: tuple[int, ...], mean: Any, std: Any) -> None:
    random = np.random.default_rng(0)
    model = small(2, (int(np.prod(shape)), 5, 3))
    if len(shape) == 3:
        graph = sdpcert.network.Graph(shape)
        value = graph.rearrange(0, np.ravel)
        for node in model.nodes:
            value = graph.add(node.layer, value)
        model = graph.network(value)
    points = random.uniform(size=(4, *shape))
    own = Normalisation.of((mean, std), shape)
    assert own is not None
    wide = [np.reshape(part, (-1, 1, 1)) if np.size(part) == 3 else np.asarray(part) for part in (mean, std)]
    assert np.allclose(own.before(model)(points), model((points - wide[0]) / wide[1]), rtol=1e-12, atol=1e-12)
    again = Normalisation.read(own.document(), shape)
    assert again is not None and np.array_equal(again.mean, own.mean) and np.array_equal(again.std, own.std)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_form_encloses_the_exact_normalisation(seed: int) -> None:
    """Preactivations of the first group, in rational arithmetic, of `(x - mean) / std`."""
    random = np.random.default_rng(seed)
    mean, std = (10.0 ** random.uniform(-6, 3, 3) for _ in range(2))
    model = small(seed, (3, 4, 2))
    point = random.standard_normal(3) * 10.0 ** random.uniform(-3, 3)
    form = with_differences(Normalisation(mean, std).before(model))
    read = [(Fraction(x) - Fraction(m)) / Fraction(s) for x, m, s in zip(point, mean, std, strict=True)]
    first = model.nodes[0].layer
    assert isinstance(first, Dense)
    bias = np.broadcast_to(first.offset(), (4,))
    block, group = form.blocks[1, 0], form.groups[0]
    low = np.zeros_like(block.weights) if block.low is None else block.low
    for i in range(4):
        exact = Fraction(bias[i]) + sum(Fraction(w) * r for w, r in zip(first.weight[i], read, strict=True))
        weights = [Fraction(w) + Fraction(part) for w, part in zip(block.weights[i], low[i], strict=True)]
        stated = Fraction(group.bias[i]) + sum(w * Fraction(x) for w, x in zip(weights, point, strict=True))
        room = Fraction(float(group.bias_radii[i])) + Fraction(block.radius) * sum(map(abs, map(Fraction, point)))
        assert abs(exact - stated) <= room


def test_radii_are_in_the_coordinates_of_the_inputs() -> None:
    labels = NETWORK((INPUTS.astype(float) - 0.25) / 0.5).argmax(axis=1)
    plain = sdpcert.radii(NETWORK, (INPUTS[:2].astype(float) - 0.25) / 0.5, labels[:2], nodes=1, attack=False)
    found = sdpcert.radii(NETWORK, INPUTS[:2], labels[:2], normalisation=(0.25, 0.5), nodes=1, attack=False)
    assert np.allclose(found.radius * 2, plain.radius, rtol=0.02)
