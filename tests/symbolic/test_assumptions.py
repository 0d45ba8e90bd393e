"""A step of an author's own has no form in a proof file: what it derives is printed as an assumption, never proved."""

import pytest

from sdpcert.symbolic import Claim, Part, derive, matrix, positive, scalar, symmetric
from sdpcert.symbolic.claim import Statement
from sdpcert.symbolic.derivation import Derivation
from sdpcert.symbolic.steps import Known, Sandwiches, Step, Term

V, S, one = matrix("V", "n", "m"), symmetric("S", "n"), symmetric("R", "n", positive=True)
trusted = positive(S)


class Belief(Step):
    """S >= 0, because its author says so."""

    def derive(self, known: Known) -> Statement:
        return trusted

    def explanation(self) -> str:
        return "because I say so"


def test_what_a_step_of_ones_own_derives_is_an_assumption():
    claim = Claim("sandwich", positive(V.T @ (S + one) @ V), [positive(S + one)])
    proof = [Belief(), Sandwiches(claim.show, Term(S, V), Term(one, V))]
    (result,) = derive(Part(claim, proof), effort=2.0).parts
    assert result.status != "open" or result.assumed
    claim = Claim("belief", positive(V.T @ S @ V))
    result = derive(Derivation("Belief", "", "", [Part(claim, [Belief(), Sandwiches(claim.show, Term(S, V))])]))
    assert result.status == "refuted"
    assert not result.parts[0].theorems


def test_an_assumption_is_printed():
    # Motzkin's polynomial is nonnegative and no sum of squares: the search does not see that.
    x, y = scalar("x"), scalar("y")
    motzkin = x**4 * y**2 + x**2 * y**4 + 1 - 3 * x**2 * y**2

    class Motzkin(Belief):
        def derive(self, known: Known) -> Statement:
            return positive(motzkin)

    claim = Claim("Motzkin", positive(2 * motzkin))
    result = derive(Part(claim, [Motzkin(), Sandwiches(claim.show, Term(motzkin, None, 2))]), effort=2.0)
    assert result.status == "open"
    assert "ASSUMED" in result.text()
    assert "assumption" in result.latex()
    with pytest.raises(ValueError, match="no proof of Motzkin"):
        result.document()
