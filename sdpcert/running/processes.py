"""Work in processes of its own, several side by side: called, interrupted together, ended together.

Threads do not help: the search for attained points and the solver's small steps hold Python's lock. The processes are
in sessions of their own, so that Ctrl-C at the terminal comes to them once, and from here. What is sent to them and
back is pickled: both ends are this program.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sdpcert.errors import ProcessEnded, ProcessFailed

Key = TypeVar("Key")
Result = TypeVar("Result")
#: How many processes work side by side.
WORKERS = min(4, os.cpu_count() or 1)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRAM = "from sdpcert.running.processes import serve; serve()"
_running: set[subprocess.Popen[bytes]] = set()
_ended: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


def call(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of a module in a process of its own, which uses one thread, and wait for its result.

    Raises what the function raises, `ProcessEnded` if `end` was called meanwhile, KeyboardInterrupt if an interrupt
    came before the function could take it, and `ProcessFailed` if the process died. An exception in this thread, as an
    interrupt is, ends the process.
    """
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1"), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", _PROGRAM, function.__module__, function.__name__]
    code, out, err = _run(command, pickle.dumps(arguments), environment)
    if not out:
        lines = err.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
        if code == -signal.SIGINT or "KeyboardInterrupt" in lines[-1]:
            raise KeyboardInterrupt
        raise ProcessFailed(lines[-1][:200])
    returned, value = pickle.loads(out)
    if not returned:
        raise value
    return value


def serve() -> None:
    """The other process: arguments on standard input, the result or what was raised on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what compiled code prints is no result
    try:
        arguments = pickle.load(sys.stdin.buffer)
        answer = True, getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*arguments)
    except BaseException as error:
        answer = False, error
    with out:
        out.write(pickle.dumps(answer))


def side_by_side(
    jobs: Mapping[Key, Callable[[], Result]],
    keep: Callable[[Key, Result], None],
    workers: int = WORKERS,
    finish: bool = False,
) -> None:
    """Do jobs in a few threads, each of which may `call`, and hand on their results as they come.

    After an exception nothing new begins, and all processes are ended. With `finish` an interrupt is passed on to them
    instead: they give the best that they have, and that is kept.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(job): key for key, job in jobs.items()}
        try:
            while waiting:
                done = wait(waiting, return_when=FIRST_COMPLETED).done
                for future in sorted(done, key=lambda future: future.exception() is not None):
                    result = future.result()
                    keep(waiting.pop(future), result)
        except BaseException as error:
            for future in waiting:
                future.cancel()
            try:
                if finish and isinstance(error, KeyboardInterrupt):
                    interrupt()
                    for future in wait(waiting).done:
                        if not future.cancelled() and future.exception() is None:
                            with suppress(KeyboardInterrupt):
                                keep(waiting[future], future.result())
            finally:  # after a second interrupt, or another error
                end()
                while wait(waiting, 0.2).not_done:  # one whose process was just starting
                    end()
            raise


def interrupt() -> None:
    """Send Ctrl-C to all processes: they give the best that they have."""
    with _lock:
        for process in _running:
            process.send_signal(signal.SIGINT)


def end() -> None:
    """End all processes."""
    with _lock:
        for process in _running:
            _ended.add(process)
            process.kill()


def _run(command: list[str], given: bytes, environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """The exit code of a command with `given` on its standard input, and what it wrote."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(environment), start_new_session=True
    )
    with _lock:
        _running.add(process)
    try:
        out, err = process.communicate(given)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        with _lock:
            _running.discard(process)
            ended = process in _ended
            _ended.discard(process)
    if ended:
        raise ProcessEnded("a process was ended before it had a result")
    return process.returncode, out, err
