"""Bind a certificate to a network: the same weights, and the attained points evaluated again on them.

The checkers have seen every number that the proof needs. What is read here beside it, the chosen outputs and the cuts
under `information`, and the attained points, are what anybody may have written there: each is compared with the type
and the range that it has to have, and whatever still goes wrong is a certificate that is not bound to the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sdpcert.attained import attains
from sdpcert.certificate.document import assumption
from sdpcert.certificate.region_network import hash_of_network
from sdpcert.certify.cut import with_rows
from sdpcert.certify.front import front_and_head, read_scaled
from sdpcert.check import CheckResult, HasDocument, Rejected, Unreadable, check_document, document_of
from sdpcert.check.reading import values
from sdpcert.network.affine import Rearrange
from sdpcert.network.earlier import earlier_rules, sums_of_the_library
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.network.stacking import stack

Array = np.ndarray
#: Most characters of a reason that repeats what a file says.
LONGEST = 300


def check_with_network(
    certificate: str | os.PathLike[str] | HasDocument, network: Network, whole: bool = False
) -> CheckResult:
    """Check a certificate, that it is about this network's weights, and that its attained points attain its lower
    bound.

    A certificate may be about some of the network's outputs, which the reason names then; with `whole` it is refused.
    Whatever a file holds gives ok=False and never an exception; TypeError for what is no path and no certificate.
    """
    try:
        document = document_of(certificate)
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))
    result = check_document(document)
    return bound_to(network, document, result, whole) if result.ok else result


def bound_to(network: Network, document: dict[str, Any], result: CheckResult, whole: bool = False) -> CheckResult:
    """The rest of `check_with_network`, for a document with a `result` that proves it."""
    try:
        rows, pair = _output_rows(document), _output_pair(document)
        if whole and not (rows is None and pair is None):
            return _refused(result, f"the certificate is about some outputs of {network.source} alone")
        network = network if pair is None else network.output_pair(*pair)
        leaves = _leaves(document)
        if not _same(document, leaves, network, rows):
            return _refused(result, f"the certificate is about other weights than {network.source}")
        if not _attains(document, leaves, network, rows):
            return _refused(result, "the attained points do not attain the stated lower bound")
    except (ValueError, Rejected) as error:
        return _refused(result, f"the certificate does not fit {network.source}: {error}")
    except Exception as error:  # such as MemoryError: what could not be compared is not bound
        return _refused(result, f"the comparison with {network.source} could not be finished ({type(error).__name__})")
    which = "" if rows is None else f"; f is output {', '.join(map(str, rows))} of it alone, counted from 0"
    which += "" if pair is None else f"; f is output {pair[0]} minus output {pair[1]} of it, counted from 0"
    assumed = assumption(network.details)
    which += f"; {assumed}" if assumed else ""
    return replace(result, reason=f"{result.reason}; the weights are those of {network.source}{which}")


def _refused(result: CheckResult, reason: str) -> CheckResult:
    line = " ".join(reason.split())
    line = line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
    return replace(result, ok=False, upper=None, reason=line, sha256="", lower=None)


def _output_rows(document: dict[str, Any]) -> list[int] | None:
    """The outputs that the certificate says to be about, None for all; raises Rejected if it is no list of them."""
    rows = document["information"].get("output_rows")
    if rows is None:
        return None
    if type(rows) is not list or any(type(row) is not int for row in rows):
        raise Rejected("its information.output_rows is not a list of integers")
    return rows


def _output_pair(document: dict[str, Any]) -> tuple[int, int] | None:
    """The two outputs whose difference the certificate is about, None if it is not; raises Rejected for else."""
    pair = document["information"].get("output_pair")
    if pair is None:
        return None
    if type(pair) is not list or len(pair) != 2 or any(type(row) is not int for row in pair):
        raise Rejected("its information.output_pair is not a list of two integers")
    return pair[0], pair[1]


@dataclass(frozen=True)
class _Leaf:
    """A condition of a certificate: its network as the file states it, and how it reads the leaf before it."""

    network: dict[str, Any]
    joint: dict[str, Any] | None = None

    @property
    def is_on_torus(self) -> bool:
        """Whether it is about a network on a torus."""
        return self.network.get("torus") is not None

    def joint_of(self, size: int) -> tuple[Array, Array]:
        """Layout and scales with which the leaf reads `size` entries; raises Rejected if the file has others."""
        if self.joint is None:
            raise Rejected("a part does not say what it reads")
        layout, scale = self.joint["layout"], self.joint["scale"]
        return _decode(layout, "layout", size, "q"), _decode(scale, "scale", size)


def _leaves(document: dict[str, Any]) -> list[_Leaf]:
    """The conditions of a certificate of any version, from the input to the output."""
    if document["version"] == 1:
        return [_Leaf(document["network"])]
    if document["version"] == 2:
        return [_Leaf(part["network"], part["reads"]) for part in document["parts"]]
    return list(_leaves_of_tree(document["tree"], None))


def _leaves_of_tree(part: dict[str, Any], joint: dict[str, Any] | None) -> Iterator[_Leaf]:
    if part["kind"] in ("condition", "restriction", "cover"):
        yield _Leaf(part["network"], joint)
        return
    for child, read in zip(part["parts"], (joint, *part["joints"]), strict=True):
        yield from _leaves_of_tree(child, read)


def _same(document: dict[str, Any], leaves: list[_Leaf], network: Network, rows: list[int] | None) -> bool:
    """Whether the network, built as it was built for the certificate, is what the certificate is about."""
    if document["information"].get("cuts") is not None:
        return _same_pieces(document, leaves, with_rows(network, rows))
    if leaves[0].is_on_torus:
        ways = ((False, True), (False, False), (True, False))
        return any(_same_front_and_head(leaves, network, rows, *way) is not None for way in ways)
    return len(leaves) == 1 and _whole_form(leaves[0], network, rows) is not None


def _whole_form(leaf: _Leaf, network: Network, rows: list[int] | None) -> StackedForm | None:
    """The form whose reduction the leaf is about, built as it was built for it; None if there is none."""
    for form in _forms(network):
        form = form if rows is None else form.output_rows(rows)
        if leaf.network["sha256"] in (form.reduced().sha256, hash_of_network(form.without_unread())):
            return form
    return None


def _forms(network: Network) -> Iterator[StackedForm]:
    """The stacked forms that certificates of a network may be about: solved for, by construction, and earlier ones."""
    yield network.stacked
    yield network.unshared
    yield network.exactly_stacked
    with sums_of_the_library():
        yield stack(network)
        yield stack(network, share=False)
        yield stack(network, share=False, merged=False)
    with earlier_rules():
        yield stack(network)


@dataclass(frozen=True)
class _Ends:
    """Where the inputs and outputs of a network lie among those of the leaves that it is, and how many inputs those
    have.
    """

    reads: Array
    gives: Array
    size: int


def _same_front_and_head(
    leaves: list[_Leaf], network: Network, rows: list[int] | None, earlier: bool, share: bool
) -> _Ends | None:
    """The ends of front and head if these, embedded in the leaf's torus and read in its scales, are the leaves."""
    front, *after = leaves
    torus = front.network["torus"]
    with earlier_rules() if earlier else nullcontext():
        try:
            embedding, form, head = front_and_head(network, rows, (torus[0], torus[1]), share)
        except ValueError:  # this way of embedding may have no front, or a larger torus
            return None
        if form.sha256 != front.network["sha256"] or len(after) != (head is not None):
            return None
        gives = embedding.output_order if head is not None else embedding.output_index
        ends = _Ends(embedding.input_index, np.arange(form.outputs) if form.pooled else gives, form.inputs * form.cells)
        if head is None:
            return ends
        layout, scale = after[0].joint_of(head.inputs)
        if not np.array_equal(layout, embedding.output_index):
            return None
        return ends if read_scaled(head, scale).reduced().sha256 == after[0].network["sha256"] else None


