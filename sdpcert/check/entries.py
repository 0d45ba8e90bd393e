"""The inputs of a file of radii: what is claimed of each, what proves it, and what an attack found.

An entry claims that its label has the greatest output, alone, at its center and on the region within its radius; or
that some other class has an output at least as great at the center; or nothing. A radius is proved class by class: by
the margin at the center and a constant of the pair on all inputs, or by pieces that cover the region and keep the label
ahead.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isfinite, nextafter
from typing import Any

from . import cover, pieces
from .constants import PairConstant
from .differences import Differences
from .margins import Evaluation, Margins
from .needed import Errors, reach, root_up
from .network import Network
from .part import EXACT
from .pieces import MAX_PIECES, SEPARATING, Piece, Requirement
from .reading import Rejected, constant, integer, items, members, real, text, values, within
from .region import Region, squared_distance

#: How much longer than the distance of an attack what is stated of it may be, relatively.
ROUNDED = Fraction(1, 10**9)
ZERO = Fraction(0)


@dataclass(frozen=True)
class Setting:
    """What all entries of a file have in common."""

    differences: Differences
    norm: str
    box: tuple[array[float], array[float]] | None
    errors: Errors | None
    constants: dict[tuple[int, int], PairConstant]

    @property
    def inputs(self) -> int:
        """Numbers of an input."""
        return self.differences.network.inputs

    def contains(self, point: array[float]) -> bool:
        """Whether a point lies in the box that all inputs of the claim lie in, if there is one."""
        return self.box is None or Region("box", *self.box).contains(point)

    def region(self, center: array[float], radius: float) -> Region:
        """The inputs within a positive radius of a center, in the norm and in the box of the claim."""
        low, high = (None, None) if self.box is None else self.box
        if self.norm == "l2":
            return Region("ball", low, high, center, radius)
        around = Fraction(radius)
        ends = ([_rounded(Fraction(c) + sign * around, sign * inf) for c in center] for sign in (-1, 1))
        below, above = (array("d", end) for end in ends)
        if low is not None and high is not None:
            below, above = array("d", map(max, below, low)), array("d", map(min, above, high))
        return Region("box", below, above)

    def distance_squared(self, one: array[float], other: array[float]) -> Fraction:
        """The square of the distance of two points in the norm of the claim."""
        if self.norm == "l2":
            return squared_distance(one, other)
        return max(abs(Fraction(a) - Fraction(b)) for a, b in zip(one, other, strict=True)) ** 2

    def needed(self, center: array[float], within_reach: Fraction = ZERO) -> Fraction:
        """What a margin has to be above at all inputs within some distance of a center."""
        return ZERO if self.errors is None else self.errors.needed(center, within_reach)


def _rounded(number: Fraction, direction: float) -> float:
    """The float64 nearest to a number on its side towards an infinity."""
    try:
        near = float(number)
    except OverflowError:
        near = inf
    if isfinite(near) and (near < number if direction > 0 else near > number):
        near = nextafter(near, direction)
    if not isfinite(near):
        raise Rejected("its region is not within the range of float64")
    return near


@dataclass(frozen=True)
class Separation:
    """A region divided into pieces on which the label has to stay ahead."""

    network: Network
    region: Region
    pieces: tuple[Piece, ...]
    requirements: tuple[Requirement, ...]
    upper: float = 0.0


@dataclass(frozen=True)
class Proof:
    """What proves the radius against some classes: pieces, or (`listed` is None) constants of pairs.

    `listed` has the pieces as the file has them. They are read again whenever they are proved, so that no more than
    those of one proof are unpacked at a time.
    """

    name: str
    classes: tuple[int, ...]
    listed: Any
    network: Network

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces."""
        return pieces.read(self.listed, "pieces", self.network, 1, MAX_PIECES, SEPARATING)


@dataclass(frozen=True)
class Attack:
    """A point at which some other class has an output at least as great as the label's, and its distance."""

    point: array[float]
    distance: float


