"""The claim tree of a certificate file, of any version.

A certificate claims one bound for one network. The claim is that of the root of a tree of parts; a part of kind
`condition` is proved by a matrix inequality, one of kind `sequence` by the parts inside it. Version 1 of the file is
one condition, version 2 one sequence, version 3 any tree. A part of kind `restriction` or `cover` bounds a network on a
region, and is the whole tree. Another kind of part is another file and a line in `KINDS`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import condition, cover, sequence
from . import region as regions
from .condition import StackedCondition, form_of
from .part import Part, ReadPart
from .reading import Rejected, constant, integer, items, members, real, text, unpacked, values

KINDS: dict[str, Callable[[Any, str, ReadPart], Part]] = {"condition": condition.read, "sequence": sequence.read}
#: Kinds that can only be the whole tree.
ROOTS: dict[str, Callable[[Any, str, ReadPart], Part]] = {"restriction": cover.read, "cover": cover.read}

MAX_DEPTH = 10
#: Parts of a tree, and of the list in a file of version 2.
MAX_PARTS, MAX_LISTED = 1000, 100
MAX_ASSUMPTIONS, MAX_CHARACTERS = 10, 1000
MAX_POINT = 10**7


@dataclass(frozen=True)
class Content:
    """Everything in a file that its claim and its proof depend on, checked for form.

    Args:
        upper: the claimed bound.
        lower: the lower bound that the file states, which its proof is not about; None if there is none.
        tree: the root of the claim tree; what it claims is not proved yet.
        assumptions: what was assumed when the network was read, one line each; not proved.
    """

    upper: float
    lower: float | None
    tree: Part
    assumptions: tuple[str, ...] = ()


def read_content(document: Any) -> Content:
    """Return the content of a certificate that is already parsed from JSON; raise `Rejected` if anything is wrong."""
    (version,) = members(document, "the certificate", "version", closed=False)
    return VERSIONS[integer(version, "version", 1, len(VERSIONS))](document)


def version_1(document: Any) -> Content:
    """The content of a certificate of one stacked form."""
    keys = "format version claim upper network multipliers proof attained information"
    form, _, claim, upper, network, multipliers, proof, attained, information = members(
        document, "the certificate", keys, closed=False
    )
    check_head(form, claim, information)
    upper = real(upper, "upper", 0.0)
    tree = StackedCondition.read("", upper, None, network, multipliers, proof)
    lower, points = read_attained(attained, upper, closed=False)
    check_points(points, tree.inputs)
    return Content(upper, lower, tree)


def version_2(document: Any) -> Content:
    """The content of a certificate of parts in a list."""
    keys = "format version claim upper parts attained information"
    form, _, claim, upper, listed, attained, information = members(document, "the certificate", keys)
    check_head(form, claim, information)
    upper = real(upper, "upper", 0.0)
    parts, joints = [], []
    for p, part in enumerate(items(listed, "parts", 1, MAX_LISTED)):
        name = f"parts[{p}]"
        kind, own, network, multipliers, proof, reads = members(
            part, name, "kind upper network multipliers proof reads"
        )
        metric = None
        if kind == "torus":
            if p:
                raise Rejected(f"{name} is on a torus and not the first part")
            (metric,) = members(multipliers, f"{name}.multipliers", "metric", closed=False)
            text(metric, f"{name}.multipliers.metric")  # null stands for ones in later versions alone
            multipliers = {key: value for key, value in multipliers.items() if key != "metric"}
        own = real(own, f"{name}.upper", 0.0)
        parts.append(form_of(kind, f"{name}.kind")(name, own, metric, network, multipliers, proof))
        if (reads is None) != (p == 0):
            raise Rejected(f"{name}.reads is not null for the first part and an object for the others")
        if reads is not None:
            joints.append(sequence.read_joint(reads, f"{name}.reads", parts[-1]))
    tree = sequence.joined("", upper, parts, joints)
    lower, _ = read_attained(attained, upper)
    return Content(upper, lower, tree)


def version_3(document: Any) -> Content:
    """The content of a certificate of a claim tree."""
    keys = "format version claim upper norm region assumptions tree attained information"
    form, _, claim, upper, norm, region, assumptions, tree, attained, information = members(
        document, "the certificate", keys
    )
    check_head(form, claim, information)
    upper = real(upper, "upper", 0.0)
    constant(norm, "norm", "l2")
    assumptions = [read_assumption(line) for line in items(assumptions, "assumptions", 0, MAX_ASSUMPTIONS)]
    tree = TreeReader().part(tree, "tree", 1)
    if upper < tree.upper:
        raise Rejected("upper is less than the bound of the tree")
    if not tree.bounds_plain_norm():
        raise Rejected("tree: a weight of the output's norm is below 1, and no part reads the output")
    check_region(region, tree)
    constant(claim, "claim", claim_of(tree, upper))
    lower, points = read_attained(attained, upper)
    for name, point in check_points(points, tree.inputs, tree.embedded):
        if not tree.region.contains(point):
            raise Rejected(f"{name} does not lie in the region")
    return Content(upper, lower, tree, tuple(assumptions))


VERSIONS = {1: version_1, 2: version_2, 3: version_3}


def check_region(value: Any, tree: Part) -> None:
    """Check that the region at the top of a file is that of the tree, with coordinates and number of inputs."""
    name = "region"
    coordinates, size = members(value, name, "coordinates size", closed=False)
    own = {key: one for key, one in value.items() if key not in ("coordinates", "size")}
    if not tree.region.bounded:
        members(own, name, "kind")
        constant(own["kind"], "region.kind", "all")
    constant(coordinates, "region.coordinates", "torus" if tree.embedded else "input")
    if integer(size, "region.size", 1, tree.inputs) != tree.inputs:
        raise Rejected("region.size is not the number of the tree's inputs")
    if tree.region.bounded and regions.read(own, name, tree.inputs) != tree.region:
        raise Rejected("region is not that of the tree")


def claim_of(tree: Part, upper: float) -> str:
    """The claim of a certificate of version 3 in words."""
    where = "in the region below " if tree.region.bounded else ""
    return (
        f"For all inputs x, x' {where}of the network of the tree below ({tree.inputs} inputs, {tree.outputs} outputs): "
        f"|f(x) - f(x')| <= {upper!r} |x - x'|, Euclidean norms, real arithmetic."
    )


class TreeReader:
    """Reads the parts of one tree, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def part(self, value: Any, name: str, depth: int) -> Part:
        """Return a part of the tree, and all parts inside it."""
        self.count += 1
        if self.count > MAX_PARTS:
            raise Rejected(f"the tree has more than {MAX_PARTS} parts")
        if depth > MAX_DEPTH:
            raise Rejected(f"the tree has more than {MAX_DEPTH} parts one inside the other")
        (kind,) = members(value, name, "kind", closed=False)
        read = (KINDS | ROOTS).get(text(kind, f"{name}.kind"))
        if read is None:
            raise Rejected(f"{name} is of the unknown kind {kind[:40]!a}; known are {', '.join(KINDS | ROOTS)}")
        if depth > 1 and kind in ROOTS:
            raise Rejected(f"{name} is of the kind {kind!r}, which can only be the whole tree")
        return read(value, name, partial(self.part, depth=depth + 1))


