"""Functions that the tests call in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import sdpcert


def best(mark: Path) -> str:
    """What there is when Ctrl-C comes; `mark` is there once it may come."""
    try:
        mark.touch()
        time.sleep(60)
    except KeyboardInterrupt:
        return "best"
    return "finished"


def square(number: int) -> int:
    return number * number


def surroundings(value: int) -> tuple[int, str | None, int, str | None]:
    """The value, what the environment says of threads, the session and the main file."""
    os.write(1, b"compiled code says something\n")
    main = getattr(sys.modules["__main__"], "__file__", None)
    return value, os.environ.get("OMP_NUM_THREADS"), os.getsid(0), main


def contradicts() -> None:
    raise sdpcert.BoundContradiction("above")


def dies(number: int, bad: int) -> int:
    """The bad number ends its process, every time."""
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def dies_once(number: int, bad: int, mark: Path) -> int:
    """The bad number ends its process the first time."""
    if number == bad and not mark.exists():
        mark.touch()
        os._exit(139)
    return number


def waits(seconds: float, large: bytes = b"") -> int:
    time.sleep(seconds)
    return len(large)
