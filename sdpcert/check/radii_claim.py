"""What a file of radii says in words: its claim, and what a checker says once it is proved."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .needed import Errors
from .reading import little_endian

NORMS = {"l2": "Euclidean norm", "linf": "maximum norm"}
#: Numbers that are written one by one; of more, that are not all the same, the hash is.
MOST_WRITTEN = 16


@dataclass(frozen=True)
class Row:
    """How many inputs are certified at a radius, and how many correct ones an attack leaves (None: there was none)."""

    radius: float
    certified: int
    attacked: int | None


@dataclass(frozen=True)
class Normalisation:
    """The network subtracts `mean` from its inputs and divides by `std` before the model.

    Both have one number for each of as many runs of equally many inputs, such as the channels of an image.
    """

    mean: array[float]
    std: array[float]


@dataclass(frozen=True)
class Counts:
    """How many inputs there are, how many are correct, and of how many nothing is claimed."""

    inputs: int
    correct: int
    open: int


@dataclass(frozen=True)
class Meaning:
    """Everything that the words of a file of radii depend on."""

    counts: Counts
    numbers: int
    classes: int
    norm: str
    normalisation: Normalisation | None
    box: tuple[array[float], array[float]] | None
    errors: Errors | None
    rows: tuple[Row, ...]
    network_sha256: str
    data_sha256: str

    def claim(self) -> str:
        """The sentences that the file has to state."""
        counts = self.counts
        where = f" and within {self._box()}" if self.box is not None else ""
        return (
            f"Of the {_many(counts.inputs, 'input')} below ({_many(self.numbers, 'number')} each, {self.classes} "
            f"classes, data sha256 {self.data_sha256}), {counts.correct} are correct: at each of these, and at all "
            f"inputs within its radius in the {NORMS[self.norm]}{where}, the network below (sha256 "
            f"{self.network_sha256}) has its greatest output at the label, alone, in {self._arithmetic()}. "
            f"{_capital(self._read())}. {_capital(self._certified())}. {counts.inputs - counts.correct - counts.open} "
            f"are wrong; of {counts.open} nothing is claimed."
        )

    def proved(self, said: Sequence[str]) -> str:
        """What holds, in one line; `said` is how it was proved."""
        counts = self.counts
        notes = [
            NORMS[self.norm],
            self._arithmetic(),
            *([] if self.box is None else [f"inputs within {self._box()}"]),
            f"{'' if self.normalisation is None else 'stated and not proved: '}{self._read()}",
            *([] if not counts.open else [f"nothing claimed of {counts.open}"]),
            *said,
            f"network sha256 {self.network_sha256}",
            f"data sha256 {self.data_sha256}",
            *([] if self.errors is None else ["stated and not proved: how far float32 is off"]),
        ]
        return f"{counts.correct} of {_many(counts.inputs, 'input')} right; {self._certified()} ({'; '.join(notes)})"

    def _certified(self) -> str:
        rows = [
            f"{row.radius!r}: {row.certified}{'' if row.attacked is None else f' (an attack leaves {row.attacked})'}"
            for row in self.rows
        ]
        return f"certified at radius {', '.join(rows)}" if rows else "no radius asked for"

    def _arithmetic(self) -> str:
        if self.errors is None:
            return "real arithmetic"
        return (
            "float32 arithmetic that is off by a vector of Euclidean norm at most "
            f"{self.errors.offset!r} + {self.errors.slope!r} |x - x0|, x0 = "
            f"{'each of these inputs' if self.errors.center is None else _numbers(self.errors.center)}"
        )

    def _box(self) -> str:
        low, high = self.box or ((), ())
        return f"the box from {_numbers(low)} to {_numbers(high)}"

    def _read(self) -> str:
        own = self.normalisation
        if own is None:
            return "the model reads the inputs as they are"
        return f"the network first subtracts the mean {_numbers(own.mean)} and divides by {_numbers(own.std)}"


def _numbers(numbers: Iterable[float]) -> str:
    """An array in words: one number if all are the same, and not too many of them, exactly."""
    found = array("d", numbers)
    if len(set(map(repr, found))) == 1:
        return repr(found[0])
    if len(found) <= MOST_WRITTEN:
        return f"[{', '.join(map(repr, found))}]"
    return f"{len(found)} numbers with sha256 {hashlib.sha256(little_endian(found)).hexdigest()}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
