"""The one place where work is handed out: tasks go to an executor a few at a time, and what becomes of each comes back.

for outcome in outcomes(executor, function, (Task(name, (name, seed)) for name in names)):
    print(outcome.key, outcome.result)
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from sdpcert.errors import ProcessEnded
from sdpcert.running.executors import Workplace

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Task(Generic[Key]):
    """What a function is called with, and the name under which the outcome comes back."""

    key: Key
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome(Generic[Key, Result]):
    """What became of a task: a value, or an error."""

    key: Key
    value: Result | None = None
    error: BaseException | None = None

    @property
    def result(self) -> Result:
        """The value; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        return cast(Result, self.value)


def outcomes(
    executor: Executor,
    function: Callable[..., Result],
    tasks: Iterable[Task[Key] | None],
    *,
    in_flight: int | None = None,
    renew: Callable[[], Executor] | None = None,
    finish: bool = False,
) -> Generator[Outcome[Key, Result], None, None]:
    """Hand tasks to an executor, and yield what becomes of them as it comes.

    A task is taken from the iterator when there is room for it, so the iterator may decide by what came before. None
    from it means that there is nothing to hand out now: after the next outcome it is asked again, and it is over where
    nothing is in flight. At most `in_flight` tasks are handed over at a time, by default one more than the executor has
    workers, and one where they are done here.

    A worker that dies breaks a pool of processes. `renew` makes a new one (those of `executors.py` know how), and the
    tasks that were in flight are done again, each alone: the one whose worker dies again has the error `ProcessEnded`.
    Where a pool cannot be renewed all of them have, and the next one raises BrokenExecutor.

    An interrupt, here or of a task, cancels what is in flight and is raised. With `finish` it is passed on to the
    workers first, and what they have is yielded. To close the iterator, or an exception of `tasks`, cancels too.
    """
    known = executor.renew if isinstance(executor, Workplace) else None
    hands = _Hands(executor, function, renew or known, in_flight)
    waiting = iter(tasks)
    try:
        while hands.fill(waiting):
            yield from hands.done()
    except KeyboardInterrupt:
        hands.let_go()
        if finish:
            hands.interrupt()
            while hands.begun:
                yield from hands.finished()
        raise
    finally:
        hands.let_go()


@dataclass
class _Hands(Generic[Key, Result]):
    """What is in flight, and what has to be done again because an executor broke."""

    executor: Executor
    function: Callable[..., Result]
    renew: Callable[[], Executor] | None
    most: int | None
    begun: dict[Future[Result], Task[Key]] = field(default_factory=dict)
    again: deque[Task[Key]] = field(default_factory=deque)
    #: Whether the executor broke; whether it is new; whether what is in flight is done again, alone.
    broken: bool = False
    fresh: bool = False
    alone: bool = False

    @property
    def room(self) -> int:
        """How many tasks are in flight at most."""
        if self.most is not None:
            return self.most
        if isinstance(self.executor, Workplace):
            return self.executor.in_flight
        return getattr(self.executor, "_max_workers", os.cpu_count() or 1) + 1

    def fill(self, waiting: Iterator[Task[Key] | None]) -> bool:
        """Hand out tasks while there is room; whether any is in flight."""
        while True:
            if self.broken and not self.begun and self.renew is not None:
                self.executor, self.broken, self.fresh = self.renew(), False, True
            if self.begun and (self.broken or self.alone or self.again or len(self.begun) >= self.room):
                return True
            self.alone = bool(self.again)
            task = self.again.popleft() if self.again else next(waiting, None)
            if task is None:
                return bool(self.begun)
            try:
                self.begun[self.executor.submit(self.function, *task.arguments)] = task
                self.fresh = False
            except BrokenExecutor:
                if not self.begun and (self.renew is None or self.fresh):
                    raise
                self.broken = True
                self.again.appendleft(task)

    def done(self) -> Iterator[Outcome[Key, Result]]:
        """Wait for the next ones, in the order in which they were handed out."""
        for future, error in self._next():
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt
            task = self.begun.pop(future)
            # Nobody here cancelled it: the scheduler is gone.
            if isinstance(error, BrokenExecutor | CancelledError) and self.renew is not None:
                self.broken = True
                if not self.alone:
                    self.again.append(task)
                    continue
            if error is None:
                yield Outcome(task.key, future.result())
            else:
                yield Outcome(task.key, None, _named(error))

    def finished(self) -> Iterator[Outcome[Key, Result]]:
        """The same after an interrupt: without those that it left without a result."""
        for future, error in self._next():
            task = self.begun.pop(future)
            if error is None:
                yield Outcome(task.key, future.result())
            elif not isinstance(error, KeyboardInterrupt | BrokenExecutor | CancelledError):
                yield Outcome(task.key, None, _named(error))

    def _next(self) -> list[tuple[Future[Result], BaseException | None]]:
        place = self.executor if isinstance(self.executor, Workplace) else None
        patience = None if place is None else place.patience
        while not (done := wait(self.begun, patience, FIRST_COMPLETED).done):
            if place is not None and place.is_lost:
                return [(future, BrokenExecutor("the connection to the workers is lost")) for future in self.begun]
        return [(f, CancelledError() if f.cancelled() else f.exception()) for f in self.begun if f in done]

    def interrupt(self) -> None:
        """Pass an interrupt on."""
        if isinstance(self.executor, Workplace):
            self.executor.interrupt()

    def let_go(self) -> None:
        """Cancel what is in flight, as far as that is possible, and forget what was cancelled."""
        for future in [future for future in self.begun if future.cancel()]:
            del self.begun[future]


def _named(error: BaseException) -> BaseException:
    """The error of a task; `ProcessEnded` where its worker died, whatever the executor calls that."""
    distributed = sys.modules.get("distributed")
    killed = () if distributed is None else (distributed.KilledWorker,)
    if not isinstance(error, (BrokenExecutor, CancelledError, *killed)):
        return error
    ended = ProcessEnded("the process that worked on it died before it had a result: it was killed, or out of memory")
    ended.__cause__ = error
    return ended
