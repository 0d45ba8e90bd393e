"""The few array operations that solvers need beyond arithmetic and slicing, for NumPy and for torch.

Everything else in the solvers is written in the part of the two libraries that is common: `*`, `.T`, `.sum(axis)`,
slices. Factorizations return None instead of raising where a matrix is not positive definite.

NumPy and SciPy each carry a BLAS with its own threads, which wait for work by spinning: a product in one and a
factorization in the other fight for the cores (measured: 128 ms instead of 6 ms for the pair at order 512 on 4
cores). So products go through SciPy's BLAS like the factorizations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import threadpoolctl
from scipy.linalg import get_blas_funcs, get_lapack_funcs

Matrix = Any


_gemm, _gemv = get_blas_funcs(("gemm", "gemv"), dtype=np.float64)
_potrf, _potrs, _trtri, _lauum = get_lapack_funcs(("potrf", "potrs", "trtri", "lauum"), dtype=np.float64)

#: Below this order several threads gain little, and lose much where other programs use the cores too.
THREADED_ORDER = 1000


@contextmanager
def threads_for(order: int) -> Iterator[None]:
    """Run BLAS on one thread while matrices are small, and leave the number alone where they are not."""
    if order >= THREADED_ORDER:
        yield
        return
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


class Arrays(Protocol):
    """Linear algebra on one kind of array, float64."""

    def asarray(self, values: Any) -> Matrix:
        """Move values to this library and device."""
        ...

    def numpy(self, values: Matrix) -> np.ndarray:
        """Copy to a NumPy array."""
        ...

    def zeros(self, *shape: int) -> Matrix:
        """An array of zeros."""
        ...

    def contiguous(self, values: Matrix) -> Matrix:
        """The same values in row-major order."""
        ...

    def product(self, left: Matrix, right: Matrix) -> Matrix:
        """Matrix product of two matrices."""
        ...

    def apply(self, matrix: Matrix, vector: Matrix) -> Matrix:
        """Matrix times vector."""
        ...

    def cholesky(self, matrix: Matrix) -> Matrix | None:
        """Lower Cholesky factor of a symmetric matrix, or None."""
        ...

    def triangular_inverse(self, factor: Matrix) -> Matrix:
        """Inverse of a lower triangular matrix."""
        ...

    def inverse(self, inverse_factor: Matrix) -> Matrix:
        """`T' T` for a lower triangular T: the inverse of a matrix from that of its Cholesky factor."""
        ...

    def solve(self, factor: Matrix, right: Matrix) -> Matrix:
        """Solve `L L' x = right` for a vector."""
        ...

    def synchronize(self) -> None:
        """Wait until the device is done."""
        ...


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left @ right` of two float64 matrices through SciPy's BLAS, C-contiguous."""
    if left.shape[0] == 0 or left.shape[1] == 0 or right.shape[1] == 0:
        return np.zeros((left.shape[0], right.shape[1]))
    # BLAS is column major: the transposed product of transposed matrices is the wanted one in row-major order.
    (a, turn_a), (b, turn_b) = _column_major(right.T), _column_major(left.T)
    return _gemm(1.0, a, b, trans_a=turn_a, trans_b=turn_b).T


def _column_major(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    if matrix.flags.f_contiguous:
        return matrix, False
    if matrix.flags.c_contiguous:
        return matrix.T, True
    return np.asfortranarray(matrix), False


def cholesky(matrix: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor of a symmetric matrix, or None where it is not positive definite."""
    # The transpose of a C-ordered symmetric matrix is the Fortran-ordered matrix that LAPACK wants, without a copy.
    factor, info = _potrf(matrix.T, lower=1, clean=1)
    return factor if info == 0 and np.all(np.isfinite(np.diagonal(factor))) else None


class NumpyArrays:
    """NumPy arrays, SciPy's BLAS and LAPACK."""

    def asarray(self, values: Any) -> np.ndarray:
        return np.asarray(values, dtype=float)

    def numpy(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, dtype=float)

    def zeros(self, *shape: int) -> np.ndarray:
        return np.zeros(shape)

    def contiguous(self, values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values)

    def product(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return product(left, right)

    def apply(self, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
        a, turn = _column_major(matrix)
        return _gemv(1.0, a, vector, trans=turn)

    def cholesky(self, matrix: np.ndarray) -> np.ndarray | None:
        return cholesky(matrix)

    def triangular_inverse(self, factor: np.ndarray) -> np.ndarray:
        return _trtri(factor, lower=1)[0]

    def inverse(self, inverse_factor: np.ndarray) -> np.ndarray:
        upper = _lauum(inverse_factor, lower=1)[0].T  # row major, the upper triangle holds the result
        upper = np.triu(upper)
        full = upper + upper.T
        full.reshape(-1)[:: len(full) + 1] *= 0.5
        return full

    def solve(self, factor: np.ndarray, right: np.ndarray) -> np.ndarray:
        return _potrs(factor, right, lower=1)[0]

    def synchronize(self) -> None:
        return None


class TorchArrays:
    """Torch tensors on a device."""

    def __init__(self, device: str) -> None:
        try:
            import torch
        except ImportError:
            raise ImportError("device needs torch: pip install 'sdpcert[torch]'") from None
        self.torch = torch
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device {device!r} is not available: {str(error).splitlines()[0]}") from None

    def asarray(self, values: Any) -> Any:
        return self.torch.as_tensor(np.asarray(values, dtype=float), dtype=self.torch.float64, device=self.device)

    def numpy(self, values: Any) -> np.ndarray:
        return values.detach().cpu().numpy().copy()

    def zeros(self, *shape: int) -> Any:
        return self.torch.zeros(shape, dtype=self.torch.float64, device=self.device)

    def contiguous(self, values: Any) -> Any:
        return values.contiguous()

    def product(self, left: Any, right: Any) -> Any:
        return left @ right

    def apply(self, matrix: Any, vector: Any) -> Any:
        return matrix @ vector

    def cholesky(self, matrix: Any) -> Any | None:
        factor, info = self.torch.linalg.cholesky_ex(matrix)
        return factor if int(info) == 0 and bool(self.torch.isfinite(factor.diagonal()).all()) else None

    def triangular_inverse(self, factor: Any) -> Any:
        identity = self.torch.eye(len(factor), dtype=factor.dtype, device=self.device)
        return self.torch.linalg.solve_triangular(factor, identity, upper=False)

    def inverse(self, inverse_factor: Any) -> Any:
        return inverse_factor.T @ inverse_factor

    def solve(self, factor: Any, right: Any) -> Any:
        return self.torch.cholesky_solve(right[:, None], factor)[:, 0]

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)


def arrays_on(device: str) -> Arrays:
    """The array library for a device: NumPy for "cpu", torch for everything else ("cuda", "cuda:1", "torch:cpu").

    Raises ValueError where the device does not exist and ImportError where torch is missing.
    """
    if device == "cpu":
        return NumpyArrays()
    return TorchArrays(device.removeprefix("torch:"))
