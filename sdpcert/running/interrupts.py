"""Ctrl-C and SIGTERM in work that gives the best that it has: who notices them, and where they wait.

Signals come to the main thread. Handlers are put on top of each other: each is told the one before, and an interrupt
counts where that one raises KeyboardInterrupt, so that a program which ignores Ctrl-C, or has a handler of its own, is
left to it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]
#: Exit code of a command that was stopped before it had done everything.
INTERRUPTED = 130
#: The events of the blocks that notice interrupts, the outermost first; the main thread's alone.
_noticing: list[threading.Event] = []


@contextmanager
def interrupts_noticed() -> Iterator[threading.Event]:
    """Remember in an event that Ctrl-C came, for callers of what catches the KeyboardInterrupt that it raises."""
    came = threading.Event()

    def notice(number: int, frame: FrameType | None, before: Handler) -> None:
        try:
            before(number, frame)
        except KeyboardInterrupt:
            came.set()
            raise

    with _handler(notice) as handled:
        if not handled:
            yield came
            return
        _noticing.append(came)
        try:
            yield came
        finally:
            _noticing.remove(came)


@contextmanager
def first_interrupt_waits() -> Iterator[None]:
    """Pass over the first Ctrl-C inside of the block: a proof is the end of the work, and without it a point is lost.

    A second one interrupts, and so does the first here where one was noticed before the block began.
    """
    passed = any(came.is_set() for came in _noticing)

    def pass_over(number: int, frame: FrameType | None, before: Handler) -> None:
        nonlocal passed
        try:
            before(number, frame)
        except KeyboardInterrupt:
            if passed:
                raise
            passed = True

    with _handler(pass_over):
        yield


@contextmanager
def terminations_interrupt() -> Iterator[None]:
    """Let SIGTERM (Slurm, `timeout`) do what Ctrl-C does inside of the block, unless the program handles it itself."""
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def forward(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # Ctrl-C is ignored, SIGTERM is not
            raise KeyboardInterrupt
        handler(number, frame)

    signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def interrupts_of_a_command() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt inside of the block; a list of the signals that came.

    Where Ctrl-C is ignored, as in background jobs of a shell, it stays so, and SIGTERM counts all the same.
    """
    came: list[int] = []
    if not _in_main_thread():
        yield came
        return
    before = signal.getsignal(signal.SIGINT)
    ignored = not callable(before)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and ignored:
            return
        came.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        with terminations_interrupt():
            yield came
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextmanager
def _handler(handle: Callable[[int, FrameType | None, Handler], None]) -> Iterator[bool]:
    """Handle Ctrl-C by a function that is told the handler before, inside of the block; whether it does."""
    before = signal.getsignal(signal.SIGINT) if _in_main_thread() else None
    if not callable(before):
        yield False
        return
    signal.signal(signal.SIGINT, lambda number, frame: handle(number, frame, before))
    try:
        yield True
    finally:
        signal.signal(signal.SIGINT, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
