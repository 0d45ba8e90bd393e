"""What is known of an undecided neuron: polynomials of its preactivation v and activation z that are >= 0."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite
from typing import NamedTuple

from .integers import rounded_to
from .reading import Rejected
from .state import Neurons

#: Bits of the offset of a line that are kept.
KEPT_BITS = 96
ZERO, ONE = Fraction(0), Fraction(1)


class Polynomial(NamedTuple):
    """`one + v v + z z + vv v^2 + vz v z + zz z^2`: every field is the coefficient of the product that names it."""

    one: Fraction = ZERO
    v: Fraction = ZERO
    z: Fraction = ZERO
    vv: Fraction = ZERO
    vz: Fraction = ZERO
    zz: Fraction = ZERO

    def plus(self, other: Polynomial, weight: Fraction = ONE) -> Polynomial:
        """The sum of this one and another one times a weight."""
        return Polynomial(*(x + weight * y if y else x for x, y in zip(self, other, strict=True)))

    def negated(self) -> Polynomial:
        """Minus this one."""
        return Polynomial(*(-x for x in self))

    def times(self, other: Polynomial) -> Polynomial:
        """The product of two affine functions."""
        return Polynomial(
            _dot((self.one, other.one)),
            _dot((self.one, other.v), (self.v, other.one)),
            _dot((self.one, other.z), (self.z, other.one)),
            _dot((self.v, other.v)),
            _dot((self.v, other.z), (self.z, other.v)),
            _dot((self.z, other.z)),
        )

    @property
    def reads_preactivation(self) -> bool:
        """Whether v occurs."""
        return bool(self.v or self.vv or self.vz)

    @property
    def reads_activation(self) -> bool:
        """Whether z occurs."""
        return bool(self.z or self.vz or self.zz)

    def change(self, error: Fraction, most_v: Fraction | None, most_z: Fraction | None) -> Fraction:
        """What it may change by if v does by at most `error`, on bounds of |v| and |z|, None where there is none."""
        if not error:
            return ZERO
        if (self.vv and most_v is None) or (self.vz and most_z is None):
            raise Rejected("its preactivation is not known exactly, and what that multiplies has no bound")
        found = abs(self.v) + abs(self.vz) * (most_z or ZERO)
        return error * (found + abs(self.vv) * (2 * (most_v or ZERO) + error))


V, Z, UNIT = Polynomial(v=ONE), Polynomial(z=ONE), Polynomial(one=ONE)
Facts = list[Polynomial | None]


def count_of_facts(known: Neurons, neuron: int) -> int:
    """How many facts there are of an undecided neuron."""
    return 3 if known.activation.kink(neuron, known.interval(neuron)) is None else 6


def facts_of(known: Neurons, neuron: int) -> Facts:
    """The facts of an undecided neuron in the order of the format page; None for one that there is not."""
    below, above = (_line(known, neuron, is_below) for is_below in (True, False))
    kink = known.activation.kink(neuron, known.interval(neuron))
    if kink is None:
        down = None if below is None else Z.plus(below, -ONE)
        up = None if above is None else above.plus(Z, -ONE)
        return [None if down is None or up is None else up.times(down), down, up]
    left, right = (Z.plus(Polynomial(one=Fraction(value), v=Fraction(slope)), -ONE) for slope, value in kink)
    if left.v < right.v:  # the slope falls: the activation is the lesser of the two pieces
        first, second = left.negated(), right.negated()
        room = None if below is None else Z.plus(below, -ONE)
    else:
        first, second = left, right
        room = None if above is None else above.plus(Z, -ONE)
    low, high = known.interval(neuron)
    from_low = V.plus(UNIT, -Fraction(low)) if isfinite(low) else None
    to_high = V.negated().plus(UNIT, Fraction(high)) if isfinite(high) else None
    return [
        left.times(right).negated(),
        first,
        second,
        room,
        None if from_low is None else second.times(from_low),
        None if to_high is None else first.times(to_high),
    ]


def weighed(facts: Facts, weights: Sequence[float]) -> Polynomial:
    """The sum of the facts with weights >= 0."""
    total = Polynomial()
    for k, (fact, weight) in enumerate(zip(facts, weights, strict=True)):
        if weight:
            if fact is None:
                raise Rejected(f"fact {k} needs an end or a line that there is not")
            total = total.plus(fact, Fraction(weight))
    return total


def _dot(*pairs: tuple[Fraction, Fraction]) -> Fraction:
    """The sum of products, most of which are zero."""
    return sum((x * y for x, y in pairs if x and y), ZERO)


def _line(known: Neurons, neuron: int, below: bool) -> Polynomial | None:
    """The line below or above an activation, its offset rounded outward to `KEPT_BITS`."""
    line = known.lines[neuron][0 if below else 1]
    if line is None:
        return None
    slope, offset = line
    kept = known.bits - max(offset.bit_length() - KEPT_BITS, 0)
    rounded = rounded_to(offset, known.bits, kept, below)
    value = Fraction(rounded, 1 << kept) if kept >= 0 else Fraction(rounded << -kept)
    return Polynomial(one=value, v=Fraction(slope))
