"""A checker for proofs of matrix inequalities and of layers, for all weights: `python proof_checker.py X.proof.json`.

It needs Python's standard library alone, searches for nothing and completes nothing: it multiplies words, adds them up
and compares. docs/proof-format.md has the format, what a theorem says, and the axioms with their hypotheses.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from pathlib import Path
from typing import Any

FORMAT, VERSION = "sdpcert-derivation", 1
#: What a file may be made of: bytes, products of terms, letters of a word or digits of a number.
MAX_BYTES, MAX_PRODUCTS, MAX_LETTERS = 2**26, 5_000_000, 400
LIPSCHITZ = """  Two solutions of y = Hx + Gz + c, z = phi(Ux + Wz + b), the slopes of phi in [low, high], have
  |y - y'|^2 <= squared_lipschitz |x - x'|^2 for the same b and c."""
NUMBER = r"-?\d{1,400}(?:/[1-9]\d{0,399})?"
FACTOR = re.compile(rf"(?P<number>{NUMBER})|(?P<name>[A-Za-z]\w*)(?P<turned>'?)(?:\^(?P<exponent>{NUMBER}))?", re.ASCII)
DECLARED = re.compile(
    r"(positive )?(general|symmetric|skew|diagonal) (\w+) x (\w+)|(positive )?scalar|root of ([1-9]\d{0,8})"
)


class Rejected(Exception):
    """The proof is wrong or malformed; the message says where."""


class Unreadable(Exception):
    """The file cannot be read as JSON at all."""


def require(holds: Any, message: str) -> Any:
    """What holds; raise `Rejected` if it does not."""
    if not holds:
        raise Rejected(message)
    return holds


def members(value: Any, needed: str, optional: str = "") -> list[Any]:
    """The values of an object's keys, None for optional ones that are absent."""
    keys, others = needed.split(), optional.split()
    fits = isinstance(value, dict) and set(keys) <= set(value) <= {*keys, *others}
    require(fits, f"expected an object with {', '.join(keys)}" + (f" and perhaps {optional}" if others else ""))
    return [value.get(key) for key in (*keys, *others)]


def items(value: Any, length: int | None = None) -> list[Any]:
    """A list, of that length if one is given."""
    fits = isinstance(value, list) and length in (None, len(value))
    require(fits, "expected a list" + ("" if length is None else f" of {length}"))
    return value


def rational(value: Any) -> Fraction:
    """A number written as "p" or "p/q"."""
    require(isinstance(value, str) and re.fullmatch(NUMBER, value, re.ASCII), f"{str(value)[:40]!r} is no number")
    return Fraction(value)


# ------------------------------------------------------------ algebra
Size = str | int


@dataclass(frozen=True, eq=False)
class Symbol:
    """A matrix or a number of which its kind, and perhaps a meaning, is known."""

    name: str
    declared: str
    rows: Size
    columns: Size
    kind: str
    positive: bool  # the entries of a diagonal or a number; a symmetric matrix is definite
    square: int | None = None  # of a number

    @property
    def has_powers(self) -> bool:
        """Whether powers are letters of their own."""
        return self.kind in ("diagonal", "scalar") or (self.kind == "symmetric" and self.positive)


Letter = tuple[Symbol, bool, Fraction]  # transposed, exponent
Word = tuple[Letter, ...]
Monomial = tuple[tuple[Symbol, Fraction], ...]
Terms = dict[tuple[Monomial, Word], Fraction]


def canonical(word: Word) -> Word:
    """Neighbouring powers of one letter merged; neighbouring diagonal letters, which commute, in order."""
    letters: list[Letter] = []
    for symbol, transposed, exponent in word:
        place = len(letters)
        if symbol.kind == "diagonal":
            while place and letters[place - 1][0].kind == "diagonal" and letters[place - 1][0].name > symbol.name:
                place -= 1
        if place and symbol.has_powers and letters[place - 1][0] is symbol:
            place -= 1
            exponent += letters.pop(place)[2]
        if exponent:
            letters.insert(place, (symbol, transposed, exponent))
    require(len(letters) <= MAX_LETTERS, "a word is too long")
    return tuple(letters)


def turned(word: Word) -> tuple[int, Word]:
    """The sign and the word of the transpose."""
    flipped = ((s, t ^ (s.kind == "general"), e) for s, t, e in reversed(word))
    return (-1) ** sum(s.kind == "skew" for s, _, _ in word), canonical(tuple(flipped))


