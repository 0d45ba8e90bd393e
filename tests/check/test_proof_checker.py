"""The checker of proofs for all weights: what it accepts, what it refuses, and thousands of changed proofs."""

from __future__ import annotations

import copy
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdpcert.check import check_document, proof_checker
from sdpcert.check.proof_checker import Rejected, check_proof
from tests.oracles.theorem_values import is_false

PROOFS = Path(proof_checker.__file__).parent.parent / "derivations" / "proofs"
FILES = sorted(PROOFS.glob("*.proof.json"))
#: Results whose hypotheses random numbers satisfy, of many kinds of steps.
CHANGED = ("aol", "sll", "cpl", "spectral", "condition", "gershgorin", "nonnegative", "eclipse_fast", "gradient_step")
#: Samples of a theorem that a changed proof was accepted for.
TRIES = 40


def proofs(name: str) -> dict[str, Any]:
    return json.loads((PROOFS / f"{name}.proof.json").read_text(encoding="utf-8"))


def test_the_checker_is_a_program_of_its_own(tmp_path: Path) -> None:
    alone = tmp_path / "proof_checker.py"
    alone.write_bytes(Path(proof_checker.__file__).read_bytes())
    good, bad, unreadable = FILES[0], tmp_path / "bad.json", tmp_path / "unreadable.json"
    document = json.loads(good.read_text(encoding="utf-8"))
    document["theorems"][0]["steps"] = []
    bad.write_text(json.dumps(document))
    unreadable.write_text("{")
    codes = []
    for path in (good, bad, unreadable, tmp_path / "none.json"):
        done = subprocess.run([sys.executable, "-I", str(alone), str(path)], capture_output=True, text=True)
        codes.append(done.returncode)
        assert "Traceback" not in done.stderr
    assert codes == [0, 1, 2, 2]
    assert subprocess.run([sys.executable, "-I", str(alone)], capture_output=True).returncode == 2


