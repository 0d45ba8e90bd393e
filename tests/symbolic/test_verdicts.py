"""Verdicts: a layer is refuted by two inputs alone, a multiplier that fails is not the layer, and open is explained."""

import json
import math
import signal
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import pytest

from sdpcert.symbolic import (
    AlgebraError,
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    derive,
    deriving,
    diagonal,
    identity,
    indices,
    matrix,
    positive,
    rule,
    scalar,
    total,
)
from sdpcert.symbolic.derivation import OPEN, PROVED, REFUTED
from sdpcert.symbolic.diagnosis import diagnosis, missing_hypothesis
from sdpcert.symbolic.document import document
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.fit import fit_multipliers, with_free_multipliers
from sdpcert.symbolic.listing import entry
from sdpcert.verbs.derive import Work

i, j = indices("i j")
W = matrix("W", "n", "m")
G = W.T @ W
one = identity("n")
T = rule("T", "m", i, total(abs(G[i, j]), j))


def residual(multipliers, step=2, **options):
    layer = Layer(H=one, G=-step * W @ T**-1, U=W.T, multipliers=multipliers, **options)
    return Part(layer.claim("rule"), layer=layer)


def test_a_multiplier_that_fails_is_not_the_layer():
    result = derive(residual(T**-1))
    (part,) = result.parts
    assert result.status == OPEN
    assert part.witness is not None
    assert part.network is None
    assert part.suggested is not None
    assert part.suggested.part.layer is not None
    assert part.suggested.part.layer.multipliers == 2 * T**-1
    assert part.suggested.status == PROVED
    assert "this multiplier fails; 2 T^-1 works" in result.text()
    assert "proved with $2\\,T^{-1}$" in result.latex()


def test_a_layer_that_is_false_is_refuted_by_two_inputs():
    result = derive(residual(3 * T**-1, step=3))
    (part,) = result.parts
    assert result.status == REFUTED
    assert part.network is not None
    assert part.network.stretched > part.network.allowed
    assert part.suggested is None


def test_a_claim_without_a_layer_is_refuted_by_an_instance():
    (part,) = derive(residual(T**-1).claim).parts
    assert part.status == REFUTED
    assert part.network is None


def test_an_own_entry_with_a_weight_is_not_counted():
    q = diagonal("q", "m")
    R = rule("R", "m", i, 2 * abs(G[i, i]) * q[i] + total(abs(G[i, j]), j, without=i))
    layer = Layer(H=one, G=-2 * W @ R**-1, U=W.T, multipliers=2 * R**-1)
    assert derive(Part(layer.claim("weighted"), layer=layer)).status == REFUTED


def test_an_open_claim_says_what_numbers_say():
    half = rule("R", "m", i, total(abs(G[i, j]), j) / 2)
    layer = Layer(H=one, G=-1 * W @ half**-1, U=W.T, multipliers=half**-1)
    lines = " ".join(diagnosis(Part(layer.claim("open"), layer=layer), limit=Effort(2)))
    assert "least eigenvalue over 40 random instances" in lines
    assert "numerically best multipliers at" in lines
    assert "rank" in lines


def test_the_hypothesis_that_is_missing_is_named():
    a, x = scalar("a", positive=True), matrix("X", "n", "m")
    told = missing_hypothesis(Claim("smaller", positive(x.T @ x, a * x.T @ x)), Effort(5))
    assert told == "needs 1 - a >= 0"
    squared = Claim("norms", positive(one, x @ x.T @ x @ x.T), [positive(2 * identity("m"), x.T @ x)])
    assert missing_hypothesis(squared, Effort(5)) is not None


def test_no_random_instance_is_said():
    lines = diagnosis(Part(Claim("never", positive(G), [positive(-1 * one)])), limit=Effort(0.5))
    assert "no random instance satisfies the hypotheses" in lines[0]


def test_an_effort_ends_the_search():
    x = matrix("X", "n", "n")
    hard = Claim("hard", positive(one + (x.T @ x) @ (x.T @ x) - x.T @ x, Fraction(74, 100) * one))
    start = time.monotonic()
    result = derive(Part(hard), effort=0.5)
    assert time.monotonic() - start < 20
    assert result.status in (OPEN, PROVED)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="effort is a positive number of seconds"):
            derive(hard, effort=wrong)


def test_a_time_limit_leaves_claims_open():
    parts = [residual(2 * T**-1)] * 2
    result = derive(Derivation("two", "", "", parts, controls=[residual(T**-1)]), time_limit=1e-9)
    assert result.status == OPEN
    assert [p.status for p in (*result.parts, *result.controls)] == [OPEN] * 3
    assert "not tried: the time limit was reached" in result.text()


def test_progress_is_told_of_every_claim():
    told = []
    derive(Derivation("one", "", "", [residual(2 * T**-1)], controls=[residual(3 * T**-1, 3)]), progress=told.append)
    assert [part.status for part in told] == [PROVED, REFUTED]


