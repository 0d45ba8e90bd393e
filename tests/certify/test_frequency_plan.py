"""Ways to bound a network over frequencies: what fails leaves a note and never costs what another way proved."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.certificate.torus_proof import prove_torus
from sdpcert.certify import frequencies, proved, witness
from sdpcert.certify.binding import check_with_network
from sdpcert.certify.request import Request
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.graph import Graph, Network
from sdpcert.solvers.solution import Budget, Progress, SolverError

PAD = (1, 1, 1, 1)


@pytest.fixture(autouse=True)
def _short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for two inputs is not what these tests are about."""
    search = witness.attained_lower_bound

    def shortest(*args: Any, **options: Any) -> Any:
        return search(*args, **(options | {"operations": 0.0}))

    monkeypatch.setattr(witness, "attained_lower_bound", shortest)


def _float32(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return (generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32).astype(float)


def _denormal(generator: np.random.Generator, *shape: int) -> np.ndarray:
    size = 10.0 ** generator.uniform(-45, -38, shape)
    return (generator.standard_normal(shape) * size).astype(np.float32).astype(float)


def _pooled_network(faint: bool = False, dead: bool = False) -> Network:
    """Convolutions, a mean over 2 x 2 pixels and a dense head, with rows of float32 denormals or of zeros."""
    generator = np.random.default_rng(0)
    graph = Graph((1, 8, 8))
    value = graph.add(relu(), graph.add(Conv2d(_float32(generator, 2, 1, 3, 3), padding=PAD), 0))
    value = graph.add(relu(), graph.add(Conv2d(_float32(generator, 2, 2, 3, 3), padding=PAD), value))
    value = graph.add(Conv2d(np.full((2, 1, 2, 2), 0.25), stride=(2, 2), groups=2), value)
    value = graph.rearrange(value, np.ravel)
    first, second = _float32(generator, 6, 32), _float32(generator, 5, 6)
    if faint:
        first[4], second[3] = _denormal(generator, 32), _denormal(generator, 6)
    if dead:
        first[2] = 0.0
    for weight in (first, second):
        value = graph.add(relu(), graph.add(Dense(weight), value))
    return graph.network(graph.add(Dense(_float32(generator, 3, 5)), value))


@pytest.mark.parametrize("dead", [False, True])
def test_weights_far_below_the_others_do_not_lose_the_proof(dead: bool):
    faint, plain = _pooled_network(True, dead), _pooled_network(True, dead)
    # Denormals next to weights of order one are zeros as far as any bound is concerned.
    nodes = tuple(
        replace(n, layer=replace(n.layer, weight=np.where(abs(n.layer.weight) < 1e-20, 0.0, n.layer.weight)))
        if isinstance(n.layer, Dense)
        else n
        for n in plain.nodes
    )
    with_zeros = sdpcert.certify(replace(plain, nodes=nodes), form="frequency")
    certificate = sdpcert.certify(faint, form="frequency")
    assert certificate.status == with_zeros.status == "proved"
    assert certificate.upper == pytest.approx(with_zeros.upper, rel=1e-5)


def _solving(monkeypatch: pytest.MonkeyPatch, fails: Any) -> None:
    """Let `solve_frequencies` raise where `fails(method, joint)` gives an exception."""
    solve = frequencies.solve_frequencies

    def failing(form: Any, method: str, budget: Any, device: str = "cpu", head: Any = None) -> Any:
        error = fails(method, head is not None)
        if error is not None:
            raise error
        return solve(form, method, budget, device, head)

    monkeypatch.setattr(frequencies, "solve_frequencies", failing)


ERRORS = [SolverError("no point"), MemoryError("too much"), np.linalg.LinAlgError("no factor"), OverflowError("inf")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_a_way_that_fails_leaves_a_note_and_the_next_one_its_bound(monkeypatch: pytest.MonkeyPatch, error: Exception):
    network = _pooled_network()
    composed = sdpcert.certify(network, form="frequency", head="composed")
    _solving(monkeypatch, lambda method, joint: error if joint else None)
    certificate = sdpcert.certify(network, form="frequency")
    assert certificate.status == "proved"
    assert certificate.upper == composed.upper
    assert any(str(error) in note for note in certificate.notes)


def test_where_every_solver_fails_the_product_is_proved(monkeypatch: pytest.MonkeyPatch):
    network = _pooled_network()
    product = sdpcert.certify(network, form="frequency", method="product")
    _solving(monkeypatch, lambda method, joint: SolverError("no point"))
    certificate = sdpcert.certify(network, form="frequency")
    assert certificate.status == "proved"
    assert certificate.upper == product.upper
    assert any("product of norms" in note for note in certificate.notes)


def test_a_proof_that_does_not_come_off_costs_no_other(monkeypatch: pytest.MonkeyPatch):
    network = _pooled_network()
    layer = sdpcert.certify(network, form="frequency", method="layer")

    def prove(condition: Any, y: np.ndarray) -> Any:
        return prove_torus(condition, y) if condition.per_group else None

    monkeypatch.setattr(frequencies, "prove_torus", prove)
    certificate = sdpcert.certify(network, form="frequency")
    assert certificate.status == "proved"
    assert certificate.upper <= layer.upper * (1 + 1e-6)
    assert any("could not be proved" in note for note in certificate.notes)


def test_what_a_checker_rejects_is_not_returned(monkeypatch: pytest.MonkeyPatch):
    network = _pooled_network()
    joint, accepted = sdpcert.certify(network, form="frequency").upper, proved.accepted
    monkeypatch.setattr(
        proved, "accepted", lambda tree, *given: None if tree.upper == joint else accepted(tree, *given)
    )
    certificate = sdpcert.certify(network, form="frequency")
    assert certificate.status == "proved"
    assert any("checker did not accept" in note for note in certificate.notes)


def test_unproved_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frequencies, "prove_torus", lambda condition, y: None)
    certificate = sdpcert.certify(_pooled_network(), form="frequency")
    assert certificate.status == "unproved"
    assert any("could not be proved" in note for note in certificate.notes)


def test_notes_of_the_head_are_kept():
    """Two dense layers that are multiplied together: their rounding is added, and the notes say so."""
    graph = Graph((1, 4, 4))
    generator = np.random.default_rng(2)
    value = graph.add(relu(), graph.add(Conv2d(generator.standard_normal((2, 1, 3, 3)), circular=True, padding=PAD), 0))
    value = graph.rearrange(value, np.ravel)
    value = graph.add(
        Dense(generator.standard_normal((5, 4))), graph.add(Dense(generator.standard_normal((4, 32))), value)
    )
    value = graph.add(Dense(generator.standard_normal((2, 5))), graph.add(relu(), value))
    certificate = sdpcert.certify(graph.network(value), form="frequency")
    assert any(note.startswith("head: ") for note in certificate.notes)


# -- the time limit ----------------------------------------------------------------------------------------------------


def _digits_network() -> Network:
    """Two strided convolutions of 8 and 16 channels on 28 x 28 pixels and a dense head: 2,352 neurons."""
    generator = np.random.default_rng(0)
    graph = Graph((1, 28, 28))
    value = 0
    for out in (8, 16):
        kernel = _float32(generator, out, graph.shape(value)[0], 4, 4)
        value = graph.add(relu(), graph.add(Conv2d(kernel, stride=(2, 2), padding=PAD), value))
    return graph.network(graph.add(Dense(_float32(generator, 10, 784)), graph.rearrange(value, np.ravel)))


def test_auto_goes_over_frequencies_before_it_gives_the_product(tmp_path: Path):
    network, limit = _digits_network(), 12.0
    assert network.neurons == 2352
    told: list[Progress] = []
    started = time.perf_counter()
    certificate = sdpcert.certify(network, time_limit=limit, progress=told.append)
    assert time.perf_counter() - started < 2 * limit + 5  # on a busy machine
    assert certificate.status == "proved"
    assert certificate.parts
    said = next(line.message for line in told if line.message)
    assert said.startswith("over frequencies") and said in certificate.notes
    certificate.save(tmp_path / "c.json")
    # Whatever the level it was proved at, exact arithmetic accepts it too.
    assert sdpcert.check(tmp_path / "c.json").ok


def test_the_least_time_still_gives_the_product():
    certificate = sdpcert.certify(_digits_network(), time_limit=0.01)
    assert certificate.status == "proved"
    assert any("time limit" in note for note in certificate.notes)


def test_a_point_out_of_time_is_proved_with_the_head_it_has(monkeypatch: pytest.MonkeyPatch):
    network = _pooled_network()
    product = sdpcert.certify(network, form="frequency", method="product")
    stopped = {"n": 0}

    class Short(Budget):
        @property
        def spent(self) -> bool:
            stopped["n"] += 1
            return stopped["n"] > 8

    def unwanted(*given: Any, **options: Any) -> Any:
        raise AssertionError("the head was solved again")

    monkeypatch.setattr(frequencies, "DensePlan", unwanted)
    budget = Short(1e-6)
    candidate = next(frequencies.FrequencyPlan(network, Request()).candidates(budget))
    assert candidate.status == "time limit"
    proven = candidate.prove(np.inf, budget)
    assert proven.tree is not None
    assert proven.tree.upper < product.upper


def test_certificates_made_before_bind_to_their_networks(tmp_path: Path):
    """They cropped pooled images once more, and had fewer ways to see an image."""
    generator = np.random.default_rng(5)
    graph = Graph((1, 6, 6))
    value = graph.add(relu(), graph.add(Conv2d(_float32(generator, 2, 1, 3, 3), padding=PAD), 0))
    value = graph.add(Conv2d(np.full((2, 1, 2, 2), 0.25), stride=(2, 2), groups=2), value)
    network = graph.network(graph.add(Conv2d(_float32(generator, 2, 2, 3, 3), padding=PAD), value))
    hashes = []
    for earlier in (True, False):
        with earlier_rules() if earlier else nullcontext():
            certificate = sdpcert.certify(network, form="frequency", method="product")
        certificate.save(tmp_path / "c.json")
        assert check_with_network(tmp_path / "c.json", network).ok
        hashes.append(certificate.sha256)
    assert hashes[0] != hashes[1]
