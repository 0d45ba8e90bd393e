"""The pieces that a region is divided into, and what a file states of each, checked for form and not for truth."""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Protocol

from .network import Network
from .reading import Rejected, integer, items, members, real, text, values, values_up_to
from .region import Region

MAX_PIECES, MAX_STEPS, MAX_DECISIONS = 10**6, 10**5, 10**4
#: Entries of all arrays of all pieces, and digits of all weights of flat ones.
MAX_ENTRIES = 10**8
MAX_DIGITS = 10**5
#: Python converts no more digits of a decimal number at once, if it is not told to.
DIGITS_AT_ONCE = 4000
MAX_EXPONENT = 1100


@dataclass(frozen=True)
class Lines:
    """Slopes of the lines below and above the activations of k neurons of one group (from 1), indices ascending.

    `lower` and `upper` have k slopes, in a step of R bounds R rows of k.
    """

    group: int
    neurons: array[int]
    lower: array[float]
    upper: array[float]


@dataclass(frozen=True)
class LinesStep:
    """New slopes of the lines of some neurons."""

    lines: Lines


@dataclass(frozen=True)
class SlopesStep:
    """Slopes of some smooth activations of one group on their intervals."""

    group: int
    neurons: array[int]
    alpha: array[float]
    beta: array[float]


@dataclass(frozen=True)
class BoundsStep:
    """`v >= values` (side "low") or `v <= values` (side "high") for R neurons of one group.

    `multipliers` has R rows, one entry for each decision of the piece; None is all zeros.
    """

    side: str
    group: int
    neurons: array[int]
    values: array[float]
    lines: tuple[Lines, ...]
    multipliers: array[float] | None


@dataclass(frozen=True)
class QuadraticStep:
    """`v >= value` (side "low") or `v <= value` ("high") for one neuron, by weighing quadratic facts of the piece.

    `scales` has the semi-axes of an ellipsoid, up to a factor, None for the region's ball, which `ball` weighs;
    `multipliers` has an array for each group before `group` (its length is checked when it is known which neurons are
    undecided), `decisions` one weight for each decision of the piece, None if all are zero.
    """

    side: str
    group: int
    neuron: int
    value: float
    scales: array[float] | None
    ball: float
    multipliers: tuple[array[float], ...]
    decisions: array[float] | None


Step = LinesStep | SlopesStep | BoundsStep | QuadraticStep

#: Weights of the facts of one neuron at most.
MAX_FACTS = 6


@dataclass(frozen=True)
class Split:
    """The piece is divided where preactivation `neuron` of `group` (input `neuron` for group 0) is `at`."""

    group: int
    neuron: int
    at: float


@dataclass(frozen=True)
class Bounded:
    """The condition with the slopes that the piece leaves holds at (rho, multipliers): end of kind "condition".

    `multipliers` has one array for each group; its length is checked when it is known which neurons are decided.
    """

    rho: float
    exponent: int
    multipliers: tuple[array[float], ...]


@dataclass(frozen=True)
class Empty:
    """The interval of some neuron is empty."""


@dataclass(frozen=True)
class Flat:
    """The half-spaces of the decisions, weighed by integers >= 0, leave no interior."""

    weights: tuple[int, ...]


@dataclass(frozen=True)
class Separated:
    """The bounds of the piece keep the class that is claimed above the others."""


End = Split | Bounded | Empty | Flat | Separated


@dataclass(frozen=True)
class Piece:
    """One piece: its parent's number and its side there, "below" or "above" (None for the first), steps and end."""

    name: str
    parent: int | None
    side: str | None
    steps: tuple[Step, ...]
    end: End


@dataclass(frozen=True)
class Requirement:
    """What every separated piece has to keep of a neuron of the last group, strictly.

    Side "low": its preactivation stays above `limit`; "high": below it.
    """

    neuron: int
    side: str
    limit: Fraction

    def holds(self, low: float, high: float) -> bool:
        """Whether preactivations between these ends satisfy it; compared exactly, and false of what is no number."""
        return low > self.limit if self.side == "low" else high < self.limit

    def __str__(self) -> str:
        return f"neuron {self.neuron} of the last group {'above' if self.side == 'low' else 'below'} its limit"


