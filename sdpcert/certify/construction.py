"""Certificates by construction: the point that 1-Lipschitz layers know in closed form, proved whole or in parts.

A deep chain is proved in parts where its stacked form as one is too large, or where the rounding of multiplying its
affine layers together would cost more than the layers leave room for. Nothing is lost by that: the constants of
layers multiply anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.certificate.sequence import Joint, Sequence, in_sequence
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certificate.torus_proof import TorusProof, prove_torus
from sdpcert.certify.dense import rounding_notes
from sdpcert.certify.plan import Candidate, Plan, Proven, Told, Tried
from sdpcert.condition.frequency import FrequencyCondition
from sdpcert.network.construction import ConstructedNetwork, Construction
from sdpcert.network.stacked import StackedForm
from sdpcert.network.torus import TorusForm
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers.solution import Budget, Solution

#: Neurons and inputs up to which a part is proved as one.
LARGEST = 2000
#: Values up to which a part is proved as one: multiplying layers together costs the square of their number.
LONGEST = 32
#: Up to this repair a part counts as proved as it is; more of it shows that the part should be divided.
LITTLE = 1e-8


class ConstructionPlan(Plan):
    """A network of 1-Lipschitz layers, at the point that they know."""

    method = "by-construction"
    solver = "closed form"

    def __init__(self, network: ConstructedNetwork) -> None:
        self.network = self.searched = network
        self.neurons, self.claimed = network.neurons, network.unshared

    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        yield ConstructedPoint(self.network)

    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        return bool(tried)

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        return Told(0.0, "closed form", 0, (), tried[0].proven.notes)


@dataclass(eq=False)
class ConstructedPoint(Candidate):
    """The point of a network's layers, whole or in parts."""

    network: ConstructedNetwork

    def prove(self, below: float, budget: Budget) -> Proven:
        with first_interrupt_waits():
            tree = prove_construction(self.network)
        if isinstance(tree, Sequence):
            return Proven(tree, notes=(f"proved in {len(tree.parts)} parts, one after the other",))
        return Proven(tree, notes=() if tree is None else tuple(rounding_notes(tree.form)))


def prove_construction(network: ConstructedNetwork) -> StackedCondition | Sequence | None:
    """Prove a network of 1-Lipschitz layers at the point that they know, in as few parts as it takes; None if that
    fails.

    Raises ValueError for a network with neurons that have no multiplier.
    """
    between = sorted(set(network.construction.squared_gains) - {0, network.output})
    found = _prove_between(network, [0, *between, network.output])
    if found is None:
        return None
    parts, cuts = found
    joints = tuple(Joint.plain(part.form.inputs) for part in parts[1:])
    return in_sequence(parts, joints, cuts)


def _prove_between(
    network: ConstructedNetwork, values: list[int]
) -> tuple[tuple[StackedCondition, ...], tuple[int, ...]] | None:
    """Parts from the first to the last of some values, and the values between the parts."""
    start, end = values[0], values[-1]
    piece = network if (start, end) == (0, network.output) else network.part(start, end)
    whole = None
    small = piece.neurons + int(np.prod(piece.input_shape)) <= LARGEST and len(values) <= LONGEST
    if small or len(values) == 2:
        form = piece.unshared.reduced()
        proof = prove_point(form, piece.construction)
        if proof is not None:
            whole = (StackedCondition(form, proof),), ()
            if proof.tau <= LITTLE:
                return whole
    if len(values) == 2:
        return whole
    middle = len(values) // 2
    first = _prove_between(network, values[: middle + 1])
    second = None if first is None else _prove_between(network, values[middle:])
    if first is None or second is None:
        return whole
    return (*first[0], *second[0]), (*first[1], values[middle], *second[1])


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
