"""Values that depend on numbers which lie where the arrays do, and have not been looked at yet.

A look at a number of a device waits for everything before it. So what a branch of a program needs is gathered first,
from all matrices, and comes over in one transfer. Where arrays are in the host's memory, values may be known at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

T = TypeVar("T")
U = TypeVar("U")


class _Library(Protocol):
    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Several real numbers, in one transfer."""
        ...


def _constant(value: T, seen: np.ndarray) -> T:
    return value


@dataclass(frozen=True, eq=False)
class Unseen(Generic[T]):
    """The value of `read` at some real numbers of a library of arrays."""

    numbers: tuple[Any, ...]
    read: Callable[[np.ndarray], T]

    @staticmethod
    def known(value: T) -> Unseen[T]:
        """A value that needs no number."""
        return Unseen((), partial(_constant, value))

    @staticmethod
    def all_of(several: Sequence[Unseen[T]]) -> Unseen[list[T]]:
        """The list of several values."""

        def read(seen: np.ndarray) -> list[T]:
            values, first = [], 0
            for one in several:
                values.append(one.read(seen[first : first + len(one.numbers)]))
                first += len(one.numbers)
            return values

        return Unseen(tuple(number for one in several for number in one.numbers), read)

    def then(self, function: Callable[[T], U]) -> Unseen[U]:
        """The function's value at this one."""
        return Unseen(self.numbers, lambda seen: function(self.read(seen)))

    def seen(self, arrays: _Library) -> T:
        """The value, after one transfer, or none if nothing has to be looked at."""
        return self.read(arrays.numbers(self.numbers) if self.numbers else np.zeros(0))


#: What is known to hold.
HOLDS: Unseen[bool] = Unseen.known(True)


def numbers_of(values: Sequence[Any]) -> Unseen[list[float]]:
    """Real numbers as Python's."""
    return Unseen(tuple(values), lambda seen: seen.tolist())
