"""The values of a network that everything passes through, at which it may be divided."""

from __future__ import annotations

from itertools import pairwise

from sdpcert.network.activation import Activation
from sdpcert.network.graph import Network


def passages(network: Network) -> list[int]:
    """The values between input and output that all later ones depend on the earlier ones by, in order."""
    last = network.last_uses
    passed, furthest = [], last.get(0, 0)
    for value in sorted(k for k in last if k):
        if value != network.output and furthest <= value:
            passed.append(value)
        furthest = max(furthest, last[value])
    return passed


def places_to_divide(network: Network) -> list[int]:
    """The passages but those that an activation reads, those on their way to become an image, and vectors that entries
    were only moved into; and the output.

    So layers stay with the activation that follows, and images are divided as images.
    """
    passed = [*passages(network), network.output]
    following = dict(pairwise([0, *passed]))

    def moved(value: int) -> bool:
        node = network.nodes[value - 1]
        if isinstance(node.layer, Activation) or len(node.inputs) != 1:
            return False
        return node.layer.places(network.shape(node.inputs[0])) is not None

    def goes_on(value: int) -> bool:
        after = following.get(value)
        if after is None:
            return False
        if moved(value) and len(network.shape(value)) != 3:
            return True
        node = network.nodes[after - 1]
        if node.inputs != (value,):
            return False
        return isinstance(node.layer, Activation) or (moved(after) and len(node.shape) == 3)

    return [value for value in passed if not goes_on(value)]
