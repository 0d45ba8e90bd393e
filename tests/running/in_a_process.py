"""Functions that the tests call in processes of their own."""

from __future__ import annotations

import os
import time

import sdpcert


def best() -> str:
    """What there is when Ctrl-C comes."""
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        return "best"
    return "finished"


def prints(value: int) -> tuple[int, str | None]:
    os.write(1, b"compiled code says something\n")
    return value, os.environ.get("OMP_NUM_THREADS")


def contradicts() -> None:
    raise sdpcert.BoundContradiction("above")


def dies() -> None:
    os.write(2, b"Segmentation fault\n")
    os._exit(139)
