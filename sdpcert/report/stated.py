"""Results of other tools as small JSON records: what they state stands in a table, marked as stated and not proved."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpcert.running.outputs import reads

#: The keys of a record that have to be there, and those that may be; one of `bound` and `result` has to be.
NEEDED, POSSIBLE = ("tool", "network"), ("bound", "result", "seconds", "claim")
#: Most records of a file, and characters of a text.
MOST_RECORDS, LONGEST_TEXT = 10_000, 300


@dataclass(frozen=True)
class StatedResult:
    """What a tool states of a network: a bound of its Lipschitz constant, or a word; `claim` is what that is about."""

    tool: str
    network: str
    bound: float | None = None
    result: str | None = None
    seconds: float | None = None
    claim: str | None = None


@dataclass(frozen=True)
class StatedFile:
    """The records of a file, in their order."""

    path: Path
    results: tuple[StatedResult, ...]
    file_hash: str

    @property
    def versions(self) -> dict[str, str]:
        """Nothing is known of what wrote it."""
        return {}


def read_stated(path: Path) -> StatedFile | None:
    """The records of a file that is one of them, or a list; None for a file that is neither.

    Raises ValueError, with one line that names the file, for a record with keys or values that it cannot have.
    """
    data = path.read_bytes()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    listed = document if isinstance(document, list) else [document]
    if not listed or not all(isinstance(one, dict) and "tool" in one and "format" not in one for one in listed):
        return None
    if len(listed) > MOST_RECORDS:
        raise ValueError(f"{path}: has more than {MOST_RECORDS} records")
    reads(path)
    found = tuple(_record(one, f"{path}: record {k}") for k, one in enumerate(listed))
    return StatedFile(path, found, hashlib.sha256(data).hexdigest())


def _record(value: dict[str, Any], name: str) -> StatedResult:
    unknown = next((key for key in value if key not in (*NEEDED, *POSSIBLE)), None)
    if unknown is not None:
        raise ValueError(f"{name} has the key {unknown[:40]!r}; there are {', '.join((*NEEDED, *POSSIBLE))}")
    texts = {key: _text(value.get(key), f"{name}, {key}") for key in (*NEEDED, "result", "claim")}
    numbers = {key: _number(value.get(key), f"{name}, {key}") for key in ("bound", "seconds")}
    missing = next((key for key in NEEDED if not texts[key]), None)
    if missing is not None:
        raise ValueError(f"{name} has no {missing}")
    if (numbers["bound"] is None) == (texts["result"] is None):
        raise ValueError(f"{name} has to state a bound (a number) or a result (a word), one of the two")
    return StatedResult(
        texts["tool"] or "",
        texts["network"] or "",
        numbers["bound"],
        texts["result"],
        numbers["seconds"],
        texts["claim"],
    )


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} is no text of at most {LONGEST_TEXT} characters in one line")
    return value


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is no finite number from 0 on")
    return number
