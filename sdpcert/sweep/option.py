"""Options of a plan: what may stand for each, and how a list of values becomes several items.

Everything that comes out is plain JSON, so that an item can be sent to another machine and written into its record.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any

#: What stands for all pairs of classes of whatever network an item is about.
ALL = "all"


@dataclass(frozen=True)
class Option(ABC):
    """One option: `default` is what leaving it out means, and what is the same as leaving it out."""

    default: Any = None

    def values(self, stated: Any) -> list[Any]:
        """The values that a plan states: each entry of a list, or the one value that it is.

        Raises ValueError, whose message goes on after the option's name.
        """
        found = [self.read(one) for one in self.several(stated)]
        if not found:
            raise ValueError("is an empty list; give one value or more")
        return found

    def several(self, stated: Any) -> list[Any]:
        """What is stated, one value after another."""
        return stated if isinstance(stated, list) else [stated]

    @abstractmethod
    def read(self, stated: Any) -> Any:
        """One value, plain JSON; raises ValueError as `values` does."""

    def shown(self, name: str, value: Any) -> str:
        """A value in the name of a file."""
        return f"{name}-{value}"


@dataclass(frozen=True)
class Text(Option):
    """A name; whoever uses it says which there are."""

    def read(self, stated: Any) -> str:
        if not isinstance(stated, str) or not stated:
            raise ValueError(f"is a text, not {_kind(stated)}")
        return stated

    def shown(self, name: str, value: str) -> str:
        return value


@dataclass(frozen=True)
class Number(Option):
    """A real number, or a quotient such as "8/255"."""

    def read(self, stated: Any) -> float:
        return number(stated)

    def shown(self, name: str, value: float) -> str:
        return f"{name}-{value:.4g}"


@dataclass(frozen=True)
class Integer(Option):
    """An integer."""

    def read(self, stated: Any) -> int:
        return integer(stated)


@dataclass(frozen=True)
class Flag(Option):
    """True or false."""

    def read(self, stated: Any) -> bool:
        if not isinstance(stated, bool):
            raise ValueError(f"is true or false, not {_kind(stated)}")
        return stated


@dataclass(frozen=True)
class FlagOrText(Option):
    """True, false or a name."""

    def read(self, stated: Any) -> bool | str:
        if not isinstance(stated, bool | str):
            raise ValueError(f"is true, false or a name, not {_kind(stated)}")
        return stated


@dataclass(frozen=True)
class Numbers(Option):
    """A list of numbers that belong together; a list of such lists is several of them."""

    count: int | None = None

    def several(self, stated: Any) -> list[Any]:
        inner = isinstance(stated, list) and any(isinstance(one, list) for one in stated)
        return stated if inner else [stated]

    def read(self, stated: Any) -> list[Any]:
        if not isinstance(stated, list) or not stated or (self.count is not None and len(stated) != self.count):
            wanted = "a list of numbers" if self.count is None else f"a list of {self.count} numbers"
            raise ValueError(f"is {wanted}, or a list of such lists, not {_kind(stated)}")
        return [self.one(entry) for entry in stated]

    def one(self, stated: Any) -> Any:
        """One of the numbers."""
        return number(stated)

    def shown(self, name: str, value: list[Any]) -> str:
        return "-".join([name, *(f"{one:.4g}" for one in value)])


@dataclass(frozen=True)
class Integers(Numbers):
    """A list of integers that belong together."""

    def one(self, stated: Any) -> int:
        return integer(stated)


@dataclass(frozen=True)
class Pairs(Integers):
    """Pairs of classes: one, a list of them, or "all"."""

    count: int | None = 2

    def values(self, stated: Any) -> list[Any]:
        """The pairs that are stated; "all" stands for itself."""
        return [ALL] if stated == ALL else super().values(stated)

    def shown(self, name: str, value: Any) -> str:
        return f"{name}-{ALL}" if value == ALL else super().shown(name, value)


@dataclass(frozen=True)
class Indices(Option):
    """Numbers of inputs, counted from 0: integers and ranges such as "0-9", both ends included."""

    def several(self, stated: Any) -> list[Any]:
        parts = stated if isinstance(stated, list) else [stated]
        found = [index for part in parts for index in (_range(part) if isinstance(part, str) else [part])]
        return list(dict.fromkeys(found))

    def read(self, stated: Any) -> int:
        found = integer(stated)
        if found < 0:
            raise ValueError(f"counts inputs from 0; {found} is none")
        return found


def number(stated: Any) -> float:
    """A finite real number, or a quotient such as "8/255"; ValueError that goes on after a name."""
    found = math.nan
    if isinstance(stated, str):
        above, slash, below = stated.partition("/")
        try:
            found = float(above) / float(below) if slash else math.nan
        except (ValueError, ZeroDivisionError):
            pass
    elif isinstance(stated, Real) and not isinstance(stated, bool):
        found = float(stated)
    if not math.isfinite(found):
        raise ValueError(f'is a finite number, or a quotient such as "8/255", not {_kind(stated)}')
    return found


def integer(stated: Any) -> int:
    """An integer; ValueError that goes on after a name."""
    if not isinstance(stated, int) or isinstance(stated, bool):
        raise ValueError(f"is an integer, not {_kind(stated)}")
    return stated


def _range(stated: str) -> list[int]:
    first, dash, last = stated.strip().partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal()) or int(first) > int(last):
        raise ValueError(f'is an integer or a range such as "0-9", not {stated!r}')
    return list(range(int(first), int(last) + 1))


def _kind(stated: Any) -> str:
    shown = repr(stated)
    return shown if len(shown) <= 40 else type(stated).__name__
