"""Instances: numbers for all symbols of a claim, exact ones for proofs and refutations, floats for searches.

Free symbols have parameters, which are drawn or given; everything else follows from them. The same definitions serve
both kinds of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.exact import Root2, indefinite, inverse, rational, root_above, unit
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.symbols import Dimension, Symbol

Array = np.ndarray


class Draw(NamedTuple):
    """The name of further free numbers that a definition asks for, and whether they are positive."""

    name: str
    positive: bool


class Instance:
    """Values for symbols: `value(expression)` is a matrix of them.

    `sizes` gives the named dimensions. Parameters are numerators within `magnitude` over denominators up to
    `denominator`, unless given; they stay rational. `roots` are the symbols that need rational square roots. Symbols in
    `unsampled` are drawn as free ones of their kind, whatever their samplers would choose. With `exact=False`
    everything is computed in floats. Free symbols that are not positive are multiplied by
    `shrink`.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        rng: np.random.Generator | None = None,
        magnitude: int = 3,
        denominator: int = 2,
        parameters: Mapping[Symbol | Draw, Array] | None = None,
        roots: Iterable[Symbol] = (),
        exact: bool = True,
        unsampled: Iterable[Symbol] = (),
        shrink: Fraction = Fraction(1),
    ) -> None:
        self.sizes = dict(sizes)
        self.rng = rng or np.random.default_rng(0)
        self.magnitude, self.denominator, self.exact, self.shrink = magnitude, denominator, exact, shrink
        self.parameters: dict[Symbol | Draw, Array] = dict(parameters or {})
        #: Whether a root had to be rounded up, so that a defined symbol is not exactly what its formula says.
        self.rounded = False
        self.roots, self.unsampled = set(roots), frozenset(unsampled)
        self._values: dict[Symbol, Array] = {}
        self._expressions: dict[Expression, Array] = {}
        self._orthogonal: dict[tuple[str, int], Array] = {}

    def again(self, exact: bool = True) -> Instance:
        """A new instance of the same sizes and parameters, in which everything else is computed anew."""
        parameters = self.parameters if exact else {s: v.astype(float) for s, v in self.parameters.items()}
        made = Instance(self.sizes, parameters=parameters, roots=self.roots, exact=exact)
        made.unsampled = self.unsampled
        return made

    # What definitions use

    def size(self, dimension: Dimension) -> int:
        """The number that a dimension has here."""
        if isinstance(dimension, str) and dimension not in self.sizes:
            raise ValueError(f"the dimension {dimension} occurs only inside a definition: give it a size in the claim")
        return dimension if isinstance(dimension, int) else self.sizes[dimension]

    def value(self, expression: Expression | Block) -> Array:
        """The matrix that an expression or a block matrix is here."""
        if isinstance(expression, Block):
            return np.concatenate(
                [np.concatenate([self.value(e) for e in row], axis=1) for row in expression.entries], axis=0
            )
        if expression not in self._expressions:
            self._expressions[expression] = self._evaluate(expression)
        return self._expressions[expression]

    def number(self, expression: Expression) -> Any:
        """The number that a 1 x 1 expression is here."""
        return self.value(expression)[0, 0]

    def draw(self, name: str, rows: int, columns: int, positive: bool = False) -> Array:
        """Further free numbers for a definition, a matrix; kept by `name`."""
        return self._drawn(Draw(name, positive), (rows, columns), positive)

    def choose(self, name: str, count: int) -> int:
        """A free choice out of `count` for a definition."""
        self.draw(f"{name} choice", 1, 1)
        value = Fraction(self.parameters[Draw(f"{name} choice", False)][0, 0])
        return (2 * value.numerator + value.denominator) % count

    def array(self, values: Any) -> Array:
        """Numbers of this instance's kind."""
        return rational(values) if self.exact else np.asarray(values, dtype=float)

    def diagonal(self, values: Any) -> Array:
        """A diagonal matrix."""
        made = self.identity(len(values))
        for k, value in enumerate(values):
            made[k, k] = value
        return made

    def identity(self, size: int) -> Array:
        """An identity matrix."""
        return unit(size) if self.exact else np.eye(size)

    def inverse(self, matrix: Array) -> Array:
        """The inverse; raises ZeroDivisionError if there is none."""
        return inverse(matrix)

    def root(self, value: Any) -> Any:
        """A square root, rounded up to a rational number in exact instances: for scales that may be anything."""
        return root_above(value) if self.exact else max(float(value), 0.0) ** 0.5

    def exact_root(self, value: Any) -> Any:
        """A square root that a formula asks for: `rounded` tells whether one had to be rounded up."""
        root = self.root(value)
        self.rounded |= self.exact and root**2 != value
        return root

    def orthogonal(self, name: str, size: int) -> Array:
        """A free orthogonal matrix: the Cayley transform of a free skew matrix, with free signs; kept by `name`."""
        if (name, size) in self._orthogonal:
            return self._orthogonal[name, size].copy()
        free = self.draw(name, size, size)
        skew, one = free - free.T, self.identity(size)
        made = self.inverse(one + skew) @ (one - skew)
        signs = self.draw(f"{name} signs", size, 1)
        made = made * self.array([[-1 if signs[k, 0] < 0 else 1 for k in range(size)]])
        self._orthogonal[name, size] = made
        return made.copy()

    def norm_above(self, matrix: Array) -> Any:
        """A rational number r >= |matrix|^2, from the numerical norm where that can be confirmed, else the trace."""
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        if not self.exact and not np.isfinite(gram).all():
            raise ZeroDivisionError("the matrix is not finite")
        if not gram.size:
            return self.array([0])[0]
        greatest = float(np.linalg.eigvalsh(gram.astype(float))[-1])
        if not self.exact:
            return greatest
        for slack in (0.0, 1e-6, 1e-3):
            bound = Fraction(greatest * (1 + slack)).limit_denominator(1000)
            bound += Fraction(int(slack > 0), 1000)
            if indefinite(unit(len(gram)) * bound - gram) is None:
                return bound
        return sum(gram[k, k] for k in range(len(gram)))

    # How values come about

    def _evaluate(self, expression: Expression) -> Array:
        rows, columns = self.size(expression.rows), self.size(expression.columns)
        result = self.array(np.zeros((rows, columns), dtype=int).tolist()).reshape(rows, columns)
        for (monomial, word), coefficient in expression.terms.items():
            factor: Any = coefficient if self.exact else float(coefficient)
            for symbol, exponent in monomial:
                factor = factor * self._power(self._symbol(symbol)[0, 0], exponent, symbol)
            product: Array | None = None
            for letter in word:
                value = self._symbol(letter.symbol)
                if letter.transposed:
                    value = value.T
                elif letter.exponent != 1:
                    value = self._matrix_power(letter.symbol, value, letter.exponent)
                product = value if product is None else product @ value
            result = result + factor * (self.identity(rows) if product is None else product)
        return result

    def _power(self, value: Any, exponent: Fraction, symbol: Symbol) -> Any:
        if exponent.denominator == 1:
            return value ** int(exponent)
        if not self.exact:
            return float(value) ** float(exponent)
        root = root_above(value)
        if exponent.denominator != 2 or root**2 != value:
            raise ValueError(f"{symbol.name}^{exponent} is not rational here")
        return root**exponent.numerator

    def _matrix_power(self, symbol: Symbol, value: Array, exponent: Fraction) -> Array:
        if symbol.kind == "diagonal":
            return self.diagonal([self._power(value[k, k], exponent, symbol) for k in range(len(value))])
        base = inverse(value) if exponent < 0 else value
        result = base
        for _ in range(abs(int(exponent)) - 1):
            result = result @ base
        return result

    def _symbol(self, symbol: Symbol) -> Array:
        if symbol not in self._values:
            is_free = symbol.definition is None or symbol in self.unsampled
            value = self._free(symbol) if is_free or symbol.definition is None else symbol.definition(self)
            if symbol in self.roots and self.exact:
                for k in range(len(value)):
                    squared = root_above(value[k, k]) ** 2
                    # A free symbol may have any value; a defined one is no longer what it should be.
                    self.rounded |= not is_free and squared != value[k, k]
                    value[k, k] = squared
            shape = (self.size(symbol.rows), self.size(symbol.columns))
            self._values[symbol] = np.asarray(value).reshape(shape)
        return self._values[symbol]

    def _free(self, symbol: Symbol) -> Array:
        rows, columns = self.size(symbol.rows), self.size(symbol.columns)
        if symbol.square is not None:
            if symbol.square != 2:
                raise ValueError(f"only the root of 2 is available, not that of {symbol.square}")
            made = np.empty((1, 1), dtype=object if self.exact else float)
            made[0, 0] = Root2(0, 1) if self.exact else 2**0.5
            return made
        if symbol.kind in ("diagonal", "scalar"):
            return self.diagonal(list(self._drawn(symbol, (rows,), symbol.positive)))
        values = self._drawn(symbol, (rows, columns), False)
        if symbol.kind == "symmetric":
            if symbol.positive:
                return values @ values.T + self.identity(rows) * self.array([Fraction(1, 4)])[0]
            return values + values.T
        return values - values.T if symbol.kind == "skew" else values

    def _drawn(self, symbol: Symbol | Draw, shape: tuple[int, ...], positive: bool) -> Array:
        if symbol not in self.parameters:
            top = self.rng.integers(1 if positive else -self.magnitude, self.magnitude + 1, size=shape)
            bottom = self.rng.integers(1, self.denominator + 1, size=shape)
            values = np.empty(shape, dtype=object)
            for index in np.ndindex(shape):
                values[index] = Fraction(int(top[index]), int(bottom[index]))
                if isinstance(symbol, Symbol) and not symbol.positive:
                    values[index] *= self.shrink
            if symbol in self.roots:
                values = values**2
            self.parameters[symbol] = values
        values = self.parameters[symbol]
        if self.exact:
            return values.copy()
        return np.maximum(np.abs(values.astype(float)), 1e-3) if positive else values.astype(float)
