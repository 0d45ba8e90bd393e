"""Prove M(rho, lambda) >= 0 for a stacked form by an integer factor with a diagonally dominant residual.

The factor is a rounded floating-point Cholesky factor and needs no trust. What has to hold is `E = 2^(2q) D M D - L
L'` diagonally dominant, and that is decided here with `exact.Total`: every entry of E is known with a bound of its
error, and the error is charged to the row. Whatever is accepted here, exact integer arithmetic accepts too
(`docs/certificate-format.md`, `sdpcert.check`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.blas import cholesky, product
from sdpcert.arithmetic.exact import Total, add_product, two_product
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.closed_forms import closed_form

Array = np.ndarray
PRECISION = 50
#: Products of multipliers and slopes below this lose bits to underflow: such points are not proved.
SMALLEST = 2.0**-900
#: Joint scalings (1 + tau) that are tried, ascending; beyond the last one the proof fails closed.
REPAIRS = (0.0, *(10.0 ** (k / 2) for k in range(-28, -7)))
#: How much larger than what it has to balance the diagonal of a neuron that reads zero is made.
ROOM = 2.0**27
#: A row whose weights are no larger than this many radii reads nothing that is known.
UNKNOWN = 2.0**10


@dataclass(frozen=True, eq=False)
class InputFactor(ShortRepr):
    """R with R R' - G G' positive semidefinite, G the rows that read the input, and the row scaling of that proof."""

    weights: Array
    scaling: Array


@dataclass(frozen=True, eq=False)
class Proof(ShortRepr):
    """A proved point: rho and multipliers (after repair by 1 + tau) with scaling, integer factor, input factor."""

    rho: float
    multipliers: tuple[Array, ...]
    exponent: int
    tau: float
    scaling: Array
    factor: Array
    input_factor: InputFactor | None
    precision: int = PRECISION


class ProofProblem:
    """The matrix M of one network, ready to be proved for one point after another."""

    def __init__(self, form: StackedForm, exponent: int) -> None:
        self.form = form
        self.exponent = exponent
        self.input_factor = factor_input(form)
        self.inputs = form.inputs
        self.blocks = dict(form.blocks)
        if self.input_factor is not None:
            self.inputs = len(self.input_factor.weights)
            first = 0
            for key in sorted(k for k in form.blocks if k[1] == 0):
                size = len(form.blocks[key].weights)
                self.blocks[key] = Block(self.input_factor.weights[first : first + size])
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

    def prove(self, rho: float, multipliers: tuple[Array, ...], repairs: tuple[float, ...] = REPAIRS) -> Proof | None:
        """The first repair tau that makes the point provable, or None; rho grows by the factor 1 + tau.

        Half of tau scales rho and the multipliers jointly, which adds tau/2 F'F; the other half adds a multiple of
        `interior`, the multipliers of a strictly feasible point for the same rho, which also lifts directions that F
        does not see (measured: on an unrolled convolutional network joint scaling alone never got there).
        """
        lengthened = [np.array(t, dtype=float) for t in multipliers]
        if not (np.isfinite(rho) and rho >= 0 and all(np.all(np.isfinite(t)) for t in lengthened)):
            return None
        if not all(block.finite for block in self.blocks.values()):
            return None
        clamped = self._balanced(rho, [np.maximum(t, 0.0) for t in lengthened])
        self.shift = 0.0
        for tau in repairs:
            weights = [(1 + tau / 2) * t for t in clamped]
            if tau > 0:
                weights = [t + tau / 2 * rho * u for t, u in zip(weights, self.interior, strict=True)]
            proof = self._attempt(rho * (1 + tau), tuple(weights), tau)
            if proof is not None:
                return proof
        return None

    def _balanced(self, rho: float, multipliers: list[Array]) -> list[Array]:
        """The point with smaller multipliers of the neurons whose stated row is zero or drowned by the radii of its
        blocks.

        Next to nothing but these neurons themselves meets their multipliers, so that a solver drives them to infinity
        (or, where a row has weights of 1e-40, near their inverse squares), and the radius is added to the error bound
        with them. `ROOM` times what the diagonal has to balance keeps what it costs the rest and what
        the radius costs both small (the sum of 1 / ROOM and sqrt(ROOM) radius is least near radius^(-2/3)).
        """
        zeros = self._zeros()
        zero = np.concatenate([np.zeros(self.inputs, bool), *zeros])
        if not np.any(zero):
            return multipliers
        known = {
            (to, s): replace(block, weights=np.where(zeros[to - 1][:, None], 0.0, block.weights))
            if to < self.output_row
            else block
            for (to, s), block in self.blocks.items()
        }
        splits = np.cumsum([self.inputs, *(len(t) for t in multipliers)])[:-1]
        given = np.concatenate([np.full(self.inputs, rho), *multipliers])
        values = given.copy()
        for _ in range(2):  # the second time for neurons of this kind that meet each other
            point = np.split(values, splits)[1:]
            matrix = self._matrix(rho, tuple(point), np.ones(self.order), known)
            diagonal = matrix.diagonal().copy()
            np.fill_diagonal(matrix, 0.0)
            rest = np.abs(diagonal - 2 * values)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                met = np.where(diagonal > 0, np.square(matrix) / diagonal, 0.0).sum(axis=1)
            values = np.where(zero, np.minimum(given, ROOM * (rest + met)), given)
        return np.split(values, splits)[1:]

    def _zeros(self) -> list[Array]:
        """Which neurons of each group read nothing that is known: zero, or weights that the radii drown."""
        found = []
        for to, (alpha, _) in enumerate(self.slopes, start=1):
            row = [block for (t, _), block in self.blocks.items() if t == to]
            read = np.zeros(len(alpha), bool)
            for block in row:
                read |= np.any(block.size > UNKNOWN * block.radius, axis=1)
            found.append(~read & any(block.radius > 0 for block in row))
        return found

    @cached_property
    def interior(self) -> list[Array]:
        """Multipliers of a strictly feasible point for rho = 1, per group (zeros where there is none)."""
        if not self.slopes:
            return []
        point = closed_form(self.form, theta=0.4)
        inside = [t / point.rho if point.rho > 0 else t * 0 for t in point.multipliers]
        if not all(np.all(np.isfinite(t)) for t in inside):
            return [t * 0 for t in inside]
        return self._balanced(1.0, inside)

    def _attempt(self, rho: float, multipliers: tuple[Array, ...], tau: float) -> Proof | None:
        diagonal = self._diagonal(rho, multipliers)
        if not np.all(np.isfinite(diagonal)) or np.any(diagonal < 0) or self._underflows(multipliers):
            return None
        active = diagonal > 0
        exponent = np.where(active, np.frexp(np.where(active, diagonal, 1.0))[1], 0)
        scaling = exponent // 2
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if self.shift > 0 and not self._promising(rho, multipliers, scaling, active):
                return None
            total, charges = self._scaled_matrix(rho, multipliers, scaling)
        approximate = total.high + total.low
        if not np.all(np.isfinite(approximate)):
            return None
        if np.any(approximate[~active]) or np.any(total.error[~active]):
            return None
        core = approximate[np.ix_(active, active)]
        # What an earlier repair needed to drown its rounding is a good guess: it saves a product where Cholesky fails
        # anyway.
        shift = max(self.shift, 8 * 2.0**-53 * max(len(core), 1) ** 0.5 + 2 * float(np.max(charges, initial=0.0)))
        for _ in range(4):
            self.shift = shift
            factor = _rounded_cholesky(core, shift)
            if factor is None:
                return None
            full = np.zeros_like(approximate)
            full[np.ix_(active, active)] = factor
            missing = _missing_dominance(total, charges, full)
            if missing <= 0:
                integers = np.rint(np.ldexp(full, PRECISION)).astype(np.int64)
                return Proof(rho, multipliers, self.exponent, tau, scaling, integers, self.input_factor)
            shift += 1.25 * missing
        return None

    def _promising(self, rho: float, multipliers: tuple[Array, ...], scaling: Array, active: Array) -> bool:
        """Whether float64 Cholesky passes with the shift that an earlier repair needed: cheap, and decides nothing."""
        core = self._matrix(rho, multipliers, np.ldexp(1.0, -scaling))[np.ix_(active, active)]
        return cholesky(core - self.shift * np.eye(len(core))) is not None

    def _matrix(
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

    def _underflows(self, multipliers: tuple[Array, ...]) -> bool:
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

    def _diagonal(self, rho: float, multipliers: tuple[Array, ...]) -> Array:
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

    def _scaled_matrix(self, rho: float, multipliers: tuple[Array, ...], scaling: Array) -> tuple[Total, Array]:
        """`D M D` with error bounds, and the row sums of what the radii of the blocks can change."""
        total = Total(np.zeros((self.order, self.order)))
        charges = np.zeros(self.order)
        unit = np.ldexp(1.0, -scaling)
        diagonal = np.concatenate([np.full(self.inputs, rho), *(2 * t for t in multipliers)])
        total.high[np.diag_indices(self.order)] = np.ldexp(diagonal, -2 * scaling)
        for to in range(1, self.output_row + 1):
            row = {s: block for (t, s), block in self.blocks.items() if t == to}
            if to < self.output_row:
                alpha, beta = self.slopes[to - 1]
                self._couple(total, charges, to, row, multipliers[to - 1], scaling)
                weight = two_product(2 * multipliers[to - 1], alpha)
                weight = _times(weight, beta)
            else:
                weight = (-np.ones(len(next(iter(row.values())).weights)) if row else np.zeros(0), np.zeros(1))
            if np.any(weight[0]):
                self._square(total, charges, row, weight, scaling, unit)
        return total, charges * (1 + 1e-10)

    def _couple(
        self, total: Total, charges: Array, to: int, row: dict[int, Block], multipliers: Array, scaling: Array
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
                # A charge that underflows must not vanish: a coordinate without diagonal can bear none at all.
                moved = (multipliers != 0) & (slope != 0)
                charges[own] += reach * unit.sum() + np.where(moved, np.finfo(float).tiny, 0.0)
                charges[other] += unit * reach.sum() + (np.finfo(float).tiny if np.any(moved) else 0.0)

    def _square(
        self,
        total: Total,
        charges: Array,
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
                charges[self.slices[s]] += unit[self.slices[s]] * (size @ reach)
                charges[self.slices[s]] += (size * right.radius * width) @ sizes[s]
                if left.radius > 0:
                    charges[self.slices[s]] += np.finfo(float).tiny
                else:
                    charges[self.slices[s]] += np.where(
                        np.any(left.nonzero[weight[0] != 0], axis=0), np.finfo(float).tiny, 0.0
                    )


def factor_input(form: StackedForm) -> InputFactor | None:
    """A square factor that replaces an input wider than the rows that read it, or None where that saves nothing."""
    readers = [form.blocks[key] for key in sorted(form.blocks) if key[1] == 0]
    if not readers or form.inputs <= sum(len(b.weights) for b in readers):
        return None
    stacked = np.concatenate([b.weights for b in readers])
    lows = None
    if any(b.low is not None for b in readers):
        lows = np.concatenate([np.zeros_like(b.weights) if b.low is None else b.low for b in readers])
    radius = np.concatenate([np.full(len(b.weights), b.radius) for b in readers])
    size = np.sqrt(np.square(stacked if lows is None else np.abs(stacked) + np.abs(lows)).sum(axis=1))
    active = size > 0
    scaling = np.where(active, np.frexp(np.where(active, size, 1.0))[1], 0)
    if not np.all(np.isfinite(size)) or not all(b.finite for b in readers):
        return None
    unit = np.ldexp(stacked, -scaling[:, None])
    gram = Total(np.zeros((len(unit), len(unit))))
    add_product(gram, unit, unit, sign=-1.0)
    rows = np.abs(unit).sum(axis=1)
    lower = None if lows is None else np.ldexp(lows, -scaling[:, None])
    if lower is not None:
        cross = product(lower, unit.T)
        spread = product(np.abs(lower), np.abs(unit).T)
        spread = spread * ((form.inputs + 4) * 2.0**-52) + form.inputs * np.finfo(float).tiny * np.outer(active, active)
        gram.add(-(cross + cross.T), spread + spread.T + 2.0**-52 * np.abs(cross + cross.T))
        gram.error += product(np.abs(lower), np.abs(lower).T) * (1 + form.inputs * 2.0**-51)
        rows = rows + np.abs(lower).sum(axis=1)
    scaled_radius = np.ldexp(radius, -scaling)
    charges = (
        scaled_radius * rows.sum() + scaled_radius.sum() * rows + form.inputs * scaled_radius * scaled_radius.sum()
    )
    charges[(radius > 0) | ((rows > 0) & bool(np.any(radius > 0)))] += np.finfo(float).tiny  # none of them vanishes
    lost = np.any(np.ldexp(unit, scaling[:, None]) != stacked)
    if lost or (lower is not None and np.any(np.ldexp(lower, scaling[:, None]) != lows)):
        charges[active] += form.inputs * 2.0**-1000  # what the scaling lost
    charges *= 1 + 1e-10
    if not np.all(np.isfinite(charges)) or not error_bound.is_exact(charges[~active]):
        return None
    core = -(gram.high + gram.low)[np.ix_(active, active)]
    shift = 8 * 2.0**-53 * len(core) ** 0.5 + 2 * float(np.max(charges))
    for _ in range(6):
        factor = np.zeros_like(gram.high)
        lower = cholesky(core + shift * np.eye(len(core)))
        if lower is not None:
            factor[np.ix_(active, active)] = lower
            total = Total(gram.high)
            total.low, total.error = gram.low.copy(), gram.error.copy()
            add_product(total, factor, factor)
            missing = _dominance(*total.value(), charges)
            if missing <= 0:
                return InputFactor(np.ldexp(factor, scaling[:, None]), scaling)
            shift += 1.25 * missing
        else:
            shift *= 4
    return None


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


def _rounded_cholesky(matrix: Array, shift: float) -> Array | None:
    """The Cholesky factor of `matrix - shift I`, rounded to multiples of 2^-PRECISION."""
    lower = cholesky(matrix - shift * np.eye(len(matrix)))
    if lower is None:
        return None
    return np.ldexp(np.rint(np.ldexp(lower, PRECISION)), -PRECISION)


def _missing_dominance(matrix: Total, charges: Array, factor: Array) -> float:
    """By how much the worst row of `matrix - factor factor'` fails to be dominant (at most 0: it is)."""
    total = Total(matrix.high)
    total.low, total.error = matrix.low.copy(), matrix.error.copy()
    add_product(total, factor, factor, sign=-1.0)
    return _dominance(*total.value(), charges)


def _dominance(value: Array, error: Array, charges: Array) -> float:
    size = np.abs(value)
    own = value.diagonal()
    rows = size.sum(axis=1) - np.abs(own) + error.sum(axis=1)
    rows = rows * (1 + len(rows) * 2.0**-51) + charges
    return float(np.max(rows - own, initial=-np.inf))
