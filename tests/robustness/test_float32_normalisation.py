"""Level F with a normalisation: float32 programs that divide by the deviation, or multiply by what is one over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.check.reading import values
from sdpcert.network.affine import Dense
from sdpcert.robustness.needed import Errors
from sdpcert.robustness.request import Request
from tests.robustness.test_radii import data, small

Array = np.ndarray
MEAN, STD = np.array([0.1307, 0.5, 0.03, 0.7]), np.array([0.3081, 0.07, 0.2, 1.1])
NETWORK = small(5)


def programs(points: Array) -> Iterator[Array]:
    """Outputs in float32: normalised in three ways, sums in three orders."""
    mean, std = MEAN.astype(np.float32), STD.astype(np.float32)
    for read in (
        (points - mean) / std,
        (points - mean) * (np.float32(1) / std),
        points * (1 / STD).astype(np.float32) - (MEAN / STD).astype(np.float32),
    ):
        for order in (slice(None), slice(None, None, -1), np.random.default_rng(0).permutation(1000)):
            yield dense(read, order)


def dense(values: Array, order: Any) -> Array:
    affine = [node.layer for node in NETWORK.nodes if isinstance(node.layer, Dense)]
    for k, layer in enumerate(affine):
        weight, bias = layer.weight.astype(np.float32), np.broadcast_to(layer.offset(), (layer.weight.shape[0],))
        total = np.tile(bias.astype(np.float32), (len(values), 1))
        columns = np.arange(weight.shape[1])
        columns = columns[order] if isinstance(order, slice) else columns[np.argsort(order[: len(columns)])]
        for column in columns:
            total = total + values[:, column, None] * weight[:, column]
        values = total if k == len(affine) - 1 else np.maximum(total, np.float32(0))
    return values


def test_float32_programs_are_off_by_less_than_the_errors() -> None:
    """By much less: also where a program folds the normalisation into one product and one sum."""
    inputs, labels = data(NETWORK, 200)
    request = Request.of(NETWORK, inputs, labels, level="F", normalisation=(MEAN, STD))
    errors = request.statement.errors
    assert errors is not None
    away = np.random.default_rng(2).standard_normal(inputs.shape).astype(np.float32)
    for size in (0.0, 1e-3, 1.0, 30.0):
        points = inputs + np.float32(size) * away
        allowed = errors.bound.offset + errors.bound.slope * np.linalg.norm(points.astype(float) - inputs, axis=1)
        exact = request.network(points.astype(float))
        for outputs in programs(points):
            assert np.all(np.linalg.norm(outputs - exact, axis=1) <= allowed)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_float32_program_leaves_the_class_within_a_radius(norm: Any) -> None:
    inputs, _ = data(NETWORK, 2, 3)
    labels = NETWORK((inputs.astype(float) - MEAN) / STD).argmax(axis=1)
    found = sdpcert.radii(NETWORK, inputs, labels, level="F", norm=norm, normalisation=(MEAN, STD), nodes=1)
    document, random = found.document(), np.random.default_rng(0)
    assert np.all(found.radius > 0)
    for k, entry in enumerate(document["inputs"]):
        step = random.standard_normal((300, 4))
        if entry["attack"] is not None:
            towards = _point(entry, len(inputs[k])) - inputs[k]
            step[:200] = towards + 0.02 * np.linalg.norm(towards) * step[:200]
        length = np.linalg.norm(step, ord=2 if norm == "l2" else np.inf, axis=1, keepdims=True)
        points = (inputs[k] + step / length * found.radius[k] * (1 - 1e-6)).astype(np.float32)
        for outputs in programs(points):
            assert np.all(outputs.argmax(axis=1) == labels[k])


def _point(entry: dict[str, Any], size: int) -> Array:
    return np.array(values(entry["attack"]["point"], "point", "d", size))


def test_errors_around_inputs_are_less_than_those_from_one_center() -> None:
    inputs = np.random.default_rng(4).uniform(size=(450, 4)) + 5.0
    around = Errors.of(NETWORK, NETWORK, inputs).bound
    alone = [Errors.of(NETWORK, NETWORK, inputs[k : k + 1]).bound for k in (0, 449)]
    center = Errors.of(NETWORK, NETWORK, inputs, inputs[0])
    assert max(own.offset for own in alone) <= around.offset and alone[0].offset < center.bound.offset
    assert around.slope == alone[0].slope <= center.bound.slope * (1 + 1e-9)
