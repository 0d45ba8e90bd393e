"""Functional calculus: a polynomial that is nonnegative on an interval is so at matrices with that spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.running.extras import needed_by
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression, identity, zero
from sdpcert.symbolic.nonnegative_polynomials import nonnegative_form
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
        """A sum of multiples of `q^2 (t - low)^a (high - t)^b`, each of which is a sum of sandwiches at S.

        With A = S - low I and B = high I - S, which commute, `AB = (A B A + B A B) / (high - low)`.
        """
        one, terms = identity(self.S.rows), []
        A = self.S - one * self.low
        B = one if self.high is None else one * self.high - self.S
        for share in nonnegative_form(self.coefficients, self.low, self.high):
            V = self._at(share.root)
            for factor, count in ((A, share.low // 2), (B, share.high // 2)):
                for _ in range(count):
                    V = factor @ V
            if share.low % 2 and share.high % 2:
                assert self.high is not None
                scale = share.coefficient / (self.high - self.low)
                terms += [Term(B, A @ V, scale), Term(A, B @ V, scale)]
            else:
                terms.append(Term(A if share.low % 2 else B if share.high % 2 else one, V, share.coefficient))
        return Sandwiches(positive(self._at(self.coefficients)), *terms)

    def explanation(self) -> str:
        """The polynomial and the interval."""
        high = r"\infty)" if self.high is None else f"{self.high}]"
        shown = " + ".join(f"{c}\\,t^{{{k}}}" for k, c in enumerate(self.coefficients) if c) or "0"
        return self.why or f"because ${shown} \\ge 0$ on $[{self.low},{high}$ (Sturm) and by functional calculus"


def is_nonnegative(coefficients: Sequence[Fraction], low: Fraction, high: Fraction | None) -> bool:
    """Whether a polynomial is nonnegative on [low, high], exactly: no sign change, by isolating its roots."""
    with needed_by("a proof with polynomials"):
        import sympy
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


def _value(p: Any, point: Any) -> Fraction:
    value = p.eval(point)
    return Fraction(int(value.p), int(value.q))
