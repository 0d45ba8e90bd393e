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
from sdpcert.certificate.torus_proof import TorusProof, prove_torus
from sdpcert.condition.frequency import FrequencyCondition
from sdpcert.network.construction import ConstructedNetwork, Construction
from sdpcert.network.stacked import StackedForm
from sdpcert.network.torus import TorusForm
from sdpcert.solvers.solution import Solution

#: Neurons and inputs up to which a part is proved as one.
LARGEST = 2000
#: Values up to which a part is proved as one: multiplying layers together costs the square of their number.
LONGEST = 32
#: Up to this repair a part counts as proved as it is; more of it shows that the part should be divided.
LITTLE = 1e-8


@dataclass(frozen=True, eq=False)
class ProvedSequence:
    """The proved parts and the values between them (`cuts`, without the network's input and output)."""

    parts: tuple[StackedPart, ...]
    cuts: tuple[int, ...]


def prove_construction(network: ConstructedNetwork) -> ProvedSequence | None:
    """Prove a network of 1-Lipschitz layers at the point that they know, in as few parts as it takes; None where that
    fails.

    Raises ValueError for a network with neurons that have no multiplier.
    """
    between = sorted(set(network.construction.squared_gains) - {0, network.output})
    return _prove_between(network, [0, *between, network.output])


def _prove_between(network: ConstructedNetwork, values: list[int]) -> ProvedSequence | None:
    start, end = values[0], values[-1]
    piece = network if (start, end) == (0, network.output) else network.part(start, end)
    whole: ProvedSequence | None = None
    small = piece.neurons + int(np.prod(piece.input_shape)) <= LARGEST and len(values) <= LONGEST
    if small or len(values) == 2:
        form = piece.unshared.reduced()
        proof = prove_point(form, piece.construction)
        if proof is not None:
            size = int(np.prod(piece.input_shape))
            reads = {} if start == 0 else {"layout": np.arange(size), "scale": np.ones(size)}
            part = StackedPart(form, proof, square_root_up(proof.rho, proof.exponent), **reads)
            whole = ProvedSequence((part,), ())
            if proof.tau <= LITTLE:
                return whole
    if len(values) == 2:
        return whole
    middle = len(values) // 2
    first = _prove_between(network, values[: middle + 1])
    second = None if first is None else _prove_between(network, values[middle:])
    if first is None or second is None:
        return whole
    return ProvedSequence((*first.parts, *second.parts), (*first.cuts, values[middle], *second.cuts))


def point_of(form: StackedForm, construction: Construction) -> Solution:
    """The point by construction of the network that the form was made of."""
    return Solution(construction.squared_gain, construction.of_neurons(form.groups), 0, 0.0, 0, "closed form")


def prove_point(form: StackedForm, construction: Construction) -> Proof | None:
    """The proof of the point by construction, repaired as little as needed."""
    point = point_of(form, construction)
    return ProofProblem(form, 0).prove(point.rho, point.multipliers, REPAIRS)


def prove_point_on_torus(form: TorusForm, construction: Construction) -> TorusProof | None:
    """The proof over all frequencies of the point by construction, for the front of a network."""
    condition = FrequencyCondition(form, "neuron", form.frequencies[:1])
    down = 2.0 ** (-2 * condition.exponent)
    y = [np.array([construction.squared_gain * down])]
    for number, multipliers in enumerate(construction.of_channels(form.groups), start=1):
        y.append(np.ldexp(multipliers, -2 * condition.exponents[number]) * down)
    return prove_torus(condition, np.concatenate(y))
