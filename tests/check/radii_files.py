"""Files of radii of tiny networks, built by the contract: bounds of `regions`, splits and everything else written here.

The writer divides a region until the bounds decide; it cares for no speed, and every number it needs beyond bounds is
computed in rational arithmetic from what the format page says.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.certificate.region_network import network_document
from sdpcert.network.differences import pairs_of_classes, with_differences
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Split
from sdpcert.regions.region import Ball, Box, Region
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from tests.check.branching import condition
from tests.check.covers import Document, pack, unpack

Array = np.ndarray
MOST_PIECES = 200


@dataclass
class Writer:
    """Writes files of radii of a network of rectifiers, or another activation, given by its layers (weights, bias).

    `errors` is (offset, slope, center) at level F. Only pieces of rectifiers are split.
    """

    layers: list[tuple[Array, Array]]
    activation: str = "relu"
    norm: str = "l2"
    within: tuple[Array, Array] | None = None
    errors: tuple[float, float, Array] | None = None
    normalisation: tuple[list[float], list[float]] | None = None
    radii: tuple[float, ...] = (0.0, 0.1)
    form: StackedForm = field(init=False)

    def __post_init__(self) -> None:
        self.layers = [(np.array(w, dtype=float), np.array(b, dtype=float)) for w, b in self.layers]
        net = Network.mlp([w for w, _ in self.layers], [b for _, b in self.layers], self.activation)
        self.form = with_differences(net)

    @property
    def classes(self) -> int:
        return len(self.layers[-1][1])

    @property
    def inputs(self) -> int:
        return self.layers[0][0].shape[1]

    def outputs(self, point: Array) -> Array:
        """The outputs of a point in float64."""
        z, function = np.asarray(point, dtype=float), np.tanh if self.activation == "tanh" else lambda v: v * (v > 0)
        for weights, bias in self.layers[:-1]:
            z = function(weights @ z + bias)
        return self.layers[-1][0] @ z + self.layers[-1][1]

    # ---------------------------------------------------------------- proofs

    def region(self, center: Array, radius: float) -> Region:
        """The region of an entry."""
        low, high = self.within or (np.full(self.inputs, -np.inf), np.full(self.inputs, np.inf))
        if self.norm == "l2":
            return Ball(center, radius, within=None if self.within is None else Box(low, high))
        ends = [[outward(Fraction(c) + sign * Fraction(radius), sign) for c in center] for sign in (-1, 1)]
        return Box(np.maximum(ends[0], low), np.minimum(ends[1], high))

    def limit(self, center: Array, radius: float) -> float:
        """What margins have to be above on the region, with some room."""
        if self.errors is None:
            return 0.0
        offset, slope, middle = self.errors
        reach = radius if self.norm == "l2" else radius * np.sqrt(self.inputs)
        return float(np.sqrt(2) * (offset + slope * (np.linalg.norm(center - middle) + reach)) * (1 + 1e-9))

    def pieces(self, center: Array, label: int, radius: float, classes: list[int] | None = None) -> Document:
        """A proof by pieces; AssertionError if bounds and splits do not prove it."""
        others = [j for j in range(self.classes) if j != label] if classes is None else classes
        limit = self.limit(center, radius)
        state = State.of(self.form, self.region(center, radius))
        written: list[Document] = []
        waiting: list[tuple[State, int | None, str | None]] = [(state, None, None)]
        while waiting:
            state, parent, side = waiting.pop(0)
            state, steps = tighten(state, Effort(iterations=20), state.decisions[-1] if parent is not None else None)
            number = len(written)
            end: Document = {"kind": "empty"} if state.is_empty else {"kind": "separated"}
            if not state.is_empty and not all(self.ahead(state, label, j) > limit for j in others):
                group, neuron = self._widest(state)
                split = Split(group, neuron, 0.0)
                end = split.document()
                for way in ("below", "above"):
                    waiting.append((state.on_side(split, way), number, way))
            written.append({"parent": parent, "side": side, "steps": [step.document() for step in steps], "end": end})
            assert len(written) < MOST_PIECES
        return {"kind": "pieces", "classes": others, "pieces": written}

    def ahead(self, state: State, label: int, other: int) -> float:
        """The proved lower bound of a margin on a piece."""
        pair = pairs_of_classes(self.classes).index((min(label, other), max(label, other)))
        return float(state.low[-1][pair] if label < other else -state.high[-1][pair])

    def _widest(self, state: State) -> tuple[int, int]:
        found = (0.0, 0, 0)
        for g in range(1, len(self.layers)):
            low, high = state.low[g - 1], state.high[g - 1]
            for i in np.flatnonzero((low < 0) & (high > 0)):
                found = max(found, (float(min(-low[i], high[i])), g, int(i)))
        assert found[0] > 0, "nothing is left to be split"
        return found[1:]

    # ---------------------------------------------------------------- constants

    def constant(self, one: int, other: int) -> Document:
        """A constant of a pair of classes on all inputs."""
        rho, multipliers = self._condition(one, other)
        arrays = [pack(m) for m in multipliers] + [pack([])]
        return {"classes": [one, other], "rho": float(rho).hex(), "exponent": 0, "multipliers": arrays}

    def constant_value(self, one: int, other: int) -> float:
        """That constant."""
        return float(np.sqrt(self._condition(*sorted((one, other)))[0]))

    def _condition(self, one: int, other: int) -> tuple[float, list[Array]]:
        weights = self.layers[-1][0]
        layers = [*self.layers[:-1], (weights[[one]] - weights[[other]], np.zeros(1))]
        return condition(layers, [(np.zeros(len(b)), np.ones(len(b))) for _, b in self.layers[:-1]])

    # ---------------------------------------------------------------- entries and file

    def entry(
        self, center: Any, label: int, radius: float, proofs: list[Document] | None = None, attack: Any = None
    ) -> Document:
        """An entry of a correct input; proofs are by pieces unless given. `attack` is a point."""
        center = np.array(center, dtype=float)
        if proofs is None:
            proofs = [self.pieces(center, label, radius)] if radius else []
        stated = None if attack is None else {"point": pack(attack), "distance": self.distance(center, attack).hex()}
        return {
            "center": pack(center),
            "label": label,
            "correct": True,
            "radius": float(radius).hex(),
            "proofs": proofs,
            "attack": stated,
        }

    def wrong(self, center: Any, label: int) -> Document:
        """An entry of an input that is not correct."""
        return self.entry(center, label, 0.0) | {"correct": False}

    def distance(self, center: Array, point: Any) -> float:
        """The distance of an attack, rounded up."""
        steps = np.asarray(point, dtype=float) - center
        size = np.linalg.norm(steps) if self.norm == "l2" else np.max(np.abs(steps))
        return float(np.nextafter(size * (1 + 1e-12), np.inf))

    def file(self, entries: list[Document], constants: list[Document] | None = None) -> Document:
        """The file."""
        errors = None
        if self.errors is not None:
            offset, slope, middle = self.errors
            errors = {"offset": float(offset).hex(), "slope": float(slope).hex(), "center": pack(middle)}
        normalisation = None
        if self.normalisation is not None:
            mean, std = ([float(x).hex() for x in numbers] for numbers in self.normalisation)
            normalisation = {"mean": mean, "std": std}
        within = None if self.within is None else {"low": pack(self.within[0]), "high": pack(self.within[1])}
        document = {
            "format": "sdpcert-radii",
            "version": 1,
            "claim": "",
            "norm": self.norm,
            "level": "R" if self.errors is None else "F",
            "network": network_document(self.form),
            "normalisation": normalisation,
            "within": within,
            "errors": errors,
            "constants": constants or [],
            "inputs": entries,
            "data_sha256": "",
            "radii": [float(r).hex() for r in self.radii],
            "rows": [],
            "information": {"seconds": 1.5, "attack": None},
        }
        return completed(document)


def completed(document: Document) -> Document:
    """The document with the hash, the rows and the claim that follow from the rest, in place."""
    entries, inputs = document["inputs"], document["network"]["inputs"]
    centers = b"".join(unpack(entry["center"]).tobytes() for entry in entries)
    labels = np.array([entry["label"] for entry in entries], dtype="<i8").tobytes()
    head = b"sdpcert-data-1" + struct.pack("<2q", len(entries), inputs)
    document["data_sha256"] = hashlib.sha256(head + centers + labels).hexdigest()
    right = [entry for entry in entries if entry["correct"]]
    attacks = [float.fromhex(entry["attack"]["distance"]) for entry in right if entry["attack"]]
    document["rows"] = [
        {
            "radius": radius,
            "certified": sum(float.fromhex(entry["radius"]) >= float.fromhex(radius) for entry in right),
            "attacked": len(right) - sum(d <= float.fromhex(radius) for d in attacks) if attacks else None,
        }
        for radius in document["radii"]
    ]
    return with_claim(document)


def with_claim(document: Document) -> Document:
    """The document with the claim that follows from all else, in place."""

    def stated(numbers: Array) -> str:
        if len({repr(float(x)) for x in numbers}) == 1:
            return repr(float(numbers[0]))
        if len(numbers) <= 16:
            return "[" + ", ".join(repr(float(x)) for x in numbers) + "]"
        return f"{len(numbers)} numbers with sha256 {hashlib.sha256(numbers.astype('<f8').tobytes()).hexdigest()}"

    entries, net, within = document["inputs"], document["network"], document["within"]
    rights = [entry["correct"] for entry in entries]
    count, inputs, classes = len(entries), net["inputs"], net["groups"][-2]["size"]
    right, open_ = rights.count(True), rights.count(None)
    norm = {"l2": "Euclidean norm", "linf": "maximum norm"}[document["norm"]]
    where = ""
    if within is not None:
        where = f" and within the box from {stated(unpack(within['low']))} to {stated(unpack(within['high']))}"
    arithmetic = "real arithmetic"
    if document["errors"] is not None:
        offset, slope = (float.fromhex(document["errors"][key]) for key in ("offset", "slope"))
        center = document["errors"]["center"]
        arithmetic = (
            f"float32 arithmetic that is off by a vector of Euclidean norm at most {offset!r} + {slope!r} |x - x0|, "
            f"x0 = {'each of these inputs' if center is None else stated(unpack(center))}"
        )
    reads = "The model reads the inputs as they are"
    if document["normalisation"] is not None:
        mean, std = (
            stated(np.array([float.fromhex(x) for x in document["normalisation"][key]])) for key in ("mean", "std")
        )
        reads = f"The network first subtracts the mean {mean} and divides by {std}"
    rows = [
        f"{float.fromhex(row['radius'])!r}: {row['certified']}"
        + ("" if row["attacked"] is None else f" (an attack leaves {row['attacked']})")
        for row in document["rows"]
    ]
    certified = "Certified at radius " + ", ".join(rows) if rows else "No radius asked for"
    document["claim"] = (
        f"Of the {count} input{'s' * (count != 1)} below ({inputs} number{'s' * (inputs != 1)} each, {classes} "
        f"classes, data sha256 {document['data_sha256']}), {right} are correct: at each of these, and at all inputs "
        f"within its radius in the {norm}{where}, the network below (sha256 {net['sha256']}) has its greatest output "
        f"at the label, alone, in {arithmetic}. {reads}. {certified}. {count - right - open_} are wrong; of {open_} "
        "nothing is claimed."
    )
    return document


def outward(number: Fraction, sign: int) -> float:
    """The float64 nearest to a number on one of its sides."""
    near = float(number)
    if (near - number) * sign < 0:
        near = float(np.nextafter(near, sign * np.inf))
    return near
