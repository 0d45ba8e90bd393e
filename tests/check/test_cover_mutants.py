"""No bound below what inputs attain: random valid covers altered in thousands of ways, against sampled quotients."""

from __future__ import annotations

import copy
import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sdpcert.check import check_document
from tests.check.branching import Set, Writer
from tests.check.covers import Document, hashed, pack, unpack, with_claim

Array = np.ndarray


def made(seed: int) -> tuple[Writer, Document]:
    """A random network of rectifiers, a random region, and a cover of it."""
    rng = np.random.default_rng(seed)
    hidden = rng.integers(2, 4, size=int(rng.integers(1, 3)))
    sizes = [int(rng.integers(1, 4)), *map(int, hidden), int(rng.integers(1, 3))]
    scale = 0.0 if seed % 4 == 3 else 0.4  # without biases all splits meet in one point
    layers = [
        (np.round(rng.normal(size=(b, a)), 2), np.round(scale * rng.normal(size=b), 2)) for a, b in pairwise(sizes)
    ]
    n, center = sizes[0], np.round(0.5 * rng.normal(size=sizes[0]), 2)
    infinite = np.full(n, np.inf)
    region = [
        Set(center - 0.5 - rng.random(n), center + 0.5 + rng.random(n)),
        Set(-infinite, infinite, center, 0.3 + float(rng.random())),
        Set(center - rng.random(n), center + rng.random(n), center, 0.3 + float(rng.random()), True),
    ][seed % 3]
    writer = Writer(layers, region, int(rng.integers(0, 5)))
    return writer, writer.document()


# ---------------------------------------------------------------- what inputs attain


def contents(document: Document) -> tuple[list[tuple[Array, Array]], Set]:
    """The layers and the region that a document has."""
    net, region = document["tree"]["network"], document["tree"]["claim"]["region"]
    sizes = [net["inputs"], *(one["size"] for one in net["groups"]), net["outputs"]]
    biases = [*(unpack(one["bias"]) for one in net["groups"]), np.zeros(net["outputs"])]
    layers = [
        (unpack(block["weights"]).reshape(sizes[k + 1], sizes[k]), biases[k]) for k, block in enumerate(net["blocks"])
    ]
    infinite = np.full(net["inputs"], np.inf)
    if region["kind"] == "box":
        return layers, Set(unpack(region["low"]), unpack(region["high"]))
    ends, inner = (-infinite, infinite), region["within"]
    if inner is not None:
        ends = unpack(inner["low"]), unpack(inner["high"])
    return layers, Set(*ends, unpack(region["center"]), float.fromhex(region["radius"]), inner is not None)


def jacobians(layers: list[tuple[Array, Array]], points: Array) -> Array:
    """The largest norm of the Jacobians at points; rectifiers are linear around almost all of them."""
    found = np.broadcast_to(np.eye(points.shape[1]), (len(points), points.shape[1], points.shape[1]))
    values = points
    for weights, bias in layers[:-1]:
        values = values @ weights.T + bias
        found = (values > 0)[:, :, None] * (weights @ found)
        values = np.maximum(values, 0.0)
    return np.linalg.norm(layers[-1][0] @ found, 2, axis=(1, 2))


def attained(layers: list[tuple[Array, Array]], region: Set, rng: np.random.Generator, count: int = 4000) -> float:
    """A lower bound of the constant on the region, from Jacobians and from quotients of two points."""
    points = region.sample(rng, count)
    if not len(points):
        return 0.0
    moving = region.low < region.high
    if not np.all(moving):
        points = points[:, moving]
        first = layers[0][0]
        layers = [(first[:, moving], layers[0][1] + first[:, ~moving] @ region.low[~moving]), *layers[1:]]
        if not np.any(moving):
            return 0.0
    inside = points  # a Jacobian in the interior is attained by two points around it
    return float(np.max(jacobians(layers, inside), initial=0.0))


# ---------------------------------------------------------------- mutants


def floats(rng: np.random.Generator, text: str) -> str:
    numbers = unpack(text)
    if not len(numbers):
        return pack(rng.random(int(rng.integers(0, 3))))
    place = int(rng.integers(len(numbers)))
    numbers[place] = [
        numbers[place] + rng.normal(),
        numbers[place] * (1 + 0.2 * rng.normal()),
        -numbers[place],
        0.0,
        math.nextafter(numbers[place], math.inf),
        numbers[place] + 1e-3,
        numbers[place] - 1e-3,
    ][int(rng.integers(7))]
    return pack(numbers)


def number(rng: np.random.Generator, text: str) -> str:
    value = float.fromhex(text)
    return [value * 0.9, value + 0.3 * rng.normal(), -value, 0.0, value * (1 - 1e-6), value + 1e-3][
        int(rng.integers(6))
    ].hex()


