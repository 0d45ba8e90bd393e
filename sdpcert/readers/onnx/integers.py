"""Arithmetic on integer constants that is exact or refused: NumPy wraps around at the ends of a type in silence."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sdpcert.readers.errors import UnsupportedModel

Array = np.ndarray
_LARGEST = 2**63 - 1


def exactly(function: Callable[..., Array], size: Callable[..., int], *operands: Array) -> Array:
    """`function` of integer arrays in 64 bits, in the operands' type.

    `size`, a function of the operands' largest absolute values, bounds everything that is computed on the way. Raises
    `UnsupportedModel` where that or the result may overflow.
    """
    kind = np.result_type(*operands)
    if kind.kind not in "iu":
        raise UnsupportedModel(f"it computes with constants of types {', '.join(str(o.dtype) for o in operands)}")
    if size(*(largest(o) for o in operands)) > _LARGEST:
        raise UnsupportedModel("an integer constant overflows; store its value")
    return within(np.asarray(function(*(o.astype(np.int64) for o in operands))), kind)


def largest(values: Array) -> int:
    """The largest absolute value of an integer array, 0 where there is none."""
    return max(-int(values.min()), int(values.max()), 0) if values.size else 0


def within(values: Array, kind: np.dtype) -> Array:
    """Integers in another integer type; `UnsupportedModel` where one does not fit into it."""
    ends = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    if values.size and not (ends[0] <= int(values.min()) and int(values.max()) <= ends[1]):
        raise UnsupportedModel(f"an integer constant does not fit into the type {kind}; store its value")
    return values.astype(kind)


def floats_as(values: Array, kind: np.dtype) -> Array:
    """Floats cut off to whole numbers of an integer type, as casts do; `UnsupportedModel` where one does not fit."""
    if not np.all(np.isfinite(values)):
        raise UnsupportedModel("a constant that is not finite is cast to an integer")
    whole = np.trunc(values)
    ends = np.iinfo(kind)
    if whole.size and not (
        float(ends.min) <= whole.min() and whole.max() < math.ldexp(1.0, int(ends.max).bit_length())
    ):
        raise UnsupportedModel(f"a constant does not fit into the type {kind}, to which it is cast")
    return whole.astype(kind)
