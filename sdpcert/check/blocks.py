"""The weight matrices of a network in stacked form, as a file states them."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import Any

from .integers import fixed, fraction_bits
from .reading import Rejected, integer, little_endian, members, real, values

MAX_WEIGHTS = 10**8


@dataclass(frozen=True)
class Matrix(ABC):
    """One weight matrix; groups count from 1, the source 0 is the input, the last target the output."""

    target: int
    source: int
    rows: int  # size of the target
    columns: int  # size of the source

    @abstractmethod
    def needed_bits(self) -> int:
        """Fraction bits of all weights and of the radius."""

    @abstractmethod
    def fixed(self, bits: int) -> list[int]:
        """The weights times 2^bits, row major; `bits` is at least that of the matrix."""

    @abstractmethod
    def fixed_radius(self, bits: int) -> int:
        """How far a true weight may be from the stated one, times 2^bits."""


@dataclass(frozen=True)
class Block(Matrix):
    """One weight matrix of float64."""

    radius: float  # how far each true weight may be from the stored one
    weights: array[float]  # row major
    low: array[float] | None = None  # what is added to the weights, None if nothing is

    def needed_bits(self) -> int:
        return fraction_bits(self.weights + array("d", [self.radius]) + (self.low or array("d")))

    def fixed(self, bits: int) -> list[int]:
        high = [fixed(x, bits) if x else 0 for x in self.weights]
        return high if self.low is None else [x + fixed(y, bits) for x, y in zip(high, self.low, strict=True)]

    def fixed_radius(self, bits: int) -> int:
        return fixed(self.radius, bits)


@dataclass(frozen=True)
class IntegerBlock(Matrix):
    """One weight matrix of integers over 2^bits."""

    bits: int
    radius: int  # times 2^bits
    entries: list[int]  # row major

    def needed_bits(self) -> int:
        return self.bits

    def fixed(self, bits: int) -> list[int]:
        return [x << bits - self.bits for x in self.entries]

    def fixed_radius(self, bits: int) -> int:
        return self.radius << bits - self.bits


def read_headers(blocks: list[Any], sizes: list[int]) -> tuple[list[list[Any]], int]:
    """Return the values of the blocks' keys and how many weights they have; nothing is unpacked yet.

    `sizes` are those of the input, of every group and of the output.
    """
    found, previous, total = [], (0, 0), 0
    for b, block in enumerate(blocks):
        doubled = type(block) is dict and "low" in block
        target, source, *rest = members(block, f"blocks[{b}]", "to from radius weights" + " low" * doubled)
        integer(target, f"blocks[{b}].to", 1, len(sizes) - 1)
        integer(source, f"blocks[{b}].from", 0, target - 1)
        if (target, source) <= previous:
            raise Rejected(f"blocks[{b}] is a duplicate or out of order")
        previous = (target, source)
        total += sizes[target] * sizes[source] * (1 + doubled)
        found.append([target, source, *rest])
    return found, total


def read_blocks(headers: list[list[Any]], sizes: list[int], digest: Any, doubled: bool) -> list[Block]:
    """Return the blocks, and add them to the hash; `doubled` says whether that of the network knows low parts."""
    matrices = []
    for b, (target, source, radius, weights, *low) in enumerate(headers):
        radius = real(radius, f"blocks[{b}].radius", 0.0)
        weights = values(weights, f"blocks[{b}].weights", "d", sizes[target] * sizes[source])
        digest.update(struct.pack("<qqd", target, source, radius) + little_endian(weights))
        low = values(low[0], f"blocks[{b}].low", "d", sizes[target] * sizes[source]) if low else None
        if doubled:
            digest.update(struct.pack("<q", low is not None) + (b"" if low is None else little_endian(low)))
        matrices.append(Block(target, source, sizes[target], sizes[source], radius, weights, low))
    return matrices
