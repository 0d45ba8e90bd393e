"""Certificates by construction: the point that 1-Lipschitz layers know in closed form, proved whole or in parts.

A deep chain is proved in parts where its stacked form as one is too large, or where the rounding of multiplying its
affine layers together would cost more than the layers leave room for. Nothing is lost by that: the constants of
layers multiply anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.parts import StackedPart
from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.solution import Solution

#: Neurons and inputs up to which a part is proved as one.
LARGEST = 2000
#: Values up to which a part is proved as one: multiplying layers together costs the square of their number.
LONGEST = 32
#: Up to this repair a part counts as proved as it is; more of it shows that the part should be divided.
LITTLE = 1e-8


@dataclass(frozen=True, eq=False)
class Construction:
    """The proved parts and the values between them (`cuts`, without the network's input and output)."""

    parts: tuple[StackedPart, ...]
    cuts: tuple[int, ...]


def prove_construction(network: Network) -> Construction | None:
    """Prove a network of 1-Lipschitz layers at the point that they know, in as few parts as it takes; None where not.

    Raises ValueError for a network without such a point, or with neurons that have no multiplier.
    """
    if not network.energies:
        raise ValueError("the network knows no multipliers by construction; see sdpcert.from_torch")
    between = sorted(set(network.energies) - {0, network.output})
    return _prove_between(network, [0, *between, network.output])


def _prove_between(network: Network, values: list[int]) -> Construction | None:
    start, end = values[0], values[-1]
    piece = network if (start, end) == (0, network.output) else network.between(start, end)
    whole: Construction | None = None
    small = piece.neurons + int(np.prod(piece.input_shape)) <= LARGEST and len(values) <= LONGEST
    if small or len(values) == 2:
        form = piece.unshared.reduced()
        proof = prove_point(form, network.energies[start] / _behind(network, end), _behind(network, end))
        if proof is not None:
            size = int(np.prod(piece.input_shape))
            reads = {} if start == 0 else {"layout": np.arange(size), "scale": np.ones(size)}
            part = StackedPart(form, proof, square_root_up(proof.rho, proof.exponent), **reads)
            whole = Construction((part,), ())
            if proof.tau <= LITTLE:
                return whole
    if len(values) == 2:
        return whole
    middle = len(values) // 2
    first = _prove_between(network, values[: middle + 1])
    second = None if first is None else _prove_between(network, values[middle:])
    if first is None or second is None:
        return whole
    return Construction((*first.parts, *second.parts), (*first.cuts, values[middle], *second.cuts))


def _behind(network: Network, value: int) -> float:
    return 1.0 if value == network.output else network.energies[value]


def point_of(form: StackedForm, rho: float, behind: float = 1.0) -> Solution:
    """The point by construction; multipliers count for everything `behind` the form too."""
    multipliers = []
    for number, group in enumerate(form.groups, start=1):
        if group.multipliers is None:
            raise ValueError(f"the neurons of group {number} have no multipliers by construction; solve for them")
        multipliers.append(group.multipliers / behind)
    return Solution(rho, tuple(multipliers), 0, 0.0, 0, "closed form")


def prove_point(form: StackedForm, rho: float, behind: float = 1.0) -> Proof | None:
    """The proof of the point by construction, repaired as little as needed."""
    solution = point_of(form, rho, behind)
    return ProofProblem(form, 0).prove(rho, solution.multipliers, REPAIRS)
