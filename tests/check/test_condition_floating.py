"""Conditions of pieces in floating point, compared with matrices in rational arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check.condition_floating import input_factor, prove_condition
from sdpcert.check.reading import Rejected
from sdpcert.check.reduced_floating import reduce
from tests.check.tiny_networks import (
    block,
    bounded_state,
    random_network,
    random_region,
    reason,
    spectrum,
)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_rows_are_those_of_rational_arithmetic(seed: int) -> None:
    """With no multipliers and rho = 0, M is -F'F; with them, it is definite exactly when it is proved to be."""
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    state, other = bounded_state(rng, network, random_region(rng, network.inputs))
    reduced = reduce(state)
    multipliers = [rng.random(int(mask.sum())) + 0.5 for mask in reduced.active]
    flat = np.concatenate([np.zeros(0), *multipliers[::-1]])
    lists = [[Fraction(float(m)) for m in group] for group in multipliers]

    def proved(rho: float) -> bool:
        try:
            with np.errstate(all="ignore"):
                prove_condition(reduced, rho, 0, flat)
        except Rejected:
            return False
        return True

    base = other.matrix(Fraction(0), 0, lists)

    def at(rho: float) -> list[list[Fraction]]:
        return [
            [x + (Fraction(rho) if p == q < reduced.moving else 0) for q, x in enumerate(r)] for p, r in enumerate(base)
        ]

    seen = set()
    for rho in [0.0, *(4.0**k for k in range(-4, 12))]:
        least, most = spectrum(at(rho)) if reduced.matrix.shape[1] else (1.0, 1.0)
        if least < -1e-9 * max(most, 1):
            assert not proved(rho)
            seen.add(False)
        if least > 1e-9 * max(most, 1):
            assert proved(rho)
            seen.add(True)
    # The threshold is sharp.
    if seen == {False, True}:
        low, high = 0.0, 4.0**12
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if proved(middle) else (middle, high)
        assert spectrum(at(high * (1 + 1e-6)))[0] > -1e-12
        assert spectrum(at(high * (1 - 1e-6)))[0] < 1e-12


@settings(deadline=None, max_examples=16)
@given(st.integers(0, 2**32), st.booleans())
def test_conditions_hold_for_all_networks_within_radii(seed: int, wide: bool) -> None:
    """At the least rho that is proved, the matrices of networks at the ends of their radii are semidefinite."""
    rng = np.random.default_rng(seed)
    radius = 0.01
    network = random_network(rng, radius=radius)
    if wide:  # more inputs than rows
        first = rng.standard_normal((network.groups[0].size, 40)) / 4
        later = tuple(b for b in network.blocks if b.source > 0)
        network = replace(network, inputs=40, blocks=(block(1, 0, first, radius), *later))
    region = random_region(rng, network.inputs)
    state, other = bounded_state(rng, network, region)
    reduced = reduce(state)
    multipliers = [rng.random(int(mask.sum())) + 0.5 for mask in reduced.active]
    flat = np.concatenate([np.zeros(0), *multipliers[::-1]])

    def proved(rho: float) -> bool:
        with np.errstate(all="ignore"):
            return reason(lambda: prove_condition(reduced, rho, 0, flat)) is None

    low, high = 0.0, 4.0**8
    if not proved(high):
        return
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if proved(middle) else (middle, high)
    lists = [[Fraction(float(m)) for m in numbers] for numbers in multipliers]
    for _ in range(2 if wide else 4):
        blocks = []
        for b in network.blocks:
            shift = radius * rng.choice([-1.0, 1.0], size=(b.rows, b.columns))
            blocks.append(block(b.target, b.source, np.array(b.weights).reshape(b.rows, b.columns) + shift))
        other.network = replace(network, blocks=tuple(blocks))
        assert not reduced.matrix.shape[1] or spectrum(other.matrix(Fraction(high), 0, lists))[0] > -1e-9


def test_a_wide_input_is_replaced_by_a_factor() -> None:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((6, 40)) * np.logspace(-3, 3, 6)[:, None]
    rows[3] = rows[2] * 2
    factor = input_factor(rows, 1e-15 * np.abs(rows))
    r, g = ([[Fraction(float(x)) for x in row] for row in matrix] for matrix in (factor, rows))

    def product(m: list[list[Fraction]], i: int, j: int) -> Fraction:
        return sum((a * b for a, b in zip(m[i], m[j], strict=True)), Fraction(0))

    difference = [[product(r, i, j) - product(g, i, j) for j in range(6)] for i in range(6)]
    scale = np.array([float(product(g, i, i)) for i in range(6)]) ** 0.5
    dense = np.array([[float(x) for x in row] for row in difference]) / scale / scale[:, None]
    assert np.linalg.eigvalsh(dense)[0] >= 0
    assert np.abs(dense).max() < 1e-12
