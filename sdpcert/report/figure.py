"""What a figure shows, apart from how it is drawn: axes, series, and the same numbers as a table of data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sdpcert.report.pictures import Picture

#: Values beyond it, or on a logarithmic axis below one over it, leave the figure: room around them would overflow.
LARGEST_SHOWN = 1e290


@dataclass(frozen=True)
class Axis:
    """An axis: label, unit (may be empty), whether it is logarithmic, limits (None: the data set them), and whether it
    counts, so that only whole numbers have ticks.
    """

    label: str
    unit: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    whole: bool = False

    @property
    def title(self) -> str:
        """Label with unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


@dataclass(frozen=True)
class Series:
    """One set of points: `mark` is "line", "points", "step", "area", "bars" (horizontal) or "rungs" (horizontal).

    A step, whose corners are given, has markers at those of the numbers `marked`; an area is filled down to zero.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    mark: str = "line"
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Data:
    """The numbers of a figure as a table, rounded if they are bounds."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A figure: `key` names its file, `summary` says in words what is to be seen, `text` defines what is shown.

    With `categories`, y counts them from the top, and bars of several series are stacked. `regions` are the places on
    the x axis at which another layer begins, with its name. With `shaded` the first two series have the same places,
    and what lies between them is shaded. With `pictures`, rows of them with their names, there are no axes.
    """

    key: str
    title: str
    summary: str
    text: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    data: Data
    categories: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    regions: tuple[tuple[float, str], ...] = ()
    shaded: bool = False
    pictures: tuple[tuple[str, tuple[Picture, ...]], ...] = ()

    def limits(self, axis: str) -> tuple[float, float]:
        """The least and the largest value on the axis "x" or "y", with room around; positive on a logarithmic one."""
        described = self.x if axis == "x" else self.y
        least = 1 / LARGEST_SHOWN if described.log else -LARGEST_SHOWN
        values = [v for s in self.series for v in getattr(s, axis) if least <= v <= LARGEST_SHOWN]
        if axis == "x" and any(s.mark == "bars" for s in self.series):
            stacked = [sum(s.x[k] for s in self.series) for k in range(len(self.categories))]
            values += [0.0, *stacked]
        low, high = min(values, default=0.1), max(values, default=1.0)
        if described.log:
            room = max((high / low) ** 0.06, 1.02)
            low, high = low / room, high * room
        else:
            room = 0.05 * (high - low or abs(high) or 1.0)
            low, high = low - (room if low != 0 else 0), high + room
        return (low if described.low is None else described.low, high if described.high is None else described.high)


def ticks(low: float, high: float, log: bool, most: int = 6) -> list[float]:
    """Round numbers between two limits: 1, 2 or 5 times powers of ten, or powers of ten if the axis is long."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        for parts in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [m * 10.0**e for e in range(first, last + 1) for m in parts if low <= m * 10.0**e <= high]
            if len(found) <= most:
                if len(found) >= 2:
                    return found
                break
        if last - first <= 2:
            return ticks(low, high, False, most)
        step = max(1, math.ceil((last - first + 1) / most))
        powers = [10.0**e for e in range(first, last + 1) if e % step == 0]
        return [p for p in powers if low <= p <= high]
    span = high - low
    if not span > 0:
        return [low]
    raw = span / most
    base = 10.0 ** math.floor(math.log10(raw))
    step = next((m * base for m in (1, 2, 5, 10) if m * base >= raw * (1 - 1e-9)), 10 * base)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def tick_labels(values: Sequence[float], log: bool) -> list[str]:
    """Short texts for the ticks of an axis; on a logarithmic one all have powers of ten if one needs it."""
    powers = log and any(v >= 1e5 or v < 1e-3 for v in values)
    return [tick_label(value, powers) for value in values]


def tick_label(value: float, power_of_ten: bool = False) -> str:
    """A short text for a tick."""
    if value == 0:
        return "0"
    if not power_of_ten and 1e-3 <= abs(value) < 1e5:
        return f"{value:.6g}"
    mantissa, exponent = f"{value:.5e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if mantissa == "1" else f"{mantissa}·{power}"
