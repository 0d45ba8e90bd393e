"""The time that a search may take: it counts its operations, and stops where the time is over."""

from __future__ import annotations

import time


class OutOfTime(Exception):
    """The time of a search is over."""


class Deadline:
    """A point in time, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(0.0, self.end - time.perf_counter())

    def check(self) -> None:
        """Raise `OutOfTime` if nothing is left."""
        if not self.left:
            raise OutOfTime
