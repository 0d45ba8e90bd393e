"""The template of a layer: y = H x + G z + c, z = phi(U x + W z + b), and the claim that it is Lipschitz.

It is written once. From it follow the condition of `derivations/condition.py` for the multipliers that are given, the
sentence that it proves, the forward pass (`forward.py`), and the two inputs that contradict it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.blocks import Block, symmetric_block
from sdpcert.symbolic.claim import Claim, Statement, positive
from sdpcert.symbolic.drawing import instances
from sdpcert.symbolic.exact import indefinite, inverse, root_above, unit
from sdpcert.symbolic.expression import Expression, as_expression, identity, letter, zero
from sdpcert.symbolic.forward import ForwardPass
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.notation import TEXT, Notation
from sdpcert.symbolic.refutation import Witness, small_negative_vector
from sdpcert.symbolic.steps.known import Known

Array = np.ndarray
#: Neurons up to which all patterns of slopes are tried.
MOST_NEURONS = 7


@dataclass(frozen=True)
class Layer:
    """A layer with symbolic weights; None stands for a part that is absent.

    `U`: (hidden, inputs), `G`: (outputs, hidden), `H`: (outputs, inputs), `W`: (hidden, hidden), for several nonlinear
    layers strictly block lower triangular, `multipliers`: (hidden, hidden), made of diagonal symbols. Slopes of the
    activation lie in [low, high]. `squared_lipschitz` is the claimed constant's square, a number or a scalar
    expression. Without U and G, which come together, the layer is the linear map H. Raises `AlgebraError` if a part is
    missing or has another shape, or if multipliers are not made of diagonal symbols.
    """

    H: Expression | None = None
    G: Expression | None = None
    U: Expression | None = None
    W: Expression | None = None
    multipliers: Expression | None = None
    squared_lipschitz: Any = 1
    low: Any = 0
    high: Any = 1

    def __post_init__(self) -> None:
        if (self.U is None) != (self.G is None):
            given, missing = ("G", "U") if self.U is None else ("U", "G")
            raise AlgebraError(f"a layer with {given} needs {missing} too: z = phi(U x + W z + b), y = H x + G z + c")
        for name in ("squared_lipschitz", "low", "high"):
            if not as_expression(getattr(self, name), (1, 1)).is_scalar:
                raise AlgebraError(f"{name} of a layer is a number or made of scalars, not {getattr(self, name)}")
        if self.U is None or self.G is None:
            if self.H is None:
                raise AlgebraError("a layer needs H, or U and G")
            if self.W is not None or self.multipliers is not None:
                raise AlgebraError("W and multipliers belong to an activation: give the layer U and G too")
            return
        hidden, inputs, outputs = self.U.rows, self.U.columns, self.G.rows
        shapes = {
            "G": (outputs, hidden),
            "H": (outputs, inputs),
            "W": (hidden, hidden),
            "multipliers": (hidden, hidden),
        }
        for name, shape in shapes.items():
            part = getattr(self, name)
            if part is not None and part.shape != shape:
                found, wanted = (f"{rows} x {columns}" for rows, columns in (part.shape, shape))
                raise AlgebraError(f"{name} of a layer with U ({hidden} x {inputs}) is {found}: it has to be {wanted}")
        self._check_multipliers()

    def _check_multipliers(self) -> None:
        """Multipliers that are not diagonal imply nothing, so their symbols have to be."""
        if self.multipliers is None:
            return
        for _, word in self.multipliers.terms:
            for x in word:
                if x.symbol.kind != "diagonal":
                    raise AlgebraError(
                        f"the multipliers {self.multipliers} are not diagonal: {x.symbol.name} is "
                        f"{x.symbol.kind}. Use a symbol of kind diagonal (equal_to= says what it is equal to)"
                    )

    @property
    def has_activation(self) -> bool:
        """Whether there is one, or the layer is linear."""
        return self.U is not None

    def condition(self) -> Block:
        """The matrix that has to be positive semidefinite; raises `AlgebraError` without multipliers."""
        if self.U is None or self.G is None:
            assert self.H is not None
            rho = as_expression(self.squared_lipschitz, (1, 1))
            return Block([[rho * identity(self.H.columns) - self.H.T @ self.H]])
        if self.multipliers is None:
            raise AlgebraError("the condition of a layer with an activation needs multipliers")
        return condition_with(self, self.multipliers)

    def linear_part(self) -> Expression:
        """H, or zeros."""
        assert self.G is not None
        assert self.U is not None
        return zero(self.G.rows, self.U.columns) if self.H is None else self.H

    def loop(self) -> Expression:
        """W, or zeros."""
        assert self.U is not None
        return zero(self.U.rows, self.U.rows) if self.W is None else self.W

    def claim(self, name: str, given: Sequence[Statement] = (), text: str = "", **sizes: Any) -> Claim:
        """The claim that the condition is positive semidefinite; `text` is commentary."""
        return Claim(name, positive(self.condition()), given, text, sizes, [part for _, part in self.parts()])

    def parts(self) -> list[tuple[str, Expression]]:
        """The names and values of the maps that are there."""
        named = [("H", self.H), ("G", self.G), ("U", self.U), ("W", self.W)]
        return [(name, part) for name, part in named if part is not None]

    def formula(self, notation: Notation = TEXT) -> str:
        """The layer with its maps by name, as in y = H x + G z + c, z = phi(U x + b)."""
        return notation.layer([name for name, _ in self.parts()])

    def slopes(self, notation: Notation = TEXT) -> tuple[str, str]:
        """The least and the greatest slope of the activation."""
        low, high = (as_expression(s, (1, 1)).shown(notation) for s in (self.low, self.high))
        return low, high

    def constant(self, notation: Notation = TEXT) -> str:
        """The Lipschitz constant that is claimed."""
        rho = as_expression(self.squared_lipschitz, (1, 1))
        value = rho.terms.get(((), ()), Fraction(0)) if set(rho.terms) <= {((), ())} else None
        if value is not None and value >= 0:
            root = root_above(value) if value else Fraction(0)
            return notation.number(root) if root**2 == value else notation.root(notation.number(value))
        try:
            return (rho ** Fraction(1, 2)).shown(notation)
        except AlgebraError:
            return notation.root(rho.shown(notation))

    def is_claimed_by(self, claim: Claim) -> bool:
        """Whether a claim is that the layer's condition holds."""
        if self.has_activation and self.multipliers is None:
            return False
        return claim.show.kind == "positive" and claim.show.matrix == self.condition()

    def objection(self, claim: Claim) -> str | None:
        """Why the claim, even if proved, would not make the layer Lipschitz; None if it does."""
        if not self.is_claimed_by(claim):
            return "the claim is not the layer's condition, so it says nothing of the layer: make it by layer.claim"
        if self.multipliers is not None and not Known(claim).is_positive(self.multipliers):
            return "the multipliers are not known to be nonnegative: declare them positive or add a hypothesis"
        return None

    def forward(self, instance: Instance, exact: bool = True) -> ForwardPass:
        """The forward pass with the values of an instance; raises `AlgebraError` if it has no order of the neurons."""
        maps = {name: instance.value(part) for name, part in self.parts()}
        low, high = (instance.number(as_expression(s, (1, 1))) for s in (self.low, self.high))
        if not exact:
            maps, low, high = {name: m.astype(float) for name, m in maps.items()}, float(low), float(high)
        return ForwardPass(maps, low, high)

    def counterexample(self, instance: Instance) -> NetworkWitness | None:
        """Two inputs that are mapped too far apart, with biases that keep the neurons on chosen slopes, or None."""
        value = instance.value
        rho = instance.number(as_expression(self.squared_lipschitz, (1, 1)))
        low, high = (instance.number(as_expression(s, (1, 1))) for s in (self.low, self.high))
        if self.U is None or self.G is None:
            assert self.H is not None
            found = _pair(value(self.H), rho)
            return found if found is not None and self._holds_up(instance, found) else None
        U, G, H, W = value(self.U), value(self.G), value(self.linear_part()), value(self.loop())
        if len(U) > MOST_NEURONS:
            return None
        for pattern in itertools.product((high, low), repeat=len(U)):
            D = instance.diagonal(pattern)
            try:
                inside = inverse(unit(len(U)) - W @ D) @ U
            except ZeroDivisionError:
                continue
            found = _pair(H + G @ D @ inside, rho, inside, pattern, high, W)
            if found is not None and self._holds_up(instance, found):
                return found
        return None

    def _holds_up(self, instance: Instance, found: NetworkWitness) -> bool:
        """Whether a counterexample stands when it is evaluated anew."""
        return self._confirms(instance, found) and (not instance.rounded or self._fails_unrounded(instance, found))

    def _confirms(self, instance: Instance, found: NetworkWitness) -> bool:
        """Whether the forward pass, if there is one, maps the two inputs as far apart as was computed."""
        try:
            run = self.forward(instance)
        except AlgebraError:
            return True  # an equation for z: a pair of its solutions contradicts the layer
        difference = run(found.input, found.biases) - run(0 * found.input, found.biases)
        return bool(difference @ difference == found.stretched)

    def _fails_unrounded(self, instance: Instance, found: NetworkWitness) -> bool:
        """Whether the inputs contradict the layer where the roots of the instance are not rounded, in floats."""
        floats = instance.again(exact=False)
        maps = {name: floats.value(part) for name, part in self.parts()}
        v, rho = found.input.astype(float), floats.number(as_expression(self.squared_lipschitz, (1, 1)))
        y: Any = maps["H"] @ v if "H" in maps else 0.0
        if found.slopes is not None:
            D = np.diag(np.array(found.slopes, dtype=float))
            loop = maps["W"] @ D if "W" in maps else 0 * D
            y = y + maps["G"] @ D @ np.linalg.solve(np.eye(len(D)) - loop, maps["U"] @ v)
        return bool(y @ y > (1 + 1e-9) * rho * (v @ v))


