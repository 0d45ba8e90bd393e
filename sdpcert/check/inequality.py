"""The matrix inequality of a stacked form, and the Gram matrix of what reads its input."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .blocks import Block, Matrix
from .reading import Rejected
from .symmetric import Gram

#: Entries of M, and multiplications that form them, that are worth an hour or two in integers.
MAX_ENTRIES, MAX_PRODUCTS = 2 * 10**9, 10**12


@dataclass(frozen=True)
class Inequality:
    """M(rho, lambda) >= 0 for one stacked form.

    Args:
        sizes: of the input, of each group, of the output.
        alpha: least slopes, one array for each group.
        beta: greatest slopes.
        multipliers: one array for each group.
        rho: the factor of the input's norm.
        exponent: s; the output's rows count 4^(-s) times.
        blocks: increasing in (target, source).
    """

    sizes: list[int]
    alpha: Sequence[array[float]]
    beta: Sequence[array[float]]
    multipliers: Sequence[array[float]]
    rho: float
    exponent: int
    blocks: Sequence[Matrix]

    def offsets(self) -> list[int]:
        """The first coordinate of the input, of each group, and beyond the last."""
        found = [0]
        for size in self.sizes[:-1]:
            found.append(found[-1] + size)
        return found

    def squares(self) -> list[int]:
        """The targets whose rows k_i enter M as squares k_i k_i': the output, and groups with two slopes not zero."""
        groups = zip(self.alpha, self.beta, self.multipliers, strict=True)
        found = [g for g, arrays in enumerate(groups, 1) if any(a and b and t for a, b, t in zip(*arrays, strict=True))]
        return [*found, len(self.sizes) - 1]

    def ordered(self, sources: Sequence[int]) -> list[int]:
        """The coordinates in an order of the sources."""
        offsets = self.offsets()
        return [c for source in sources for c in range(offsets[source], offsets[source + 1])]

    def cliques(self) -> list[list[int]]:
        """Sources that M connects with each other: a group with each that it reads, and all that a square reads."""
        last, squares = len(self.sizes) - 1, set(self.squares())
        found = [[block.target, block.source] for block in self.blocks if block.target < last]
        read: dict[int, list[int]] = {}
        for block in self.blocks:
            if block.target in squares:
                read.setdefault(block.target, []).append(block.source)
        return [*found, *read.values()]

    def check_work(self) -> None:
        """Raise `Rejected` if forming the entries of M one by one takes more than a checker does."""
        widths = dict.fromkeys(self.squares(), 0)
        for block in self.blocks:
            if block.target in widths:
                widths[block.target] += block.columns
        if sum(width**2 for width in widths.values()) > 2 * MAX_ENTRIES:
            raise Rejected(f"M has more than {MAX_ENTRIES} entries")
        if sum(self.sizes[target] * width**2 for target, width in widths.items()) > 2 * MAX_PRODUCTS:
            raise Rejected(f"M takes more than {MAX_PRODUCTS} multiplications")

    def reading(self, blocks: Sequence[Matrix], inputs: int) -> Inequality:
        """The inequality with other blocks and another number of inputs."""
        return replace(self, sizes=[inputs, *self.sizes[1:]], blocks=blocks)


class InputGram(Gram):
    """G G' for G all blocks that read the input, which R R' has to dominate if R is to stand for G."""

    def __init__(self, blocks: Sequence[Matrix]) -> None:
        self.blocks = blocks
        self.readers = [block for block in blocks if block.source == 0]
        self.inputs = self.readers[0].columns if self.readers else 0
        bits = max((block.needed_bits() for block in self.readers), default=0)
        gathered = [x for block in self.readers for x in block.fixed(bits)]  # row major
        rows = [gathered[i : i + self.inputs] for i in range(0, len(gathered), max(self.inputs, 1))]
        super().__init__(rows, bits)

    def allowances(self, shifts: list[int]) -> list[int]:
        found = [0] * self.size
        radii = [radius for block in self.readers for radius in [block.fixed_radius(self.bits)] * block.rows]
        if any(radii):
            sums = [sum(map(abs, row)) for row in self.gathered]
            all_radii = sum(map(operator.lshift, radii, shifts))
            all_sums = sum(map(operator.lshift, sums, shifts))
            for i, shift in enumerate(shifts):
                allowance = radii[i] * (all_sums + self.inputs * all_radii) + sums[i] * all_radii
                found[i] = allowance << shift
        return found

    def replaced(self, factor: array[float]) -> list[Matrix]:
        """All blocks, those that read the input with their rows of R."""
        found: list[Matrix] = []
        row, m = 0, self.size
        for block in self.blocks:
            if block.source == 0:
                found.append(Block(block.target, 0, block.rows, m, 0.0, factor[row * m : (row + block.rows) * m]))
                row += block.rows
            else:
                found.append(block)
        return found
