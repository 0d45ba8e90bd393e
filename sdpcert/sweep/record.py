"""The record of an item: what became of it, and with which files and programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

FORMAT = "sdpcert-sweep-record-1"


class State(StrEnum):
    """What became of an item."""

    PROVED = "proved"
    UNPROVED = "unproved"
    REFUSED = "refused"
    FAILED = "failed"
    OUT_OF_TIME = "out of time"
    OUT_OF_MEMORY = "out of memory"
    DIED = "died"

    @property
    def final(self) -> bool:
        """Whether doing the same with the same file by the same program would say the same."""
        return self in (State.PROVED, State.UNPROVED, State.REFUSED)

    @property
    def passing(self) -> bool:
        """Whether it may be the machine's fault, so that the item is tried again."""
        return self in (State.OUT_OF_TIME, State.OUT_OF_MEMORY, State.DIED)


@dataclass(frozen=True)
class Record:
    """One item and what became of it.

    `item` is what it is (`Item.document`), `read` the sha256 of the files that it read by their paths in the plan (None
    for one that is not there), `file` the name of its certificate or file of radii with `bytes` and `sha256`, `facts`
    what the kind of item adds. `upper` and `lower` are None where nothing was proved.
    """

    item: Mapping[str, Any]
    state: State
    read: Mapping[str, str | None]
    upper: float | None = None
    lower: float | None = None
    seconds: float = 0.0
    attempts: int = 1
    message: str = ""
    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    host: str = ""

    @property
    def key(self) -> str:
        """The item's name."""
        return self.item["key"]

    def text(self) -> str:
        """The file of the record; numbers that are not finite become null."""
        return json.dumps({"format": FORMAT, **_plain(asdict(self))}, indent=1) + "\n"

    def line(self) -> str:
        """The line of the index: the same, except what only a second look at one item asks for."""
        stated = {name: value for name, value in asdict(self).items() if name not in ("item", "versions", "host")}
        return json.dumps(_plain({**self.item, **stated}), separators=(", ", ": ")) + "\n"

    @staticmethod
    def of(text: str) -> Record:
        """The record of a file's text; raises ValueError if it is none."""
        try:
            stated = json.loads(text)
            if stated.pop("format") != FORMAT:
                raise ValueError("is no record of a sweep")
            stated["state"] = State(stated["state"])
            record = Record(**{one.name: stated[one.name] for one in fields(Record)})
            _ = record.key
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"is no record of a sweep: {error}") from None
        return record


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