def condition_with(layer: Layer, multipliers: Expression) -> Block:
    """The condition of a layer with an activation for any symmetric matrix in place of the multipliers.

    It implies a Lipschitz bound only for a diagonal one with nonnegative entries; `Layer.condition` takes no other.
    """
    U, G, L = layer.U, layer.G, multipliers
    if U is None or G is None:
        raise AlgebraError("a linear layer has no multipliers")
    H, W, rho = layer.linear_part(), layer.loop(), as_expression(layer.squared_lipschitz, (1, 1))
    mean = as_expression(layer.low, (1, 1)) + as_expression(layer.high, (1, 1))
    product = as_expression(layer.low, (1, 1)) * as_expression(layer.high, (1, 1))
    top = rho * identity(U.columns) + 2 * product * (U.T @ L @ U) - H.T @ H
    across = 2 * product * (U.T @ L @ W) - mean * (U.T @ L) - H.T @ G
    corner = 2 * L - mean * (L @ W + W.T @ L) + 2 * product * (W.T @ L @ W) - G.T @ G
    return symmetric_block([[top, across], [corner]])


def refute_layer(
    layer: Layer, claim: Claim, seed: int = 0, count: int = 40, sampled: bool = True
) -> tuple[Witness, NetworkWitness] | None:
    """An instance of a layer's weights and two inputs that are mapped too far apart, whatever the multipliers.

    With `sampled` False some symbols are drawn freely, whatever their samplers say.
    """
    for instance in instances(claim, seed, count, largest=3, sampled=sampled):
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
