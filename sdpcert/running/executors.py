"""Where work is done: in this process, in processes beside it, or on the machines of a Dask cluster.

Each is an executor of `concurrent.futures`, so whoever hands out work (`tasks.py`) does not ask which. What is sent to
another process and back is pickled: functions of modules, and plain data.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import FrameType, ModuleType
from typing import Any, TypeVar

from sdpcert.running.extras import needed_by

Result = TypeVar("Result")
#: How many processes work side by side where nobody says how many.
WORKERS = min(4, os.cpu_count() or 1)
#: Seconds in which a scheduler has to answer.
PATIENCE = 10
_ONE_THREAD: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Workplace(Executor):
    """An executor that knows how many tasks it wants at a time, and that can begin anew."""

    @property
    def in_flight(self) -> int:
        """So many tasks, handed over at a time, keep it busy."""
        raise NotImplementedError

    @property
    def patience(self) -> float | None:
        """Seconds without a result after which it is asked whether it `is_lost`; None if it tells by itself."""
        return None

    @property
    def is_lost(self) -> bool:
        """Whether what was handed over will have no result any more."""
        return False

    def renew(self) -> Executor:
        """An executor in place of this one, which broke; what was handed over is lost."""
        return self

    def interrupt(self) -> None:
        """Send Ctrl-C to what is being done elsewhere: it gives the best that it has."""


class Here(Workplace):
    """Does a task when it is submitted, in this process; an interrupt is raised there."""

    @property
    def in_flight(self) -> int:
        """One: the next task begins after the outcome of the one before."""
        return 1

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """A future that is done."""
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Threads(Workplace):
    """Threads of this process, for tasks that wait for something else; an interrupt is not passed on to them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)

    @property
    def in_flight(self) -> int:
        """One more than there are threads: none waits for the one that hands out."""
        return self.count + 1

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """A future of what a thread does."""
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads once they have done what was handed over."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class Workers(Workplace):
    """Processes of this machine, each with one thread for linear algebra; Ctrl-C at the terminal does not reach them.

    They end with the process that started them, whatever ends it. `end` ends them at once.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._begin()

    def _begin(self) -> None:
        self._context = _Context()
        self._pool = ProcessPoolExecutor(self.count, mp_context=self._context, initializer=_begin)
        with _interrupts_held_back():
            for _ in range(self.count):  # each starts one, which imports while this process goes on
                self._pool.submit(int)

    @property
    def in_flight(self) -> int:
        """One more than there are processes: none waits for this one."""
        return self.count + 1

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """A future of what a process does; a process that dies breaks all that are not done."""
        return self._pool.submit(_interruptible, fn, *args, **kwargs)

    def renew(self) -> Executor:
        """The same, with new processes."""
        self.end()
        self._begin()
        return self

    def interrupt(self) -> None:
        """Send Ctrl-C to the processes; what they are handed later is interrupted too."""
        for process in self._context.processes:
            if process.pid is not None and process.is_alive() and os.name == "posix":
                os.kill(process.pid, signal.SIGINT)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once they have done what was handed over."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def end(self) -> None:
        """End the processes, and give up what they do."""
        with _interrupts_held_back():
            for process in self._context.processes:
                if process.pid is not None:
                    process.kill()
                    process.join()
            results = getattr(self._pool, "_result_queue", None)
            if results is not None:  # the pool's thread would wait for the rest of a result that was half sent
                results._writer.close()
            self._pool.shutdown(cancel_futures=True)


class Cluster(Workplace):
    """The workers of a Dask scheduler; raises ValueError if none answers at the address."""

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        self._begin()

    def _begin(self) -> None:
        with needed_by(f"the scheduler {self.scheduler}"):
            from distributed import Client
        try:
            self._client = Client(self.scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no Dask scheduler answers at {self.scheduler} within {PATIENCE} s: start one with `dask scheduler`, "
                "which prints its address"
            ) from error
        self._executor = self._client.get_executor(pure=False)

    @property
    def in_flight(self) -> int:
        """One more than the workers have threads at this moment."""
        if self.is_lost:  # asking would wait until it is connected again
            return 1
        try:
            threads: Any = self._client.nthreads()
        except OSError:  # the connection is lost: what is handed over next finds that out
            return 1
        return sum(threads.values()) + 1

    @property
    def patience(self) -> float | None:
        """Futures may wait for ever for a scheduler that died just after it was sent them."""
        return PATIENCE

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection."""
        return self._client.status != "running"

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """A future of what a worker does; raises BrokenExecutor where the connection to the scheduler is lost."""
        if self.is_lost:
            raise BrokenExecutor(f"the connection to the scheduler {self.scheduler} is lost")
        return self._executor.submit(fn, *args, **kwargs)

    def renew(self) -> Executor:
        """The same, connected anew: the scheduler may have been started again."""
        self.end()
        self._begin()
        return self

    def end(self) -> None:
        """Give up what the workers do here, and leave the cluster."""
        self._client.close(timeout=PATIENCE)


