"""A matrix is a sum of c V'SV with c >= 0 and S positive semidefinite: the identity is expanded and has to vanish."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.blocks import as_block
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression, number
from sdpcert.symbolic.printing import LINE, sandwich, visible
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step


@dataclass(frozen=True)
class Term:
    """`coefficient * V' S V`; without V it is S itself. S has to be known or evidently positive semidefinite.

    `coefficient` is a number or a scalar expression that is evidently or known to be nonnegative.
    """

    S: Any
    V: Any = None
    coefficient: Any = 1

    def matrix(self) -> Any:
        """The product."""
        inner = as_block(self.S)
        if self.V is not None:
            outer = as_block(self.V)
            inner = outer.T @ inner @ outer
        return inner * self.coefficient


class Sandwiches(Step):
    """`target = sum of terms`, so target >= 0. Terms are `Term`s, or expressions that stand for themselves.

    For a target of the kind "zero" every term has to be zero by itself, which is `Identity`.
    """

    def __init__(self, target: Statement | Any, *terms: Any) -> None:
        self.target = target if isinstance(target, Statement) else positive(target)
        self.terms = [t if isinstance(t, Term) else Term(t) for t in terms]

    def derive(self, known: Known) -> Statement:
        """The target; raises `StepRejected` if a term is not known or the sum differs from the target."""
        if self.target.kind != "positive":
            raise StepRejected("a sum of sandwiches shows that a matrix is positive semidefinite, nothing else")
        difference = self.target.matrix
        try:
            for term in self.terms:
                scalar = term.coefficient if isinstance(term.coefficient, Expression) else number(term.coefficient)
                if not known.is_nonnegative(scalar):
                    raise StepRejected(f"the coefficient {scalar} is not known to be nonnegative")
                if not known.is_positive(term.S):
                    raise StepRejected(f"{as_block(term.S)} is not known to be positive semidefinite")
                difference = difference - term.matrix()
            rest = known.normal(difference)
        except AlgebraError as error:
            raise StepRejected(str(error)) from None
        if rest:
            raise StepRejected(f"the target differs from the sum by {rest}")
        return self.target

    def record(self, record: Record) -> int:
        """The sum."""
        return record.sum(self.target.matrix, [(t.coefficient, t.S, t.V) for t in self.terms])

    def retargeted(self, target: Statement) -> Step:
        """The same terms for another target."""
        made = Sandwiches(target, *self.terms)
        made.__class__ = self.__class__
        return made

    def explanation(self) -> str:
        """The sum."""
        right = self.target.right
        side = "the left side" if right is None or right == 0 else "the left side less the right side"
        parts = [sandwich(term.coefficient, term.S, term.V) for term in self.terms]
        if not any(as_block(term.matrix()) for term in self.terms):
            return f"because {side} is zero"
        if visible(" + ".join(parts)) <= LINE:
            return f"because {side} equals\\formula{{{' + '.join(parts)}}}"
        lines = r" \\ &{}+".join(parts)
        return f"because {side} equals\\formula{{\\begin{{aligned}}[b]&{lines}\\end{{aligned}}}}"


class Congruence(Sandwiches):
    """`target = V'SV` with S >= 0."""

    def __init__(self, target: Any, S: Any, V: Any) -> None:
        super().__init__(target, Term(S, V))


class Monotonicity(Sandwiches):
    """`A >= B` because `A >= C` and `C >= B`: the differences of the chain are known."""

    def __init__(self, *chain: Any) -> None:
        links = [a - b for a, b in itertools.pairwise(chain)]
        super().__init__(positive(chain[0], chain[-1]), *links)
