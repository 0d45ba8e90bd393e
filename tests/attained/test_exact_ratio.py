"""Quotients in integers: equal to fractions on small networks, and there where running error bounds leave nothing."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from sdpcert.attained import evaluate_ratio, exact_ratio
from sdpcert.network import Network
from sdpcert.network.activations import Activation, clip, leaky_relu, relu, tanh

Array = np.ndarray


def fractions(values: Array) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]


def evaluated(weights: list[Array], biases: list[Array], kind: Activation, point: Array) -> list[Fraction]:
    values = fractions(point)
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = [
            sum((Fraction(float(w)) * v for w, v in zip(row, values, strict=True)), Fraction(float(b)))
            for row, b in zip(weight, bias, strict=True)
        ]
        if number < len(weights) - 1:
            values = [piece(kind, v) for v in values]
    return values


def piece(kind: Activation, value: Fraction) -> Fraction:
    slope, at_zero = 0.0, 0.0
    for first, s, c in kind.segments:  # type: ignore[attr-defined]
        if value > (Fraction(float(first)) if np.isfinite(first) else value - 1):
            slope, at_zero = float(s), float(c)
    return Fraction(slope) * value + Fraction(at_zero)


@pytest.mark.parametrize("kind", [relu(), leaky_relu(0.01), clip(-0.3, 0.7)])
@pytest.mark.parametrize("seed", range(3))
def test_the_square_is_that_of_fractions(kind: Activation, seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = [3, 5, 4, 2]
    weights = [random.normal(size=(b, a)) * 10.0 ** random.integers(-9, 9) for a, b in pairwise(sizes)]
    biases = [random.normal(size=len(w)) for w in weights]
    form = Network.mlp(weights, biases, kind).stacked
    x, x_prime = random.normal(size=(2, 3))
    one, other = (evaluated(weights, biases, kind, point) for point in (x, x_prime))
    above = sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
    below = sum((a - b) ** 2 for a, b in zip(fractions(x), fractions(x_prime), strict=True))
    assert exact_ratio.is_possible(form)
    assert exact_ratio.squared_quotient(form, x, x_prime) == above / below


def test_a_deep_network_has_a_quotient() -> None:
    random = np.random.default_rng(0)
    weights = [random.normal(size=(40, 40)) * 0.35 for _ in range(30)]
    form = Network.mlp(weights, [random.normal(size=40) for _ in weights], leaky_relu(0.01)).stacked
    x = random.normal(size=40)
    direction = np.linalg.svd(form.jacobian(x))[2][0]
    norm = float(np.linalg.norm(form.jacobian(x), 2))
    found = evaluate_ratio(form, x, x + 1e-9 * direction)
    assert norm * (1 - 1e-6) <= found <= norm * (1 + 1e-6)


def test_it_is_for_piecewise_linear_networks_of_moderate_size() -> None:
    assert not exact_ratio.is_possible(Network.mlp([np.eye(2), np.eye(2)], activation=tanh()).stacked)
    wide = np.random.default_rng(0).normal(size=(2400, 2400))
    assert not exact_ratio.is_possible(Network.mlp([wide, wide[:1]]).stacked)
