"""A process beside this one that does one thing after another, and can be ended without harm to this one.

Whoever works on a sweep, a thread of the command or of a Dask worker, has one: an item that takes too long or too
much memory, or brings its process down, costs that item and the second that the next process needs to begin. What is
asked and answered is a line of JSON.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sdpcert.errors import ItemEnded
from sdpcert.running.executors import Threads

try:
    import resource
except ImportError:  # no limits of memory on Windows
    resource = None

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRAM = "from {module} import {name}; from sdpcert.sweep.beside import serve; serve({name})"
_mine = threading.local()
#: The processes beside all threads, and whether no more may begin.
_all: set[Any] = set()
_closed = threading.Event()
_lock = threading.Lock()


@contextmanager
def threads(count: int) -> Iterator[Executor]:
    """An executor of so many threads, each with a process beside it; at the end of the block all of these are ended."""
    pool = Threads(count)
    try:
        yield pool
    finally:
        with _lock:
            _closed.set()
            for process in list(_all):
                process.kill()
        pool.shutdown(cancel_futures=True)
        for process in list(_all):
            process.end()
        _closed.clear()


def ask(function: Callable[[Any], Any], question: Any, seconds: float | None = None, memory: int | None = None) -> Any:
    """What a function of a module answers, in the process beside this thread; question and answer are plain JSON.

    Raises `ItemEnded` if that process dies, or takes longer than `seconds`, apart from its start. With `memory` it may
    have so many bytes: what asks for more gets a MemoryError, or ends the process. An exception here, as Ctrl-C is,
    ends the process.
    """
    process = getattr(_mine, "process", None)
    if process is None or not process.serves(function):
        end()
        with _lock:
            if _closed.is_set():
                raise KeyboardInterrupt
            process = _mine.process = Beside(function)
            _all.add(process)
    try:
        return process.ask(question, seconds, memory)
    except BaseException as error:
        end()
        if isinstance(error, ItemEnded) and _closed.is_set():  # nothing is said of an item that was given up
            raise KeyboardInterrupt from None
        raise


def end() -> None:
    """End the process beside this thread, if there is one."""
    process = getattr(_mine, "process", None)
    _mine.process = None
    if process is not None:
        process.end()


class Beside:
    """A process that answers questions with one function, one after another; with one thread for linear algebra."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1"), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        program = _PROGRAM.format(module=function.__module__, name=function.__name__)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,
        )
        self._late = False
        self._begun = False

    def serves(self, function: Callable[[Any], Any]) -> bool:
        """Whether it is there, and answers with this function."""
        return self.function is function and self._process.poll() is None

    def ask(self, question: Any, seconds: float | None, memory: int | None) -> Any:
        """An answer; raises `ItemEnded` as the function `ask` does."""
        if not self._begun:
            self._line()  # it is there: from now on its time counts
            self._begun = True
        timer = None if seconds is None else threading.Timer(seconds, self._end_late)
        try:
            if timer is not None:
                timer.daemon = True
                timer.start()
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):  # the answer says why
                self._process.stdin.write(json.dumps([question, memory]).encode() + b"\n")
                self._process.stdin.flush()
            return json.loads(self._line())
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()

    def kill(self) -> None:
        """Let it end at once, whoever waits for it."""
        self._process.kill()

    def end(self) -> None:
        """End it at once."""
        _all.discard(self)
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _end_late(self) -> None:
        self._late = True
        self._process.kill()

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line.endswith(b"\n"):
            return line
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"exit code {code}" if code >= 0 else f"ended by {_signal(-code)}"
        raise ItemEnded(f"{how}: {lines[-1][:200]}" if lines else how, self._late)


def serve(answer: Callable[[Any], Any]) -> None:
    """The other process: a question a line on standard input, an answer a line on standard output.

    It ends with the one that began it, whatever ends that one: then its standard input ends.
    """
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what compiled code prints is no answer
    for number in (signal.SIGINT, signal.SIGTERM):  # who asks decides what they mean
        signal.signal(number, signal.SIG_IGN)
    questions: queue.Queue[list[Any]] = queue.Queue()
    threading.Thread(target=_hear, args=(questions,), daemon=True).start()
    out.write(b"ready\n")
    out.flush()
    while True:
        question, memory = questions.get()
        _limit(memory)
        said = json.dumps(answer(question))
        _limit(None)
        out.write(said.encode() + b"\n")
        out.flush()


def _hear(questions: queue.Queue[list[Any]]) -> None:
    for line in sys.stdin.buffer:
        questions.put(json.loads(line))
    os._exit(1)


def _limit(memory: int | None) -> None:
    """Let this process have so many bytes: its data, not the code of its libraries or the addresses they keep."""
    if resource is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = hard if memory is None else memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
