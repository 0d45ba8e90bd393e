"""Numbers for people: rounded in the direction that keeps them true, and never so that rounding reads as a result.

A bound of 1 + 5e-15 with ten digits, rounded up, would be 1.000000001: a layer that is claimed to be 1-Lipschitz would
seem to miss that by a million times what it does. What lies next to a short decimal is written with as many digits as
show how near that is: 1.000000000000005.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

#: How many digits fewer than others a decimal has that numbers are shown next to.
SPARE = 4


def rounded_up(value: float, digits: int = 10) -> str:
    """The value with `digits` significant digits, never below it."""
    return _rounded(value, digits, ROUND_CEILING)


def rounded_down(value: float, digits: int = 10) -> str:
    """The value with `digits` significant digits, never above it."""
    return _rounded(value, digits, ROUND_FLOOR)


def rounded_apart(lower: float, upper: float, digits: int = 10) -> tuple[str, str]:
    """Both ends of an interval: the lower one rounded down and the upper one up; ends that are equal look equal.

    Those are written as the shortest decimal that stands for the number.
    """
    if lower == upper and math.isfinite(upper):
        same = format(Decimal(repr(float(upper))).normalize(), "g")
        return same, same
    return rounded_down(lower, digits), rounded_up(upper, digits)


def radius_text(value: float, digits: int = 6) -> str:
    """A radius, chosen or proved: the decimal that stands for it, rounded down if that has more digits.

    What is printed, read as a float64, is the radius or less.
    """
    if not math.isfinite(value):
        return str(value)
    exact = Context(prec=digits, rounding=ROUND_FLOOR).create_decimal(Decimal(repr(float(value))))
    return f"{float(exact):.{digits}g}"


def _rounded(value: float, digits: int, direction: str) -> str:
    if not math.isfinite(value):
        return str(value)
    exact = Decimal(value)
    rounded = Context(prec=digits, rounding=direction).create_decimal(exact)
    short = Context(prec=max(digits - SPARE, 1)).create_decimal(exact)
    last = Decimal(1).scaleb(rounded.adjusted() + 1 - digits)
    if digits > SPARE and rounded != short and 0 < abs(exact - short) < last:
        return _next_to(short, exact, direction)
    return (
        f"{float(rounded):.{digits}g}" if rounded == Decimal(f"{float(rounded):.{digits}g}") else format(rounded, "g")
    )


def _next_to(short: Decimal, exact: Decimal, direction: str) -> str:
    """A number next to a short decimal, with one digit of how far it is away."""
    away = Context(prec=1, rounding=direction).create_decimal(exact - short)
    return format((short + away).normalize(), "g")


def percent_down(share: float, places: int = 2) -> str:
    """A share of one in percent with `places` decimal places, never above it; without the unit."""
    return _percent(share, places, ROUND_FLOOR)


def percent_up(share: float, places: int = 2) -> str:
    """A share of one in percent with `places` decimal places, never below it; without the unit."""
    return _percent(share, places, ROUND_CEILING)


def _percent(share: float, places: int, direction: str) -> str:
    if not math.isfinite(share):
        return str(share)
    # The shortest decimal stands for the share: 9512 of 10000 is 95.12 %, although the float is a little less.
    return str((Decimal(repr(float(share))) * 100).quantize(Decimal(1).scaleb(-places), direction))


def seconds(value: float) -> str:
    """A duration with a unit."""
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"
