"""Intervals of integers that contain values of exp, log, the normal integral, sine and arctangent, and pi.

A number is held as an integer n with a number of fraction bits p, for n 2^-p, and what is not exact as two of them.
Nothing is taken from a library of functions. Every series is summed with `GUARD` further bits, and the comment beside
it bounds the error in units of its last place ("units"); p is at most `MOST_BITS`, so that fewer than 2^11 terms count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from math import isqrt

GUARD = 64
MOST_BITS = 2**13
#: exp reduces its argument by this power of two, and squares as often.
HALVINGS = 8


@dataclass(frozen=True, slots=True)
class Interval:
    """All numbers from low 2^-bits to high 2^-bits; what arithmetic returns contains every result.

    Two operands have the same bits; an integer stands for itself.
    """

    low: int
    high: int
    bits: int

    @classmethod
    def around(cls, number: Fraction, bits: int) -> Interval:
        """The least interval that contains a number."""
        scaled, denominator = number.numerator << bits, number.denominator
        return cls(scaled // denominator, -(-scaled // denominator), bits)

    @classmethod
    def near(cls, number: int, error: int, bits: int) -> Interval:
        """What is within `error` of `number`, both in units of 2^-(bits + GUARD)."""
        return cls((number - error) >> GUARD, -((-number - error) >> GUARD), bits)

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """Both ends."""
        return Fraction(self.low, 1 << self.bits), Fraction(self.high, 1 << self.bits)

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low, self.bits)

    def __add__(self, other: Interval | int) -> Interval:
        other = self._operand(other)
        return Interval(self.low + other.low, self.high + other.high, self.bits)

    def __sub__(self, other: Interval | int) -> Interval:
        other = self._operand(other)
        return Interval(self.low - other.high, self.high - other.low, self.bits)

    def __mul__(self, other: Interval | int) -> Interval:
        if isinstance(other, int):
            ends = self.low * other, self.high * other
            return Interval(min(ends), max(ends), self.bits)
        if self.low >= 0 and other.low >= 0:
            least, most = self.low * other.low, self.high * other.high
        else:
            corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
            least, most = min(corners), max(corners)
        return Interval(least >> self.bits, -(-most >> self.bits), self.bits)

    def __truediv__(self, other: Interval | int) -> Interval:
        """The quotient by what is positive."""
        other = self._operand(other)
        if other.low <= 0:
            raise ZeroDivisionError("the divisor is not surely positive")
        least, most = self.low << self.bits, self.high << self.bits
        least //= other.high if least >= 0 else other.low
        most = -(-most // (other.low if most >= 0 else other.high))
        return Interval(least, most, self.bits)

    def _operand(self, other: Interval | int) -> Interval:
        return Interval(other << self.bits, other << self.bits, self.bits) if isinstance(other, int) else other


def square_root(number: Interval) -> Interval:
    """Enclose the square root of what is not negative."""
    bits = number.bits
    return Interval(isqrt(number.low << bits), isqrt(number.high << bits) + 1, bits)


def exponential(exponent: Interval) -> Interval:
    """Enclose e^v; v is below 2^19."""
    low = _exponential(exponent.low, exponent.bits)
    high = low if exponent.high == exponent.low else _exponential(exponent.high, exponent.bits)
    return Interval(low.low, high.high, exponent.bits)


def _exponential(number: int, bits: int) -> Interval:
    """e^v = 2^k (e^(r / 2^8))^(2^8), v = k log 2 + r and 0 <= r < log 2."""
    if number < -bits << bits:  # e^-bits < 2^-bits
        return Interval(0, 1, bits)
    if number >> bits >= 2**19:
        raise OverflowError("exp of a number above 2^19")
    fine = bits + GUARD
    number <<= GUARD
    log_two = logarithm_of_two(fine).low
    k = number // log_two
    # |k| < 2^20, and log_two is off by less than 8 units, hence r by less than 2^23, and r / 2^8 by 2^15 + 1.
    step = (number - k * log_two) >> HALVINGS
    term = total = 1 << fine
    m = 0
    while term:
        m += 1
        term = (term * step >> fine) // m
        total += term
    # Every term is at most 2 units too small (what its predecessor lacks is multiplied by less than 2^-8), those left
    # out are less than 4 together. With the error of the step the sum is off by less than 2^16 + 2^12 + 6 < 2^17
    # units. It is at least 1: its relative error is 2^17 units. Each squaring doubles that and adds one for its own
    # rounding, and the terms of second order are far below one unit: less than 2^17 2^8 + 2^8 < 2^26 at the end.
    for _ in range(HALVINGS):
        total = total * total >> fine
    error = (total >> (fine - 26)) + 1
    low, high = total - error, total + error
    shift = k - GUARD
    if shift >= 0:
        return Interval(low << shift, high << shift, bits)
    return Interval(low >> -shift, -(-high >> -shift), bits)


def logarithm_above_one(number: Interval) -> Interval:
    """Enclose log(1 + u), u in [0, 1]: twice the inverse hyperbolic tangent of u / (2 + u), at most 1/3."""
    ratio = number / (number + 2)
    low = _inverse_tangent(ratio.low << GUARD, ratio.bits + GUARD, 1) * 2
    high = _inverse_tangent(ratio.high << GUARD, ratio.bits + GUARD, 1) * 2
    # 2 times the error that is stated there.
    return Interval((low - 2**16) >> GUARD, -((-high - 2**16) >> GUARD), ratio.bits)


@cache
def logarithm_of_two(bits: int) -> Interval:
    """Enclose log 2."""
    return logarithm_above_one(Interval(1 << bits, 1 << bits, bits))


def _inverse_tangent(number: int, fine: int, sign: int) -> int:
    """The sum of sign^m y^(2m+1) / (2m+1), y at most 1/3 and a little: within 2^15 units of the function.

    Sign 1 is for the inverse hyperbolic tangent, -1 for the arctangent.
    """
    square = number * number >> fine
    term, total, m, factor = abs(number), 0, 0, 1
    while term:
        total += factor * (term // (2 * m + 1))
        term = term * square >> fine
        m += 1
        factor *= sign
    # Every power is at most 2 units too small (the square is at most 1, and it is at most 1/9), every quotient one
    # more; there are at most fine / 3 + 1 < 2^12 of them, and those left out are at most 3 units together.
    return total if number >= 0 else -total


@lru_cache(maxsize=64)
def pi(bits: int) -> Interval:
    """Enclose pi by Machin's formula, 16 arctan(1/5) - 4 arctan(1/239)."""
    fine = bits + GUARD
    fifth, small = (_inverse_tangent((1 << fine) // k, fine, -1) for k in (5, 239))
    # 20 times the error of the arctangents, and that of their arguments, at most one unit each.
    return Interval.near(16 * fifth - 4 * small, 20 * (2**15 + 1), bits)


@lru_cache(maxsize=64)
def _sixteenths(bits: int) -> tuple[int, ...]:
    """arctan(j / 16), j = 0 to 16, each within 2^20 units of 2^-(bits + GUARD)."""
    fine, found = bits + GUARD, [0]
    for j in range(1, 17):  # arctan a - arctan b = arctan((a - b) / (1 + a b))
        found.append(found[-1] + _inverse_tangent((16 << fine) // (256 + j * (j - 1)), fine, -1))
    return tuple(found)


def arctangent(number: Fraction, bits: int) -> Interval:
    """Enclose the arctangent of a rational number of any size."""
    size = abs(number)
    inverse = 1 / size if size > 1 else size
    nearest = round(16 * inverse)
    fine = bits + GUARD
    rest = (inverse - Fraction(nearest, 16)) / (1 + inverse * Fraction(nearest, 16))
    found = _sixteenths(bits)[nearest] + _inverse_tangent((rest.numerator << fine) // rest.denominator, fine, -1)
    angle = Interval.near(found, 2**21, bits)
    if size > 1:
        angle = pi(bits) / 2 - angle
    return angle if number >= 0 else -angle


def cosine(number: Fraction, quarters: int, bits: int) -> Interval:
    """Enclose cos(v + quarters pi / 2) of a rational number of any size."""
    fine = bits + GUARD
    # So many bits that the multiple of pi/2 is right to a unit of 2^-fine.
    wide = fine + 64 * (abs(number.numerator // number.denominator).bit_length() // 64 + 1)
    if wide > MOST_BITS:
        raise OverflowError("the cosine of a number of thousands of bits")
    half_turn = pi(wide).low  # less than 2 units of 2^-wide too small
    scaled = (number.numerator << wide) // number.denominator
    k = (2 * scaled + half_turn // 2) // half_turn  # the nearest multiple of pi/2
    rest = (2 * scaled - k * half_turn) >> (wide - fine + 1)
    quadrant = (k + quarters) % 4  # cos, -sin, -cos, sin of the rest
    # The rest is off by at most 3 units, and at most 0.8.
    square = rest * rest >> fine
    term, m = (1 << fine, 0) if quadrant % 2 == 0 else (abs(rest), 1)
    total, sign = 0, 1
    while term:
        total += sign * term
        term = (term * square >> fine) // ((m + 1) * (m + 2))
        sign, m = -sign, m + 2
    # Every term is at most 3 units too small, there are fewer than 2^11, and those left out are 3 units at most.
    if quadrant % 2 and rest < 0:
        total = -total
    found = Interval.near(-total if quadrant in (1, 2) else total, 2**14, bits)
    one = 1 << bits
    return Interval(max(found.low, -one), min(found.high, one), bits)


def gaussian_sum(square: Interval) -> Interval:
    """Enclose T(y), the sum of y^n / (1 3 5 ... (2n + 1)), y >= 0.

    The normal distribution function is `1/2 + v T(v^2) e^(-v^2 / 2) / sqrt(2 pi)`: both sides have the derivative
    `e^(-v^2 / 2) / sqrt(2 pi)`, as `(v T(v^2))' = 1 + v^2 T(v^2)`.
    """
    bits = square.bits
    fine = bits + GUARD
    least, most = square.low, square.high
    low_term = high_term = low = high = 1 << fine
    m = 1
    # From where y / (m + 2) is at most 1/2 on, what follows a term is at most as much as that term.
    while low_term or high_term > 1 or 2 * most > (m + 2) << bits:
        m += 2
        low_term = (low_term * least >> bits) // m
        high_term = -((-high_term * most >> bits) // m)
        low += low_term
        high += high_term
    return Interval(low >> GUARD, -(-(high + high_term) >> GUARD), bits)


def root(rising: Callable[[Interval], Interval], low: int, high: int, bits: int) -> Interval:
    """Enclose the only zero in [low, high] of a function that is negative to its left and positive to its right."""
    ends = [low << bits, high << bits]
    while ends[1] - ends[0] > 1:
        middle = sum(ends) // 2
        value = rising(Interval(middle, middle, bits))
        if value.low <= 0 <= value.high:
            break
        ends[value.low > 0] = middle
    return Interval(ends[0], ends[1], bits)
