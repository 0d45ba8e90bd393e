"""Bind a certificate to a network: the same weights, and the attained points evaluated again on them."""

from __future__ import annotations

import base64
import json
import os
import zlib
from dataclasses import replace

import numpy as np

from sdpcert.check.checker import CheckResult, check
from sdpcert.network.graph import Network


def check_with_network(path: str | os.PathLike[str], network: Network) -> CheckResult:
    """Check a certificate, that it is about this network's weights, and that its attained points attain its lower
    bound.
    """
    from sdpcert.attained import evaluate_ratio

    result = check(path)
    if not result.ok:
        return result
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    form = network.stacked
    rows = document.get("information", {}).get("output_rows")
    if rows is not None:
        try:
            form = form.output_rows(rows)
        except (ValueError, TypeError):
            return replace(result, ok=False, upper=None, reason=f"output rows {rows} do not exist in {network.source}")
    if form.reduced().sha256 != document["network"]["sha256"]:
        return replace(
            result, ok=False, upper=None, reason=f"the certificate is about other weights than {network.source}"
        )
    attained = document.get("attained")
    if attained is not None:
        x, x_prime = (
            np.frombuffer(zlib.decompress(base64.b64decode(attained[key])), dtype="<f8") for key in ("x", "x_prime")
        )
        lower = float.fromhex(attained["lower"])
        if x.shape != (form.inputs,) or evaluate_ratio(form, x, x_prime) < lower:
            return replace(
                result, ok=False, upper=None, reason="the attained points do not attain the stated lower bound"
            )
    return replace(result, reason=f"{result.reason}; the weights are those of {network.source}")