def pick(rng: np.random.Generator, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def lower_upper(rng: np.random.Generator, document: Document) -> None:
    """Claim a bit less, with every rho cut to what the bound allows."""
    upper = float.fromhex(document["upper"]) * pick(rng, [0.5, 0.8, 0.95, 0.99, 0.999])
    document["upper"] = document["tree"]["claim"]["upper"] = upper.hex()
    for piece in document["tree"]["pieces"]:
        if piece["end"]["kind"] == "condition":
            piece["end"]["rho"] = min(float.fromhex(piece["end"]["rho"]), upper**2 * (1 - 1e-12)).hex()


def alter(rng: np.random.Generator, document: Document) -> str:
    """Alter one thing; returns what it was."""
    tree = document["tree"]
    pieces, net = tree["pieces"], tree["network"]
    piece = pick(rng, pieces)
    steps, end = piece["steps"], piece["end"]
    kind = pick(rng, ["steps", "end", "end", "tree", "network", "region", "upper", "bound", "bound", "weaken"])
    if kind == "bound" and steps:
        step = pick(rng, steps)
        key = pick(
            rng, ["values", "multipliers", "side", "group", "lines"] if step["kind"] == "bounds" else ["lower", "upper"]
        )
        if key == "side":
            step["side"] = "high" if step["side"] == "low" else "low"
        elif key == "group":
            step["group"] = 1 + step["group"] % len(net["groups"])
        elif key == "lines":
            other = pick(rng, pieces)["steps"]
            step["lines"] = [{k: v for k, v in one.items() if k != "kind"} for one in other if one["kind"] == "lines"]
        elif step[key] is not None:
            step[key] = floats(rng, step[key])
    elif kind == "steps" and steps:
        way = int(rng.integers(4))
        place = int(rng.integers(len(steps)))
        if way == 0:
            del steps[place]
        elif way == 1:
            steps.insert(place, copy.deepcopy(pick(rng, pick(rng, pieces)["steps"] or steps)))
        elif way == 2:
            piece["steps"] = copy.deepcopy(pick(rng, pieces)["steps"])
        else:
            piece["steps"] = []
    elif kind == "end":
        choices: list[Any] = [{"kind": "empty"}, copy.deepcopy(pick(rng, pieces)["end"])]
        depth, at = 0, piece
        while at["parent"] is not None:
            at = pieces[at["parent"]]
            depth += at["end"].get("group", 1) > 0
        choices.append({"kind": "flat", "weights": [str(int(rng.integers(0, 3))) for _ in range(depth)]})
        if end["kind"] == "condition":
            changed = copy.deepcopy(end)
            changed["multipliers"] = [floats(rng, m) for m in end["multipliers"]]
            choices += [changed, end | {"rho": number(rng, end["rho"])}, end | {"exponent": end["exponent"] - 1}]
        if end["kind"] == "split":
            choices += [end | {"at": number(rng, (1.0).hex())}, end | {"neuron": (end["neuron"] + 1) % 2}]
            choices += [end | {"group": 1 + end["group"] % len(net["groups"])}, end | {"group": 0, "neuron": 0}]
        piece["end"] = pick(rng, choices)
    elif kind == "tree" and len(pieces) > 1:
        way = int(rng.integers(4))
        if way == 0:
            piece["side"] = "above" if piece["side"] == "below" else "below"
        elif way == 1:
            piece["parent"] = int(rng.integers(len(pieces)))
        elif way == 2:
            del pieces[int(rng.integers(1, len(pieces)))]
        else:
            one, two = rng.integers(len(pieces), size=2)
            for key in ("steps", "end") if rng.random() < 0.5 else ("steps",):
                pieces[one][key], pieces[two][key] = pieces[two][key], pieces[one][key]
    elif kind == "network":
        if rng.random() < 0.5:
            block = pick(rng, net["blocks"])
            block["weights"] = floats(rng, block["weights"])
        else:
            group = pick(rng, net["groups"])
            group["bias"] = floats(rng, group["bias"])
        hashed(net)
    elif kind == "region":
        region = tree["claim"]["region"]
        if region["kind"] == "ball" and rng.random() < 0.5:
            region["radius"] = (float.fromhex(region["radius"]) * pick(rng, [0.9, 1.001, 1.5])).hex()
        else:
            box = region.get("within") or region
            key = pick(rng, [k for k in ("low", "high", "center") if k in box])
            box[key] = floats(rng, box[key])
        document["region"] = copy.deepcopy(region) | {"coordinates": "input", "size": net["inputs"]}
    elif kind == "upper":
        lower_upper(rng, document)
    elif kind == "weaken" and steps:  # bounds that hold with room may be moved
        step = pick(rng, steps)
        if step["kind"] == "bounds":
            sign = -1 if step["side"] == "low" else 1
            step["values"] = pack(unpack(step["values"]) + sign * pick(rng, [1e-12, 1e-3, 1.0]))
    return kind


def mutants(seeds: range, each: int) -> Counter[tuple[str, bool]]:
    """Check altered certificates; an accepted one must not have a bound below what inputs attain."""
    found: Counter[tuple[str, bool]] = Counter()
    for seed in seeds:
        writer, document = made(seed)
        rng = np.random.default_rng(10_000 + seed)
        result = check_document(document, True)
        assert result.ok, (seed, result.reason)
        own = attained(writer.layers, writer.region, rng)
        assert own <= float.fromhex(document["upper"]), seed
        for _ in range(each):
            changed = copy.deepcopy(document)
            what = alter(rng, changed)
            for _ in range(int(rng.integers(0, 2))):
                alter(rng, changed)
            result = check_document(with_claim(changed), True)
            assert "could not be finished" not in result.reason and "\n" not in result.reason
            found[what, result.ok] += 1
            if result.ok:
                layers, region = contents(changed)
                best = attained(layers, region, rng)
                assert best <= float.fromhex(changed["upper"]), (seed, what, best, changed["upper"])
    return found


def test_no_mutant_has_a_bound_below_what_inputs_attain() -> None:
    found = mutants(range(12), 25)
    assert sum(n for (_, ok), n in found.items() if ok) > 40
    assert sum(n for (_, ok), n in found.items() if not ok) > 100


@pytest.mark.slow
def test_no_mutant_of_thousands_has_a_bound_below_what_inputs_attain() -> None:
    found = mutants(range(100, 200), 40)
    for kind in ("steps", "end", "tree", "network", "region", "bound", "weaken"):
        assert found[kind, True] and found[kind, False], found
