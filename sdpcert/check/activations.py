"""Activations of a network whose values are known: what a file states of them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PiecewiseLinear:
    """phi(v) = slopes[k] v + values[k] from starts[k-1] to starts[k], one entry of each array for each neuron.

    `slopes` and `values` have one array for each piece, `starts` one fewer, ascending.
    """

    starts: tuple[array[float], ...]
    slopes: tuple[array[float], ...]
    values: tuple[array[float], ...]


@dataclass(frozen=True)
class Smooth:
    """A function that `functions.py` knows; `function` is that of the name with these parameters."""

    name: str
    parameters: array[float]
    function: Any


@dataclass(frozen=True)
class Unknown:
    """An activation of which only the slopes everywhere are known."""
