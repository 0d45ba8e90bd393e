"""The condition of a network on a torus, one Hermitian matrix for each frequency: what a file states of it.

`read` turns the file's objects into checked values; every limit is compared before the work starts. That all the
matrices are positive semidefinite is proved by `torus_integers.py`, and for large networks by `floating.py`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .groups import read_multipliers, read_slopes
from .reading import Rejected, constant, integer, items, little_endian, members, real, values

MAX_SIDE = 4096
MAX_CHANNELS = 20_000
MAX_TAPS = 10**6
MAX_WEIGHTS = 10**8
#: Frequencies times order cubed, up to which integers are used: a few minutes.
MAX_WORK = 3 * 10**8


@dataclass(frozen=True)
class Filter:
    """A block: `weights[m][i][j]` maps channel j at the cell moved by `offsets[m]` to channel i."""

    target: int
    source: int
    radius: float
    offsets: list[tuple[int, int]]
    weights: list[array[float]]  # one array of rows * columns per tap
    rows: int
    columns: int


@dataclass(frozen=True)
class Torus:
    """Everything in a condition that matters to the proof; types, lengths, ranges and the hash are already checked."""

    torus: tuple[int, int]
    pooled: bool
    sizes: list[int]  # channels of the input, of each group, of the output
    activations: list[str]  # one name per group, for people
    alpha: list[array[float]]  # one array per group; index 0 is group 1
    beta: list[array[float]]
    multipliers: list[array[float]]
    blocks: list[Filter]
    sha256: str
    rho: float
    exponent: int
    metric: array[float]  # one weight for each output channel
    scaling: list[int]

    @property
    def cells(self) -> int:
        """Cells of the torus."""
        return self.torus[0] * self.torus[1]

    @property
    def order(self) -> int:
        """Order of the matrices."""
        return sum(self.sizes[:-1])

    @property
    def work(self) -> int:
        """Frequencies times order cubed."""
        return (self.cells // 2 + 1) * self.order**3

    def frequencies(self) -> Iterator[tuple[int, int]]:
        """One of every pair of opposite frequencies."""
        rows, columns = self.torus
        for k in range(rows):
            for l in range(columns):
                if (k, l) <= ((rows - k) % rows, (columns - l) % columns):
                    yield k, l


def read(upper: float, metric: Any, network: Any, multipliers: Any, proof: Any) -> Torus:
    """Return the checked content of a condition whose bound `upper` is already read."""
    keys = "torus inputs outputs pooled groups blocks sha256"
    torus, inputs, outputs, pooled, groups, blocks, sha256 = members(network, "network", keys)
    rows, columns = (integer(side, "a side of the torus", 1, MAX_SIDE) for side in items(torus, "network.torus", 2, 2))
    if type(pooled) is not bool:
        raise Rejected("network.pooled is not true or false")
    groups, blocks = items(groups, "network.groups", 0, MAX_CHANNELS), items(blocks, "network.blocks", 0, MAX_CHANNELS)
    groups = [members(group, f"group {g}", "size activation alpha beta") for g, group in enumerate(groups, 1)]
    sizes = [integer(inputs, "network.inputs", 1, MAX_CHANNELS)]
    sizes += [integer(group[0], f"size of group {g}", 1, MAX_CHANNELS) for g, group in enumerate(groups, 1)]
    sizes += [integer(outputs, "network.outputs", 1, MAX_CHANNELS)]
    if sum(sizes) > 2 * MAX_CHANNELS:
        raise Rejected(f"more than {2 * MAX_CHANNELS} channels")
    digest = hashlib.sha256(b"sdpcert-torus-1")
    digest.update(struct.pack("<6q", rows, columns, sizes[0], sizes[-1], len(groups), int(pooled)))
    activations, alpha, beta = read_slopes(groups, digest)
    filters, previous, total = [], (0, 0), 0
    for b, block in enumerate(blocks):
        target, source, radius, taps, offsets, weights = members(
            block, f"blocks[{b}]", "to from radius taps offsets weights"
        )
        target = integer(target, f"blocks[{b}].to", 1, len(groups) + 1)
        source = integer(source, f"blocks[{b}].from", 0, target - 1)
        if (target, source) <= previous:
            raise Rejected(f"blocks[{b}] is a duplicate or out of order")
        previous = (target, source)
        taps = integer(taps, f"blocks[{b}].taps", 1, MAX_TAPS)
        entries = sizes[target] * sizes[source]
        total += taps * entries
        if total > MAX_WEIGHTS:
            raise Rejected(f"more than {MAX_WEIGHTS} weights")
        radius = real(radius, f"blocks[{b}].radius", 0.0)
        offsets = values(offsets, f"blocks[{b}].offsets", "q", 2 * taps, -(2**31), 2**31)
        weights = values(weights, f"blocks[{b}].weights", "d", taps * entries)
        pairs = list(zip(offsets[0::2], offsets[1::2], strict=True))
        if any(first >= second for first, second in itertools.pairwise(pairs)):
            raise Rejected(f"blocks[{b}].offsets are not ascending")
        if pooled and target == len(groups) + 1 and pairs != [(0, 0)]:
            raise Rejected("the output of a pooled network has an offset")
        digest.update(struct.pack("<3q", target, source, taps) + struct.pack("<d", radius))
        digest.update(little_endian(offsets) + little_endian(weights))
        each = [weights[m * entries : (m + 1) * entries] for m in range(taps)]
        filters.append(Filter(target, source, radius, pairs, each, sizes[target], sizes[source]))
    if sha256 != digest.hexdigest():
        raise Rejected("network.sha256 is not the hash of the network")

    rho, lambdas, exponent = read_multipliers(multipliers, sizes[1:-1], upper)
    if metric is None:
        measure = array("d", [1.0]) * sizes[-1]
    else:
        measure = values(metric, "the metric", "d", sizes[-1], math.ulp(0.0))
    kind, level, scaling = members(proof, "proof", "kind level scaling")
    constant(kind, "proof.kind", "frequency")
    if level not in ("exact", "floating-point"):
        raise Rejected("proof.level is not 'exact' or 'floating-point'")
    scaling = values(scaling, "proof.scaling", "q", sum(sizes[:-1]), -4000, 4000).tolist()
    return Torus(
        (rows, columns), pooled, sizes, activations, alpha, beta, lambdas, filters, sha256,
        rho, exponent, measure, scaling,
    )  # fmt: skip
