"""The matrix D M D of the condition in the blocks of the network: rounded, and known with bounds of its errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np

from sdpcert.arithmetic.arrays import NumpyArrays
from sdpcert.arithmetic.blas import product
from sdpcert.arithmetic.exact import Total, add_product, two_product
from sdpcert.certificate.block_total import BlockTotal
from sdpcert.certificate.input_factor import InputFactor
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination
from sdpcert.network.stacked import Block, StackedForm

Array = np.ndarray
#: Products of multipliers and slopes below this lose bits to underflow: such points are not proved.
SMALLEST = 2.0**-900


class ScaledMatrix:
    """D M D of a form for one point after another, D a diagonal matrix of powers of two.

    The output is scaled by `2**-exponent`; with an input factor its rows stand for those that read the input.
    """

    def __init__(self, form: StackedForm, exponent: int, input_factor: InputFactor | None) -> None:
        self.inputs = form.inputs
        self.blocks = dict(form.blocks)
        if input_factor is not None:
            self.inputs = len(input_factor.weights)
            first = 0
            for key in sorted(k for k in form.blocks if k[1] == 0):
                size = len(form.blocks[key].weights)
                self.blocks[key] = Block(input_factor.weights[first : first + size])
                first += size
        for key, block in self.blocks.items():
            if key[0] == form.output_row:
                self.blocks[key] = _times_power(block, -exponent)
        self.output_row = form.output_row
        sizes = [self.inputs, *(g.size for g in form.groups)]
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        self.slices = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
        self.order = int(bounds[-1])
        self.slopes = [(g.alpha, g.beta) for g in form.groups]
        self.elimination = Elimination.of(self.slices, self.pattern())

    def pattern(self) -> Iterator[tuple[int, int]]:
        """Pairs of sources where M may not be zero."""
        for to, row in self.rows(self.blocks):
            if to < self.output_row:
                yield from ((to, source) for source in row)
            if self.is_squared(to):
                yield from ((s, t) for s in row for t in row)

    def is_squared(self, to: int) -> bool:
        """Whether M may have terms `k_i k_i'` of the rows k_i of `to`."""
        if to == self.output_row:
            return True
        alpha, beta = self.slopes[to - 1]
        return bool(np.any((alpha != 0) & (beta != 0)))

    @cached_property
    def widths(self) -> Array:
        """For each coordinate the number of coordinates that its row may meet, after elimination too."""
        sizes = self.elimination.sizes
        widths = list(sizes)
        for j, later in enumerate(self.elimination.later):
            for i in later:
                widths[i] += sizes[j]
                widths[j] += sizes[i]
        result = np.zeros(self.order)
        for own, width in zip(self.elimination.slices, widths, strict=True):
            result[own] = width
        return result

    def diagonal(self, rho: float, multipliers: tuple[Array, ...]) -> Array:
        """The diagonal of M in float64."""
        diagonal = self.lead(rho, multipliers)
        for (to, source), block in self.blocks.items():
            squared = np.square(block.weights)
            if to == self.output_row:
                diagonal[self.slices[source]] -= squared.sum(axis=0)
            else:
                alpha, beta = self.slopes[to - 1]
                diagonal[self.slices[source]] += (2 * multipliers[to - 1] * alpha * beta) @ squared
        return diagonal

    def underflows(self, multipliers: tuple[Array, ...]) -> bool:
        """Whether a product of a multiplier and slopes is nonzero but too small for error-free arithmetic."""
        for t, (alpha, beta) in zip(multipliers, self.slopes, strict=True):
            square = (t != 0) & (alpha != 0) & (beta != 0)
            products = [
                t[t != 0],
                (t * (alpha + beta))[(t != 0) & (alpha + beta != 0)],
                (t * alpha)[square],
                (t * alpha * beta)[square],
            ]
            if any(np.any(np.abs(p) < SMALLEST) for p in products):
                return True
        return False

    def approximate(
        self,
        rho: float,
        multipliers: tuple[Array, ...],
        unit: Array,
        blocks: dict[tuple[int, int], Block] | None = None,
    ) -> BlockMatrix:
        """`D M D` in float64, D the diagonal matrix of `unit`; every entry rounded, no bound of the errors.

        `blocks` are those of the problem unless given.
        """
        matrix = BlockMatrix.zeros(NumpyArrays(), self.elimination)
        matrix.own = self.lead(rho, multipliers) * unit * unit
        for to, row in self.rows(self.blocks if blocks is None else blocks):
            scaled = {s: block.weights * unit[self.slices[s]] for s, block in row.items()}
            mixed, square = self.factors(to, multipliers, unit)
            if to < self.output_row:
                for s, weights in scaled.items():
                    matrix.add(self.slices, to, s, mixed[:, None] * weights)
            if np.any(square):
                for s, left in scaled.items():
                    for t, right in scaled.items():
                        if t <= s:
                            matrix.add(self.slices, s, t, product((square[:, None] * left).T, right))
        return matrix

    def factors(self, to: int, multipliers: tuple[Array, ...], unit: Array) -> tuple[Array, Array]:
        """For the rows k_i of `to` the factors of `e_i k_i' + k_i e_i'`, e_i times `unit`, and of `k_i k_i'`.

        Those of the first kind are zero for the output.
        """
        if to == self.output_row:
            count = len(next(block.weights for (t, _), block in self.blocks.items() if t == to))
            return np.zeros(count), -np.ones(count)
        (alpha, beta), t = self.slopes[to - 1], multipliers[to - 1]
        return -t * (alpha + beta) * unit[self.slices[to]], 2 * t * alpha * beta

    def bounded(self, rho: float, multipliers: tuple[Array, ...], scaling: Array) -> tuple[BlockTotal, Array]:
        """`D M D` with error bounds, and the row sums of what the radii of the blocks can change."""
        allowances = np.zeros(self.order)
        unit = np.ldexp(1.0, -scaling)
        diagonal = np.ldexp(self.lead(rho, multipliers), -2 * scaling)
        total = BlockTotal(self.elimination, self.slices, diagonal)
        for to, row in self.rows(self.blocks):
            if to < self.output_row:
                alpha, beta = self.slopes[to - 1]
                self._couple(total, allowances, to, row, multipliers[to - 1], scaling)
                weight = two_product(2 * multipliers[to - 1], alpha)
                weight = _times(weight, beta)
            else:
                weight = (-np.ones(len(next(iter(row.values())).weights)), np.zeros(1))
            if np.any(weight[0]):
                self._square(total, allowances, row, weight, scaling, unit)
        return total, allowances * (1 + 1e-10)

    def lead(self, rho: float, multipliers: tuple[Array, ...]) -> Array:
        """The diagonal of M without the terms that hold weights: rho, and twice the multipliers."""
        return np.concatenate([np.full(self.inputs, rho), *(2 * t for t in multipliers)])

    def rows(self, blocks: dict[tuple[int, int], Block]) -> Iterator[tuple[int, dict[int, Block]]]:
        """What each row reads, from the first to the output's; rows that read nothing are left out."""
        found: dict[int, dict[int, Block]] = {}
        for (to, source), block in sorted(blocks.items()):
            found.setdefault(to, {})[source] = block
        yield from found.items()

    def _couple(
        self, total: BlockTotal, allowances: Array, to: int, row: dict[int, Block], multipliers: Array, scaling: Array
    ) -> None:
        """Entries `-lambda_i (alpha_i + beta_i) k_ij`."""
        alpha, beta = self.slopes[to - 1]
        own = self.slices[to]
        slope = alpha + beta
        back = slope - alpha
        slope_low = (alpha - (slope - back)) + (beta - back)
        high, low = two_product(-multipliers, slope)
        low = low - multipliers * slope_low
        high, low = np.ldexp(high, -scaling[own])[:, None], np.ldexp(low, -scaling[own])[:, None]
        for source, block in row.items():
            other = self.slices[source]
            weights = np.ldexp(block.weights, -scaling[other][None, :])
            entry, rest = two_product(high, weights)
            rest = rest + low * weights
            # Scaling may have rounded a weight below the smallest normal number.
            error = 2.0**-100 * np.abs(entry) + np.finfo(float).tiny * (16 + np.abs(high))
            if block.low is not None:
                lower = np.ldexp(block.low, -scaling[other][None, :])
                rest = rest + high * lower
                error = (
                    error + 2.0**-50 * np.abs(high * lower) + np.abs(low * lower) + np.finfo(float).tiny * np.abs(high)
                )
            error = np.where(block.nonzero, error, 0.0)
            total.add(to, source, Total.of(entry, rest, error))
            if block.radius > 0:
                reach = np.abs(high[:, 0]) * (1 + 1e-15) * block.radius
                unit = np.ldexp(1.0, -scaling[other])
                # An allowance that underflows must not vanish: a coordinate without diagonal can bear none at all.
                moved = (multipliers != 0) & (slope != 0)
                allowances[own] += reach * unit.sum() + np.where(moved, np.finfo(float).tiny, 0.0)
                allowances[other] += unit * reach.sum() + (np.finfo(float).tiny if np.any(moved) else 0.0)

    def _square(
        self,
        total: BlockTotal,
        allowances: Array,
        row: dict[int, Block],
        weight: tuple[Array, Array],
        scaling: Array,
        unit: Array,
    ) -> None:
        """Entries `sum_i w_i k_ij k_il` (activations with alpha beta != 0, and -F'F)."""
        size = np.abs(weight[0]) * (1 + 1e-15)
        scaled = {s: np.ldexp(block.weights, -scaling[self.slices[s]][None, :]) for s, block in row.items()}
        lower = {
            s: np.ldexp(block.low, -scaling[self.slices[s]][None, :])
            for s, block in row.items()
            if block.low is not None
        }
        sizes = {s: np.abs(scaled[s]) + np.abs(lower[s]) if s in lower else np.abs(scaled[s]) for s in row}
        for s in row:
            high, low = two_product(weight[0][:, None], scaled[s])
            low = low + weight[1][:, None] * scaled[s]
            unsure = None
            if s in lower:
                more = weight[0][:, None] * lower[s]
                low = low + more
                unsure = 2.0**-50 * np.abs(more) + np.abs(weight[1][:, None] * lower[s])
            for t in row:
                if t > s:
                    continue
                part = Total(np.zeros((scaled[s].shape[1], scaled[t].shape[1])))
                add_product(part, np.ascontiguousarray(high.T), np.ascontiguousarray(scaled[t].T))
                inner = len(high)
                spill = np.abs(low).T @ np.abs(scaled[t])
                part.add(low.T @ scaled[t], (inner + 4) * 2.0**-52 * spill)
                if unsure is not None:
                    part.error += (unsure.T @ sizes[t]) * (1 + inner * 2.0**-51)
                if t in lower:
                    spill = np.abs(high).T @ np.abs(lower[t])
                    missing = (np.abs(low).T @ np.abs(lower[t])) * (1 + inner * 2.0**-51)
                    part.add(high.T @ lower[t], (inner + 4) * 2.0**-52 * spill + missing)
                bound = np.abs(high).T @ sizes[t]
                touched = bound > 0
                if not np.all(touched):  # zero, or so small that the product vanished
                    used = weight[0] != 0
                    touched = row[s].nonzero[used].T.astype(float) @ row[t].nonzero[used] > 0
                rounded = (size @ sizes[s])[:, None] + size @ sizes[t]  # weights below normal numbers
                part.error += 2.0**-98 * bound + np.finfo(float).tiny * (64 * inner + 2 * rounded) * touched
                if s == t:  # keep exact symmetry: the lower triangle rules
                    part.high = np.tril(part.high) + np.tril(part.high, -1).T
                    part.low = np.tril(part.low) + np.tril(part.low, -1).T
                    part.error = np.maximum(part.error, part.error.T)
                total.add(s, t, part)
        for s, left in row.items():
            for t, right in row.items():
                if left.radius == 0 and right.radius == 0:
                    continue
                rows_t = sizes[t].sum(axis=1)
                width = unit[self.slices[t]].sum()
                reach = left.radius * rows_t + left.radius * right.radius * width
                allowances[self.slices[s]] += unit[self.slices[s]] * (size @ reach)
                allowances[self.slices[s]] += (size * right.radius * width) @ sizes[s]
                if left.radius > 0:
                    allowances[self.slices[s]] += np.finfo(float).tiny
                else:
                    allowances[self.slices[s]] += np.where(
                        np.any(left.nonzero[weight[0] != 0], axis=0), np.finfo(float).tiny, 0.0
                    )


def _times_power(block: Block, exponent: int) -> Block:
    """A block times a power of two, with what that loses in its radius."""
    weights, radius = np.ldexp(block.weights, exponent), float(np.ldexp(block.radius, exponent))
    low = None if block.low is None else np.ldexp(block.low, exponent)
    lost = np.any(np.ldexp(weights, -exponent) != block.weights) or math.ldexp(radius, -exponent) < block.radius
    if lost or (low is not None and np.any(np.ldexp(low, -exponent) != block.low)):
        radius += np.finfo(float).tiny
    return Block(weights, radius, low=low)


def _times(pair: tuple[Array, Array], factor: Array) -> tuple[Array, Array]:
    high, low = two_product(pair[0], factor)
    return high, low + pair[1] * factor
