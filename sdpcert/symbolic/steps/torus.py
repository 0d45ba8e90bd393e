"""One-dimensional convolutions with zero padding as crops of circular ones on a larger torus.

A kernel with taps c_o, |o| <= r, gives the matrix with the entries c_(i-j) for |i - j| <= r, zero padding, and on a
torus of N positions the circulant matrix whose entry (i, j) is the sum of all c_o with o = i - j modulo N. On the
first n positions both agree for N = n + r: |i - j - o| <= n - 1 + r < N, so that only o = i - j is left of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement, equal
from sdpcert.symbolic.expression import Expression, identity, matrix
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.meaning import Writer
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step
from sdpcert.symbolic.symbols import Dimension


@dataclass(frozen=True)
class Kernel:
    """Free taps c_-r, ..., c_r with the reach r = `torus` - `size`, or with the reach `reach` if that is a number."""

    name: str
    size: Dimension
    torus: Dimension
    reach: int | None = None

    def taps(self, instance: Instance) -> dict[int, Any]:
        """The taps by offset; raises ZeroDivisionError for a torus that is smaller than the image."""
        reach = instance.size(self.torus) - instance.size(self.size) if self.reach is None else self.reach
        if reach < 0:
            raise ZeroDivisionError("the torus is smaller than the image")
        drawn = instance.draw(f"{self.name} taps", 2 * reach + 1, 1)
        return {offset: drawn[offset + reach, 0] for offset in range(-reach, reach + 1)}


@dataclass(frozen=True)
class Convolution:
    """A kernel's matrix with the `padding` "zeros" or "reflect" (on the image) or "circular" (on the torus)."""

    kernel: Kernel
    padding: str

    def meaning(self, writer: Writer) -> dict[str, Any] | None:
        """The kernel and the padding; none where the reach is not what the torus exceeds the image by."""
        kernel = self.kernel
        sizes = [writer.size(kernel.size), writer.size(kernel.torus)]
        return {"convolution": [kernel.name, self.padding, *sizes]} if kernel.reach is None else None

    def __call__(self, instance: Instance) -> Any:
        """The matrix."""
        kernel = self.kernel
        size = instance.size(kernel.torus if self.padding == "circular" else kernel.size)
        made = 0 * instance.identity(size)
        for offset, tap in kernel.taps(instance).items():
            for row in range(size):
                column = row - offset
                if self.padding == "circular":
                    column %= size
                elif self.padding == "reflect":
                    column = -column if column < 0 else 2 * (size - 1) - column if column >= size else column
                    if not 0 <= column < size:
                        raise ZeroDivisionError("the kernel reaches further than the image")
                if 0 <= column < size:
                    made[row, column] = made[row, column] + tap
        return made


@dataclass(frozen=True)
class First:
    """The definition of the first `count` columns of the identity of size `size`."""

    size: Dimension
    count: Dimension

    def meaning(self, writer: Writer) -> dict[str, Any]:
        """The first columns of an identity."""
        return {"crop": []}

    def __call__(self, instance: Instance) -> Any:
        """The columns; raises ZeroDivisionError if there are not so many."""
        if instance.size(self.count) > instance.size(self.size):
            raise ZeroDivisionError("the torus is smaller than the image")
        return instance.identity(instance.size(self.size))[:, : instance.size(self.count)]


def convolution(name: str, kernel: Kernel, padding: str, latex: str | None = None) -> Expression:
    """The matrix of a kernel: "zeros" and "reflect" are of the image's size, "circular" of that of the torus."""
    if padding not in ("zeros", "circular", "reflect"):
        raise ValueError(f"padding is zeros, circular or reflect, not {padding!r}")
    size = kernel.torus if padding == "circular" else kernel.size
    return matrix(name, size, size, latex, Convolution(kernel, padding))


def crop(name: str, torus: Dimension, size: Dimension, latex: str | None = None) -> Expression:
    """P with the first `size` columns of the identity of size `torus`: `P.T @ P = I`, and P' crops."""
    return matrix(name, torus, size, latex, First(torus, size), lambda P: [(P.T @ P, identity(size))])


class Crop(Step):
    """`Z = P' C P` for a zero-padded Z and a circular C of one kernel, which reaches as far as the torus exceeds it."""

    def __init__(self, Z: Expression, C: Expression, P: Expression) -> None:
        self.Z, self.C, self.P = Z, C, P

    def derive(self, known: Known) -> Statement:
        """The equality; raises `StepRejected` for matrices of other kinds, kernels or sizes."""
        small, large, columns = (e.symbol.definition for e in (self.Z, self.C, self.P))
        if not isinstance(small, Convolution) or small.padding != "zeros":
            raise StepRejected(f"{self.Z} is no convolution with zero padding")
        if not isinstance(large, Convolution) or large.padding != "circular":
            raise StepRejected(f"{self.C} is no circular convolution")
        kernel = small.kernel
        if kernel != large.kernel:
            raise StepRejected(f"{self.Z} and {self.C} are made of different kernels")
        if kernel.reach is not None:
            raise StepRejected("the torus is larger than the image by the reach only if the reach is defined so")
        if columns != First(kernel.torus, kernel.size):
            raise StepRejected(f"{self.P} does not crop the torus to the image")
        sizes = [self.Z.shape, self.C.shape, self.P.shape]
        if sizes != [(kernel.size,) * 2, (kernel.torus,) * 2, (kernel.torus, kernel.size)]:
            raise StepRejected("the matrices have other sizes than their definitions")
        return equal(self.Z, self.P.T @ self.C @ self.P)

    def record(self, record: Record) -> int:
        """The axiom."""
        names = {key: record.name(made.symbol) for key, made in (("Z", self.Z), ("C", self.C), ("P", self.P))}
        return record.take(equal(self.Z, self.P.T @ self.C @ self.P), {"by": "crop", **names})

    def explanation(self) -> str:
        """No tap goes around the torus."""
        size, torus = self.P.columns, self.P.rows
        return (
            f"because for two of the first ${size}$ positions $i$, $j$ and an offset $|o|\\le {torus}-{size}$ one has "
            f"$|i-j-o|<{torus}$: modulo ${torus}$ only $o=i-j$ agrees with $i-j$"
        )
