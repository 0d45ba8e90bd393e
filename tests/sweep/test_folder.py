"""The folder of a sweep: what has an answer, what is left behind, and who is in it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sdpcert.sweep import Folder, Item, Record, State, lock
from sdpcert.sweep.folder import digest_of
from sdpcert.sweep.lock import locked
from sdpcert.version import __version__

ITEM = Item("certify", "nets/a.npz", {"method": "layer"}, "--layer")
READ: dict[str, str | None] = {"nets/a.npz": "0123"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "out")
    made.make()
    return made


def proved(folder: Folder) -> Record:
    name = f"{ITEM.key}.cert.json"
    (folder.items / name).write_text("{}")
    return Record(ITEM.document(), State.PROVED, READ, 2.0, 1.0, file=name, bytes=2, versions={"sdpcert": __version__})


def test_a_record_comes_back_as_it_was(folder: Folder) -> None:
    record = replace(proved(folder), facts={"gap": 0.25, "notes": ["ä"]}, message="two\nlines")
    assert Record.of(record.text()) == record
    assert json.loads(replace(record, upper=math.inf).line())["upper"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "sdpcert-sweep-record-1"}', "[" * 100_000])
def test_what_is_no_record_counts_as_none(folder: Folder, text: str) -> None:
    (folder.items / f"{ITEM.key}.record.json").write_text(text)
    assert folder.record(ITEM.key) is None
    assert not folder.is_done(ITEM, READ)
    assert folder.write_index() == []


def test_an_answer_is_about_these_files_and_is_there(folder: Folder) -> None:
    assert not folder.is_done(ITEM, READ)
    record = proved(folder)
    folder.keep(record)
    assert folder.is_done(ITEM, READ)
    assert not folder.is_done(ITEM, {"nets/a.npz": "other"})
    (folder.items / f"{ITEM.key}.cert.json").write_text("{")  # cut short
    assert not folder.is_done(ITEM, READ)


@pytest.mark.parametrize("state", list(State))
def test_only_what_would_be_said_again_is_an_answer(folder: Folder, state: State) -> None:
    folder.keep(replace(proved(folder), state=state))
    assert folder.is_done(ITEM, READ) == (state in (State.PROVED, State.UNPROVED, State.REFUSED))
    folder.keep(replace(proved(folder), state=state, versions={"sdpcert": "0.0"}))
    assert folder.is_done(ITEM, READ) == (state is State.PROVED)


def test_a_proof_is_not_replaced_by_a_failure(folder: Folder) -> None:
    record = proved(folder)
    folder.keep(record)
    folder.keep(replace(record, state=State.DIED))
    assert folder.record(ITEM.key) == record
    folder.keep(replace(record, state=State.DIED, read={"nets/a.npz": "other"}))
    assert folder.record(ITEM.key) != record


def test_only_temporary_files_of_these_items_are_removed(folder: Folder) -> None:
    mine = folder.items / f".{ITEM.key}.cert.json.abc123"
    others = folder.items / f".{replace(ITEM, network='nets/b.npz').key}.record.json.abc123"
    kept = folder.items / f"{ITEM.key}.cert.json"
    for path in (mine, others, kept):
        path.touch()
    folder.clean([ITEM])
    assert not mine.exists() and others.exists() and kept.exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="with other files"):
        Folder(tmp_path).make()
    with pytest.raises(ValueError, match="cannot be a sweep's folder"):
        Folder(tmp_path / "thesis.tex").make()


def test_external_tensors_are_part_of_a_network(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    assert digest_of(path) is None
    path.write_bytes(b"model")
    alone = digest_of(path)
    (tmp_path / "a.onnx.data").write_bytes(b"weights")
    assert None is not digest_of(path) != alone


#: The lock's file needs nothing of the package, whose import would take its time.
HOLDS = """
import pathlib, runpy, sys
with runpy.run_path(sys.argv[1])["locked"](pathlib.Path(sys.argv[2])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_another_sweep_in_the_folder_is_noticed_until_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, lock.__file__, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"in\n"
        for share in ((1, 1), (1, 2)):
            with (
                pytest.raises(ValueError, match=f"process {other.pid} on .* sweeps in this folder"),
                locked(tmp_path, *share),
            ):
                pass
        other.kill()
    with locked(tmp_path):
        pass


def test_shares_are_done_side_by_side_but_not_twice(tmp_path: Path) -> None:
    with locked(tmp_path, 1, 2), locked(tmp_path, 2, 2):
        for share in ((1, 1), (2, 2)):
            with pytest.raises(ValueError, match="sweeps in this folder"), locked(tmp_path, *share):
                pass
