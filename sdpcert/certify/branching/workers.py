"""Processes that divide pieces: an executor for `search`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import threadpoolctl


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """So many processes, each with one thread for linear algebra; Ctrl-C is left to the process that asks."""
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
