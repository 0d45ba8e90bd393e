"""One file of radii of a tiny network with every kind of entry and proof, and what of such a file is true."""

from __future__ import annotations

from functools import cache

import numpy as np

from tests.check.covers import Document, unpack
from tests.check.radii_files import Writer

Array = np.ndarray


def random_layers() -> list[tuple[Array, Array]]:
    """A network of two inputs, two groups of four rectifiers, and three classes."""
    rng = np.random.default_rng(9)
    sizes = ((4, 2), (4, 4), (3, 4))
    return [
        (np.round(rng.normal(size=size), 2), np.round(scale * rng.normal(size=size[0]), 2))
        for size, scale in zip(sizes, (0.3, 0.3, 0.2), strict=True)
    ]


@cache
def _example(norm: str, level: str) -> Document:
    errors = (1e-4, 1e-3, np.array([0.0, 0.25])) if level == "F" else None
    writer = Writer(
        random_layers(),
        norm=norm,
        within=(np.array([-1.5, -1.25]), np.array([1.5, 1.25])),
        errors=errors,
        normalisation=([0.5], [0.25]) if level == "F" else None,
        radii=(0.0, 0.1, 0.5, 1.0),
    )
    radius = 0.7 if norm == "l2" else 0.5
    by_constants = {"kind": "constants", "classes": [0]}
    center = np.array([-0.66, 0.53])
    entries = [
        writer.entry([0.19, -0.47], 1, radius, attack=nearest_attack(writer, np.array([0.19, -0.47]), 1)),
        writer.entry(center, 2, 0.02, [writer.pieces(center, 2, 0.02, [1]), by_constants]),
        writer.entry([0.35, 0.6], 1, 0.2, [writer.pieces(np.array([0.35, 0.6]), 1, 0.2, [j]) for j in (2, 0)]),
        writer.wrong([0.35, 0.6], 0),
        writer.wrong([0.1, 0.2], 2) | {"correct": None},
        writer.entry([0.2, -0.5], 1, 0.0),
    ]
    return writer.file(entries, [writer.constant(0, 2), writer.constant(1, 2)])


def example(norm: str = "l2", level: str = "R") -> Document:
    """The file, which nobody may alter: copy it."""
    return _example(norm, level)


def nearest_attack(writer: Writer, center: Array, label: int) -> Array:
    """A point of the box with another class, the nearest of many."""
    low, high = writer.within or (center - 3, center + 3)
    points = np.random.default_rng(0).uniform(low, high, (4000, len(center)))
    wrong = [p for p in points if int(np.argmax(writer.outputs(p))) != label]
    order = 2 if writer.norm == "l2" else np.inf
    return min(wrong, key=lambda p: float(np.linalg.norm(p - center, order)))


# ---------------------------------------------------------------- what is true


def outputs(document: Document, points: Array) -> Array:
    """The outputs of the file's network in float64, for points (n, inputs)."""
    net, found = document["network"], [points]
    for g, group in enumerate(net["groups"][:-1], 1):
        v = np.zeros((len(points), group["size"])) + unpack(group["bias"])
        for block in net["blocks"]:
            if block["to"] == g:
                v = v + found[block["from"]] @ unpack(block["weights"]).reshape(group["size"], -1).T
        found.append(np.maximum(v, 0.0) if g < len(net["groups"]) - 1 else v)
    return found[-1]


def untrue(document: Document, count: int = 400) -> str | None:
    """What of a file contradicts samples; None if nothing does."""
    rng = np.random.default_rng(1)
    n = document["network"]["inputs"]
    low, high = np.full(n, -np.inf), np.full(n, np.inf)
    if document["within"] is not None:
        low, high = unpack(document["within"]["low"]), unpack(document["within"]["high"])
    for number, entry in enumerate(document["inputs"]):
        center, label, radius = unpack(entry["center"]), entry["label"], float.fromhex(entry["radius"])
        steps = rng.normal(size=(count, n))
        steps /= np.linalg.norm(steps, 2 if document["norm"] == "l2" else np.inf, axis=1)[:, None]
        steps *= radius * np.minimum(1.0, 2 * rng.random(count))[:, None]  # half of them at the boundary
        points = np.vstack([center, np.clip(center + steps, low, high)])
        values = outputs(document, points)
        others = np.delete(values, label, axis=1)
        margins = values[:, label] - others.max(axis=1)
        needed = np.zeros(len(points))
        if document["errors"] is not None:
            offset, slope = (float.fromhex(document["errors"][key]) for key in ("offset", "slope"))
            away = np.linalg.norm(points - unpack(document["errors"]["center"]), axis=1)
            needed = np.sqrt(2) * (offset + slope * away)
        if entry["correct"] and np.min(margins - needed) <= -1e-12:
            return f"entry {number} is not certified"
        if entry["correct"] is False and margins[0] > 1e-12:
            return f"entry {number} is right"
        if entry["attack"] is not None:
            found = outputs(document, unpack(entry["attack"]["point"])[None])[0]
            if found[label] > np.delete(found, label).max() + 1e-12:
                return f"the attack on entry {number} is none"
    return None
