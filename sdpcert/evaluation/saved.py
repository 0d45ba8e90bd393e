"""Saved evaluations: certified accuracy with everything that it rests on, proved again when a file is read.

`evaluation.json` of a run folder has the logits, what evaluating them may have lost, and the certificates of the
constants. `load_evaluation` believes none of its results: certificates are proved again, hashes are compared, and every
radius and row is computed again with directed rounding. That needs neither torch nor the data; `sdpcert evaluate`
computes the logits and `sdpcert.evaluation.again.recertify` computes them again from the weights and the images.

Labels, logits and adversarial points are what the file says until `recertify` has compared them with the data. What
nobody can prove are `STATEMENTS`: how long it took, with which program, and what its user was told.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.errors import EvaluationRejected as EvaluationRejected
from sdpcert.errors import MalformedEvaluation, UnreadableEvaluation
from sdpcert.evaluation.apart import check_all
from sdpcert.evaluation.file import (
    CERTIFICATES,
    NAME,
    canonical,
    read_document,
)
from sdpcert.evaluation.rows import BOUNDS, LEVELS, Bound, Row, compute, contradiction_of
from sdpcert.running.outputs import reads
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Fields that nothing is computed from: statements of the run that no verification compares, only their types.
STATEMENTS = ("seconds", "bounds[].seconds", "left_out{}", "notes[]", "attack", "command", "seed", "versions")
KEYS = (
    *("format", "sha256", "model", "data", "level", "radii", "bounds", "left_out", "notes", "attack", "samples"),
    *("seed", "command", "versions", "head", "errors", "clean", "rows", "seconds"),
)


@dataclass(frozen=True, eq=False)
class Evaluation(ShortRepr):
    """An evaluation that was verified; `rows` are by bound, then by radius. `distances` (samples,) are those of the
    adversarial points that were found, infinity where none was.
    """

    path: Path
    level: str
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    samples: int
    correct: int
    clean_accuracy: float
    bounds: tuple[Bound, ...]
    rows: tuple[Row, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)
    labels: Array = field(repr=False)
    logits: Array = field(repr=False)
    distances: Array | None = field(repr=False)

    @property
    def radii(self) -> tuple[float, ...]:
        """The radii of the rows."""
        return tuple(self.document["radii"])

    def row(self, bound: str, radius: float) -> Row:
        """One row; raises KeyError where there is none."""
        for row in self.rows:
            if row.bound == bound and row.radius == radius:
                return row
        raise KeyError((bound, radius))

    def summary(self) -> dict[str, Any]:
        """Everything but the samples, as plain values for JSON."""
        keys = ("seconds", "versions", "command", "seed", "attack")
        return {
            "evaluation": str(self.path),
            "level": self.level,
            "level_means": LEVELS[self.level],
            "model": dict(self.model),
            "data": dict(self.data),
            "samples": self.samples,
            "correct": self.correct,
            "clean_accuracy": self.clean_accuracy,
            "bounds": [
                {"name": b.name, "upper": b.upper, "lower": b.lower, "certificates": len(b.certificates)}
                | {"missing": [list(p) for p in b.missing], "seconds": b.seconds}
                | {"median_radius": float(np.median(b.radii)), "mean_radius": float(np.mean(b.radii))}
                for b in self.bounds
            ],
            "rows": [row.summary() for row in self.rows],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        } | {key: self.document[key] for key in keys}


def load_evaluation(path: str | os.PathLike[str]) -> Evaluation:
    """Read `evaluation.json` (or the run folder with it) and verify all of it.

    Raises `EvaluationRejected` (a ValueError) with one line, the file and the reason, if a byte of the file was
    changed, a certificate is missing, changed or not proved, the weights beside it are others, or a number differs from
    what is computed again; ValueError where there is no file to read.
    """
    return read_evaluation(path, prove=True)


def read_evaluation(path: str | os.PathLike[str], prove: bool) -> Evaluation:
    """`load_evaluation`; without `prove` the certificates, which the caller has just proved, are only compared."""
    place = Path(path)
    place = place / NAME if place.is_dir() else place
    try:
        document = read_document(place)
        return _evaluation(place, document, prove)
    except UnreadableEvaluation as error:
        raise ValueError(f"{place}: {error}") from None
    except MalformedEvaluation as error:
        raise EvaluationRejected(f"{place}: {error}") from None
    except (KeyError, TypeError, IndexError, OverflowError, AttributeError, ValueError, RecursionError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error).split("\n")[0][:200]
        raise EvaluationRejected(f"{place}: is no evaluation that this version can read: {what}") from None


def _evaluation(place: Path, document: dict[str, Any], prove: bool) -> Evaluation:
    _check_statements(document)
    _check_weights(place, document)
    _check_proofs(place, document["bounds"], prove)
    computed = compute(document)
    contradiction = contradiction_of(computed.bounds, computed.distances)
    if contradiction:
        raise MalformedEvaluation(contradiction)
    if canonical(document["rows"]) != canonical([vars(row) for row in computed.rows]):
        stated = {canonical(row) for row in document["rows"]}
        row = next((r for r in computed.rows if canonical(vars(r)) not in stated), None)
        raise MalformedEvaluation(f"states rows that differ from those computed again: {row}")
    if canonical(document["clean"]) != canonical(computed.clean):
        raise MalformedEvaluation(
            f"states the clean accuracy {document['clean']}, computed again it is {computed.clean}"
        )
    return Evaluation(
        place,
        document["level"],
        document["model"],
        document["data"],
        len(computed.labels),
        computed.clean["correct"],
        computed.clean["accuracy"],
        computed.bounds,
        computed.rows,
        document["left_out"],
        tuple(document["notes"]),
        document,
        computed.labels,
        computed.logits,
        computed.distances,
    )


def _check_statements(document: Mapping[str, Any]) -> None:
    """Raise `MalformedEvaluation` for keys that no version writes, and for statements that are not of their kind."""
    unknown = sorted(set(document) - set(KEYS))
    if unknown:
        raise MalformedEvaluation(f"has the unknown key {unknown[0][:40]!r}")
    texts = {"command": [document["command"]], "notes": document["notes"]}
    texts |= {key: list(document[key].values()) for key in ("versions", "left_out")}
    for key, found in texts.items():
        if type(found) is not list or any(type(text) is not str for text in found):
            raise MalformedEvaluation(f"has something else than text under {key!r}")
    seconds = [document["seconds"], *(bound["seconds"] for bound in document["bounds"])]
    if any(type(value) not in (int, float) or value < 0 for value in seconds) or type(document["seed"]) is not int:
        raise MalformedEvaluation("has a duration or a seed that is no number")
    if not set(document["left_out"]) <= set(BOUNDS) - {bound["name"] for bound in document["bounds"]}:
        raise MalformedEvaluation("leaves out bounds that it states, or that there are not")


def _check_weights(place: Path, document: Mapping[str, Any]) -> None:
    weights = place.parent / "model.safetensors"
    if weights.is_file():
        reads(weights)
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if found != document["model"]["weights_sha256"]:
            raise MalformedEvaluation(f"is about other weights than {weights}")


def _check_proofs(place: Path, bounds: Sequence[Mapping[str, Any]], prove: bool) -> None:
    """Compare every certificate's hash, prove it again, and compare what it says with what is stated."""
    entries = [entry for bound in bounds for entry in bound["certificates"]]
    paths = []
    for entry in entries:
        name = entry["file"]
        if not isinstance(name, str) or not re.fullmatch(rf"{CERTIFICATES}/[a-z0-9][a-z0-9.-]*\.json", name):
            raise MalformedEvaluation(f"names a certificate {name!r}, which is no file of its folder {CERTIFICATES}")
        path = place.parent / name
        reads(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise MalformedEvaluation(f"states another hash than that of {name}")
        paths.append(path)
    if len(set(paths)) != len(paths):
        raise MalformedEvaluation("names one certificate twice")
    if not prove:
        return
    for entry, path, result in zip(entries, paths, check_all(paths), strict=True):
        if not result.ok:
            raise MalformedEvaluation(f"rests on {path.name}, which is rejected: {result.reason}")
        if result.upper != float.fromhex(entry["upper"]):
            raise MalformedEvaluation(
                f"states the constant {entry['upper']} for {path.name}, which proves {result.upper!r}"
            )
        if (result.lower or 0.0) != float.fromhex(entry["lower"]):
            raise MalformedEvaluation(f"states an attained value that is not that of {path.name}")
