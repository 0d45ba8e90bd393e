"""The condition of a stacked form proved in floating point, block after block; needs NumPy.

A = D M D with D = diag(2^(-d)), which brings the diagonal near one, is formed from rows S = 2^e k D, with 2^(2e) about
the multiplier of the row, so that all numbers are near one, whatever the multipliers are. Errors of rounding and radii
are bounded by row sums, which are products of matrices and vectors. A wide input is replaced by a factor first.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .blocks import Block
from .condition_floating import input_factor
from .elimination import Elimination
from .factor_floating import prove_semidefinite
from .inequality import Inequality
from .reading import Rejected
from .rounding import RANGE, SLACK, SUBNORMAL, TINY, U, gamma, require_rounding_to_nearest

Array = np.ndarray

#: Scaled numbers are at most this, so that what underflow takes is far below `LOST` in every row sum.
LARGEST, LOST = 1e30, 1e-200
#: Multipliers and entries of the diagonal that are not zero lie between these.
LEAST, MOST = 1e-290, 1e290


def prove(inequality: Inequality, order: Sequence[int]) -> None:
    """Prove M positive semidefinite, the sources eliminated in some order; raise `Rejected` if it is not proved."""
    require_rounding_to_nearest()
    with np.errstate(all="ignore"):  # what overflows proves nothing
        if sum(block.rows for block in inequality.blocks if block.source == 0) < inequality.sizes[0]:
            inequality = with_smaller_input(inequality)
        elimination = Elimination.of(inequality.sizes[:-1], order, inequality.cliques())
        elimination.check_work()
        prove_semidefinite(ScaledMatrix(inequality, elimination))


def weights_of(block: Block) -> Array:
    """The weights of a block, rounded to float64 if it has a low part."""
    high = np.frombuffer(block.weights).reshape(block.rows, block.columns)
    return high if block.low is None else high + np.frombuffer(block.low).reshape(high.shape)


def blocks_of(inequality: Inequality) -> list[Block]:
    """The blocks of an inequality whose weights are all stated in float64, as those of a file are."""
    blocks = [block for block in inequality.blocks if isinstance(block, Block)]
    if len(blocks) < len(inequality.blocks):
        raise Rejected("weights in integers are proved in integers")
    return blocks


def with_smaller_input(inequality: Inequality) -> Inequality:
    """The inequality with an input of as many numbers as rows read it, whose bound is at least that of this one."""
    readers = [block for block in blocks_of(inequality) if block.source == 0]
    m = sum(block.rows for block in readers)
    rows = np.vstack([weights_of(block) for block in readers]) if readers else np.zeros((0, 0))
    errors = [np.full(block.rows, block.radius) for block in readers]
    relative = [np.full(block.rows, 0.0 if block.low is None else U) for block in readers]
    unsure = np.concatenate([np.zeros(0), *errors])[:, None] + np.concatenate([np.zeros(0), *relative])[
        :, None
    ] * np.abs(rows)
    unsure *= SLACK
    reading = np.flatnonzero(np.any((rows != 0) | (unsure != 0), axis=1)) if m else np.zeros(0, int)
    square = np.zeros((m, m))
    square[np.ix_(reading, reading)] = input_factor(rows[reading], unsure[reading])
    blocks, first = [], 0
    for block in blocks_of(inequality):
        if block.source:
            blocks.append(block)
        else:
            own = array("d", square[first : first + block.rows].tobytes())
            blocks.append(Block(block.target, 0, block.rows, m, 0.0, own))
            first += block.rows
    return inequality.reading(blocks, m)


@dataclass(frozen=True)
class Target:
    """The rows k_i of a group or of the output: M has `-(e_i k_i' + k_i e_i')` and `k_i k_i'` times factors.

    `linear` and `square` are the factors for the scaled rows 2^e k_i D, and for e_i in the place of e_i D; None if all
    are zero.
    """

    exponents: Array
    counted: Array  # rows with a factor that is not zero
    linear: Array | None
    square: Array | None


class ScaledMatrix:
    """D M D by blocks, in an order of elimination, with bounds of its errors."""

    def __init__(self, inequality: Inequality, elimination: Elimination) -> None:
        self.inequality, self.elimination = inequality, elimination
        self.blocks = {(block.target, block.source): block for block in blocks_of(inequality)}
        self.sources: dict[int, list[int]] = {}
        self.readers: dict[int, list[int]] = {}
        for target, source in self.blocks:
            self.sources.setdefault(target, []).append(source)
            self.readers.setdefault(source, []).append(target)
        self.last = len(inequality.sizes) - 1
        self.place = [0] * self.last
        for k, source in enumerate(elimination.order):
            self.place[source] = k
        self.starts = np.cumsum([0, *elimination.sizes])
        self.diagonal = [np.full(inequality.sizes[0], inequality.rho)]
        self.diagonal += [2 * np.array(numbers) for numbers in inequality.multipliers]
        self.exponents = [self._row_exponents(target) for target in range(1, self.last + 1)]
        self.scaling = [np.zeros(0, int)] * self.last
        self._scale()
        self.targets = {target: self._target(target) for target in self.sources}
        self.lost, self.mass = self._bounds()
        self.terms = 3 + max(map(len, self.readers.values()), default=0)

    # ------------------------------------------------------------ scaling

    def _row_exponents(self, target: int) -> Array:
        """e for each row of a target, zero where the multiplier is."""
        if target == self.last:
            return np.full(self.inequality.sizes[-1], -self.inequality.exponent)
        numbers = np.array(self.inequality.multipliers[target - 1])
        if np.any((numbers != 0) & ((numbers < LEAST) | (numbers > MOST))):
            raise Rejected(RANGE)
        return np.frexp(numbers)[1] // 2

    def _slopes(self, target: int) -> tuple[Array, Array]:
        return np.array(self.inequality.alpha[target - 1]), np.array(self.inequality.beta[target - 1])

    def _squares(self, target: int) -> Array:
        """The factors of k_i k_i' for the rows 2^e k_i."""
        if target == self.last:
            return np.full(self.inequality.sizes[-1], -1.0)
        alpha, beta = self._slopes(target)
        numbers = np.ldexp(np.array(self.inequality.multipliers[target - 1]), -2 * self.exponents[target - 1])
        return 2 * numbers * alpha * beta

    def _scale(self) -> None:
        """Set d; a coordinate that M has nothing but zeros for gets a diagonal of one."""
        approximate = [diagonal.copy() for diagonal in self.diagonal]
        used = [diagonal != 0 for diagonal in self.diagonal]
        for (target, source), block in self.blocks.items():
            square, weights = self._squares(target), weights_of(block)
            counted = square != 0
            if target < self.last:
                alpha, beta = self._slopes(target)
                counted |= (alpha + beta != 0) & (self.diagonal[target] != 0)
            if not np.all(used[source]):
                used[source] |= np.any(weights[counted] != 0, axis=0) | bool(block.radius and np.any(counted))
            if np.any(square):
                rows = np.ldexp(weights, self.exponents[target - 1][:, None])
                approximate[source] += (square[:, None] * rows * rows).sum(axis=0)
        for source, (numbers, taken) in enumerate(zip(approximate, used, strict=True)):
            numbers[~taken] = 1.0
            self.diagonal[source][~taken] = 1.0
            if not np.all((numbers > LEAST) & (numbers < MOST)):
                positive = np.all(numbers > 0)
                raise Rejected(RANGE if positive else "M is not proved positive semidefinite: its diagonal is not")
            self.scaling[source] = np.rint(np.log2(numbers) / 2).astype(int)

    def _target(self, target: int) -> Target:
        exponents, square = self.exponents[target - 1], self._squares(target)
        if target == self.last:
            return Target(exponents, square != 0, None, square)
        alpha, beta = self._slopes(target)
        numbers = np.ldexp(np.array(self.inequality.multipliers[target - 1]), -2 * exponents)
        linear = np.ldexp(numbers * (alpha + beta), exponents - self.scaling[target])
        for factors in (linear, square):
            if not np.all(np.abs(factors) <= LARGEST):
                raise Rejected(RANGE)
        counted = (linear != 0) | (square != 0)
        return Target(exponents, counted, linear if np.any(linear) else None, square if np.any(square) else None)

    def scaled(self, target: int, source: int) -> Array:
        """The rows 2^e k D of a block; zero where no factor is anything else."""
        rows = self.targets[target]
        result = np.ldexp(weights_of(self.blocks[target, source]), rows.exponents[:, None] - self.scaling[source])
        result[~rows.counted] = 0.0
        if not np.all(np.abs(result) <= LARGEST):
            raise Rejected(RANGE)
        return result

    # ------------------------------------------------------------ the matrix

    def span(self, source: int) -> slice:
        """The coordinates of a source, in the order of elimination."""
        return slice(int(self.starts[self.place[source]]), int(self.starts[self.place[source] + 1]))

    def column(self, k: int, rows: Array) -> Array:
        """The columns of the k-th block from its own rows on; `rows` are these and those of the later blocks."""
        source = self.elimination.order[k]
        found = np.zeros((len(rows), self.elimination.sizes[k]))
        first = {source: 0}
        for j in self.elimination.later[k]:
            first[self.elimination.order[j]] = int(np.searchsorted(rows, self.starts[j]))

        def add(other: int, values: Array) -> None:
            found[first[other] : first[other] + len(values)] += values

        for other in self.sources.get(source, ()):
            linear = self.targets[source].linear
            if linear is not None and self.place[other] > k:
                add(other, -(linear[:, None] * self.scaled(source, other)).T)
        for target in self.readers.get(source, ()):
            linear, square = self.targets[target].linear, self.targets[target].square
            own = self.scaled(target, source)
            if linear is not None and self.place[target] > k:
                add(target, -(linear[:, None] * own))
            for other in self.sources[target] if square is not None else ():
                if self.place[other] >= k:
                    also = own if other == source else self.scaled(target, other)
                    add(other, also.T @ (square[:, None] * own))  # type: ignore[index]
        diagonal = np.ldexp(self.diagonal[source], -2 * self.scaling[source])
        found.reshape(-1)[:: len(diagonal) + 1][: len(diagonal)] += diagonal
        return found

    # ------------------------------------------------------------ errors

    def _bounds(self) -> tuple[Array, Array]:
        """Row sums of bounds of the entries' errors, and of what the entries are sums of."""
        lost, mass = (np.full(int(self.starts[-1]), x) for x in (LOST, TINY))
        for source in range(self.last):
            mass[self.span(source)] += np.ldexp(self.diagonal[source], -2 * self.scaling[source])
        for target in self.sources:
            self._add_bounds(target, lost, mass)
        return lost * SLACK, mass * SLACK

    def _add_bounds(self, target: int, lost: Array, mass: Array) -> None:
        """Add what the rows k_i of one target contribute.

        An entry of a scaled row is unsure by `relative` times itself and by a radius r: 2^e_i r 2^(-d_j). With the row
        sums of |S| and of what is unsure, the sums over the entries (i, j), (j, i) and (j, l) are those of matrices
        times vectors.
        """
        rows = self.targets[target]
        n = len(rows.exponents)
        size, unsure = np.zeros(n), np.zeros(n)
        parts = []
        for source in self.sources[target]:
            block = self.blocks[target, source]
            values, relative = np.abs(self.scaled(target, source)), 0.0 if block.low is None else U
            radii = np.ldexp(block.radius, rows.exponents) + SUBNORMAL if block.radius else np.zeros(n)
            radii[~rows.counted] = 0.0
            across = np.ldexp(1.0, -self.scaling[source])
            own = values.sum(axis=1)
            size += own
            unsure += (relative * own + radii * across.sum()) * SLACK
            parts.append((self.span(source), values, relative, radii, across))
        size, unsure = size * SLACK + TINY, unsure * SLACK + TINY
        if rows.linear is not None:
            factors = np.abs(rows.linear)
            own = self.span(target)
            lost[own] += factors * (unsure + gamma(8) * size)
            mass[own] += factors * size
            for span, values, relative, radii, across in parts:
                sums = factors @ values
                lost[span] += (gamma(8) + relative) * sums + across * (factors @ radii)
                mass[span] += sums
        if rows.square is not None:
            factors = np.abs(rows.square)
            both = factors * (size + unsure)
            for span, values, relative, radii, across in parts:
                lost[span] += (relative * both + factors * (unsure + gamma(n + 12) * size)) @ values * SLACK
                lost[span] += across * (both @ radii) * SLACK
                mass[span] += (factors * size) @ values
