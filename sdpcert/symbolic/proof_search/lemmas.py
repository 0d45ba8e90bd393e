"""What follows at once from a claim's facts, for later strategies to use.

Rules for diagonals and traces give the inequality that they are made for; an inverse of what is positive is positive; a
product of nonnegative diagonal matrices is nonnegative; and `P - X'QX >= 0` gives `Q^-1 - X P^-1 X' >= 0`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.claim import Claim, positive
from sdpcert.symbolic.effort import Effort, OutOfTime
from sdpcert.symbolic.entries import Absolute, Element, Entry, Product, Sum, Total
from sdpcert.symbolic.expression import Expression, letter, monomial_is_nonnegative
from sdpcert.symbolic.proof_search.squares import sum_of_squares
from sdpcert.symbolic.steps.diagonal_product import DiagonalProduct
from sdpcert.symbolic.steps.dominance import Dominance
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.step import Known, Step
from sdpcert.symbolic.steps.trace import Trace
from sdpcert.symbolic.symbols import Symbol, Word, transposed

#: Diagonal facts of which products are formed, of three only where they are few; rounds of transposing.
MOST_DIAGONALS, MOST_IN_TRIPLES = 6, 3
ROUNDS = 2


def lemmas(claim: Claim, known: Known, effort: Effort) -> list[Step]:
    """Steps that derive facts which are not known yet; `known` takes them in."""
    made: list[Step] = []

    def take_in(steps: Iterator[Step]) -> None:
        for step in list(steps):
            for one in [*_positive_first(step, known, effort), step]:
                try:
                    statement = one.derive(known)
                except (AlgebraError, StepRejected):
                    continue
                if known.normal(statement.matrix) not in known.facts:
                    known.add(statement)
                    made.append(one)

    take_in(definitions(claim))
    take_in(_inverses(claim))
    for _ in range(ROUNDS):
        take_in(_transposed_norms(known))
    take_in(_diagonal_products(known))
    return made


def _positive_first(step: Step, known: Known, effort: Effort) -> list[Step]:
    """Steps that show what a trace or an inverse is of to be positive, where that is a sum of squares."""
    if isinstance(step, Trace):
        needed = step.S
    elif isinstance(step, Sandwiches) and isinstance(step.terms[0].S, Expression):
        needed = step.terms[0].S
    else:
        return []
    try:
        return [] if known.is_positive(needed) else sum_of_squares(positive(needed), known, effort) or []
    except (AlgebraError, OutOfTime):
        return []


def definitions(claim: Claim) -> Iterator[Step]:
    """The inequalities that diagonal rules and traces are made for."""
    for symbol in _symbols(claim):
        if not isinstance(symbol.formula, tuple):
            continue
        kind, formula = symbol.formula
        if kind == "trace":
            yield Trace(letter(symbol), formula)
        elif isinstance(formula, Entry):
            for matrix in _summed(formula, True):
                yield Dominance(letter(symbol), matrix)
            for matrix in _summed(formula, False):
                yield Trace(letter(symbol), matrix)


def _symbols(claim: Claim) -> list[Symbol]:
    return sorted(claim.symbols(), key=lambda s: s.name)


def _summed(entry: Entry, magnitudes: bool) -> list[Expression]:
    """The matrices whose entries' magnitudes a formula sums, or whose diagonal entries."""
    match entry:
        case Absolute(Element(expression, row, column)) if magnitudes or row is column:
            return [expression] if expression.rows == expression.columns else []
        case Element(expression, row, column) if not magnitudes and row is column and row is not None:
            return [expression] if expression.rows == expression.columns else []
        case Product(factors):
            found = [m for f, _ in factors for m in _summed(f, magnitudes)]
        case Sum(parts):
            found = [m for p in parts for m in _summed(p, magnitudes)]
        case Total(body):
            found = _summed(body, magnitudes)
        case _:
            return []
    return list(dict.fromkeys(found))


