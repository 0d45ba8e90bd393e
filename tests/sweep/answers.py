"""Functions that the tests ask in a process beside them."""

from __future__ import annotations

import os
import time
from typing import Any


def answer(question: Any) -> Any:
    """What the question asks for: a number comes back with the process, a text says what goes wrong."""
    if question == "sleep":
        time.sleep(60)
    if question == "die":
        os.write(2, b"first\nlast words\n")
        os._exit(3)
    if question == "memory":
        try:
            return len(bytes(2 * 2**30))
        except MemoryError:
            return "no memory"
    os.write(1, b"compiled code says something\n")
    return [question, os.getpid()]
