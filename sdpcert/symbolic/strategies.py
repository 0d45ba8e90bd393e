"""Proof search: strategies that look for a proof of a claim, tried in order; what they find goes through the kernel.

1. Facts: every diagonal rule and trace in the claim gives the inequality that it is made for.
2. Identity: both sides agree by expansion.
3. Sandwiches: the matrix is block diagonal and each block a nonnegative combination of known facts V'SV and squares.
4. Schur: one block is evidently positive definite, and the complement falls to 2 or 3.
5. Squares: the matrix is a sum of squares of combinations of words, found by a small semidefinite program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.claim import Claim, Statement, positive
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.entries import Absolute, Element, Entry, Product, Sum, Total
from sdpcert.symbolic.expression import (
    Expression,
    identity,
    letter,
    monomial_is_nonnegative,
    multiplied,
    zero,
)
from sdpcert.symbolic.kernel import derive
from sdpcert.symbolic.squares import sum_of_squares
from sdpcert.symbolic.steps.dominance import Dominance
from sdpcert.symbolic.steps.expansion import Identity
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.schur import Schur
from sdpcert.symbolic.steps.step import Known, Step
from sdpcert.symbolic.steps.trace import Trace
from sdpcert.symbolic.symbols import Word, transposed

Found = list[Step]
Strategy = Callable[[Claim, Known], Found | None]


@dataclass(frozen=True)
class Search:
    """A proof, the strategy that closed it, and those that were tried before it."""

    proof: tuple[Step, ...]
    strategy: str
    tried: tuple[str, ...]


def search(claim: Claim, effort: Effort | None = None) -> Search | None:
    """A proof that follows from what is known, None if no strategy finds one before `effort` is spent."""
    effort = effort or Effort()
    known, facts = Known(claim), []
    for step in facts_of(claim):
        try:
            statement = step.derive(known)
        except StepRejected:
            continue
        known.add(statement)
        facts.append(step)
    tried: list[str] = []
    for name, strategy in STRATEGIES:
        if effort.spent:
            return None
        try:
            steps = strategy(claim, known)
        except (AlgebraError, StepRejected):
            steps = None
        if steps is not None:
            return Search((*_needed(facts, claim, steps), *steps), name, tuple(tried))
        tried.append(name)
    return None


def facts_of(claim: Claim) -> list[Step]:
    """Steps that derive what the definitions of the claim's symbols are made for."""
    steps: list[Step] = []
    for symbol in sorted(claim.symbols(), key=lambda s: s.name):
        if not isinstance(symbol.formula, tuple):
            continue
        index, formula = symbol.formula
        if index == "trace":
            steps.append(Trace(letter(symbol), formula))
        elif isinstance(formula, Entry):
            for gram in _squares(formula):
                steps.append(Dominance(letter(symbol), gram))
    return steps


def _squares(entry: Entry) -> list[Expression]:
    """The matrices whose entries' magnitudes a formula sums."""
    match entry:
        case Absolute(Element(expression)):
            return [expression] if expression.rows == expression.columns else []
        case Product(factors):
            found = [m for f, _ in factors for m in _squares(f)]
        case Sum(parts):
            found = [m for p in parts for m in _squares(p)]
        case Total(body):
            found = _squares(body)
        case _:
            return []
    return list(dict.fromkeys(found))


def _needed(facts: Sequence[Step], claim: Claim, steps: Found) -> list[Step]:
    """The facts without which the last steps do not follow."""
    kept = list(facts)
    for fact in facts:
        without = [f for f in kept if f is not fact]
        try:
            derive(claim, [*without, *steps])
        except StepRejected:
            continue
        kept = without
    return kept


def _identity(claim: Claim, known: Known) -> Found | None:
    if claim.show.kind == "zero":
        return [Identity(claim.show)] if known.is_zero(claim.show.matrix) else None
    return [Sandwiches(claim.show)] if known.is_zero(claim.show.matrix) else None


def _sandwiches(claim: Claim, known: Known) -> Found | None:
    if claim.show.kind != "positive":
        return None
    return _block_diagonal(claim.show, known)


def _block_diagonal(target: Statement, known: Known) -> Found | None:
    matrix = known.normal(target.matrix)
    terms: list[Term] = []
    size = len(matrix.row_sizes)
    for i, row in enumerate(matrix.entries):
        if any(entry for k, entry in enumerate(row) if k != i):
            return None
        found = combination(row[i], known)
        if found is None:
            return None
        for term in found:
            if size == 1:
                terms.append(term)
            else:
                V = identity(row[i].rows) if term.V is None else term.V
                line = [V if k == i else zero(V.rows, matrix.column_sizes[k]) for k in range(size)]
                terms.append(Term(term.S, Block([line]), term.coefficient))
    return [Sandwiches(target, *terms)]


