"""The exact Lipschitz constant of a network of one input by its breakpoints: a second oracle, which knows only values.

Layer by layer: between neighbouring breakpoints preactivations are affine, so two exact values of each give the places
where the next units change their pieces. No Jacobian, no linear programme, and no pattern is in here.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from tests.oracles.networks import PiecewiseNetwork


def squared_constant(network: PiecewiseNetwork, low: float | None = None, high: float | None = None) -> Fraction:
    """The square of the Lipschitz constant from `low` to `high`, or everywhere."""
    if network.inputs != 1:
        raise ValueError(f"the network has {network.inputs} inputs, not one")
    stretches = _stretches([], low, high)
    breaks: set[Fraction] = set()
    for number, layer in enumerate(network.layers):
        size = layer.unit.size
        levels = {row for piece in layer.unit.pieces() for row in piece.inside}
        for first, last in stretches:
            one, other = (network.preactivations([x])[number] for x in (first, last))
            for group in range(layer.groups):
                for *weights, constant in levels:
                    at = [
                        sum((w * v for w, v in zip(weights, read[group * size :])), constant) for read in (one, other)
                    ]
                    if at[0] != at[1]:
                        breaks.add(first + (last - first) * at[0] / (at[0] - at[1]))
        stretches = _stretches(sorted(breaks), low, high)
    slopes = []
    for first, last in stretches:
        one, other = (network([x]) for x in (first, last))
        slopes.append(sum(((b - a) / (last - first)) ** 2 for a, b in zip(one, other)))
    return max(slopes)


def _stretches(breaks: list[Fraction], low: float | None, high: float | None) -> list[tuple[Fraction, Fraction]]:
    """Two points of every stretch between neighbouring breaks: its ends where it has two.

    Some breaks are none, since lines are extended beyond their stretch; that only makes more stretches.
    """
    ends = [] if low is None or high is None else [Fraction(low), Fraction(high)]
    inner = [x for x in breaks if not ends or ends[0] < x < ends[1]]
    if ends:
        places = [ends[0], *inner, ends[1]]
    else:
        places = [inner[0] - 1, *inner, inner[-1] + 1] if inner else [Fraction(0), Fraction(1)]
    return list(pairwise(places))