def merged(*monomials: Monomial) -> Monomial:
    """The product of monomials of numbers."""
    powers: dict[Symbol, Fraction] = {}
    for symbol, exponent in (pair for monomial in monomials for pair in monomial):
        powers[symbol] = powers.get(symbol, Fraction(0)) + exponent
    return tuple(sorted(((s, e) for s, e in powers.items() if e), key=lambda pair: pair[0].name))


def evident(monomial: Monomial) -> bool:
    """Whether every factor is positive or an even power."""
    return all(s.positive or (e.denominator == 1 and e % 2 == 0 and e > 0) for s, e in monomial)


class Sum:
    """A sum of words with coefficients and powers of numbers: a matrix of `rows` by `columns`."""

    products = 0

    def __init__(self, rows: Size, columns: Size, terms: Terms | None = None) -> None:
        self.rows, self.columns = rows, columns
        found: Terms = {}
        for (monomial, word), coefficient in (terms or {}).items():
            for symbol, exponent in monomial:
                if symbol.square is not None:
                    coefficient *= symbol.square ** (exponent // 2)
                    monomial = merged(monomial, ((symbol, Fraction(-2 * (exponent // 2))),))
            if rows == columns == 1 and word:  # a number is its transpose
                sign, other = turned(word)
                own, its = ([(s.name, t, e) for s, t, e in w] for w in (word, other))
                if own == its and sign < 0:
                    continue
                word, coefficient = (other, sign * coefficient) if its < own else (word, coefficient)
            found[monomial, word] = found.get((monomial, word), Fraction(0)) + coefficient
        self.terms = {term: c for term, c in found.items() if c}

    def plus(self, other: Sum, scale: Fraction | int = 1) -> Sum:
        """`self + scale * other`."""
        require((self.rows, self.columns) == (other.rows, other.columns), "matrices of different sizes are added")
        terms = dict(self.terms)
        for term, coefficient in other.terms.items():
            terms[term] = terms.get(term, Fraction(0)) + scale * coefficient
        return Sum(self.rows, self.columns, terms)

    def times(self, other: Sum) -> Sum:
        """The product of matrices, or of a number and a matrix."""
        fits = self.is_number or other.is_number or self.columns == other.rows
        require(fits, f"{self.rows} x {self.columns} and {other.rows} x {other.columns} are multiplied")
        rows = other.rows if self.is_number else self.rows
        columns = self.columns if other.is_number else other.columns
        Sum.products += len(self.terms) * len(other.terms)
        require(Sum.products <= MAX_PRODUCTS, "the proof multiplies too many terms")
        terms: Terms = {}
        for (m, v), a in self.terms.items():
            for (n, w), b in other.terms.items():
                term = (merged(m, n), canonical(v + w))
                terms[term] = terms.get(term, Fraction(0)) + a * b
        return Sum(rows, columns, terms)

    def power(self, exponent: Fraction) -> Sum:
        """A power; one that is no positive whole number is of one positive letter or number."""
        if exponent.denominator == 1 and 0 < exponent <= MAX_LETTERS:
            return reduce(Sum.times, [self] * int(exponent))
        (monomial, word), coefficient = next(iter(self.terms.items()), (((), ()), None))
        allowed = len(self.terms) == len(word) + len(monomial) == 1 == coefficient and exponent
        whole = exponent.denominator == 1 or not any(s.kind == "symmetric" or s.square for s in self.symbols)
        allowed = (
            allowed
            and whole
            and abs(exponent) <= MAX_LETTERS
            and all(s.positive and s.has_powers for s in self.symbols)
        )
        require(allowed, f"no power {exponent} of that")
        powers = tuple((s, e * exponent) for s, e in monomial), tuple((s, t, e * exponent) for s, t, e in word)
        return Sum(self.rows, self.columns, {powers: Fraction(1)})

    @property
    def T(self) -> Sum:
        """The transpose."""
        result = Sum(self.columns, self.rows)
        for (monomial, word), coefficient in self.terms.items():
            sign, other = turned(word)
            result = result.plus(Sum(self.columns, self.rows, {(monomial, other): sign * coefficient}))
        return result

    @property
    def is_number(self) -> bool:
        """Whether it is made of numbers alone, which commute with everything."""
        return self.rows == self.columns == 1 and not any(word for _, word in self.terms)

    @property
    def symbols(self) -> set[Symbol]:
        """The symbols that occur."""
        return {s for m, _ in self.terms for s, _ in m} | {s for _, w in self.terms for s, _, _ in w}

    @property
    def is_diagonal(self) -> bool:
        """Whether it is made of diagonal matrices and numbers."""
        return self.rows == self.columns and all(s.kind in ("diagonal", "scalar") for s in self.symbols)

    def __eq__(self, other: object) -> bool:
        mine = (self.rows, self.columns, self.terms)
        return isinstance(other, Sum) and mine == (other.rows, other.columns, other.terms)


def unit(size: Size) -> Sum:
    """An identity."""
    return Sum(size, size, {((), ()): Fraction(1)})


def letter(symbol: Symbol) -> Sum:
    """The sum of one symbol."""
    if symbol.kind == "scalar":
        return Sum(1, 1, {(((symbol, Fraction(1)),), ()): Fraction(1)})
    return Sum(symbol.rows, symbol.columns, {((), ((symbol, False, Fraction(1)),)): Fraction(1)})


Lookup = Callable[[str], Sum]
Table = list[list[Sum]]


def read_sum(value: Any, rows: Size, columns: Size, lookup: Lookup) -> Sum:
    """Terms between " + " and " - " of factors between "*": numbers, I, names, `name'`, `name^exponent`."""
    require(isinstance(value, str), "expected a sum of terms as text")
    pieces = re.split(r" ([+-]) ", f" + {value}")
    result = Sum(rows, columns)
    for sign, term in zip(pieces[1::2], pieces[2::2], strict=True):
        minus = term.startswith("-") and not term[1:2].isdigit()
        made = Sum(1, 1, {((), ()): Fraction(-1 if minus else 1)})
        for factor in term[minus:].split("*"):
            match = require(FACTOR.fullmatch(factor), f"{factor[:40]!r} is no factor")
            if match["number"]:
                made = made.times(Sum(1, 1, {((), ()): Fraction(match["number"])}))
            elif factor != "I":
                base = lookup(match["name"])
                base = base.T if match["turned"] else base
                made = made.times(base.power(Fraction(match["exponent"])) if match["exponent"] else base)
        if not made.terms:
            continue
        if made.is_number and rows == columns:
            made = made.times(unit(rows))
        result = result.plus(made, -1 if sign == "-" else 1)
    return result


def read_table(value: Any, rows: list[Size], columns: list[Size], lookup: Lookup) -> Table:
    """A block matrix."""
    lines = [(r, items(line, len(columns))) for r, line in zip(rows, items(value, len(rows)), strict=True)]
    return [[read_sum(e, r, c, lookup) for e, c in zip(line, columns, strict=True)] for r, line in lines]


def sandwich(V: Table, S: Table) -> Table:
    """V'SV."""

    def product(A: Table, B: Table) -> Table:
        return [[reduce(Sum.plus, map(Sum.times, row, column)) for column in zip(*B, strict=True)] for row in A]

    return product([[e.T for e in column] for column in zip(*V, strict=True)], product(S, V))


def less(A: Table, B: Table) -> Table:
    """The difference."""
    require(len(A) == len(B) and len(A[0]) == len(B[0]), "block matrices of different sizes are added")
    return [[a.plus(b, -1) for a, b in zip(p, q, strict=True)] for p, q in zip(A, B, strict=True)]


@dataclass
class Statement:
    """A matrix is symmetric and positive semidefinite ("positive"), or zero ("zero")."""

    kind: str
    rows: list[Size]
    columns: list[Size]
    table: Table

    @staticmethod
    def of(kind: str, value: Sum) -> Statement:
        """A statement about one sum."""
        return Statement(kind, [value.rows], [value.columns], [[value]])


# ------------------------------------------------------------ theorems
class Theorem:
    """A theorem that is read and checked step by step; `known` has its hypotheses and what the steps derived."""

    def __init__(self, value: Any, earlier: dict[str, Theorem]) -> None:
        self.name, symbols, self.given, steps, self.layer, conclusion, meanings, _ = members(
            value, "name symbols hypotheses steps", "layer conclusion meanings commentary"
        )
        self.earlier, self.declared, self.conclusion = earlier, symbols, conclusion
        self.symbols: dict[str, Symbol] = {}
        self.hash = fingerprint(value)
        require(isinstance(symbols, dict) and isinstance(meanings or {}, dict), "symbols and meanings are objects")
        self.meanings = meanings or {}
        for name, declared in symbols.items():
            self.symbols[name] = read_symbol(name, declared)
        self.known = [read_statement(h, self.lookup) for h in items(self.given)]
        require((self.layer is None) != (conclusion is None), "a theorem has either a layer or a conclusion")
        goals = [read_statement(conclusion, self.lookup)] if self.layer is None else read_layer(self.layer, self.lookup)
        for k, step in enumerate(items(steps)):
            try:
                by = step.get("by") if isinstance(step, dict) else None
                require(isinstance(by, str) and by in STEPS, "`by` is one of " + ", ".join(STEPS))
                self.known.append(STEPS[str(by)](self, step))
            except Rejected as reason:
                raise Rejected(f"step {k}: {reason}") from None
        for goal in goals:
            require(goal in self.known, "no step states what is claimed, or that the multipliers are nonnegative")

    def symbol(self, name: Any) -> Symbol:
        """A declared symbol."""
        require(isinstance(name, str) and name in self.symbols, f"{str(name)[:40]!r} is not declared")
        return self.symbols[name]

    def lookup(self, name: str) -> Sum:
        """The sum of a declared symbol."""
        return letter(self.symbol(name))

    def meaning(self, name: Any, kind: str) -> Any:
        """What a symbol is made of, of that kind."""
        meaning: Any = self.meanings.get(self.symbol(name).name)
        require(isinstance(meaning, dict) and list(meaning) == [kind], f"{name} is not declared as a {kind}")
        return meaning[kind]

    def fact(self, reference: Any, kind: str) -> Statement:
        """What is known already under a number."""
        known = type(reference) is int and 0 <= reference < len(self.known)
        require(known and self.known[reference].kind == kind, f"{str(reference)[:20]} is no earlier {kind} statement")
        return self.known[reference]

    def entry(self, name: str) -> Sum:
        """An entry of a known equality, `E3_0_1`."""
        parts = re.fullmatch(r"E(\d+)_(\d+)_(\d+)", name)
        if parts is None:
            return self.lookup(name)
        number, row, column = map(int, parts.groups())
        fact = self.fact(number, "zero")
        require(row < len(fact.rows) and column < len(fact.columns), f"there is no {name}")
        return fact.table[row][column]

    def expect_zero(self, left: Statement, table: Table, rewrites: Any) -> None:
        """What is left has to be the rewrites: sums whose every term has an entry of a known equality."""
        if rewrites is not None:
            for text in (e for line in items(rewrites, len(left.rows)) for e in items(line, len(left.columns))):
                terms = re.split(r" [+-] ", text) if isinstance(text, str) else [""]
                require(text == "0" or all(re.search(r"(^-?|\*)E\d+_\d+_\d+'?(\*|$)", t) for t in terms), "no equality")
            table = less(table, read_table(rewrites, left.rows, left.columns, self.entry))
        for e in (e for row in table for e in row):
            shown = ", ".join(f"{c} {[s.name for s, _, _ in w]}" for (_, w), c in e.terms.items())
            require(not e.terms, f"the two sides differ by {shown[:200]}")

    def by_sum(self, value: Any) -> Statement:
        """A matrix that is a sum of nonnegative multiples of V'SV, S known or evidently positive semidefinite."""
        _, states, terms, rewrites = members(value, "by states terms", "rewrites")
        made = read_statement(states, self.lookup)
        require(made.kind == "positive", "a sum shows that a matrix is positive")
        left = made.table
        for term in items(terms):
            scale, fact, atom, outer, factors = members(term, "scale", "fact atom outer factors")
            number = read_sum(scale, 1, 1, self.lookup)
            evidently = number.is_number and all(c >= 0 and evident(m) for (m, _), c in number.terms.items())
            require(evidently, "a coefficient is not evidently nonnegative")
            for reference in items(factors or []):
                factor = self.fact(reference, "positive")
                require(factor.rows == [1] and factor.table[0][0].is_number, "a factor is no number")
                number = number.times(factor.table[0][0])
            require((fact is None) != (atom is None), "a term has a fact or an atom")
            rows, entries = members(outer, "rows entries") if outer is not None else (made.rows, None)
            rows = [size(r) for r in items(rows)]
            inner = self.atom(atom, rows) if fact is None else self.fact(fact, "positive")
            require(inner.rows == rows, "V has not the rows of S")
            table = inner.table
            if entries is not None:
                table = sandwich(read_table(entries, rows, made.columns, self.lookup), table)
            left = less(left, [[number.times(e) for e in row] for row in table])
        self.expect_zero(made, left, rewrites)
        return made

    def atom(self, value: Any, rows: list[Size]) -> Statement:
        """An identity, a product of diagonal letters or a definite one: evidently positive semidefinite."""
        require(len(rows) == 1, "an atom is one block")
        made = read_sum(value, rows[0], rows[0], self.lookup)
        for (monomial, word), coefficient in made.terms.items():
            diagonal = all(s.kind == "diagonal" for s, _, _ in word) and evident(tuple((s, e) for s, _, e in word))
            definite = len(word) == 1 and word[0][0].kind == "symmetric" and word[0][0].positive
            require(coefficient > 0 and evident(monomial) and (diagonal or definite), f"{value} is no atom")
        return Statement.of("positive", made)

    def by_equality(self, value: Any) -> Statement:
        """An equality that follows from known ones."""
        _, states, rewrites = members(value, "by states", "rewrites")
        made = read_statement(states, self.lookup)
        require(made.kind == "zero", "an equality shows that a matrix is zero")
        self.expect_zero(made, made.table, rewrites)
        return made

    def __str__(self) -> str:
        said = {"symbols": self.declared, "meanings": self.meanings, "hypotheses": self.given}
        said |= {"conclusion": self.conclusion} if self.layer is None else {"layer": self.layer}
        lines = [f"Theorem: {self.name}", *(f"  {key}: {json.dumps(part)}" for key, part in said.items() if part)]
        return "\n".join(lines + ([] if self.layer is None else [LIPSCHITZ]))


def fingerprint(theorem: dict[str, Any]) -> str:
    """The hash by which a theorem is cited: of what it says, not of its proof."""
    said = [theorem.get(key) for key in ("symbols", "meanings", "hypotheses", "layer", "conclusion")]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def size(value: Any) -> Size:
    """A dimension: a name, or a positive number."""
    word = re.fullmatch(r"\w{1,60}", value, re.ASCII) if isinstance(value, str) else None
    require(word or (type(value) is int and value > 0), "a dimension is a name or a positive number")
    return int(value) if str(value).isdigit() else value


def read_symbol(name: str, declared: Any) -> Symbol:
    """A symbol from "positive diagonal m x m", "general n x m", "scalar", "root of 2"."""
    match = DECLARED.fullmatch(declared) if isinstance(declared, str) else None
    fits = FACTOR.fullmatch(name) and re.fullmatch(r"(?!E\d|I$)[A-Za-z]\w*", name, re.ASCII)
    match = require(fits and match, f"no symbol {name[:40]!r}: {str(declared)[:60]!r}")
    positive, kind, rows, columns, above_zero, square = match.groups()
    if kind is None:
        return Symbol(name, declared, 1, 1, "scalar", bool(above_zero or square), square and int(square))
    fits = rows == columns or kind == "general"
    require(fits and not (positive and kind in ("general", "skew")), f"{name}: {declared} does not exist")
    return Symbol(name, declared, size(rows), size(columns), kind, bool(positive))


def read_statement(value: Any, lookup: Lookup) -> Statement:
    """{"positive": table, "rows": [...]} or {"zero": table, "rows": [...], "columns": [...]}."""
    kind = "zero" if isinstance(value, dict) and "zero" in value else "positive"
    table, rows, *columns = members(value, f"{kind} rows" + (" columns" if kind == "zero" else ""))
    heights = [size(r) for r in items(rows)]
    widths = [size(c) for c in items(columns[0])] if columns else heights
    require(heights and widths, "an empty matrix")
    return Statement(kind, heights, widths, read_table(table, heights, widths, lookup))


def read_layer(value: Any, lookup: Lookup) -> list[Statement]:
    """The condition of a layer, and that its multipliers are diagonal and nonnegative: what has to be shown."""
    keys = "squared_lipschitz low high inputs hidden outputs H G U W multipliers"
    squared, low, high, inputs, hidden, outputs, *parts = members(value, keys)
    n, m, k = size(inputs), size(hidden), size(outputs)
    rho, a, b = (read_sum(number, 1, 1, lookup) for number in (squared, low, high))
    shapes = ((k, n), (k, m), (m, n), (m, m), (m, m))
    H, G, U, W, L = (read_sum(part, *shape, lookup) for part, shape in zip(parts, shapes, strict=True))
    require(L.is_diagonal and rho.is_number and a.is_number and b.is_number, "the multipliers are not diagonal")
    mean, twice, LU, LW = a.plus(b), a.times(b).plus(a.times(b)), L.times(U), L.times(W)
    top = rho.times(unit(n)).plus(twice.times(U.T.times(LU))).plus(H.T.times(H), -1)
    across = twice.times(LU.T.times(W)).plus(mean.times(LU.T), -1).plus(H.T.times(G), -1)
    corner = L.plus(L).plus(mean.times(LW.plus(LW.T)), -1).plus(twice.times(W.T.times(LW))).plus(G.T.times(G), -1)
    return [Statement("positive", [n, m], [n, m], [[top, across], [across.T, corner]]), Statement.of("positive", L)]


# ------------------------------------------------------------ meanings and axioms
@dataclass
class RowPart:
    """`scale` times an entry of a matrix or its magnitude times weights, or the sum of these over j."""

    scale: Fraction
    entry: str  # "ii"; "ij" and "jj" are summed over j
    without: bool  # j = i is left out of the sum
    absolute: bool
    matrix: Sum
    weights: dict[tuple[str, str], Fraction]  # exponents of entries of positive diagonal matrices at i or j


def read_rule(theorem: Theorem, name: Any) -> tuple[Symbol, list[RowPart]]:
    """Entry i of a diagonal matrix, or the largest for a number: the sum of the parts, and 1 where that is zero."""
    symbol, parts = theorem.symbol(name), []
    require(symbol.positive and symbol.kind in ("diagonal", "scalar"), f"{name} is not positive and diagonal")
    for part in items(theorem.meaning(name, "rule")):
        keys = "scale entry without absolute matrix size weights"
        scale, entry, without, absolute, matrix, of, weights = members(part, keys)
        own = size(of) if symbol.kind == "scalar" else symbol.rows
        flags = type(without) is type(absolute) is bool and entry in ("ii", "ij", "jj") and own == size(of)
        require(flags, "a part of a rule is malformed or has another size")
        found: dict[tuple[str, str], Fraction] = {}
        for other, exponent, at in (items(weight, 3) for weight in items(weights)):
            kind = theorem.symbol(other).declared
            require(kind == f"positive diagonal {own} x {own}" and at in ("i", "j"), f"{other} at {at} is no weight")
            found[other, at] = found.get((other, at), Fraction(0)) + rational(exponent)
        made = read_sum(matrix, own, own, theorem.lookup)
        parts.append(RowPart(rational(scale), entry, without, absolute, made, found))
    return symbol, parts


def read_square(theorem: Theorem, name: Any, kind: str) -> Sum:
    """The matrix of a trace (the number is 1 where it is zero if it is positive) or of a diagonal."""
    matrix, of = members(theorem.meaning(name, kind), "matrix size")
    fits = theorem.symbol(name).kind == "scalar" if kind == "trace" else theorem.symbol(name).rows == size(of)
    require(fits, f"{name} has another size than its matrix")
    return read_sum(matrix, size(of), size(of), theorem.lookup)


def above(symbol: Symbol, matrix: Sum) -> Statement:
    """The diagonal matrix, or the number times I, is at least the matrix."""
    return Statement.of("positive", letter(symbol).times(unit(matrix.rows)).plus(matrix, -1))


def dominance(theorem: Theorem, value: Any) -> Statement:
    """T - G >= 0 for symmetric G and T by a rule with weighted sums of |G_ij| over a row, w_ij w_ji = 1."""
    symbol, parts = read_rule(theorem, members(value, "by symbol")[1])
    G = next((part.matrix for part in parts if part.absolute and part.entry == "ij"), None)
    G = require(G is not None and G == G.T and G, f"the rule of {symbol.name} sums no magnitudes of a symmetric matrix")
    across = own = plain = Fraction(0)
    for part in parts:
        balanced = all(part.weights.get((s, "i"), 0) + part.weights.get((s, "j"), 0) == 0 for s, _ in part.weights)
        mine = balanced and (part.matrix == G or (part.absolute and part.matrix == Sum(G.rows, G.rows).plus(G, -1)))
        bare = mine and part.entry == "ii" and not part.weights
        require(part.scale >= 0 and (part.absolute or bare), f"a part of the rule of {symbol.name} may be negative")
        across += part.scale * (mine and part.entry == "ij")
        own += part.scale * (part.absolute and (bare or (mine and part.entry == "ij" and not part.without)))
        plain += part.scale * (bare and not part.absolute)
    # a |g| + b g >= g for every g needs a + b >= 1 (g > 0) and b - a <= 1 (g < 0).
    require(across >= 1 and own + plain >= 1 >= plain - own, f"the rule of {symbol.name} counts entries too seldom")
    return above(symbol, G)


def trace(theorem: Theorem, value: Any) -> Statement:
    """t I - S >= 0 for S >= 0 and its trace t, or for a diagonal matrix whose entries are at least the trace."""
    _, name, reference = members(value, "by symbol fact")
    symbol, fact = theorem.symbol(name), theorem.fact(reference, "positive")
    S = fact.table[0][0]
    if symbol.kind == "scalar":
        traced = read_square(theorem, name, "trace") == S
    else:
        parts, counted = read_rule(theorem, name)[1], Fraction(0)
        for p in parts:
            mine = p.matrix == S and p.entry != "ij"  # the diagonal of S is not negative
            require(p.scale >= 0 and (p.absolute or mine), f"a part of the rule of {name} may be negative")
            counted += p.scale * (mine and p.entry == "jj" and not (p.weights or p.without))
        traced = counted >= 1
    require(traced and Statement.of("positive", S) == fact, f"{name} is not the trace of that")
    return above(symbol, S)


def diagonal_trace(theorem: Theorem, value: Any) -> Statement:
    """t - 1'(A + L R D)1 = 0 for t the trace of A + L G R, D the diagonal of G, and diagonal A, L, R."""
    _, t, one, d, *factors = members(value, "by trace ones diagonal A L R")
    S, G, ones = read_square(theorem, t, "trace"), read_square(theorem, d, "diagonal"), theorem.symbol(one)
    A, L, R = (read_sum(f, S.rows, S.rows, theorem.lookup) for f in factors)
    fits = A.is_diagonal and L.is_diagonal and R.is_diagonal and A.plus(L.times(G).times(R)) == S
    fits = fits and theorem.meaning(one, "ones") == [] and (ones.rows, ones.columns) == (S.rows, 1)
    require(fits and not theorem.symbol(t).positive, f"{t} is not the trace of A + LGR, or the ones have another size")
    inner = A.plus(L.times(R).times(theorem.lookup(d)))
    return Statement.of("zero", theorem.lookup(t).plus(letter(ones).T.times(inner).times(letter(ones)), -1))


def diagonal_product(theorem: Theorem, value: Any) -> Statement:
    """A product of diagonal matrices that are positive semidefinite."""
    facts = [theorem.fact(r, "positive").table for r in items(members(value, "by facts")[1])]
    require(facts and all(len(f) == 1 and f[0][0].is_diagonal for f in facts), "a factor is not diagonal")
    return Statement.of("positive", reduce(Sum.times, [f[0][0] for f in facts]))


def cauchy_schwarz(theorem: Theorem, value: Any) -> Statement:
    """R^(1/2) C^(1/2) - B >= 0 for sums over j of |G_ij| r_ij, |G_ij| c_ij, |G_ij| b_ij with b_ij^2 = r_ij c_ij."""
    rules = [read_rule(theorem, name) for name in members(value, "by R C B")[1:]]
    parts = [p for _, parts in rules for p in parts if p.absolute and p.entry == "ij" and p.scale == 1]
    same = [len(parts) for _, parts in rules] == [1, 1, 1] and len(parts) == 3
    same = same and all(p.matrix == parts[0].matrix and p.without == parts[0].without for p in parts)
    require(same and all(s.kind == "diagonal" for s, _ in rules), "not three sums of magnitudes of the same entries")
    r, c, b = (part.weights for part in parts)
    require(all(2 * b.get(k, 0) == r.get(k, 0) + c.get(k, 0) for k in {*r, *c, *b}), "no geometric means")
    R, C, B = (letter(symbol) for symbol, _ in rules)
    return Statement.of("positive", R.power(Fraction(1, 2)).times(C.power(Fraction(1, 2))).plus(B, -1))


def crop(theorem: Theorem, value: Any) -> Statement:
    """Z - P'CP = 0 for one kernel with zero padding and circular, on a torus that is larger by its reach."""
    names = members(value, "by Z C P")[1:]
    Z, C, P = (theorem.symbol(name) for name in names)
    z, c = (items(theorem.meaning(name, "convolution"), 4) for name in names[:2])  # kernel, padding, size, torus
    sizes = [P.columns, P.rows]
    fits = z == [c[0], "zeros", *sizes] and c == [c[0], "circular", *sizes]
    fits = fits and (Z.rows, Z.columns, C.rows, C.columns) == (sizes[0], sizes[0], sizes[1], sizes[1])
    require(fits and theorem.meaning(names[2], "crop") == [], "not the convolutions of one kernel and their crop")
    return Statement.of("zero", letter(Z).plus(letter(P).T.times(letter(C)).times(letter(P)), -1))


def cite(theorem: Theorem, value: Any) -> Statement:
    """What an earlier theorem of the file says, with sums in the place of symbols that have no meaning of their own."""
    _, digest, replaced, sizes, references = members(value, "by theorem replaced sizes hypotheses")
    given = isinstance(digest, str) and isinstance(replaced, dict) and isinstance(sizes, dict)
    cited = require(given and theorem.earlier.get(digest), "no earlier theorem has that hash")
    mapped: dict[str, Any] = {str(old): size(new) for old, new in sizes.items()}
    put: dict[str, Sum] = {}
    for name, symbol in cited.symbols.items():
        rows, columns = mapped.get(str(symbol.rows), symbol.rows), mapped.get(str(symbol.columns), symbol.columns)
        if name not in replaced:
            same = theorem.declared.get(name) == symbol.declared and (rows, columns) == (symbol.rows, symbol.columns)
            same = same and theorem.meanings.get(name) == cited.meanings.get(name)
            require(same and (name not in cited.meanings or not replaced), f"{name} has to be replaced")
            put[name] = theorem.lookup(name)
            continue
        made = put[name] = read_sum(replaced[name], rows, columns, theorem.lookup)
        definite = made.terms and all(c > 0 for c in made.terms.values()) and all(s.positive for s in made.symbols)
        definite = definite and (made.is_number or [len(word) for _, word in made.terms] == [1])
        turned_over = made.T if symbol.kind == "symmetric" else Sum(made.columns, made.rows).plus(made.T, -1)
        kinds = {"scalar": made.is_number, "diagonal": made.is_diagonal, "general": True}
        of_kind = kinds.get(symbol.kind, made == turned_over)
        fits = of_kind and (definite or not symbol.positive) and name not in cited.meanings and symbol.square is None
        require(fits, f"{name} does not stand for {replaced[name][:40]}")

    def placed(given: Any) -> Statement:
        sides = {s: [mapped.get(str(d), d) for d in given[s]] for s in ("rows", "columns") if s in given}
        return read_statement(given | sides, lambda name: put[cited.symbol(name).name])

    fits = cited.conclusion is not None and not any(old.isdigit() for old in mapped)
    require(fits, "a layer is not cited, nor is a size that is a number another one")
    for given, reference in zip(cited.given, items(references, len(cited.given)), strict=True):
        made = placed(given)
        require(theorem.fact(reference, made.kind) == made, "a hypothesis is not what is known here")
    return placed(cited.conclusion)


AXIOMS = (cite, dominance, trace, diagonal_trace, diagonal_product, cauchy_schwarz, crop)
STEPS: dict[str, Callable[[Theorem, Any], Statement]] = {"sum": Theorem.by_sum, "equality": Theorem.by_equality}
STEPS |= {axiom.__name__.replace("_", "-"): axiom for axiom in AXIOMS}


# ------------------------------------------------------------ files
def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, in which no key may occur twice."""
    require(len(dict(pairs)) == len(pairs), "an object has a key twice")
    return dict(pairs)


def check_proof(document: Any) -> list[Theorem]:
    """The theorems of a document, all proved; raises `Rejected`."""
    form, version, theorems, _, _ = members(document, "format version theorems", "title source")
    require((form, version) == (FORMAT, VERSION), f"not of the format {FORMAT}, version {VERSION}")
    proved: list[Theorem] = []
    Sum.products = 0
    for value in items(theorems):
        try:
            proved.append(Theorem(value, {t.hash: t for t in proved}))
        except (Rejected, RecursionError, OverflowError, MemoryError) as reason:
            name = value.get("name") if isinstance(value, dict) else None
            raise Rejected(f"theorem {str(name)[:60]!r}: {reason or 'too large'}") from None
    require(proved, "the document has no theorems")
    return proved


def read_proof(path: str | Path) -> Any:
    """The document of a file; raises `Unreadable` if there is none, `Rejected` if an object has a key twice."""
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise Unreadable(f"{path}: larger than {MAX_BYTES} bytes")
        return json.loads(Path(path).read_bytes(), object_pairs_hook=unrepeated)
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: cannot be read: {error}") from None


def main(arguments: list[str]) -> int:
    """Check files: 0 if all are proved, 1 if one is rejected, 2 without files or if one cannot be read."""
    worst = 0 if arguments else 2
    for path in arguments:
        try:
            print("\n\n".join(f"{theorem}\n  proved" for theorem in check_proof(read_proof(path))))
        except Unreadable as reason:
            print(reason, file=sys.stderr)
            worst = 2
        except Rejected as reason:
            print(f"{path}: REJECTED: {reason}", file=sys.stderr)
            worst = max(worst, 1)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
