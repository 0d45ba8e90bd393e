"""Ctrl-C and SIGTERM during work that can give the best result so far: who notices them, and what makes them wait.

Signals arrive in the main thread. Every block below installs a handler that first calls the one installed before it,
and counts an interrupt only if that one raises KeyboardInterrupt: a program that ignores Ctrl-C, or handles it itself,
keeps doing so.
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
#: The events of the blocks that notice interrupts, the outermost first; of the main thread only.
_noticing: list[threading.Event] = []


@contextmanager
def interrupts_noticed() -> Iterator[threading.Event]:
    """An event that is set once Ctrl-C came, also if something inside of the block caught its KeyboardInterrupt."""
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
    """Ignore the first Ctrl-C inside of the block: it is there for proofs, without which the solver's point is lost.

    The second one interrupts, and so does the first if one was noticed before the block began.
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
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt inside of the block; the list of the signals that came.

    If Ctrl-C is ignored, as in background jobs of a shell, it stays so, and SIGTERM counts all the same.
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
    """Handle Ctrl-C inside of the block by a function that is given the handler before; yields whether that is done."""
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
