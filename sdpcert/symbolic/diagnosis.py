"""What is numerically true of a claim that stays open, and which hypothesis would close it.

None of this proves anything: it tells an author where to look. Eigenvalues are those of random instances; multipliers
are the best ones that a solver finds there; a hypothesis is said to be missing if the claim is proved with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from sdpcert.symbolic.claim import Claim, Statement, positive
from sdpcert.symbolic.derivation import Part
from sdpcert.symbolic.drawing import instances, shown_sizes
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.expression import Expression, identity, letter
from sdpcert.symbolic.fit import Optimum, best_multipliers
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.layer import Layer
from sdpcert.symbolic.strategies import search

#: Instances that eigenvalues are computed in, and those that multipliers are computed for.
EIGENVALUES, OPTIMA = 40, 4
#: Seconds for the search with one more hypothesis, at most.
SECONDS_EACH = 2.0


def diagnosis(part: Part, seed: int = 0, limit: Effort | None = None) -> tuple[str, ...]:
    """Lines on a claim that is open: eigenvalues, the best multipliers, the hypothesis that is missing."""
    limit, claim = limit or Effort(), part.claim
    lines = list(_eigenvalues(claim, seed))
    if part.layer is not None and part.layer.has_activation:
        lines += _optimum(part.layer, claim, seed)
    missing = missing_hypothesis(claim, limit)
    if missing is not None:
        lines.append(missing)
    return tuple(lines)


def _eigenvalues(claim: Claim, seed: int) -> Iterator[str]:
    if claim.show.kind != "positive":
        return
    found: list[tuple[float, Instance]] = []
    for instance in instances(claim, seed, EIGENVALUES, magnitude=9, denominator=4, largest=4):
        value = instance.value(claim.show.matrix).astype(float)
        scale = max(np.abs(value).max(initial=0.0), 1e-300)
        found.append((float(np.linalg.eigvalsh((value + value.T) / 2)[0]) / scale, instance))
    if not found:
        yield "no random instance satisfies the hypotheses: give symbols samplers (definition=) that do"
        return
    lowest, instance = min(found, key=lambda pair: pair[0])
    yield (
        f"least eigenvalue over {len(found)} random instances: {lowest:.2g} of the largest entry, at "
        f"{shown_sizes([instance.sizes])}"
    )


def _optimum(layer: Layer, claim: Claim, seed: int) -> Iterator[str]:
    assert layer.U is not None
    shown: list[tuple[Instance, Optimum]] = []
    for instance in instances(claim, seed, 6 * OPTIMA, magnitude=9, denominator=4, largest=3):
        if len(shown) == OPTIMA:
            break
        if instance.size(layer.U.rows) > 1:
            optimum = best_multipliers(layer, claim, instance)
            if optimum is not None:
                shown.append((instance, optimum))
    if not shown:
        return
    instance, optimum = min(shown, key=lambda pair: pair[1].lowest)
    values = ", ".join(f"{x:.4g}" for x in optimum.multipliers)
    given = ""
    if layer.multipliers is not None:
        own = np.diag(instance.value(layer.multipliers).astype(float))
        given = f" (given: {', '.join(f'{x:.4g}' for x in own)})"
    can = "reach" if optimum.lowest >= -1e-5 else "do not make the condition hold: they reach"
    yield (
        f"numerically best multipliers at {shown_sizes([instance.sizes])}: ({values}){given}; they {can} the least "
        f"eigenvalue {optimum.lowest:.2g}, where the condition has the rank {optimum.rank} of {len(optimum.condition)}"
    )


def missing_hypothesis(claim: Claim, limit: Effort) -> str | None:
    """The first simple hypothesis with which the claim is proved, in words; None if there is none."""
    for statement, near in _candidates(claim):
        if limit.spent:
            return None
        if statement.matrix in (claim.show.matrix, *(given.matrix for given in claim.given)):
            continue
        try:
            found = search(replace(claim, given=[*claim.given, statement]), min(SECONDS_EACH, limit.left))
        except RecursionError:
            continue
        if found is not None:
            return f"needs {statement}" + (f", you gave {near}" if near is not None else "")
    return None


def _candidates(claim: Claim) -> Iterator[tuple[Statement, Statement | None]]:
    """Transposed norms of what is given, then norms of free matrices, then scalars between 0 and 1."""
    for statement in claim.given:
        for bound, factor in _norms(statement):
            yield positive(bound * identity(factor.rows), factor @ factor.T), statement
    symbols = sorted((s for s in claim.symbols() if s.is_free), key=lambda s: s.name)
    for symbol in symbols:
        if symbol.kind == "general" and symbol.columns != 1:
            X = letter(symbol)
            yield positive(identity(symbol.columns), X.T @ X), None
            yield positive(identity(symbol.rows), X @ X.T), None
    for symbol in symbols:
        if symbol.kind == "scalar":
            if not symbol.positive:
                yield positive(letter(symbol)), None
            yield positive(1 - letter(symbol)), None
            yield positive(letter(symbol) - 1), None


def _norms(statement: Statement) -> Iterator[tuple[Expression, Expression]]:
    """c and V where the statement is `c I >= V'V`."""
    if statement.kind != "positive" or len(statement.matrix.entries) != 1:
        return
    matrix = statement.matrix.entries[0][0]
    scalars = {term: c for term, c in matrix.terms.items() if not term[1]}
    words = {term: c for term, c in matrix.terms.items() if term[1]}
    if len(words) != 1 or not scalars:
        return
    ((monomial, word), coefficient) = next(iter(words.items()))
    half = len(word) // 2
    if monomial or coefficient != -1 or len(word) % 2 or half == 0:
        return
    right = Expression(word[half].rows, word[-1].columns, {((), word[half:]): Fraction(1)})
    if right.T @ right == Expression(matrix.rows, matrix.columns, {((), word): Fraction(1)}):
        yield Expression(1, 1, scalars), right