def test_names_of_an_author_do_not_collide_with_internal_ones():
    taken = diagonal("Lambda", "m")
    for name in ("Lambda", "multipliers"):
        V = matrix(name, "n", "m")
        R = rule("T", "m", i, total(abs((V.T @ V)[i, j]), j))
        layer = Layer(H=one, G=-2 * V @ R**-1, U=V.T)
        fit = fit_multipliers(layer)
        assert fit is not None
        assert fit.multipliers == 2 * R**-1
    freed = with_free_multipliers(Layer(G=W, U=W.T @ one, W=taken - taken, squared_lipschitz=scalar("Lambda'")))
    assert freed.multipliers is not None
    assert freed.multipliers.symbol.name not in ("Lambda'",)


def test_json_holds_what_was_found():
    derivation = Derivation(
        "all of it", "a source", "words", [residual(2 * T**-1), residual(T**-1)], controls=[residual(3 * T**-1, 3)]
    )
    result = derive(derivation)
    found = json.loads(json.dumps(entry(result)))
    proved, failing = found["claims"]
    assert proved["status"] == "proved"
    assert proved["layer"]["multipliers"] == "2 T^-1"
    assert proved["layer"]["constant"] == "1"
    assert {"m": 1, "n": 1} in proved["proof"]["instances"]
    assert failing["status"] == "open"
    assert failing["multipliers_that_work"] == "2 T^-1"
    assert failing["counterexample"]["values"]["W"]
    (wrong,) = found["wrong_versions"]
    exact, floats = (wrong["counterexample"][key] for key in ("inputs", "inputs_as_floats"))
    assert len(exact) == 2 and [[float(Fraction(x)) for x in one] for one in exact] == floats
    assert Fraction(wrong["counterexample"]["squared_distance"]) > Fraction(
        wrong["counterexample"]["squared_distance_allowed"]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda part: Derivation("mine", "", "", part), "mine: parts= is a list of Part"),
        (lambda part: Derivation("mine", "", "", [part.claim]), "mine: parts= lists Part.*, not a Claim"),
        (lambda part: Derivation("mine", "", "", [part], controls=part), "mine: controls= is a list"),
        (lambda part: Derivation("mine", "", r"\emph{a", [part]), "mine: its statement is no LaTeX: a brace"),
        (lambda part: Derivation("mine", "", "$x", [part]), "mine: its statement is no LaTeX: a formula"),
        (lambda part: Derivation("mine", "", "", [part], remark=r"\end{proof}"), "mine: its remark is no LaTeX"),
        (lambda part: Part(part.layer), "made of a Claim, not of a Layer"),
        (lambda part: Part(part.claim, cast("Any", "by induction")), "rule: a proof is a list of steps"),
        (lambda part: part.layer.claim("named", text="{"), "named: its text is no LaTeX"),
    ],
)
def test_what_is_no_derivation_is_one_line(make, message):
    with pytest.raises(AlgebraError, match=message) as raised:
        make(residual(2 * T**-1))
    assert "\n" not in str(raised.value)


def test_the_words_of_an_author_are_commentary():
    part = residual(2 * T**-1)
    assert part.layer is not None
    claim = part.layer.claim("rule", text="Every network is 0-Lipschitz.")
    result = derive(Derivation("mine", "", "Pigs fly.", [Part(claim, layer=part.layer)]))
    source = document([result])
    theorem = source[source.index(r"\begin{theorem}") : source.index(r"\end{theorem}")]
    assert "Pigs" not in theorem
    assert "Every network" not in theorem
    assert r"\varphi(U x + b)" in theorem
    assert "with the constant $1$" in theorem
    for words in ("Pigs fly.", "Every network is 0-Lipschitz."):
        before = source[: source.index(words)]
        assert before.rstrip().endswith(r"\begin{commentary}")
    assert source.count(r"\begin{commentary}") == source.count(r"\end{commentary}") == 2


def test_numbers_are_compared_only_within_the_time_limit():
    def numbers():
        raise AssertionError("no time was left")

    derivation = Derivation("one", "", "", [residual(2 * T**-1)], numbers=numbers)
    assert derive(derivation, time_limit=1e-9).status == OPEN
    agreeing = Derivation("one", "", "", [residual(2 * T**-1)], numbers=lambda: [Comparison("one", 1.0, "<=", 2.0)])
    assert derive(agreeing).status == PROVED


def test_an_interrupt_leaves_what_was_settled(monkeypatch, capsys):
    derivation = Derivation("two", "", "", [residual(2 * T**-1)] * 2, name="mine")
    settle = deriving.settle

    def second_is_interrupted(part, *arguments):
        if len(settled) == 1:
            signal.raise_signal(signal.SIGINT)
        settled.append(part)
        return settle(part, *arguments)

    settled = []
    monkeypatch.setattr(deriving, "settle", second_is_interrupted)
    results, finished = Work({("mine", 0): derivation}, 0, False, 20.0, math.inf).settled(shown=True)
    assert not finished
    (result,) = results
    assert result.status == OPEN  # although all that was settled is proved
    assert [claim["status"] for claim in result.entry["claims"]] == [PROVED]
    assert "interrupted after 1 of 2 claims" in capsys.readouterr().out
    assert [one.entry["status"] for one in results] == [OPEN]


def test_a_statement_is_printed_as_what_it_is_about():
    with pytest.raises(AlgebraError, match="but it is about"):
        replace(positive(one), left=2 * one)
    assert replace(positive(one), left=2 * one, right=one).matrix == positive(one).matrix
