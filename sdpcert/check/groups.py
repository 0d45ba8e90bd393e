"""Slopes and multipliers by groups of neurons, which a condition of either form states in the same way."""

from __future__ import annotations

import operator
import struct
from array import array
from fractions import Fraction
from typing import Any

from .reading import Rejected, integer, little_endian, members, real, text, values


def read_slopes(
    groups: list[list[Any]], digest: Any, coupled: list[int] | None = None
) -> tuple[list[str], list[array[float]], list[array[float]]]:
    """Return each group's activation (a name for people) and slopes alpha and beta, and add them to the hash.

    A group is given as size, which is checked before, activation, alpha and beta. With `coupled` the hash has that of
    every group after its size.
    """
    activations, lows, highs = [], [], []
    for g, (size, activation, low, high) in enumerate(groups, 1):
        activations.append(text(activation, f"activation of group {g}"))
        lows.append(values(low, f"alpha of group {g}", "d", size))
        highs.append(values(high, f"beta of group {g}", "d", size))
        if not all(map(operator.le, lows[-1], highs[-1])):
            raise Rejected(f"group {g} has alpha > beta")
        counts = [size] if coupled is None else [size, coupled[g - 1]]
        digest.update(struct.pack(f"<{len(counts)}q", *counts) + little_endian(lows[-1]) + little_endian(highs[-1]))
    return activations, lows, highs


def read_multipliers(value: Any, sizes: list[int], upper: float) -> tuple[float, list[array[float]], int]:
    """Return rho, one array of multipliers for each group of the given sizes, and the exponent s.

    Raises `Rejected` if upper < 2^s sqrt(rho).
    """
    rho, multipliers, exponent = members(value, "multipliers", "rho lambda exponent")
    rho = real(rho, "multipliers.rho", 0.0)
    exponent = integer(exponent, "multipliers.exponent", -1100, 1100)
    if type(multipliers) is not list or len(multipliers) != len(sizes):
        raise Rejected("multipliers.lambda is not a list of one array per group")
    multipliers = [
        values(array, f"lambda of group {g}", "d", size, low=0.0)
        for g, (array, size) in enumerate(zip(multipliers, sizes, strict=True), 1)
    ]
    if Fraction(upper) ** 2 < Fraction(4) ** exponent * Fraction(rho):
        raise Rejected("upper is less than 2^s sqrt(rho)")
    return rho, multipliers, exponent
