"""What all entries of a file of radii have in common, and the file as `docs/certificate-format.md` describes it."""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.certificate.document import sealed
from sdpcert.certificate.region_network import network_document
from sdpcert.check import needed as checked
from sdpcert.check import radii_claim
from sdpcert.check.reading import values
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Box
from sdpcert.robustness.constants import PairConstant
from sdpcert.robustness.entry import Entry
from sdpcert.robustness.needed import Errors
from sdpcert.robustness.normalisation import Normalisation
from sdpcert.robustness.regions_of_radii import Norm
from sdpcert.running.choices import Level
from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
FORMAT, VERSION = "sdpcert-radii", 1


@dataclass(frozen=True)
class Row:
    """Counts at one radius: inputs that are proved to keep their right class, and right ones that no attack moved.

    `attacked` is None if there was no attack; `count` is that of all inputs.
    """

    radius: float
    certified: int
    attacked: int | None
    count: int

    @property
    def accuracy(self) -> float:
        """The certified share, rounded down to six decimals."""
        return (self.certified * 10**6 // self.count) / 10**6

    @property
    def attacked_accuracy(self) -> float | None:
        """The share that no attack found wrong, rounded up to six decimals."""
        return None if self.attacked is None else -(-self.attacked * 10**6 // self.count) / 10**6

    def summary(self) -> dict[str, Any]:
        """The row as plain values, for JSON."""
        counts = {"certified": self.certified, "accuracy": self.accuracy, "under_attack": self.attacked}
        return {"radius": self.radius} | counts | {"accuracy_under_attack": self.attacked_accuracy}

    def document(self) -> dict[str, Any]:
        """The row as the format page describes it."""
        return {"radius": self.radius.hex(), "certified": self.certified, "attacked": self.attacked}


def rows_of(entries: Sequence[Entry], radii: Sequence[float], attacked: bool) -> tuple[Row, ...]:
    """The table: one row for each radius."""
    correct = np.array([entry.correct is True for entry in entries])
    radius = np.array([entry.radius for entry in entries])
    distance = np.array([np.inf if entry.attack is None else entry.attack.distance for entry in entries])
    rows = []
    for wanted in radii:
        certified = int(np.sum(correct & (radius >= wanted)))
        left = int(np.sum(correct & (distance > wanted))) if attacked else None
        rows.append(Row(wanted, certified, left, len(entries)))
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class Statement(ShortRepr):
    """What a file of radii is about: `form` is that of the network with differences of its outputs.

    The level is "F" if there are `errors` of float32 evaluation.
    """

    form: StackedForm
    norm: Norm
    within: Box | None = None
    errors: Errors | None = None
    normalisation: Normalisation | None = None

    @property
    def level(self) -> Level:
        """The level of the claims."""
        return "R" if self.errors is None else "F"

    @property
    def classes(self) -> int:
        """How many outputs there are."""
        return self.form.groups[-2].size

    def document(
        self,
        entries: Sequence[Entry],
        constants: Sequence[PairConstant] = (),
        radii: Sequence[float] = (),
        attacked: bool = True,
        information: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The JSON value of a file; `attacked` says whether there was an attack."""
        network = network_document(self.form)
        rows = rows_of(entries, radii, attacked)
        labels = [entry.label for entry in entries]
        data = data_hash(np.stack([entry.center for entry in entries]), np.array(labels))
        return sealed(
            {
                "format": FORMAT,
                "version": VERSION,
                "claim": self._meaning(entries, rows, network["sha256"], data).claim(),
                "norm": self.norm,
                "level": self.level,
                "network": network,
                "normalisation": None if self.normalisation is None else self.normalisation.document(),
                "within": None if self.within is None else _ends(self.within),
                "errors": None if self.errors is None else self.errors.document(),
                "constants": [constant.document() for constant in constants],
                "inputs": [entry.document() for entry in entries],
                "data_sha256": data,
                "radii": [float(radius).hex() for radius in radii],
                "rows": [row.document() for row in rows],
                "information": dict(information or {}),
            }
        )

    def _meaning(self, entries: Sequence[Entry], rows: Sequence[Row], network: str, data: str) -> radii_claim.Meaning:
        rights = [entry.correct for entry in entries]
        errors, normalisation, within = self.errors, self.normalisation, self.within
        return radii_claim.Meaning(
            radii_claim.Counts(len(rights), rights.count(True), rights.count(None)),
            self.form.inputs,
            self.classes,
            self.norm,
            None
            if normalisation is None
            else radii_claim.Normalisation(array("d", normalisation.mean), array("d", normalisation.std)),
            None if within is None else (array("d", within.low), array("d", within.high)),
            None
            if errors is None
            else checked.Errors(
                errors.bound.offset,
                errors.bound.slope,
                None if errors.center is None else array("d", errors.center),
            ),
            tuple(radii_claim.Row(row.radius, row.certified, row.attacked) for row in rows),
            network,
            data,
        )


def centers_of(document: Mapping[str, Any]) -> Array:
    """The inputs (n, inputs) of a file that the checker has read."""
    inputs = document["network"]["inputs"]
    return np.stack([np.array(values(entry["center"], "center", "d", inputs)) for entry in document["inputs"]])


def data_hash(inputs: Array, labels: Array) -> str:
    """The hash of inputs (n, inputs) and labels (n,) as the format page defines it."""
    digest = hashlib.sha256(b"sdpcert-data-1" + struct.pack("<2q", *inputs.shape))
    digest.update(np.ascontiguousarray(inputs, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    return digest.hexdigest()


def _ends(box: Box) -> dict[str, Any]:
    return {"low": encode(box.low), "high": encode(box.high)}
