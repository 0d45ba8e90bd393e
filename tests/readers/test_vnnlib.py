"""VNN-LIB files: what they say, exactly; what is not supported is refused in one line, and nothing hostile gets far."""

from __future__ import annotations

import gzip
from fractions import Fraction as F
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.readers.vnnlib import Constraint, InputBox, Property, read_property

HEAD = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 0) (<= X_1 1)))\n"


def read(tmp_path: Path, text: str) -> Property:
    (tmp_path / "p.vnnlib").write_text(text)
    return read_property(tmp_path / "p.vnnlib")


def clauses(tmp_path: Path, condition: str) -> tuple[tuple[Constraint, ...], ...]:
    (case,) = read(tmp_path, HEAD + BOX + f"(assert {condition})").cases
    return case.clauses


@pytest.mark.parametrize(
    ("condition", "coefficients", "bound", "strict"),
    [
        ("(<= Y_0 Y_1)", {0: 1, 1: -1}, 0, False),
        ("(>= Y_0 -1.5e-1)", {0: -1}, F(3, 20), False),
        ("(< Y_0 (- 2))", {0: 1}, -2, True),
        ("(> (+ Y_0 1 (* 2 Y_1)) .5)", {0: -1, 1: -2}, F(1, 2), True),
        ("(<= (* (- 3 1) (- Y_0 Y_1 0.25)) (/ 1 3))", {0: 2, 1: -2}, F(5, 6), False),
        ("(<= (- Y_0) (* Y_1 1E2))", {0: -1, 1: -100}, 0, False),
        ("(<= (+ Y_0 Y_0 (- Y_1) Y_1) +1.)", {0: 2}, 1, False),
    ],
)
def test_terms_are_exact(
    tmp_path: Path, condition: str, coefficients: dict[int, int], bound: F | int, strict: bool
) -> None:
    wanted = Constraint(tuple((i, F(c)) for i, c in coefficients.items()), F(bound), strict)
    assert clauses(tmp_path, condition) == ((wanted,),)


def test_conditions_are_multiplied_out(tmp_path: Path) -> None:
    a, b, c = "(<= Y_0 1)", "(<= Y_0 2)", "(<= Y_1 3)"
    bounds = [[one.bound for one in clause] for clause in clauses(tmp_path, f"(and {c} (or {a} (and {b} {a})))")]
    assert bounds == [[3, 1], [3, 2, 1]]
    assert [len(clause) for clause in clauses(tmp_path, "(= Y_0 1)")] == [2]
    assert [len(clause) for clause in clauses(tmp_path, "(<= 0 Y_0 1 2)")] == [2]
    assert clauses(tmp_path, f"(or {a} (<= 2 1))") == clauses(tmp_path, a)


def test_boxes(tmp_path: Path) -> None:
    text = (
        "; a comment (\n" + HEAD + "(assert (or (and (>= X_0 0.1) (< X_0 0.3) (<= Y_0 0)) (and (= X_0 5) (<= Y_0 1))))"
    )
    asked = read(tmp_path, text + "(assert (and (>= X_1 -1) (>= X_1 -2) (<= X_1 (* 0.5 2))))\n")
    first, second = (case.box for case in asked.cases)
    assert first == InputBox((F(1, 10), F(-1)), (F(3, 10), F(1)), frozenset(), frozenset({0}))
    assert (second.low, second.high) == ((5, -1), (5, 1))
    assert asked.hull.contains(np.array([0.3, 1.0])) and asked.hull.contains(np.array([5.0, -1.0]))
    box, inward = first.outward, first.inward()
    assert F(float(box.low[0])) <= F(1, 10) <= F(float(inward[0][0])) and F(float(inward[1][0])) < F(3, 10)
    assert not read(tmp_path, HEAD + BOX).asks


def test_packed_files_read_the_same(tmp_path: Path) -> None:
    text = HEAD + BOX + "(assert (<= Y_0 Y_1))"
    (tmp_path / "q.vnnlib.gz").write_bytes(gzip.compress(text.encode()))
    assert read_property(tmp_path / "q.vnnlib.gz").cases == read(tmp_path, text).cases


@settings(deadline=None, max_examples=60)
@given(low=st.fractions(-3, 3), width=st.fractions(0, 2), share=st.floats(0, 1))
def test_rounding_goes_the_right_way(low: F, width: F, share: float) -> None:
    box = InputBox((low,), (low + width,))
    outward, (inner_low, inner_high) = box.outward, box.inward()
    assert F(float(outward.low[0])) <= low and low + width <= F(float(outward.high[0]))
    assert low <= F(float(inner_low[0])) and F(float(inner_high[0])) <= low + width
    nearest = box.nearest(outward.low + share * (outward.high - outward.low))
    assert nearest is not None and box.contains(nearest)


