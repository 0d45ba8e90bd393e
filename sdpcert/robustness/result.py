"""What `radii` returns: proved radii of inputs, and the table of certified accuracy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdpcert.certificate.document import write_document
from sdpcert.check import Rejected, Unreadable, check_document, document_of
from sdpcert.robustness.statement import FORMAT, Row, centers_of
from sdpcert.running import arguments
from sdpcert.running.messages import quoted
from sdpcert.running.outputs import reads
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Radii(ShortRepr):
    """Radii (n,) of inputs within which the network keeps their right class, rounded down, with their proofs.

    `radius` is 0 where the network is wrong (not `correct`), or nothing is proved. `distance` is that of the nearest
    point with another class that the attack found, rounded up, infinite where there is none. `rows` count inputs at
    each of the radii that were asked for. `inputs` are float64 (n, inputs), `labels` int64 (n,). `level` is "R" (the
    real function) or "F" (every float32 evaluation); `notes` say what a reader of the numbers has to know.
    """

    radius: Array
    correct: Array
    distance: Array
    rows: tuple[Row, ...]
    level: str
    norm: str
    seconds: float
    inputs: Array
    labels: Array
    notes: tuple[str, ...] = ()
    stated: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @staticmethod
    def of(document: Mapping[str, Any]) -> Radii:
        """The radii of a file that is as it has to be: the JSON value of what was proved."""
        entries = document["inputs"]
        attacks = [entry["attack"] for entry in entries]
        said = document["information"]
        notes = said.get("notes")
        return Radii(
            np.array([float.fromhex(entry["radius"]) for entry in entries]),
            np.array([entry["correct"] is True for entry in entries]),
            np.array([np.inf if a is None else float.fromhex(a["distance"]) for a in attacks]),
            tuple(
                Row(float.fromhex(row["radius"]), row["certified"], row["attacked"], len(entries))
                for row in document["rows"]
            ),
            document["level"],
            document["norm"],
            _seconds(said.get("seconds")),
            centers_of(document),
            np.array([entry["label"] for entry in entries], dtype=np.int64),
            tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else (),
            document,
        )

    def certified(self, radius: float) -> float:
        """The share of the inputs that are proved to keep their right class up to a radius."""
        wanted = arguments.number(radius, "radius")
        if not 0 <= wanted < np.inf:
            raise ValueError(f"radius must be a finite number that is not negative, not {radius!r}")
        return float(np.mean(self.correct & (self.radius >= wanted)))

    def document(self) -> dict[str, Any]:
        """The JSON value of the file, as `docs/certificate-format.md` describes it."""
        return dict(self.stated)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all; raises ValueError with one line if that fails."""
        write_document(self.document(), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Radii:
        """The radii of a saved file, all proved again as it is read.

        Raises ValueError with one line that names the file if it is none, or does not hold.
        """
        path = arguments.path(path, "what Radii.load reads")
        name = quoted(path)
        reads(path)
        try:
            document = document_of(path)
        except (Unreadable, Rejected) as error:
            raise ValueError(f"{name}: is no file of radii: {error}") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"{name}: is no file of radii: its format is not {FORMAT!r}")
        result = check_document(document)
        if not result.ok:
            raise ValueError(f"{name}: is a file of radii that do not hold: {result.reason}")
        return cls.of(document)


def _seconds(stated: Any) -> float:
    """How long a file says that it took; 0 if it says nothing of use."""
    try:
        return float(stated) if type(stated) in (int, float) else 0.0
    except OverflowError:  # an integer of hundreds of digits
        return 0.0
