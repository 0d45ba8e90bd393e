"""What inputs go through before a model reads them: `(x - mean) / std`, as exact affine layers before its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.network.affine import Scale
from sdpcert.network.graph import Graph, Network
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: What a quotient of float64 may be wrong by, relative to it.
QUOTIENT = 2.0**-53
#: Least and largest standard deviation: they and quotients by them are normal numbers, of float32 too.
LEAST, LARGEST = 2.0**-100, 2.0**100


@dataclass(frozen=True, eq=False)
class Normalisation(ShortRepr):
    """`mean` and `std` have one entry for all inputs, one for each channel of an image, or one for each input."""

    mean: Array
    std: Array

    @staticmethod
    def of(value: object, input_shape: tuple[int, ...]) -> Normalisation | None:
        """The normalisation that a caller means by `(mean, std)`; None for None.

        Raises ValueError or TypeError with one sentence if it is none for inputs of this shape.
        """
        if value is None:
            return None
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"normalisation is (mean, std) or None, not {_shown(value)}")
        mean, std = (_numbers(part, name, input_shape) for part, name in zip(value, ("mean", "std"), strict=True))
        if not np.all((std >= LEAST) & (std <= LARGEST)):
            raise ValueError(f"normalisation: every entry of std must be positive, not {float(std.min())!r}")
        if not np.all(np.abs(mean) <= LARGEST):
            raise ValueError("normalisation: mean has an entry that is too large")
        mean, std = np.broadcast_arrays(mean, std) if 1 in (len(mean), len(std)) else (mean, std)
        if len(mean) != len(std):
            raise ValueError(f"normalisation: mean has {len(mean)} entries and std {len(std)}; give as many of both")
        return Normalisation(mean.copy(), std.copy())

    @staticmethod
    def read(document: Any, input_shape: tuple[int, ...]) -> Normalisation | None:
        """That of a file that the checker has read."""
        if document is None:
            return None
        return Normalisation.of([[float.fromhex(n) for n in document[key]] for key in ("mean", "std")], input_shape)

    def before(self, network: Network) -> Network:
        """The network of raw inputs: the normalisation, then the network.

        A quotient that float64 does not hold is known up to its rounding, and so are the weights behind it.
        """
        shape = network.input_shape
        mean, std = (_broadcast(part, shape) for part in (self.mean, self.std))
        factor = 1.0 / std
        error = 0.0 if np.all(np.frexp(std)[0] == 0.5) else QUOTIENT
        graph = Graph(shape)
        value = graph.add(Scale(1.0, -mean), 0) if np.any(mean) else 0
        value = graph.add(Scale(factor, 0.0, error), value)
        count = len(graph.nodes)
        for node in network.nodes:
            graph.add(node.layer, *(k + count if k else value for k in node.inputs))
        output = network.output + count if network.output else value
        return graph.network(output, network.source, dict(network.details))

    def document(self) -> dict[str, Any]:
        """As a file of radii states it."""
        return {"mean": [float(n).hex() for n in self.mean], "std": [float(n).hex() for n in self.std]}


def _numbers(value: Any, name: str, shape: tuple[int, ...]) -> Array:
    try:
        found = np.asarray(value, dtype=float).ravel()
    except (TypeError, ValueError):
        raise TypeError(f"normalisation: {name} is a number or a list of numbers, not {_shown(value)}") from None
    if not np.all(np.isfinite(found)):
        raise ValueError(f"normalisation: {name} has an entry that is not finite")
    counts = {1: "one for all", math.prod(shape): "one for each input"}
    if len(shape) == 3:
        counts |= {shape[0]: "one for each channel"}
    if len(found) not in counts:
        wanted = ", ".join(f"{count} ({what})" for count, what in sorted(counts.items()))
        raise ValueError(f"normalisation: {name} has {len(found)} entries; give as many as one of: {wanted}")
    return found.copy()


def _broadcast(values: Array, shape: tuple[int, ...]) -> Array:
    """What broadcasts against tensors of the shape."""
    if len(values) == math.prod(shape):
        return values.reshape(shape)
    return values.reshape(-1, 1, 1) if len(values) > 1 else values.reshape([1] * len(shape))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else type(value).__name__
