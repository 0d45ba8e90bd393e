"""Work that is handed out: tasks are taken when there is room, and come back; workers that die cost one; interrupts."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import sdpcert
from sdpcert.errors import ProcessEnded
from sdpcert.running.executors import Here, Workers, executor
from sdpcert.running.tasks import Outcome, Task, outcomes
from tests.running import in_a_process


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process, and no thread that was not there before."""
    before = set(threading.enumerate())
    yield
    assert multiprocessing.active_children() == [] and set(threading.enumerate()) <= before


def numbered(count: int, *beside: Any) -> Iterator[Task[int]]:
    return (Task(number, (number, *beside)) for number in range(count))


# ---------------------------------------------------------------- what comes back, and when tasks are taken


def test_here_each_task_is_taken_after_the_outcome_of_the_one_before() -> None:
    events: list[str] = []

    def tasks() -> Iterator[Task[int]]:
        for number in range(3):
            events.append(f"taken {number}")
            yield Task(number, (number,))

    for outcome in outcomes(Here(), in_a_process.square, tasks()):
        events.append(f"came {outcome.result}")
    assert events == ["taken 0", "came 0", "taken 1", "came 1", "taken 2", "came 4"]


def test_an_error_comes_back_with_its_task_and_the_others_go_on() -> None:
    found = {o.key: o for o in outcomes(Here(), int, (Task(text, (text,)) for text in ("1", "x", "3")))}
    assert [found["1"].result, found["3"].result] == [1, 3] and isinstance(found["x"].error, ValueError)
    with pytest.raises(ValueError, match="invalid literal"):
        print(found["x"].result)


