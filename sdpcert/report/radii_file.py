"""Saved radii, proved again as they are read: what tables, figures and pages show of them."""

from __future__ import annotations

import math
import statistics
from array import array
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.check import CheckResult, forward_floating, network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.reading import values
from sdpcert.report.pictures import image_shape
from sdpcert.robustness import Radii
from sdpcert.robustness.statement import FORMAT as FORMAT
from sdpcert.robustness.statement import Row

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class RadiiFile:
    """One file of radii that was just proved again; what stands under `information` is what its writer said."""

    path: Path
    verdict: CheckResult
    document: dict[str, Any] = field(repr=False)
    file_hash: str
    digest: str

    @property
    def name(self) -> str:
        """A short name of the network: the source's file name without ending."""
        name = Path(self.source.replace("\\", "/")).name
        for ending in (".onnx", ".npz", ".mat", ".safetensors"):
            name = name.removesuffix(ending)
        return name or "network"

    @property
    def source(self) -> str:
        """The file or module that the network came from, as the run states it."""
        return self.stated("model", str) or "network"

    @property
    def norm(self) -> str:
        """The norm of the radii, "l2" or "linf"."""
        return self.document["norm"]

    @property
    def level(self) -> str:
        """The execution level, "R" or "F"."""
        return self.document["level"]

    @cached_property
    def proved(self) -> Radii:
        """What the file holds, as `radii` returns it."""
        return Radii.of(self.document)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The counts at each radius of the file."""
        return self.proved.rows

    @property
    def radius(self) -> Array:
        """The proved radius of each input, 0 where it is not right."""
        return self.proved.radius

    @property
    def correct(self) -> Array:
        """Whether each input has its label's class for certain."""
        return self.proved.correct

    @property
    def labels(self) -> Array:
        """The label of each input."""
        return self.proved.labels

    @property
    def attacked(self) -> bool:
        """Whether there was an attack."""
        return any(row.attacked is not None for row in self.rows)

    @property
    def distance(self) -> Array:
        """The distance of the attack on each input: infinite where it found nothing, 0 where the input is not right."""
        return np.where(self.correct, self.proved.distance, 0.0)

    @property
    def largest_tried(self) -> bool:
        """Whether the largest radii were looked for, and not only those of the table, as the run states it."""
        return self.stated("tried", list) is None

    @property
    def median(self) -> float:
        """The lower median of the radii: at least half of the inputs have it."""
        return statistics.median_low(self.radius.tolist())

    @property
    def clean(self) -> float:
        """The share of the inputs that have their label's class."""
        return float(np.sum(self.correct)) / len(self.correct)

    @property
    def inputs(self) -> int:
        """How many numbers the network reads."""
        return self.document["network"]["inputs"]

    @property
    def within(self) -> str | None:
        """The box that all inputs of the claim lie in, in words; None if there is none."""
        stated = self.document["within"]
        if stated is None:
            return None
        low, high = (np.array(values(stated[end], end, "d", self.inputs)) for end in ("low", "high"))
        if np.all(low == low[0]) and np.all(high == high[0]):
            return f"[{low[0]:g}, {high[0]:g}]"
        return "a box that the file states"

    @property
    def coordinates(self) -> str:
        """The coordinates that the radii are in, in words."""
        if self.document["normalisation"] is None:
            return "those that the network reads; nothing is normalised before it"
        return "those of the inputs before (x - mean) / std, which is part of the network of the claim"

    def center(self, number: int) -> Array:
        """The input with a number."""
        return self.proved.inputs[number]

    def point(self, number: int) -> Array | None:
        """The adversarial point of the input with a number, None if the attack found none."""
        attack = self.document["inputs"][number]["attack"]
        return None if attack is None else np.array(values(attack["point"], "point", "d", self.inputs))

    @cached_property
    def _network(self) -> FloatingNetwork:
        return FloatingNetwork(network.read(self.document["network"], "network"))

    def class_beside(self, label: int, point: Array) -> int:
        """The class other than the label whose output is largest at a point, as far as floating point tells."""
        low, high = forward_floating.margins(self._network, array("d", point))
        differences = [float(a) + float(b) for a, b in zip(low, high, strict=True)]
        classes = (1 + math.isqrt(1 + 8 * len(differences))) // 2
        lost = [classes * (y == label) for y in range(classes)]
        for (y, j), difference in zip(combinations(range(classes), 2), differences, strict=True):
            lost[j if difference > 0 else y] += 1
        return lost.index(min(lost))

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """The shape of an input as an image, (rows, columns) or (3, rows, columns); None if it is no image."""
        return image_shape(self.inputs, self.stated("input_shape", list))

    def stated(self, key: str, kind: type | tuple[type, ...]) -> Any:
        """An entry of `information` if it has the type, else None."""
        value = self.document["information"].get(key)
        return value if isinstance(value, kind) and not isinstance(value, bool) else None

    @property
    def seconds(self) -> float | None:
        """How long it took, as the run states it."""
        value = self.stated("seconds", (int, float))
        return float(value) if value is not None and 0 <= value < math.inf else None

    @property
    def seconds_each(self) -> float | None:
        """The part of the time that one input took."""
        return None if self.seconds is None else self.seconds / len(self.radius)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the programs that wrote the file."""
        stated = self.stated("version", str)
        return {} if stated is None else {"sdpcert": stated}
