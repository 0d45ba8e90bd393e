"""Multipliers that prove an activation nonexpansive, for layers and for activations that stand in a chain of layers."""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import Activation

Array = np.ndarray
#: What makes the inequality of an activation strict; linear layers have more room than this.
STRICT = 2.0**-40


def nonexpansive_multiplier(kind: Activation, downstream: float) -> float | Array:
    """The multiplier, `downstream` times, with which an activation of slopes in [-1, 1] is proved nonexpansive."""
    alpha, beta = np.asarray(kind.alpha, dtype=float), np.asarray(kind.beta, dtype=float)
    return downstream * (1 + STRICT) * (1 - alpha * beta) / (beta - alpha) ** 2
