"""Write the proof files of the library's results: `python -m tools.make_proofs`; tests/derivations compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sdpcert.derivations
from sdpcert.derivations.library import load, names
from sdpcert.running.outputs import write_whole
from sdpcert.symbolic.printing import plain
from sdpcert.symbolic.proof_object import check_theorems, document, theorem
from sdpcert.symbolic.strategies import search

FOLDER = Path(sdpcert.derivations.__file__).parent / "proofs"


def proof_of(name: str) -> dict[str, Any]:
    """The proof document of a name of the library, checked."""
    derivations = load(name)
    theorems: list[dict[str, Any]] = []
    for part in (part for derivation in derivations for part in derivation.parts):
        found = None if part.proof is not None else search(part.claim)
        proof = part.proof if found is None else found.proof
        assert proof is not None, f"{name}: {part.claim.name} has no proof"
        theorems += theorem(part.claim, proof, part.layer)
    check_theorems(theorems)
    return document(plain(derivations[0].title), plain(derivations[0].source), theorems)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in names():
        write_whole(FOLDER / f"{name}.proof.json", json.dumps(proof_of(name), indent=1) + "\n")
        print(f"written {name}", flush=True)
