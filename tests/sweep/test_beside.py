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
