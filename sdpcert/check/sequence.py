"""The kind of part `sequence`: parts one after the other, whose bounds multiply if each reads the one before it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from .part import EXACT, FLOATING, Joint, Part, ReadPart, agreeing, read_claim
from .reading import Rejected, items, members, values

MAX_PARTS = 1000


@dataclass(frozen=True)
class Sequence(Part):
    """Parts from input to output."""

    parts: tuple[Part, ...]
    between: tuple[Joint, ...]

    def prove(self, exact: bool | None) -> str:
        """Prove every part; the arithmetic is exact if that of every part is."""
        levels = {part.prove(exact) for part in self.parts}
        return FLOATING if FLOATING in levels else EXACT

    def leaves(self) -> Iterator[Part]:
        """The conditions of the parts."""
        for part in self.parts:
            yield from part.leaves()

    def joints(self) -> Iterator[Joint]:
        """How each of the leaves but the first reads the one before it."""
        for part, joint in zip(self.parts, (None, *self.between), strict=True):
            if joint is not None:
                yield joint
            yield from part.joints()

    @property
    def embedded(self) -> bool:
        """Whether the first part reads an image embedded in a torus."""
        return self.parts[0].embedded


def read(value: Any, name: str, read_part: ReadPart) -> Part:
    """Return a part of kind `sequence`."""
    _, claim, parts, joints = members(value, name, "kind claim parts joints")
    parts = items(parts, f"{name}.parts", 2, MAX_PARTS)
    joints = items(joints, f"{name}.joints", len(parts) - 1, len(parts) - 1)
    claim = read_claim(claim, f"{name}.claim")
    if claim.metric is not None:
        raise Rejected(f"{name}.claim.metric is not null")
    read_parts = [read_part(part, f"{name}.parts[{k}]") for k, part in enumerate(parts)]
    read_joints = [
        read_joint(joint, f"{name}.joints[{k}]", part)
        for k, (joint, part) in enumerate(zip(joints, read_parts[1:], strict=True))
    ]
    return agreeing(joined(name, claim.upper, read_parts, read_joints), claim)


def read_joint(value: Any, name: str, part: Part) -> Joint:
    """Return how `part` reads the part before it; on a torus inputs outside the image are zero, index -1."""
    layout, scale = members(value, name, "layout scale")
    layout = values(layout, f"{name}.layout", "q", part.inputs, -1 if part.embedded else 0, 10**12)
    scale = values(scale, f"{name}.scale", "d", part.inputs, math.ulp(0.0))
    zeros = layout.count(-1)
    if len(set(layout)) != len(layout) - max(zeros - 1, 0):
        raise Rejected(f"{name}.layout has an index twice")
    return Joint(layout, scale)


def joined(name: str, upper: float, parts: list[Part], joints: list[Joint]) -> Sequence:
    """Return parts as a sequence with the bound `upper`.

    Raises `Rejected` if a part reads more than was bounded before it, or if the bound is less than the product.
    """
    for (before, after), joint in zip(pairwise(parts), joints, strict=True):
        check_joint(before, after, joint)
    if not parts[-1].bounds_plain_norm():
        raise Rejected(f"{parts[-1].name}: a weight of the output's norm is below 1, and no part reads the output")
    product = Fraction(1)
    for part in parts:
        product *= Fraction(part.upper)
    if Fraction(upper) < product:
        raise Rejected(f"{name + ': ' if name else ''}upper is less than the product of the parts' bounds")
    digest = hashlib.sha256("\n".join(leaf.sha256 for part in parts for leaf in part.leaves()).encode()).hexdigest()
    return Sequence(name, upper, parts[0].inputs, parts[-1].outputs, digest, tuple(parts), tuple(joints))


def check_joint(before: Part, after: Part, joint: Joint) -> None:
    """Prove that the inputs of a part differ by no more than the outputs before it do in the norm bounded there."""
    for index, scale in zip(joint.layout, joint.scale, strict=True):
        if index < 0:  # zero in both runs
            continue
        if index >= before.outputs:
            raise Rejected(f"{after.name} reads an index beyond the output of the part before it")
        if before.weight(index) * Fraction(scale) ** 2 < 1:
            raise Rejected(f"{after.name} reads in a scale too small for the norm of the part before it")
