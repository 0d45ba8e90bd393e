"""Preactivations as affine functions on an ellipsoid, against exact values at points of the piece."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import affine
from sdpcert.check import network as networks
from sdpcert.check import region as regions
from sdpcert.check.affine import AffineDescent, AffineRows, Ellipsoid
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.state import first_state
from tests.check import covers
from tests.check.quadratic_cases import Case, numbers, random_case
from tests.check.quadratic_oracle import ABSOLUTE, HARD_TANH, LEAKY, RELU, Kind

Array = np.ndarray
Row = list[Fraction]


def value(kind: Kind, v: Fraction) -> Fraction:
    """The activation, exactly."""
    _, slope, at_zero = max(piece for piece in kind.pieces if piece[0] <= v)
    return Fraction(slope) * v + Fraction(at_zero)


def preactivations(layers: list[tuple[Array, Array]], kind: Kind, x: Row) -> list[Row]:
    """Those of all layers, exactly."""
    found: list[Row] = []
    for k, (weights, bias) in enumerate(layers):
        read = [value(kind, v) for v in found[-1]] if k else x
        found.append(
            [
                sum((Fraction(float(w)) * z for w, z in zip(row, read, strict=True)), Fraction(float(b)))
                for row, b in zip(weights, bias, strict=True)
            ]
        )
    return found


def moved(layers: list[tuple[Array, Array]], rng: np.random.Generator, by: float) -> list[tuple[Array, Array]]:
    """Weights and biases that are off by so much, one way or the other."""
    return [(w + by * rng.choice([-1, 1], w.shape), b + by * rng.choice([-1, 1], b.shape)) for w, b in layers]


def at(rows: AffineRows, k: int, y: Row, z: dict[int, Row]) -> Fraction:
    """The affine function of row k."""
    found = Fraction(rows.constants.columns[0][k], 1 << rows.constants.bits)
    for coefficients, read in ((rows.inputs, y), *((rows.neurons[g], z[g]) for g in rows.neurons)):
        for column, number in zip(coefficients.columns, read, strict=True):
            found += Fraction(column[k], 1 << coefficients.bits) * number
    return found


def points(case: Case, rng: np.random.Generator, count: int) -> list[Row]:
    """Inputs of the piece's box, and of its ball."""
    low, high = case.piece.box
    x = rng.uniform(low, high, (count, len(low)))
    if case.piece.ball is not None:
        x = x[np.linalg.norm(x - case.piece.ball[0], axis=1) < case.piece.ball[1]]
    return [list(map(Fraction, row.tolist())) for row in x]


@pytest.mark.parametrize(("kept", "bits"), [(6, None), (20, 12), (96, 20), (96, None)])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([RELU, LEAKY, ABSOLUTE, HARD_TANH]), radius=st.booleans())
def test_errors_bound_how_far_rows_are_from_what_they_stand_for(
    kept: int, bits: int | None, seed: int, kind: Kind, radius: bool
) -> None:
    case = random_case(seed, kind)
    if case is None:
        return
    if radius:
        case.weight_radius = case.bias_radius = 2.0**-12
    rng, given_layers, group = np.random.default_rng(seed), case.piece.layers, case.group
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(affine, "KEPT_BITS", kept)
        network, state, region, fine = case.for_checker(bits)
        scales = None if case.scales is None else numbers(case.scales)
        ellipsoid = Ellipsoid.around(region, state.box, scales)
        neurons = list(range(len(given_layers[-1][1])))
        rows = AffineDescent(network, state, fine, len(neurons)).rows(group, neurons, ellipsoid)
    open_neurons = {g: case.piece.undecided(g) for g in range(1, group)}
    center = [Fraction(c, 1 << ellipsoid.center_bits) for c in ellipsoid.center]
    axes = [Fraction(s) for s in ellipsoid.scales or [1.0] * len(center)]
    for x in points(case, rng, 40):
        y = [(a - c) / s for a, c, s in zip(x, center, axes, strict=True)]
        assert sum(a * a for a in y) <= ellipsoid.square
        assert all(abs(a) <= Fraction(r, 1 << ellipsoid.reach_bits) for a, r in zip(y, ellipsoid.reach, strict=True))
        layers = moved(given_layers, rng, 2.0**-13) if radius else given_layers
        found = preactivations(layers, kind, x)
        inside = all(
            np.all([low <= v <= high for v, low, high in zip(own, *ends, strict=True)])
            for own, *ends in zip(found[:-1], case.piece.low, case.piece.high, strict=True)
        )
        if inside:
            z = {g: [value(kind, found[g - 1][i]) for i in open_neurons[g]] for g in open_neurons}
            for k, error in enumerate(rows.errors):
                assert abs(found[-1][k] - at(rows, k, y, z)) <= error
    if not radius:
        most = max(abs(x) for x in rows.constants.columns[0]) / 2**rows.constants.bits
        assert max(rows.errors) <= 2.0 ** (14 - min(kept, fine)) * (100 + most)


@pytest.mark.parametrize("bits", [4, 8, 40])
def test_values_of_smooth_activations_that_are_substituted_are_enclosed(bits: int) -> None:
    """3 (x / 4 + 0.3) on [-1, 1], by values that are known up to 2^-bits."""
    groups = [covers.group(covers.smooth("hard_sigmoid", 0.25, 0.3), [0.0], (0.0, 0.25))]
    groups.append(covers.group(covers.relu(1), [0.0]))
    blocks = [covers.block(1, 0, [[1.0]]), covers.block(2, 1, [[3.0]]), covers.block(3, 2, [[1.0]])]
    network = networks.read(covers.network(1, 1, groups, blocks), "network")
    region = regions.read(covers.box([-1.0], [1.0]), "region", 1)
    state = first_state(network, region, [], bits)
    known = state.neurons(1).with_ends("low", [0], [-1.0]).with_ends("high", [0], [1.0])
    state = state.with_neurons(1, known.with_slopes([0], [0.25], [0.25]))
    ellipsoid = Ellipsoid.around(region, state.box, numbers([1.0]))
    rows = AffineDescent(IntegerNetwork(network), state, bits, 1).rows(2, [0], ellipsoid)
    for x in map(Fraction, (-1.0, -0.3, 0.0, 0.7, 1.0)):
        off = abs(3 * (x / 4 + Fraction(0.3)) - at(rows, 0, [x], {1: []}))
        assert 0 < off <= rows.errors[0] < Fraction(8, 1 << bits)
