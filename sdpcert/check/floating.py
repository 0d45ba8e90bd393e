"""The condition of a network on a torus proved in floating point with rigorous error bounds; needs NumPy.

D M(k) D is formed in float64 at every frequency with a bound for every entry's error, as a real symmetric matrix of
twice the order; the row sums of the bounds are taken off the diagonal, and what is left is proved positive definite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .reading import Rejected
from .rounding import RANGE, SLACK, SMALLEST, gamma, is_definite, product, require_rounding_to_nearest
from .torus import Torus
from .torus_integers import BITS, Roots

Array = np.ndarray

CHUNK = 16


class TorusMatrices:
    """D M(k) D of a torus condition in floating point, and what errors take off the diagonal."""

    def __init__(self, condition: Torus) -> None:
        self.condition = condition
        sizes, last = condition.sizes, len(condition.sizes) - 1
        self.start = np.concatenate([[0], np.cumsum(sizes[:last])]).astype(int)
        self.order, self.last = int(self.start[-1]), last
        self.down = np.ldexp(1.0, -np.array(condition.scaling, dtype=int)) if self.order else np.zeros(0)
        join = lambda arrays: np.concatenate([np.zeros(0), *(np.array(a) for a in arrays)])  # noqa: E731
        self.weight = join(condition.multipliers)
        self.alpha, self.beta = join(condition.alpha), join(condition.beta)
        inner = sizes[0]
        own = self.down[inner:]
        self.mixed = -product(self.weight, self.alpha + self.beta) * own
        self.square = 2 * product(self.weight, product(self.alpha, self.beta))
        cells = float(condition.cells if condition.pooled else 1)
        # The power is exact: a power of two, or zero if it underflows, which `product` would not notice.
        if not 4.0**-condition.exponent >= SMALLEST:
            raise Rejected(RANGE)
        self.metric = product(np.array(condition.metric), np.array(4.0**-condition.exponent), np.array(cells))
        self.diagonal = np.concatenate([np.full(inner, condition.rho), 2 * self.weight]) * self.down * self.down
        # Columns are scaled at once, so that all numbers are near one and underflow is far below the error sums.
        self.taps, self.sums, self.radii = [], [], []
        for block in condition.blocks:
            raw = np.array([np.array(t) for t in block.weights]).reshape(len(block.weights), block.rows, block.columns)
            column = self.down[self.slice(block.source)]
            scaled = raw * column
            if np.any(scaled / column != raw):
                raise Rejected(RANGE)
            self.taps.append(scaled)
            self.sums.append(np.abs(scaled).sum(axis=0) * (1 + gamma(len(raw) + 1)))
            self.radii.append(len(raw) * block.radius * column * SLACK)
        for values in (self.mixed, self.square, self.metric, self.diagonal, *self.sums, *self.radii):
            if not np.all(np.isfinite(values)) or np.any(np.abs(values) > 1e100):
                raise Rejected(RANGE)
        for values in (self.weight, self.mixed, self.square, self.metric, self.diagonal):
            if np.any((values != 0) & (np.abs(values) < SMALLEST)):
                raise Rejected(RANGE)
        self.roots = Roots(math.lcm(*condition.torus))
        self.errors = self._error_sums()

    def slice(self, g: int) -> slice:
        """Coordinates of source g."""
        return slice(int(self.start[g]), int(self.start[g + 1]))

    def _error_sums(self) -> Array:
        """Row sums of a matrix that bounds the errors of all entries at every frequency."""
        error, size = np.zeros((self.order, self.order)), np.zeros((self.order, self.order))
        inner = self.condition.sizes[0]
        every = list(zip(self.condition.blocks, self.taps, self.sums, self.radii, strict=True))
        for block, taps, first, radius in every:
            # Real and imaginary part are sums over taps of weights times roots that are off by one rounding.
            unsure = gamma(len(taps) + 3) * first + radius
            source = self.slice(block.source)
            if block.target < self.last:
                own = self.slice(block.target)
                weight = np.abs(self.mixed[own.start - inner : own.stop - inner])[:, None]
                for target, amount in ((error, unsure + gamma(6) * (first + unsure)), (size, first + unsure)):
                    target[own, source] += weight * amount
                    target[source, own] += (weight * amount).T
            heavy = self._heavy(block.target)[:, None]
            for other, more, second, more_radius in every:
                if other.target == block.target:
                    also = gamma(len(more) + 3) * second + more_radius
                    whole = (first + unsure).T @ (heavy * (second + also))
                    columns = self.slice(other.source)
                    error[source, columns] += (first + unsure).T @ (heavy * also) + unsure.T @ (heavy * (second + also))
                    error[source, columns] += gamma(2 * len(heavy) + 12) * whole
                    size[source, columns] += whole
        # Contributions to one entry are added up, and the matrix is made symmetric.
        error += gamma(len(every) ** 2 + 8) * size
        error.reshape(-1)[:: self.order + 1] += gamma(len(every) ** 2 + 12) * self.diagonal
        # Twice: a row of the real form has the real and the imaginary parts.
        # Underflow in scaled weights and radii, 5e-324 each, meets two numbers of up to 1e100 at most.
        return 2 * error.sum(axis=1) * SLACK * (1 + gamma(self.order)) + 1e-100 * self.order**2

    def _heavy(self, target: int) -> Array:
        if target == self.last:
            return np.abs(self.metric)
        first = int(self.start[target]) - self.condition.sizes[0]
        return np.abs(self.square[first : first + self.condition.sizes[target]])

    def at(self, frequencies: list[tuple[int, int]]) -> Iterator[Array]:
        """The matrices at some frequencies: real symmetric, of twice the order (of the order if k = -k)."""
        rows, columns = self.condition.torus
        symbols = []
        for block, taps in zip(self.condition.blocks, self.taps, strict=True):
            turns = [
                [
                    k[0] * a * (self.roots.whole // rows) + k[1] * b * (self.roots.whole // columns)
                    for a, b in block.offsets
                ]
                for k in frequencies
            ]
            exact = [[self.roots.at(t) for t in row] for row in turns]
            scale = 1 << BITS
            # Division of integers rounds correctly.
            cosines = np.array([[c / scale for c, _ in row] for row in exact])
            sines = np.array([[s / scale for _, s in row] for row in exact])
            flat = taps.reshape(len(taps), -1)
            shape = (len(frequencies), block.rows, block.columns)
            symbols.append(((cosines @ flat).reshape(shape), (sines @ flat).reshape(shape)))
        for f, k in enumerate(frequencies):
            real = all(2 * k[a] % self.condition.torus[a] == 0 for a in range(2))
            yield self._assemble([(r[f], i[f]) for r, i in symbols], k, real)

    def _assemble(self, symbols: list[tuple[Array, Array]], k: tuple[int, int], real: bool) -> Array:
        n, inner = self.order, self.condition.sizes[0]
        re, im = np.zeros((n, n)), np.zeros((n, n))
        re.reshape(-1)[:: n + 1] = self.diagonal
        for block, (a, b) in zip(self.condition.blocks, symbols, strict=True):
            source = self.slice(block.source)
            if block.target < self.last:
                own = self.slice(block.target)
                weight = self.mixed[own.start - inner : own.stop - inner, None]
                re[own, source] += weight * a
                re[source, own] += (weight * a).T
                im[own, source] += weight * b
                im[source, own] -= (weight * b).T
                heavy = self.square[own.start - inner : own.stop - inner, None]
                if not np.any(heavy):
                    continue
            elif self.condition.pooled and k != (0, 0):
                continue
            else:
                heavy = -self.metric[:, None]
            for other, (c, d) in zip(self.condition.blocks, symbols, strict=True):
                if other.target == block.target:
                    columns = self.slice(other.source)
                    re[source, columns] += a.T @ (heavy * c) + b.T @ (heavy * d)
                    im[source, columns] += a.T @ (heavy * d) - b.T @ (heavy * c)
        re, im = (re + re.T) / 2, (im - im.T) / 2
        return re if real else np.block([[re, -im], [im, re]])


def prove(condition: Torus) -> None:
    """Prove that M(k) is positive semidefinite at every frequency; raise Rejected."""
    require_rounding_to_nearest()
    with np.errstate(all="ignore"):
        matrices = TorusMatrices(condition)
        frequencies = list(condition.frequencies())
        for first in range(0, len(frequencies), CHUNK):
            some = frequencies[first : first + CHUNK]
            for k, matrix in zip(some, matrices.at(some), strict=True):
                if not is_definite(matrix, matrices.errors):
                    raise Rejected(f"M is not proved positive definite at frequency {k}")
