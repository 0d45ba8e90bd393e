"""The directions that many rows have in common."""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic import blas

Array = np.ndarray
#: What is left of rows beside a span that counts as nothing, relative to them, and how many directions are added at
#: once.
SPANNED, AT_ONCE = 1e-13, 32


def span(rows: Array) -> Array | None:
    """An orthonormal basis (columns) of the span of some rows, None if that is everything.

    Rows of later groups are mostly combinations of those of the first one: random combinations of what is not in the
    span of the basis yet make it larger until nothing is left.
    """
    count, inputs = rows.shape
    basis, rest = np.zeros((inputs, 0)), rows
    generator = np.random.default_rng(0)
    size = float(np.sqrt(np.max(np.einsum("ij,ij->i", rows, rows), initial=0.0)))
    while basis.shape[1] < min(count, inputs) and np.max(np.abs(rest), initial=0.0) > SPANNED * size:
        sample = blas.product(generator.standard_normal((min(AT_ONCE, count), count)), rest)
        for _ in range(2):  # once is not enough in floating point
            sample = sample - (sample @ basis) @ basis.T
        directions, triangular = np.linalg.qr(sample.T)
        diagonal = np.abs(triangular.diagonal())
        new = directions[:, diagonal > SPANNED * np.max(diagonal)]
        if not new.shape[1]:
            break
        basis = np.concatenate([basis, new], axis=1)[:, :inputs]
        rest = rows - blas.product(blas.product(rows, basis), basis.T)
    return None if basis.shape[1] == inputs else basis
