"""Bounds of a preactivation by quadratic facts, replayed in integers.

The facts of a piece, weighed, are taken off the preactivation. What is left is a quadratic function of the coordinates
of an ellipsoid around the inputs and of the undecided neurons, and it is nonnegative everywhere if its matrix is
positive semidefinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from .affine import AffineDescent, Ellipsoid
from .backward import IntegerNetwork
from .definite import prove_semidefinite
from .facts import Polynomial, count_of_facts, facts_of, weighed
from .pieces import QuadraticStep
from .quadratic_matrix import Place, quadratic_matrix
from .reading import Rejected, within
from .reduced import MAX_COORDINATES
from .region import Region
from .state import State


def check_quadratic(step: QuadraticStep, network: IntegerNetwork, state: State, region: Region, bits: int) -> None:
    """Prove the bound of a step on a piece; raise `Rejected` if its weights do not."""
    ellipsoid = Ellipsoid.around(region, state.box, step.scales)
    left = Remainder(step, state)
    left.constant -= Fraction(step.ball) * ellipsoid.square
    undecided = [known.undecided for known in state.groups[: step.group - 1]]
    rows_in_all = sum(map(len, left.read.values()))
    if min(len(ellipsoid.center), rows_in_all) + sum(map(len, undecided)) > MAX_COORDINATES:
        raise Rejected(f"the quadratic function has more than {MAX_COORDINATES} coordinates")
    blocks = []
    for group, neurons in left.read.items():
        rows = AffineDescent(network, state, bits, len(neurons)).rows(group, neurons, ellipsoid)
        left.allow_for(group, rows.errors)
        blocks.append(rows)
    matrix = quadratic_matrix(left.polynomials, left.read, blocks, undecided, left.constant, left.ball)
    prove_semidefinite(matrix, "the matrix of the quadratic function")


class Remainder:
    """A preactivation (or minus it) less a stated value, all facts and what errors of rows may change.

    It is the sum of a constant, of polynomials of neurons, and of `ball |y|^2`; `read` has the neurons of each group
    whose preactivations occur, ascending.
    """

    def __init__(self, step: QuadraticStep, state: State) -> None:
        self.state, self.ball = state, Fraction(step.ball)
        sign = 1 if step.side == "low" else -1
        self.constant = -sign * Fraction(step.value)
        self.polynomials: dict[Place, Polynomial] = {(step.group, step.neuron): Polynomial(v=Fraction(sign))}
        for group, multipliers in enumerate(step.multipliers, 1):
            with within(f"group {group}"):
                self._take_off_facts(group, multipliers)
        if step.decisions is not None:
            self._take_off_decisions(step.group, step.decisions)
        self.constant += sum((polynomial.one for polynomial in self.polynomials.values()), Fraction(0))
        self.read: dict[int, list[int]] = {}
        for group, neuron in sorted(self.polynomials):
            if self.polynomials[group, neuron].reads_preactivation:
                self.read.setdefault(group, []).append(neuron)

    def _take_off_facts(self, group: int, multipliers: Sequence[float]) -> None:
        known, first = self.state.neurons(group), 0
        counts = [count_of_facts(known, neuron) for neuron in known.undecided]
        if sum(counts) != len(multipliers):
            raise Rejected(f"{len(multipliers)} multipliers for {sum(counts)} facts")
        for neuron, count in zip(known.undecided, counts, strict=True):
            weights = multipliers[first : first + count]
            first += count
            if any(weights):
                with within(f"neuron {neuron}"):
                    fact = weighed(facts_of(known, neuron), weights)
                self.polynomials[group, neuron] = fact.negated()

    def _take_off_decisions(self, below: int, weights: Sequence[float]) -> None:
        for decision, weight in zip(self.state.decisions, weights, strict=True):
            if weight:
                if decision.group >= below:
                    raise Rejected(f"a decision on group {decision.group} is weighed")
                place = decision.group, decision.neuron
                fact = Polynomial(one=Fraction(-decision.at), v=Fraction(1))
                before = self.polynomials.get(place, Polynomial())
                self.polynomials[place] = before.plus(fact, -decision.sign * Fraction(weight))

    def allow_for(self, group: int, errors: list[Fraction]) -> None:
        """Take off what errors of the preactivations of a group that occur may change."""
        known = self.state.neurons(group)
        for neuron, error in zip(self.read[group], errors, strict=True):
            low, high = known.interval(neuron)
            most_v, size = max(-low, high), known.sizes[neuron] if error else None
            with within(f"neuron {neuron} of group {group}"):
                self.constant -= self.polynomials[group, neuron].change(
                    error,
                    Fraction(most_v) if math.isfinite(most_v) else None,
                    None if size is None else Fraction(size, 1 << known.bits),
                )
