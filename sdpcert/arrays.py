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


class _Kernels:
    """SciPy's BLAS and LAPACK for one type of numbers."""

    def __init__(self, dtype: type) -> None:
        self.gemm, self.gemv, self.trsm = get_blas_funcs(("gemm", "gemv", "trsm"), dtype=dtype)
        self.potrf, self.potrs, self.trtri = get_lapack_funcs(("potrf", "potrs", "trtri"), dtype=dtype)


_REAL, _COMPLEX = _Kernels(np.float64), _Kernels(np.complex128)


def _kernels(*matrices: np.ndarray) -> _Kernels:
    return _COMPLEX if any(np.iscomplexobj(m) for m in matrices) else _REAL


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
    """Linear algebra on one kind of array, float64 or complex128."""

    #: Whether several threads of the caller may work at once.
    parallel: bool

    def asarray(self, values: Any) -> Matrix:
        """Move values to this library and device."""
        ...

    def numpy(self, values: Matrix) -> np.ndarray:
        """Copy to a NumPy array."""
        ...

    def zeros(self, *shape: int, like: Matrix | None = None) -> Matrix:
        """An array of zeros, real or of the type of `like`."""
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
        """Lower Cholesky factor of a Hermitian matrix, or None."""
        ...

    def triangular_inverse(self, factor: Matrix) -> Matrix:
        """Inverse of a lower triangular matrix."""
        ...

    def triangular_solve(self, factor: Matrix, right: Matrix, adjoint: bool = False) -> Matrix:
        """Solve `L x = right`, or `L* x = right`, for a matrix."""
        ...

    def solve(self, factor: Matrix, right: Matrix) -> Matrix:
        """Solve `L L* x = right` for a vector."""
        ...

    def row_dots(self, left: Matrix, right: Matrix) -> Matrix:
        """`Re sum_j left_ij conj(right_ij)` for every row i."""
        ...

    def inner(self, left: Matrix, right: Matrix) -> float:
        """`Re sum_ij left_ij conj(right_ij)`."""
        ...

    def matched(self, left: Matrix, right: Matrix) -> Matrix:
        """`Re left_ij conj(right_ij)`, entry by entry."""
        ...


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left @ right` of two matrices through SciPy's BLAS, C-contiguous."""
    if left.shape[0] == 0 or left.shape[1] == 0 or right.shape[1] == 0:
        return np.zeros((left.shape[0], right.shape[1]), dtype=np.result_type(left, right))
    # BLAS is column major: the transposed product of transposed matrices is the wanted one in row-major order.
    (a, turn_a), (b, turn_b) = _column_major(right.T), _column_major(left.T)
    return _kernels(left, right).gemm(1.0, a, b, trans_a=turn_a, trans_b=turn_b).T


def _column_major(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    if matrix.flags.f_contiguous:
        return matrix, False
    if matrix.flags.c_contiguous:
        return matrix.T, True
    return np.asfortranarray(matrix), False


def cholesky(matrix: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor of a Hermitian matrix, or None where it is not positive definite."""
    if np.iscomplexobj(matrix):
        factor, info = _COMPLEX.potrf(np.asfortranarray(matrix), lower=1, clean=1)
    else:
        # The transpose of a C-ordered symmetric matrix is the Fortran-ordered one that LAPACK wants, without a copy.
        factor, info = _REAL.potrf(matrix.T, lower=1, clean=1)
    return factor if info == 0 and np.all(np.isfinite(np.diagonal(factor))) else None


def _as_real(matrix: np.ndarray) -> np.ndarray:
    if not np.iscomplexobj(matrix):
        return matrix
    return np.ascontiguousarray(matrix).view(np.float64)


class NumpyArrays:
    """NumPy arrays, SciPy's BLAS and LAPACK."""

    parallel = True

    def asarray(self, values: Any) -> np.ndarray:
        return np.asarray(values, dtype=np.complex128 if np.iscomplexobj(values) else np.float64)

    def numpy(self, values: np.ndarray) -> np.ndarray:
        return np.array(values)

    def zeros(self, *shape: int, like: np.ndarray | None = None) -> np.ndarray:
        return np.zeros(shape, dtype=np.float64 if like is None else like.dtype)

    def contiguous(self, values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values)

    def product(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return product(left, right)

    def apply(self, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
        a, turn = _column_major(matrix)
        return _kernels(matrix, vector).gemv(1.0, a, vector, trans=turn)

    def cholesky(self, matrix: np.ndarray) -> np.ndarray | None:
        return cholesky(matrix)

    def triangular_inverse(self, factor: np.ndarray) -> np.ndarray:
        return _kernels(factor).trtri(factor, lower=1)[0]

    def triangular_solve(self, factor: np.ndarray, right: np.ndarray, adjoint: bool = False) -> np.ndarray:
        # In row-major order: x' L' = right' is solved from the right.
        a, turn = _column_major(factor)
        lower, trans = (0, 0) if turn else (1, 1)  # a is L', upper, or L
        if adjoint:
            # x' conj(L) = right': conjugate everything.
            b = right.conj().T
            x = _kernels(factor, right).trsm(1.0, a, b, side=1, lower=lower, trans_a=1 - trans)
            return x.T.conj()
        return _kernels(factor, right).trsm(1.0, a, right.T, side=1, lower=lower, trans_a=trans).T

    def solve(self, factor: np.ndarray, right: np.ndarray) -> np.ndarray:
        return _kernels(factor, right).potrs(factor, right, lower=1)[0]

    def row_dots(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", _as_real(left), _as_real(right))

    def inner(self, left: np.ndarray, right: np.ndarray) -> float:
        return float(np.einsum("ij,ij->", _as_real(left), _as_real(right)))

    def matched(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        if np.iscomplexobj(left):
            return left.real * right.real + left.imag * right.imag
        return left * right


class TorchArrays:
    """Torch tensors on a device."""

    parallel = False

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
        values = np.asarray(values, dtype=np.complex128 if np.iscomplexobj(values) else np.float64)
        return self.torch.as_tensor(values, device=self.device)

    def numpy(self, values: Any) -> np.ndarray:
        return values.detach().resolve_conj().cpu().numpy().copy()

    def zeros(self, *shape: int, like: Any = None) -> Any:
        dtype = self.torch.float64 if like is None else like.dtype
        return self.torch.zeros(shape, dtype=dtype, device=self.device)

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

    def triangular_solve(self, factor: Any, right: Any, adjoint: bool = False) -> Any:
        return self.torch.linalg.solve_triangular(factor.mH if adjoint else factor, right, upper=adjoint)

    def solve(self, factor: Any, right: Any) -> Any:
        return self.torch.cholesky_solve(right[:, None], factor)[:, 0]

    def row_dots(self, left: Any, right: Any) -> Any:
        return self.matched(left, right).sum(1)

    def inner(self, left: Any, right: Any) -> float:
        return float(self.matched(left, right).sum())

    def matched(self, left: Any, right: Any) -> Any:
        if left.is_complex():
            return (left * right.conj()).real
        return left * right


def arrays_on(device: str) -> Arrays:
    """The array library for a device: NumPy for "cpu", torch for everything else ("cuda", "cuda:1", "torch:cpu").

    Raises ValueError where the device does not exist and ImportError where torch is missing.
    """
    if device == "cpu":
        return NumpyArrays()
    return TorchArrays(device.removeprefix("torch:"))
