"""Functional calculus: a polynomial that is nonnegative on an interval is so at matrices with that spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb
from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression, identity, zero
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.step import Step


class Polynomial(Step):
    """`p(S) >= 0` for symmetric S with `low I <= S <= high I` and p >= 0 on [low, high].

    `coefficients` of p are rational, the constant first. `high` None is infinity; `low` and `high` are rational, and
    `S - low I`, `high I - S` have to be known. p is proved nonnegative by counting its roots exactly (Sturm).
    """

    def __init__(
        self, coefficients: Sequence[Any], S: Expression, low: Any = 0, high: Any = None, why: str = ""
    ) -> None:
        self.coefficients = [Fraction(c) for c in coefficients]
        self.S, self.low, self.high, self.why = S, Fraction(low), None if high is None else Fraction(high), why

    def derive(self, known: Known) -> Statement:
        """`p(S) >= 0`; raises `StepRejected` if the spectrum is not known or p has a negative value."""
        one = identity(self.S.rows)
        if not known.is_zero(self.S - self.S.T):
            raise StepRejected(f"{self.S} is not known to be symmetric")
        if not known.is_positive(self.S - one * self.low):
            raise StepRejected(f"{self.S} >= {self.low} is not known")
        if self.high is not None and not known.is_positive(one * self.high - self.S):
            raise StepRejected(f"{self.S} <= {self.high} is not known")
        if not is_nonnegative(self.coefficients, self.low, self.high):
            raise StepRejected("the polynomial has a negative value on the interval")
        return positive(self._at(self.coefficients))

    def _at(self, coefficients: Sequence[Fraction]) -> Expression:
        """A polynomial at S."""
        result, power = zero(self.S.rows), identity(self.S.rows)
        for coefficient in coefficients:
            result, power = result + power * coefficient, power @ self.S
        return result

    def expanded(self) -> Step:
        """p = s^2 times a sum of multiples of `(t - low)^a (high - t)^b`, each of which is a sum of sandwiches at S.

        With A = S - low I and B = high I - S, which commute, `AB = (A B A + B A B) / (high - low)`.
        """
        square, powers = nonnegative_form(self.coefficients, self.low, self.high)
        one, terms = identity(self.S.rows), []
        A = self.S - one * self.low
        B = one if self.high is None else one * self.high - self.S
        for (a, b), coefficient in powers.items():
            V = self._at(square)
            for factor, count in ((A, a // 2), (B, b // 2)):
                for _ in range(count):
                    V = factor @ V
            if a % 2 and b % 2:
                assert self.high is not None
                share = coefficient / (self.high - self.low)
                terms += [Term(B, A @ V, share), Term(A, B @ V, share)]
            else:
                terms.append(Term(A if a % 2 else B if b % 2 else one, V, coefficient))
        return Sandwiches(positive(self._at(self.coefficients)), *terms)

    def explanation(self) -> str:
        """The polynomial and the interval."""
        high = r"\infty)" if self.high is None else f"{self.high}]"
        shown = " + ".join(f"{c}\\,t^{{{k}}}" for k, c in enumerate(self.coefficients) if c) or "0"
        return self.why or f"because ${shown} \\ge 0$ on $[{self.low},{high}$ (Sturm) and by functional calculus"


def is_nonnegative(coefficients: Sequence[Fraction], low: Fraction, high: Fraction | None) -> bool:
    """Whether a polynomial is nonnegative on [low, high], exactly: no sign change, by isolating its roots."""
    try:
        import sympy
    except ModuleNotFoundError:
        raise ModuleNotFoundError("the polynomial step needs sympy: pip install 'sdpcert[symbolic]'") from None
    t = sympy.Symbol("t")
    p = sympy.Poly([sympy.Rational(c.numerator, c.denominator) for c in reversed(list(coefficients))] or [0], t)
    if p.is_zero:
        return True
    if high == low:
        return _value(p, sympy.Rational(low.numerator, low.denominator)) >= 0
    # Roots of odd multiplicity inside are the changes of sign; one value anywhere else decides the sign.
    odd = sympy.Poly(1, t)
    for factor, multiplicity in p.sqf_list()[1]:
        if multiplicity % 2:
            odd = odd * factor
    bottom = sympy.Rational(low.numerator, low.denominator)
    top = None if high is None else sympy.Rational(high.numerator, high.denominator)
    inside = odd.count_roots(bottom, top) if odd.degree() > 0 else 0
    inside -= sum(1 for end in (bottom, top) if end is not None and odd.degree() > 0 and _value(odd, end) == 0)
    if inside:
        return False
    # No change of sign inside: any point that is no root has the sign of all.
    step = sympy.Rational(1) if top is None else (top - bottom) / 2
    point = bottom + step
    for _ in range(len(coefficients) + 1):
        value = _value(p, point)
        if value != 0:
            return value > 0
        point = (point + bottom) / 2
    return False


Powers = dict[tuple[int, int], Fraction]
#: How far the degree is raised until all coefficients of Bernstein's form are nonnegative.
ELEVATIONS = 24


def nonnegative_form(
    coefficients: Sequence[Fraction], low: Fraction, high: Fraction | None
) -> tuple[list[Fraction], Powers]:
    """s and c with `p = s^2 sum c_ab (t - low)^a (high - t)^b` and all c >= 0 (b = 0 without an upper end).

    Raises `StepRejected` if none is found: a polynomial that is nonnegative has one for a large degree where it is not
    zero inside but for double roots, which s takes.
    """
    import sympy

    t = sympy.Symbol("t")
    p = sympy.Poly([sympy.Rational(c.numerator, c.denominator) for c in reversed(list(coefficients))] or [0], t)
    factor, parts = p.sqf_list()
    square, rest = sympy.Poly(1, t), sympy.Poly(factor, t)
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
    found = _bernstein(shifted, None if high is None else high - low)
    powers = {(a + i, b + k): c for (i, k), c in found.items()}
    return [_fraction(c) for c in reversed(square.all_coeffs())], powers


def _bernstein(shifted: Sequence[Fraction], length: Fraction | None) -> Powers:
    """`sum c_k u^k` for u >= 0, or as a sum of `u^i (length - u)^k`, with nonnegative coefficients."""
    if length is None:
        if any(c < 0 for c in shifted):
            raise StepRejected("the polynomial has no form with nonnegative coefficients on a half line")
        return {(k, 0): c for k, c in enumerate(shifted) if c}
    for degree in range(len(shifted) - 1, len(shifted) + ELEVATIONS):
        # u^k = u^k (u + (length - u))^(degree - k) / length^(degree - k).
        found = [
            sum(
                (c * comb(degree - k, i - k) / length ** (degree - k) for k, c in enumerate(shifted) if k <= i),
                Fraction(0),
            )
            for i in range(degree + 1)
        ]
        if all(c >= 0 for c in found):
            return {(i, degree - i): c for i, c in enumerate(found) if c}
    raise StepRejected("the polynomial has no form with nonnegative coefficients of a moderate degree")


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def _value(p: Any, point: Any) -> Fraction:
    return _fraction(p.eval(point))