class Divided(Protocol):
    """A network on a region that is divided into pieces, and what is claimed of it: a bound, or what separates classes.

    The first piece is the whole region, every other one stands after its parent. One that is split has exactly two
    children, one on each side, and no other has any.
    """

    @property
    def network(self) -> Network:
        """The network."""
        ...

    @property
    def region(self) -> Region:
        """Where the bound holds."""
        ...

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces."""
        ...

    @property
    def upper(self) -> float:
        """The bound of all pieces that end in a condition."""
        ...

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """What all pieces that are separated have to keep."""
        ...


def check_separated(requirements: tuple[Requirement, ...], low: Sequence[float], high: Sequence[float]) -> None:
    """Raise `Rejected` if preactivations of the last group between these ends break a requirement, or there is none."""
    if not requirements:
        raise Rejected("nothing is required of the piece")
    for required in requirements:
        if not required.holds(low[required.neuron], high[required.neuron]):
            raise Rejected(f"its bounds do not keep {required}")


#: How a piece may end that bounds the network's constant, and one that keeps a class above others.
BOUNDING = ("split", "condition", "empty", "flat")
SEPARATING = ("split", "separated", "empty")


def read(
    value: Any, name: str, network: Network, least: int, most: int, ends: tuple[str, ...] = BOUNDING
) -> tuple[Piece, ...]:
    """Return the pieces; each but the first has a parent before it, and those that are split have two children.

    Raises `Rejected` if there are fewer than `least` or more than `most`, or one ends otherwise than in `ends`.
    """
    reader = PiecesReader(network, ends)
    for k, piece in enumerate(items(value, name, least, most)):
        reader.add(piece, f"{name}[{k}]")
    return reader.finished()


class PiecesReader:
    """Reads one piece after the other, and counts what they hold."""

    def __init__(self, network: Network, ends: tuple[str, ...] = BOUNDING) -> None:
        self.network, self.ends = network, ends
        self.sizes = [network.inputs, *(group.size for group in network.groups)]
        self.pieces: list[Piece] = []
        self.decisions: list[int] = []  # of every piece
        self.wanted: set[tuple[int | None, str | None]] = {(None, None)}  # the sides that have no piece yet
        self.entries = 0

    def finished(self) -> tuple[Piece, ...]:
        """All pieces; raises `Rejected` if a side of a split has none."""
        for parent, side in sorted(self.wanted, key=str):
            raise Rejected(f"no piece is {side} the split of {self.pieces[parent or 0].name}")
        return tuple(self.pieces)

    def add(self, value: Any, name: str) -> None:
        """Read a piece."""
        parent, side, steps, end = members(value, name, "parent side steps end")
        decided = 0
        if self.pieces:
            parent = integer(parent, f"{name}.parent", 0, len(self.pieces) - 1)
            if text(side, f"{name}.side") not in ("below", "above"):
                raise Rejected(f"{name}.side is neither 'below' nor 'above'")
            split = self.pieces[parent].end
            if not isinstance(split, Split):
                raise Rejected(f"{name}: {self.pieces[parent].name} is not split")
            decided = self.decisions[parent] + (split.group > 0)
        elif parent is not None or side is not None:
            raise Rejected(f"{name}: parent and side of the first piece are not null")
        if (parent, side) not in self.wanted:
            raise Rejected(f"{name}: another piece is {side} the split of pieces[{parent}]")
        self.wanted.remove((parent, side))
        if decided > MAX_DECISIONS:
            raise Rejected(f"{name} has more than {MAX_DECISIONS} decisions")
        steps = items(steps, f"{name}.steps", 0, MAX_STEPS)
        self._count(len(steps))
        read_steps = tuple(self._step(step, f"{name}.steps[{k}]", decided) for k, step in enumerate(steps))
        read_end = self._end(end, f"{name}.end", decided)
        if isinstance(read_end, Split):
            self.wanted |= {(len(self.pieces), "below"), (len(self.pieces), "above")}
        self.decisions.append(decided)
        self.pieces.append(Piece(name, parent, side, read_steps, read_end))

    def _count(self, entries: int) -> int:
        """Count entries before they are unpacked."""
        self.entries += entries
        if self.entries > MAX_ENTRIES:
            raise Rejected(f"the pieces hold more than {MAX_ENTRIES} numbers")
        return entries

    def _group(self, value: Any, name: str, most: int | None = None) -> int:
        return integer(value, f"{name}.group", 1, len(self.sizes) - 1 if most is None else most)

    def _neurons(self, value: Any, name: str, group: int) -> array[int]:
        size = self.sizes[group]
        neurons = values_up_to(value, f"{name}.neurons", "q", size, 0, size - 1)
        if not all(a < b for a, b in pairwise(neurons)):
            raise Rejected(f"{name}.neurons do not ascend")
        self._count(len(neurons))
        return neurons

    def _numbers(self, value: Any, name: str, count: int, low: float = -math.inf) -> array[float]:
        return values(value, name, "d", self._count(count), low)

    # ---------------------------------------------------------------- steps

    def _step(self, value: Any, name: str, decided: int) -> Step:
        (kind,) = members(value, name, "kind", closed=False)
        steps = {
            "lines": self._lines_step,
            "slopes": self._slopes,
            "bounds": self._bounds,
            "quadratic": self._quadratic,
        }
        read_step = steps.get(text(kind, f"{name}.kind"))
        if read_step is None:
            raise Rejected(f"{name} is of the unknown kind {kind[:40]!a}")
        return read_step(value, name, decided)

    def _lines(self, keys: list[Any], name: str, most: int | None = None, rows: int = 1) -> Lines:
        group, neurons, lower, upper = keys
        group = self._group(group, name, most)
        neurons = self._neurons(neurons, name, group)
        lower = self._numbers(lower, f"{name}.lower", rows * len(neurons))
        return Lines(group, neurons, lower, self._numbers(upper, f"{name}.upper", rows * len(neurons)))

    def _lines_step(self, value: Any, name: str, decided: int) -> LinesStep:
        _, *keys = members(value, name, "kind group neurons lower upper")
        return LinesStep(self._lines(keys, name))

    def _slopes(self, value: Any, name: str, decided: int) -> SlopesStep:
        _, group, neurons, alpha, beta = members(value, name, "kind group neurons alpha beta")
        group = self._group(group, name)
        if not self.network.groups[group - 1].activation.takes_slopes:
            raise Rejected(f"{name}: the activation of group {group} is not smooth")
        neurons = self._neurons(neurons, name, group)
        alpha, beta = (self._numbers(x, f"{name}.{k}", len(neurons)) for x, k in ((alpha, "alpha"), (beta, "beta")))
        if not all(map(operator.le, alpha, beta)):
            raise Rejected(f"{name} has alpha > beta")
        return SlopesStep(group, neurons, alpha, beta)

    def _bounds(self, value: Any, name: str, decided: int) -> BoundsStep:
        keys = "kind side group neurons values lines multipliers"
        _, side, group, neurons, bounds, lines, multipliers = members(value, name, keys)
        if text(side, f"{name}.side") not in ("low", "high"):
            raise Rejected(f"{name}.side is neither 'low' nor 'high'")
        group = self._group(group, name)
        neurons = self._neurons(neurons, name, group)
        bounds = self._numbers(bounds, f"{name}.values", len(neurons))
        replaced = []
        for k, one in enumerate(items(lines, f"{name}.lines", 0, group - 1)):
            own = f"{name}.lines[{k}]"
            replaced.append(self._lines(members(one, own, "group neurons lower upper"), own, group - 1, len(neurons)))
        if len({one.group for one in replaced}) < len(replaced):
            raise Rejected(f"{name}.lines has a group twice")
        if multipliers is not None:
            multipliers = self._numbers(multipliers, f"{name}.multipliers", len(neurons) * decided, 0.0)
        return BoundsStep(side, group, neurons, bounds, tuple(replaced), multipliers)

    def _quadratic(self, value: Any, name: str, decided: int) -> QuadraticStep:
        keys = "kind side group neuron value scales ball multipliers decisions"
        _, side, group, neuron, bound, scales, ball, multipliers, decisions = members(value, name, keys)
        if text(side, f"{name}.side") not in ("low", "high"):
            raise Rejected(f"{name}.side is neither 'low' nor 'high'")
        group = self._group(group, name)
        neuron = integer(neuron, f"{name}.neuron", 0, self.sizes[group] - 1)
        if scales is not None:
            scales = self._numbers(scales, f"{name}.scales", self.sizes[0], 0.0)
            if not all(scales):
                raise Rejected(f"{name}.scales has a zero")
        arrays = []
        for g, numbers in enumerate(items(multipliers, f"{name}.multipliers", group - 1, group - 1), 1):
            own = f"{name}.multipliers[{g - 1}]"
            arrays.append(values_up_to(numbers, own, "d", MAX_FACTS * self.sizes[g], 0.0))
            self._count(len(arrays[-1]))
        if decisions is not None:
            decisions = self._numbers(decisions, f"{name}.decisions", decided, 0.0)
        bound, ball = real(bound, f"{name}.value"), real(ball, f"{name}.ball", 0.0)
        return QuadraticStep(side, group, neuron, bound, scales, ball, tuple(arrays), decisions)

    # ---------------------------------------------------------------- ends

    def _end(self, value: Any, name: str, decided: int) -> End:
        (kind,) = members(value, name, "kind", closed=False)
        ends = {
            "split": self._split,
            "condition": self._bounded,
            "empty": self._empty,
            "flat": self._flat,
            "separated": self._separated,
        }
        read_end = ends.get(text(kind, f"{name}.kind")) if kind in self.ends else None
        if read_end is None:
            raise Rejected(f"{name} is of the unknown kind {kind[:40]!a}")
        return read_end(value, name, decided)

    def _split(self, value: Any, name: str, decided: int) -> Split:
        _, group, neuron, at = members(value, name, "kind group neuron at")
        group = integer(group, f"{name}.group", 0, len(self.sizes) - 1)
        return Split(group, integer(neuron, f"{name}.neuron", 0, self.sizes[group] - 1), real(at, f"{name}.at"))

    def _bounded(self, value: Any, name: str, decided: int) -> Bounded:
        _, rho, exponent, multipliers = members(value, name, "kind rho exponent multipliers")
        rho = real(rho, f"{name}.rho", 0.0)
        exponent = integer(exponent, f"{name}.exponent", -MAX_EXPONENT, MAX_EXPONENT)
        groups = len(self.sizes) - 1
        arrays = []
        for g, numbers in enumerate(items(multipliers, f"{name}.multipliers", groups, groups), 1):
            arrays.append(values_up_to(numbers, f"{name}.multipliers[{g - 1}]", "d", self.sizes[g], 0.0))
            self._count(len(arrays[-1]))
        return Bounded(rho, exponent, tuple(arrays))

    def _empty(self, value: Any, name: str, decided: int) -> Empty:
        members(value, name, "kind")
        return Empty()

    def _separated(self, value: Any, name: str, decided: int) -> Separated:
        members(value, name, "kind")
        return Separated()

    def _flat(self, value: Any, name: str, decided: int) -> Flat:
        _, weights = members(value, name, "kind weights")
        found = []
        for d, digits in enumerate(items(weights, f"{name}.weights", decided, decided)):
            found.append(self._decimal(digits, f"{name}.weights[{d}]"))
        if not any(found):
            raise Rejected(f"{name}.weights are all zero")
        return Flat(tuple(found))

    def _decimal(self, value: Any, name: str) -> int:
        digits = text(value, name)
        self._count(len(digits))
        if not (digits.isascii() and digits.isdigit() and (digits[0] != "0" or digits == "0")):
            raise Rejected(f"{name} is not a decimal integer >= 0")
        if len(digits) > MAX_DIGITS:
            raise Rejected(f"{name} has more than {MAX_DIGITS} digits")
        number = 0
        for start in range(0, len(digits), DIGITS_AT_ONCE):
            some = digits[start : start + DIGITS_AT_ONCE]
            number = number * 10 ** len(some) + int(some)
        return number
