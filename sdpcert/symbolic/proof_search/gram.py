"""Gram matrices: positive semidefinite Q_1, Q_2, ... with rational entries that satisfy linear equations exactly.

A semidefinite program gives numbers. They are rounded, and the equations are solved exactly for the remaining entries.
If no solution is definite, the solver's dual point names vectors that every solution has in its kernel: they are
divided out (facial reduction), and the smaller problem is solved again. A wrong guess ends in no answer, never in a
wrong one, since the last word is an exact factorisation.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse

from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.exact import rational, unit
from sdpcert.symbolic.proof_search.linear import Row, reduced

Array = np.ndarray
#: An entry (group, row, column) with row <= column.
Place = tuple[int, int, int]
#: Weights and vectors: Q is the sum of `weight * vector vector'`.
Squares = list[tuple[Fraction, list[Fraction]]]

#: Denominators that entries are rounded to, in this order.
SIMPLE = (1, 2, 4, 3, 6, 12, 60)
FINE = (*SIMPLE, 720, 10_000, 10**6, 10**9)
#: Smaller problems after which no further one is tried.
MOST_REDUCTIONS = 8
#: What counts as zero in the numbers of a solver, and the largest denominator of a kernel's vector.
ZERO, LARGEST_DENOMINATOR = 1e-5, 60
THRESHOLDS = (1e-5, 1e-4, 1e-3, 1e-2)
RIGHT = "right"


@dataclass(frozen=True)
class Gram:
    """Sizes of the matrices, and equations `sum of coefficients times entries = right`.

    An entry off the diagonal stands for both places.
    """

    sizes: tuple[int, ...]
    equations: tuple[tuple[dict[Place, Fraction], Fraction], ...]

    def solve(self, effort: Effort) -> list[Squares] | None:
        """Exact solutions as sums of squares, None if none were found."""
        bases: list[Array] = [unit(size) for size in self.sizes]
        problem: Gram | None = self
        for attempt in range(MOST_REDUCTIONS):
            effort.check()
            kept = None if problem is None else problem.evident_zeros()
            if problem is None or kept is None:
                return None
            bases = [basis[:, keep] for basis, keep in zip(bases, kept)]
            problem = problem.keeping(kept)
            found = problem._solved(effort, with_smallest=attempt == 0)
            if isinstance(found, Solved):
                return [[(w, list(N @ np.array(v))) for w, v in squares] for squares, N in zip(found.squares, bases)]
            if found is None:
                return None
            bases = [basis @ N for basis, N in zip(bases, found)]
            problem = problem.restricted(found)
        return None

    def keeping(self, kept: Sequence[Sequence[int]]) -> Gram:
        """The problem with the other rows and columns zero."""
        return self.restricted([_selection(size, keep) for size, keep in zip(self.sizes, kept)])

    def _solved(self, effort: Effort, with_smallest: bool) -> Solved | list[Array] | None:
        """A solution; or bases of a subspace that contains the ranges of all solutions; or None."""
        if not any(self.sizes):
            return None if any(right for _, right in self.equations) else Solved([[] for _ in self.sizes])
        system = reduced(
            [{**row, RIGHT: right} if right else row for row, right in self.equations],
            [(g, a, b) for g, size in enumerate(self.sizes) for a in range(size) for b in range(a, size)],
        )
        if None in system:
            return None
        if with_smallest:
            # The solution of the least trace often has small rank and simple entries.
            numbers = _numerical(self, effort, interior=False)
            if numbers is None:
                return None
            squares = self._rounded(system, numbers.grams, SIMPLE)
            if squares is not None:
                return Solved(squares)
        numbers = _numerical(self, effort, interior=True)
        if numbers is None or numbers.least < -ZERO:
            return None
        squares = self._rounded(system, numbers.grams, FINE)
        if squares is not None:
            return Solved(squares)
        bases = [_without_kernel(Q, Z) for Q, Z in zip(numbers.grams, numbers.duals)]
        smaller = any(N.shape[1] < N.shape[0] for N in bases)
        return bases if smaller else None

    def evident_zeros(self) -> list[list[int]] | None:
        """The rows of every matrix that are not evidently zero; None if an equation cannot hold.

        Where diagonal entries with coefficients of one sign add up to zero, all of them are zero.
        """
        gone: set[tuple[int, int]] = set()
        while True:
            before = len(gone)
            for row, right in self.equations:
                left = [(p, c) for p, c in row.items() if (p[0], p[1]) not in gone and (p[0], p[2]) not in gone]
                if not left and right:
                    return None
                diagonal = all(a == b for (_, a, b), _ in left)
                if diagonal and not right and len({c > 0 for _, c in left}) == 1:
                    gone |= {(g, a) for (g, a, _), _ in left}
            if len(gone) == before:
                return [[a for a in range(size) if (g, a) not in gone] for g, size in enumerate(self.sizes)]

    def restricted(self, bases: Sequence[Array]) -> Gram:
        """The problem for Q' where Q = N Q' N'."""
        lines = [[[(p, N[a, p]) for p in range(N.shape[1]) if N[a, p]] for a in range(len(N))] for N in bases]
        equations = []
        for row, right in self.equations:
            new: dict[Place, Fraction] = {}
            for (g, a, b), coefficient in row.items():
                for p, x in lines[g][a]:
                    for q, y in lines[g][b]:
                        # Q_ab has both Q'_pq and Q'_qp; a pair (a, b) off the diagonal is already counted twice.
                        place = (g, min(p, q), max(p, q))
                        new[place] = new.get(place, Fraction(0)) + coefficient * x * y
            new = {place: c for place, c in new.items() if c}
            if new or right:
                equations.append((new, right))
        return Gram(tuple(N.shape[1] for N in bases), tuple(equations))

    def _rounded(
        self, system: dict[Any, Row], grams: Sequence[Array], denominators: Sequence[int]
    ) -> list[Squares] | None:
        """Free entries rounded, the others from the equations; None if no denominator leaves all semidefinite."""
        for denominator in denominators:
            values: dict[Any, Fraction] = {RIGHT: Fraction(1)}
            for g, Q in enumerate(grams):
                for a in range(len(Q)):
                    for b in range(a, len(Q)):
                        if (g, a, b) not in system:
                            values[g, a, b] = Fraction(round(float(Q[a, b]) * denominator), denominator)
            for pivot, row in system.items():
                rest = sum((c * values[key] for key, c in row.items() if key not in (pivot, RIGHT)), Fraction(0))
                values[pivot] = row.get(RIGHT, Fraction(0)) - rest
            found = []
            for g, size in enumerate(self.sizes):
                squares = _squares([[values[g, min(a, b), max(a, b)] for b in range(size)] for a in range(size)])
                if squares is None:
                    break
                found.append(squares)
            else:
                return found
        return None