def _same_pieces(document: dict[str, Any], leaves: list[_Leaf], network: Network) -> bool:
    """Whether the network, divided at the values that the certificate names, is its leaves in sequence."""
    cuts = document["information"].get("cuts")
    if not isinstance(cuts, list) or any(type(c) is not int or not 0 < c <= len(network.nodes) for c in cuts):
        return False
    before = None
    for start, end in pairwise([0, *cuts, network.output]):
        piece = network.between(start, end)
        if not leaves and end == network.output and only_moves(piece):
            return True
        found = _same_piece(leaves, piece)
        if found is None:
            return False
        ends, used = found
        if before is not None:
            layout, scale = leaves[0].joint_of(ends.size)
            expected = np.full(ends.size, -1)
            expected[ends.reads] = before.gives
            if not np.array_equal(layout, expected) or np.any(scale != 1):
                return False
        before, leaves = ends, leaves[used:]
    return not leaves


def _same_piece(leaves: list[_Leaf], piece: Network) -> tuple[_Ends, int] | None:
    """The ends of a piece, and how many of the leaves it is; None if these do not begin with it."""
    if not leaves:
        return None
    if not leaves[0].is_on_torus:
        inputs, outputs = (int(np.prod(shape)) for shape in (piece.input_shape, piece.output_shape))
        found = _whole_form(leaves[0], piece, None)
        return None if found is None else (_Ends(np.arange(inputs), np.arange(outputs), inputs), 1)
    for used in range(1, min(2, len(leaves)) + 1):
        for share in (True, False):
            ends = _same_front_and_head(leaves[:used], piece, None, False, share)
            if ends is not None:
                return ends, used
    return None


def only_moves(piece: Network) -> bool:
    """Whether every output is one of the inputs, each once: what a network ends with and no bound depends on."""
    if not all(isinstance(node.layer, Rearrange) for node in piece.nodes):
        return False
    size = int(np.prod(piece.input_shape))
    numbers = piece(np.arange(size, dtype=float).reshape(1, *piece.input_shape)).ravel()
    return bool(np.array_equal(np.sort(numbers), np.arange(size)))


def _attains(document: dict[str, Any], leaves: list[_Leaf], network: Network, rows: list[int] | None) -> bool:
    attained = document.get("attained")
    if attained is None:
        return True
    size = int(np.prod(network.input_shape))
    x, x_prime = (_decode(attained[key], f"attained.{key}", size) for key in ("x", "x_prime"))
    lower = float.fromhex(attained["lower"])
    whole = len(leaves) == 1 and not leaves[0].is_on_torus
    form = _whole_form(leaves[0], network, rows) if whole else None
    if form is not None:
        return attains(form, x, x_prime, lower)
    return attains(network, x, x_prime, lower, rows)


def _decode(text: Any, name: str, count: int, code: str = "d") -> Array:
    """Exactly `count` values of an encoded array; raises Rejected for anything else, however much it unpacks to."""
    return np.array(values(text, name, code, count), dtype={"d": float, "q": np.int64}[code])
