"""The few array operations that solvers need beyond arithmetic and slicing, for NumPy and for torch.

Everything else in the solvers is written in the part of the two libraries that is common: `*`, `.T`, `.sum(axis)`,
slices. Factorizations return None instead of raising if a matrix is not positive definite.

NumPy and SciPy each carry a BLAS with its own threads, which wait for work by spinning: a product in one and a
factorization in the other fight for the cores (measured: 128 ms instead of 6 ms for the pair at order 512 on 4
cores). So products go through SciPy's BLAS like the factorizations (`blas.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import threadpoolctl

from sdpcert.arithmetic import blas, threads
from sdpcert.arithmetic.unseen import HOLDS, Unseen

Matrix = Any
#: Columns of a panel that a core's cache holds at usual orders, and of one that keeps a device busy.
HOST_PANEL, DEVICE_PANEL = 192, 4096


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One thread for the BLAS library, whatever the size; `blas.py` divides large products among threads of its own.

    The library's threads spin while they wait. On four idle cores they win a tenth at N = 1000 (10.1 s against 11.1 s);
    with half of the cores busy they take 97 s against 11 s.
    """
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(imported: int) -> threadpoolctl.ThreadpoolController:
    """The libraries with threads of their own; looking for them takes milliseconds, and only imports bring new ones."""
    return threadpoolctl.ThreadpoolController()


class Arrays(Protocol):
    """Linear algebra on one kind of array, float64 or complex128."""

    #: Whether several threads of the caller may work at once.
    parallel: bool
    #: How many steps of a recurrence to take before its numbers are looked at: a look waits for the device.
    unseen: int
    #: Orders up to which a condition is solved with whole matrices of NumPy instead of blocks.
    small: int

    def asarray(self, values: Any) -> Matrix:
        """Move values to this library and device."""
        ...

    def numpy(self, values: Matrix) -> np.ndarray:
        """Copy to a NumPy array."""
        ...

    def numbers(self, values: Sequence[Matrix]) -> np.ndarray:
        """Several real numbers that are computed where the arrays are, in one transfer."""
        ...

    def indices(self, values: np.ndarray) -> Matrix:
        """Integers as an index of vectors, where the vectors are."""
        ...

    def zeros(self, *shape: int, like: Matrix | None = None) -> Matrix:
        """An array of zeros, real or of the type of `like`."""
        ...

    def panels(self, size: int) -> list[slice]:
        """A matrix's columns, or rows, in slices to work on one after the other: what fits a cache, or keeps a device
        busy.
        """
        ...

    def each(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """The function's value for each argument, by several threads if the library has any use for them."""
        ...

    def contiguous(self, values: Matrix) -> Matrix:
        """The same values in row-major order."""
        ...

    def product(self, left: Matrix, right: Matrix) -> Matrix:
        """Matrix product of two matrices."""
        ...

    def add_product(self, into: Matrix, left: Matrix, right: Matrix, scale: float = 1.0) -> None:
        """Add `scale * left @ right` to a block of a matrix, in place."""
        ...

    def apply(self, matrix: Matrix, vector: Matrix) -> Matrix:
        """Matrix times vector."""
        ...

    def apply_hermitian(self, matrix: Matrix, vector: Matrix) -> Matrix:
        """Hermitian matrix times vector."""
        ...

    def log(self, values: Matrix) -> Matrix:
        """Natural logarithms."""
        ...

    def sqrt(self, values: Matrix) -> Matrix:
        """Square roots."""
        ...

    def where(self, condition: Matrix, values: Matrix, other: float) -> Matrix:
        """The values where the condition holds, `other` elsewhere."""
        ...

    def cholesky(self, matrix: Matrix) -> Matrix | None:
        """Lower Cholesky factor of a Hermitian matrix, or None."""
        ...

    def attempt_cholesky(self, matrix: Matrix) -> tuple[Matrix, Unseen[bool]] | None:
        """What is the lower Cholesky factor of a Hermitian matrix if what comes with it is true; None where it is known
        that there is none.
        """
        ...

    def factor_upper(self, matrix: Matrix) -> tuple[Matrix, Unseen[bool]] | None:
        """The same for the Hermitian matrix whose upper part is given, in its memory where that is possible: the matrix
        is lost.
        """
        ...

    def whitening(self, factor: Matrix) -> tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]:
        """`L^-1` and `L^-*` for a lower triangular matrix, as functions of vectors that are called many times."""
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

    def inner(self, left: Matrix, right: Matrix) -> Any:
        """`Re sum_ij left_ij conj(right_ij)`, a number where the arrays are."""
        ...

    def matched(self, *pairs: tuple[Matrix, Matrix]) -> Matrix:
        """`Re left_ij conj(right_ij)`, entry by entry, summed over the pairs."""
        ...


