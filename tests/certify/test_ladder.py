"""The ladder of a stacked form: which rungs are climbed, what is kept, and what is said of the next one."""

from __future__ import annotations

import itertools
import time
from functools import partial
from math import inf
from typing import Any

import numpy as np
import pytest

from sdpcert import Network, certify
from sdpcert.certify import dense, ladder
from sdpcert.certify.ladder import Ladder
from sdpcert.solvers import SOLVERS, closed_form, product
from sdpcert.solvers.effort import Effort
from sdpcert.solvers.forward import lowest_form
from sdpcert.solvers.segments import segments_of, sweep
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray


def chain(layers: int, width: int, seed: int = 0, positive: bool = False) -> list[Array]:
    """Weights of norm one: 4 inputs, `layers` - 1 groups, 1 output."""
    rng = np.random.default_rng(seed)
    sizes = [4, *[width] * (layers - 1), 1]
    drawn = [rng.standard_normal((b, a)) for a, b in itertools.pairwise(sizes)]
    return [(np.abs(w) if positive else w) / np.linalg.norm(w, 2) for w in drawn]


def unwanted(*arguments: Any) -> Any:
    raise AssertionError("the condition as a whole was begun")


def test_small_networks_begin_with_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "closed_form", unwanted)
    monkeypatch.setattr(dense, "absolute", unwanted)
    certificate = certify(Network.mlp(chain(3, 8)))
    assert certificate.solver_status == "optimal" and certificate.notes == ()


@pytest.mark.parametrize("layers", [2, 5, 30])
def test_nonnegative_networks_are_exact_without_a_solver(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "SOLVERS", {**SOLVERS, "native": unwanted})
    weights = chain(layers, 40, positive=True)
    whole = np.linalg.multi_dot(weights[::-1])
    certificate = certify(Network.mlp(weights))
    assert certificate.upper == pytest.approx(np.linalg.norm(whole, 2), rel=1e-9)
    assert certificate.gap < 1e-8 and certificate.level == "exact"


def test_what_does_not_fit_the_memory_is_swept_and_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "SOLVERS", {**SOLVERS, "native": unwanted})
    monkeypatch.setattr(dense, "sweep", partial(sweep, neurons=64))
    network = Network.mlp(chain(40, 16))
    certificate = certify(network, memory_limit=20 * 2**20, tol=0.1, effort=0.0)
    assert certificate.status == "proved" and certificate.method == "neuron"
    assert certificate.upper < 0.5 * closed_form(network.stacked.reduced()).bound
    assert any(note == "the bound is that of sweeps over segments" for note in certificate.notes)
    assert any("at once" in note and "above the memory limit" in note for note in certificate.notes)


def test_what_takes_too_long_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "SOLVERS", {**SOLVERS, "native": unwanted})
    monkeypatch.setattr(ladder, "QUICK", 0.0)
    monkeypatch.setattr(ladder, "LONGEST", 0.0)
    network = Network.mlp(chain(12, 40))
    certificate = certify(network)
    assert certificate.upper == pytest.approx(lowest_form(network.stacked.reduced()).bound, rel=1e-6)
    assert any("a sweep over segments" in note and "above ten minutes" in note for note in certificate.notes)


def test_a_time_limit_keeps_what_is_proved() -> None:
    network = Network.mlp(chain(60, 40))
    form, started = network.stacked.reduced(), time.perf_counter()
    certificate = certify(network, time_limit=2.0)
    assert time.perf_counter() - started < 4.0
    assert certificate.status == "proved" and certificate.upper < closed_form(form).bound < product(form).bound


def test_an_interrupt_keeps_what_was_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "SOLVERS", {**SOLVERS, "native": unwanted})
    monkeypatch.setattr(dense, "sweep", partial(sweep, neurons=64))
    network = Network.mlp(chain(40, 16))

    def interrupt(line: Progress) -> None:
        if line.iteration == 2:
            raise KeyboardInterrupt

    certificate = certify(network, progress=interrupt, memory_limit=20 * 2**20)
    assert certificate.solver_status == "interrupted" and certificate.status == "proved"
    assert certificate.upper < closed_form(network.stacked.reduced()).bound


def test_sweeps_come_before_the_whole_condition_and_never_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "QUICK", 0.0)
    monkeypatch.setattr(ladder, "WORTH", 0.0)
    network = Network.mlp(chain(12, 30))
    certificate = certify(network)
    assert certificate.solver_status == "optimal" and certificate.gap <= 1e-6
    assert certificate.method == "neuron"


