"""Formulas of entries taken apart: sums with nonnegative numbers in front."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from sdpcert.errors import StepRejected
from sdpcert.symbolic.entries import Constant, Entry, Product, Sum, Total


def scaled_parts(entry: Entry, scale: Fraction = Fraction(1)) -> Iterator[tuple[Fraction, Entry]]:
    """The parts of a sum, with the numbers that they are multiplied by, also in front of inner sums."""
    if isinstance(entry, Sum):
        for part in entry.parts:
            yield from scaled_parts(part, scale)
        return
    if isinstance(entry, Product):
        others = [(part, exponent) for part, exponent in entry.factors if not isinstance(part, Constant)]
        for part, exponent in entry.factors:
            if isinstance(part, Constant):
                scale = scale * constant_power(part, exponent)
        if len(others) == 1 and others[0][1] == 1:
            yield from scaled_parts(others[0][0], scale)
        else:
            yield scale, _inside(others) if others else Constant(Fraction(1))
        return
    yield scale, entry


def _inside(factors: list[tuple[Entry, Fraction]]) -> Entry:
    """A product, what stands before a single sum inside of it."""
    sums = [part for part, exponent in factors if type(part) is Total and exponent == 1]
    if len(sums) != 1:
        return Product(tuple(factors))
    body = sums[0].body
    own = body.factors if isinstance(body, Product) else ((body, Fraction(1)),)
    before = tuple(factor for factor in factors if factor[0] is not sums[0])
    return Total(Product((*before, *own)), sums[0].index, sums[0].without)


def constant_power(part: Constant, exponent: Fraction) -> Fraction:
    """The value of a constant's power; raises `StepRejected` for a root."""
    if exponent.denominator != 1:
        raise StepRejected(f"the constant {part} to the power {exponent} is not rational: write its value")
    if not part.value and exponent < 0:
        raise StepRejected("a formula divides by zero")
    return part.value ** int(exponent)
