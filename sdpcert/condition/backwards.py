"""The network read backwards, from its outputs to its inputs: the same optimum, by a matrix that may be smaller.

The order of M is that of the neurons and of the input, and outputs are often fewer than inputs. Where every slope
begins at zero, M(rho, lambda) >= 0 is the Schur complement, by the identity at the outputs y, of a matrix with

    x: rho I,    z: 2 Lambda - Lambda K - K' Lambda,    y: I,    (z, x): -Lambda G,    (y, z): F,    (y, x): D,

where neurons z read G x + K z (weights times their greatest slopes) and y = F z + D x. Multiplied from both sides by
sqrt(rho) / Lambda at z, 1 / sqrt(rho) at x and sqrt(rho) at y, and with other signs of x and y, it is

    x: I,    z: 2 T - T K' - K T,    y: rho I,    (x, z): G',    (z, y): -T F',    (x, y): D',    T = rho / Lambda,

the same matrix for the network that reads y, has the neurons in the opposite order and the weights transposed. So
(rho, T) is feasible for it exactly where (rho, Lambda) is for the network, and dual bounds of either hold for both.
"""

from __future__ import annotations

import numpy as np

from sdpcert.condition.scaling import known_weights, reduce_input
from sdpcert.network.activations import relu
from sdpcert.network.stacked import Block, Group, StackedForm

Array = np.ndarray
#: The order of the matrix backwards, relative to that forwards, from which on it is not worth the turn.
WORTH = 0.9


def is_smaller_backwards(form: StackedForm) -> bool:
    """Whether the condition may be solved for the network backwards, and its matrix is clearly smaller there."""
    if not form.groups or any(np.any(g.alpha) or np.any(g.beta < 0) for g in form.groups):
        return False
    return 0 < outer_size(form, form.output_row) + form.neurons < WORTH * (outer_size(form, 0) + form.neurons)


def outer_size(form: StackedForm, end: int) -> int:
    """The size of the input (0) or the output once it is reduced to what the blocks there have."""
    sides = [block.weights.shape[0 if end == 0 else 1] for key, block in form.blocks.items() if end in key]
    return min(form.outputs if end else form.inputs, sum(sides))


def backwards(form: StackedForm) -> StackedForm:
    """The network from outputs to inputs, with slopes between 0 and 1; what it computes means nothing.

    Its outputs are reduced as inputs are.
    """
    last = form.output_row
    forwards, inputs = reduce_input({key: known_weights(block) for key, block in form.blocks.items()}, form.inputs)
    blocks = {}
    for (to, source), weights in forwards.items():
        scaled = weights if to == last else form.groups[to - 1].beta[:, None] * weights
        blocks[last - source, last - to] = Block(np.ascontiguousarray(scaled.T))
    groups = tuple(_neurons(g.size) for g in reversed(form.groups))
    return StackedForm(form.outputs, inputs, groups, blocks, np.zeros(inputs))


def _neurons(size: int) -> Group:
    none = np.zeros(size)
    return Group(relu(), (size,), np.arange(size), none, np.ones(size), none)


def multipliers_forwards(rho: float, multipliers: tuple[Array, ...], exponent: int) -> tuple[Array, ...]:
    """The multipliers of the network from those backwards, both with the output scaled by `2**-exponent`."""
    with np.errstate(divide="ignore", over="ignore"):
        return tuple(np.ldexp(rho / t, -2 * exponent) for t in reversed(multipliers))
