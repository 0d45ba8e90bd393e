"""Two sweeps in one folder at once: noticed by locks that the system releases when their process ends, however it does.

A share of a sweep (`--array 2/8`) locks itself, and the folder together with other shares; a whole sweep locks the
folder alone. The files say who has the lock.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no locks on Windows
    fcntl = None


@contextmanager
def locked(folder: Path, which: int = 1, count: int = 1) -> Iterator[None]:
    """Keep others from a folder, or from a share of its items; raises ValueError that says who has it."""
    with ExitStack() as stack:
        stack.enter_context(_lock(folder / ".lock", shared=count > 1))
        if count > 1:
            stack.enter_context(_lock(folder / f".lock-{which}-of-{count}"))
        yield


@contextmanager
def waited_for(path: Path) -> Iterator[None]:
    """Keep others out of the block, after those that are in it."""
    with _lock(path, waits=True):
        yield


@contextmanager
def _lock(path: Path, shared: bool = False, waits: bool = False) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from None
    try:
        kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB)
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            raise ValueError(_taken(path, descriptor)) from None
        except OSError:  # a file system without locks: two sweeps write the same files, each of them whole
            pass
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _taken(path: Path, descriptor: int) -> str:
    who = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
    return f"{path.parent}: {who} sweeps in this folder; wait for it, end it, or name another folder"