def _as_real(matrix: np.ndarray) -> np.ndarray:
    if not np.iscomplexobj(matrix):
        return matrix
    matrix = matrix if matrix.strides[-1] == matrix.itemsize else np.ascontiguousarray(matrix)
    return matrix.view(np.float64)


class NumpyArrays:
    """NumPy arrays, SciPy's BLAS and LAPACK."""

    parallel, unseen, small = True, 4, 128

    def asarray(self, values: Any) -> np.ndarray:
        return np.asarray(values, dtype=np.complex128 if np.iscomplexobj(values) else np.float64)

    def numpy(self, values: np.ndarray) -> np.ndarray:
        return np.array(values)

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        return np.array(values, dtype=np.float64)

    def indices(self, values: np.ndarray) -> np.ndarray:
        return values

    def zeros(self, *shape: int, like: np.ndarray | None = None) -> np.ndarray:
        return np.zeros(shape, dtype=np.float64 if like is None else like.dtype)

    def panels(self, size: int) -> list[slice]:
        count, workers = -(-size // HOST_PANEL), threads.threads()
        return threads.panels(size, count if count == 1 else -(-count // workers) * workers)

    def each(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        return threads.each(function, arguments)

    def contiguous(self, values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values)

    def product(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return blas.product(left, right)

    def add_product(self, into: np.ndarray, left: np.ndarray, right: np.ndarray, scale: float = 1.0) -> None:
        blas.product(left, right, into, scale)

    def apply(self, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
        return blas.apply(matrix, vector)

    def apply_hermitian(self, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
        return blas.apply_hermitian(matrix, vector)

    def log(self, values: np.ndarray) -> np.ndarray:
        return np.log(values)

    def sqrt(self, values: np.ndarray) -> np.ndarray:
        return np.sqrt(values)

    def where(self, condition: np.ndarray, values: np.ndarray, other: float) -> np.ndarray:
        return np.where(condition, values, other)

    def cholesky(self, matrix: np.ndarray) -> np.ndarray | None:
        return blas.cholesky(matrix)

    def attempt_cholesky(self, matrix: np.ndarray) -> tuple[np.ndarray, Unseen[bool]] | None:
        factor = self.cholesky(matrix)
        return None if factor is None else (factor, HOLDS)

    def factor_upper(self, matrix: np.ndarray) -> tuple[np.ndarray, Unseen[bool]] | None:
        if matrix.dtype == np.float64:  # what is read row by row as the upper part is the lower one column by column
            factor = blas.cholesky(matrix.T, in_place=True)
        else:
            factor = blas.cholesky(matrix.conj().T)
        return None if factor is None else (factor, HOLDS)

    def whitening(self, factor: np.ndarray) -> tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]:
        solve = blas.triangular_solve_vector
        return (lambda vector: solve(factor, vector)), (lambda vector: solve(factor, vector, True))

    def triangular_inverse(self, factor: np.ndarray) -> np.ndarray:
        return blas.triangular_inverse(factor)

    def triangular_solve(self, factor: np.ndarray, right: np.ndarray, adjoint: bool = False) -> np.ndarray:
        return blas.triangular_solve(factor, right, adjoint)

    def solve(self, factor: np.ndarray, right: np.ndarray) -> np.ndarray:
        return blas.solve(factor, right)

    def row_dots(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", _as_real(left), _as_real(right))

    def inner(self, left: np.ndarray, right: np.ndarray) -> float:
        return float(np.einsum("ij,ij->", _as_real(left), _as_real(right)))

    def matched(self, *pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        total = np.multiply(*map(_as_real, pairs[0]))
        for pair in pairs[1:]:
            total += np.multiply(*map(_as_real, pair))
        return total[:, 0::2] + total[:, 1::2] if np.iscomplexobj(pairs[0][0]) else total


class TorchArrays:
    """Torch tensors on a device."""

    parallel, unseen, small = False, 24, 0

    def __init__(self, device: str) -> None:
        try:
            import torch
        except ImportError:
            raise ImportError(f"device {device!r} needs torch: pip install 'sdpcert[torch]'") from None
        self.torch = torch
        try:
            self.device = torch.device(device)
            if self.device.type not in ("cpu", "cuda"):
                raise ValueError(f"device {device!r} is not supported: use cpu or cuda")
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device {device!r} is not available: {str(error).splitlines()[0]}") from None

    def asarray(self, values: Any) -> Any:
        values = np.asarray(values, dtype=np.complex128 if np.iscomplexobj(values) else np.float64)
        return self.torch.as_tensor(values, device=self.device)

    def numpy(self, values: Any) -> np.ndarray:
        return values.detach().resolve_conj().cpu().numpy().copy()

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        return self.numpy(self.torch.stack([value.to(self.torch.float64) for value in values]))

    def indices(self, values: np.ndarray) -> Any:
        return self.torch.as_tensor(values, device=self.device)

    def zeros(self, *shape: int, like: Any = None) -> Any:
        dtype = self.torch.float64 if like is None else like.dtype
        return self.torch.zeros(shape, dtype=dtype, device=self.device)

    def panels(self, size: int) -> list[slice]:
        return threads.panels(size, -(-size // DEVICE_PANEL))

    def each(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        return [function(argument) for argument in arguments]

    def contiguous(self, values: Any) -> Any:
        return values.contiguous()

    def product(self, left: Any, right: Any) -> Any:
        left, right = self._alike(left, right)
        return left @ right

    def add_product(self, into: Any, left: Any, right: Any, scale: float = 1.0) -> None:
        left, right, _ = self._alike(left, right, into)
        into.addmm_(left, right, alpha=scale)

    def apply(self, matrix: Any, vector: Any) -> Any:
        return self.product(matrix, vector)

    def apply_hermitian(self, matrix: Any, vector: Any) -> Any:
        return self.product(matrix, vector)

    def _alike(self, *values: Any) -> tuple[Any, ...]:
        """All complex if any is: torch multiplies no real matrix by a complex one."""
        if any(value.is_complex() for value in values):
            return tuple(value.to(self.torch.complex128) for value in values)
        return values

    def factor_upper(self, matrix: Any) -> tuple[Any, Unseen[bool]] | None:
        if matrix.is_complex():
            return self.attempt_cholesky(matrix.mH)
        # What is read row by row as the upper part is the lower one column by column, as LAPACK has it.
        info = self.torch.empty((), dtype=self.torch.int32, device=self.device)
        self.torch.linalg.cholesky_ex(matrix.mT, out=(matrix.mT, info))
        return matrix.mT, self._is_factor(matrix, info)

    def whitening(self, factor: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        # A device solves with one vector row by row, and multiplies with the inverse at the speed of its memory.
        inverse = self.triangular_inverse(factor)
        return (lambda vector: self.product(inverse, vector)), (lambda vector: self.product(inverse.mH, vector))

    def log(self, values: Any) -> Any:
        return self.torch.log(values)

    def sqrt(self, values: Any) -> Any:
        return self.torch.sqrt(values)

    def where(self, condition: Any, values: Any, other: float) -> Any:
        return self.torch.where(condition, values, other)

    def cholesky(self, matrix: Any) -> Any | None:
        factor, holds = self.attempt_cholesky(matrix)
        return factor if holds.seen(self) else None

    def attempt_cholesky(self, matrix: Any) -> tuple[Any, Unseen[bool]]:
        factor, info = self.torch.linalg.cholesky_ex(matrix)
        return factor, self._is_factor(factor, info)

    def _is_factor(self, factor: Any, info: Any) -> Unseen[bool]:
        good = (info == 0) & self.torch.isfinite(factor.diagonal()).all()
        return Unseen((good,), lambda seen: bool(seen[0]))

    def triangular_inverse(self, factor: Any) -> Any:
        identity = self.torch.eye(len(factor), dtype=factor.dtype, device=self.device)
        return self.torch.linalg.solve_triangular(factor, identity, upper=False)

    def triangular_solve(self, factor: Any, right: Any, adjoint: bool = False) -> Any:
        factor, right = self._alike(factor, right)
        return self.torch.linalg.solve_triangular(factor.mH if adjoint else factor, right, upper=adjoint)

    def solve(self, factor: Any, right: Any) -> Any:
        return self.torch.cholesky_solve(right[:, None], factor)[:, 0]

    def row_dots(self, left: Any, right: Any) -> Any:
        return self.matched((left, right)).sum(1)

    def inner(self, left: Any, right: Any) -> Any:
        return self.matched((left, right)).sum()

    def matched(self, *pairs: tuple[Any, Any]) -> Any:
        total = pairs[0][0] * pairs[0][1].conj()
        for left, right in pairs[1:]:
            total.addcmul_(left, right.conj())
        return total.real if total.is_complex() else total


def arrays_on(device: str) -> Arrays:
    """The array library for a device: NumPy for "cpu", torch for everything else ("cuda", "cuda:1", "torch:cpu").

    Raises ValueError if the device does not exist and ImportError if torch is missing.
    """
    if device == "cpu":
        return NumpyArrays()
    return TorchArrays(device.removeprefix("torch:"))
