"""Memory that is used again: in a loop whose arrays have the same sizes in every round.

The C library of Linux maps large blocks when they are asked for and unmaps them when they are freed, and the kernel
clears every page of a new one; with arrays of megabytes that takes as long as the work on them.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Numbers of the parameters in <malloc.h>.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
#: What is set afterwards: the values that glibc would have found for itself after some large arrays. It does not look
#: for them any more once one of them was set.
AFTERWARDS = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * 2**20, TRIM_THRESHOLD: 64 * 2**20}


#: How many are in the block at once, one inside another or in several threads.
_inside = 0
_counting = threading.Lock()


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory for what is asked for next, and give it back at the end; other systems than glibc are as ever.

    What is set is the process's, so that other threads' arrays are kept as well.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if library is None:
        yield
        return
    _count(library, 1)
    try:
        yield
    finally:
        _count(library, -1)


def _count(library: ctypes.CDLL, more: int) -> None:
    """Set the parameters for the first one, and back after the last."""
    global _inside
    with _counting:
        _inside += more
        if _inside == 1 and more == 1:
            library.mallopt(MMAP_MAX, 0)
            library.mallopt(TRIM_THRESHOLD, -1)
        elif _inside == 0:
            for parameter, value in AFTERWARDS.items():
                library.mallopt(parameter, value)
            library.malloc_trim(0)
