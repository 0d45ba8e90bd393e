"""Sweeps: every item has an answer or a reason, whatever becomes of it, and the same call goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sdpcert
from sdpcert.errors import ItemEnded, WorkersLost
from sdpcert.sweep import Folder, Plan, Record, State, doing, run
from tests.sweep.conftest import write_network

Reads = Callable[[str], Plan]
METHODS = '[[sweep]]\nnetwork = "nets/*.npz"\nmethod = ["product", "layer"]\n'


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let items be done in this process."""
    monkeypatch.setattr(doing, "ask", lambda function, question, seconds, memory: function(question))


def states(folder: Path) -> dict[str, str]:
    """The state of every item by its network and method, as the index has them."""
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    return {f"{line['network']} {line['options'].get('method', 'auto')}": line["state"] for line in lines}


@pytest.mark.usefixtures("here")
def test_every_item_has_a_certificate_and_a_record(planned: Reads, tmp_path: Path) -> None:
    text = METHODS + '[[sweep]]\nnetwork = "nets/a.npz"\ninputs = "x.npz"\nindex = 0\nradius = 0.1\nwithin = [0, 1]\n'
    plan = planned(text + '[[sweep]]\ndo = "radii"\nnetwork = "nets/a.npz"\ninputs = "x.npz"\neach = 2\n')
    told: list[tuple[int, int, Record | None]] = []
    summary = run(plan, tmp_path / "out", report=lambda *said: told.append(said))
    assert summary.proved and (summary.items, summary.done, summary.states) == (7, 7, {"proved": 7})
    assert told[0] == (7, 0, None) and [one[2].key for one in told[1:] if one[2]] == [item.key for item in plan.items]
    for record in Folder(tmp_path / "out").records():
        verdict = sdpcert.check(tmp_path / "out" / "items" / str(record.file))
        assert verdict.ok and verdict.upper == record.upper
        assert record.upper is None or (record.lower is not None and record.lower <= record.upper)
        assert set(record.read) == set(next(i for i in plan.items if i.key == record.key).files)
    again = run(plan, tmp_path / "out")
    assert (again.done, again.states) == (0, summary.states)


@pytest.mark.usefixtures("here")
def test_a_network_that_changed_is_done_again(planned: Reads, tmp_path: Path) -> None:
    plan = planned(METHODS)
    run(plan, tmp_path / "out")
    before = {record.key: record for record in Folder(tmp_path / "out").records()}
    write_network(tmp_path / "nets" / "b.npz", 7)
    assert run(plan, tmp_path / "out").done == 2
    for record in Folder(tmp_path / "out").records():
        assert (record.upper == before[record.key].upper) == (record.item["network"] == "nets/a.npz")


@pytest.mark.usefixtures("here")
def test_what_cannot_be_read_is_recorded_and_the_rest_is_done(planned: Reads, tmp_path: Path) -> None:
    (tmp_path / "pickle.pt").write_bytes(b"x")
    plan = planned(METHODS.replace('"nets/*.npz"', '["none.npz", "pickle.pt", "nets/*.npz", "no/*.onnx"]'))
    summary = run(plan, tmp_path / "out")
    assert summary.states == {"failed": 6, "proved": 4} and not summary.proved
    said = {record.item["network"]: record.message for record in Folder(tmp_path / "out").records()}
    assert said["none.npz"] == "'none.npz': no such file" and "a pickle can run code" in said["pickle.pt"]
    write_network(tmp_path / "none.npz", 3)
    assert run(plan, tmp_path / "out").states == {"failed": 4, "proved": 6}


def test_what_dies_is_tried_again_and_then_recorded(
    planned: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def ask(function: Callable[[Any], Any], question: Any, seconds: float | None, memory: int | None) -> Any:
        tries.append(question["item"]["key"].partition("-")[0])
        assert (seconds, memory) == (5.0, 2**30)
        if tries == ["a"]:
            raise ItemEnded("exit code -6: std::bad_alloc")
        if tries[-1] == "b":
            raise ItemEnded("ended by SIGKILL", out_of_time=len(tries) > 3)
        return function(question)

    monkeypatch.setattr(doing, "ask", ask)
    text = (
        '[limits]\nseconds = 5\nmemory_gib = 1\nattempts = 2\n[[sweep]]\nnetwork = "nets/*.npz"\nmethod = "product"\n'
    )
    summary = run(planned(text), tmp_path / "out")
    assert tries == ["a", "b", "a", "b"]
    assert summary.states == {"proved": 1, "out of time": 1}
    one, other = Folder(tmp_path / "out").records()
    assert (one.attempts, other.attempts, other.message) == (2, 2, "ended after 5 s, the limit of the plan")


@pytest.mark.usefixtures("here")
def test_shares_make_the_same_folder(planned: Reads, tmp_path: Path) -> None:
    plan = planned(METHODS)
    run(plan, tmp_path / "whole")
    for which in (1, 2, 3):
        run(plan, tmp_path / "shares", share=(which, 3))
    files = [sorted(path.name for path in (tmp_path / name / "items").iterdir()) for name in ("whole", "shares")]
    bounds = [{r.key: r.upper for r in Folder(tmp_path / name).records()} for name in ("whole", "shares")]
    assert files[0] == files[1] and bounds[0] == bounds[1]
    assert states(tmp_path / "whole") == states(tmp_path / "shares")


@pytest.mark.usefixtures("here")
def test_an_interrupt_keeps_what_is_done(planned: Reads, tmp_path: Path) -> None:
    def stop(items: int, before: int, record: Record | None) -> None:
        if record is not None:
            raise KeyboardInterrupt

    plan = planned(METHODS)
    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path / "out", report=stop)
    assert list(states(tmp_path / "out").values()) == ["proved"]
    (tmp_path / "out" / "items" / f".{plan.items[1].key}.cert.json.tmp").touch()
    assert run(plan, tmp_path / "out").done == 3
    assert not [path for path in (tmp_path / "out" / "items").iterdir() if path.name.startswith(".")]


class Lost(Executor):
    """An executor that loses its first task, and has no workers any more."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize("error", [CancelledError(), OSError("connection closed")])
def test_a_cluster_that_is_lost_is_no_failure_of_an_item(planned: Reads, tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(WorkersLost, match="the workers are lost"):
        run(planned(METHODS), tmp_path / "out", Lost(error))
    assert states(tmp_path / "out") == {}


def test_a_worker_that_dies_is_a_failure_of_its_item(planned: Reads, tmp_path: Path) -> None:
    with pytest.raises(WorkersLost):  # the pool cannot be renewed
        run(planned("[limits]\nattempts = 1\n" + METHODS), tmp_path / "out", Breaks())
    assert list(states(tmp_path / "out").values()) == ["died"]


class Breaks(Executor):
    """A pool whose worker dies with the first task."""

    broken = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.broken:
            raise BrokenProcessPool
        self.broken = True
        future: Future[Any] = Future()
        future.set_exception(BrokenProcessPool())
        return future


def test_a_record_without_a_file_is_no_answer(planned: Reads, tmp_path: Path) -> None:
    plan = planned(METHODS)
    folder = Folder(tmp_path / "out")
    folder.make()
    read = doing.read_by(plan.items[0], plan.base)
    record = Record(plan.items[0].document(), State.PROVED, read, 1.0, 0.5, file="gone.cert.json", bytes=3)
    folder.keep(record)
    assert not folder.is_done(plan.items[0], read)
    folder.keep(replace(record, state=State.UNPROVED))
    assert folder.record(record.key) == replace(record, state=State.UNPROVED)
