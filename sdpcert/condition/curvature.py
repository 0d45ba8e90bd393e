"""The condition along a few directions, and how its Schur complement onto a few vectors bends.

Where multipliers are combinations of known ones, M depends on few variables c. If M is positive definite outside of
the span of the columns of P, then `M >= 0` says that the Schur complement `Phi(c) = (P' M(c)^-1 P)^-1` is positive
semidefinite: a matrix of a few rows. With `V = M^-1 P Phi`, A_j the derivative of M with respect to c_j and
`R = M^-1 - V Phi^-1 V'`, its derivatives are

    Phi_j = V' A_j V        Phi_jk = -(V' A_j R A_k V + V' A_k R A_j V)

No matrix of the network's order is formed. A_j touches the rows of one group and of what that reads, so products of the
columns `L^-1 A_j V`, with L the factor of M, need one pass over the blocks of L: for a chain, time that grows as the
square of the depth, in large products, and memory that grows as the depth.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.blas import cholesky, product, triangular_inverse
from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination
from sdpcert.condition.factor import Factor
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError

Array = np.ndarray
#: Columns of length one whose Gram matrix has a factor with diagonal entries above this are nearly orthogonal.
INDEPENDENT = 0.1


@dataclass(frozen=True, eq=False)
class Family:
    """The condition in the variables c: rho, then for each group one variable for each of its directions.

    `condition` has one multiplier per neuron; `directions[g]` of shape (directions, neurons) holds those of group
    g + 1, for the condition at its unit scale.
    """

    condition: Condition
    directions: tuple[Array, ...]

    @property
    def variables(self) -> int:
        """Number of variables."""
        return 1 + sum(len(each) for each in self.directions)

    @property
    def parts(self) -> list[slice]:
        """The variables of each group."""
        ends = np.cumsum([1, *(len(each) for each in self.directions)])
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]

    def point(self, c: Array) -> Array:
        """The variables of the condition: rho and one multiplier per neuron."""
        spread = [c[part] @ each for part, each in zip(self.parts, self.directions, strict=True)]
        return np.concatenate([c[:1], *spread])

    def matrix(self, c: Array) -> BlockMatrix:
        """M(c)."""
        return self.condition.matrix(self.point(c))

    @property
    def touched(self) -> list[list[int]]:
        """The sources whose rows the derivatives are in: of rho, then of each group's variables."""
        blocks, groups = self.condition.blocks, range(1, len(self.directions) + 1)
        return [[0], *([g, *(source for to, source in blocks if to == g)] for g in groups)]

    def image(self, g: int, source: int, vectors: Array, rows: Array) -> Array:
        """The rows of a source of `A_j vectors`, for the variables j of group g, or for rho if g is 0.

        Of shape (variables * columns, size of the source): transposed. `rows` is K times the vectors.
        """
        condition, inputs = self.condition, self.condition.inputs
        if g == 0:
            return vectors[:inputs].T
        mine = condition.rows[g]
        own, other = self._weights(g, vectors[condition.slices[g]], rows[mine])
        weighted = self.directions[g - 1][:, None, :] * (own if source == g else other).T
        weighted = weighted.reshape(-1, mine.stop - mine.start)
        return weighted if source == g else product(weighted, condition.blocks[g, source])

    def _weights(self, g: int, own: Array, rows: Array) -> tuple[Array, Array]:
        """What a multiplier of one adds to the rows of its neuron, and, through K', to what the neuron reads."""
        mine = self.condition.rows[g]
        alpha, beta = self.condition.alpha[mine, None], self.condition.beta[mine, None]
        return 2 * own - (alpha + beta) * rows, 2 * alpha * beta * rows - (alpha + beta) * own

    def forms(self, vectors: Array, rows: Array) -> Array:
        """`vectors' A_j vectors` for all variables j, of shape (variables, columns, columns)."""
        condition, inputs = self.condition, self.condition.inputs
        count = vectors.shape[1]
        result = np.zeros((self.variables, count, count))
        result[0] = vectors[:inputs].T @ vectors[:inputs]
        for g, (part, each) in enumerate(zip(self.parts, self.directions, strict=True), 1):
            place, mine = condition.slices[g], condition.rows[g]
            own, other = self._weights(g, vectors[place], rows[mine])
            for j, weight in zip(range(part.start, part.stop), each, strict=True):
                weighted = weight[:, None]
                result[j] = product(vectors[place].T, weighted * own) + product(rows[mine].T, weighted * other)
        return result


