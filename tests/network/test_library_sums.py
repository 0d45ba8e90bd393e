"""No hash of a network depends on the order in which a library of matrix products adds up.

Twins are the same network with inner values in another order, which is another order of every sum over them.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.arithmetic.error_bound import few_bits_up
from sdpcert.certificate.region_network import hash_of_network
from sdpcert.certify.binding import check_with_network
from sdpcert.certify.front import front_and_head
from sdpcert.network import Graph, Network
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Scale
from sdpcert.network.differences import as_files_state, with_differences
from sdpcert.network.earlier import sums_of_the_library
from sdpcert.network.stacking import stack

Array = np.ndarray
SEEDS = range(6)


def normalised(seed: int) -> tuple[Network, Network]:
    """A shift and a scale, a layer, ReLU, a layer; the second one reads its inputs in another order."""
    random = np.random.default_rng(seed)
    shift, scale, bias = random.normal(size=80), random.uniform(0.5, 2, size=80), random.normal(size=9)
    first, last, order = random.normal(size=(9, 80)), random.normal(size=(4, 9)), random.permutation(80)
    made = []
    for places in (np.arange(80), order):
        graph = Graph((80,))
        value = graph.add(Scale(scale[places], shift[places]), 0)
        value = graph.add(relu(), graph.add(Dense(first[:, places], bias), value))
        made.append(graph.network(graph.add(Dense(last), value)))
    return made[0], made[1]


def multiplied(seed: int) -> tuple[Network, Network]:
    """Two layers with nothing between them, then ReLU and a layer; the values between are in another order."""
    random = np.random.default_rng(seed)
    first, second, last = random.normal(size=(90, 30)), random.normal(size=(25, 90)), random.normal(size=(4, 25))
    bias, order, made = random.normal(size=90), random.permutation(90), []
    for places in (np.arange(90), order):
        graph = Graph((30,))
        value = graph.add(Dense(second[:, places]), graph.add(Dense(first[places], bias[places]), 0))
        made.append(graph.network(graph.add(Dense(last), graph.add(relu(), value))))
    return made[0], made[1]


def convolved(seed: int) -> tuple[Network, Network]:
    """Two circular convolutions with nothing between them, then ReLU and another; channels are in another order."""
    random = np.random.default_rng(seed)
    kernels = [random.normal(size=(40, 3, 3, 3)), random.normal(size=(5, 40, 3, 3)), random.normal(size=(2, 5, 1, 1))]
    made, around = [], (1, 1, 1, 1)
    for places in (np.arange(40), random.permutation(40)):
        graph = Graph((3, 6, 6))
        value = graph.add(Conv2d(kernels[0][places], None, (1, 1), around, circular=True), 0)
        value = graph.add(Conv2d(kernels[1][:, places], None, (1, 1), around, circular=True), value)
        made.append(graph.network(graph.add(Conv2d(kernels[2], None), graph.add(relu(), value))))
    return made[0], made[1]


def test_constants_are_the_same_in_every_order() -> None:
    differ = 0
    for seed in SEEDS:
        ours, theirs = normalised(seed)
        one, other = ours.stacked.groups[0], theirs.stacked.groups[0]
        assert np.array_equal(one.bias, other.bias) and np.array_equal(one.bias_radii, other.bias_radii)
        with sums_of_the_library():
            one, other = stack(ours).groups[0], stack(theirs).groups[0]
        differ += not np.array_equal(one.bias, other.bias)
    assert differ > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_products_are_the_same_in_every_order(seed: int) -> None:
    ours, theirs = multiplied(seed)
    assert ours.stacked.sha256 == theirs.stacked.sha256
    assert hash_of_network(with_differences(ours)) == hash_of_network(with_differences(theirs))
    assert next(iter(ours.stacked.blocks.values())).radius > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_filters_are_the_same_in_every_order(seed: int) -> None:
    ours, theirs = (front_and_head(network, None, (6, 6), True)[1] for network in convolved(seed))
    assert ours.sha256 == theirs.sha256


def test_constants_are_as_near_as_float64_is() -> None:
    ours, _ = normalised(0)
    group = ours.stacked.groups[0]
    scale, dense = (node.layer for node in ours.nodes[:2])
    assert isinstance(scale, Scale) and isinstance(dense, Dense)
    shift, offset = (np.broadcast_to(v, n).tolist() for v, n in ((scale.offset(), 80), (dense.offset(), 9)))
    for row, bias, radius in zip(dense.weight.tolist(), group.bias.tolist(), group.bias_radii.tolist(), strict=True):
        exact = sum((Fraction(w) * Fraction(s) for w, s in zip(row, shift, strict=True)), Fraction(offset.pop(0)))
        assert abs(exact - Fraction(bias)) <= Fraction(radius) <= Fraction(2.0**-52) * abs(exact)


@pytest.mark.parametrize("made", [normalised, multiplied, convolved])
def test_earlier_files_are_about_their_networks(made: Callable[[int], tuple[Network, Network]], tmp_path: Path) -> None:
    with sums_of_the_library():
        sdpcert.certify(made(0)[0]).save(tmp_path / "earlier.json")
    sdpcert.certify(made(0)[0]).save(tmp_path / "now.json")
    for name in ("earlier", "now"):
        assert check_with_network(tmp_path / f"{name}.json", made(0)[0]).ok
        assert not check_with_network(tmp_path / f"{name}.json", made(1)[0]).ok


def test_earlier_files_of_radii_are_about_their_networks() -> None:
    network = normalised(0)[0]
    with sums_of_the_library():
        earlier = hash_of_network(with_differences(normalised(0)[0]))
    hashes = [hash_of_network(form) for form in as_files_state(network)]
    assert hashes[0] == hash_of_network(with_differences(network)) != earlier == hashes[1]


def test_bounds_of_few_bits() -> None:
    values = np.array([0.0, 1.0, 1 + 2.0**-50, 3.3e-17, 5e-324, 1e-310, np.inf, np.nan, 1.7e308])
    found = few_bits_up(values)
    assert np.all(found[:-3] >= values[:-3]) and np.all(found[:-3] <= values[:-3] * (1 + 2.0**-11))
    assert np.all(np.isinf(found[6:8])) and found[-1] >= 1.7e308 and found[0] == 0 and found[1] == 1
    assert np.array_equal(few_bits_up(found), found)
