"""The file of radii as `docs/certificate-format.md` describes it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.certificate.document import sealed
from sdpcert.certificate.region_network import network_document
from sdpcert.robustness.constants import PairConstant
from sdpcert.robustness.entry import Entry
from sdpcert.robustness.needed import Errors
from sdpcert.robustness.request import Request
from sdpcert.running.encoding import encode

Array = np.ndarray
FORMAT, VERSION = "sdpcert-radii", 1


@dataclass(frozen=True)
class Row:
    """Counts at one radius: inputs that are proved to keep their right class, and that no attack found wrong.

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


def data_hash(inputs: Array, labels: Array) -> str:
    """The hash of inputs (n, inputs) and labels (n,) as the format page defines it."""
    digest = hashlib.sha256(b"sdpcert-data-1" + struct.pack("<2q", *inputs.shape))
    digest.update(np.ascontiguousarray(inputs, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    return digest.hexdigest()


def document_of(
    request: Request,
    entries: Sequence[Entry],
    constants: Sequence[PairConstant],
    errors: Errors | None,
    information: Mapping[str, Any],
) -> dict[str, Any]:
    """The JSON value of the file; `information["attack"]` is None if there was none."""
    within, normalisation = request.within, request.normalisation
    document = {
        "format": FORMAT,
        "version": VERSION,
        "norm": request.norm,
        "level": request.level,
        "network": network_document(request.form),
        "normalisation": None if normalisation is None else normalisation.document(),
        "within": None if within is None else {"low": encode(within.low), "high": encode(within.high)},
        "errors": None if errors is None else errors.document(),
        "constants": [constant.document() for constant in constants],
        "inputs": [entry.document() for entry in entries],
        "data_sha256": data_hash(request.inputs, request.labels),
        "radii": [radius.hex() for radius in request.radii],
        "rows": [row.document() for row in rows_of(entries, request.radii, information["attack"] is not None)],
        "information": dict(information),
    }
    return sealed({"format": FORMAT, "version": VERSION, "claim": claim_of(document), **document})


def claim_of(document: Mapping[str, Any]) -> str:
    """The claim in words."""
    return ""