@contextmanager
def executor(jobs: int = 1, scheduler: str | None = None) -> Iterator[Executor]:
    """Where to work: here for one job, in so many processes for more, or on the cluster of a scheduler.

    What is still being done when the block ends is given up. Raises ValueError with one line if no scheduler answers at
    the address, and ModuleNotFoundError with one that names the extra if Dask is missing.
    """
    if scheduler is None and (jobs == 1 or multiprocessing.current_process().daemon):  # a daemon may have no children
        yield Here()
        return
    workers = Workers(jobs) if scheduler is None else Cluster(scheduler)
    try:
        yield workers
    finally:
        workers.end()


def chosen(value: object) -> Executor:
    """The executor that is given as an argument, `Here` for None; raises TypeError for anything else."""
    if value is not None and not isinstance(value, Executor):
        raise TypeError(f"executor is a concurrent.futures.Executor or None, not {type(value).__name__}")
    return value or Here()


# ---------------------------------------------------------------- how a process begins


class _Process(SpawnProcess):
    """A process whose linear algebra has one thread from its first import on, and that is deaf to Ctrl-C meanwhile.

    The program's main file is not imported in it: everything that is sent is found without, and a program need not
    guard its last lines.
    """

    def start(self) -> None:
        main = {"__main__": ModuleType("__main__")}
        with _interrupts_held_back(), _with(os.environ, _ONE_THREAD), _with(sys.modules, main):
            super().start()


class _Context(SpawnContext):
    """What a pool makes its processes by; it knows them all."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[_Process] = []

    def Process(self, *args: Any, **kwargs: Any) -> _Process:  # type: ignore[override]
        self.processes.append(_Process(*args, **kwargs))
        return self.processes[-1]


#: In a process of `Workers`: whether it was interrupted.
_interrupted = False


def _begin() -> None:
    """What a process does first: it leaves the terminal, and ends with the one that started it."""
    signal.signal(signal.SIGINT, _note)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.name == "posix":
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.dup2(2, 1)  # what compiled code prints is no result
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _interruptible(function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """The function's value, in a process that may be sent Ctrl-C while it is computed."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        if _interrupted:
            raise KeyboardInterrupt
        return function(*args, **kwargs)
    finally:
        signal.signal(signal.SIGINT, _note)


def _note(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True


def _interrupt(number: int, frame: FrameType | None) -> None:
    _note(number, frame)
    raise KeyboardInterrupt


@contextmanager
def _with(mapping: MutableMapping[str, Any], values: Mapping[str, Any]) -> Iterator[None]:
    """Let a mapping have other values inside of the block."""
    before = {key: mapping[key] for key in values if key in mapping}
    mapping.update(values)
    try:
        yield
    finally:
        for key in values:
            del mapping[key]
        mapping.update(before)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: processes that start in it are deaf to it while they import."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
