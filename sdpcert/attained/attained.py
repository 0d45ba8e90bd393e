"""What a search returns: two inputs, and a proved lower bound of their difference quotient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Attained(ShortRepr):
    """`|f(x) - f(x_prime)| >= lower * |x - x_prime|`, x and x_prime flat arrays of the network's input size.

    `seconds` is how long it took to find them.
    """

    lower: float
    x: Array
    x_prime: Array
    seconds: float = 0.0