def _inverses(claim: Claim) -> Iterator[Step]:
    """R = R'SR >= 0 for the inverse R of S >= 0."""
    for symbol in _symbols(claim):
        if isinstance(symbol.formula, tuple) and symbol.formula[0] == "inverse":
            R = letter(symbol)
            yield Sandwiches(positive(R), Term(symbol.formula[1], R))


def _transposed_norms(known: Known) -> Iterator[Step]:
    """With `D = Q^-1 - X P^-1 X'`: `D = D Q D + X P^-1 (P - X'QX) P^-1 X'`."""
    for fact in known.facts:
        if len(fact.row_sizes) != 1:
            continue
        difference = fact.entries[0][0]
        for P, Q, X in _differences(difference):
            over_P, over_Q = inverse_of(P), inverse_of(Q)
            if over_P is None or over_Q is None:
                continue
            D = over_Q - X @ over_P @ X.T
            yield Sandwiches(positive(over_Q, X @ over_P @ X.T), Term(Q, D), Term(difference, over_P @ X.T))


def _differences(difference: Expression) -> Iterator[tuple[Expression, Expression, Expression]]:
    """P, Q, X with `P - X'QX`, P and Q of one term; the scalars go with Q."""
    if len(difference.terms) != 2 or difference.rows == 1:
        return
    (first, a), (second, b) = difference.terms.items()
    if a * b > 0:
        return
    (monomial, own), (scalars, word) = (first, second) if a > 0 else (second, first)
    size = difference.rows
    P = Expression(size, size, {(monomial, own): max(a, b)})
    for middle, outer in _halves(word):
        rows = outer[0].rows if outer else size
        X = Expression(rows, size, {((), outer): Fraction(1)})
        yield P, Expression(rows, rows, {(scalars, middle): -min(a, b)}), X


def _halves(word: Word) -> Iterator[tuple[Word, Word]]:
    """The middles and right parts of a word that is its own transpose: `word = X' middle X`, X as long as it can be."""
    for length in (0, 1):
        if len(word) >= length and (len(word) - length) % 2 == 0:
            half = (len(word) - length) // 2
            sign, turned = transposed(word[len(word) - half :])
            if sign > 0 and turned == word[:half]:
                yield word[half : half + length], word[half + length :]


def inverse_of(corner: Expression) -> Expression | None:
    """The inverse of a positive multiple of an identity, a positive diagonal or a definite letter; None for others."""
    if len(corner.terms) != 1:
        return None
    ((monomial, word), coefficient) = next(iter(corner.terms.items()))
    if coefficient <= 0 or not all(s.positive or s.square is not None for s, _ in monomial):
        return None
    if any(not x.symbol.positive for x in word) or not monomial_is_nonnegative(monomial):
        return None
    try:
        return corner**-1
    except AlgebraError:
        return None


def _diagonal_products(known: Known) -> Iterator[Step]:
    """Products of up to three facts about diagonal matrices, and of positive diagonal ones."""
    found = [fact.entries[0][0] for fact in known.facts if _is_diagonal(fact)][:MOST_DIAGONALS]
    positive = {
        s for fact in (*known.facts, known.normal(known.claim.show.matrix)) for s in fact.symbols() if s.positive
    }
    letters = [letter(s) for s in sorted(positive, key=lambda s: s.name) if s.kind == "diagonal"][:MOST_DIAGONALS]
    triples = itertools.combinations(found, 3) if len(found) <= MOST_IN_TRIPLES else ()
    for chosen in [*itertools.combinations(found, 1), *itertools.combinations(found, 2), *triples]:
        for scaling in [(), *itertools.combinations(letters, 1), *itertools.combinations(letters, 2)]:
            factors = (*chosen, *scaling)
            if len(factors) > 1 and len({factor.rows for factor in factors}) == 1:
                yield DiagonalProduct(*factors)


def _is_diagonal(fact: Block) -> bool:
    kinds = {s.kind for s in fact.symbols()}
    return len(fact.row_sizes) == 1 and "diagonal" in kinds and kinds <= {"diagonal", "scalar"}
