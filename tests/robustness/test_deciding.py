"""Answers to properties: never a wrong word, proofs that checkers replay, counterexamples that exact sums confirm."""

from __future__ import annotations

import re
from fractions import Fraction as F
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.check import check_document
from sdpcert.network import Network
from sdpcert.readers.vnnlib import Case, Constraint, InputBox, Property, read_property
from sdpcert.robustness.binding_of_properties import check_with_property
from sdpcert.robustness.deciding import decide
from sdpcert.robustness.decision import Decision, counterexample_text, decimal

Array = np.ndarray
ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(\w+\.vnnlib)` \| `([\w.]+)` \| (\w+) \|", re.MULTILINE)
PAGE = (ROOT / "docs" / "how-to" / "vnnlib.md").read_text(encoding="utf-8")
TENTHS = st.integers(-10, 10).map(lambda n: F(n, 10))
SMALL = st.integers(-2, 2)


class Stated:
    """A document in memory, as a saved file is."""

    def __init__(self, document: Any) -> None:
        self.stated = document

    def document(self) -> dict[str, Any]:
        return dict(self.stated)


def question(box: InputBox, *clauses: tuple[Constraint, ...], outputs: int = 2) -> Property:
    return Property("q.vnnlib", len(box), outputs, (Case(box, clauses),), True)


def exactly(weights: list[list[list[int]]], point: tuple[F, ...]) -> list[F]:
    """A ReLU network of integers in rational arithmetic."""
    values = list(point)
    for k, layer in enumerate(weights):
        values = [sum((F(w) * x for w, x in zip(row, values, strict=True)), F(0)) for row in layer]
        values = values if k == len(weights) - 1 else [max(x, F(0)) for x in values]
    return values


def fulfils(clauses: tuple[tuple[Constraint, ...], ...], outputs: list[F]) -> bool:
    """Whether outputs are unsafe, written down once more."""
    for clause in clauses:
        sums = [(sum((c * outputs[i] for i, c in one.coefficients), F(0)), one) for one in clause]
        if all(total < one.bound if one.strict else total <= one.bound for total, one in sums):
            return True
    return False


@st.composite
def constraints(draw: st.DrawFn) -> Constraint:
    coefficients = tuple((i, F(c)) for i, c in enumerate((draw(SMALL), draw(SMALL))) if c)
    return Constraint(coefficients or ((0, F(1)),), draw(st.integers(-30, 30)) * F(1, 10), draw(st.booleans()))


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_never_a_wrong_word(data: st.DataObject) -> None:
    """Corners, a grid and the counterexample are evaluated in rational arithmetic, apart from the program's own."""
    weights = [
        [[data.draw(SMALL) for _ in range(before)] for _ in range(after)] for before, after in ((2, 3), (3, 3), (3, 2))
    ]
    low = (data.draw(TENTHS), data.draw(TENTHS))
    high = tuple(x + data.draw(st.integers(0, 10)) * F(1, 10) for x in low)
    clauses = tuple(
        map(tuple, data.draw(st.lists(st.lists(constraints(), min_size=1, max_size=3), min_size=1, max_size=3)))
    )
    network = Network.mlp([np.array(layer, dtype=float) for layer in weights])
    answer = decide(network, question(InputBox(low, high), *clauses), nodes=40)
    grid = [[a + (b - a) * F(k, 8) for k in range(9)] for a, b in zip(low, high, strict=True)]
    unsafe = any(fulfils(clauses, exactly(weights, point)) for point in product(*grid))
    if answer.word == "holds":
        assert not unsafe
        assert all(check_document(proof, exact=True).ok for proof in answer.proofs) and answer.proofs
    if answer.word == "violated":
        assert answer.counterexample is not None
        inputs = answer.counterexample.inputs
        assert all(a <= x <= b for a, x, b in zip(low, inputs, high, strict=True))
        assert fulfils(clauses, exactly(weights, inputs))
    assert bool(answer.missing) == (answer.word == "unknown")


@pytest.mark.parametrize(("file", "model", "word"), ROW.findall(PAGE))
def test_the_files_of_the_page_have_the_answers_that_it_states(file: str, model: str, word: str) -> None:
    folder = "networks" if model.endswith(".onnx") else "properties"
    network = sdpcert.load(ROOT / "examples" / folder / model)
    asked = read_property(ROOT / "examples" / "properties" / file)
    answer = decide(network, asked, nodes=100)
    assert answer.word == word
    if word == "violated":
        assert_violates(answer, network)
    for proof in answer.proofs:
        verdict = check_with_property(Stated(proof), network, asked)
        assert verdict.ok and "cannot be met" in verdict.reason


def assert_violates(answer: Decision, network: Network) -> None:
    """In float64, as another program would see it, the point is unsafe up to rounding."""
    assert answer.counterexample is not None
    point = np.array([float(x) for x in answer.counterexample.inputs])
    outputs = network(point.reshape(network.input_shape)).ravel()
    assert outputs == pytest.approx(answer.counterexample.outputs, rel=1e-9, abs=1e-9)
    (case,) = answer.asked.cases
    room = [F(1, 10**9) + F(float(y)) for y in outputs]
    assert any(
        all(sum((c * room[i] for i, c in one.coefficients), F(0)) <= one.bound + F(1, 10**6) for one in clause)
        for clause in case.clauses
    )


def test_there_are_ten() -> None:
    assert {name for name, _, _ in ROW.findall(PAGE)} == {
        p.name for p in (ROOT / "examples/properties").glob("*.vnnlib")
    }
    assert len(ROW.findall(PAGE)) == 10 and {word for _, _, word in ROW.findall(PAGE)} == {
        "holds",
        "violated",
        "unknown",
    }


def absolute() -> Network:
    """`|x|` and `x`."""
    return Network.mlp([np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0], [1.0, -1.0]])])


def test_a_proof_is_bound_to_its_question() -> None:
    box, wide = InputBox((F(1, 10),), (F(1),)), InputBox((F(1, 20),), (F(1),))
    low = (Constraint(((0, F(1)),), F(1, 50)),)
    asked = question(box, low)
    answer = decide(absolute(), asked)
    (proof,) = answer.proofs
    assert check_with_property(Stated(proof), absolute(), asked).ok
    smaller = question(InputBox((F(1, 2),), (F(1),)), low)
    assert check_with_property(Stated(proof), absolute(), smaller).ok, "a part of the box"
    others = [question(wide, low), question(box, (Constraint(((0, F(1)),), F(1, 40)),)), question(box, low, low[:0])]
    for other in others:
        assert not check_with_property(Stated(proof), absolute(), other).ok
    doubled = Network.mlp([np.array([[2.0], [-1.0]]), np.array([[1.0, 1.0], [1.0, -1.0]])])
    assert "other weights" in check_with_property(Stated(proof), doubled, asked).reason


def test_strict_and_open_ends() -> None:
    """At 0, |x| is 0: an input of the closed interval alone."""
    zero = (Constraint(((0, F(1)),), F(0)),)
    closed, half_open = InputBox((F(0),), (F(1),)), InputBox((F(0),), (F(1),), frozenset({0}))
    assert decide(absolute(), question(closed, zero), nodes=5).word == "violated"
    assert decide(absolute(), question(half_open, zero), nodes=5).word == "unknown"
    strict = (Constraint(((0, F(1)),), F(0), True),)
    assert decide(absolute(), question(closed, strict), nodes=5).word == "unknown"
    assert decide(absolute(), question(closed, ()), nodes=5).word == "violated", "no condition on outputs: any input"


def test_many_alternatives_and_boxes_have_many_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdpcert.robustness.deciding.MOST_CLAUSES", 2)
    clauses = tuple((Constraint(((0, F(1)),), F(-k)),) for k in range(1, 4))
    boxes = (InputBox((F(0),), (F(1),)), InputBox((F(2),), (F(3),)))
    asked = Property("q", 1, 2, tuple(Case(box, clauses) for box in boxes), True)
    answer = decide(absolute(), asked, nodes=5)
    assert answer.word == "holds" and len(answer.proofs) == 4
    assert all(check_with_property(Stated(proof), absolute(), asked).ok for proof in answer.proofs)


def test_a_property_that_does_not_fit_is_refused() -> None:
    box, clause = InputBox((F(0),), (F(1),)), (Constraint(((0, F(1)),), F(0)),)
    for asked, said in (
        (question(InputBox((F(0), F(0)), (F(1), F(1))), clause), "declares 2 inputs, and mlp has 1"),
        (question(box, clause, outputs=3), "declares 3 outputs, and mlp has 2"),
        (Property("q", 1, 2, (Case(box, ((),)),), False), "nothing is asked"),
        (question(InputBox((F(0),), (F(10) ** 400,)), clause), "beyond the range of float64"),
        (question(box, (Constraint(((0, F(10**17 + 1)), (1, F(1, 3))), F(0)),)), "too many digits"),
    ):
        with pytest.raises(ValueError, match=said):
            decide(absolute(), asked)


def test_an_interrupted_search_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sdpcert.robustness.falsifying.Falsifier.search", interrupted)
    answer = decide(absolute(), question(InputBox((F(0),), (F(1),)), (Constraint(((0, F(1)),), F(5)),)))
    assert answer.word == "unknown" and answer.missing == ("interrupted",) and not answer.proofs


def test_counterexamples_are_written_exactly() -> None:
    box = InputBox((F(1, 10),), (F(1, 10),))
    answer = decide(absolute(), question(box, (Constraint(((0, F(1)),), F(1)),)))
    assert answer.counterexample is not None and answer.vnncomp == "sat"
    assert counterexample_text(answer.counterexample) == "((X_0 0.1)\n (Y_0 0.1)\n (Y_1 0.1))\n"
    assert [decimal(x) for x in (F(-1, 40), F(1, 4), F(-3))] == ["-0.025", "0.25", "-3.0"]
    assert decimal(F(1, 3)) == "0." + "3" * 40
