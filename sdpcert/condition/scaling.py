"""Powers of two and an orthogonal reduction that bring a network to unit scale before it is solved.

The change of scale z_g -> 2^(a_g) z_g, y -> 2^(-f) y is a congruence of the condition and exact in floating point. It
maps multipliers back exactly; the orthogonal reduction of a wide input is used by solvers only, never in a
certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.stacked import Block, StackedForm

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Scaling:
    """Exponents of the scaling: `neurons[g]` for group g, `output` for the output."""

    neurons: tuple[int, ...]
    output: int

    def multipliers(self, scaled: list[Array]) -> list[Array]:
        """Multipliers of the original network from those of the scaled one (both per neuron, per group)."""
        return [np.ldexp(t, 2 * a) for t, a in zip(scaled, self.neurons, strict=True)]

    def lipschitz(self, scaled: float) -> float:
        """Bound of the original network from that of the scaled one."""
        return float(np.ldexp(scaled, self.output))


def equilibrate(form: StackedForm, first: int = 0) -> tuple[dict[tuple[int, int], Array], Scaling]:
    """Blocks of the network rescaled so that every group's incoming map has norm about one, and the exponents.

    The scale of a group follows from the largest norm of its incoming blocks after the scales of its sources are known;
    that of the input is 2^first.
    """
    norms = {key: norm_exponent(known_weights(block)) for key, block in form.blocks.items()}
    exponents = scale_exponents(norms, form.output_row, first)
    output = -exponents[-1]
    blocks = {
        (to, source): np.ldexp(known_weights(block), exponents[to] - exponents[source])
        for (to, source), block in form.blocks.items()
    }
    return blocks, Scaling(tuple(exponents[1:-1]), output)


def scale_exponents(norms: dict[tuple[int, int], float], output_row: int, first: int = 0) -> list[int]:
    """Exponents a_g of the rescaling z_g -> 2^(a_g) z_g for all sources, and of the output, from those of the blocks'
    norms.

    `first` is that of the input.
    """
    exponents = [first]
    for number in range(1, output_row + 1):
        reach = max((norm - exponents[s] for (to, s), norm in norms.items() if to == number), default=-np.inf)
        exponents.append(0 if reach == -np.inf else -int(reach))
    return exponents


def known_weights(block: Block) -> Array:
    """The weights to solve for; a block that is nothing but its uncertainty becomes a matrix far above that."""
    if block.radius == 0 or np.any(block.weights):
        return block.weights
    return np.full(block.weights.shape, 1024 * block.radius)


def norm_exponent(weights: Array) -> float:
    """Exponent of a power of two near the spectral norm (rough: one pass of the Frobenius norm over sqrt of the
    rank).
    """
    largest = float(np.max(np.abs(weights), initial=0.0))
    if largest == 0:
        return -np.inf
    exponent = int(np.frexp(largest)[1])
    unit = np.ldexp(weights, -exponent)
    vector = np.ones(unit.shape[1])
    for _ in range(3):  # a few power iterations: only the order of magnitude matters here
        image = unit.T @ (unit @ vector)
        size = float(np.linalg.norm(image))
        if size == 0:
            break
        vector = image / size
    estimate = float(np.linalg.norm(unit @ vector))
    if estimate == 0:
        estimate = float(np.linalg.norm(unit))
    return exponent + int(np.round(np.log2(estimate)))


def reduce_input(blocks: dict[tuple[int, int], Array], inputs: int) -> tuple[dict[tuple[int, int], Array], int]:
    """Replace the blocks that read the input by a factor of their Gram matrix when the input is wider than they are
    tall.

    With G the stacked blocks and G' = Q R, the network that reads R' instead of G has the same condition value.
    """
    readers = sorted(key for key in blocks if key[1] == 0)
    if not readers:
        return blocks, inputs
    stacked = np.concatenate([blocks[key] for key in readers])
    nonzero = np.any(stacked != 0, axis=1)
    rank = int(nonzero.sum())
    if inputs <= rank or rank == 0:
        return blocks, inputs
    factor = np.zeros((len(stacked), rank))
    triangle: Array = np.asarray(np.linalg.qr(stacked[nonzero].T, mode="r"))
    factor[nonzero] = triangle.T
    reduced = dict(blocks)
    first = 0
    for key in readers:
        reduced[key] = factor[first : first + len(blocks[key])]
        first += len(blocks[key])
    return reduced, rank
