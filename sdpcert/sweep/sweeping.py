"""All items of a plan: those without an answer are handed out, what becomes of each is kept, the index is made."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sdpcert.errors import ProcessEnded, WorkersLost
from sdpcert.running import arguments
from sdpcert.running.executors import Here
from sdpcert.running.tasks import Outcome, Task, outcomes
from sdpcert.sweep import beside
from sdpcert.sweep.doing import Order, attend, lost
from sdpcert.sweep.folder import Folder, digest_of
from sdpcert.sweep.item import Item
from sdpcert.sweep.lock import locked, waited_for
from sdpcert.sweep.plan import Plan
from sdpcert.sweep.record import Record, State

#: Told how many items there are, how many had an answer before, and the record of each as it comes.
Report = Callable[[int, int, Record | None], None]


@dataclass(frozen=True)
class Summary:
    """What became of a plan's items (or of a share of them): `states` counts them, `done` of them just now."""

    folder: Path
    items: int
    done: int
    states: dict[str, int]

    @property
    def proved(self) -> bool:
        """Whether every item is proved."""
        return self.states.get(State.PROVED, 0) == self.items


def run(
    plan: Plan,
    folder: str | os.PathLike[str],
    executor: Executor | None = None,
    *,
    share: tuple[int, int] = (1, 1),
    report: Report | None = None,
) -> Summary:
    """Do the items of a plan that have no answer yet, with files in `folder`.

    `executor` is any of `concurrent.futures` whose workers see the same files; None: one item after another.
    `share=(2, 8)` is the second of eight shares, which may be done at the same time, on one machine or several. An item
    that fails, or whose process dies or takes too much time or memory, is recorded; after an interrupt, or a kill,
    the same call goes on where this one ended.

    Raises ValueError with one line if the folder cannot be used, or another sweep is in it; `WorkersLost` if the
    executor has no workers any more.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan is a Plan, as read_plan returns it, not {type(plan).__name__}")
    place = Folder(arguments.path(folder, "the folder of a sweep").absolute())
    items = plan.share(*share)
    place.make()
    with locked(place.path, *share):
        place.clean(items)
        _write_index(place)
        work = _Work(plan, place, report or (lambda *told: None))
        try:
            work.do(items, executor or Here())
            place.clean(items)  # a process that was killed as it wrote leaves half a file
        finally:
            beside.end()
            _write_index(place)
        return work.summary(items)


@dataclass
class _Work:
    """What is left to do, and how often it was tried."""

    plan: Plan
    folder: Folder
    report: Report
    left: deque[tuple[Item, int]] = field(default_factory=deque)
    again: deque[tuple[Item, int]] = field(default_factory=deque)
    done: int = 0
    digests: dict[str, str | None] = field(default_factory=dict)

    def do(self, items: tuple[Item, ...], executor: Executor) -> None:
        """Do those of the items that have no answer."""
        self.left = deque((item, 1) for item in items if not self.folder.is_done(item, self.read_by(item)))
        before = len(items) - len(self.left)
        self.report(len(items), before, None)
        with closing(_outcomes(executor, self.tasks())) as found:
            for outcome in found:
                record = self.record_of(outcome)
                item, attempt = outcome.key
                if record.state.passing and attempt < self.plan.limits.attempts:
                    self.again.append((item, attempt + 1))
                    continue
                self.done += 1
                self.report(len(items), before, record)

    def tasks(self) -> Iterator[Task[tuple[Item, int]] | None]:
        """The items, then those that are tried again; None while one in flight may have to be."""
        limits = self.plan.limits
        while True:
            waiting = self.left or self.again
            if not waiting:
                yield None
                continue
            item, attempt = waiting.popleft()
            yield Task((item, attempt), (Order(item, self.plan.base, self.folder.path, limits, attempt),))

    def record_of(self, outcome: Outcome[tuple[Item, int], Record]) -> Record:
        """The record of an item; raises what is no matter of the item's."""
        if isinstance(outcome.error, ProcessEnded) and not isinstance(outcome.error.__cause__, CancelledError):
            item, attempt = outcome.key
            order = Order(item, self.plan.base, self.folder.path, self.plan.limits, attempt)
            record = lost(order, State.DIED, str(outcome.error))
            self.folder.keep(record)
            return record
        with _losses():
            return outcome.result

    def read_by(self, item: Item) -> dict[str, str | None]:
        """The files that an item reads, with their sha256, each file looked at once."""
        for name in item.files:
            if name not in self.digests:
                self.digests[name] = digest_of(self.plan.base / name)
        return {name: self.digests[name] for name in item.files}

    def summary(self, items: tuple[Item, ...]) -> Summary:
        """What became of the items."""
        records = (self.folder.record(item.key) for item in items)
        states = Counter("missing" if record is None else str(record.state) for record in records)
        return Summary(self.folder.path, len(items), self.done, dict(states))


def _outcomes(
    executor: Executor, tasks: Iterator[Task[tuple[Item, int]] | None]
) -> Generator[Outcome[tuple[Item, int], Record], None, None]:
    with _losses(ValueError):  # a cluster that does not answer any more
        yield from outcomes(executor, attend, tasks)


@contextmanager
def _losses(*others: type[Exception]) -> Iterator[None]:
    """Raise `WorkersLost` for what an executor raises that has lost its workers, as Dask does without its scheduler."""
    try:
        yield
    except (BrokenExecutor, CancelledError, ProcessEnded, OSError, *others) as error:
        cause = error.__cause__ if isinstance(error, ProcessEnded) else None
        why = " ".join(str(cause or error).split()) or "what was handed out was cancelled"
        raise WorkersLost(f"the workers are lost: {why}") from error


def _write_index(folder: Folder) -> None:
    with waited_for(folder.path / ".lock-index"):
        folder.write_index()
