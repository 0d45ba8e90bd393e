"""A network in stacked form with its biases and activations, as restrictions and covers state it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from .activations import PiecewiseLinear, Smooth, Unknown
from .stacked import Block


@dataclass(frozen=True)
class Group:
    """Neurons with the same kind of activation; all arrays have one entry for each of them."""

    size: int
    name: str
    activation: PiecewiseLinear | Smooth | Unknown
    alpha: array[float]
    beta: array[float]
    bias: array[float]
    bias_radius: array[float]


@dataclass(frozen=True)
class Network:
    """A network: `groups[g - 1]` is group g, `blocks` are those of a stacked form, increasing in (target, source)."""

    inputs: int
    outputs: int
    groups: tuple[Group, ...]
    blocks: tuple[Block, ...]
    sha256: str
