"""Bounds of errors fail closed: what is not a number is infinite, wherever it is computed, stored or compared."""

from __future__ import annotations

import ast
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdpcert
from sdpcert import Network, certify
from sdpcert.arithmetic import error_bound
from sdpcert.network.activations import relu
from sdpcert.network.affine import Dense
from sdpcert.network.filters import Combination
from sdpcert.network.graph import Graph
from sdpcert.network.stacked import Block
from sdpcert.network.stacking import stack
from sdpcert.network.torus import Taps
from sdpcert.robustness.from_logits import curved_radii, linear_radii, pair_constants

BAD = [float("nan"), float("inf"), -1.0, -float("inf")]
ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(ANY, max_size=6), st.lists(ANY, max_size=6))
def test_the_largest_bound_is_no_smaller_than_any(first: list[float], second: list[float]) -> None:
    largest = error_bound.largest(np.array(first), np.array(second))
    assert largest >= 0
    for value in (*first, *second):
        assert largest >= value if value >= 0 else largest == math.inf
    if all(value == 0 for value in (*first, *second)):
        assert largest == 0


@given(ANY)
def test_rounding_up_never_rounds_down(value: float) -> None:
    for rounded in (error_bound.up(value), error_bound.power_of_two_up(value)):
        assert rounded >= value if value >= 0 else rounded == math.inf
        assert (rounded == 0) == (value == 0)
    power = error_bound.power_of_two_up(value)
    assert power in (0, math.inf) or math.frexp(power)[0] == 0.5
    assert not 0 < value < 1e300 or power < 2 * value
    assert error_bound.is_exact(value) == (value == 0)


@pytest.mark.parametrize("bad", BAD)
def test_whatever_stores_a_bound_stores_infinity(bad: float) -> None:
    assert error_bound.bounds(np.array([0.0, bad, 1.0])).tolist() == [0.0, math.inf, 1.0]
    assert Block(np.ones((1, 1)), bad).radius == math.inf
    assert Taps(np.zeros((1, 2), dtype=int), np.ones((1, 1, 1)), bad).radius == math.inf
    unknown = Combination({(0, 0): np.ones((1, 1))}, bad)
    assert unknown.after({(0, 0): np.array([[3.0]])}).error == math.inf
    assert unknown.plus(Combination({(0, 0): np.ones((1, 1))}), -1.0).error == math.inf


def test_a_bound_that_overflows_is_not_a_bound_of_zero() -> None:
    """Two products of 2^1023 cancel but for their last bits: the bound of the error is infinite, then times zero."""
    unit = 2.0**-52
    a, b, c, d = (1 + unit) * 2.0**512, (1 + 3 * unit) * 2.0**512, (1 + 7 * unit) * 2.0**511, (1 + 5 * unit) * 2.0**511
    graph = Graph((1,))
    value = graph.add(Dense(np.array([[a], [b]])), 0)
    value = graph.add(Dense(np.array([[c, -d], [0.0, 2.0**-513]])), value)
    value = graph.add(Dense(np.array([[2.0**-922, 0.0], [0.0, 1.0]])), value)
    merged = graph.network(value)
    exact = [Fraction(-1), (1 + 3 * Fraction(unit)) / 2]
    assert (Fraction(a) * Fraction(c) - Fraction(b) * Fraction(d)) / Fraction(2) ** 922 == exact[0]
    for rounded in (False, True):
        block = stack(merged, rounded).blocks[1, 0]
        low = np.zeros((2, 1)) if block.low is None else block.low
        for k in range(2):
            distance = abs(Fraction(float(block.weights[k, 0])) + Fraction(float(low[k, 0])) - exact[k])
            assert not block.finite or distance <= Fraction(block.radius)
    value = graph.add(relu(), value)
    network = graph.network(graph.add(Dense(np.array([[1.0, 1.0]])), value))
    certificate = certify(network)
    assert certificate.status == "unproved" or certificate.upper >= 1


@pytest.mark.parametrize(
    "module",
    ["network/stacked.py", "network/doubled.py", "network/rounded.py", "network/filters.py", "network/embedding.py"],
)
def test_bounds_are_not_maximised_by_the_functions_that_drop_what_is_no_number(module: str) -> None:
    """`max(0.0, nan)` is 0.0: builtin max and min have no business where bounds of errors are made."""
    source = (Path(sdpcert.__file__).parent / module).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("max", "min"):
            names = [ast.unparse(a) for a in node.args if isinstance(a, ast.Name | ast.Attribute)]
            assert not any(word in name for name in names for word in ("error", "radius", "spread")), ast.unparse(node)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_radii_of_constants_and_errors_that_are_no_numbers_are_zero(bad: float) -> None:
    logits, labels, none = np.array([[2.0, 0.0, 1.0]]), np.array([0]), np.zeros(1)
    ones = np.ones((3, 3)) - np.eye(3)
    assert linear_radii(logits, labels, ones, none)[0] > 0.9
    broken = ones.copy()
    broken[0, 1] = bad
    assert linear_radii(logits, labels, broken, none)[0] == 0
    assert linear_radii(logits, labels, ones, np.array([bad]))[0] == 0
    assert linear_radii(logits, labels, ones, none, bad)[0] == 0
    assert pair_constants(bad, np.eye(3), 3)[0, 1] == math.inf
    assert pair_constants(1.0, np.array([[bad, 0.0], [0.0, 0.0]]), 2)[0, 1] == math.inf
    zero, curved = np.zeros((3, 3)), np.zeros((3, 3))
    curved[0, 2] = bad
    margins = np.array([[0.0, 2.0, 1.0]])
    assert curved_radii(margins, zero[:1], zero, labels, none, 1.0)[0] > 0
    for curvatures, missed, upper in ((curved, none, 1.0), (zero, np.array([bad]), 1.0), (zero, none, bad)):
        assert curved_radii(margins, zero[:1], curvatures, labels, missed, upper)[0] == 0


def test_deep_products_of_layers_are_exact_enough_for_the_proof() -> None:
    """MaxMin multiplies all layers together: the bound is that of the solver, not one that rounding spoilt."""
    generator = np.random.default_rng(8)
    weights = [np.linalg.qr(generator.standard_normal((8, 8)))[0] for _ in range(12)]
    certificate = certify(Network.mlp(weights, activation="maxmin"))
    assert certificate.status == "proved" and certificate.upper * (1 + 1e-12) >= 1 and certificate.upper <= 1 + 1e-4
    weights = [1.9 * w / np.linalg.norm(w, 2) for w in generator.standard_normal((10, 8, 8))]
    certificate = certify(Network.mlp(weights, activation="maxmin"), method="neuron")
    assert certificate.sdp_lower is not None
    assert certificate.upper <= certificate.sdp_lower * (1 + 1e-3)
