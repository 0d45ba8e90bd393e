"""Processes side by side: results and errors come back, an interrupt is passed on once, and nothing is left running."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

import sdpcert
from sdpcert.errors import ProcessEnded, ProcessFailed
from sdpcert.running import processes
from tests.running import in_a_process


def test_results_and_errors_come_back() -> None:
    assert processes.call(in_a_process.prints, 5) == (5, "1")
    with pytest.raises(sdpcert.BoundContradiction, match="above"):
        processes.call(in_a_process.contradicts)
    with pytest.raises(ProcessFailed, match="Segmentation fault"):
        processes.call(in_a_process.dies)


def test_a_process_is_told_once_and_ended() -> None:
    """It gives what it has at the first interrupt; after the second it is gone."""
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(processes.call(in_a_process.best))
        except ProcessEnded:
            results.append("ended")

    for stop, expected in ((processes.interrupt, "best"), (processes.end, "ended")):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(6.0)  # the process has begun by then
        stop()
        thread.join(30)
        assert results.pop() == expected


def test_jobs_are_kept_as_they_come_and_nothing_is_left_after_an_error() -> None:
    found: dict[int, int] = {}
    processes.side_by_side({k: partial(pow, k, 2) for k in range(20)}, found.__setitem__)
    assert found == {k: k * k for k in range(20)}
    started = time.perf_counter()
    jobs = {"long": partial(processes.call, in_a_process.best), "wrong": partial(int, "x")}
    with pytest.raises(ValueError, match="invalid literal"):
        processes.side_by_side(jobs, lambda key, result: None)
    assert time.perf_counter() - started < 30


def test_an_interrupt_keeps_what_the_others_have() -> None:
    kept: list[Any] = []

    def interrupted() -> None:
        time.sleep(6.0)
        raise KeyboardInterrupt

    jobs = {"long": partial(processes.call, in_a_process.best), "interrupted": interrupted}
    with pytest.raises(KeyboardInterrupt):
        processes.side_by_side(jobs, lambda key, result: kept.append((key, result)), workers=2, finish=True)
    assert kept == [("long", "best")]
