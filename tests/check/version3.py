"""Certificates of version 3 made from files of versions 1 and 2 by the format page, without the package's writer."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "certificates"


def kept(name: str) -> dict[str, Any]:
    """A kept certificate of version 1 or 2."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def as_version_3(old: dict[str, Any], nested: bool = False) -> dict[str, Any]:
    """The certificate in version 3; `nested` puts all parts after the first into a sequence of their own."""
    old = copy.deepcopy(old)
    if old["version"] == 1:
        tree = condition({**old, "kind": "stacked"})
    elif len(old["parts"]) == 1:
        tree = condition(old["parts"][0])
    else:
        parts = [condition(part) for part in old["parts"]]
        joints = [part["reads"] for part in old["parts"][1:]]
        if nested and len(parts) > 2:
            inner = sequence(product_up(parts[1:]), parts[1:], joints[1:])
            # The product of rounded products may be above that of the file, if only by rounding.
            tree = sequence(product_up([parts[0], inner]), [parts[0], inner], joints[:1])
        else:
            tree = sequence(old["upper"], parts, joints)
    upper = max(old["upper"], tree["claim"]["upper"], key=float.fromhex)
    first = tree
    while first["kind"] == "sequence":
        first = first["parts"][0]
    document = {
        "format": "sdpcert-certificate",
        "version": 3,
        "claim": "",
        "upper": upper,
        "norm": "l2",
        "region": {
            "kind": "all",
            "coordinates": "torus" if first["form"] == "torus" else "input",
            "size": tree["claim"]["inputs"],
        },
        "assumptions": [],
        "tree": tree,
        "attained": old["attained"],
        "information": old["information"],
    }
    return with_claim(document)


def with_claim(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the sentence that its numbers make, in place."""
    claim = document["tree"]["claim"]
    upper = float.fromhex(document["upper"])
    document["claim"] = (
        f"For all inputs x, x' of the network of the tree below ({claim['inputs']} inputs, {claim['outputs']} "
        f"outputs): |f(x) - f(x')| <= {upper!r} |x - x'|, Euclidean norms, real arithmetic."
    )
    return document


def condition(part: dict[str, Any]) -> dict[str, Any]:
    """A condition from a part of version 2, or from the file of version 1 with a kind."""
    network, multipliers, cells = part["network"], dict(part["multipliers"]), 1
    if part["kind"] == "torus":
        cells = network["torus"][0] * network["torus"][1]
    return {
        "kind": "condition",
        "form": part["kind"],
        "claim": {
            "upper": part["upper"],
            "norm": "l2",
            "region": {"kind": "all"},
            "inputs": network["inputs"] * cells,
            "outputs": network["outputs"] * (1 if network.get("pooled") else cells),
            "metric": multipliers.pop("metric", None),
        },
        "network": network,
        "multipliers": multipliers,
        "proof": part["proof"],
    }


def sequence(upper: str, parts: list[dict[str, Any]], joints: list[dict[str, Any]]) -> dict[str, Any]:
    """Parts one after the other."""
    claim = {"upper": upper, "norm": "l2", "region": {"kind": "all"}, "metric": None}
    sizes = {"inputs": parts[0]["claim"]["inputs"], "outputs": parts[-1]["claim"]["outputs"]}
    return {"kind": "sequence", "claim": claim | sizes, "parts": parts, "joints": joints}


def product_up(parts: list[dict[str, Any]]) -> str:
    """The product of the parts' bounds, rounded up."""
    exact = math.prod((Fraction(float.fromhex(part["claim"]["upper"])) for part in parts), start=Fraction(1))
    rounded = float(exact)
    return (rounded if Fraction(rounded) >= exact else math.nextafter(rounded, math.inf)).hex()
