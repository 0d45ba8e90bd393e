"""Combinations of known facts V'SV with one V a word each: a linear program, solved numerically and checked exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from sdpcert.symbolic.expression import Expression, identity, monomial_is_nonnegative, multiplied, zero
from sdpcert.symbolic.steps.sandwiches import Term
from sdpcert.symbolic.steps.step import Known
from sdpcert.symbolic.symbols import Word, transposed


def nonnegative_combination(target: Expression, known: Known) -> list[Term] | None:
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
            # Only positive diagonal matrices have roots and inverses.
            whole = exponent.denominator == 1 and exponent > 0
            if exponent and (whole or (word[0].symbol.positive and exponent.denominator in (1, 2))):
                found.append((type(word[0])(word[0].symbol, False, exponent),))
    return found