def combination(target: Expression, known: Known) -> list[Term] | None:
    """Nonnegative numbers c_k with `target = sum c_k V_k'S_kV_k`, each S_k known or a square; None without."""
    target = known.normal(target).entries[0][0]
    if not target:
        return []
    candidates = _candidates(target, known)
    if not candidates:
        return None
    columns = [known.normal(term.matrix()).entries[0][0] for term in candidates]
    rows = list(dict.fromkeys(t for e in (target, *columns) for t in e.terms))
    matrix = np.array([[float(e.terms.get(t, 0)) for e in columns] for t in rows])
    right = np.array([float(target.terms.get(t, 0)) for t in rows])
    from scipy.optimize import linprog

    solved = linprog(np.ones(len(columns)), A_eq=matrix, b_eq=right, bounds=(0, None), method="highs")
    if solved.status != 0:
        return None
    exact = [Fraction(float(c)).limit_denominator(1000) for c in solved.x]
    total = zero(target.rows)
    for c, expression in zip(exact, columns):
        total = total + expression * c
    if total - target:
        return None
    chosen = [(c, t) for c, t in zip(exact, candidates) if c]
    return [Term(t.S, t.V, c * t.coefficient if isinstance(t.coefficient, Expression) else c) for c, t in chosen]


def _candidates(target: Expression, known: Known) -> list[Term]:
    """Sandwiches of the known facts, and evident squares, whose words occur in the target."""
    found: list[Term] = []
    for (monomial, word), coefficient in target.terms.items():
        atom = Expression(target.rows, target.columns, {(monomial, word): Fraction(1)})
        if coefficient > 0 and Known.is_positive(known, atom):
            found.append(Term(atom))
    for fact in known.facts:
        if len(fact.entries) != 1 or len(fact.entries[0]) != 1:
            continue
        inner = fact.entries[0][0]
        for scalars, part in inner.terms:
            for monomial, word in target.terms:
                ratio = multiplied(monomial, tuple((s, -e) for s, e in scalars))
                if not monomial_is_nonnegative(ratio):
                    continue
                for V in _outer(word, part):
                    outer = (
                        identity(target.columns)
                        if not V
                        else Expression(V[0].rows, V[-1].columns, {((), V): Fraction(1)})
                    )
                    if outer.shape != (inner.rows, target.columns):
                        continue
                    scale = Expression(1, 1, {(ratio, ()): Fraction(1)})
                    term = Term(inner, outer if V else None, scale if ratio else 1)
                    if not any(t.S == term.S and t.V == term.V and t.coefficient == term.coefficient for t in found):
                        found.append(term)
    return found


def _outer(word: Word, part: Word) -> list[Word]:
    """The words V with `V' part V = word`, also through powers of a diagonal letter."""
    found = []
    for start in range(len(word) - len(part) + 1):
        if word[start : start + len(part)] == part:
            after = word[start + len(part) :]
            sign, before = transposed(after)
            if sign > 0 and before == word[:start]:
                found.append(after)
    # T' T T = T^3: the outer factor is a power of the diagonal letter that is left.
    if len(word) == 1 and word[0].symbol.kind == "diagonal":
        own = part[0].exponent if len(part) == 1 and part[0].symbol is word[0].symbol else Fraction(0)
        if len(part) <= 1 and (not part or part[0].symbol is word[0].symbol):
            exponent = (word[0].exponent - own) / 2
            if exponent and exponent.denominator in (1, 2):
                found.append((type(word[0])(word[0].symbol, False, exponent),))
    return found


def _schur(claim: Claim, known: Known) -> Found | None:
    if claim.show.kind != "positive" or len(claim.show.matrix.row_sizes) != 2:
        return None
    matrix = claim.show.matrix
    for corner in (1, 0):
        inverse = _inverse(known.normal(matrix.entries[corner][corner]).entries[0][0])
        if inverse is None:
            continue
        step = Schur(claim.show, inverse, corner)
        complement = positive(step.complement())
        found = combination(complement.matrix.entries[0][0], known)
        if found is not None:
            return [Sandwiches(complement, *found), step]
    return None


def _inverse(corner: Expression) -> Expression | None:
    """The inverse of a positive multiple of an identity, a positive diagonal or a definite letter; None for others."""
    if len(corner.terms) != 1:
        return None
    ((monomial, word), coefficient) = next(iter(corner.terms.items()))
    if coefficient <= 0 or not all(s.positive or s.square is not None for s, _ in monomial):
        return None
    if any(not x.symbol.positive for x in word):
        return None
    try:
        return corner**-1
    except AlgebraError:
        return None


def _squares_of_words(claim: Claim, known: Known) -> Found | None:
    if claim.show.kind != "positive" or len(claim.show.matrix.row_sizes) != 1:
        return None
    terms = sum_of_squares(claim.show.matrix.entries[0][0], known)
    return None if terms is None else [Sandwiches(claim.show, *terms)]


STRATEGIES: list[tuple[str, Strategy]] = [
    ("identity", _identity),
    ("sum of sandwiches", _sandwiches),
    ("Schur complement", _schur),
    ("sum of squares", _squares_of_words),
]
