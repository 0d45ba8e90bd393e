"""Processes that this one starts to solve and to check side by side: run, interrupted together, ended together.

They are in sessions of their own, so that Ctrl-C at the terminal comes to them once, and from here.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

_running: set[subprocess.Popen[bytes]] = set()
_ended: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


class Ended(Exception):
    """A process was ended from here; it has no result."""


def run(command: Sequence[str], given: bytes, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command with `given` on its standard input, and wait for it.

    Raises `Ended` where `end` was called meanwhile. An exception in this thread, as an interrupt is, ends the process.
    """
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
        raise Ended
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def interrupt() -> None:
    """Send Ctrl-C to all that run: they give the best that they have."""
    with _lock:
        for process in _running:
            process.send_signal(signal.SIGINT)


def end() -> None:
    """End all that run."""
    with _lock:
        for process in _running:
            _ended.add(process)
            process.kill()
