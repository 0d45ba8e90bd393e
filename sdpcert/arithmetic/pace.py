"""How fast this machine works, measured once a process where an estimate of seconds is worth it.

Two numbers are enough for dense linear algebra in panels: products run from the caches, and sums and elementwise
products of whole matrices at the speed of the memory. Both are measured with the threads that solvers use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from sdpcert.arithmetic import blas, threads
from sdpcert.arithmetic.arrays import one_blas_thread

#: Order of the product that is measured, large enough to be divided among threads, and of the matrices passed over.
PRODUCT, PASS = 384, 768
#: How often each is measured; the fastest counts, since a first run pays for the memory and others for the load.
TIMES = 5


@dataclass(frozen=True)
class Pace:
    """Multiplications a second in products of matrices, and entries a second in passes over whole matrices."""

    products: float
    entries: float


#: Two cores of 2021, rounded: what estimates assume that are too small to measure for.
ASSUMED = Pace(3e10, 2.5e9)


def measured() -> Pace:
    """The pace of this machine with the caller's threads, measured at the first call in a process."""
    return _measured(threads.threads())


@cache
def _measured(workers: int) -> Pace:
    left, right = np.full((PRODUCT, PRODUCT), 0.5), np.full((PRODUCT, PRODUCT), 2.0)
    large = np.full((PASS, PASS), 0.5)
    with one_blas_thread():
        product = _seconds(lambda: blas.product(left, right))
        passed = _seconds(lambda: large * large)
    return Pace(PRODUCT**3 / product, PASS**2 / passed)


def _seconds(work: Callable[[], object]) -> float:
    """The fastest of a few runs, never zero."""
    found = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return max(min(found), 1e-9)
