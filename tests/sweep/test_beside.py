"""A process beside this one: it answers, is ended for time, and takes nobody with it when it dies."""

from __future__ import annotations

import os
import sys
import time

import pytest

from sdpcert.errors import ItemEnded
from sdpcert.sweep import beside
from tests.sweep.answers import answer


def test_a_process_answers_until_it_dies_and_another_goes_on() -> None:
    try:
        first = beside.ask(answer, 7)
        assert first[0] == 7 and first[1] != os.getpid()
        assert beside.ask(answer, {"a": [None]}) == [{"a": [None]}, first[1]]  # the same process
        if sys.platform == "linux":
            assert beside.ask(answer, "memory", memory=2**30) == "no memory"
            assert beside.ask(answer, 8, memory=None) == [8, first[1]]
        with pytest.raises(ItemEnded, match=r"^exit code 3: last words$") as ended:
            beside.ask(answer, "die")
        assert not ended.value.out_of_time
        start = time.monotonic()
        with pytest.raises(ItemEnded) as late:
            beside.ask(answer, "sleep", seconds=0.2)
        assert late.value.out_of_time and time.monotonic() - start < 50
    finally:
        beside.end()


def test_each_thread_has_a_process_and_what_they_do_at_the_end_is_given_up() -> None:
    with beside.threads(2) as pool:
        found = [pool.submit(beside.ask, answer, number) for number in range(6)]
        processes = {future.result()[1] for future in found}
        assert 1 <= len(processes) <= 2 and os.getpid() not in processes
        start = time.monotonic()
        sleeping = [pool.submit(beside.ask, answer, "sleep") for _ in range(3)]
        time.sleep(0.3)
    assert time.monotonic() - start < 50
    for future in sleeping:  # no item is said to have died
        assert future.cancelled() or isinstance(future.exception(), KeyboardInterrupt)
    with beside.threads(1) as pool:  # and others may begin
        assert pool.submit(beside.ask, answer, 1).result()[0] == 1
