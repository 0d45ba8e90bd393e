"""Enclosures of a network's last preactivations at a point, against rational arithmetic and many digits."""

from __future__ import annotations

from array import array
from fractions import Fraction
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import network as networks
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.forward import MOST_BITS, margins
from sdpcert.check.reading import Rejected
from tests.check import covers
from tests.check.covers import Document

Array = np.ndarray
Row = list[Fraction]
#: Pieces from the left: starts, slopes and values at zero.
PIECEWISE_LINEAR = {
    "relu": ([0.0], [0.0, 1.0], [0.0, 0.0]),
    "absolute": ([0.0], [-1.0, 1.0], [0.0, 0.0]),
    "hard tanh": ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]),
    "identity": ([], [1.0], [0.0]),
    "falling": ([-0.5, 0.25], [0.125, -1.0, 0.5], [0.0625, -0.5, -0.875]),
}
SMOOTH: dict[str, Any] = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
    "silu": lambda v: v / (1 + mpmath.exp(-v)),
    "sin": mpmath.sin,
    "gelu": lambda v: v * mpmath.ncdf(v),
}


def exactly(weights: Array, numbers: Row) -> Row:
    return [sum((Fraction(float(w)) * x for w, x in zip(row, numbers, strict=True)), Fraction(0)) for row in weights]


def at(pieces: tuple[list[float], list[float], list[float]], v: Fraction) -> Fraction:
    starts, slopes, values = pieces
    k = sum(v > start for start in starts)
    return Fraction(slopes[k]) * v + Fraction(values[k])


def ends(document: Document, x: Array) -> tuple[Row, Row]:
    return margins(IntegerNetwork(networks.read(document, "network")), array("d", x.tolist()))


def layers_of(rng: np.random.Generator, depth: int, width: int = 4) -> list[tuple[Array, Array]]:
    sizes = rng.integers(1, width + 1, depth + 1)
    return [(rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(sizes)]


def document_of(
    layers: list[tuple[Array, Array]], activation: Document, slopes: tuple[float, float], radius: float = 0.0
) -> Document:
    """A chain whose last layer is a group of slope 1."""
    count = len(layers[-1][1])
    hidden = [activation if "parameters" in activation else covers.piecewise_linear(len(b), *activation["of"])
              for _, b in layers[:-1]]  # fmt: skip
    groups = [covers.group(a, b, slopes, radius) for a, (_, b) in zip(hidden, layers, strict=False)]
    groups.append(covers.group(covers.piecewise_linear(count, [], [1.0], [0.0]), layers[-1][1], (1.0, 1.0), radius))
    blocks = [covers.block(k, k - 1, w, radius) for k, (w, _) in enumerate(layers, 1)]
    blocks.append(covers.block(len(layers) + 1, len(layers), np.eye(count)))
    return covers.network(layers[0][0].shape[1], count, groups, blocks)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(PIECEWISE_LINEAR)), depth=st.integers(1, 4))
def test_piecewise_linear_networks_are_exact(seed: int, name: str, depth: int) -> None:
    rng, pieces = np.random.default_rng(seed), PIECEWISE_LINEAR[name]
    layers = layers_of(rng, depth)
    x = rng.normal(size=layers[0][0].shape[1]) * 10.0 ** rng.integers(-3, 3)
    if seed % 4 == 0:
        x[0] = 0.0
    found: Row = list(map(Fraction, x.tolist()))
    for k, (weights, bias) in enumerate(layers):
        found = exactly(weights, [at(pieces, v) for v in found] if k else found)
        found = [v + Fraction(float(b)) for v, b in zip(found, bias, strict=True)]
    low, high = ends(document_of(layers, {"of": pieces}, (min(pieces[1]), max(pieces[1]))), x)
    assert low == high == found


def test_blocks_that_skip_layers_and_low_parts_count() -> None:
    x, tiny = np.array([0.1, -0.3]), 2.0**-80
    groups = [covers.group(covers.relu(2), [0.25, 0.5]), covers.group(covers.relu(1), [-1.0])]
    blocks = [covers.block(1, 0, np.eye(2), low=[[0, tiny], [0, 0]]), covers.block(2, 0, [[2.0, 0.0]]),
              covers.block(2, 1, [[3.0, -5.0]]), covers.block(3, 2, [[1.0]])]  # fmt: skip
    first, second = Fraction(0.1), Fraction(-0.3)
    expected = -1 + 2 * first + 3 * (first + Fraction(tiny) * second + Fraction(1, 4)) - 5 * (second + Fraction(1, 2))
    assert ends(covers.network(2, 1, groups, blocks), x) == ([expected], [expected])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(SMOOTH)), depth=st.integers(2, 4))
