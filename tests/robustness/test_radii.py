"""`sdpcert.radii`: its arguments, its steps and what an interrupt leaves of them, and the files that it saves."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import Box, Interrupted, Network, Radii
from sdpcert.check import check_document
from sdpcert.robustness import one_input, steps
from sdpcert.robustness.constants import constant_of
from sdpcert.robustness.entry import Entry
from sdpcert.robustness.one_input import Options, answer
from sdpcert.robustness.regions_of_radii import Norm
from sdpcert.robustness.request import Request
from sdpcert.running.executors import Here

Array = np.ndarray


def small(seed: int = 0, sizes: tuple[int, ...] = (4, 6, 3)) -> Network:
    random = np.random.default_rng(seed)
    weights = [random.standard_normal((after, before)) for before, after in pairwise(sizes)]
    return Network.mlp(weights, [random.standard_normal(len(w)) for w in weights])


def data(network: Network, count: int, seed: int = 1) -> tuple[Array, Array]:
    """Float32 inputs with the classes that the network gives them."""
    points = np.random.default_rng(seed).uniform(size=(count, *network.input_shape)).astype(np.float32)
    return points, network(points.astype(float)).reshape(count, -1).argmax(axis=1)


def linear(*rows: list[float]) -> Network:
    return Network.mlp([np.array(rows)])


# ---------------------------------------------------------------- arguments

NETWORK = small(5)
INPUTS, LABELS = data(NETWORK, 5)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"inputs": INPUTS[0]}, r"inputs have the shape \(4,\); give one input a row"),
    ({"inputs": INPUTS[:, :3]}, r"the network reads \(n, 4\)"),
    ({"inputs": INPUTS[:0], "labels": LABELS[:0]}, "inputs are empty"),
    ({"inputs": np.where(np.arange(5)[:, None] == 2, np.nan, INPUTS)}, "input 2 has an entry that is not finite"),
    ({"inputs": np.full((5, 4), "a")}, "inputs are an array of real numbers"),
    ({"labels": LABELS[:4]}, r"labels have the shape \(4,\)"),
    ({"labels": LABELS.astype(float)}, "labels are integers"),
    ({"labels": np.array([0, 1, 3, 0, 0])}, "label 2 is 3; the network has the classes 0 to 2"),
    ({"norm": "l1"}, "unknown norm 'l1'"),
    ({"level": "D"}, "unknown level 'D'"),
    ({"within": (0.5, 1)}, "input 0 lies outside of within: its entry"),
    ({"within": (1, 0)}, "low is above high"),
    ({"within": 1.0}, "within is a sdpcert.Box"),
    ({"within": Box(np.zeros(3), np.ones(3))}, "within: the box has 3 entries; the network reads 4"),
    ({"radii": [-0.1]}, "every entry of radii must be a finite number"),
    ({"radii": 0.1}, "radii is a list of numbers"),
    ({"normalisation": (0.0,)}, "normalisation is"),
    ({"normalisation": (0.0, 0.0)}, "every entry of std must be positive"),
    ({"normalisation": ([0.0, 0.0], [1.0, 1.0])}, "normalisation: mean has 2 entries"),
    ({"level": "F", "inputs": INPUTS.astype(float) + 1e-12}, "is no float32 number"),
    ({"time_limit": 0}, "time_limit must be positive"),
    ({"nodes": 0}, "nodes must be 1 or more"),
    ({"attack": 1}, "attack is True, False or"),
    ({"constants": "all"}, "constants, if not 'auto', is True or False"),
    ({"executor": 2}, "executor is a concurrent.futures.Executor"),
    ({"seed": -1}, "seed must be 0 or more"),
    ({"on_interrupt": "stop"}, "unknown on_interrupt"),
    ({"net": "model.onnx"}, "read a file with sdpcert.load"),
    ({"net": NETWORK.stacked}, "not of a StackedForm"),
    ({"net": linear([1.0, 2.0])}, "a classifier has 2 to"),
]


@pytest.mark.parametrize(("changed", "says"), BAD, ids=[says[:30] for _, says in BAD])
def test_a_bad_argument_is_one_sentence(changed: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"net": NETWORK, "inputs": INPUTS, "labels": LABELS} | changed
    with pytest.raises((ValueError, TypeError), match=says) as raised:
        sdpcert.radii(given.pop("net"), given.pop("inputs"), given.pop("labels"), **given)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------- what comes back


def test_radii_of_a_linear_classifier_are_the_distances_from_its_borders() -> None:
    network = linear([1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [-1.0, 0.0, 0.0])
    inputs = np.array([[0.5, 0.25, -0.5], [0.1, 0.2, 0.9], [0.3, 0.3, 0.3]])
    labels = np.array([0, 1, 2])
    cases: list[tuple[Norm, int]] = [("l2", 2), ("linf", 1)]
    for norm, dual in cases:
        found = sdpcert.radii(network, inputs, labels, norm=norm)
        assert found.correct.tolist() == [True, True, False]
        rows = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [-1.0, 0.0, 0.0]])
        for k in (0, 1):
            others = [j for j in range(3) if j != labels[k]]
            steps = rows[labels[k]] - rows[others]
            exact = min(steps @ inputs[k] / np.linalg.norm(steps, ord=dual, axis=1))
            assert exact * 0.98 < found.radius[k] < exact <= found.distance[k] * (1 + 1e-12) < exact * 1.01
        assert found.radius[2] == 0 and found.distance[2] == np.inf


def test_rows_count_what_the_arrays_say() -> None:
    inputs, labels = data(NETWORK, 8)
    labels[3] = (labels[3] + 1) % 3
    found = sdpcert.radii(NETWORK, inputs, labels, radii=[0.0, 0.02, 0.3], nodes=1)
    assert [row.radius for row in found.rows] == [0.0, 0.02, 0.3]
    for row in found.rows:
        assert row.certified == np.sum(found.correct & (found.radius >= row.radius))
        assert row.attacked == np.sum(found.correct & (found.distance > row.radius))
        assert row.certified <= (row.attacked or 0)
        assert abs(found.certified(row.radius) - row.certified / 8) < 1e-15
        assert row.accuracy <= row.certified / 8 <= row.accuracy + 1e-6
    assert not found.correct[3] and found.rows[0].certified == 7
    assert np.array_equal(found.inputs, inputs.astype(float)) and np.array_equal(found.labels, labels)
    with pytest.raises(ValueError, match="radius must be"):
        found.certified(-1.0)


def test_without_an_attack_nothing_is_said_of_one() -> None:
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, attack=False, radii=[0.01], nodes=1)
    assert np.all(found.distance == np.inf) and found.rows[0].attacked is None
    assert found.document()["information"]["attack"] is None
    assert check_document(found.document()).ok


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_where_no_input_of_the_box_has_another_class_the_radius_reaches_all_of_it(norm: Norm) -> None:
    network = Network.mlp([np.array([[0.1, 0.1], [0.0, 0.0]])], [np.array([1.0, 0.0])])
    found = sdpcert.radii(network, np.array([[0.25, 0.5]]), [0], norm=norm, within=(0, 1), constants=False)
    farthest = np.hypot(0.75, 0.5) if norm == "l2" else 0.75
    assert farthest <= found.radius[0] <= 1.03 * farthest


def test_a_tie_is_wrong() -> None:
    found = sdpcert.radii(linear([0.1, 0.2], [0.2, 0.1]), np.array([[0.3, 0.3], [0.1, 0.9]]), [0, 0])
    assert found.correct.tolist() == [False, True] and found.radius[0] == 0
    assert check_document(found.document(), exact=True).ok


def test_constants_alone_prove_radii() -> None:
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[1e-4], constants=True)
    assert all(proof["kind"] == "constants" for e in found.document()["inputs"] for proof in e["proofs"])
    assert np.all(found.radius[found.correct] >= 1e-4)
    assert sdpcert.check(found).ok and check_document(found.document(), exact=True).ok


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("level", ["R", "F"])
def test_every_file_is_accepted_in_both_arithmetics(norm: Any, level: Any, tmp_path: Path) -> None:
    inputs, labels = data(NETWORK, 3)
    found = sdpcert.radii(
        NETWORK,
        inputs,
        labels,
        norm=norm,
        level=level,
        within=(0, 1),
        normalisation=(0.0, 0.7),
        radii=[0.02, 0.1],
        nodes=5,
    )
    file = tmp_path / "radii.json"
    found.save(file)
    again = Radii.load(file)
    for name in ("radius", "correct", "distance", "inputs", "labels"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name
    assert (again.rows, again.level, again.norm, again.notes) == (found.rows, level, norm, found.notes)
    assert again.document() == json.loads(file.read_text())
    for exact in (False, True):
        verdict = check_document(again.document(), exact=exact)
        assert verdict.ok, verdict.reason
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


def test_what_does_not_hold_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "radii.json"
    document = sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[0.01], nodes=1).document()
    entry = next(e for e in document["inputs"] if e["proofs"])
    file.write_text(json.dumps(document | {"inputs": [entry | {"radius": (9.0).hex()}], "rows": [], "radii": []}))
    with pytest.raises(ValueError, match="that do not hold"):
        Radii.load(file)
    file.write_text("{}")
    with pytest.raises(ValueError, match="is no file of radii"):
        Radii.load(file)
    with pytest.raises(ValueError, match="is no file of radii"):
        Radii.load(tmp_path / "missing.json")


@pytest.mark.parametrize("seconds", [10**400, -(10**400), "1", True, None])
def test_seconds_that_are_none_do_not_matter(tmp_path: Path, seconds: Any) -> None:
    document = sdpcert.radii(NETWORK, INPUTS[:1], LABELS[:1], radii=[0.0], nodes=1, attack=False).document()
    file = tmp_path / "radii.json"
    file.write_text(json.dumps(document | {"information": {"seconds": seconds}}))
    assert Radii.load(file).seconds == 0.0


def test_an_executor_finds_the_same() -> None:
    alone = sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[0.01, 0.05], nodes=3)
    with ThreadPoolExecutor(2) as pool:
        together = sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[0.01, 0.05], nodes=3, executor=pool)
    assert np.array_equal(alone.radius, together.radius) and np.array_equal(alone.distance, together.distance)


def test_other_processes_can_be_given_an_input_and_give_back_its_answer() -> None:
    request = Request.of(NETWORK, INPUTS, LABELS, level="F", within=(0, 1), normalisation=(0.0, 0.7))
    entry = Entry(request.inputs[0], int(LABELS[0]), True)
    given = pickle.loads(pickle.dumps((request.statement, Options((0.001,)), entry)))
    found = pickle.loads(pickle.dumps(answer(*given)))
    assert found.entry.radius == answer(request.statement, Options((0.001,)), entry).entry.radius


# ---------------------------------------------------------------- interrupts


def test_an_interrupt_leaves_what_constants_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def second_is_interrupted(statement: Any, options: Any, known: Any) -> Any:
        asked.append(len(asked))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return first(statement, options, known)

    first = steps.answer
    monkeypatch.setattr(steps, "answer", second_is_interrupted)
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, nodes=1, on_interrupt="prove")
    assert found.notes[-1] == "interrupted: 1 of 5 right inputs were looked at"
    kinds = [[proof["kind"] for proof in entry["proofs"]] for entry in found.document()["inputs"]]
    assert set(kinds[0]) == {"pieces"} and all(set(kind) == {"constants"} for kind in kinds[1:])
    assert np.all(found.radius > 0) and check_document(found.document()).ok
    asked.clear()
    with pytest.raises(Interrupted, match="1 of 5") as raised:
        sdpcert.radii(NETWORK, INPUTS, LABELS, nodes=1)
    assert np.array_equal(raised.value.result.radius, found.radius)


def test_an_interrupted_executor_finishes_what_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(statement: Any, options: Any, known: Any) -> Any:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)  # this is a thread: the interrupt comes to the one that waits for it
        time.sleep(0.2)
        return first(statement, options, known)

    first = steps.answer
    monkeypatch.setattr(steps, "answer", interrupted)
    with ThreadPoolExecutor(1) as pool:
        found = sdpcert.radii(
            NETWORK, INPUTS, LABELS, nodes=1, executor=pool, attack=False, constants=False, on_interrupt="prove"
        )
    assert found.notes[-1] == "interrupted: 1 of 5 right inputs were looked at"
    assert found.radius[0] > 0 and not found.radius[1:].any() and check_document(found.document()).ok


class Breaks(Executor):
    """An executor that breaks with the second task that is handed over, or with the first one."""

    def __init__(self, interrupted: bool) -> None:
        self.first: Future[Any] | None = None
        self.interrupted = interrupted

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn is constant_of:
            return Here().submit(fn, *args, **kwargs)
        if self.first is None:
            self.first = Future()
            return self.first
        if not self.first.done():
            self.first.set_running_or_notify_cancel()
            self.first.set_exception(BrokenExecutor("gone"))
        if self.interrupted:
            raise KeyboardInterrupt
        raise BrokenExecutor("gone")


def test_an_executor_that_breaks_keeps_what_is_proved() -> None:
    """As a signal to all processes of the command breaks it, too: then nothing is said of that."""
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, nodes=1, executor=Breaks(True), on_interrupt="prove")
    assert found.notes == ("interrupted: 0 of 5 right inputs were looked at",) and np.all(found.radius > 0)
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, nodes=1, executor=Breaks(False))
    assert found.correct.all() and np.all(found.radius > 0)
    assert found.notes[0].startswith("input 0: the process that worked on it died")
    assert found.notes[1] == "the executor broke (BrokenExecutor): 1 inputs were looked at"


def test_an_interrupt_during_constants_or_the_attack_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "constants_of", interrupted)
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, on_interrupt="prove")
    assert found.correct.all() and not found.radius.any() and check_document(found.document()).ok
    monkeypatch.undo()
    monkeypatch.setattr(steps.Attacker, "attack", interrupted)
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, on_interrupt="prove")
    assert np.all(found.radius > 0) and any("the attack did not end" in note for note in found.notes)


def test_constants_that_a_checker_rejects_are_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "rates_of", lambda constants, label, classes: np.full(classes, 1e-9))
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[1e-3], attack=False)
    assert any("were not proved" in note for note in found.notes) and not found.radius.any()


def test_a_search_that_fails_costs_no_other_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(form: Any, center: Array, label: int, **given: Any) -> Any:
        if np.array_equal(center, INPUTS[1].astype(float)):
            raise MemoryError
        return looks(form, center, label, **given)

    looks = one_input.radius_of
    monkeypatch.setattr(one_input, "radius_of", fails)
    found = sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[1e-3], constants=False, attack=False)
    assert found.notes == ("input 1: the search failed (MemoryError: MemoryError)",)
    assert found.radius.tolist() == [1e-3, 0.0, 1e-3, 1e-3, 1e-3]


def test_pieces_that_a_checker_rejects_are_tried_for_smaller_radii(monkeypatch: pytest.MonkeyPatch) -> None:
    def larger(form: Any, center: Array, label: int, **given: Any) -> Any:
        found = looks(form, center, label, **given)
        return replace(found, radius=found.radius * (1 + 1e-7))

    looks = one_input.radius_of
    monkeypatch.setattr(one_input, "radius_of", larger)
    found = sdpcert.radii(NETWORK, INPUTS[:2], LABELS[:2], radii=[1e-3], constants=False, attack=False)
    assert not found.notes and np.all(np.abs(found.radius - 1e-3) <= 1e-9)
    monkeypatch.setattr(one_input, "SHRINKS", ())
    found = sdpcert.radii(NETWORK, INPUTS[:2], LABELS[:2], radii=[1e-3], constants=False, attack=False)
    assert not found.radius.any() and "a checker did not accept its pieces" in found.notes[0]


def test_a_point_of_another_class_within_a_radius_is_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    def near(self: Any, inputs: Array, labels: Array, radii: Any, into: Any, report: Any, proved: Any) -> None:
        into.distances[0] = 1e-9

    monkeypatch.setattr(steps.Attacker, "attack", near)
    with pytest.raises(sdpcert.BoundContradiction, match="input 0 has a point of another class"):
        sdpcert.radii(NETWORK, INPUTS, LABELS, radii=[1e-4])


def test_a_torch_module_reads_what_the_inputs_are() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    module = torch.nn.Sequential(*layers).eval()
    points = np.random.default_rng(0).random((2, 1, 4, 4)).astype(np.float32)
    labels = module(torch.from_numpy(points)).argmax(1).numpy()
    found = sdpcert.radii(module, points, labels, radii=[1e-3], time_limit=5)
    assert found.correct.all() and (found.radius >= 1e-3).all()
