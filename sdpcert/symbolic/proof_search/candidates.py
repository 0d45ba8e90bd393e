"""Candidates of a sum of sandwiches: groups of one S and one nonnegative scale, and the outer factors for it.

A group with the outer factors V_1, V_2, ... stands for all sums `scale * sum_ab Q_ab V_a'SV_b` with Q >= 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.expression import Expression, Monomial, Term, multiplied, number, zero
from sdpcert.symbolic.proof_search.gradings import Degrees, Gradings
from sdpcert.symbolic.proof_search.gram import Gram, Place
from sdpcert.symbolic.proof_search.words import atoms_of, degree, letters_of, words_of
from sdpcert.symbolic.rewriting import Rules
from sdpcert.symbolic.symbols import Symbol, Word

#: Outer factors of a group, groups, and entries of all Gram matrices.
MOST_ELEMENTS, MOST_GROUPS, MOST_ENTRIES = 40, 400, 6000
#: Numbers whose powers are tried, products of known ones, and monomials of an outer factor.
MOST_SCALARS, MOST_FACTORS, MOST_MONOMIALS = 5, 2, 300

#: Least and greatest exponents of the numbers.
Box = dict[Symbol, tuple[Fraction, Fraction]]
ONE: Monomial = ()


@dataclass(frozen=True)
class Element:
    """An outer factor that has one term, in one block: row i of S, column k of the target."""

    i: int
    k: int
    monomial: Monomial
    word: Word


@dataclass(frozen=True)
class Group:
    """One S, the known numbers and the monomial of its scale, and the outer factors."""

    S: Block
    factors: tuple[Expression, ...]
    monomial: Monomial
    elements: tuple[Element, ...]

    def scale(self) -> Expression:
        """The product of the known numbers and the monomial."""
        return self.known() * Expression(1, 1, {(self.monomial, ()): Fraction(1)})

    def known(self) -> Expression:
        """The product of the known numbers."""
        result = number(1)
        for factor in self.factors:
            result = result * factor
        return result

    def outer(self, vector: Sequence[Fraction], target: Block) -> Block:
        """The combination of the outer factors."""
        sizes = list(itertools.product(self.S.row_sizes, target.column_sizes))
        entries = [zero(rows, columns) for rows, columns in sizes]
        for c, element in zip(vector, self.elements):
            if c:
                place = element.i * len(target.column_sizes) + element.k
                entries[place] = entries[place] + _expression(element, self.S, target) * c
        width = len(target.column_sizes)
        return Block([entries[row * width : (row + 1) * width] for row in range(len(self.S.row_sizes))])


class Candidates:
    """The groups for a target in normal form, from known matrices and known numbers.

    `reach` lets words grow by that many letters, `powers` the exponents of numbers by that many steps.
    """

    def __init__(self, target: Block, facts: Sequence[Block], rules: Rules, reach: int, powers: int) -> None:
        self.target, self.rules, self.powers = target, rules, powers
        self.numbers = [f.entries[0][0] for f in facts if len(f.row_sizes) == 1 and f.entries[0][0].is_scalar]
        matrices = [f for f in facts if not (len(f.row_sizes) == 1 and f.entries[0][0].is_scalar)]
        others = [as_block(of_rule) for of_rule in rules.replacements.values()]
        letters = {x.symbol for word in rules.replacements for x in word}.union(
            *(m.symbols() for m in (target, *facts, *others))
        )
        words = words_of(target, letters, reach)
        self.words = [[w for w in column if self._is_normal(w)] for column in words]
        atoms = [as_block(atom) for atom in atoms_of(target, letters, words)]
        self.inner = [*atoms, *matrices]
        self.gradings = Gradings(target, [*self.inner, *map(as_block, self.numbers)], rules)
        self._exponents = self._all_exponents()
        self.scalars = sorted(self._exponents, key=lambda symbol: symbol.name)
        #: The smallest difference of the exponents of a number.
        self._step = {
            symbol: Fraction(1, max(e.denominator for e in exponents)) if symbol.square is None else Fraction(1)
            for symbol, exponents in self._exponents.items()
        }
        self._boxes = [self._box(k) for k in range(len(target.column_sizes))]
        #: The letters that a sandwich may have.
        replaced = max(map(letters_of, rules.replacements), default=Fraction(0))
        self.most_letters = max(replaced, *map(degree, (target, *matrices))) + 2 * reach
        self._monomials: dict[Any, dict[Degrees, list[Monomial]]] = {}
        self._products: dict[Any, list[tuple[Term, Fraction]]] = {}

    def groups(self, effort: Effort) -> list[Group]:
        """All groups that have outer factors."""
        found: list[Group] = []
        positive = [s for s in self.scalars if s.positive][:MOST_SCALARS]
        factors = self._factors()
        for place, S in enumerate(self.inner):
            by_degree = self._places(place, S)
            for chosen, degrees in factors:
                for count in range(len(positive) + 1):
                    for odd in itertools.combinations(positive, count):
                        effort.check()
                        monomial = multiplied(ONE, tuple((s, self._step[s]) for s in odd))
                        half = [a + b for a, b in zip(degrees, self.gradings.degrees(monomial, ()))]
                        elements = self._elements(S, chosen, monomial, half, by_degree)
                        if elements and len(found) < MOST_GROUPS:
                            found.append(Group(S, chosen, monomial, tuple(elements[:MOST_ELEMENTS])))
        return found

    def gram(self, groups: Sequence[Group], effort: Effort) -> Gram | None:
        """The equations that the groups' matrices have to satisfy; None if there are too many entries."""
        if sum(len(g.elements) * (len(g.elements) + 1) // 2 for g in groups) > MOST_ENTRIES:
            return None
        equations: dict[Any, dict[Place, Fraction]] = {}
        for place, group in enumerate(groups):
            effort.check()
            scale = group.scale()
            for a, first in enumerate(group.elements):
                for b in range(a, len(group.elements)):
                    for key, c in self._product(group, scale, first, group.elements[b], a == b):
                        row = equations.setdefault(key, {})
                        row[place, a, b] = row.get((place, a, b), Fraction(0)) + c
        rights = dict(self._terms())
        for key in rights:
            equations.setdefault(key, {})
        # A word and its transpose give one equation.
        made = {
            (frozenset(row.items()), right): (row, right)
            for key, row in equations.items()
            for right in (rights.get(key, Fraction(0)),)
        }
        return Gram(tuple(len(g.elements) for g in groups), tuple(made.values()))

    # What the outer factors may be

    def _is_normal(self, word: Word, monomial: Monomial = ONE) -> bool:
        rows, columns = (word[0].rows, word[-1].columns) if word else (1, 1)
        one = Expression(rows, columns, {(monomial, word): Fraction(1)})
        return self.rules.normal(one) == one

    def _all_exponents(self) -> dict[Symbol, set[Fraction]]:
        found: dict[Symbol, set[Fraction]] = {}
        for matrix in [self.target, *self.inner, *map(as_block, self.numbers)]:
            for entry in itertools.chain.from_iterable(matrix.entries):
                for monomial, _ in entry.terms:
                    for symbol, exponent in monomial:
                        found.setdefault(symbol, set()).add(exponent)
        return found

    def _box(self, k: int) -> Box:
        """The exponents that column k of the target may have, squared."""
        wider = Fraction(self.powers)
        found: Box = {}
        for symbol in self.scalars:
            exponents = [_exponent(m, symbol) for m, _ in self.target.entries[k][k].terms] + [Fraction(0)]
            low, high = min(exponents), max(exponents)
            if self.powers:
                everywhere = [_exponent(m, symbol) for row in self.target.entries for e in row for m, _ in e.terms]
                low, high = min([low, *everywhere]), max([high, *everywhere])
            step = self._step[symbol]
            low = low - wider * step if symbol.positive else Fraction(0)
            if symbol.square is not None:
                low, high = Fraction(0), Fraction(2)
            found[symbol] = (low, high + wider * step)
        return found

    def _factors(self) -> list[tuple[tuple[Expression, ...], Degrees]]:
        """Products of known numbers with their degrees."""
        found: list[tuple[tuple[Expression, ...], Degrees]] = [((), self.gradings.none)]
        for count in range(1, MOST_FACTORS + 1):
            for chosen in itertools.combinations(range(len(self.numbers)), count):
                rows = [self.gradings.row(len(self.inner) + c, 0) for c in chosen]
                degrees = tuple(sum((2 * r[g] for r in rows), Fraction(0)) for g in range(len(self.gradings.none)))
                found.append((tuple(self.numbers[c] for c in chosen), degrees))
        return found

    def _places(self, place: int, S: Block) -> list[tuple[int, int, Word, Degrees]]:
        """Rows, columns and words whose shapes fit, with the degrees that twice the monomial has to add."""
        found = []
        for i, rows in enumerate(S.row_sizes):
            at_row = self.gradings.row(place, i)
            for k, columns in enumerate(self.target.column_sizes):
                at_column = self.gradings.column(k)
                inner = degree(Block([[S.entries[i][i]]]))
                for word in self.words[k]:
                    fits = 2 * letters_of(word) + inner <= self.most_letters
                    if fits and (word[0].rows if word else columns) == rows:
                        own = self.gradings.degrees((), word)
                        left = tuple(2 * (c - r - w) for c, r, w in zip(at_column, at_row, own))
                        found.append((i, k, word, left))
        return found

    def _elements(
        self,
        S: Block,
        factors: Sequence[Expression],
        monomial: Monomial,
        half: Sequence[Fraction],
        places: Sequence[tuple[int, int, Word, Degrees]],
    ) -> list[Element]:
        found = []
        by_place: dict[tuple[int, int], dict[Degrees, list[Monomial]]] = {}
        for i, k, word, left in places:
            if (i, k) not in by_place:
                by_place[i, k] = self._by_degree(S.entries[i][i], factors, monomial, self._boxes[k])
            wanted = tuple(a - b for a, b in zip(left, half))
            found += [Element(i, k, own, word) for own in by_place[i, k].get(wanted, ())]
        return found

    def _by_degree(
        self, inner: Expression, factors: Sequence[Expression], monomial: Monomial, box: Box
    ) -> dict[Degrees, list[Monomial]]:
        """The monomials m for which `m^2 * monomial * factors * inner` stays in the box, by the degrees of m^2."""
        ranges: list[tuple[tuple[Symbol, Fraction], ...]] = []
        for symbol, (low, high) in box.items():
            parts = [[_exponent(m, symbol) for m, _ in f.terms] or [Fraction(0)] for f in (inner, *factors)]
            own = _exponent(monomial, symbol)
            least, most = sum(map(min, parts)) + own, sum(map(max, parts)) + own
            step, choices = self._step[symbol], []
            exponent = Fraction(int((low - least) / 2 / step) - 1) * step
            while 2 * exponent + most <= high:
                if 2 * exponent + least >= low and (exponent >= 0 or symbol.positive):
                    choices.append((symbol, exponent))
                exponent += step
            ranges.append(tuple(choices))
        key = tuple(ranges)
        if key not in self._monomials:
            made = self._monomials[key] = {}
            for choice in itertools.islice(itertools.product(*ranges), MOST_MONOMIALS):
                own = multiplied(ONE, choice)
                if not self._is_normal((), own):
                    continue
                made.setdefault(self.gradings.degrees(multiplied(own, own), ()), []).append(own)
        return self._monomials[key]

    # Products

    def _product(
        self, group: Group, scale: Expression, first: Element, second: Element, same: bool
    ) -> Iterator[tuple[Any, Fraction]]:
        """What the entry of Q at two outer factors adds to the target's coefficients."""
        if first.k > second.k:
            first, second = second, first
        key = (id(group.S), first.i, second.i, first.k, second.k, first.word, second.word, same)
        if key not in self._products:
            self._products[key] = self._multiplied(group.S, first, second, same)
        outer = multiplied(first.monomial, second.monomial)
        if self.rules.numbers:
            yield from self._reduced(first, second, scale, outer, self._products[key])
            return
        for (scalars, _), c in scale.terms.items():
            for (monomial, word), coefficient in self._products[key]:
                factor, together = _without_roots(multiplied(multiplied(outer, scalars), monomial))
                yield (first.k, second.k, (together, word)), c * coefficient * factor

    def _reduced(
        self, first: Element, second: Element, scale: Expression, outer: Monomial, product: list[tuple[Term, Fraction]]
    ) -> Iterator[tuple[Any, Fraction]]:
        """The same where numbers satisfy equalities."""
        rows, columns = self.target.column_sizes[first.k], self.target.column_sizes[second.k]
        made = Expression(rows, columns, dict(product)) * scale * Expression(1, 1, {(outer, ()): Fraction(1)})
        for term, coefficient in self.rules.normal(made).terms.items():
            yield (first.k, second.k, term), coefficient

    def _multiplied(self, S: Block, first: Element, second: Element, same: bool) -> list[tuple[Term, Fraction]]:
        left = _expression(Element(first.i, first.k, ONE, first.word), S, self.target)
        right = _expression(Element(second.i, second.k, ONE, second.word), S, self.target)
        product = left.T @ S.entries[first.i][second.i] @ right
        if first.k == second.k and not same:
            product = product + product.T
        return list(self.rules.normal(product).terms.items())

    def _terms(self) -> Iterator[tuple[Any, Fraction]]:
        for i, row in enumerate(self.target.entries):
            for k in range(i, len(row)):
                for term, coefficient in row[k].terms.items():
                    yield (i, k, term), coefficient


def _without_roots(monomial: Monomial) -> tuple[Fraction, Monomial]:
    """A monomial with the squares of roots of constants as a number in front."""
    if all(symbol.square is None for symbol, _ in monomial):
        return Fraction(1), monomial
    ((reduced, _), factor) = next(iter(Expression(1, 1, {(monomial, ()): Fraction(1)}).terms.items()))
    return factor, reduced


def _exponent(monomial: Monomial, symbol: Symbol) -> Fraction:
    return next((e for s, e in monomial if s is symbol), Fraction(0))


def _expression(element: Element, S: Block, target: Block) -> Expression:
    rows, columns = S.row_sizes[element.i], target.column_sizes[element.k]
    return Expression(rows, columns, {(element.monomial, element.word): Fraction(1)})
