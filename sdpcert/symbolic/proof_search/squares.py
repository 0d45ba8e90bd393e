"""Sums of sandwiches by semidefinite programming: `target = sum c f V'SV`, V combinations of words and of monomials.

The Gram matrices are computed numerically, rounded, and factored exactly; what is returned expands to the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.effort import Effort, OutOfTime
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.proof_search.candidates import Candidates
from sdpcert.symbolic.proof_search.gram import Gram, Squares
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.step import Known, Step

#: Attempts to shorten a proof, and a number of squares that needs none.
MOST_TRIES, FEW_SQUARES = 60, 2


def sum_of_squares(
    target: Statement, known: Known, effort: Effort, reach: int = 0, powers: int = 0
) -> list[Step] | None:
    """Steps that end with the target as a sum of sandwiches; None if none were found.

    Words are longer than the target's by `reach` letters, powers of numbers go further by `powers` steps.
    """
    matrix = known.normal(target.matrix)
    if matrix.row_sizes != matrix.column_sizes or not known.is_zero(matrix - matrix.T):
        return None
    facts = list(dict.fromkeys(known.facts))
    candidates = Candidates(matrix, facts, known.rules, reach, powers)
    if powers > reach and not candidates.scalars:
        return None
    groups = candidates.groups(effort)
    gram = candidates.gram(groups, effort)
    solved = None if gram is None else gram.solve(effort)
    if gram is None or solved is None:
        return None
    solved = _shortened(gram, solved, effort)
    steps: list[Step] = []
    terms: list[Term] = []
    for group, squares in zip(groups, solved):
        if squares:
            steps += _products(group.factors)
        if squares and group.factors and known.rules.numbers:
            # Rewriting may hide that it is a multiple of a known number.
            monomial = Expression(1, 1, {(group.monomial, ()): Fraction(1)})
            steps.append(Sandwiches(positive(group.scale()), Term(group.known(), None, monomial)))
        for weight, vector in squares:
            V = group.outer(vector, matrix)
            scale = group.scale() * weight
            single = len(V.row_sizes) == len(V.column_sizes) == 1
            S = group.S.entries[0][0] if len(group.S.row_sizes) == 1 else group.S
            terms.append(Term(S, V.entries[0][0] if single else V, _plain(scale)))
    return [*steps, Sandwiches(target, *terms)]


def _shortened(gram: Gram, solved: list[Squares], effort: Effort) -> list[Squares]:
    """A solution with fewer squares: groups, then outer factors, are left out as long as there is one without them."""
    kept = _used(solved)
    tries = 0
    for single in (False, True):
        places = [(g, None if not single else a) for g, keep in enumerate(kept) for a in (keep if single else keep[:1])]
        for g, a in reversed(places):
            if tries == MOST_TRIES or sum(map(len, solved)) <= FEW_SQUARES:
                return solved
            without = [[b for b in keep if h != g or (a is not None and b != a)] for h, keep in enumerate(kept)]
            if without == kept:
                continue
            tries += 1
            try:
                found = gram.keeping(without).solve(effort)
            except OutOfTime:
                return solved
            if found is not None:
                lifted = [
                    [(w, _spread(v, keep, size)) for w, v in squares]
                    for squares, keep, size in zip(found, without, gram.sizes)
                ]
                if _letters(lifted) <= _letters(solved):
                    solved, kept = lifted, _used(lifted)
    return solved


def _used(solved: list[Squares]) -> list[list[int]]:
    """The outer factors that occur, in every group."""
    return [sorted({k for _, vector in squares for k, c in enumerate(vector) if c}) for squares in solved]


def _letters(solved: list[Squares]) -> int:
    """The length of a solution: its coefficients that are not zero."""
    return sum(1 for squares in solved for _, vector in squares for c in vector if c)


def _spread(vector: Sequence[Fraction], kept: Sequence[int], size: int) -> list[Fraction]:
    """The vector with zeros where entries were left out."""
    made = [Fraction(0)] * size
    for k, c in zip(kept, vector):
        made[k] = c
    return made


def _products(factors: tuple[Expression, ...]) -> list[Step]:
    """That products of known numbers are nonnegative."""
    steps: list[Step] = []
    for count in range(2, len(factors) + 1):
        product = factors[0]
        for factor in factors[1 : count - 1]:
            product = product * factor
        steps.append(Sandwiches(positive(product * factors[count - 1]), Term(product, None, factors[count - 1])))
    return steps


def _plain(scale: Expression) -> Expression | Fraction:
    """A scalar expression as a number where it is one."""
    if list(scale.terms) == [((), ())]:
        return scale.terms[(), ()]
    return scale
