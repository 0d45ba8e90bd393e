"""Level F: no float32 program gives another class to a float32 input within a proved radius; at level R some do."""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter

import numpy as np
import pytest

import sdpcert
from tests.oracles.networks import Layer, PiecewiseNetwork
from tests.oracles.robustness import Norm, nearest_of_another_class
from tests.oracles.units import UNITS
from tests.robustness.float32_programs import Dense, cancelling, others_reach

Array = np.ndarray
NORMS: tuple[Norm, ...] = ("l2", "linf")
#: Sizes of what the outputs share: rounding errors of all programs are some 1e-7 of it.
COMMON = 1e4


def oracle(dense: Dense) -> PiecewiseNetwork:
    layers = [Layer(w, b, UNITS["relu"]) for w, b in zip(dense.weights[:-1], dense.biases)]
    return PiecewiseNetwork(tuple(layers), dense.weights[-1], dense.biases[-1])


def label_of(dense: Dense, center: Array) -> int:
    values = oracle(dense)([Fraction(float(c)) for c in center])
    return max(range(len(values)), key=lambda k: values[k])


def is_within(point: Array, center: Array, radius: float, norm: Norm) -> bool:
    """Decided in rational arithmetic."""
    steps = [abs(Fraction(float(a)) - Fraction(float(c))) for a, c in zip(point, center, strict=True)]
    if norm == "linf":
        return max(steps) <= Fraction(radius)
    return sum((d * d for d in steps), Fraction(0)) <= Fraction(radius) ** 2


def at_the_border(center: Array, towards: Array, radius: float, norm: Norm, seed: int, count: int) -> Array:
    """Float32 inputs within the radius, most of them near its border where the nearest rival is."""
    random = np.random.default_rng(seed)
    length = np.linalg.norm(towards - center, ord=2 if norm == "l2" else inf)
    goal = center + (towards - center) * (radius / length)
    noise = random.standard_normal((count, len(center))) * 10.0 ** random.uniform(-8, -0.5, (count, 1)) * radius
    noise[0] = 0
    steps = goal + noise - center
    reach = radius * (1 - 10.0 ** random.uniform(-9, -5, (count, 1)))
    if norm == "l2":
        steps *= reach / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), reach)
    else:
        steps = np.clip(steps, -reach, reach)
    points = (center + steps).astype(np.float32)
    return points[[is_within(point, center, radius, norm) for point in points.astype(float)]]


def flips(dense: Dense, center: Array, label: int, norm: Norm, radius: float, towards: Array, count: int) -> list[str]:
    """The programs that give an input within the radius another class."""
    points = at_the_border(center.astype(float), towards, radius, norm, label, count)
    assert len(points) > count // 2
    return [name for name, run in dense.programs().items() if others_reach(run(points), label).any()]


def nearest(dense: Dense, center: Array, label: int, norm: Norm) -> tuple[float, Array]:
    """The largest float64 below the exact radius, and the input of another class that is nearest."""
    found = nearest_of_another_class(oracle(dense), center.astype(float), label, norm)
    assert found.point is not None
    radius = nextafter(float(found) * (1 - 1e-9), 0)
    assert found.is_beyond(radius)
    return radius, np.array([float(x) for x in found.point])


@pytest.mark.parametrize("norm", NORMS)
def test_float32_programs_flip_classes_within_radii_of_the_real_function(norm: Norm) -> None:
    """Level F is needed: within exact radii of the real function, every program gives some input another class."""
    found: set[str] = set()
    for seed in range(3):
        dense, center = cancelling(seed, COMMON)
        label = label_of(dense, center)
        radius, towards = nearest(dense, center, label, norm)
        found |= set(flips(dense, center, label, norm, radius, towards, 100))
    assert found == set(dense.programs())


def no_program_flips(seed: int, norm: Norm, common: float, count: int) -> float:
    """Search within a radius of level F, which is below that of level R; returns it."""
    dense, center = cancelling(seed, common)
    label = label_of(dense, center)
    proved = sdpcert.radii(dense.network(), center[None], [label], norm=norm, level="F", attack=False, time_limit=60.0)
    radius = float(proved.radius[0])
    exact, towards = nearest(dense, center, label, norm)
    assert proved.level == "F" and radius < exact
    if radius > 0:
        assert flips(dense, center, label, norm, radius, towards, count) == []
    return radius


@pytest.mark.parametrize("norm", NORMS)
def test_no_float32_program_flips_a_class_within_a_radius_of_level_f(norm: Norm) -> None:
    assert max(no_program_flips(seed, norm, COMMON, 100) for seed in range(2)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("common", [0.0, 1e2, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("seed", range(10))
def test_no_float32_program_flips_a_class_in_a_long_search(seed: int, common: float, norm: Norm) -> None:
    radius = no_program_flips(seed, norm, common, 2000)
    assert radius > 0 or common > 1e4
