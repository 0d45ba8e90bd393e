"""Proof search: strategies that look for a proof of a claim, tried in order; what they find goes through the kernel.

1. Lemmas: what follows at once from the facts and the definitions of symbols (`proof_search/lemmas.py`).
2. Identity: both sides agree by expansion.
3. Sandwiches: the matrix is block diagonal and each block a nonnegative combination of known facts V'SV and squares.
4. Schur: one block is evidently positive definite, and the complement falls to 3 or 5.
5. Squares: the matrix is a sum of sandwiches of known facts by combinations of words, times known numbers, found by a
   small semidefinite program; then the same with longer words.
6. Polynomials: the matrix is a polynomial in one symmetric matrix, nonnegative where its spectrum lies.

The strategies bound their problems by counts. `seconds` ends them early, where a machine is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.claim import Claim, Statement, positive
from sdpcert.symbolic.effort import SECONDS, Effort, OutOfTime
from sdpcert.symbolic.expression import Expression, identity, letter, zero
from sdpcert.symbolic.kernel import derive
from sdpcert.symbolic.proof_search.combination import nonnegative_combination
from sdpcert.symbolic.proof_search.lemmas import inverse_of, lemmas
from sdpcert.symbolic.proof_search.polynomials import polynomial_in_one_matrix
from sdpcert.symbolic.proof_search.squares import sum_of_squares
from sdpcert.symbolic.steps.expansion import Identity
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.schur import Schur
from sdpcert.symbolic.steps.step import Known, Step

Found = list[Step]
Strategy = Callable[[Claim, Known, Effort], Found | None]


@dataclass(frozen=True)
class Search:
    """A proof, the strategy that closed it, and those that were tried before it.

    Without a proof `proof` is empty, and `finished` says whether all strategies had their time.
    """

    proof: tuple[Step, ...]
    strategy: str
    tried: tuple[str, ...]
    finished: bool = True


def search(claim: Claim, seconds: float = SECONDS) -> Search | None:
    """A proof that follows from what is known, None if no strategy finds one within the time."""
    found = explore(claim, seconds)
    return found if found.proof else None


def explore(claim: Claim, seconds: float = SECONDS) -> Search:
    """The search with the strategies that were tried, also if none found a proof."""
    effort = Effort(seconds)
    known = Known(claim)
    facts = lemmas(claim, known, effort)
    tried: list[str] = []
    for name, strategy in STRATEGIES:
        try:
            steps = strategy(claim, known, effort)
        except (AlgebraError, StepRejected):
            steps = None
        except OutOfTime:
            return Search((), "", (*tried, name), finished=False)
        if steps is not None:
            return Search((*_needed(facts, claim, steps), *steps), name, tuple(tried))
        tried.append(name)
    return Search((), "", tuple(tried))


def _needed(facts: Sequence[Step], claim: Claim, steps: Found) -> list[Step]:
    """The facts without which the last steps do not follow; later ones, which rest on earlier ones, are tried first."""
    kept = list(facts)
    for fact in reversed(facts):
        without = [f for f in kept if f is not fact]
        try:
            derive(claim, [*without, *steps])
        except StepRejected:
            continue
        kept = without
    return kept


def _identity(claim: Claim, known: Known, effort: Effort) -> Found | None:
    if claim.show.kind == "zero":
        return [Identity(claim.show)] if known.is_zero(claim.show.matrix) else None
    return [Sandwiches(claim.show)] if known.is_zero(claim.show.matrix) else None


def _sandwiches(claim: Claim, known: Known, effort: Effort) -> Found | None:
    return _block_diagonal(claim.show, known) if claim.show.kind == "positive" else None


def _block_diagonal(target: Statement, known: Known) -> Found | None:
    matrix = known.normal(target.matrix)
    terms: list[Term] = []
    size = len(matrix.row_sizes)
    for i, row in enumerate(matrix.entries):
        if any(entry for k, entry in enumerate(row) if k != i):
            return None
        found = nonnegative_combination(row[i], known)
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


def _schur(claim: Claim, known: Known, effort: Effort) -> Found | None:
    for complement, step in _complements(claim, known):
        found = nonnegative_combination(complement.matrix.entries[0][0], known)
        if found is not None:
            return [Sandwiches(complement, *found), step]
    return None


def _schur_and_squares(claim: Claim, known: Known, effort: Effort) -> Found | None:
    for complement, step in _complements(claim, known):
        found = sum_of_squares(complement, known, effort)
        if found is not None:
            return [*found, step]
    return None


def _complements(claim: Claim, known: Known) -> list[tuple[Statement, Schur]]:
    """Schur complements of the corners that have an inverse."""
    if claim.show.kind != "positive" or len(claim.show.matrix.row_sizes) != 2:
        return []
    found = []
    for corner in (1, 0):
        block = known.normal(claim.show.matrix.entries[corner][corner]).entries[0][0]
        inverse = inverse_of(block) or _declared_inverse(block, claim, known)
        if inverse is not None and known.is_positive(block):
            step = Schur(claim.show, inverse, corner)
            found.append((positive(step.complement()), step))
    return found


def _declared_inverse(corner: Expression, claim: Claim, known: Known) -> Expression | None:
    """The symbol that is declared as the inverse of a matrix, if there is one."""
    for symbol in sorted(claim.symbols(), key=lambda s: s.name):
        if isinstance(symbol.formula, tuple) and symbol.formula[0] == "inverse" and symbol.rows == corner.rows:
            if known.is_zero(symbol.formula[1] - corner):
                return letter(symbol)
    return None


def _polynomial(claim: Claim, known: Known, effort: Effort) -> Found | None:
    return polynomial_in_one_matrix(claim.show, known) if claim.show.kind == "positive" else None


def _squares(reach: int, powers: int) -> Strategy:
    def strategy(claim: Claim, known: Known, effort: Effort) -> Found | None:
        if claim.show.kind != "positive":
            return None
        return sum_of_squares(claim.show, known, effort, reach, powers)

    return strategy


STRATEGIES: list[tuple[str, Strategy]] = [
    ("identity", _identity),
    ("sum of sandwiches", _sandwiches),
    ("Schur complement", _schur),
    ("sum of squares", _squares(0, 0)),
    ("polynomial in one matrix", _polynomial),
    ("Schur complement and sum of squares", _schur_and_squares),
    ("sum of squares with other powers of numbers", _squares(0, 1)),
    ("sum of squares of longer words", _squares(1, 0)),
    ("sum of squares of longer words with other powers of numbers", _squares(1, 1)),
    ("sum of squares of still longer words", _squares(2, 2)),
]