def test_no_more_are_in_flight_than_asked_for() -> None:
    under_way, most = 0, 0
    lock = threading.Lock()

    def counts(number: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= 1
        return number

    taken: list[int] = []

    def tasks() -> Iterator[Task[int]]:
        for number in range(12):
            taken.append(number)
            yield Task(number, (number,))

    with ThreadPoolExecutor(8) as pool:
        for count, _ in enumerate(outcomes(pool, counts, tasks(), in_flight=3)):
            assert len(taken) <= count + 3
    assert most == 3


def test_nothing_now_is_asked_again_after_the_next_outcome() -> None:
    came: list[int] = []

    def tasks() -> Iterator[Task[int] | None]:
        yield Task(0, (0,))
        while len(came) < 1:
            yield None
        yield Task(1, (1,))
        while True:
            yield None

    with ThreadPoolExecutor(4) as pool:
        for outcome in outcomes(pool, in_a_process.square, tasks()):
            came.append(outcome.result)
    assert came == [0, 1]


def test_an_iterator_that_raises_ends_it_and_cancels() -> None:
    go_on = threading.Event()

    def tasks() -> Iterator[Task[int]]:
        yield from numbered(2)
        raise LookupError("no such network")

    def waits(number: int) -> None:
        go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(LookupError, match="no such network"):
            list(outcomes(pool, waits, tasks(), in_flight=5))
        go_on.set()
    with ThreadPoolExecutor(1) as pool:  # the generator that nobody exhausts cancels too
        seen = outcomes(pool, in_a_process.waits, (Task(k, (0.05,)) for k in range(100)), in_flight=50)
        with closing(seen):
            next(seen)


# ---------------------------------------------------------------- an executor that breaks


class Breaks(Executor):
    """Breaks at a task of its own; everything that is handed over at that moment is lost."""

    def __init__(self, bad: set[int]) -> None:
        self.bad, self.broken, self.futures = bad, False, []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.broken:
            raise BrokenExecutor
        future: Future[Any] = Future()
        self.futures.append((future, fn, args))
        if len(self.futures) > 2 or args[0] in self.bad:
            self.broken = any(arguments[0] in self.bad for _, _, arguments in self.futures)
            for other, function, arguments in self.futures:
                other.set_exception(BrokenExecutor()) if self.broken else other.set_result(function(*arguments))
            self.futures = []
        return future


def test_tasks_that_were_in_flight_are_done_again_alone() -> None:
    made: list[Executor] = []

    class Alone(Breaks):
        """Does a task at once, so one at a time."""

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if self.broken:
                raise BrokenExecutor
            future: Future[Any] = Future()
            self.broken = args[0] in self.bad
            future.set_exception(BrokenExecutor()) if self.broken else future.set_result(fn(*args))
            return future

    def new() -> Executor:
        made.append(Alone({4}))
        return made[-1]

    found = {o.key: o for o in outcomes(Breaks({4}), in_a_process.square, numbered(9), in_flight=3, renew=new)}
    assert sorted(found) == list(range(9))
    assert [k for k, o in found.items() if o.error is not None] == [4] and isinstance(found[4].error, ProcessEnded)
    assert all(found[k].result == k * k for k in found if k != 4) and len(made) == 2


def test_without_a_new_executor_all_in_flight_have_ended() -> None:
    found: list[Outcome[int, int]] = []
    with pytest.raises(BrokenExecutor):
        found.extend(outcomes(Breaks({4}), in_a_process.square, numbered(9), in_flight=3))
    assert [o.key for o in found if isinstance(o.error, ProcessEnded)] == [3, 4] and found[-1].key == 4


class Silent(Here):
    """Takes tasks and says nothing more, until it is renewed: a scheduler that died just after it was sent them."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.asked = 0

    @property
    def in_flight(self) -> int:
        return 3

    @property
    def patience(self) -> float:
        return 0.01

    @property
    def is_lost(self) -> bool:
        self.asked += 1
        return self.asked > 2

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.taken.append(args[0])
        return Future()

    def renew(self) -> Executor:
        return Here()


def test_tasks_that_a_lost_place_is_silent_about_are_done_again() -> None:
    place = Silent()
    found = {o.key: o.result for o in outcomes(place, in_a_process.square, numbered(5))}
    assert found == {number: number**2 for number in range(5)}
    assert place.taken == [0, 1, 2] and place.asked == 3


def test_an_executor_that_never_works_is_not_renewed_for_ever() -> None:
    broken = Breaks(set())
    broken.broken = True
    with pytest.raises(BrokenExecutor):
        list(outcomes(broken, in_a_process.square, numbered(3), renew=lambda: broken))


# ---------------------------------------------------------------- processes


@pytest.mark.slow
def test_processes(capfd: pytest.CaptureFixture[str]) -> None:
    """They have one thread each, leave the terminal and import no main file; what they do at the end is given up."""
    with executor(2) as workers:
        found = {o.key: o.result for o in outcomes(workers, in_a_process.surroundings, numbered(6))}
        assert {(value, threads, main) for value, threads, _, main in found.values()} == {
            (k, "1", None) for k in range(6)
        }
        assert os.getsid(0) not in {session for _, _, session, _ in found.values()}
        assert capfd.readouterr().out == ""
        (refused,) = outcomes(workers, in_a_process.contradicts, [Task("one", ())])
        with pytest.raises(sdpcert.BoundContradiction, match="above"):
            print(refused.result)
        started = time.perf_counter()
        seen = outcomes(workers, in_a_process.waits, (Task(k, (k * 60.0, bytes(5_000_000))) for k in range(5)))
        assert next(seen).result == 5_000_000
    assert time.perf_counter() - started < 10


@pytest.mark.slow
def test_a_process_that_dies_costs_its_own_task_and_only_if_it_dies_again(tmp_path: Path) -> None:
    workers = Workers(1)
    try:
        found = {o.key: o for o in outcomes(workers, in_a_process.dies, numbered(5, 1))}
        assert sorted(found) == list(range(5)) and isinstance(found[1].error, ProcessEnded)
        assert all(found[k].result == k for k in found if k != 1)
        mark = tmp_path / "mark"
        assert [o.result for o in outcomes(workers, in_a_process.dies_once, numbered(2, 0, mark))] == [0, 1]
    finally:
        workers.end()


@pytest.mark.slow
def test_an_interrupt_is_passed_on_and_what_there_is_comes_back(tmp_path: Path) -> None:
    """The first one; what was handed over and not begun is not begun any more. A second one ends it at once."""
    for finish in (True, False):
        marks = [tmp_path / f"{finish} {number}" for number in range(4)]

        def interrupts(marks: list[Path] = marks) -> None:
            while not all(mark.exists() for mark in marks[:2]):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        kept: list[str] = []
        started = time.perf_counter()
        with executor(2) as workers:
            threading.Thread(target=interrupts).start()
            tasks = (Task(number, (mark,)) for number, mark in enumerate(marks))
            with pytest.raises(KeyboardInterrupt):
                kept.extend(o.result for o in outcomes(workers, in_a_process.best, tasks, finish=finish))
        assert kept == (["best"] * 2 if finish else [])
        assert not any(mark.exists() for mark in marks[2:]) and time.perf_counter() - started < 40


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    """Also if that is killed, and a program need not guard its last lines."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal\n"
        "from sdpcert.running.executors import executor\n"
        "from sdpcert.running.tasks import Task, outcomes\n"
        "with executor(2) as workers:\n"
        "    found = [o.result for o in outcomes(workers, os.getpgid, [Task(1, (0,)), Task(2, (0,))])]\n"
        "    print(*found, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=100, check=False)
    sessions = {int(word) for word in done.stdout.split()}
    assert done.returncode == -signal.SIGKILL and sessions
    deadline = time.monotonic() + 10
    while any(_is_there(session) for session in sessions):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# ---------------------------------------------------------------- one place


def test_work_is_handed_out_in_one_place() -> None:
    """Threads of linear algebra are the floor's below. A sweep's worker watches a process of its own: it ends an item
    that takes too long or too much memory.
    """
    package = Path(sdpcert.__file__).parent
    handing = re.compile(r"submit\(|ProcessPool|ThreadPool|subprocess\.Popen|as_completed")
    files = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    found = {name for name, text in files.items() if handing.search(text)}
    assert found == {"running/executors.py", "running/tasks.py", "arithmetic/threads.py", "sweep/beside.py"}
