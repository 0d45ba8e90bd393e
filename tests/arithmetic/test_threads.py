"""How many threads are used, and that divided work gives what undivided work gives."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sdpcert.arithmetic import threads


def started_with(**environment: str) -> int:
    code = "from sdpcert.arithmetic.threads import WORKERS; print(WORKERS)"
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    out = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    return int(out.stdout)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_one_thread_is_asked_for(name: str) -> None:
    assert started_with(**{name: "1"}) == 1


def test_as_many_threads_as_the_process_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert threads.available() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert threads.available() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads.available() == 3


def test_panels_cover_everything_once() -> None:
    for size in (0, 1, 5, 17):
        for count in (1, 2, 4, 40):
            found = threads.panels(size, count)
            assert [k for panel in found for k in range(size)[panel]] == list(range(size))


def test_only_the_main_thread_divides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORKERS", 4)
    assert threads.threads() == 4
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads.threads).result() == 1
    assert threads.each(lambda k: k * k, list(range(20))) == [k * k for k in range(20)]


def test_a_block_of_threads_of_its_own() -> None:
    for count in (1, 3):
        with threads.mapping(count) as mapped:
            assert list(mapped(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
