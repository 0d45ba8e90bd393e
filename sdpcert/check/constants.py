"""Constants of the differences of two outputs on all inputs, each proved by one condition."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf, nextafter
from typing import Any

from . import cover
from .differences import Differences
from .needed import root_up
from .network import Network
from .pieces import MAX_EXPONENT, Bounded, Piece, Requirement
from .reading import Rejected, integer, items, members, real, values_up_to, within
from .region import ALL, Region


@dataclass(frozen=True)
class PairConstant:
    """`|m(x) - m(x')| <= 2^exponent sqrt(rho) |x - x'|` for all inputs, m the difference of the outputs of two classes.

    It is a region (all inputs) with one piece, which has no steps and ends in the condition; `network` has the
    difference as its only output.
    """

    name: str
    classes: tuple[int, int]
    network: Network
    condition: Bounded

    region: Region = ALL
    requirements: tuple[Requirement, ...] = ()

    @property
    def squared(self) -> Fraction:
        """The square of the constant."""
        return Fraction(4) ** self.condition.exponent * Fraction(self.condition.rho)

    @property
    def upper(self) -> float:
        """The constant, rounded up to a float64."""
        root = root_up(self.squared)
        try:
            near = float(root)
        except OverflowError:
            raise Rejected("it is too large") from None
        return nextafter(near, inf) if near < root else near

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The one piece."""
        return (Piece("", None, None, (), self.condition),)

    @property
    def work(self) -> int:
        """About how many multiplications a proof in integers takes."""
        return cover.work_of(self.network, self.pieces)

    def prove(self, exact: bool) -> str:
        """Prove the condition, and return the arithmetic; raise `Rejected` if it does not hold."""
        with within(self.name):
            return cover.prove(self, exact)


def read(value: Any, name: str, differences: Differences) -> dict[tuple[int, int], PairConstant]:
    """Return the constants of pairs of classes, no pair twice."""
    found: dict[tuple[int, int], PairConstant] = {}
    *groups, pairs = differences.network.groups
    for k, one in enumerate(items(value, name, 0, pairs.size)):
        own = f"{name}[{k}]"
        classes, rho, exponent, arrays = members(one, own, "classes rho exponent multipliers")
        first, second = items(classes, f"{own}.classes", 2, 2)
        second = integer(second, f"{own}.classes[1]", 1, differences.classes - 1)
        pair = integer(first, f"{own}.classes[0]", 0, second - 1), second
        if pair in found:
            raise Rejected(f"{own} is the second of its pair of classes")
        rho = real(rho, f"{own}.rho", 0.0)
        exponent = integer(exponent, f"{own}.exponent", -MAX_EXPONENT, MAX_EXPONENT)
        multipliers = tuple(
            values_up_to(numbers, f"{own}.multipliers[{g}]", "d", group.size, 0.0)
            for g, (group, numbers) in enumerate(
                zip(groups, items(arrays, f"{own}.multipliers", len(groups), len(groups)), strict=True)
            )
        )
        found[pair] = PairConstant(own, pair, differences.of_pair(*pair), Bounded(rho, exponent, multipliers))
    return found
