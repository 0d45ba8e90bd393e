"""The condition along a few directions, and how its Schur complement onto a few vectors bends.

Where multipliers are combinations of known ones, M depends on few variables c. If M is positive definite outside of
the span of the columns of P, then `M >= 0` says that the Schur complement `Phi(c) = (P' M(c)^-1 P)^-1` is positive
semidefinite: a matrix of a few rows. With `V = M^-1 P Phi`, A_j the derivative of M with respect to c_j and
`R = M^-1 - V Phi^-1 V'`, its derivatives are

    Phi_j = V' A_j V        Phi_jk = -(V' A_j R A_k V + V' A_k R A_j V)

so the second ones cost a solve with as many columns as there are variables: for a chain, time and memory that grow as
the network is deep, not as its square or cube. No matrix of the network's order is formed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.blas import triangular_inverse
from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.factor import Factor
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError

Array = np.ndarray


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

    def images(self, vector: Array, rows: Array) -> Array:
        """`A_j vector` for all variables j, as columns; `rows` is K times the vector."""
        condition, inputs = self.condition, self.condition.inputs
        result = np.zeros((condition.order, self.variables))
        result[:inputs, 0] = vector[:inputs]
        own, other = self._weights(vector[inputs:], rows)
        for g, (part, each) in enumerate(zip(self.parts, self.directions, strict=True), 1):
            result[condition.slices[g], part] += each.T * own[condition.rows[g]][:, None]
            weighted = each.T * other[condition.rows[g]][:, None]
            for (to, source), block in condition.blocks.items():
                if to == g:
                    result[condition.slices[source], part] += block.T @ weighted
        return result

    def _weights(self, own: Array, rows: Array) -> tuple[Array, Array]:
        """What a multiplier of one adds to the rows of its neuron, and, through K', to what the neuron reads."""
        condition = self.condition
        alpha, beta = condition.alpha, condition.beta
        if own.ndim == 2:
            alpha, beta = alpha[:, None], beta[:, None]
        return 2 * own - (alpha + beta) * rows, 2 * alpha * beta * rows - (alpha + beta) * own

    def forms(self, vectors: Array, rows: Array) -> Array:
        """`vectors' A_j vectors` for all variables j, of shape (variables, columns, columns)."""
        condition, inputs = self.condition, self.condition.inputs
        count = vectors.shape[1]
        result = np.zeros((self.variables, count, count))
        result[0] = vectors[:inputs].T @ vectors[:inputs]
        own, other = self._weights(vectors[inputs:], rows)
        for g, (part, each) in enumerate(zip(self.parts, self.directions, strict=True), 1):
            place, mine = condition.slices[g], condition.rows[g]
            for j, weight in zip(range(part.start, part.stop), each, strict=True):
                weighted = weight[:, None]
                result[j] = vectors[place].T @ (weighted * own[mine]) + rows[mine].T @ (weighted * other[mine])
        return result


@dataclass(frozen=True, eq=False)
class Section:
    """The Schur complement of M(c) onto a few vectors: itself, its inverse, and its first derivatives.

    `basis` is V, `rows` is K V, `spent` has orthonormal columns that span `L^-1 P`, with L the factor of M.
    """

    family: Family
    factor: Factor
    basis: Array
    rows: Array
    value: Array
    inverse: Array
    slopes: Array
    spent: Array

    @staticmethod
    def of(family: Family, factor: Factor, vectors: Array) -> Section:
        """The section along the columns of `vectors`, which have to be independent."""
        spent, upper = np.linalg.qr(factor.forward(vectors))
        root = triangular_inverse(np.ascontiguousarray(upper.T)).T  # P' M^-1 P = upper' upper
        basis = factor.backward(spent) @ root.T
        rows = family.condition.times_k(basis)
        forms = family.forms(basis, rows)
        return Section(family, factor, basis, rows, root @ root.T, upper.T @ upper, forms, spent)

    def _reduced(self, right: Array) -> Array:
        """`L^-1 right` without what is in the span of `L^-1 P`: its squares are those of R."""
        half = self.factor.forward(right)
        return half - self.spent @ (self.spent.T @ half)

    def curvature(self, weights: Array) -> Array:
        """`-tr(Z Phi_jk)` over all pairs of variables, with `Z = weights weights'`; positive semidefinite."""
        result = np.zeros((self.family.variables, self.family.variables))
        for vector, rows in zip((self.basis @ weights).T, (self.rows @ weights).T, strict=True):
            half = self._reduced(self.family.images(vector, rows))
            result += half.T @ half
        return 2 * result

    def bend(self, direction: Array) -> Array:
        """`-1/2` of the second derivative of Phi along a direction; positive semidefinite."""
        image = self.family.condition.linear(self.family.point(direction)).times(self.basis)
        half = self._reduced(image)
        return half.T @ half

    def along(self, direction: Array) -> Array:
        """The derivative of Phi along a direction."""
        return np.tensordot(direction, self.slopes, axes=1)


def least_vectors(matrix: BlockMatrix, factor: Factor, vectors: Array, rounds: int) -> tuple[Array, Array]:
    """The smallest eigenvalues of M beside its diagonal D, ascending, and D times their vectors, by inverse iteration.

    `vectors` is where to begin; its columns are as many as are looked for.
    """
    diagonal = matrix.diagonal()[:, None]
    for _ in range(rounds):
        vectors = factor.solve(diagonal * vectors)
        vectors = vectors / np.sqrt((diagonal * vectors * vectors).sum(axis=0))
        vectors = np.linalg.qr(np.sqrt(diagonal) * vectors)[0] / np.sqrt(diagonal)
    found = eigenpairs(vectors.T @ matrix.times(vectors))
    if found is None:
        raise SolverError("the least eigenvalues of the condition's matrix are not finite")
    values, turned = found
    return values, diagonal * (vectors @ turned)


def spread_of(directions: Sequence[Sequence[Array]], scales: Sequence[int]) -> tuple[Array, ...]:
    """The directions of multipliers of the original network at unit scale, each with a largest entry of one."""
    result = []
    for each, scale in zip(directions, scales, strict=True):
        scaled = np.ldexp(np.array(each, dtype=float), -2 * scale)
        result.append(scaled / np.maximum(scaled.max(axis=1, keepdims=True), np.finfo(float).tiny))
    return tuple(result)
