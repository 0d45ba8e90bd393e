"""Certificates of regions: what may be asked for, their files, and the network that they are bound to."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import Ball, Box, Network
from sdpcert.certificate.cover import on_region
from sdpcert.certificate.region_network import hash_of_network
from sdpcert.certify.acceptance import heard
from sdpcert.certify.binding import check_with_network
from sdpcert.certify.proved import prove_best
from sdpcert.certify.regional import RegionCandidate, RegionPlan
from sdpcert.certify.request import Request
from sdpcert.network.activations import tanh
from sdpcert.regions.pieces import Bounded
from sdpcert.solvers.solution import Budget

Array = np.ndarray


def network(activation: Any = "relu", seed: int = 0) -> Network:
    random = np.random.default_rng(seed)
    weights = [random.normal(size=size) for size in ((6, 3), (5, 6), (4, 5))]
    return Network.mlp(weights, [random.normal(size=len(w)) for w in weights], activation)


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"nodes": 5}, {"output_rows": [1]}, {"output_pair": (3, 1)}])
def test_a_file_of_a_region_checks_binds_and_comes_back(tmp_path: Path, options: dict[str, Any]) -> None:
    net, region = network(), Ball([0.1, 0.2, 0.3], 0.5, within=Box(0, 1))
    certificate = sdpcert.certify(net, region=region, **options)
    assert certificate.status == "proved"
    assert 0 < certificate.lower <= certificate.upper
    assert all(certificate.region.contains(x) for x in (certificate.attained.x, certificate.attained.x_prime))
    certificate.save(tmp_path / "c.json")
    assert sdpcert.check(tmp_path / "c.json").upper == certificate.upper
    bound = check_with_network(tmp_path / "c.json", net)
    assert bound.ok, bound.reason
    assert not check_with_network(tmp_path / "c.json", network(seed=1)).ok
    back = sdpcert.Certificate.load(tmp_path / "c.json")
    assert (back.upper, back.lower, back.sdp_lower) == (certificate.upper, certificate.lower, certificate.sdp_lower)
    assert back.region.document() == certificate.region.document()


def test_exact_constants_agree_with_what_inputs_attain() -> None:
    certificate = sdpcert.certify(network(), region=Box(-1, 1), exact=True, tol=1e-7)
    assert certificate.solver_status == "optimal"
    assert certificate.sdp_lower is None
    assert 0 <= certificate.gap <= 2e-7
    assert certificate.upper <= certificate.lower * (1 + 2e-7)


def test_a_smaller_region_never_has_a_larger_exact_constant() -> None:
    net = network()
    uppers = [sdpcert.certify(net, region=Ball(0.0, r), exact=True).upper for r in (0.1, 0.4, 1.6)]
    uppers.append(sdpcert.certify(net, exact=True).upper)
    assert all(one <= two * (1 + 2e-6) for one, two in itertools.pairwise(uppers))


def test_fixed_inputs_do_not_count() -> None:
    matrix = np.array([[3.0, 100.0], [4.0, 100.0]])
    certificate = sdpcert.certify(Network.mlp([matrix]), region=Box([0.0, 7.0], [1.0, 7.0]))
    assert certificate.upper == pytest.approx(5.0, rel=1e-8)
    assert certificate.attained.x[1] == certificate.attained.x_prime[1] == 7.0


def test_a_smooth_network_is_bounded_by_its_slopes_there() -> None:
    net = Network.mlp([np.array([[1.0]]), np.array([[1.0]])], [np.array([3.0]), None], tanh())
    certificate = sdpcert.certify(net, region=Box(-0.5, 0.5))
    exact = 1 / np.cosh(2.5) ** 2
    assert exact * (1 - 1e-9) <= certificate.upper <= exact * (1 + 1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"region": Box(-1, 1), "method": "product"}, "one multiplier per neuron"),
        ({"exact": True, "solver": "clarabel"}, "native solver"),
        ({"nodes": 3, "form": "frequency"}, "unrolled"),
        ({"nodes": 0}, "nodes"),
        ({"output_pair": (1, 1)}, "twice"),
        ({"output_pair": (1, 9)}, "does not exist"),
        ({"output_pair": (1, 2, 3)}, "two numbers"),
        ({"output_pair": (0, 1), "output_rows": [0]}, "exclude"),
        ({"region": Ball([0.0, 0.0], 1)}, "reads 3"),
    ],
)
def test_what_cannot_be_certified_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sdpcert.certify(network(), **options)


@pytest.mark.parametrize("options", [{"region": (0, 1)}, {"exact": 1}, {"nodes": 2.5}, {"executor": 4}])
def test_arguments_of_other_types_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        sdpcert.certify(network(), **options)


@pytest.mark.parametrize("pair", [[0, 2], [1, 0], [0], "01", [0, True], [0, 99]])
def test_another_pair_of_outputs_does_not_bind(pair: Any) -> None:
    net = network()
    document = sdpcert.certify(net, region=Ball(0.0, 0.3), output_pair=(0, 1)).document()
    forged = copy.deepcopy(document)
    forged["information"]["output_pair"] = pair
    loaded = sdpcert.certify(net, region=Ball(0.0, 0.3), output_pair=(0, 1))
    assert check_with_network(loaded, net).ok
    assert not check_with_network(_Document(forged), net).ok


class _Document:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def document(self) -> dict[str, Any]:
        return self._document


def test_the_hash_of_a_network_covers_biases_and_activations() -> None:
    random = np.random.default_rng(0)
    weights, biases = [random.normal(size=(3, 2)), random.normal(size=(1, 3))], [random.normal(size=3), None]
    hashes = set()
    for activation in ("relu", "leaky_relu", "tanh", "sigmoid", "elu"):
        for shift in (0.0, 1.0):
            form = Network.mlp(weights, [biases[0] + shift, None], activation).stacked
            hashes.add(hash_of_network(form))
    assert len(hashes) == 10


def test_a_pair_of_outputs_is_a_bound_of_the_whole_space_too() -> None:
    net = network()
    pair = sdpcert.certify(net, output_pair=(0, 1))
    first, second = (sdpcert.certify(net, output_rows=[row]) for row in (0, 1))
    assert pair.upper <= first.upper + second.upper
    assert check_with_network(pair, net).ok


@pytest.mark.parametrize("largest", [False, True])
def test_only_what_the_checker_refuses_is_stated_larger(largest: bool) -> None:
    """One piece is stated too small: the bound of the region grows no more than that piece has to."""
    plan = RegionPlan.of(network(), Request(exact=True, tol=1e-6, region=Box(-1, 1)))
    candidate = next(plan.candidates(Budget(1e-6, 60.0)))
    assert isinstance(candidate, RegionCandidate)
    searched = candidate.searched
    bounds = {k: piece.end.rho for k, piece in enumerate(searched.pieces) if isinstance(piece.end, Bounded)}
    assert len(bounds) > 2
    number = max(bounds, key=bounds.__getitem__)
    if not largest:
        number = next(k for k, rho in sorted(bounds.items()) if bounds[number] / 4 < rho < bounds[number] * 0.99)
    pieces = list(searched.pieces)
    end = pieces[number].end
    assert isinstance(end, Bounded)
    point = replace(end, rho=end.rho * (1 - 1e-8), multipliers=tuple(m * (1 - 1e-8) for m in end.multipliers))
    pieces[number] = replace(pieces[number], end=point)
    assert heard(on_region(plan.form, plan.region, tuple(pieces)), 60.0).rejected == number
    proven = RegionCandidate(plan.form, plan.region, replace(searched, pieces=tuple(pieces))).prove(0.0, Budget())
    assert proven.tree is not None
    assert proven.tree.upper <= searched.upper * (1 + (1e-7 if largest else 0.0))


def test_nothing_is_attained_at_a_kink() -> None:
    """The middle of the region is a kink of every neuron, where the Jacobian in floating point is that of no piece."""
    random = np.random.default_rng(3)
    net = Network.mlp([random.normal(size=(6, 2)), random.normal(size=(2, 6))])
    certificate = sdpcert.certify(net, region=Box(-1, 1), exact=True)
    assert certificate.solver_status == "optimal"
    assert 0 <= certificate.gap <= 1e-5


def test_what_is_constant_on_a_region_has_the_constant_zero() -> None:
    net = Network.mlp([np.array([[1.0, 0.5], [-2.0, 0.25]]), np.ones((1, 2))], [np.array([-9.0, -9.0]), np.ones(1)])
    assert sdpcert.certify(net, region=Ball([0.0, 0.0], 1.0), exact=True).upper == 0.0


def test_the_region_undivided_is_proved_where_its_pieces_are_not() -> None:
    """A search whose pieces no checker accepts is no loss of what was there before it."""
    plan = RegionPlan.of(network(), Request(exact=True, tol=1e-6, region=Box(-1, 1)))
    budget = Budget(1e-6, 60.0)
    divided, whole = plan.candidates(budget)
    assert isinstance(divided, RegionCandidate) and isinstance(whole, RegionCandidate)
    bad = tuple(
        replace(piece, end=replace(piece.end, rho=piece.end.rho / 4)) if isinstance(piece.end, Bounded) else piece
        for piece in divided.searched.pieces
    )
    divided.searched = replace(divided.searched, pieces=bad)
    proved = prove_best(plan, iter((divided, whole)), budget)
    assert proved.tree is not None
    assert proved.tree.upper == whole.prove(np.inf, budget).upper
    assert any("undivided" in note for note in proved.told.notes)


def test_what_ended_a_search_early_is_said() -> None:
    certificate = sdpcert.certify(network(), region=Box(-1, 1), nodes=3, tol=1e-9)
    assert certificate.solver_status == "nodes"
    assert any("more nodes" in note for note in certificate.notes)