def test_one_multiplier_per_layer_of_a_deep_chain_goes_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network.mlp(chain(16, 12))
    whole = certify(network, method="layer", effort=0.0)
    monkeypatch.setattr(dense, "SOLVERS", {**SOLVERS, "native": unwanted})
    blocks = certify(network, method="layer", memory_limit=3 * 2**20, effort=0.0)
    assert blocks.upper == pytest.approx(whole.upper, rel=2e-6)
    assert blocks.method == "layer" and blocks.solver_status == "optimal" and blocks.gap <= 1e-6


def test_what_is_estimated_in_vain_is_solved_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "QUICK", 0.0)
    monkeypatch.setattr(ladder, "estimate", lambda *_: Effort(70.0, 1e6))
    monkeypatch.setattr(dense, "sweep", unwanted)
    certificate = certify(Network.mlp(chain(8, 16)), time_limit=40.0)
    assert certificate.solver_status == "optimal" and certificate.gap <= 1e-6 and certificate.method == "neuron"


def test_a_run_that_is_too_slow_ends_after_its_first_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "QUICK", 0.0)
    monkeypatch.setattr(ladder, "ANYTIME", 1e-9)  # as if no pace were enough
    monkeypatch.setattr(ladder, "estimate", lambda *_: Effort(70.0, 1e6))
    monkeypatch.setattr(ladder, "segments_of", partial(segments_of, neurons=64))
    monkeypatch.setattr(dense, "sweep", partial(sweep, neurons=64))
    network = Network.mlp(chain(12, 16))
    certificate = certify(network, time_limit=40.0, tol=0.1, effort=0.0)
    assert certificate.status == "proved" and certificate.sdp_lower == certificate.lower
    assert certificate.upper < 0.9 * closed_form(network.stacked.reduced()).bound
    assert "the bound is that of sweeps over segments" in certificate.notes
    assert any("above what is left of the time limit" in note for note in certificate.notes)


def test_a_budget_ends_what_its_pace_does_not_carry_through() -> None:
    now = time.perf_counter()
    assert Budget(seconds=100.0, started=now - 60.0, needed=0.0).ends(2, 40.0) is False
    assert Budget(seconds=100.0, started=now - 60.0, needed=5.0).ends(2, 40.0) is False  # 10 s each, three more
    assert Budget(seconds=100.0, started=now - 60.0, needed=7.0).ends(2, 40.0)
    assert not Budget(seconds=100.0, started=now - 60.0, needed=7.0).ends(3, 40.0)
    assert Budget(seconds=50.0, started=now - 60.0).ends(9, 0.0)


def test_rungs_follow_from_estimates() -> None:
    whole, sweep = Effort(1000.0, 1e9), Effort(10.0, 1e7)

    def at(method: str = "auto", time_limit: float = inf, memory_limit: float = inf) -> Ladder:
        return Ladder(method, whole, sweep, 20, time_limit, memory_limit)

    assert not at().takes_whole(0.0) and at("neuron").takes_whole(0.0)
    assert not at("neuron", memory_limit=1e8).takes_whole(0.0)
    assert not at(time_limit=1500.0).takes_whole(800.0) and at(time_limit=1500.0).takes_whole(600.0)
    assert at(time_limit=800.0).takes_whole(0.0) and not at(time_limit=760.0).takes_whole(
        0.0
    )  # every iterate is a bound
    assert at(time_limit=760.0).tries_whole(0.0) and not at(time_limit=800.0).tries_whole(0.0)
    assert not at(time_limit=490.0).tries_whole(0.0) and not at().tries_whole(0.0)
    assert at(time_limit=800.0).begins_sweeps(0.0) and not at(time_limit=775.0).begins_sweeps(0.0)
    assert at(time_limit=800.0).ends_sweeps(21.0, 21.0) and not at(time_limit=800.0).ends_sweeps(11.0, 11.0)
    assert at().begins_sweeps(0.0) and not at(memory_limit=1e6).begins_sweeps(0.0)
    assert not at("layer").begins_sweeps(0.0)
    assert at("neuron").ends_sweeps(101.0, 101.0) and not at("neuron").ends_sweeps(99.0, 99.0)
    assert at().ends_sweeps(595.0, 595.0) and not at().ends_sweeps(200.0, 200.0)
