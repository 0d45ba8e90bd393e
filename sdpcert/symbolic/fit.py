"""Multipliers for a layer that has none yet: numbers from the semidefinite condition, and a closed form fitted to them.

On random instances the multipliers with the largest smallest eigenvalue of the condition are computed (CVXPY with
Clarabel). If they are one monomial `c d_1^a d_2^b ...` of the layer's diagonal matrices and positive scalars, with a
simple number c and half-integer exponents, that is offered as a conjecture; only the kernel proves it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.claim import Claim, Statement, positive
from sdpcert.symbolic.drawing import instances
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.expression import Expression, as_expression, diagonal, identity, letter
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.symbols import Symbol

Array = np.ndarray
#: Relative deviation up to which numbers count as a closed form (the solver's accuracy on conditions without interior).
ACCURACY = 5e-3
#: Instances that have to agree with a closed form, and factors that it may have.
AGREE = 3
MOST_FACTORS = 4
#: How far below zero the best smallest eigenvalue may be, relative, for the condition to count as feasible.
FEASIBLE = 1e-5


@dataclass(frozen=True)
class Fit:
    """A conjectured closed form and how far the computed multipliers are from it, relative, at most."""

    multipliers: Expression
    deviation: float


@dataclass(frozen=True)
class Optimum:
    """The best multipliers for one instance, the least eigenvalue of the condition there, and the condition, scaled."""

    multipliers: Array
    lowest: float
    condition: Array

    @property
    def rank(self) -> int:
        """The numerical rank of the condition."""
        values = np.linalg.eigvalsh(self.condition)
        return int(np.sum(np.abs(values) > 1e-5 * max(np.abs(values).max(initial=0.0), 1e-12)))


def fit_multipliers(
    layer: Layer,
    given: Sequence[Statement] = (),
    seed: int = 0,
    samples: int = 24,
    limit: Effort | None = None,
    **sizes: Any,
) -> Fit | None:
    """A closed form for a layer's multipliers; None if no multipliers or no simple form are found within `limit`."""
    if layer.U is None:
        return None
    hidden, limit = layer.U.rows, limit or Effort()
    freed = with_free_multipliers(layer, given)
    free = freed.multipliers
    assert free is not None
    claim = freed.claim("fit", given, **sizes)
    symbols = sorted((s for s in claim.symbols() if s.positive and s is not free.symbol), key=lambda s: s.name)
    names = [s for s in symbols if s.kind == "scalar" or (s.kind == "diagonal" and s.rows == hidden)]
    if len(names) > MOST_FACTORS:
        return None
    tables: list[tuple[Array, Array]] = []
    for instance in itertools.islice(_instances(claim, hidden, seed), samples):
        if limit.spent:
            return None
        optimum = _solve(claim, free, instance)
        if optimum is None or optimum.lowest < -FEASIBLE:
            return None
        found = optimum.multipliers
        if np.all(found > 1e-9):
            logs = [[_log(instance, s, k if s.kind == "diagonal" else 0) for s in names] for k in range(len(found))]
            tables.append((np.array(logs).reshape(len(found), len(names)), np.log(found)))
            fit = _closed_form(tables, names, hidden)
            if fit is not None:
                return fit
    return None


def with_free_multipliers(layer: Layer, given: Sequence[Statement] = ()) -> Layer:
    """The layer with a free diagonal symbol as multipliers, whose name no other symbol has."""
    if layer.U is None:
        raise AlgebraError("a linear layer has no multipliers")
    scalars = [as_expression(value, (1, 1)) for value in (layer.squared_lipschitz, layer.low, layer.high)]
    parts = [*(part for _, part in layer.parts()), *scalars]
    taken = {s.name for s in Claim("", positive(layer.U.T @ layer.U), given, also=parts).symbols()}
    name = "Lambda"
    while name in taken:
        name += "'"
    return replace(layer, multipliers=diagonal(name, layer.U.rows))


