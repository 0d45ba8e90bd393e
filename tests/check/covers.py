"""Certificates of restrictions and covers written by the format page, without the package's writer.

A network here is a list of layers `(weights, bias)` with one activation between them, or blocks of one's own. Bounds
come from plain intervals and are rounded generously; what a writer would do better is not the point.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import struct
import zlib
from typing import Any

import numpy as np

Array = np.ndarray
Document = dict[str, Any]


def pack(values: Any, kind: str = "<f8") -> str:
    """An array as the file has it."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, dtype=kind).tobytes())).decode()


def unpack(text: str, kind: str = "<f8") -> Array:
    """What an array of a file holds."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind).copy()


# ---------------------------------------------------------------- the network


def relu(size: int) -> Document:
    """Rectifiers."""
    return piecewise_linear(size, [0.0], [0.0, 1.0], [0.0, 0.0])


def piecewise_linear(size: int, starts: list[float], slopes: list[float], at_zero: list[float]) -> Document:
    """The same piecewise-linear function for all neurons."""
    repeated = ([pack(np.full(size, x)) for x in numbers] for numbers in (starts, slopes, at_zero))
    return {"kind": "piecewise-linear", **dict(zip(("starts", "slopes", "values"), repeated, strict=True))}


def smooth(name: str, *parameters: float) -> Document:
    """A function that the checker knows by name."""
    return {"kind": name, "parameters": [float(x).hex() for x in parameters]}


def group(
    activation: Document, bias: Any, slopes: tuple[float, float] = (0.0, 1.0), radius: float = 0.0, name: str = "act"
) -> Document:
    """A group of neurons with the same slopes everywhere."""
    size = len(bias)
    return {
        "size": size,
        "name": name,
        "activation": activation,
        "alpha": pack(np.full(size, slopes[0])),
        "beta": pack(np.full(size, slopes[1])),
        "bias": pack(bias),
        "bias_radius": pack(np.full(size, radius)),
    }


def block(to: int, source: int, weights: Any, radius: float = 0.0, low: Any = None) -> Document:
    """A block of weights."""
    found = {"to": to, "from": source, "radius": float(radius).hex(), "weights": pack(weights)}
    return found if low is None else found | {"low": pack(low)}


def network(inputs: int, outputs: int, groups: list[Document], blocks: list[Document]) -> Document:
    """A network with its hash."""
    return hashed({"inputs": inputs, "outputs": outputs, "groups": groups, "blocks": blocks})


def chain(layers: list[tuple[Any, Any]], activation: Any = relu, slopes: tuple[float, float] = (0.0, 1.0)) -> Document:
    """Layers one after the other; `activation` makes that of a group of some size."""
    groups = [group(activation(len(bias)), bias, slopes) for _, bias in layers[:-1]]
    blocks = [block(to, to - 1, weights) for to, (weights, _) in enumerate(layers, 1)]
    return network(np.shape(layers[0][0])[1], np.shape(layers[-1][0])[0], groups, blocks)


def hashed(value: Document) -> Document:
    """The network with the hash that its numbers have, in place."""

    def raw(text: str) -> bytes:
        return zlib.decompress(base64.b64decode(text))

    parts = [b"sdpcert-network-3", struct.pack("<3q", value["inputs"], value["outputs"], len(value["groups"]))]
    for one in value["groups"]:
        parts += [struct.pack("<q", one["size"]), *(raw(one[k]) for k in ("alpha", "beta", "bias", "bias_radius"))]
        activation = one["activation"]
        parts.append(activation["kind"].encode() + b"\0")
        if activation["kind"] == "piecewise-linear":
            parts.append(struct.pack("<q", len(activation["slopes"])))
            parts += [raw(text) for key in ("starts", "slopes", "values") for text in activation[key]]
        elif activation["kind"] != "unknown":
            numbers = [float.fromhex(x) for x in activation["parameters"]]
            parts.append(struct.pack(f"<q{len(numbers)}d", len(numbers), *numbers))
    for one in value["blocks"]:
        parts += [struct.pack("<qqd", one["to"], one["from"], float.fromhex(one["radius"])), raw(one["weights"])]
        parts.append(struct.pack("<q", "low" in one) + (raw(one["low"]) if "low" in one else b""))
    value["sha256"] = hashlib.sha256(b"".join(parts)).hexdigest()
    return value


# ---------------------------------------------------------------- region, pieces and file


def everything() -> Document:
    """All inputs."""
    return {"kind": "all"}


def box(low: Any, high: Any) -> Document:
    """A box."""
    return {"kind": "box", "low": pack(low), "high": pack(high)}


def ball(center: Any, radius: float, low: Any = None, high: Any = None) -> Document:
    """A ball, within a box if ends are given."""
    inner = None if low is None else {"low": pack(low), "high": pack(high)}
    return {"kind": "ball", "center": pack(center), "radius": float(radius).hex(), "within": inner}


def bounds(
    side: str, group: int, values: Any, neurons: Any = None, lines: Any = (), multipliers: Any = None
) -> Document:
    """A step that bounds all neurons of a group, or some."""
    neurons = range(len(values)) if neurons is None else neurons
    return {
        "kind": "bounds",
        "side": side,
        "group": group,
        "neurons": pack(neurons, "<i8"),
        "values": pack(values),
        "lines": list(lines),
        "multipliers": None if multipliers is None else pack(multipliers),
    }


def lines(group: int, neurons: Any, lower: Any, upper: Any) -> Document:
    """Slopes of lines."""
    return {"group": group, "neurons": pack(neurons, "<i8"), "lower": pack(lower), "upper": pack(upper)}


def lines_step(group: int, neurons: Any, lower: Any, upper: Any) -> Document:
    """A step that changes slopes of lines."""
    return {"kind": "lines", **lines(group, neurons, lower, upper)}


def slopes_step(group: int, neurons: Any, alpha: Any, beta: Any) -> Document:
    """A step that states slopes of smooth activations."""
    packed = {"alpha": pack(alpha), "beta": pack(beta)}
    return {"kind": "slopes", "group": group, "neurons": pack(neurons, "<i8"), **packed}


def split(group: int, neuron: int, at: float = 0.0) -> Document:
    """The end of a piece that is divided."""
    return {"kind": "split", "group": group, "neuron": neuron, "at": float(at).hex()}


def condition(rho: float, *multipliers: Any, exponent: int = 0) -> Document:
    """The end of a piece that a matrix inequality bounds."""
    packed = [pack(m) for m in multipliers]
    return {"kind": "condition", "rho": float(rho).hex(), "exponent": exponent, "multipliers": packed}


EMPTY: Document = {"kind": "empty"}


def flat(*weights: int) -> Document:
    """The end of a piece without interior."""
    return {"kind": "flat", "weights": [str(w) for w in weights]}


def piece(end: Document, *steps: Document, parent: int | None = None, side: str | None = None) -> Document:
    """A piece."""
    return {"parent": parent, "side": side, "steps": list(steps), "end": end}


def file(net: Document, region: Document, pieces: list[Document], upper: float, attained: Any = None) -> Document:
    """A certificate of a restriction (one piece) or a cover."""
    document = {
        "format": "sdpcert-certificate",
        "version": 3,
        "claim": "",
        "upper": float(upper).hex(),
        "norm": "l2",
        "region": {**copy.deepcopy(region), "coordinates": "input", "size": net["inputs"]},
        "assumptions": [],
        "tree": {
            "kind": "restriction" if len(pieces) == 1 else "cover",
            "claim": {
                "upper": float(upper).hex(),
                "norm": "l2",
                "region": region,
                "inputs": net["inputs"],
                "outputs": net["outputs"],
                "metric": None,
            },
            "network": net,
            "pieces": pieces,
        },
        "attained": attained,
        "information": {},
    }
    return with_claim(document)


def with_claim(document: Document) -> Document:
    """The document with the sentence that its numbers make, in place."""
    claim = document["tree"]["claim"]
    where = "" if document["region"]["kind"] == "all" else "in the region below "
    document["claim"] = (
        f"For all inputs x, x' {where}of the network of the tree below ({claim['inputs']} inputs, {claim['outputs']} "
        f"outputs): |f(x) - f(x')| <= {float.fromhex(document['upper'])!r} |x - x'|, Euclidean norms, real arithmetic."
    )
    return document


def attained(lower: float, x: Any, x_prime: Any) -> Document:
    """Two inputs with a lower bound."""
    return {"lower": float(lower).hex(), "x": pack(x), "x_prime": pack(x_prime)}
