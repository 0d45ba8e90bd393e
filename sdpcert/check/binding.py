"""Bind a certificate to a network: the same weights, and the attained points evaluated again on them."""

from __future__ import annotations

import base64
import json
import os
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from sdpcert.check import check
from sdpcert.check.checker import CheckResult
from sdpcert.network.graph import Network

Array = np.ndarray


def check_with_network(path: str | os.PathLike[str], network: Network, whole: bool = False) -> CheckResult:
    """Check a certificate, that it is about this network's weights, and that its attained points attain its lower
    bound.

    A certificate may be about some of the network's outputs, which the reason names then; with `whole` it is refused.
    """
    result = check(path)
    if not result.ok:
        return result
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    rows = document.get("information", {}).get("output_rows")
    if whole and rows is not None:
        return _refused(result, f"the certificate is about some outputs of {network.source} alone")
    try:
        same = _same_parts(document, network, rows) if document["version"] == 2 else _same_form(document, network, rows)
    except (ValueError, TypeError) as error:
        return _refused(result, f"the certificate does not fit {network.source}: {error}")
    if not same:
        return _refused(result, f"the certificate is about other weights than {network.source}")
    if not _attains(document, network, rows):
        return _refused(result, "the attained points do not attain the stated lower bound")
    which = "" if rows is None else f"; f is output {', '.join(map(str, rows))} of it alone, counted from 0"
    return replace(result, reason=f"{result.reason}; the weights are those of {network.source}{which}")


def _refused(result: CheckResult, reason: str) -> CheckResult:
    return replace(result, ok=False, upper=None, reason=reason)


def _same_form(document: dict[str, Any], network: Network, rows: list[int] | None) -> bool:
    form = network.stacked if rows is None else network.stacked.output_rows(rows)
    return form.reduced().sha256 == document["network"]["sha256"]


def _same_parts(document: dict[str, Any], network: Network, rows: list[int] | None) -> bool:
    """Whether front and head, embedded in the certificate's torus and read in its scales, are the certificate's
    parts.
    """
    from sdpcert.convolutional import front_and_head, read_scaled

    front, *behind = document["parts"]
    torus = front["network"].get("torus")
    if torus is None:
        return _same_pieces(document, network)
    if len(behind) > 1:
        return False
    embedded = False
    for earlier in (False, True):
        try:
            embedding, form, head = front_and_head(network, rows, (torus[0], torus[1]), earlier)
        except ValueError:
            if earlier and not embedded:
                raise
            continue  # one way to embed may have no front, or need a larger torus, where the other one does not
        embedded = True
        if form.sha256 != front["network"]["sha256"] or (head is None) != (not behind):
            continue
        if head is None:
            return True
        reads = behind[0]["reads"]
        layout, scale = _decode(reads["layout"], "<i8"), _decode(reads["scale"])
        if not np.array_equal(layout, embedding.output_index):
            continue
        hashes = {read_scaled(head, scale, older).reduced().sha256 for older in (False, True)}
        if behind[0]["network"]["sha256"] in hashes:
            return True
    return False


def _same_pieces(document: dict[str, Any], network: Network) -> bool:
    """Whether the network, divided at the values that the certificate names, is its parts in sequence."""
    cuts = document.get("information", {}).get("cuts")
    if not isinstance(cuts, list) or any(type(c) is not int or not 0 < c <= len(network.nodes) for c in cuts):
        return False
    values = [0, *cuts, network.output]
    if len(document["parts"]) != len(values) - 1:
        return False
    for part, start, end in zip(document["parts"], values, values[1:], strict=False):
        piece = network.between(start, end)
        if start:
            layout, scale = _decode(part["reads"]["layout"], "<i8"), _decode(part["reads"]["scale"])
            size = int(np.prod(piece.input_shape))
            if not np.array_equal(layout, np.arange(size)) or np.any(scale != 1):
                return False
        if piece.stacked.reduced().sha256 != part["network"]["sha256"]:
            return False
    return True


def _attains(document: dict[str, Any], network: Network, rows: list[int] | None) -> bool:
    from sdpcert.attained import evaluate_ratio

    attained = document.get("attained")
    if attained is None:
        return True
    x, x_prime = _decode(attained["x"]), _decode(attained["x_prime"])
    if x.shape != x_prime.shape or x.size != int(np.prod(network.input_shape)):
        return False
    lower = float.fromhex(attained["lower"])
    if document["version"] == 2:
        return evaluate_ratio(network, x, x_prime, rows) >= lower
    form = network.stacked if rows is None else network.stacked.output_rows(rows)
    return evaluate_ratio(form, x, x_prime) >= lower


def _decode(text: str, kind: str = "<f8") -> Array:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind)
