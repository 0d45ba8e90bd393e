"""How many threads this process may use, and work divided among them.

Threads of a BLAS library spin while they wait, which costs a loaded machine far more than they save. These sleep. As
many are used as the environment allows to a BLAS library (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS) and as the process may
run on, so two processes with one thread each do not stand in each other's way.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

#: More threads than this do not pay at the sizes of this package.
MOST = 8
_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def available() -> int:
    """Threads that the environment and the process's share of the processors allow, at least one."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [os.environ.get(name, "").split(",")[0].strip() for name in _LIMITS]
    return max(min([processors, MOST, *(int(limit) for limit in limits if limit.isdecimal() and int(limit) > 0)]), 1)


WORKERS = available()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="sdpcert-blas")


def threads() -> int:
    """How many threads the caller may divide its work among: one if it is not the main thread."""
    return WORKERS if threading.current_thread() is threading.main_thread() else 1


def panels(size: int, count: int) -> list[slice]:
    """`count` slices of nearly the same length that cover `size` entries, fewer if there are not as many entries."""
    count = max(min(count, size), 1)
    return [slice(a, b) for a, b in itertools.pairwise([size * k // count for k in range(count + 1)])]


def each(function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """The function's value for each argument, by several threads if there are any; blocks taken in order."""
    if len(arguments) == 1 or threads() == 1:
        return [function(argument) for argument in arguments]
    return list(_pool().map(function, arguments))


@contextmanager
def mapping(count: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` by so many threads of the block's own; what they have not begun at its end is given up."""
    if count == 1:
        yield map
        return
    pool = ThreadPoolExecutor(count)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
