"""Upper bounds of the spectral norms of affine layers, rounding included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.network.adjoint import adjoint
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Shape, Sum

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: Room for the rounding of the bounds themselves.
SLACK = 1 + 1e-9


def norm_bound(layer: AffineLayer, shape: Shape) -> float:
    """A number that the spectral norm of a layer, as a map of an input of this shape, does not exceed.

    For a sum and a concatenation it is that of the map of each of its arguments.
    """
    match layer:
        case Dense():
            bound = _matrix_norm(layer.weight, layer.coefficient_error)
        case Scale():
            bound = error_bound.largest(np.abs(layer.factor)) * (1 + layer.coefficient_error)
        case Conv2d():
            # The patches that the kernel reads, then a matrix on every patch: a pixel is in several patches.
            ones = replace(layer, kernel=np.ones((1, 1, *layer.kernel.shape[2:])), bias=None, groups=1)
            image = (1, *shape[1:])
            (times,) = adjoint(ones, np.ones((1, *ones.output_shape(image))), image)
            parts = layer.kernel.reshape(layer.groups, len(layer.kernel) // layer.groups, -1)
            largest = error_bound.largest(*(_matrix_norm(part, layer.coefficient_error) for part in parts))
            bound = largest * np.sqrt(np.max(times))
        case Rearrange():
            kept = layer.indices.ravel()[layer.indices.ravel() >= 0]
            bound = np.sqrt(np.max(np.bincount(kept), initial=0))
        case Sum() | Concat():
            bound = 1.0
        case _:
            bound = np.inf
    return error_bound.largest(float(bound) * SLACK)


def _matrix_norm(matrix: Array, coefficient_error: float = 0.0, squarings: int = 6) -> float:
    """A bound of the spectral norm: |A|^2 = |A A'|, repeated, and the Frobenius norm at last."""
    largest = error_bound.largest(np.abs(matrix))
    if not 0 < largest < np.inf:
        return largest
    exponent = int(np.frexp(largest)[1])
    scaled = np.ldexp(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T, -exponent)
    rows, inner = scaled.shape
    frobenius = float(np.sqrt(np.square(scaled).sum())) * SLACK
    if squarings == 0:
        bound = frobenius
    elif float(rows) * rows * inner > 1e9:
        absolute = np.abs(scaled)
        bound = min(frobenius, float(np.sqrt(absolute.sum(axis=0).max() * absolute.sum(axis=1).max())) * SLACK)
    else:
        rounding = 4 * (inner + 2) * UNIT_ROUNDOFF * frobenius**2
        bound = min(frobenius, float(np.sqrt(_matrix_norm(scaled @ scaled.T, 0.0, squarings - 1) + rounding)) * SLACK)
    return float(np.ldexp(bound + coefficient_error * frobenius, exponent))
