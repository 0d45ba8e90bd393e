"""Polynomials of one variable that are nonnegative on an interval, in a form that shows it.

Double roots inside and roots at the ends are divided off. What is left is positive: on an interval its coefficients in
Bernstein's form are nonnegative if the degree is raised far enough; on a half line it is `sum q^2 + (t - low) sum q^2`
(Pólya and Szegő), which a small semidefinite program finds and rational rounding makes exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np

from sdpcert.errors import StepRejected
from sdpcert.running.extras import needed_by
from sdpcert.symbolic.exact import rational

#: How far the degree is raised until all coefficients of Bernstein's form are nonnegative.
ELEVATIONS = 24
#: Powers of two that Gram matrices are rounded to, coarse ones first.
ROUNDED = (8, 14, 20, 28, 40)


@dataclass(frozen=True)
class Share:
    """`coefficient * root^2 * (t - l)^low * (h - t)^high`, the coefficient positive; `root` has the constant first."""

    coefficient: Fraction
    root: tuple[Fraction, ...]
    low: int
    high: int


def nonnegative_form(coefficients: Sequence[Fraction], low: Fraction, high: Fraction | None) -> list[Share]:
    """Shares whose sum is the polynomial (constant first) on [low, high], or [low, oo) for None.

    Raises `StepRejected` if none are found, as for a polynomial that is negative somewhere in between.
    """
    with needed_by("a proof with polynomials"):
        import sympy

    t = sympy.Symbol("t")
    p = sympy.Poly([sympy.Rational(c.numerator, c.denominator) for c in reversed(list(coefficients))] or [0], t)
    factor, parts = p.sqf_list()
    square: Any = sympy.Poly(1, t)
    rest: Any = sympy.Poly(factor, t)
    for part, multiplicity in parts:
        square, rest = square * part ** (multiplicity // 2), rest * part ** (multiplicity % 2)
    a = b = 0
    start = sympy.Rational(low.numerator, low.denominator)
    while rest.degree() > 0 and rest.eval(start) == 0:
        rest, a = sympy.quo(rest, sympy.Poly(t - start, t)), a + 1
    if high is not None:
        end = sympy.Rational(high.numerator, high.denominator)
        while rest.degree() > 0 and rest.eval(end) == 0:
            rest, b = sympy.quo(rest, sympy.Poly(end - t, t)), b + 1
    shifted = [_fraction(c) for c in reversed(rest.compose(sympy.Poly(t + start, t)).all_coeffs())]
    found = _half_line(shifted) if high is None else _bernstein(shifted, high - low)
    root = [_fraction(c) for c in reversed(square.all_coeffs())]
    return [replace(s, root=tuple(_product(root, _moved(s.root, low))), low=s.low + a, high=s.high + b) for s in found]


def _bernstein(shifted: Sequence[Fraction], length: Fraction) -> list[Share]:
    """A polynomial in u = t - l as a sum of `u^i (length - u)^k` with positive coefficients."""
    for degree in range(len(shifted) - 1, len(shifted) + ELEVATIONS):
        # u^k = u^k (u + (length - u))^(degree - k) / length^(degree - k).
        terms = list(enumerate(shifted))
        found = [
            sum((c * comb(degree - k, i - k) / length ** (degree - k) for k, c in terms if k <= i), Fraction(0))
            for i in range(degree + 1)
        ]
        if all(c >= 0 for c in found):
            return [Share(c, (Fraction(1),), i, degree - i) for i, c in enumerate(found) if c]
    raise StepRejected("the polynomial has no form with nonnegative coefficients of a moderate degree")


def _half_line(shifted: Sequence[Fraction]) -> list[Share]:
    """A polynomial in u >= 0 as `sum q^2 + u sum q^2`; monomials where all coefficients are nonnegative."""
    if all(c >= 0 for c in shifted):
        powers = [(k, c) for k, c in enumerate(shifted) if c]
        return [Share(c, (Fraction(0),) * (k // 2) + (Fraction(1),), k % 2, 0) for k, c in powers]
    degree, none = len(shifted) - 1, StepRejected("no form of the polynomial with squares was found on the half line")
    if shifted[0] <= 0 or shifted[-1] <= 0:
        raise none
    # In u = scale * v the first and the last coefficient are alike.
    scale = Fraction(float(shifted[0] / shifted[-1]) ** (1 / degree)).limit_denominator(64)
    balanced = [c * scale**k / shifted[0] for k, c in enumerate(shifted)]
    sizes = [degree // 2 + 1, (degree - 1) // 2 + 1]
    grams = _grams(balanced, sizes)
    for bits in ROUNDED:
        rounded = [rational([[Fraction(round(x * 2**bits), 2**bits) for x in row] for row in g]) for g in grams]
        squares = _exact_squares(balanced, rounded)
        if squares is not None:
            return [
                Share(w * shifted[0] / scale**odd, tuple(c / scale**k for k, c in enumerate(q)), odd, 0)
                for odd, w, q in squares
            ]
    raise none


def _grams(balanced: Sequence[Fraction], sizes: Sequence[int]) -> list[np.ndarray]:
    """Q_0 and Q_1 with `p(v) = w'Q_0 w + v w'Q_1 w` for the powers w of v, their least eigenvalue greatest."""
    import cvxpy

    grams: list[Any] = [cvxpy.Variable((n, n), symmetric=True) for n in sizes]
    least = cvxpy.Variable()
    constraints: list[Any] = [g - least * np.eye(n) >> 0 for g, n in zip(grams, sizes, strict=True)]
    for k, c in enumerate(balanced):
        entries = [
            g[i, j]
            for odd, g in enumerate(grams)
            for i in range(sizes[odd])
            for j in range(sizes[odd])
            if i + j + odd == k
        ]
        constraints.append(sum(entries) == float(c))
    cvxpy.Problem(cvxpy.Maximize(least), constraints).solve(solver="CLARABEL")
    if least.value is None or not float(least.value) > 0:
        raise StepRejected("no form of the polynomial with squares was found on the half line")
    return [np.asarray(g.value) for g in grams]


def _exact_squares(
    balanced: Sequence[Fraction], grams: Sequence[np.ndarray]
) -> list[tuple[int, Fraction, list[Fraction]]] | None:
    """The rounded matrices corrected to give the polynomial exactly, as weighted squares; None if indefinite."""
    for k, c in enumerate(balanced):
        places = [
            (g, i, j) for odd, g in enumerate(grams) for i in range(len(g)) for j in range(len(g)) if i + j + odd == k
        ]
        missing = c - sum((g[i, j] for g, i, j in places), Fraction(0))
        for g, i, j in places:
            g[i, j] += missing / len(places)
    found = []
    for odd, gram in enumerate(grams):
        rest = gram.copy()
        for k in range(len(rest)):
            if rest[k, k] <= 0:
                return None
            weight, vector = rest[k, k], rest[k] / rest[k, k]
            found.append((odd, weight, list(vector)))
            rest = rest - weight * np.outer(vector, vector)
    return found


def _moved(root: Sequence[Fraction], low: Fraction) -> list[Fraction]:
    """The polynomial in u = t - low as one in t."""
    result: list[Fraction] = [Fraction(0)]
    for c in reversed(root):
        result = _product(result, [-low, Fraction(1)])
        result[0] += c
    while len(result) > 1 and not result[-1]:
        result.pop()
    return result


def _product(p: Sequence[Fraction], q: Sequence[Fraction]) -> list[Fraction]:
    result = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for k, b in enumerate(q):
            result[i + k] += a * b
    return result


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.p), int(value.q))
