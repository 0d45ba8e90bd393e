"""Multipliers that prove an activation nonexpansive, for layers and for activations that stand in a chain of layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sdpcert.network.activations import Activation

#: What makes the inequality of an activation strict; linear layers have more room than this.
STRICT = 2.0**-40


def with_own_multiplier(kind: Activation, energy: float) -> Activation:
    """An elementwise activation with slopes in [-1, 1], with the multiplier that makes it nonexpansive."""
    alpha, beta = np.asarray(kind.alpha, dtype=float), np.asarray(kind.beta, dtype=float)
    return replace(kind, multiplier=energy * (1 + STRICT) * (1 - alpha * beta) / (beta - alpha) ** 2)
