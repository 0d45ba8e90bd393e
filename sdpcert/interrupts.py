"""Ctrl-C in work that gives the best that it has: who notices it, and where it waits (in the main thread)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def interrupts_noticed() -> Iterator[threading.Event]:
    """Remember in an event that Ctrl-C came, for callers of what catches the KeyboardInterrupt that it raises."""
    came = threading.Event()

    def notice(number: int, frame: FrameType | None, before: Handler) -> None:
        came.set()
        before(number, frame)

    with _handler(notice):
        yield came


@contextmanager
def first_interrupt_waits() -> Iterator[None]:
    """Pass over the first Ctrl-C inside of the block: a proof is the end of the work, and without it a point is lost.

    A second one interrupts.
    """
    passed = threading.Event()

    def pass_over(number: int, frame: FrameType | None, before: Handler) -> None:
        if passed.is_set():
            before(number, frame)
        passed.set()
        with suppress(KeyboardInterrupt):
            before(number, frame)

    with _handler(pass_over):
        yield


@contextmanager
def _handler(handle: Callable[[int, FrameType | None, Handler], None]) -> Iterator[None]:
    """Handle Ctrl-C by a function that is told the handler before, inside of the block."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: handle(number, frame, before))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