@dataclass(frozen=True, eq=False)
class Section:
    """The Schur complement of M(c) onto a few vectors: itself, its inverse, and its first derivatives.

    `basis` is V, `rows` is K V, `spent` has orthonormal columns that span `L^-1 P`, with L the factor of M, and the
    inverse is `upper' upper`.
    """

    family: Family
    factor: Factor
    basis: Array
    rows: Array
    value: Array
    inverse: Array
    slopes: Array
    spent: Array
    upper: Array

    @staticmethod
    def of(family: Family, factor: Factor, vectors: Array) -> Section:
        """The section along the columns of `vectors`, which have to be independent."""
        spent, upper = orthonormal(factor.forward(vectors))
        root = triangular_inverse(np.ascontiguousarray(upper.T)).T  # P' M^-1 P = upper' upper
        basis = product(factor.backward(spent), root.T)
        rows = family.condition.times_k(basis)
        forms = family.forms(basis, rows)
        return Section(family, factor, basis, rows, root @ root.T, upper.T @ upper, forms, spent, upper)

    def _reduced(self, right: Array) -> Array:
        """`L^-1 right` without what is in the span of `L^-1 P`: its squares are those of R."""
        half = self.factor.forward(right)
        return half - product(self.spent, product(self.spent.T, half))

    def newton(self, weights: Array, dropped: float = 0.0) -> Array:
        """`tr(Z Phi_j Phi^-1 Phi_k) - tr(Z Phi_jk)` over all pairs of variables, with `Z = weights weights'`.

        With T the traces in the first part, the second is `2 tr(Z V' A_j M^-1 A_k V) - 2 T`, positive semidefinite. In
        that, the least eigenvalues of Z are left out, as many as have a share of `dropped` of its trace together.
        """
        pairs = self._pairs(weights)
        found = eigenpairs(product(weights, weights.T))
        if found is None:
            raise SolverError("the eigenvalues of a family's dual matrix are not finite")
        held, turned = found
        first = int(np.searchsorted(np.cumsum(held), dropped * held.sum())) if dropped else 0
        kept = turned[:, first:] * np.sqrt(np.maximum(held[first:], 0.0))
        whole = inverse_products(self.family, self.factor, product(self.basis, kept), product(self.rows, kept))
        return pairs + 2 * (whole - (self._pairs(kept) if first else pairs))

    def _pairs(self, weights: Array) -> Array:
        """`tr(Z Phi_j Phi^-1 Phi_k)` over all pairs of variables."""
        turned = np.stack([product(self.upper @ slope, weights) for slope in self.slopes])
        turned = turned.reshape(len(turned), -1)
        return product(turned, turned.T)

    def bend(self, direction: Array) -> Array:
        """`-1/2` of the second derivative of Phi along a direction; positive semidefinite."""
        image = self.family.condition.linear(self.family.point(direction)).times(self.basis)
        half = self._reduced(image)
        return half.T @ half

    def along(self, direction: Array) -> Array:
        """The derivative of Phi along a direction."""
        return np.tensordot(direction, self.slopes, axes=1)


@dataclass(frozen=True, eq=False)
class _Columns:
    """The variables in the order in which the columns `L^-1 A_j` begin, which is at the first block that A_j touches.

    `position[j]` is that of variable j, `begun[i]` says how many have begun at block i, and `touching[i]` has the
    groups (0 for rho) and sources of the derivatives' rows in block i.
    """

    position: Array
    begun: list[int]
    touching: list[list[tuple[int, int]]]

    @staticmethod
    def of(family: Family, elimination: Elimination) -> _Columns:
        place, touched = elimination.place, family.touched
        first = [min(place[source] for source in sources) for sources in touched]
        parts = [slice(0, 1), *family.parts]
        of_variable = np.concatenate([np.full(p.stop - p.start, f) for p, f in zip(parts, first, strict=True)])
        position = np.empty(len(of_variable), dtype=int)
        position[np.argsort(of_variable, kind="stable")] = np.arange(len(position))
        touching: list[list[tuple[int, int]]] = [[] for _ in elimination.slices]
        for g, sources in enumerate(touched):
            for source in sources:
                touching[place[source]].append((g, source))
        begun = [int((of_variable <= i).sum()) for i in range(len(elimination.slices))]
        return _Columns(position, begun, touching)