REFUSED = [
    ("(declare-network f)", "line 1: declare-network belongs to VNN-LIB 2.0"),
    ("(vnnlib-version <2.0>)", "VNN-LIB 2.0"),
    (HEAD + "(declare-const X_0 Real)", "line 2: X_0 is declared twice"),
    (HEAD + "(declare-const X_3 Real)" + BOX, "declares X_3, but not X_2"),
    ("(declare-const X_999999999 Real)", "more than 1000000 variables"),
    ("(declare-const Z Real)", "'Z'|Z: inputs are called X_0"),
    ("(declare-const X_0 Int)", "declared as in"),
    (HEAD + BOX + "(assert (<= Y_2 0))", "line 3: Y_2 is neither a number nor a declared variable"),
    (HEAD + BOX + "(assert (<= Y_0 NaN))", "NaN is neither a number"),
    (HEAD + BOX + "(assert (<= Y_0 inf))", "inf is neither a number"),
    (HEAD + BOX + "(assert (<= Y_0 1e999999999))", "has more than 400 digits or powers of ten"),
    (HEAD + BOX + "(assert (<= (* Y_0 Y_1) 0))", "multiplies variables"),
    (HEAD + BOX + "(assert (<= (/ 1 Y_0) 0))", "divides by what is no constant"),
    (HEAD + BOX + "(assert (<= Y_0 X_0))", "compares inputs with outputs"),
    (HEAD + BOX + "(assert (<= X_0 X_1))", "is about several inputs"),
    (HEAD + BOX + "(assert (not (<= Y_0 0)))", "'not' is not supported"),
    (HEAD + BOX + "(assert true)", "is no condition"),
    (HEAD + BOX + "(assert (<= Y_0 0)", "line 3: a parenthesis is not closed"),
    (HEAD + BOX + "(assert (<= Y_0 0)))", "a parenthesis is closed that was not opened"),
    (HEAD + BOX + "(assert (<= Y_0) )", "compares fewer than two terms"),
    (HEAD + BOX + "(assert)", "an assert has one condition"),
    (HEAD + BOX + "hello", "stands outside of parentheses"),
    (HEAD + BOX + "(push 1)", "is no command of VNN-LIB 1.0"),
    (HEAD + BOX + "(assert (<= 1 0))", "never true"),
    (HEAD + BOX + "(assert (>= X_0 2))", "no input fulfils its conditions"),
    (HEAD + BOX + "(assert (> X_0 1))", "no input fulfils its conditions"),
    (HEAD + "(assert (<= X_0 2))", "X_1 has no upper bound|X_0 has no lower bound"),
    (HEAD, "asserts nothing"),
    ("(declare-const Y_0 Real)(assert (<= Y_0 0))", "declares no inputs"),
    (HEAD + BOX + "(assert " + "(and " * 5000 + "(<= Y_0 0)" + ")" * 5001, "nested more than 100 deep"),
    (HEAD + BOX + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * 20, "alternatives"),
    ("\0\1\2", "is no text"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_not_supported_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        read(tmp_path, text)
    assert "p.vnnlib': " in str(refused.value) and "\n" not in str(refused.value)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress((HEAD + BOX).encode())
    for name, data in (
        ("cut.gz", packed[:-9]),
        ("bad.gz", packed[:12] + b"xxxx" + packed[16:]),
        ("b", bytes(range(256))),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=r"cannot be read|is no text"):
            read_property(tmp_path / name)
    with pytest.raises(ValueError, match="no such file"):
        read_property(tmp_path / "none")
    monkeypatch.setattr("sdpcert.readers.vnnlib.reader.MAX_BYTES", 2**20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 2**22))
    with pytest.raises(ValueError, match="has more than 1 MiB of text"):
        read_property(tmp_path / "bomb.gz")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([*'()<=>+-*/. \nXY_01;"|e', "assert", "and", "or", "(assert (<= Y_0 "]), max_size=40))
def test_no_text_gives_anything_but_one_line(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.vnnlib"
    path.write_text(HEAD + BOX + "".join(parts))
    try:
        said = read_property(path).source
    except ValueError as error:
        said = str(error)
    assert said and "\n" not in said