@dataclass(frozen=True)
class Entry:
    """One input: `correct` is None where nothing is claimed of it."""

    name: str
    center: array[float]
    label: int
    correct: bool | None
    radius: float
    proofs: tuple[Proof, ...]
    attack: Attack | None
    work: int

    def prove(self, setting: Setting, evaluation: Evaluation) -> str:
        """Prove what is claimed of the input, and return the arithmetic; raise `Rejected` if it is not proved."""
        level = EXACT
        with within(self.name):
            if self.correct is False and not evaluation.shows(self.center, self.label, _is_beaten):
                raise Rejected("no other class is proved to have an output at least that of the label")
            if self.correct:
                self._check_center(setting, evaluation)
            for proof in self.proofs:
                with within(proof.name):
                    if proof.listed is None:
                        self._check_constants(proof, setting, evaluation)
                    elif self._prove_pieces(proof, setting, evaluation.exact) != EXACT:
                        level = cover.FLOATING
            if self.attack is not None:
                with within("attack"):
                    self._check_attack(self.attack, setting, evaluation)
        return level

    def _check_center(self, setting: Setting, evaluation: Evaluation) -> None:
        needed = setting.needed(self.center)
        if not evaluation.shows(self.center, self.label, lambda m: all(low > needed for low, _ in m.values())):
            raise Rejected("the label is not proved to have the greatest output")

    def _check_constants(self, proof: Proof, setting: Setting, evaluation: Evaluation) -> None:
        distance = reach(self.center, setting.region(self.center, self.radius))
        needed = {}
        for other in proof.classes:
            pair = setting.constants.get((min(self.label, other), max(self.label, other)))
            if pair is None:
                raise Rejected(f"there is no constant of the classes {self.label} and {other}")
            needed[other] = setting.needed(self.center, distance) + root_up(pair.squared * distance**2)
        if not evaluation.shows(self.center, self.label, lambda m: all(m[j][0] > needed[j] for j in needed)):
            raise Rejected("a margin at the center is not above what the constant may take off")

    def _prove_pieces(self, proof: Proof, setting: Setting, exact: bool) -> str:
        region = setting.region(self.center, self.radius)
        limit = setting.needed(self.center, reach(self.center, region))
        required = tuple(setting.differences.requirement(self.label, other, limit) for other in proof.classes)
        return cover.prove(Separation(proof.network, region, proof.pieces, required), exact)

    def _check_attack(self, attack: Attack, setting: Setting, evaluation: Evaluation) -> None:
        square, stated = setting.distance_squared(attack.point, self.center), Fraction(attack.distance)
        if not square <= stated**2 <= square * (1 + ROUNDED) ** 2:
            raise Rejected("distance is not that of the point, rounded up")
        if attack.distance <= self.radius:
            raise Rejected("distance is not above the radius")
        if not evaluation.shows(attack.point, self.label, _is_beaten):
            raise Rejected("no other class is proved to have an output at least that of the label")


def _is_beaten(margins: Margins) -> bool:
    return any(high <= 0 for _, high in margins.values())


# ---------------------------------------------------------------- reading


def read(value: Any, name: str, setting: Setting) -> Entry:
    """Return an entry, its arrays unpacked but for those of pieces, which are read and forgotten."""
    center, label, correct, radius, proofs, attack = members(value, name, "center label correct radius proofs attack")
    center = values(center, f"{name}.center", "d", setting.inputs)
    label = integer(label, f"{name}.label", 0, setting.differences.classes - 1)
    if correct is not None and type(correct) is not bool:
        raise Rejected(f"{name}.correct is neither true, false nor null")
    radius = real(radius, f"{name}.radius", 0.0)
    if not setting.contains(center):
        raise Rejected(f"{name}.center does not lie in the box of the claim")
    if not correct and (radius or attack is not None):
        raise Rejected(f"{name} has a radius or an attack and is not claimed to be correct")
    others = set(range(setting.differences.classes)) - {label} if radius else set()
    reader = _ProofReader(setting, label, others)
    with within(name):
        found = [reader.read(one, f"proofs[{k}]") for k, one in enumerate(items(proofs, "proofs", 0, len(others)))]
        if reader.left:
            raise Rejected(f"nothing proves its radius against class {min(reader.left)}")
        found_attack = None if attack is None else _read_attack(attack, setting)
    return Entry(name, center, label, correct, radius, tuple(found), found_attack, reader.work)


class _ProofReader:
    """Reads the proofs of one entry; `left` has the classes that none is about yet, `work` what they take."""

    def __init__(self, setting: Setting, label: int, classes: set[int]) -> None:
        self.setting, self.label, self.left, self.work = setting, label, classes, 0

    def read(self, value: Any, name: str) -> Proof:
        """Read a proof."""
        network = self.setting.differences.network
        (kind,) = members(value, name, "kind", closed=False)
        if text(kind, f"{name}.kind") == "constants":
            _, classes = members(value, name, "kind classes")
            return Proof(name, self._classes(classes, f"{name}.classes"), None, network)
        constant(kind, f"{name}.kind", "pieces")
        _, classes, listed = members(value, name, "kind classes pieces")
        proof = Proof(name, self._classes(classes, f"{name}.classes"), listed, network)
        with within(name):
            self.work += cover.work_of(network, proof.pieces)
        return proof

    def _classes(self, value: Any, name: str) -> tuple[int, ...]:
        classes = self.setting.differences.classes
        found: list[int] = []
        for k, one in enumerate(items(value, name, 1, classes - 1)):
            other = integer(one, f"{name}[{k}]", 0, classes - 1)
            if other not in self.left:
                raise Rejected(f"{name}[{k}] is the label, or a class that something proves already")
            self.left.remove(other)
            found.append(other)
        return tuple(found)


def _read_attack(value: Any, setting: Setting) -> Attack:
    point, distance = members(value, "attack", "point distance")
    point = values(point, "attack.point", "d", setting.inputs)
    if not setting.contains(point):
        raise Rejected("attack.point does not lie in the box of the claim")
    return Attack(point, real(distance, "attack.distance", 0.0))
