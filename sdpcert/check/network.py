"""A network in stacked form with its biases and activations, as restrictions and covers state it."""

from __future__ import annotations

import hashlib
import operator
import struct
from array import array
from dataclasses import dataclass
from typing import Any

from . import activations
from .activations import Activation
from .blocks import MAX_WEIGHTS, Block, read_blocks, read_headers
from .reading import Rejected, integer, items, little_endian, members, text, values, within
from .region import MAX_INPUTS

#: Groups of a network, its neurons in all, and its blocks.
MAX_GROUPS, MAX_NEURONS, MAX_BLOCKS = 20_000, 10**6, 10**6


@dataclass(frozen=True)
class Group:
    """Neurons with the same kind of activation; all arrays have one entry for each of them."""

    size: int
    name: str
    activation: Activation
    alpha: array[float]
    beta: array[float]
    bias: array[float]
    bias_radius: array[float]


@dataclass(frozen=True)
class Network:
    """A network: `groups[g - 1]` is group g, `blocks` are those of a stacked form, increasing in (target, source)."""

    inputs: int
    outputs: int
    groups: tuple[Group, ...]
    blocks: tuple[Block, ...]
    sha256: str

    @property
    def uncertain(self) -> bool:
        """Whether some weight or bias is known up to a radius only."""
        return any(block.radius for block in self.blocks) or any(any(group.bias_radius) for group in self.groups)


def read(value: Any, name: str) -> Network:
    """Return a network; every limit is compared before an array is unpacked."""
    inputs, outputs, groups, blocks, sha256 = members(value, name, "inputs outputs groups blocks sha256")
    groups = items(groups, f"{name}.groups", 0, MAX_GROUPS)
    blocks = items(blocks, f"{name}.blocks", 0, MAX_BLOCKS)
    keys = "size name activation alpha beta bias bias_radius"
    groups = [members(group, f"group {g}", keys) for g, group in enumerate(groups, 1)]
    sizes = [integer(inputs, f"{name}.inputs", 1, MAX_INPUTS)]
    sizes += [integer(group[0], f"size of group {g}", 1, MAX_NEURONS) for g, group in enumerate(groups, 1)]
    sizes += [integer(outputs, f"{name}.outputs", 1, MAX_INPUTS)]
    if sum(sizes[1:-1]) > MAX_NEURONS:
        raise Rejected(f"more than {MAX_NEURONS} neurons")
    headers, total = read_headers(blocks, sizes)
    if total > MAX_WEIGHTS:
        raise Rejected(f"more than {MAX_WEIGHTS} weights")
    digest = hashlib.sha256(b"sdpcert-network-3" + struct.pack("<3q", sizes[0], sizes[-1], len(groups)))
    read_groups = tuple(read_group(group, g, digest) for g, group in enumerate(groups, 1))
    matrices = tuple(read_blocks(headers, sizes, digest, True))
    if sha256 != digest.hexdigest():
        raise Rejected(f"{name}.sha256 is not the hash of the network")
    return Network(sizes[0], sizes[-1], read_groups, matrices, sha256)


def read_group(members_of_group: list[Any], g: int, digest: Any) -> Group:
    """Return a group, given as the values of its keys in order, and add it to the hash."""
    size, name, activation, *arrays = members_of_group
    name = text(name, f"name of group {g}")
    kind, activation = activations.read(activation, f"activation of group {g}", size)
    alpha, beta, bias = (
        values(array, f"{key} of group {g}", "d", size)
        for key, array in zip(("alpha", "beta", "bias"), arrays, strict=False)
    )
    bias_radius = values(arrays[3], f"bias_radius of group {g}", "d", size, low=0.0)
    if not all(map(operator.le, alpha, beta)):
        raise Rejected(f"group {g} has alpha > beta")
    with within(f"activation of group {g}"):
        activation.check(alpha, beta)
    digest.update(struct.pack("<q", size) + b"".join(map(little_endian, (alpha, beta, bias, bias_radius))))
    digest.update(kind.encode("ascii") + b"\0" + activation.hashed())
    return Group(size, name, activation, alpha, beta, bias, bias_radius)