def test_smooth_networks_are_enclosed_closely(seed: int, name: str, depth: int) -> None:
    rng = np.random.default_rng(seed)
    layers = layers_of(rng, depth)
    x = rng.normal(size=layers[0][0].shape[1])
    with mpmath.workprec(400):
        found = [mpmath.mpf(v) for v in x.tolist()]
        for k, (weights, bias) in enumerate(layers):
            numbers = [SMOOTH[name](v) for v in found] if k else found
            found = [mpmath.fdot(map(float, row), numbers) + float(b) for row, b in zip(weights, bias, strict=True)]
        low, high = ends(document_of(layers, covers.smooth(name), (-1.25, 1.25)), x)
        for below, above, v in zip(low, high, found, strict=True):
            # mpmath's own error is far below the width
            assert (
                mpmath.mpf(below.numerator) / below.denominator <= v <= mpmath.mpf(above.numerator) / above.denominator
            )
            assert 0 < above - below < Fraction(1, 1 << 160)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from([*sorted(PIECEWISE_LINEAR), "tanh"]))
def test_radii_enclose_every_network_within_them(seed: int, name: str) -> None:
    rng, radius = np.random.default_rng(seed), 2.0**-6
    layers = layers_of(rng, 3)
    x = rng.normal(size=layers[0][0].shape[1])
    if name == "tanh":
        document, value = document_of(layers, covers.smooth(name), (0.0, 1.0), radius), np.tanh
    else:
        pieces = PIECEWISE_LINEAR[name]
        document = document_of(layers, {"of": pieces}, (min(pieces[1]), max(pieces[1])), radius)
        value = np.vectorize(lambda v: float(at(pieces, Fraction(v))))
    low, high = ([float(v) for v in side] for side in ends(document, x))
    reached = np.zeros((0, len(low)))
    for _ in range(40):
        found = x
        for k, (weights, bias) in enumerate(layers):
            moved = (
                weights + radius * rng.choice([-1, 1], weights.shape),
                bias + radius * rng.choice([-1, 1], bias.shape),
            )
            found = moved[0] @ (value(found) if k else found) + moved[1]
        reached = np.vstack([reached, found])
    assert np.all(reached >= np.array(low) - 1e-12) and np.all(reached <= np.array(high) + 1e-12)


def test_a_layer_that_is_uncertain_has_its_radius_exactly() -> None:
    """|dv| is at most r (|x1| + |x2|) + r, and the activation, of slope 1 there, passes it on."""
    layers = [(np.array([[1.0, 2.0]]), np.array([5.0])), (np.array([[-3.0]]), np.array([0.5]))]
    document = document_of(layers, {"of": PIECEWISE_LINEAR["relu"]}, (0.0, 1.0))
    document["blocks"][0]["radius"] = (2.0**-10).hex()
    document["groups"][0]["bias_radius"] = covers.pack([2.0**-9])
    low, high = ends(covers.hashed(document), np.array([0.5, -0.25]))
    error = 3 * (Fraction(3, 4) * Fraction(1, 1 << 10) + Fraction(1, 1 << 9))
    assert (low, high) == ([Fraction(-29, 2) - error], [Fraction(-29, 2) + error])


def test_deep_networks_are_rounded_outward() -> None:
    rng, pieces = np.random.default_rng(5), PIECEWISE_LINEAR["absolute"]
    layers = [(rng.normal(size=(2, 2)), rng.normal(size=2)) for _ in range(60)]
    x = rng.normal(size=2)
    found: Row = list(map(Fraction, x.tolist()))
    for k, (weights, bias) in enumerate(layers):
        found = exactly(weights, list(map(abs, found)) if k else found)
        found = [v + Fraction(float(b)) for v, b in zip(found, bias, strict=True)]
    low, high = ends(document_of(layers, {"of": pieces}, (-1.0, 1.0)), x)
    for below, above, v in zip(low, high, found, strict=True):
        assert below < v < above and above - below < Fraction(1, 1 << MOST_BITS - 200)
        assert v.denominator.bit_length() > MOST_BITS > 0


def test_values_of_unknown_activations_are_not_known() -> None:
    layers = layers_of(np.random.default_rng(0), 2)
    document = document_of(layers, covers.smooth("tanh"), (0.0, 1.0))
    document["groups"][0]["activation"] = {"kind": "unknown"}
    with pytest.raises(Rejected, match="group 1: nothing is known of the values of neuron 0"):
        ends(covers.hashed(document), np.zeros(layers[0][0].shape[1]))


def test_preactivations_beyond_float64_have_no_values() -> None:
    layers = [(np.full((1, 1), 1e200), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))]
    document = document_of(layers, covers.smooth("tanh"), (0.0, 1.0))
    low, high = ends(document, np.array([1e100]))
    assert 1 - Fraction(1, 1 << 180) < low[0] < high[0] < 1 + Fraction(1, 1 << 180)
    with pytest.raises(Rejected, match="beyond the range of float64"):
        ends(document, np.array([1e200]))
