"""The proof files of the package say what the library's results say, and the checker proves them."""

import json

import pytest

from sdpcert.check import proof_checker
from sdpcert.derivations.library import load, names
from tools.make_proofs import FOLDER, proof_of

SAID = ("name", "symbols", "meanings", "hypotheses", "layer", "conclusion")


def test_every_result_has_a_proof_file():
    assert {path.name for path in FOLDER.glob("*")} == {f"{name}.proof.json" for name in names()}


@pytest.mark.parametrize("name", names())
def test_proof_files_say_what_the_results_say(name):
    kept = proof_checker.read_proof(FOLDER / f"{name}.proof.json")
    assert len(proof_checker.check_proof(kept)) >= sum(len(d.parts) for d in load(name))
    now = proof_of(name)
    # Steps that a search found may differ from machine to machine; what is proved does not.
    assert [{k: t.get(k) for k in SAID} for t in kept["theorems"]] == [
        {k: t.get(k) for k in SAID} for t in json.loads(json.dumps(now))["theorems"]
    ]
