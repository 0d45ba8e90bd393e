"""The template of a layer: y = H x + G z + c, z = phi(v), v = U x + W z + b, and the claim that it is Lipschitz.

The claim is the condition of `derivations/condition.py` for the multipliers that are given. A counterexample is also
looked for as two inputs whose outputs are further apart than allowed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.symbolic.blocks import Block, symmetric_block
from sdpcert.symbolic.claim import Claim, Statement, positive
from sdpcert.symbolic.exact import indefinite, inverse, is_zero, unit
from sdpcert.symbolic.expression import Expression, as_expression, identity, letter, zero
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.kernel import instances
from sdpcert.symbolic.refutation import Witness, small_negative_vector
from sdpcert.symbolic.steps.step import Known

Array = np.ndarray
#: Neurons up to which all patterns of slopes are tried.
MOST_NEURONS = 7


@dataclass(frozen=True)
class Layer:
    """A layer with symbolic weights; None stands for a part that is absent.

    `U`: (hidden, inputs), `G`: (outputs, hidden), `H`: (outputs, inputs), `W`: (hidden, hidden), for several nonlinear
    layers strictly block lower triangular, `multipliers`: diagonal (hidden, hidden). Slopes of the activation lie in
    [low, high]. `squared_lipschitz` is the claimed constant's square, a number or a scalar expression. Without U and G
    the layer is the linear map H.
    """

    H: Expression | None = None
    G: Expression | None = None
    U: Expression | None = None
    W: Expression | None = None
    multipliers: Expression | None = None
    squared_lipschitz: Any = 1
    low: Any = 0
    high: Any = 1

    def condition(self) -> Block:
        """The matrix that has to be positive semidefinite."""
        rho = as_expression(self.squared_lipschitz, (1, 1))
        if self.U is None or self.G is None:
            if self.H is None:
                raise ValueError("a layer needs H, or U and G")
            return Block([[rho * identity(self.H.columns) - self.H.T @ self.H]])
        U, G, L = self.U, self.G, self.multipliers
        if L is None:
            raise ValueError("a layer with an activation needs multipliers")
        H = zero(G.rows, U.columns) if self.H is None else self.H
        W = zero(U.rows, U.rows) if self.W is None else self.W
        mean = as_expression(self.low, (1, 1)) + as_expression(self.high, (1, 1))
        product = as_expression(self.low, (1, 1)) * as_expression(self.high, (1, 1))
        top = rho * identity(U.columns) + 2 * product * (U.T @ L @ U) - H.T @ H
        across = 2 * product * (U.T @ L @ W) - mean * (U.T @ L) - H.T @ G
        corner = 2 * L - mean * (L @ W + W.T @ L) + 2 * product * (W.T @ L @ W) - G.T @ G
        return symmetric_block([[top, across], [corner]])

    def claim(self, name: str, given: Sequence[Statement] = (), text: str = "", **sizes: Any) -> Claim:
        """The claim that the condition is positive semidefinite."""
        maps = [part for part in (self.H, self.G, self.U, self.W) if part is not None]
        return Claim(name, positive(self.condition()), given, text, sizes, maps)

    def objection(self, claim: Claim) -> str | None:
        """Why the claim, even if proved, would not make the layer Lipschitz; None if it does."""
        if self.multipliers is None:
            return None
        letters = {x.symbol.kind for _, word in self.multipliers.terms for x in word}
        if letters - {"diagonal"} and not all(
            # Products such as P'LP with a crop P are diagonal by what P is defined as: exact instances show it.
            is_zero(value - np.diag(np.diag(value)))
            for value in (instance.value(self.multipliers) for instance in instances(claim, count=12))
        ):
            return "the multipliers are not a diagonal matrix, so the condition implies nothing"
        if not Known(claim).is_positive(self.multipliers):
            return "the multipliers are not known to be nonnegative: declare them positive or add a hypothesis"
        return None

    def counterexample(self, instance: Instance) -> NetworkWitness | None:
        """Two inputs that are mapped too far apart, with biases that keep the neurons on chosen slopes, or None."""
        value = instance.value
        rho = instance.number(as_expression(self.squared_lipschitz, (1, 1)))
        low, high = (instance.number(as_expression(s, (1, 1))) for s in (self.low, self.high))
        if self.U is None or self.G is None:
            assert self.H is not None
            return _pair(value(self.H), rho)
        U, G = value(self.U), value(self.G)
        H = value(zero(self.G.rows, self.U.columns) if self.H is None else self.H)
        W = value(zero(self.U.rows, self.U.rows) if self.W is None else self.W)
        if len(U) > MOST_NEURONS:
            return None
        for pattern in itertools.product((high, low), repeat=len(U)):
            D = instance.diagonal(pattern)
            try:
                inside = inverse(unit(len(U)) - W @ D) @ U
            except ZeroDivisionError:
                continue
            found = _pair(H + G @ D @ inside, rho, inside, pattern, high, W)
            if found is not None:
                return found
        return None


def refute_layer(layer: Layer, claim: Claim, seed: int = 0, count: int = 40) -> tuple[Witness, NetworkWitness] | None:
    """An instance of a layer's weights and two inputs that are mapped too far apart, whatever the multipliers."""
    for instance in instances(claim, seed, count, largest=3):
        network = layer.counterexample(instance)
        if network is not None:
            v = network.input
            values = {
                s: instance.value(letter(s)) for s in sorted(claim.symbols(), key=lambda s: s.name) if s.square is None
            }
            return Witness(instance, values, instance.identity(len(v)), v, network.allowed - network.stretched), network
    return None


@dataclass(frozen=True)
class NetworkWitness:
    """Inputs 0 and `input`; neuron i keeps the slope `slopes[i]` between them with the bias `biases[i]` before it.

    `output` is the difference of the outputs; its squared norm `stretched` exceeds `allowed`.
    """

    input: Array
    output: Array
    slopes: tuple[Any, ...] | None
    biases: tuple[Any, ...] | None
    stretched: Any
    allowed: Any


def _pair(
    jacobian: Array,
    rho: Any,
    inside: Array | None = None,
    pattern: tuple[Any, ...] | None = None,
    high: Any = None,
    W: Array | None = None,
) -> NetworkWitness | None:
    form = rho * unit(jacobian.shape[1]) - jacobian.T @ jacobian
    if indefinite(form) is None:
        return None
    v = small_negative_vector(form)
    y = jacobian @ v
    biases = None
    if inside is not None and pattern is not None and W is not None:
        # Before the activation run values from p to p + (inside v): where |p| is larger, their sign and slope stay.
        before = [(abs(step) + 1) * (1 if slope == high else -1) for step, slope in zip(inside @ v, pattern)]
        after = np.array([slope * p for slope, p in zip(pattern, before)], dtype=object)
        biases = tuple(np.array(before, dtype=object) - W @ after)
    return NetworkWitness(v, y, pattern, biases, y @ y, rho * (v @ v))
