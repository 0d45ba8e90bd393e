"""Sums of sandwiches by semidefinite programming: `target = sum c f V'SV`, V combinations of words and of monomials.

The Gram matrices are computed numerically, rounded, and factored exactly; what is returned expands to the target.
"""

from __future__ import annotations

from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.proof_search.candidates import Candidates
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.step import Known, Step


def sum_of_squares(target: Statement, known: Known, effort: Effort, reach: int = 0) -> list[Step] | None:
    """Steps that end with the target as a sum of sandwiches; None if none were found with words of this reach."""
    matrix = known.normal(target.matrix)
    if matrix != matrix.T:
        return None
    facts = list(dict.fromkeys(known.facts))
    candidates = Candidates(matrix, facts, known.rules, reach)
    groups = candidates.groups(effort)
    gram = candidates.gram(groups, effort)
    solved = None if gram is None else gram.solve(effort)
    if solved is None:
        return None
    steps: list[Step] = []
    terms: list[Term] = []
    for group, squares in zip(groups, solved):
        if squares:
            steps += _products(group.factors)
        for weight, vector in squares:
            V = group.outer(vector, matrix)
            scale = group.scale() * weight
            single = len(V.row_sizes) == len(V.column_sizes) == 1
            S = group.S.entries[0][0] if len(group.S.row_sizes) == 1 else group.S
            terms.append(Term(S, V.entries[0][0] if single else V, _plain(scale)))
    return [*steps, Sandwiches(target, *terms)]


def _products(factors: tuple[Expression, ...]) -> list[Step]:
    """That products of known numbers are nonnegative."""
    steps: list[Step] = []
    for count in range(2, len(factors) + 1):
        product = factors[0]
        for factor in factors[1 : count - 1]:
            product = product * factor
        steps.append(Sandwiches(positive(product * factors[count - 1]), Term(product, None, factors[count - 1])))
    return steps


def _plain(scale: Expression) -> Expression | int:
    """A scalar expression as a number where it is one."""
    if list(scale.terms) == [((), ())]:
        return scale.terms[(), ()]  # type: ignore[return-value]
    return scale
