"""Exact constants by branch and bound beside the enumeration of all linear pieces in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import sdpcert
from sdpcert.regions import Ball, Box, Region
from tests.oracles.enumeration import Constant, Domain, exact_constant
from tests.oracles.networks import PiecewiseNetwork, random_network, three_directions
from tests.oracles.units import UNITS

ASKED, REACHED = 1e-7, 1e-6
#: Seconds for one network: no test hangs, and one that needs more fails.
LIMIT = 300.0
NETWORKS = 200
#: Run with every change; the others are slow tests.
LITTLE_WORK = ("maxmin", "max pool 3")
#: The same of random networks.
QUICK = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 87, 91, 99, 101, 143)


def domain_of(seed: int, inputs: int) -> Domain:
    """All inputs for two of five seeds, else a box, a ball, or a ball within a box; some boxes fix an input."""
    random = np.random.default_rng([seed, 7])
    center, size = random.standard_normal(inputs), 10.0 ** random.uniform(-2, 1)
    low, high = center - size * random.uniform(0.2, 1, inputs), center + size * random.uniform(0.2, 1, inputs)
    if inputs > 1 and random.random() < 0.25:
        high[0] = low[0] = center[0]
    kind = seed % 5
    if kind < 2:
        return Domain()
    ends = (None, None) if kind == 3 else (tuple(low), tuple(high))
    return Domain(*ends) if kind == 2 else Domain(*ends, tuple(center), float(size))


def region_of(domain: Domain) -> Region | None:
    box = None if domain.low is None or domain.high is None else Box(np.array(domain.low), np.array(domain.high))
    if domain.center is None or domain.radius is None:
        return box
    return Ball(np.array(domain.center), domain.radius, box)


def compare(network: PiecewiseNetwork, domain: Domain, constant: Constant) -> None:
    """The proved bound is not below the constant, the attained value not above it, and both are near."""
    region = region_of(domain)
    certificate = sdpcert.certify(network.network(), region=region, exact=True, tol=ASKED, time_limit=LIMIT)
    assert certificate.status == "proved"
    assert constant.is_at_most(certificate.upper)
    assert constant.is_at_least(certificate.lower)
    least, most = constant.interval
    assert Fraction(certificate.upper) <= most * (1 + Fraction(REACHED))
    assert Fraction(certificate.lower) >= least * (1 - Fraction(REACHED))
    verdict = sdpcert.check(certificate)
    assert verdict.ok, verdict.reason
    assert verdict.upper == certificate.upper


@pytest.mark.parametrize(
    "seed", [seed if seed in QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(NETWORKS)]
)
def test_random_networks(seed: int) -> None:
    network = random_network(seed)
    domain = domain_of(seed, network.inputs)
    compare(network, domain, exact_constant(network, domain))


@pytest.mark.parametrize(
    ("unit", "seed"),
    [
        pytest.param(unit, seed, marks=[] if seed < 2 and unit in LITTLE_WORK else pytest.mark.slow)
        for unit in UNITS
        if "sort" in unit or unit in LITTLE_WORK
        for seed in range(8)
    ],
)
def test_sorting_networks(unit: str, seed: int) -> None:
    network = random_network(seed, kind=unit)
    domain = domain_of(seed, network.inputs)
    compare(network, domain, exact_constant(network, domain))


def test_a_flat_pattern_does_not_count() -> None:
    """Three directions at 120 degrees: the pattern with all neurons on has the slope 3, and no interior."""
    network = three_directions()
    for domain in (
        Domain(),
        Domain(center=(0.0, 0.0), radius=1.0),
        Domain((-1.0, -2.0), (1.0, 1.0)),
        Domain((0.0, -2.0), (1.0, 1.0)),
    ):
        constant = exact_constant(network, domain)
        assert float(constant) == pytest.approx(7**0.5, rel=1e-12)
        compare(network, domain, constant)


def test_a_piece_that_touches_the_region_does_not_count() -> None:
    """The region ends where a neuron switches on."""
    network = random_network(0, biases=False, kind="relu", inputs=1)
    for domain in (Domain((-1.0,), (0.0,)), Domain((0.0,), (2.0,)), Domain(center=(-1.0,), radius=1.0)):
        compare(network, domain, exact_constant(network, domain))
