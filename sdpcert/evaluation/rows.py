"""The table of an evaluation: radii and rows that follow from its samples and its certificates' constants."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.errors import MalformedEvaluation
from sdpcert.evaluation.file import decode
from sdpcert.robustness.from_logits import ErrorBound, curvature_bounds, curved_radii, linear_radii, pair_constants
from sdpcert.running import choices
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
BOUNDS = choices.RUN_BOUNDS
LEVELS = {
    "R": "the real function of the stored weights; logits evaluated in float64, their error added",
    "F": "every IEEE float32 evaluation, sums in any order, convolutions by their definition; its error added",
}


@dataclass(frozen=True)
class ProvedConstant:
    """A certificate: its file (relative to the folder), what it proves, and what two inputs attain.

    `pair` are the classes (y, j) whose difference of logits it is about, None where it is about a whole network.
    """

    file: str
    upper: float
    lower: float
    pair: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Bound(ShortRepr):
    """One stated bound: its certificates, and radii (samples,), rounded down, 0 for wrong classes and ties.

    `constants` (classes, classes) bound the differences of logits; None for an MLP head, whose radii follow from its
    gradient and curvature. `missing` are the pairs without a certificate of their own, which have the others' constant.
    """

    name: str
    certificates: tuple[ProvedConstant, ...]
    constants: Array | None
    radii: Array
    missing: tuple[tuple[int, int], ...] = ()
    seconds: float = 0.0

    @property
    def upper(self) -> float:
        """The largest constant that its certificates prove."""
        return max(c.upper for c in self.certificates)

    @property
    def lower(self) -> float:
        """The largest value that is attained."""
        return max(c.lower for c in self.certificates)


@dataclass(frozen=True)
class Row:
    """Certified accuracy at one radius by one bound, rounded down; attacked accuracy rounded up, None without attack.

    `certified` and `attacked` count samples: proved to keep their right class, and right whatever the attack found.
    """

    radius: float
    bound: str
    certified: int
    accuracy: float
    attacked: int | None
    attacked_accuracy: float | None

    def summary(self) -> dict[str, Any]:
        """The row as plain values, for JSON."""
        counts = {"certified": self.certified, "accuracy": self.accuracy, "under_attack": self.attacked}
        return {"radius": self.radius, "bound": self.bound} | counts | {"accuracy_under_attack": self.attacked_accuracy}


def accuracy_down(count: int, samples: int) -> float:
    """`count / samples` rounded down to six decimals."""
    return (count * 10**6 // samples) / 10**6 if samples else 0.0


def accuracy_up(count: int, samples: int) -> float:
    """`count / samples` rounded up to six decimals."""
    return -(-count * 10**6 // samples) / 10**6 if samples else 0.0


@dataclass(frozen=True, eq=False)
class Computed(ShortRepr):
    """What follows from the samples and the certificates' constants."""

    bounds: tuple[Bound, ...]
    rows: tuple[Row, ...]
    clean: dict[str, Any]
    labels: Array
    logits: Array
    distances: Array | None


def compute(document: Mapping[str, Any]) -> Computed:
    """Radii and rows of a document, from its samples and stated constants.

    Raises `MalformedEvaluation` if parts of it do not fit together.
    """
    table, level = document["samples"], document["level"]
    if level not in LEVELS:
        raise MalformedEvaluation(f"has the unknown level {level!r}")
    classes, count = int(document["data"]["classes"]), int(document["data"]["count"])
    labels = decode(table["labels"], (count,), "<i4")
    logits = decode(table["logits"], (count, classes))
    away = decode(table["from_centre"], (count,))
    if np.any((labels < 0) | (labels >= classes)) or not np.all(away >= 0) or not np.isfinite(logits).all():
        raise MalformedEvaluation("has labels, logits or distances that are out of range")
    if not set(document["errors"]) <= {"float64", "float32", "features"}:
        raise MalformedEvaluation("states errors of evaluation under a name that is not known")
    errors = {key: _error(value) for key, value in document["errors"].items() if value is not None}
    samples = _Samples(labels, logits, away, errors, level, table.get("head"), classes)
    bounds: list[Bound] = []
    for given in document["bounds"]:
        bounds.append(_bound(given, samples, document["head"], bounds))
    if len({b.name for b in bounds}) != len(bounds):
        raise MalformedEvaluation("states a bound twice")
    distances = None
    if document["attack"] is not None:
        distances = decode(table["attacked"], (count,))
        if not np.all(distances >= 0):
            raise MalformedEvaluation("states distances of adversarial points that are negative")
    predictions = logits.argmax(1)
    correct = int((predictions == labels).sum())
    rows = rows_of(bounds, document["radii"], labels, predictions, distances)
    clean = {"correct": correct, "accuracy": accuracy_down(correct, count)}
    return Computed(tuple(bounds), rows, clean, labels, logits, distances)


@dataclass(frozen=True, eq=False)
class _Samples:
    """What radii are computed of."""

    labels: Array
    logits: Array
    away: Array
    errors: Mapping[str, ErrorBound]
    level: str
    head: Mapping[str, Any] | None
    classes: int


def _error(table: Mapping[str, Any]) -> ErrorBound:
    bound = ErrorBound.of(table)
    if not (0 <= bound.offset < math.inf and 0 <= bound.slope < math.inf):
        raise MalformedEvaluation("states errors of evaluation that are negative or not finite")
    return bound


