"""What a pair is stated to attain, it attains with sums in another order, other functions, and on the other path."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sdpcert.attained import attained_lower_bound, attains, evaluate_ratio, quotient
from sdpcert.network import Network
from sdpcert.network.activations import relu, tanh
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
ACTIVATIONS = {"relu": relu, "tanh": tanh}


def twins(name: str, seed: int, depth: int) -> tuple[Network, Network]:
    """The same function twice: neurons of the second one are in another order, and so are the terms of sums."""
    random = np.random.default_rng(seed)
    sizes = [7, *[40] * depth, 5]
    weights = [random.normal(size=(m, n)) / n**0.5 for n, m in pairwise(sizes)]
    biases = [0.3 * random.normal(size=m) for m in sizes[1:]]
    orders = [np.arange(7), *(random.permutation(40) for _ in range(depth)), np.arange(5)]
    turned = [w[after][:, before] for w, before, after in zip(weights, orders[:-1], orders[1:], strict=True)]
    activation = ACTIVATIONS[name]()
    one = Network.mlp(weights, biases, activation)
    return one, Network.mlp(turned, [b[order] for b, order in zip(biases, orders[1:], strict=True)], activation)


def inputs(seed: int, length: float) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    x, step = random.normal(size=(2, 7))
    return x, x + length * step / np.linalg.norm(step)


def form(network: Network, stacked: bool) -> Network | StackedForm:
    return network.stacked if stacked else network


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("depth", [1, 4])
def test_other_orders_of_sums_attain_what_was_stated(name: str, stacked: bool, depth: int) -> None:
    less = 0
    for seed in range(15):
        ours, theirs = (form(network, stacked) for network in twins(name, seed, depth))
        for length in (1.0, 1e-3, 1e-9, 1e-14):
            x, x_prime = inputs(seed, length)
            assert attains(theirs, x, x_prime, evaluate_ratio(ours, x, x_prime, repeatable=True))
            less += not attains(theirs, x, x_prime, evaluate_ratio(ours, x, x_prime))
    assert stacked or less > 0  # without room some are refused


@pytest.mark.parametrize("stacked", [False, True])
def test_functions_of_another_library_attain_what_was_stated(stacked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [form(twins("tanh", seed, 3)[0], stacked) for seed in range(10)]
    pairs = [inputs(seed, 1e-2) for seed in range(10)]
    stated = [evaluate_ratio(n, *pair, repeatable=True) for n, pair in zip(networks, pairs, strict=True)]
    strictly = [evaluate_ratio(n, *pair) for n, pair in zip(networks, pairs, strict=True)]
    own = np.tanh
    monkeypatch.setattr(np, "tanh", lambda v: np.nextafter(own(v), np.sin(1e15 * np.asarray(v))))
    assert all(attains(n, *pair, value) for n, pair, value in zip(networks, pairs, stated, strict=True))
    assert not all(attains(n, *pair, value) for n, pair, value in zip(networks, pairs, strictly, strict=True))


def test_what_integers_stated_is_found_in_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = twins("relu", 0, 4)[0].stacked
    x, x_prime = inputs(0, 1e-3)
    in_floats = evaluate_ratio(network, x, x_prime)
    monkeypatch.setattr(quotient, "NEGLIGIBLE", -1.0)  # as where one machine goes on in integers and another does not
    exact = evaluate_ratio(network, x, x_prime, repeatable=True)
    monkeypatch.undo()
    assert exact > in_floats and attains(network, x, x_prime, exact)
    assert not attains(network, x, x_prime, np.nextafter(exact, np.inf))


def test_room_costs_little_and_bad_pairs_attain_nothing() -> None:
    network = twins("relu", 1, 2)[0]
    found = attained_lower_bound(network, operations=1e8)
    assert attains(network, found.x, found.x_prime, found.lower)
    assert found.lower >= evaluate_ratio(network, found.x, found.x_prime) * (1 - 1e-9)
    assert attains(network, found.x, found.x, 0.0) and not attains(network, found.x, found.x, 1e-300)


def test_numbers_that_are_not_finite_attain_nothing() -> None:
    network = twins("relu", 0, 1)[0].stacked
    (group,) = network.groups
    x, x_prime = inputs(0, 1.0)
    assert attains(network, x, x_prime, evaluate_ratio(network, x, x_prime, repeatable=True))
    for bad in (np.inf, -np.inf, np.nan):
        broken = replace(network, groups=(replace(group, bias=np.where(np.arange(40) == 3, bad, group.bias)),))
        assert not attains(broken, x, x_prime, 1e-3)
