"""Numbers for people: rounded in the direction that keeps them true."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal


def rounded_up(value: float, digits: int = 10) -> str:
    """The value with `digits` significant digits, never below it."""
    return _rounded(value, digits, ROUND_CEILING)


def rounded_down(value: float, digits: int = 10) -> str:
    """The value with `digits` significant digits, never above it."""
    return _rounded(value, digits, ROUND_FLOOR)


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
    exact = Context(prec=digits, rounding=direction).create_decimal(Decimal(value))
    return f"{float(exact):.{digits}g}" if exact == Decimal(f"{float(exact):.{digits}g}") else format(exact, "g")


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
