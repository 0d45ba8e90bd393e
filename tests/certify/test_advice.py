"""Advice for loose bounds: every rule where it holds and where it does not, and that what it recommends helps."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import Ball, Network, certify
from sdpcert.certify.dense import DensePlan
from sdpcert.certify.request import Request
from sdpcert.network import Graph
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Rearrange

rules = import_module("sdpcert.certify.advice")
Told = import_module("sdpcert.certify.plan").Told


def network(sizes: list[int], seed: int = 0, activation: str = "relu") -> Network:
    draw = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    weights = [draw.normal(size=(b, a)) / np.sqrt(a) for a, b in pairs]
    return Network.mlp(weights, [0.3 * draw.normal(size=b) for _, b in pairs], activation)


def images() -> Network:
    draw = np.random.default_rng(1)
    graph = Graph((1, 4, 4))
    value = graph.add(relu(), graph.add(Conv2d(draw.normal(size=(2, 1, 3, 3)), padding=(1, 1, 1, 1)), 0))
    value = graph.add(relu(), graph.add(Conv2d(draw.normal(size=(2, 2, 3, 3)), padding=(1, 1, 1, 1)), value))
    flat = graph.add(Rearrange(np.arange(32)), value)
    return graph.network(graph.add(Dense(draw.normal(size=(1, 32))), flat))


LOOSE = network([2, 8, 8, 1])


def case(of: Network, upper: float = 3.0, lower: float = 1.0, status: str = "optimal", **request: Any) -> Any:
    asked = Request(**request)
    plan = DensePlan.of(of, asked)
    return rules.Case(plan, asked, Told(None, status, 0, (), ()), upper, lower, 0.02)


def test_a_tight_bound_and_one_that_is_not_proved_have_no_advice() -> None:
    assert rules.advice(case(LOOSE, upper=1.05)) == ()
    assert rules.advice(case(LOOSE, upper=float("inf"))) == ()
    assert rules.advice(case(LOOSE, lower=0.0)) == ()
    assert certify(network([6, 3])).advice == ()
    assert certify(network([8, 8, 1])).advice == ()


def test_advice_is_in_the_summary_and_not_in_the_file(tmp_path: Path) -> None:
    certificate = certify(LOOSE, "product")
    assert certificate.summary()["advice"] == list(certificate.advice) != []
    certificate.save(tmp_path / "c.json")
    assert "--method neuron" not in (tmp_path / "c.json").read_text()
    assert sdpcert.Certificate.load(tmp_path / "c.json").advice == ()


@pytest.mark.parametrize("method", ["product", "layer"])
def test_one_multiplier_per_neuron_is_advised_and_tighter(method: str) -> None:
    coarse = certify(LOOSE, method)  # type: ignore[arg-type]
    assert coarse.advice[0].startswith("--method neuron, estimated below a second")
    fine = certify(LOOSE, "neuron")
    assert fine.upper < coarse.upper
    assert not any("--method" in text for text in fine.advice)
    assert rules.one_multiplier_per_neuron(case(network([3, 2]), method=method)) is None


def test_the_constant_itself_is_advised_for_few_neurons_and_found() -> None:
    small = network([2, 5, 1], seed=2)
    loose = certify(small)
    assert loose.upper > 1.1 * loose.lower
    assert loose.advice[0].startswith("--exact") and "at most 32 pieces" in loose.advice[0]
    found = certify(small, exact=True)
    assert found.upper < loose.upper and found.upper < 1.001 * found.lower
    assert found.advice == ()
    assert rules.exact(case(network([2, 40, 1]))) is None
    assert rules.exact(case(network([2, 6, 1], activation="tanh"))) is None
    assert rules.exact(case(LOOSE, exact=True)) is None


def test_a_region_is_advised_and_smaller_and_then_pieces_of_it() -> None:
    loose = certify(LOOSE)
    assert loose.advice[-1].startswith("a bound near the inputs that matter: --around")
    near = certify(LOOSE, region=Ball([0.0, 0.0], 0.5))
    assert near.upper < loose.upper
    assert rules.smaller_region(case(LOOSE, region=Ball([0.0, 0.0], 0.5))) == "a smaller region"
    whole = certify(LOOSE, region=Ball([0.0, 0.0], 3.0))
    assert "--nodes 50, which divides the region" in [rules.divided(case(LOOSE, region=whole.region))]
    assert certify(LOOSE, region=Ball([0.0, 0.0], 3.0), nodes=4).upper < whole.upper


def test_more_pieces_are_advised_where_they_were_ended() -> None:
    ended = certify(LOOSE, region=Ball([0.0, 0.0], 3.0), nodes=2)
    assert "more pieces: --nodes above 2" in ended.advice
    assert rules.more_pieces(case(LOOSE, nodes=2)) is None


def test_more_time_is_advised_where_the_limit_ended_something() -> None:
    assert rules.more_time(case(LOOSE, time_limit=2.0, status="time limit")) == "more time: --time-limit above 2"
    assert rules.more_time(case(LOOSE, time_limit=2.0)) is None
    assert rules.more_time(case(LOOSE, status="time limit")) is None
    left = case(LOOSE, time_limit=2.0)
    left.plan.left_rungs = True
    assert rules.more_time(left) is not None


def test_a_rung_that_the_time_limit_leaves_out_is_told() -> None:
    deep = network([4, *[40] * 30, 1])
    started = time.perf_counter()
    certificate = certify(deep, time_limit=0.5)
    assert time.perf_counter() - started < 30
    assert certificate.advice[0].startswith("more time")


def test_unrolling_is_advised_over_frequencies_and_tighter() -> None:
    over = certify(images(), "neuron", form="frequency")
    flat = certify(images(), "neuron", form="unrolled")
    assert flat.upper <= over.upper
    asked = case(images(), form="frequency")
    assert rules.unrolled(asked).startswith("--form unrolled, estimated")
    assert rules.unrolled(case(images())) is None


def test_a_joint_head_is_advised_over_frequencies_and_tighter() -> None:
    composed = certify(images(), "neuron", form="frequency", head="composed")
    asked = case(images(), form="frequency", head="composed")
    asked.plan.solver = composed.solver
    assert rules.joint_head(asked) == "--head joint"
    assert certify(images(), "neuron", form="frequency").upper < composed.upper
    assert rules.joint_head(case(images(), head="composed")) is None


def test_a_longer_search_is_advised_where_it_was_short() -> None:
    assert rules.longer_search(case(LOOSE, effort=0.0)) is not None
    assert rules.longer_search(case(LOOSE)) is None
    assert certify(LOOSE, effort=0.0).lower <= certify(LOOSE).lower


def test_a_norm_that_stands_out_is_named_and_normalising_divides_the_bound() -> None:
    draw = np.random.default_rng(0)
    weights = [draw.normal(size=(6, 6)) / 6 for _ in range(3)]
    weights[1] *= 200
    text = rules.normalised_layer(case(Network.mlp(weights)))
    assert text is not None and text.startswith("normalising layer 2 of 3, whose norm is about ")
    before = certify(Network.mlp(weights)).upper
    weights[1] = weights[1] / 200
    assert certify(Network.mlp(weights)).upper == pytest.approx(before / 200, rel=1e-5)
    assert rules.normalised_layer(case(Network.mlp(weights))) is None


def test_no_more_than_two_pieces_of_advice_are_given() -> None:
    asked = case(LOOSE, method="product", effort=0.0, time_limit=1.0, status="time limit")
    assert rules.advice(asked) == ("more time: --time-limit above 1", "--method neuron, estimated below a second")
    assert replace(asked, upper=1.0).is_loose is False