def inverse_products(family: Family, factor: Factor, vectors: Array, rows: Array) -> Array:
    """`tr(vectors' A_j M^-1 A_k vectors)` over all pairs of variables; `rows` is K times the vectors.

    The blocks of the factor are passed once, with the columns `L^-1 A_j vectors` that have begun side by side: kept is
    only what later blocks still read, and products are of large matrices.
    """
    elimination, count = factor.elimination, vectors.shape[1]
    columns, parts = _Columns.of(family, elimination), [slice(0, 1), *family.parts]
    result = np.zeros((family.variables, family.variables))
    waiting: dict[int, Array] = {}
    for i, later in enumerate(elimination.later):
        begun = columns.begun[i]
        right = waiting.pop(i, None)  # transposed: a row for each variable and vector
        right = np.zeros((begun * count, elimination.sizes[i])) if right is None else right
        for g, source in columns.touching[i]:
            image = family.image(g, source, vectors, rows)
            start = columns.position[parts[g].start] * count
            right[start : start + len(image), elimination.within(i, family.condition.slices[source])] += image
        half = product(right, triangular_inverse(factor.diagonal[i]).T)
        wide = half.reshape(begun, -1)
        result[:begun, :begun] += product(wide, wide.T)
        for k in later:
            if k in factor.below[i]:
                if k not in waiting:
                    waiting[k] = np.zeros((columns.begun[k] * count, elimination.sizes[k]))
                product(half, factor.below[i][k].T, waiting[k][: len(half)], -1.0)
    return result[np.ix_(columns.position, columns.position)]


def orthonormal(matrix: Array) -> tuple[Array, Array]:
    """Orthonormal columns that span those of a tall matrix, and the upper triangular matrix that has them back.

    Of columns that are nearly orthogonal, whatever their lengths, the Gram matrix has a factor that is as accurate as
    Householder's reflections, in a few large products.
    """
    lengths = np.sqrt(np.einsum("ij,ij->j", matrix, matrix))
    if np.all(lengths > 0) and np.all(np.isfinite(lengths)):
        unit = matrix / lengths
        lower = cholesky(product(unit.T, unit))
        if lower is not None and float(lower.diagonal().min()) > INDEPENDENT:
            return product(unit, triangular_inverse(lower).T), lower.T * lengths
    return np.linalg.qr(matrix)


def least_vectors(matrix: BlockMatrix, factor: Factor, vectors: Array, rounds: int) -> tuple[Array, Array]:
    """The smallest eigenvalues of M beside its diagonal D, ascending, and D times their vectors, by inverse iteration.

    `vectors` is where to begin; its columns are as many as are looked for.
    """
    diagonal = matrix.diagonal()[:, None]
    for _ in range(rounds):
        vectors = factor.solve(diagonal * vectors)
        vectors = vectors / np.sqrt((diagonal * vectors * vectors).sum(axis=0))
        vectors = orthonormal(np.sqrt(diagonal) * vectors)[0] / np.sqrt(diagonal)
    found = eigenpairs(product(vectors.T, matrix.times(vectors)))
    if found is None:
        raise SolverError("the least eigenvalues of the condition's matrix are not finite")
    values, turned = found
    return values, diagonal * product(vectors, turned)


def spread_of(directions: Sequence[Sequence[Array]], scales: Sequence[int]) -> tuple[Array, ...]:
    """The directions of multipliers of the original network at unit scale, each with a largest entry of one."""
    result = []
    for each, scale in zip(directions, scales, strict=True):
        scaled = np.ldexp(np.array(each, dtype=float), -2 * scale)
        result.append(scaled / np.maximum(scaled.max(axis=1, keepdims=True), np.finfo(float).tiny))
    return tuple(result)
