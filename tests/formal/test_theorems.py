"""The theorems in Coq compile and rest on no axiom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FORMAL = Path(__file__).parents[2] / "formal"
THEOREMS = (
    "condition.condition_implies_bound", "condition.slopes_relu", "condition.slopes_leaky_relu", "condition.slopes_abs",
    "dominance.dominant_nonnegative", "checker.valid_sound", "checker.relu_sound", "checker.leaky_relu_sound",
    "checker.abs_sound",
)  # fmt: skip


@pytest.mark.slow
def test_theorems_rest_on_no_axiom(compiled):
    printed = "".join(f"Print Assumptions {theorem}.\n" for theorem in THEOREMS)
    result = compiled(f"From Sdpcert Require condition dominance checker.\n{printed}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[:-1] == ["Closed under the global context"] * len(THEOREMS)


@pytest.mark.parametrize("file", sorted(FORMAL.glob("*.v")), ids=lambda file: file.name)
def test_nothing_is_assumed(file):
    assert not re.search(r"\b(Admitted|Axiom|Parameter|admit|Abort)\b", file.read_text(encoding="utf-8"))
