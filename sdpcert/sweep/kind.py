"""What a sweep can do with a network: its options, what of them goes together, and what it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpcert.network.graph import Network
from sdpcert.sweep.option import Option

#: Options of `sdpcert.load`, for files that hold weights alone.
READING = ("activation", "orientation")
#: Options that are not in the names of files.
UNNAMED = ("inputs", *READING)


@dataclass(frozen=True)
class Result:
    """What came out: the state ("proved" or "unproved"), facts for the record, and what writes the file."""

    state: str
    facts: Mapping[str, Any]
    save: Callable[[Path], None]


class Kind(ABC):
    """What an item does. `name` is what a plan says, `ending` that of the files, `options` what it may state.

    Options multiply in their order here: the last one changes fastest.
    """

    name: str
    ending: str
    options: Mapping[str, Option]

    @abstractmethod
    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError or TypeError, with one sentence, for options that are wrong, or do not go together."""

    @abstractmethod
    def do(self, network: Network, options: Mapping[str, Any], base: Path) -> Result:
        """Do it; `base` is the folder that paths among the options are relative to."""

    def differing(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {name: value for name, value in options.items() if value != self.options[name].default}

    def grouped(self, indices: list[int], each: int | None) -> list[Any]:
        """The values of `index` for these inputs of a file; `each` is how many of them one item has."""
        if each is not None:
            raise ValueError(f"each is no key of a sweep that does {self.name!r}: one item has one input")
        return list(indices)

    def words(self, options: Mapping[str, Any]) -> str:
        """The options in the name of a file."""
        shown = (self.options[name].shown(name, value) for name, value in options.items() if name not in UNNAMED)
        return "".join(f"--{one}" for one in shown)
