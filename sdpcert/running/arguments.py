"""Arguments of public functions: what they have to be, and one sentence if they are something else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

#: Largest seed that NumPy and torch both take.
LARGEST_SEED = 2**63 - 1
Name = TypeVar("Name", bound=str)


def number(value: object, name: str) -> float:
    """A real number; raises TypeError for anything else, truth values and texts included."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} is a number, not {_kind(value)}")
    return float(value)


def limit(value: object, name: str) -> float:
    """A positive number, infinity for None; raises TypeError or ValueError."""
    if value is None:
        return float("inf")
    found = number(value, name)
    if not found > 0:
        raise ValueError(f"{name} must be positive, or None for no limit, not {value!r}")
    return found


def integer(value: object, name: str, low: int, high: int | None = None) -> int:
    """An integer in a range; raises TypeError or ValueError."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} is an integer, not {_kind(value)}")
    found = int(value)
    if found < low or (high is not None and found > high):
        raise ValueError(f"{name} must be {low} or more{'' if high is None else f', at most {high}'}, not {found}")
    return found


def flag(value: object, name: str) -> bool:
    """A truth value; raises TypeError for anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is True or False, not {_kind(value)}")
    return bool(value)


def choice(value: object, name: str, known: Iterable[Name], shown: Iterable[str] | None = None) -> Name:
    """One of the known names; raises TypeError or ValueError that lists those `shown`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a name, not {_kind(value)}; choose one of {', '.join(shown or known)}")
    for one in known:
        if one == value:
            return one
    raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(shown or known)}")


def rows(value: object, name: str = "output_rows") -> list[int] | None:
    """Numbers of outputs: None for all, an integer for one, or a sequence of integers; raises TypeError."""
    if value is None:
        return None
    if isinstance(value, Integral) and not isinstance(value, bool | np.bool_):
        return [int(value)]
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim == 1 else None
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(f"{name} is a list of integers that count outputs from 0, or one of them, not {_kind(value)}")
    return [integer(row, f"an entry of {name}", -(2**63)) for row in value]


def device(value: object) -> str:
    """The name of a device; a torch device is one too. Raises TypeError for anything else."""
    if type(value).__module__ == "torch" and type(value).__name__ == "device":
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"device is a name such as 'cpu' or 'cuda', not {_kind(value)}")
    return value


def function(value: Any, name: str) -> Any:
    """A function or None; raises TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is a function or None, not {_kind(value)}")
    return value


def shape(value: object, name: str = "input_shape") -> tuple[int, ...]:
    """A shape without batch axis, one length alone included; raises TypeError or ValueError."""
    if isinstance(value, Integral) and not isinstance(value, bool | np.bool_):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | dict):
        raise TypeError(f"{name} is a sequence of lengths without the batch axis, as in (3, 8, 8), not {_kind(value)}")
    found: Sequence[Any] = list(value)
    return tuple(integer(length, f"an entry of {name}", 1) for length in found)


def path(value: object, name: str) -> Path:
    """A path from a text or a path object; raises TypeError for anything else, ValueError for an empty text."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} is the path of a file, not {_kind(value)}")
    found = os.fspath(value)
    if isinstance(found, bytes):
        found = os.fsdecode(found)
    if not found or "\0" in found:
        why = ", which has a null byte" if found else ""
        raise ValueError(f"{name} is the path of a file, not {found!r}{why}")
    return Path(found)


def _kind(value: object) -> str:
    text = f"{type(value).__name__}"
    shown = repr(value)
    return text if len(shown) > 40 or "\n" in shown else f"{text} {shown}"