def test_the_checker_is_small() -> None:
    import ast

    source = Path(proof_checker.__file__).read_text(encoding="utf-8")
    documented = (ast.FunctionDef, ast.ClassDef, ast.Module)
    texts = [n.body[0] for n in ast.walk(ast.parse(source)) if isinstance(n, documented) and ast.get_docstring(n)]
    words = {k for text in texts for k in range(text.lineno, (text.end_lineno or 0) + 1)}
    lines = [line.strip() for k, line in enumerate(source.splitlines(), 1) if k not in words]
    assert len([line for line in lines if line and not line.startswith("#")]) <= 500


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_library_is_proved(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    result = check_document(document)
    assert result.ok, result.reason
    assert result.level == "exact"
    for theorem in document["theorems"]:
        assert not is_false(theorem, 0, 5)


def minimal(**changes: Any) -> dict[str, Any]:
    """W'W + t I >= 0, with changes of the theorem."""
    said = {"positive": [["W'*W + t*I"]], "rows": ["m"]}
    step = {
        "by": "sum",
        "states": said,
        "terms": [
            {"scale": "1", "atom": "I", "outer": {"rows": ["n"], "entries": [["W"]]}},
            {"scale": "t", "atom": "I"},
        ],
    }
    theorem = {
        "name": "square",
        "symbols": {"W": "general n x m", "t": "positive scalar"},
        "hypotheses": [],
        "conclusion": said,
        "steps": [step],
    }
    return {"format": proof_checker.FORMAT, "version": 1, "theorems": [theorem | changes]}


def test_a_minimal_proof() -> None:
    (theorem,) = check_proof(minimal())
    assert "W'*W + t*I" in str(theorem)


def steps(**changes: Any) -> list[dict[str, Any]]:
    (step,) = minimal()["theorems"][0]["steps"]
    return [step | changes]


def said(text: str, size: Any = "m") -> dict[str, Any]:
    return {"positive": [[text]], "rows": [size]}


EQUAL = {"zero": [["X*Y - I"]], "rows": ["n"], "columns": ["n"]}
WRONG: dict[str, dict[str, Any]] = {
    "nothing is shown": {"steps": []},
    "another conclusion": {"conclusion": said("W'*W")},
    "a sum that differs": {"steps": steps(states=said("W'*W - t*I")), "conclusion": said("W'*W - t*I")},
    "a negative coefficient": {
        "conclusion": said("-W'*W"),
        "steps": steps(
            states=said("-W'*W"),
            terms=[{"scale": "-1", "atom": "I", "outer": {"rows": ["n"], "entries": [["W"]]}}],
        ),
    },
    "a scalar of any sign as coefficient": {"symbols": {"W": "general n x m", "t": "scalar"}},
    "an atom that is no square": {
        "symbols": {"S": "symmetric m x m"},
        "conclusion": said("S"),
        "steps": steps(states=said("S"), terms=[{"scale": "1", "atom": "S"}]),
    },
    "a general matrix as an atom": {
        "symbols": {"W": "general m x m"},
        "conclusion": said("W"),
        "steps": steps(states=said("W"), terms=[{"scale": "1", "atom": "W"}]),
    },
    "a later statement": {"steps": steps(terms=[{"scale": "1", "fact": 0}])},
    "a statement of its own": {
        "hypotheses": [],
        "steps": steps(terms=[{"scale": "1", "fact": -1}]),
    },
    "an equality as a fact": {
        "hypotheses": [{"zero": [["W'*W + t*I"]], "rows": ["m"], "columns": ["m"]}],
        "steps": steps(terms=[{"scale": "1", "fact": 0}]),
    },
    "rewriting by what is positive": {
        "hypotheses": [said("W'*W")],
        "conclusion": {"zero": [["W'*W"]], "rows": ["m"], "columns": ["m"]},
        "steps": [
            {
                "by": "equality",
                "states": {"zero": [["W'*W"]], "rows": ["m"], "columns": ["m"]},
                "rewrites": [["E0_0_0"]],
            }
        ],
    },
    "rewriting by no equality": {
        "conclusion": {"zero": [["W"]], "rows": ["n"], "columns": ["m"]},
        "steps": [
            {"by": "equality", "states": {"zero": [["W"]], "rows": ["n"], "columns": ["m"]}, "rewrites": [["W"]]}
        ],
    },
    "one side's inverse as the other's": {
        "symbols": {"X": "general n x n", "Y": "general n x n"},
        "hypotheses": [EQUAL],
        "conclusion": {"zero": [["Y*X - I"]], "rows": ["n"], "columns": ["n"]},
        "steps": [
            {
                "by": "equality",
                "states": {"zero": [["Y*X - I"]], "rows": ["n"], "columns": ["n"]},
                "rewrites": [["E0_0_0"]],
            }
        ],
    },
    "a symbol twice as large": {"symbols": {"W": "general n x m", "t": "positive scalar", "E0_0_0": "scalar"}},
    "a symbol that is not declared": {"symbols": {"W": "general n x m"}},
    "a general diagonal": {"symbols": {"W": "diagonal n x m", "t": "positive scalar"}},
    "a positive general matrix": {"symbols": {"W": "positive general n x m", "t": "positive scalar"}},
    "a root of what may be negative": {
        "symbols": {"t": "scalar"},
        "conclusion": said("t^1/2", 1),
        "steps": steps(states=said("t^1/2", 1), terms=[{"scale": "t^1/2", "atom": "I"}]),
    },
    "an inverse of what may be singular": {
        "symbols": {"D": "diagonal n x n"},
        "conclusion": said("D^-1*D", "n"),
        "steps": steps(states=said("D^-1*D", "n"), terms=[{"scale": "1", "atom": "I"}]),
    },
    "both a layer and a conclusion": {"layer": {}},
    "an unknown key": {"proof": []},
    "an unknown step": {"steps": [{"by": "trust"}]},
    "a step without a name": {"steps": [{"by": ["sum"]}]},
    "steps that are no list": {"steps": {}},
    "a size of zero": {"conclusion": said("W'*W + t*I", 0)},
    "a denominator of zero": {"steps": steps(states=said("1/0*I"))},
    "an exponent beyond all bounds": {"conclusion": said("t^100000000", 1)},
    "a citation of nothing": {
        "steps": [{"by": "cite", "theorem": "0" * 64, "replaced": {}, "sizes": {}, "hypotheses": []}]
    },
    "a trace beside what may be negative": {
        "symbols": {"W": "general n x m", "Q": "general m x m", "T": "positive diagonal m x m"},
        "meanings": {
            "T": {
                "rule": [
                    {"scale": "1", "entry": "jj", "without": False, "absolute": False, "matrix": matrix}
                    | {"size": "m", "weights": []}
                    for matrix in ("W'*W", "Q")
                ]
            }
        },
        "conclusion": said("T - W'*W"),
        "steps": [
            steps(states=said("W'*W"), terms=minimal()["theorems"][0]["steps"][0]["terms"][:1])[0],
            {"by": "trace", "symbol": "T", "fact": 0},
        ],
    },
    "dominance without a rule": {"steps": [{"by": "dominance", "symbol": "t"}]},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_proofs_are_rejected(name: str) -> None:
    with pytest.raises(Rejected) as reason:
        check_proof(minimal(**WRONG[name]))
    assert "\n" not in str(reason.value)


@pytest.mark.parametrize("value", [None, [], {}, 3, "x", {"format": "sdpcert-derivation"}, minimal() | {"version": 2}])
def test_documents_of_another_kind_are_rejected(value: Any) -> None:
    with pytest.raises(Rejected):
        check_proof(value)


def test_a_key_twice_is_rejected(tmp_path: Path) -> None:
    text = json.dumps(minimal())
    path = tmp_path / "twice.json"
    path.write_text(text.replace('"steps"', '"steps": [], "steps"', 1))
    with pytest.raises(Rejected, match="twice"):
        proof_checker.read_proof(path)


# ------------------------------------------------------------ axioms on random rules
def random_part(dice: random.Random) -> dict[str, Any]:
    weights = [["q", dice.choice(["1", "-1", "1/2"]), dice.choice("ij")] for _ in range(dice.choice([0, 0, 1, 2]))]
    return {
        "scale": dice.choice(["1", "1", "1", "1/2", "2", "-1"]),
        "entry": dice.choice(["ij", "ij", "ii", "jj"]),
        "without": dice.random() < 0.3,
        "absolute": dice.random() < 0.7,
        "matrix": dice.choice(["W'*W", "W'*W", "W'*W", "-W'*W", "Q", "Q'*Q"]),
        "size": "m",
        "weights": weights,
    }


@pytest.mark.parametrize("axiom", ["dominance", "trace"])
@pytest.mark.parametrize("declared", ["positive diagonal m x m", "positive scalar"])
def test_axioms_accept_no_rule_that_is_too_small(axiom: str, declared: str) -> None:
    dice, accepted = random.Random(axiom + declared), 0
    square = steps(states=said("W'*W"), terms=minimal()["theorems"][0]["steps"][0]["terms"][:1])
    step = {"by": axiom, "symbol": "T"} | ({"fact": 0} if axiom == "trace" else {})
    for k in range(600):
        rule = {"rule": [random_part(dice) for _ in range(dice.choice([1, 1, 2, 3]))]}
        traced = {"trace": {"matrix": dice.choice(["W'*W", "Q'*Q", "-W'*W"]), "size": "m"}}
        changes = {
            "symbols": {"W": "general n x m", "Q": "general m x m", "q": "positive diagonal m x m", "T": declared},
            "meanings": {"T": traced if axiom == "trace" and declared == "positive scalar" else rule},
            "conclusion": said("T*I - W'*W"),
            "steps": [*square, step],
        }
        try:
            (theorem,) = minimal(**changes)["theorems"]
            check_proof(minimal(**changes))
        except Rejected:
            continue
        accepted += 1
        assert not is_false(theorem, k, 60), json.dumps(theorem)
    assert accepted > 5


# ------------------------------------------------------------ changed proofs
Path_ = tuple[Any, ...]


def leaves(value: Any, at: Path_ = ()) -> list[tuple[Path_, Any]]:
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in leaves(part, (*at, key))]
    if isinstance(value, list):
        return [leaf for k, part in enumerate(value) for leaf in leaves(part, (*at, k))]
    return [(at, value)]


def put(document: Any, at: Path_, value: Any) -> None:
    for key in at[:-1]:
        document = document[key]
    document[at[-1]] = value


def changed(value: Any, names: list[str], dice: random.Random) -> Any:
    """A leaf with one thing wrong."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + dice.choice([-1, 1])
    options = [
        lambda s: s.replace(" - ", " + ", 1) if " - " in s else s.replace(" + ", " - ", 1),
        lambda s: s[1:] if s.startswith("-") else f"-{s}",
        lambda s: f"2*{s}",
        lambda s: f"1/2*{s}",
        lambda s: re.sub(r"\d+", lambda m: str(int(m[0]) + dice.choice([-1, 1])), s, count=1),
        lambda s: re.sub(r"'", "", s, count=1) if "'" in s else re.sub(r"([A-Za-z]\w*)", r"\1'", s, count=1),
        lambda s: s.replace("^-1", "", 1) if "^-1" in s else re.sub(r"([A-Za-z]\w*)", r"\1^-1", s, count=1),
        lambda s: re.sub(r"[A-Za-z]\w*", dice.choice(names or ["x"]), s, count=1),
        lambda s: s.replace("positive ", "", 1) if "positive " in s else f"positive {s}",
        lambda s: s.replace("general", dice.choice(["diagonal", "symmetric", "skew"])),
        lambda s: s.replace("diagonal", "general").replace("symmetric", "general"),
        lambda s: {"ij": "ii", "ii": "jj", "jj": "ij", "i": "j", "j": "i"}.get(s, s),
        lambda s: "*".join(s.split("*")[1:]) or "0",
        lambda s: s.split(" + ")[0].split(" - ")[0],
    ]
    return dice.choice(options)(value) if isinstance(value, str) else value


def mutant(theorem: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """A changed theorem: a leaf, everywhere or in one place, an item of a list less, or two leaves exchanged."""
    made = copy.deepcopy(theorem)
    places = [leaf for leaf in leaves(made) if leaf[0][0] not in ("name", "commentary")]
    at, value = dice.choice(places)
    kind = dice.random()
    if kind < 0.45:
        new = changed(value, list(theorem["symbols"]), dice)
        for other, same in places:
            if type(same) is type(value) and same == value:
                put(made, other, new)
    elif kind < 0.75:
        put(made, at, changed(value, list(theorem["symbols"]), dice))
    elif kind < 0.9:
        other, value2 = dice.choice(places)
        put(made, at, value2)
        put(made, other, value)
    else:
        lists = [p for p, _ in places if any(isinstance(k, int) for k in p)]
        if lists:
            chosen = dice.choice(lists)
            depth = dice.choice([k for k, key in enumerate(chosen) if isinstance(key, int)])
            target = made
            for key in chosen[:depth]:
                target = target[key]
            del target[chosen[depth]]
    return made


def run_mutants(name: str, count: int) -> tuple[int, int]:
    """How many changed theorems were rejected, and how many were accepted; fails if one of these is false."""
    document, dice = proofs(name), random.Random(name)
    rejected = accepted = 0
    for k in range(count):
        theorem = document["theorems"][k % len(document["theorems"])]
        made = mutant(theorem, dice)
        if made == theorem:
            continue
        try:
            check_proof(document | {"theorems": [made]})
        except Rejected:
            rejected += 1
            continue
        accepted += 1
        assert not is_false(made, k, TRIES), json.dumps(made)
    return rejected, accepted


@pytest.mark.parametrize("name", CHANGED)
def test_changed_proofs_are_accepted_for_true_claims_alone(name: str) -> None:
    rejected, _ = run_mutants(name, 150)
    assert rejected > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.name.split(".")[0] for path in FILES])
def test_thousands_of_changed_proofs(name: str) -> None:
    rejected, _ = run_mutants(name, 400)
    assert rejected > 100


def test_the_samples_see_false_theorems() -> None:
    (theorem,) = (t for t in proofs("sll")["theorems"] if t["name"] == "SLL")
    assert not is_false(theorem, 0, 50)
    assert is_false(theorem | {"layer": theorem["layer"] | {"G": "-3*W*T^-1"}}, 0, 50)
    meanings = copy.deepcopy(theorem["meanings"])
    meanings["T"]["rule"][0]["scale"] = "1/2"
    assert is_false(theorem | {"meanings": meanings}, 0, 50)
