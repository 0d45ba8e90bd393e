"""Which inputs a bound is about, and how long to look for it: the options of regions and of branch and bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sdpcert.readers.points import load_point
from sdpcert.regions.around import apart, region_around
from sdpcert.regions.region import Box, Region
from sdpcert.report import radius_text
from sdpcert.verbs import options

Array = np.ndarray
NormName = Literal["l2", "linf"]

Around = Annotated[
    Path | None,
    typer.Option(metavar="X", help="bound near this point: .npy, or .npz with an array `inputs` (see --index)"),
]
Radius = Annotated[str | None, typer.Option(metavar="R", help="radius of the region around X, as in 0.05 or 8/255")]
Norm = Annotated[
    NormName | None,
    typer.Option(help="shape of the region around X: a ball (l2) or a box (linf); the constant stays l2 to l2"),
]
Within = Annotated[
    str | None, typer.Option(metavar="LO,HI", help="only inputs with all entries from LO to HI, as in 0,1")
]
Index = Annotated[int | None, typer.Option(min=0, metavar="I", help="which of a .npz file's points X is, from 0")]
BoxEnds = Annotated[
    tuple[str, str] | None,
    typer.Option("--box", metavar="LO HI", help="bound on a box: two numbers, or .npy files with an entry per input"),
]
Exact = Annotated[bool, typer.Option("--exact", help="branch and bound until upper and attained meet within --tol")]
Nodes = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="branch and bound, looking at so many pieces at most")
]
Pair = Annotated[
    str | None,
    typer.Option("--output-pair", "--pair", metavar="I,J", help="bound the difference of two outputs, f_I - f_J"),
]
Jobs = Annotated[int, typer.Option(min=1, metavar="K", help="processes of the branch and bound")]


@dataclass(frozen=True)
class ChosenRegion:
    """A region (None: all inputs), what a line says of it, and what `--json` does."""

    region: Region | None = None
    words: str = "all inputs"
    summary: dict[str, Any] = field(default_factory=lambda: {"kind": "all", "radius": None, "norm": None})


@dataclass(frozen=True)
class RegionOptions:
    """The options that choose a region, as they were given; ValueError with one line if they contradict each other."""

    around: Path | None = None
    radius: str | None = None
    norm: NormName | None = None
    within: str | None = None
    index: int | None = None
    box: tuple[str, str] | None = None
    vnnlib: Path | None = None
    alone: Path | None = None

    def __post_init__(self) -> None:
        beside = {"--radius": self.radius, "--norm": self.norm, "--within": self.within, "--index": self.index}
        given = [name for name, value in beside.items() if value is not None]
        for name, file in (("--vnnlib", self.vnnlib), ("--property", self.alone)):
            if file is not None and (self.around is not None or self.box is not None or given):
                other = "--around" if self.around else "--box" if self.box else given[0]
                raise ValueError(f"{name} and {other} both choose a region; give one")
        if self.box is not None and (self.around is not None or given):
            raise ValueError(f"--box and {'--around' if self.around else given[0]} both choose a region; give one")
        if self.around is None and given:
            raise ValueError(f"{given[0]} needs --around X.npy, the point that the region is around")
        if self.around is not None and self.radius is None:
            raise ValueError("--around needs --radius R, the radius of the region")

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return self.around is not None or self.box is not None or self.vnnlib is not None

    def chosen(self, inputs: int) -> ChosenRegion:
        """The region of a network with so many inputs; ValueError with one line that names the option or the file."""
        if self.box is not None:
            return self._box(self.box, inputs)
        if self.around is None or self.radius is None:
            return ChosenRegion()
        radius = options.numbers(self.radius, "--radius", "0.05 or 8/255", 1)[0]
        if not 0 < radius < math.inf:
            raise ValueError(f"--radius must be a positive finite number, not {self.radius}")
        within = chosen_within(self.within)
        point = load_point(self.around, inputs, self.index)
        norm = self.norm or "l2"
        entry = apart(point, radius, norm, within)
        if entry is not None:
            raise ValueError(
                f"--within {self.within}: entry {entry} of {self.around} is farther from it than --radius "
                f"{self.radius}; widen one of them"
            )
        try:
            region = region_around(point, radius, norm, within)
        except ValueError as error:
            raise ValueError(f"--radius {self.radius} around {self.around}: {error}") from None
        shape = f"{'box of half-width' if norm == 'linf' else 'ball of radius'} {radius_text(radius)}"
        place = str(self.around) if self.index is None else f"input {self.index} of {self.around}"
        cut = "" if within is None else f", within [{within[0]:g}, {within[1]:g}]"
        summary = {"kind": "box" if self.norm == "linf" else "ball", "radius": radius, "norm": self.norm or "l2"}
        summary |= {"around": str(self.around), "index": self.index, "within": None if within is None else list(within)}
        return ChosenRegion(region, f"on the {shape} around {place}{cut}", summary)

    def _box(self, ends: tuple[str, str], inputs: int) -> ChosenRegion:
        low, high = (_end(text, inputs) for text in ends)
        both = np.broadcast_arrays(low, high)
        if np.any(both[0] > both[1]):
            entry = int(np.argmax((both[0] > both[1]).ravel()))
            raise ValueError(f"--box {' '.join(ends)}: the lower end is above the upper one at entry {entry}")
        summary = {"kind": "box", "radius": None, "norm": None, "low": ends[0], "high": ends[1]}
        where = ", every entry" if low.size == high.size == 1 < inputs else ""
        return ChosenRegion(Box(low, high), f"on the box from {ends[0]} to {ends[1]}{where}", summary)


def _end(text: str, inputs: int) -> Array:
    """A number, or the entries of a file."""
    try:
        number = float(text)
    except ValueError:
        if Path(text).suffix.lower() != ".npy":
            raise ValueError(
                f"--box wants two numbers or two .npy files, as in --box 0 1 or --box low.npy high.npy, not {text!r}"
            ) from None
        return load_point(text, inputs)
    if not math.isfinite(number):
        raise ValueError(f"--box wants finite numbers, not {text}")
    return np.array([number])


def chosen_within(text: str | None) -> tuple[float, float] | None:
    """The two ends of `--within`; ValueError with one line if they are no finite numbers in their order."""
    if text is None:
        return None
    low, high = options.numbers(text, "--within", "0,1", 2)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"--within wants two finite numbers, the lower one first, as in 0,1, not {text}")
    return low, high


def chosen_pair(text: str | None, rows: str | None) -> tuple[int, int] | None:
    """The two outputs of `--pair`; ValueError with one line if they are no two outputs, or `--rows` is there too."""
    if text is None:
        return None
    if rows is not None:
        raise ValueError("--pair and --rows both choose outputs; give one")
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"--pair wants two outputs, counted from 0, as in 3,7, not {text!r}")
    first, second = (int(part) for part in parts)
    if first == second:
        raise ValueError(f"--pair wants two different outputs, as in 3,7, not {text!r}")
    return first, second


def check_together(given: bool, exact: bool, nodes: int | None, jobs: int, method: str, form: str, head: str) -> None:
    """ValueError with one line if a region or a branch and bound stands beside what does not go with it."""
    what = "--exact" if exact else "--nodes" if nodes is not None else "a region"
    if exact or nodes is not None or given:
        if method not in ("auto", "neuron"):
            raise ValueError(f"{what} has one multiplier per neuron: leave out --method {method}")
        if form == "frequency":
            raise ValueError(f"{what} needs every neuron by itself: leave out --form frequency")
        if head == "composed":
            raise ValueError(f"{what} needs the network as a whole: leave out --head composed")
    if jobs > 1 and not exact and nodes is None:
        raise ValueError("--jobs is for branch and bound: add --exact, --nodes, --vnnlib or --property")