def _bound(given: Mapping[str, Any], samples: _Samples, head: Mapping[str, Any], before: Sequence[Bound]) -> Bound:
    name = given["name"]
    if name not in BOUNDS:
        raise MalformedEvaluation(f"has the unknown bound {name!r}")
    certificates = tuple(
        ProvedConstant(
            c["file"],
            float.fromhex(c["upper"]),
            float.fromhex(c["lower"]),
            _pair(c["pair"]),
        )
        for c in given["certificates"]
    )
    if not certificates or any(not 0 <= c.lower <= c.upper < math.inf for c in certificates):
        raise MalformedEvaluation(
            f"has the bound {name} without a certificate, or with an attained value above the proved one"
        )
    upper = max(c.upper for c in certificates)
    if (name == "pairwise") == any(c.pair is None for c in certificates) or (
        name != "pairwise" and len(certificates) > 1
    ):
        raise MalformedEvaluation(f"has certificates that do not belong to the bound {name}")
    constants: Array | None = None
    missing: tuple[tuple[int, int], ...] = ()
    if name == "pairwise":
        constants, missing = _constants_of_pairs(certificates, before, samples.classes)
    elif name == "sdp" or head["kind"] == "none":
        constants = pair_constants(upper, None, samples.classes)
    elif head["kind"] == "rows":
        rows = decode(head["rows"], (samples.classes, None))
        constants = pair_constants(upper, rows, samples.classes)
    elif head["kind"] != "mlp":
        raise MalformedEvaluation(f"has the unknown head {head['kind']!r}")
    if constants is None:
        radii = _radii_of_mlp(samples, head, upper)
    else:
        missed, spread = samples.errors["float64"].at(samples.away), 0.0
        if samples.level == "F":  # the program's error comes on top of that of the logits in the file
            single = samples.errors["float32"]
            missed, spread = np.nextafter(missed + single.at(samples.away), np.inf), single.slope
        radii = linear_radii(samples.logits, samples.labels, constants, missed, spread)
    return Bound(name, certificates, constants, radii, missing, float(given["seconds"]))


def _pair(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != 2 or any(type(k) is not int for k in given):
        raise MalformedEvaluation(f"has a certificate of the pair {str(given)[:40]}, which is no pair of classes")
    return given[0], given[1]


def _constants_of_pairs(
    certificates: Sequence[ProvedConstant], before: Sequence[Bound], classes: int
) -> tuple[Array, tuple[tuple[int, int], ...]]:
    """The pairs' own constants; for those without a certificate the least of the other bounds'."""
    known = [b.constants for b in before if b.constants is not None]
    constants = np.min(known, axis=0) if known else np.full((classes, classes), np.inf)
    seen: set[tuple[int, int]] = set()
    for c in certificates:
        assert c.pair is not None
        y, j = c.pair
        if not 0 <= y < j < classes or c.pair in seen:
            raise MalformedEvaluation(f"has certificates of classes {c.pair} that do not exist or are there twice")
        seen.add(c.pair)
        constants[y, j] = constants[j, y] = c.upper
    every = [(y, j) for y in range(classes) for j in range(y + 1, classes)]
    return constants, tuple(pair for pair in every if pair not in seen)


def _radii_of_mlp(samples: _Samples, head: Mapping[str, Any], upper: float) -> Array:
    if samples.level != "R" or samples.head is None:
        raise MalformedEvaluation("has an MLP head, whose radii are stated at level R only, with its gradients")
    shape = (len(samples.labels), samples.classes)
    inward, outward = decode(head["inward"], (None, None)), decode(head["outward"], (samples.classes, None))
    curvatures = curvature_bounds(inward, outward, float.fromhex(head["beta"]))
    margins, steepest = decode(samples.head["margins"], shape), decode(samples.head["steepest"], shape)
    missed = samples.errors["features"].at(samples.away)
    return curved_radii(margins, steepest, curvatures, samples.labels, missed, upper)


def contradiction_of(bounds: Sequence[Bound], distances: Array | None) -> str | None:
    """A sentence that names a sample with an adversarial point within a certified radius; None where there is none."""
    if distances is None:
        return None
    for bound in bounds:
        for k in np.flatnonzero((distances <= bound.radii) & (bound.radii > 0)):
            return (
                f"sample {k} has an adversarial point at {float(distances[k])!r}, within the radius "
                f"{float(bound.radii[k])!r} that the bound {bound.name} certifies; please report this network"
            )
    return None


def rows_of(
    bounds: Sequence[Bound], radii: Sequence[float], labels: Array, predictions: Array, distances: Array | None
) -> tuple[Row, ...]:
    """The table: by bound, then by radius."""
    count, right, rows = len(labels), predictions == labels, []
    if any(type(r) is not float or not 0 <= r < math.inf for r in radii):
        raise MalformedEvaluation("states radii that are negative or not finite")
    for bound in bounds:
        for radius in radii:
            certified = int(((bound.radii >= radius) & (bound.radii > 0)).sum())
            attacked = None if distances is None else int((right & ~(distances <= radius)).sum())
            share = None if attacked is None else accuracy_up(attacked, count)
            rows.append(Row(radius, bound.name, certified, accuracy_down(certified, count), attacked, share))
    return tuple(rows)