@dataclass(frozen=True)
class Solved:
    """Exact solutions."""

    squares: list[Squares]


@dataclass(frozen=True)
class Numbers:
    """A solver's matrices, its dual ones, and the common bound of the smallest eigenvalues."""

    grams: list[Array]
    duals: list[Array]
    least: float


def _selection(size: int, keep: Sequence[int]) -> Array:
    made = rational(np.zeros((size, len(keep)), dtype=int).tolist()).reshape(size, len(keep))
    for column, k in enumerate(keep):
        made[k, column] = Fraction(1)
    return made


def _numerical(problem: Gram, effort: Effort, interior: bool) -> Numbers | None:
    """Matrices of least trace, or (`interior`) with the largest common bound of the eigenvalues, at most 1."""
    clarabel: Any = importlib.import_module("clarabel")
    sizes = [size for size in problem.sizes if size]
    matrix, right, objective = _program(problem, interior)
    height = len(problem.equations)
    cones: list[Any] = [clarabel.ZeroConeT(height)] if height else []
    cones += [clarabel.PSDTriangleConeT(size) for size in sizes]
    cones += [clarabel.NonnegativeConeT(1)] if interior else []
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.time_limit = max(effort.left, 0.01)
    empty = scipy.sparse.csc_matrix((len(objective), len(objective)))
    solution = clarabel.DefaultSolver(empty, objective, matrix, right, cones, settings).solve()
    if str(solution.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
        return None
    x, z = np.asarray(solution.x), np.asarray(solution.z)[height:]
    if not np.isfinite(x).all() or not np.isfinite(z).all():
        return None
    ends = np.cumsum([size * (size + 1) // 2 for size in problem.sizes]).tolist()
    places = [(start, end, size) for start, end, size in zip([0, *ends], ends, problem.sizes)]
    grams = [_square_matrix(x[start:end], size) for start, end, size in places]
    duals = [_square_matrix(z[start:end], size) for start, end, size in places]
    return Numbers(grams, duals, float(x[-1]) if interior else 0.0)


def _program(problem: Gram, interior: bool) -> tuple[Any, Array, Array]:
    """Clarabel's `A x + slack = b` and objective: the equations, then -Q + t I + slack = 0, then t + slack = 1."""
    starts = [0, *np.cumsum([size * (size + 1) // 2 for size in problem.sizes]).tolist()]
    count, height = starts[-1], len(problem.equations)
    data, rows, columns, right = [], [], [], []
    for number, (row, value) in enumerate(problem.equations):
        scale = max((abs(float(c)) for c in row.values()), default=1.0)
        for (g, a, b), c in row.items():
            rows.append(number)
            columns.append(starts[g] + b * (b + 1) // 2 + a)
            data.append(float(c) / scale / (1.0 if a == b else math.sqrt(2)))
        right.append(float(value) / scale)
    diagonal = [start + a * (a + 3) // 2 for start, size in zip(starts, problem.sizes) for a in range(size)]
    rows += [height + k for k in range(count)]
    columns += list(range(count))
    data += [-1.0] * count
    right += [0.0] * count
    objective = np.zeros(count + interior)
    if interior:
        rows += [height + d for d in diagonal] + [height + count]
        columns += [count] * (len(diagonal) + 1)
        data += [1.0] * (len(diagonal) + 1)
        right.append(1.0)
        objective[count] = -1.0
    else:
        objective[diagonal] = 1.0
    matrix = scipy.sparse.csc_matrix((data, (rows, columns)), shape=(len(right), count + interior))
    return matrix, np.array(right), objective


def _square_matrix(packed: Array, size: int) -> Array:
    """The symmetric matrix of Clarabel's column-wise upper triangle with scaled entries."""
    made = np.zeros((size, size))
    for b in range(size):
        for a in range(b + 1):
            value = packed[b * (b + 1) // 2 + a] / (1.0 if a == b else math.sqrt(2))
            made[a, b] = made[b, a] = value
    return made


def _without_kernel(Q: Array, Z: Array) -> Array:
    """A basis of the vectors that are orthogonal to the range of Z, rational; everything if that is not."""
    size = len(Q)
    everything = unit(size)
    if not size:
        return everything
    rows = _kernel(Q, Z)
    if rows is None:
        return everything
    pivots = {min(row, key=lambda k: k): row for row in rows}
    # Of the kernel's equations `v_pivot + sum c_k v_k = 0` the other entries are free.
    free = [k for k in range(size) if k not in pivots]
    N = rational(np.zeros((size, len(free)), dtype=int).tolist()).reshape(size, len(free))
    for column, k in enumerate(free):
        N[k, column] = Fraction(1)
        for pivot, row in pivots.items():
            N[pivot, column] = -row.get(k, Fraction(0))
    return N


def _kernel(Q: Array, Z: Array) -> list[dict[int, Fraction]] | None:
    """Rational vectors that span the range of Z, or the kernel of Q if that of Z is not rational; None without."""
    sizes, vectors = np.linalg.eigh(Z)
    small = np.einsum("ik,ij,jk->k", vectors, Q, vectors) < THRESHOLDS[-1]
    eigenvalues, eigenvectors = np.linalg.eigh(Q)
    candidates = [vectors.T[small & (sizes > threshold)] for threshold in THRESHOLDS]
    candidates += [eigenvectors.T[eigenvalues < threshold] for threshold in reversed(THRESHOLDS)]
    for chosen in candidates:
        rows = _echelon(chosen) if len(chosen) else None
        if rows is not None:
            return rows
    return None


def _echelon(vectors: Array) -> list[dict[int, Fraction]] | None:
    """The reduced echelon form of the span, rounded to simple rationals; None if they are not near."""
    rest, found = vectors.copy(), []
    pivots: list[int] = []
    for column in range(rest.shape[1]):
        if len(pivots) == len(rest):
            break
        line = len(pivots)
        best = line + int(np.argmax(np.abs(rest[line:, column])))
        if abs(rest[best, column]) < 1e-3:
            continue
        rest[[line, best]] = rest[[best, line]]
        rest[line] /= rest[line, column]
        for other in range(len(rest)):
            if other != line:
                rest[other] -= rest[other, column] * rest[line]
        pivots.append(column)
    for line, pivot in enumerate(pivots):
        row = {pivot: Fraction(1)}
        for k in range(pivot + 1, rest.shape[1]):
            value = Fraction(float(rest[line, k])).limit_denominator(LARGEST_DENOMINATOR)
            if abs(float(value) - rest[line, k]) > 1e-3:
                return None
            if value:
                row[k] = value
        found.append(row)
    return found


def _squares(entries: list[list[Fraction]]) -> Squares | None:
    """Q as weights times v v' with positive weights, by elimination; None if Q is not semidefinite."""
    size, found = len(entries), []
    rest = [list(row) for row in entries]
    for k in range(size):
        weight = rest[k][k]
        if weight < 0:
            return None
        if not weight:
            if any(rest[k]):
                return None
            continue
        vector = [x / weight for x in rest[k]]
        for a in range(k, size):
            if vector[a]:
                for b in range(k, size):
                    rest[a][b] -= weight * vector[a] * vector[b]
        found.append((weight, vector))
    return found
