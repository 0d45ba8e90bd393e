"""Work on the workers of a Dask scheduler: a real one, with worker processes, which is killed in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdpcert.errors import ProcessEnded
from sdpcert.running import executors
from sdpcert.running.executors import executor
from sdpcert.running.tasks import Task, outcomes
from tests.running import in_a_process

Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Starts a program of Dask; all are ended in the end."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *options]
        quiet = subprocess.DEVNULL
        processes.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=tmp_path))
        return processes[-1]

    yield start
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(20)


@pytest.mark.slow
def test_a_scheduler_with_workers(tmp_path: Path, started: Started) -> None:
    pytest.importorskip("distributed")
    known = tmp_path / "scheduler.json"
    scheduler = started("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", known)
    while not known.exists():
        assert scheduler.poll() is None
        time.sleep(0.1)
    time.sleep(0.2)
    address = json.loads(known.read_text())["address"]
    worker = ("worker", address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard")
    started(*worker)
    with executor(scheduler=address) as workers:
        found = {o.key: o for o in outcomes(workers, in_a_process.dies, (Task(k, (k, 1)) for k in range(4)))}
        assert sorted(found) == list(range(4)) and isinstance(found[1].error, ProcessEnded)
        assert all(found[k].result == k for k in found if k != 1)
        seen = []
        for outcome in outcomes(workers, in_a_process.waits, (Task(k, (0.2,)) for k in range(7))):
            seen.append((outcome.key, outcome.result))
            if len(seen) == 2:
                scheduler.kill()
                scheduler.wait()
                again = ("--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1], "--no-dashboard")
                scheduler = started("scheduler", *again)
                started(*worker)
        assert sorted(seen) == [(k, 0) for k in range(7)]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs distributed: pip install 'sdpcert\[dask\]'"):
        executors.Cluster("tcp://127.0.0.1:1")
    monkeypatch.undo()
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "PATIENCE", 1)
    with pytest.raises(ValueError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 within 1 s"):
        executors.Cluster("tcp://127.0.0.1:1")
