"""BLAS and LAPACK kernels that work on blocks in place and let other threads run.

SciPy's own wrappers hold Python's lock and copy every block that is not contiguous. Its library is the same here,
called through the addresses that `scipy.linalg.cython_blas` publishes: a block of a matrix is passed with its row
length, and several threads work on several matrices at once. Arrays are float64 or complex128, two-dimensional unless
said otherwise.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from typing import Any

import numpy as np

from sdpcert.arithmetic.threads import each, panels, threads

Array = np.ndarray
_INTEGER = ctypes.c_int
_BLAS: Any = importlib.import_module("scipy.linalg.cython_blas")
_WRAPPED_BLAS: Any = importlib.import_module("scipy.linalg.blas")
_WRAPPED_LAPACK: Any = importlib.import_module("scipy.linalg.lapack")
_LAPACK: Any = importlib.import_module("scipy.linalg.cython_lapack")
#: Products of matrices, and with vectors, of up to this many multiplications take NumPy's shorter way; neither library
#: uses threads for them (OpenBLAS: 4 * 65536 and 4 * 2304).
SMALL, SMALL_VECTOR = 2**18, 9000
#: Products of whole matrices of up to this many multiplications, and factors of up to this order, go through SciPy's
#: wrappers: what a call by address costs is more than what Python's lock does.
WRAPPED, WRAPPED_ORDER = 2**22, 128
#: Products and solves of this many multiplications or more are divided among a few threads by the main thread. The
#: library's own threads spin while they wait, which costs a loaded machine far more than they save.
DIVIDED = 30_000_000
#: A Cholesky factor of this order or more is divided, in panels of so many columns.
DIVIDED_FACTOR, PANEL = 700, 160


def _panels(size: int, work: int) -> list[slice]:
    """Slices of one axis for several threads: a single one if more would not pay, or if this is not the main thread."""
    return panels(size, threads() if work >= DIVIDED else 1)


@cache
def _function(name: str, arguments: int) -> Any:
    capsule = (_BLAS if name in _BLAS.__pyx_capi__ else _LAPACK).__pyx_capi__[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = get_pointer(capsule, get_name(capsule))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(address)


def _call(name: str, kind: np.dtype[Any], *arguments: Any) -> None:
    """Call `d<name>` or `z<name>`; characters, integers and scalars are passed by reference as Fortran wants."""
    passed = [
        _integer(argument)
        if type(argument) is int
        else argument.__array_interface__["data"][0]
        if type(argument) is np.ndarray
        else argument
        for argument in arguments
    ]
    _function(("z" if kind.kind == "c" else "d") + name, len(arguments))(*passed)


@cache
def _integer(value: int) -> Any:
    """A reference to an integer that no routine writes to."""
    return ctypes.byref(_INTEGER(value))


@cache
def _scalar(value: float, kind: str) -> Any:
    return (ctypes.c_double * 2)(value, 0.0) if kind == "c" else (ctypes.c_double * 1)(value)


def _layout(matrix: Array) -> tuple[Array, int, bool]:
    """The matrix, the distance of its columns (rows, if row major), and whether it is row major; copied if it is
    neither.
    """
    rows, columns = matrix.shape
    size = matrix.itemsize
    by_row, by_column = matrix.strides
    if by_column == size or columns == 1:
        if rows == 1 or (by_row % size == 0 and by_row >= size * max(columns, 1)):
            return matrix, max(by_row // size if rows > 1 else columns, columns, 1), True
    if (by_row == size or rows == 1) and by_column % size == 0 and by_column >= size * max(rows, 1):
        return matrix, max(by_column // size, rows, 1), False
    matrix = np.ascontiguousarray(matrix)
    return matrix, max(columns, 1), True


def product(left: Array, right: Array, into: Array | None = None, scale: float = 1.0) -> Array:
    """`scale * left @ right`, row major; with `into`, a block of a row-major matrix, it is added there."""
    m, n, k = left.shape[0], right.shape[1], left.shape[1]
    if m * n * k <= SMALL:
        if into is None:
            return left @ right if scale == 1.0 else scale * (left @ right)
        into += scale * (left @ right)
        return into
    if into is None and m * n * k <= WRAPPED and left.dtype == right.dtype == np.float64:
        # Fortran sees the transposes: C' = B' A'.
        b, turn_b = (right, 1) if right.flags.f_contiguous else (right.T, 0)
        a, turn_a = (left, 1) if left.flags.f_contiguous else (left.T, 0)
        return _WRAPPED_BLAS.dgemm(scale, b, a, trans_a=turn_b, trans_b=turn_a).T
    kind = np.result_type(left, right)
    left, right = left.astype(kind, copy=False), right.astype(kind, copy=False)
    result = np.empty((m, n), dtype=kind) if into is None else into
    a, step_a, by_row_a = _layout(left)
    b, step_b, by_row_b = _layout(right)
    c, step_c, by_row_c = _layout(result)
    if c is not result or not by_row_c or result.dtype != kind:
        result += scale * (left @ right)
        return result
    keep, factor = _scalar(0.0 if into is None else 1.0, kind.kind), _scalar(scale, kind.kind)
    # Fortran sees the transposes: C' = B' A'.
    turn_b, turn_a = (b"N" if by_row_b else b"T"), (b"N" if by_row_a else b"T")

    def multiply(rows: slice) -> None:
        count = rows.stop - rows.start
        _call("gemm", kind, turn_b, turn_a, n, count, k, factor, b, step_b, a[rows], step_a, keep, c[rows], step_c)

    each(multiply, _panels(m, m * n * k))
    return result


def apply(matrix: Array, vector: Array) -> Array:
    """`matrix @ vector` for a vector."""
    if matrix.size <= SMALL_VECTOR:
        return matrix @ vector
    kind = np.result_type(matrix, vector)
    matrix, vector = matrix.astype(kind, copy=False), np.ascontiguousarray(vector, dtype=kind)
    result = np.empty(len(matrix), dtype=kind)
    a, step, by_row = _layout(matrix)
    rows, columns = (matrix.shape[1], matrix.shape[0]) if by_row else matrix.shape
    one, zero = _scalar(1.0, kind.kind), _scalar(0.0, kind.kind)
    _call("gemv", kind, b"T" if by_row else b"N", rows, columns, one, a, step, vector, 1, zero, result, 1)
    return result


def cholesky(matrix: Array, in_place: bool = False) -> Array | None:
    """Lower Cholesky factor of a Hermitian matrix (column major), or None if it is not positive definite.

    With `in_place` a real matrix of either order gives its memory to the factor, and is lost in any case.
    """
    if in_place and matrix.dtype == np.float64 and (matrix.flags.c_contiguous or matrix.flags.f_contiguous):
        factor = matrix if matrix.flags.f_contiguous else matrix.T
    else:
        factor = np.array(matrix, order="F")
    n = len(factor)
    if not n:
        return factor
    if n <= WRAPPED_ORDER:
        find = _WRAPPED_LAPACK.zpotrf if factor.dtype.kind == "c" else _WRAPPED_LAPACK.dpotrf
        factor, info = find(factor, lower=1, clean=1, overwrite_a=1)
        return factor if info == 0 and np.isfinite(factor.diagonal()).all() else None
    whole = n < DIVIDED_FACTOR or threads() == 1
    if not (_small_factor(factor) if whole else all(_factor_panel(factor, own) for own in range(0, n, PANEL))):
        return None
    if not np.all(np.isfinite(factor.diagonal())):
        return None
    for own in range(0, n, PANEL):
        factor[:own, own : own + PANEL] = 0.0
        corner = factor[own : own + PANEL, own : own + PANEL]
        np.copyto(corner, 0.0, where=_upper(len(corner)))
    return factor


def _small_factor(block: Array) -> bool:
    """Replace the lower part of a block of a column-major matrix by its factor; False if it is not definite."""
    info = _INTEGER(0)
    step = block.strides[1] // block.itemsize if len(block) > 1 else 1
    _call("potrf", block.dtype, b"L", len(block), block, max(step, len(block)), ctypes.byref(info))
    return info.value == 0


def _factor_panel(factor: Array, own: int) -> bool:
    """Factor the columns from `own` on and subtract what they hold from the lower part of the later ones."""
    n, kind = len(factor), factor.dtype
    stop = min(own + PANEL, n)
    size = stop - own
    diagonal = factor[own:stop, own:stop]
    if not _small_factor(diagonal):
        return False
    one, minus = _scalar(1.0, kind.kind), _scalar(-1.0, kind.kind)

    def divide(rows: slice) -> None:
        below = factor[stop + rows.start : stop + rows.stop, own:stop]
        _call("trsm", kind, b"R", b"L", b"C", b"N", len(below), size, one, diagonal, n, below, n)

    def subtract(column: int) -> None:
        left, right = factor[column:, own:stop], factor[column : column + PANEL, own:stop]
        into = factor[column:, column : column + PANEL]
        _call("gemm", kind, b"N", b"C", len(left), len(right), size, minus, left, n, right, n, one, into, n)

    if stop < n:
        each(divide, panels(n - stop, threads()))
        each(subtract, list(range(stop, n, PANEL)))
    return True


@cache
def _upper(size: int) -> Array:
    return np.asfortranarray(np.triu(np.ones((size, size), dtype=bool), 1))


def triangular_inverse(factor: Array) -> Array:
    """Inverse of a lower triangular matrix (column major)."""
    if 0 < len(factor) <= WRAPPED_ORDER:
        find = _WRAPPED_LAPACK.ztrtri if factor.dtype.kind == "c" else _WRAPPED_LAPACK.dtrtri
        return find(factor, lower=1)[0]
    result = np.array(factor, order="F")
    if result.size:
        _call("trtri", result.dtype, b"L", b"N", len(result), result, len(result), ctypes.byref(_INTEGER(0)))
    return result


def congruence(triangular: Array, matrix: Array) -> Array:
    """`T matrix T*` for a lower triangular T (column major) and a Hermitian matrix."""
    if 0 < len(matrix) <= WRAPPED_ORDER and triangular.dtype == matrix.dtype == np.float64:
        # A Hermitian matrix by rows is itself by columns.
        left = _WRAPPED_BLAS.dtrmm(1.0, triangular, matrix.T, lower=1)
        return _WRAPPED_BLAS.dtrmm(1.0, triangular, left, side=1, lower=1, trans_a=1, overwrite_b=1).T
    return product(product(triangular, matrix), triangular.conj().T)


def triangular_solve(factor: Array, right: Array, adjoint: bool = False) -> Array:
    """Solve `L x = right`, or `L* x = right` with `adjoint`, for a matrix; L is lower triangular."""
    kind = np.result_type(factor, right)
    factor = factor.astype(kind, copy=False)
    a, step, by_row = _layout(factor)
    one = _scalar(1.0, kind.kind)
    if adjoint and kind.kind == "c":
        result = np.array(right, dtype=kind, order="F")
        if by_row and len(factor) > 1:  # what Fortran sees is L', and conj(L') is wanted
            return triangular_solve(np.asfortranarray(factor), right, True)
        m, n = result.shape
        if result.size:
            _call("trsm", kind, b"L", b"L", b"C", b"N", m, n, one, a, step, result, max(m, 1))
        return result
    # Row major: x' L' = right' is solved from the right; Fortran sees L' (upper) or L (lower).
    result = np.array(right, dtype=kind, order="C")
    n, m = result.shape
    transposed = (not by_row) != adjoint
    side, turn = (b"U" if by_row else b"L"), (b"T" if transposed else b"N")

    def divide(columns: slice) -> None:
        part = result[:, columns]
        _call("trsm", kind, b"R", side, turn, b"N", part.shape[1], n, one, a, step, part, max(m, 1))

    if result.size:
        each(divide, _panels(m, n * n * m // 2))
    return result


def triangular_solve_vector(factor: Array, vector: Array, adjoint: bool = False) -> Array:
    """Solve `L x = vector`, or `L* x = vector`, for a vector; L is lower triangular and column major."""
    kind = np.result_type(factor, vector)
    factor, result = np.asfortranarray(factor, dtype=kind), np.array(vector, dtype=kind)
    n = len(factor)
    if n:
        _call("trsv", kind, b"L", b"C" if adjoint else b"N", b"N", n, factor, n, result, 1)
    return result


def apply_hermitian(matrix: Array, vector: Array) -> Array:
    """`matrix @ vector` for a Hermitian row-major matrix, of which only the lower part is read if it is real."""
    if matrix.size <= SMALL // 4 or matrix.dtype != np.float64 or not matrix.flags.c_contiguous:
        return apply(matrix, vector)
    vector = np.ascontiguousarray(vector, dtype=np.float64)
    result = np.empty(len(matrix))
    one, zero = _scalar(1.0, "f"), _scalar(0.0, "f")
    _call("symv", matrix.dtype, b"U", len(matrix), one, matrix, len(matrix), vector, 1, zero, result, 1)
    return result


def solve(factor: Array, right: Array) -> Array:
    """Solve `L L* x = right` for a vector."""
    if 0 < len(factor) <= WRAPPED_ORDER and factor.dtype == right.dtype == np.float64:
        return _WRAPPED_LAPACK.dpotrs(factor, right, lower=1)[0]
    kind = np.result_type(factor, right)
    factor, result = np.asfortranarray(factor, dtype=kind), np.array(right, dtype=kind)
    n = len(factor)
    if n:
        _call("potrs", kind, b"L", n, 1, factor, n, result, n, ctypes.byref(_INTEGER(0)))
    return result