def check_head(form: Any, claim: Any, information: Any) -> None:
    """Check what is alike in all versions and proves nothing."""
    constant(form, "format", "sdpcert-certificate")
    text(claim, "claim")
    if type(information) is not dict:
        raise Rejected("information is not an object")


def read_attained(value: Any, upper: float, closed: bool = True) -> tuple[float | None, list[Any]]:
    """Return the lower bound that the file states, None if there is none, and the two inputs, still encoded.

    The inputs are those of the network before any reduction or embedding, and no proof is about them.
    """
    if value is None:
        return None, []
    lower, *points = members(value, "attained", "lower x x_prime", closed)
    lower = real(lower, "attained.lower")
    if lower > upper:
        raise Rejected("attained.lower is greater than upper")
    return lower, points


def check_points(points: list[Any], count: int, embedded: bool = False) -> list[tuple[str, array[float]]]:
    """Return the two inputs with their names; they hold `count` values each, `embedded` ones at most that.

    Embedded ones have as many as one another.
    """
    found = []
    for name, point in zip(("attained.x", "attained.x_prime"), points, strict=False):
        if embedded:
            data = unpacked(point, name, 8 * min(count, MAX_POINT))
            if data is None:
                raise Rejected(f"{name} has more values than the torus has inputs")
            count, embedded = len(data) // 8, False
        found.append((name, values(point, name, "d", count)))
    return found


def read_assumption(value: Any) -> str:
    """Return an assumption: one line of printable characters."""
    line = text(value, "an assumption")
    if not (line and line.isprintable() and len(line) <= MAX_CHARACTERS):
        raise Rejected(f"an assumption is not one line of at most {MAX_CHARACTERS} printable characters")
    return line
