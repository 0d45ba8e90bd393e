"""A network with its biases and activations, as certificates of regions state it."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np

from sdpcert.check.functions import read as known_function
from sdpcert.check.reading import Rejected
from sdpcert.network.activations import KINDS
from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.running.encoding import encode

Array = np.ndarray
#: Why there is no certificate of a region for some networks.
NOT_ELEMENTWISE = (
    "the network takes l2 norms of several neurons (norm pooling), and certificates of regions know elementwise "
    "activations alone; certify it on all inputs"
)


def network_document(form: StackedForm) -> dict[str, Any]:
    """The network of a restriction or a cover, as the format page describes it.

    Raises ValueError for a network whose activations are not all elementwise, which such certificates do not have.
    """
    if form.is_coupled:
        raise ValueError(NOT_ELEMENTWISE)
    return {
        "inputs": form.inputs,
        "outputs": form.outputs,
        "groups": [_group(group) for group in form.groups],
        "blocks": [
            {"to": to, "from": source, "radius": float(block.radius).hex(), **_weights(block)}
            for (to, source), block in sorted(form.blocks.items())
        ],
        "sha256": hash_of_network(form),
    }


def hash_of_network(form: StackedForm) -> str:
    """Hash of sizes, activations, biases and blocks as the format page defines it."""
    digest = hashlib.sha256(b"sdpcert-network-3" + struct.pack("<3q", form.inputs, form.outputs, len(form.groups)))
    for group in form.groups:
        digest.update(struct.pack("<q", group.size))
        for numbers in (group.alpha, group.beta, group.bias, group.bias_radii):
            digest.update(_bytes(numbers))
        kind, *arrays = _activation(group)
        digest.update(kind.encode("ascii") + b"\0")
        if arrays:
            digest.update(struct.pack("<q", len(arrays[-1])))
            for numbers in arrays:
                digest.update(b"".join(_bytes(array) for array in numbers))
    for (to, source), block in sorted(form.blocks.items()):
        digest.update(struct.pack("<2qd", to, source, block.radius) + _bytes(block.weights))
        digest.update(struct.pack("<q", block.low is not None))
        digest.update(b"" if block.low is None else _bytes(block.low))
    return digest.hexdigest()


def _group(group: Group) -> dict[str, Any]:
    kind, *arrays = _activation(group)
    activation: dict[str, Any] = {"kind": kind}
    if len(arrays) == 3:
        names = ("starts", "slopes", "values")
        activation |= {n: [encode(array) for array in a] for n, a in zip(names, arrays, strict=True)}
    elif arrays:
        activation["parameters"] = [float(number).hex() for number in arrays[0]]
    return {
        "size": group.size,
        "name": group.activation.name,
        "activation": activation,
        "alpha": encode(group.alpha),
        "beta": encode(group.beta),
        "bias": encode(group.bias),
        "bias_radius": encode(group.bias_radii),
    }


def _activation(group: Group) -> tuple[Any, ...]:
    """The kind of the group's activation; the starts, slopes and values of its pieces, or its parameters, if known."""
    activation = group.activation
    if activation.coupled > 1:  # a kind that no file has: its hash is that of no network of a file
        return (activation.name,)
    if isinstance(activation, PiecewiseLinear):
        pieces = [tuple(group.per_neuron(number) for number in piece) for piece in activation.segments]
        pieces = [piece for k, piece in enumerate(pieces) if k == 0 or np.any(piece[0] < np.inf)]
        while len(pieces) > 1 and np.all(pieces[1][0] == -np.inf):
            del pieces[0]
        for k in range(len(pieces) - 1, 0, -1):  # a kink that is none
            if all(np.array_equal(*both) for both in zip(pieces[k - 1][1:], pieces[k][1:], strict=True)):
                del pieces[k]
        starts = [start for start, _, _ in pieces[1:]]
        slopes, values = [slope for _, slope, _ in pieces], [value for _, _, value in pieces]
        if all(bool(np.all(np.isfinite(array))) for array in (*starts, *slopes, *values)):
            return "piecewise-linear", starts, slopes, values
        return ("unknown",)
    if type(activation) not in KINDS:  # somebody's own kind may bear any name
        return ("unknown",)
    parameters = activation.parameters
    if not all(np.ndim(number) == 0 for number in parameters):
        return ("unknown",)
    try:
        known_function(activation.name, [float(number) for number in parameters])
    except Rejected:
        return ("unknown",)
    return activation.name, [float(number) for number in parameters]


def _weights(block: Block) -> dict[str, Any]:
    return {"weights": encode(block.weights)} | ({} if block.low is None else {"low": encode(block.low)})


def _bytes(numbers: Array | float) -> bytes:
    return np.ascontiguousarray(numbers, dtype="<f8").tobytes()
