"""Sums of squares: E = sum_kl Q_kl w_k' S w_l with Q >= 0, over words w_k and known S, found by a small SDP.

The Gram matrices Q are computed numerically, rounded to simple rationals and factored exactly; what is returned are
squares with rational coefficients, which the kernel expands. Nothing is claimed where rounding fails.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.symbolic.exact import rational
from sdpcert.symbolic.expression import Expression, identity, zero
from sdpcert.symbolic.steps.sandwiches import Term
from sdpcert.symbolic.steps.step import Known
from sdpcert.symbolic.symbols import Word

#: Most words of a basis; the SDP has about half their square as unknowns for every known matrix.
MOST_WORDS = 12
DENOMINATORS = (1, 2, 4, 3, 6, 12, 60)


def sum_of_squares(target: Expression, known: Known) -> list[Term] | None:
    """Squares, with known matrices inside, that add up to a symmetric expression; None if none were found."""
    target = known.normal(target).entries[0][0]
    if any(monomial for monomial, _ in target.terms):
        return None
    inner = [fact.entries[0][0] for fact in known.facts if len(fact.row_sizes) == 1]
    groups: list[tuple[Expression, list[Expression]]] = []
    sizes = {word[k].columns for _, word in target.terms for k in range(len(word))} | {target.rows}
    for S in [identity(size) for size in sorted(sizes, key=str)] + inner:
        basis = _basis(target, S)
        if basis:
            groups.append((S, basis))
    if not groups:
        return None
    products = [[[known.normal(v.T @ S @ w).entries[0][0] for w in basis] for v in basis] for S, basis in groups]
    grams = _solve(target, products)
    if grams is None:
        return None
    for denominator in DENOMINATORS:
        terms = _rounded(target, groups, products, grams, denominator)
        if terms is not None:
            return terms
    return None


def _basis(target: Expression, S: Expression) -> list[Expression]:
    """Right parts of the target's words, from the middle on, whose rows fit S."""
    words: set[Word] = set()
    for _, word in target.terms:
        for start in range(len(word) + 1):
            if 2 * start >= len(word) - 1:
                words.add(word[start:])
    found = []
    for word in sorted(words, key=lambda w: (len(w), [x.key for x in w])):
        rows, columns = (word[0].rows, word[-1].columns) if word else (target.rows, target.columns)
        if (rows, columns) == (S.rows, target.columns):
            found.append(Expression(rows, columns, {((), word): Fraction(1)}))
    return found if len(found) <= MOST_WORDS else []


def _solve(target: Expression, products: list[Any]) -> list[np.ndarray] | None:
    import cvxpy

    terms: list[Any] = list(dict.fromkeys(t for table in products for row in table for e in row for t in e.terms))
    if any(t not in terms for t in target.terms):
        return None
    variables = [cvxpy.Variable((len(table), len(table)), PSD=True) for table in products]
    sums: dict[Any, Any] = {t: -float(target.terms.get(t, 0)) for t in terms}
    for variable, table in zip(variables, products):
        for k, row in enumerate(table):
            for l, e in enumerate(row):
                for t, c in e.terms.items():
                    sums[t] = sums[t] + float(c) * variable[k, l]
    objective = cvxpy.Minimize(sum(cvxpy.trace(v) for v in variables))
    problem = cvxpy.Problem(objective, [s == 0 for s in sums.values() if not isinstance(s, float)])
    if any(isinstance(s, float) and s for s in sums.values()):
        return None
    try:
        problem.solve(solver="CLARABEL")
    except cvxpy.SolverError:
        return None
    if problem.status not in ("optimal", "optimal_inaccurate"):
        return None
    return [np.asarray(v.value) for v in variables]


def _rounded(
    target: Expression, groups: Any, products: Any, grams: list[np.ndarray], denominator: int
) -> list[Term] | None:
    total, terms = zero(target.rows, target.columns), []
    for (S, basis), table, gram in zip(groups, products, grams):
        size = len(basis)
        Q = rational([[Fraction(round(x * denominator), denominator) for x in row] for row in gram])
        Q = (Q + Q.T) * Fraction(1, 2)
        for k in range(size):
            for l in range(size):
                if Q[k, l]:
                    total = total + table[k][l] * Q[k, l]
        squares = _squares(Q)
        if squares is None:
            return None
        for weight, vector in squares:
            V = zero(S.rows, target.columns)
            for c, w in zip(vector, basis):
                V = V + w * c
            terms.append(Term(S, V, weight))
    return None if total - target else terms


def _squares(Q: np.ndarray) -> list[tuple[Fraction, np.ndarray]] | None:
    """Q = sum of weights times v v' with positive weights, by elimination; None if Q is not semidefinite."""
    rest, found = Q.copy(), []
    for k in range(len(Q)):
        if rest[k, k] < 0:
            return None
        if rest[k, k] == 0:
            if any(rest[k, l] != 0 for l in range(len(Q))):
                return None
            continue
        weight, vector = rest[k, k], rest[k] / rest[k, k]
        found.append((weight, vector))
        rest = rest - weight * np.outer(vector, vector)
    return found
