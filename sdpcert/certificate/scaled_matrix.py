"""The matrix D M D of the condition: rounded, and known with a bound of the error of every entry."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from sdpcert.arithmetic.blas import product
from sdpcert.arithmetic.exact import Total, add_product, two_product
from sdpcert.certificate.input_factor import InputFactor
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

    def diagonal(self, rho: float, multipliers: tuple[Array, ...]) -> Array:
        diagonal = np.full(self.order, rho)
        for g, t in enumerate(multipliers, start=1):
            diagonal[self.slices[g]] = 2 * t
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
    ) -> Array:
        """`D M D` in float64, D the diagonal matrix of `unit`; every entry rounded, no bound of the errors.

        `blocks` are those of the problem unless given.
        """
        blocks = self.blocks if blocks is None else blocks
        matrix = np.diag(np.concatenate([np.full(self.inputs, rho), *(2 * t for t in multipliers)]) * unit * unit)
        for to in range(1, self.output_row + 1):
            row = {s: block.weights * unit[self.slices[s]] for (t, s), block in blocks.items() if t == to}
            square = -np.ones(len(next(iter(row.values())))) if row else np.zeros(0)
            if to < self.output_row:
                alpha, beta = self.slopes[to - 1]
                mixed = -multipliers[to - 1] * (alpha + beta) * unit[self.slices[to]]
                square = 2 * multipliers[to - 1] * alpha * beta
                for s, weights in row.items():
                    part = mixed[:, None] * weights
                    matrix[self.slices[to], self.slices[s]] += part
                    matrix[self.slices[s], self.slices[to]] += part.T
            if np.any(square):
                for s, left in row.items():
                    for t, right in row.items():
                        matrix[self.slices[s], self.slices[t]] += product((square[:, None] * left).T, right)
        return matrix

    def bounded(self, rho: float, multipliers: tuple[Array, ...], scaling: Array) -> tuple[Total, Array]:
        """`D M D` with error bounds, and the row sums of what the radii of the blocks can change."""
        total = Total(np.zeros((self.order, self.order)))
        allowances = np.zeros(self.order)
        unit = np.ldexp(1.0, -scaling)
        diagonal = np.concatenate([np.full(self.inputs, rho), *(2 * t for t in multipliers)])
        total.high[np.diag_indices(self.order)] = np.ldexp(diagonal, -2 * scaling)
        for to in range(1, self.output_row + 1):
            row = {s: block for (t, s), block in self.blocks.items() if t == to}
            if to < self.output_row:
                alpha, beta = self.slopes[to - 1]
                self._couple(total, allowances, to, row, multipliers[to - 1], scaling)
                weight = two_product(2 * multipliers[to - 1], alpha)
                weight = _times(weight, beta)
            else:
                weight = (-np.ones(len(next(iter(row.values())).weights)) if row else np.zeros(0), np.zeros(1))
            if np.any(weight[0]):
                self._square(total, allowances, row, weight, scaling, unit)
        return total, allowances * (1 + 1e-10)

    def _couple(
        self, total: Total, allowances: Array, to: int, row: dict[int, Block], multipliers: Array, scaling: Array
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
            total.high[own, other], total.low[own, other], total.error[own, other] = entry, rest, error
            total.high[other, own], total.low[other, own], total.error[other, own] = entry.T, rest.T, error.T
            if block.radius > 0:
                reach = np.abs(high[:, 0]) * (1 + 1e-15) * block.radius
                unit = np.ldexp(1.0, -scaling[other])
                # An allowance that underflows must not vanish: a coordinate without diagonal can bear none at all.
                moved = (multipliers != 0) & (slope != 0)
                allowances[own] += reach * unit.sum() + np.where(moved, np.finfo(float).tiny, 0.0)
                allowances[other] += unit * reach.sum() + (np.finfo(float).tiny if np.any(moved) else 0.0)

    def _square(
        self,
        total: Total,
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
                _accumulate(total, part, self.slices[s], self.slices[t])
                if s != t:
                    _accumulate(total, part, self.slices[t], self.slices[s], transposed=True)
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


def _accumulate(total: Total, part: Total, rows: slice, columns: slice, transposed: bool = False) -> None:
    high, low, error = (a.T if transposed else a for a in (part.high, part.low, part.error))
    view = Total(total.high[rows, columns])
    view.low, view.error = total.low[rows, columns].copy(), total.error[rows, columns].copy()
    view.add(high)
    view.add(low, error)
    total.high[rows, columns], total.low[rows, columns], total.error[rows, columns] = view.high, view.low, view.error