def best_multipliers(layer: Layer, claim: Claim, instance: Instance) -> Optimum | None:
    """The multipliers with which the condition of the layer has the greatest least eigenvalue in an instance."""
    freed = with_free_multipliers(layer, claim.given)
    assert freed.multipliers is not None
    own = freed.claim("multipliers", claim.given, **claim.sizes)
    return _solve(own, freed.multipliers, instance.again())


def _instances(claim: Claim, hidden: Any, seed: int) -> Iterator[Instance]:
    """Instances with at least two neurons."""
    for instance in instances(claim, seed, 80, magnitude=9, denominator=4):
        if instance.size(hidden) > 1:
            yield instance


def _solve(claim: Claim, free: Expression, instance: Instance) -> Optimum | None:
    """The multipliers that make the smallest eigenvalue of the condition greatest; None if the solver fails."""
    import cvxpy

    count = instance.size(free.rows)
    # All parameters are drawn now, for every evaluation below.
    instance.value(claim.show.matrix)

    def condition(chosen: list[int]) -> Array:
        other = instance.again()
        other.parameters[free.symbol] = np.array([Fraction(c) for c in chosen], dtype=object)
        return other.value(claim.show.matrix).astype(float)

    constant = condition([0] * count)
    parts = [condition([int(i == k) for i in range(count)]) - constant for k in range(count)]
    scale = max(np.abs(constant).max(initial=0.0), 1e-9)
    multipliers, lowest = cvxpy.Variable(count, nonneg=True), cvxpy.Variable()
    matrix: Any = constant / scale
    for k, part in enumerate(parts):
        matrix = matrix + multipliers[k] * (part / scale)
    problem = cvxpy.Problem(cvxpy.Maximize(lowest), [matrix - lowest * np.eye(len(constant)) >> 0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # inaccurate points: what is fitted to them is proved or dropped
            problem.solve(solver="CLARABEL")
    except cvxpy.SolverError:
        return None
    if multipliers.value is None or lowest.value is None:
        return None
    found = np.asarray(multipliers.value, dtype=float)
    best = constant / scale + sum((x * part / scale for x, part in zip(found, parts)), start=0 * constant)
    return Optimum(found, float(lowest.value), best)


def _log(instance: Instance, symbol: Symbol, k: int) -> float:
    return float(np.log(float(instance.value(letter(symbol))[k, k])))


def _closed_form(tables: Sequence[tuple[Array, Array]], names: Sequence[Symbol], hidden: Any) -> Fit | None:
    """The simplest monomial that agrees with the numbers of at least `AGREE` instances.

    Multipliers need not be unique; if they are not, the solver may return others: such instances are left out.
    """
    best: tuple[int, Fit] | None = None
    exponents = sorted((Fraction(k, 2) for k in range(-4, 5)), key=lambda e: (abs(e), e.denominator, e < 0))
    for chosen in sorted(
        itertools.product(exponents, repeat=len(names)), key=lambda c: (sum(map(abs, c)), sum(e.denominator for e in c))
    ):
        powers = np.array([float(e) for e in chosen])
        rests = [values - logs @ powers for logs, values in tables]
        factors = {_simple(rest) for rest in rests if np.ptp(rest) <= ACCURACY} - {None}
        for factor in factors:
            assert factor is not None
            errors = [float(np.abs(np.expm1(rest - np.log(float(factor)))).max()) for rest in rests]
            agreeing = [e for e in errors if e <= ACCURACY]
            if len(agreeing) >= AGREE and (best is None or len(agreeing) > best[0]):
                best = (len(agreeing), Fit(_monomial(factor, chosen, names, hidden), max(agreeing)))
    return None if best is None else best[1]


def _simple(rest: Array) -> Fraction | None:
    factor = Fraction(float(np.exp(np.median(rest)))).limit_denominator(16)
    return factor if factor > 0 else None


def _monomial(factor: Fraction, exponents: Sequence[Fraction], names: Sequence[Symbol], hidden: Any) -> Expression:
    result = identity(hidden) * factor
    for symbol, exponent in zip(names, exponents):
        if exponent:
            power = letter(symbol) ** exponent
            result = power * result if symbol.kind == "scalar" else result @ power
    return result
