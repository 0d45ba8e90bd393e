"""What a command is doing and since when, on a terminal's stderr; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Estimated seconds below which nothing is said of how long something takes.
SHORT = 1.0


@contextmanager
def phases_shown(first: str) -> Iterator[Callable[[str], None]]:
    """A line with what is being done and for how long already; the function that is given says what comes next.

    The line goes away at the end, and text that is printed above it stays.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    both = sys.stdout.isatty()  # what is printed for a file stays out of the terminal
    with Progress(*columns, console=console, transient=True, redirect_stdout=both) as line:
        shown = line.add_task(first, total=None)

        def show(text: str) -> None:
            line.update(shown, description=text, refresh=True)

        yield show


def expected(seconds: float) -> str:
    """What to add to a phase that is estimated to take so long; nothing for a short one."""
    return f", estimated at {_duration(seconds)}" if SHORT <= seconds < float("inf") else ""


def to_go(started: float, done: int, count: int) -> str:
    """What to add to a phase of which so many things of `count` are done since `started` (`time.perf_counter`)."""
    left = (time.perf_counter() - started) / done * (count - done) if done else 0.0
    return f", about {_duration(left)} to go" if left >= SHORT else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
