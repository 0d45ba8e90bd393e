"""Floating-point proofs of forged certificates whose numbers underflow: what is lost there must not be proved."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from sdpcert.check import check_document


def packed(values: object, kind: str = "<f8") -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, dtype=kind).tobytes())).decode()


def forged(
    weights: list[float],
    slopes: tuple[float, float],
    multiplier: float,
    rho: float,
    scaling: list[int],
    upper: float,
    exponent: int = 0,
    metric: float = 1.0,
) -> dict[str, Any]:
    """A certificate of one channel on a torus of one cell: y = weights[1] phi(weights[0] x), or y = weights[0] x."""
    hidden = len(weights) - 1
    digest = hashlib.sha256(b"sdpcert-torus-1" + struct.pack("<6q", 1, 1, 1, 1, hidden, 0))
    groups, blocks = [], []
    for _ in range(hidden):
        digest.update(struct.pack("<q", 1) + struct.pack("<2d", *slopes))
        groups.append({"size": 1, "activation": "x", "alpha": packed([slopes[0]]), "beta": packed([slopes[1]])})
    for k, weight in enumerate(weights):
        digest.update(struct.pack("<3q", k + 1, k, 1) + struct.pack("<d", 0.0) + bytes(16) + struct.pack("<d", weight))
        block = {"to": k + 1, "from": k, "radius": (0.0).hex(), "taps": 1}
        blocks.append({**block, "offsets": packed([0, 0], "<i8"), "weights": packed([weight])})
    network = {"torus": [1, 1], "inputs": 1, "outputs": 1, "pooled": False, "groups": groups, "blocks": blocks}
    part = {
        "kind": "torus",
        "upper": upper.hex(),
        "network": {**network, "sha256": digest.hexdigest()},
        "multipliers": {
            "rho": rho.hex(),
            "lambda": [packed([multiplier])] * hidden,
            "exponent": exponent,
            "metric": packed([metric]),
        },
        "proof": {"kind": "frequency", "level": "floating-point", "scaling": packed(scaling, "<i8")},
        "reads": None,
    }
    document = {"format": "sdpcert-certificate", "version": 2, "claim": "", "upper": upper.hex(), "parts": [part]}
    return {**document, "attained": None, "information": {}}


def test_a_true_certificate_of_this_form_is_accepted() -> None:
    result = check_document(forged([2.0, 3.0], (-1.0, 1.0), 5.0, 41.0, [3, 2], 6.5), exact=False)
    assert result.ok, result.reason


@pytest.mark.parametrize(
    ("document", "truth"),
    [
        # The product of the slopes, 1e-400, counts 1e301 times the square of 1e99.
        (forged([1e99, 1e150], (-1e-200, 1e-200), 1e301, 1.0, [0, 500], 1.0), 1e49),
        # 4^-538 is below the smallest float64: the output's term would vanish.
        (forged([1e99], (0.0, 1.0), 0.0, 1e-145, [0], 2.846e89, exponent=538), 1e99),
    ],
)
def test_what_underflows_is_not_proved(document: dict[str, Any], truth: float) -> None:
    upper = float.fromhex(document["upper"])
    assert upper < truth / 1e8
    assert not check_document(document, exact=False).ok
