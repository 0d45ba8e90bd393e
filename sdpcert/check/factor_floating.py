"""A proof in floating point that a matrix made of blocks is positive semidefinite; needs NumPy.

A factor L is made block after block and needs no trust: A - L L' is formed with bounds of the rounding errors, and has
to be diagonally dominant. So that it is, a little is taken off the diagonal of what is factorised. Nothing of A or L is
kept longer than it is needed: what one block leaves to later ones is one matrix, which goes to its parent.
"""

from __future__ import annotations

import itertools
from typing import Protocol

import numpy as np

from .elimination import Elimination
from .reading import Rejected
from .rounding import SLACK, U, gamma

Array = np.ndarray

#: How often more is taken off the diagonal before a matrix is given up, and how much more than what a row lacked.
ATTEMPTS, MARGIN = 5, 1.25
#: Columns that are multiplied at once: a sum of products has fewer roundings in parts.
PART = 128
#: Order up to which a triangular system is solved as a whole.
SMALL = 64


class BlockMatrix(Protocol):
    """A symmetric matrix A near one that is to be proved semidefinite, in the order of elimination."""

    elimination: Elimination
    #: Row sums of bounds of what entries of the matrix differ from those of A, and of |A|; both from above.
    lost: Array
    mass: Array
    #: How many sums and products an entry of A is made of, beside those that `lost` counts.
    terms: int

    def column(self, k: int, rows: Array) -> Array:
        """The columns of the k-th block from its own rows on; `rows` are these and those of the later blocks."""
        ...


def prove_semidefinite(matrix: BlockMatrix) -> None:
    """Prove that a matrix is positive semidefinite; raise `Rejected`."""
    shift = 2 * matrix.lost + 8 * U
    for _ in range(ATTEMPTS):
        lacking = Residue(matrix, shift).lacking()
        if not np.all(np.isfinite(lacking)):
            break
        if np.all(lacking <= 0):
            return
        shift += np.where(lacking > 0, MARGIN * lacking + U, 0.0)
    raise Rejected("M is not proved positive semidefinite")


class Residue:
    """A - L L', L a factor of A - diag(shift)."""

    def __init__(self, matrix: BlockMatrix, shift: Array) -> None:
        self.matrix, self.elimination, self.shift = matrix, matrix.elimination, shift
        ends = np.cumsum([0, *self.elimination.sizes])
        self.own = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
        n = int(ends[-1])
        self.diagonal, self.beside = np.zeros(n), np.zeros(n)  # of A - L L', and row sums of the other entries
        self.products = np.zeros(n)  # row sums of |L| |L'|

    def lacking(self) -> Array:
        """What the rows lack for diagonal dominance, errors counted; not finite where there is no factor."""
        waiting: dict[int, tuple[Array, Array]] = {}
        for k, children in enumerate(self.elimination.children):
            below = [self.own[j] for j in self.elimination.later[k]]
            rows = np.concatenate([self.own[k], *below])
            front = np.zeros((len(rows), len(rows)))
            for child in children:
                indices, left = waiting.pop(child)
                at = np.searchsorted(rows, indices)
                front[at[:, None], at] += left
            front[:, : len(self.own[k])] += self.matrix.column(k, rows)
            if not self._eliminate(rows, len(self.own[k]), front):
                return np.full(len(self.shift), np.nan)
            if below:
                n = len(self.own[k])
                waiting[k] = rows[n:], front[n:, n:].copy() if n else front
        largest = max(self.elimination.sizes, default=0)
        steps = min(largest, PART) + self.elimination.roundings(PART) + self.matrix.terms + 4
        errors = self.matrix.lost + gamma(steps) * (self.matrix.mass + self.products * SLACK)
        return (self.beside + errors) * SLACK - self.diagonal

    def _eliminate(self, rows: Array, n: int, front: Array) -> bool:
        """Take the first n rows and columns out of a matrix, and note what their factor leaves of them."""
        own, below = front[:n, :n], front[n:, :n]
        shifted = own.copy()
        shifted.reshape(-1)[:: n + 1] -= self.shift[rows[:n]]
        try:
            lower = np.linalg.cholesky(shifted)
        except np.linalg.LinAlgError:
            return False
        further = solved(lower, below.T).T
        if not (np.all(np.isfinite(lower)) and np.all(np.isfinite(further))):
            return False
        for first in range(0, n, PART):
            part, more = lower[first:, first : first + PART], further[:, first : first + PART]
            own[first:, first:] -= part @ part.T
            below[:, first:] -= more @ part.T
            front[n:, n:] -= more @ more.T
        diagonal = own.diagonal().copy()
        np.fill_diagonal(own, 0.0)
        self.diagonal[rows[:n]] = diagonal
        self.beside[rows[:n]] += np.abs(own).sum(axis=1) + np.abs(below).sum(axis=0)
        self.beside[rows[n:]] += np.abs(below).sum(axis=1)
        lower, further = np.abs(lower), np.abs(further)
        columns = lower.sum(axis=0) + further.sum(axis=0)
        self.products[rows[:n]] += lower @ columns
        self.products[rows[n:]] += further @ columns
        return True


def solved(lower: Array, right: Array) -> Array:
    """X with `lower @ X` about `right`."""
    n = len(lower)
    if n <= SMALL:
        return np.linalg.solve(lower, right) if n else right
    half = n // 2
    top = solved(lower[:half, :half], right[:half])
    return np.vstack([top, solved(lower[half:, half:], right[half:] - lower[half:, :half] @ top)])
