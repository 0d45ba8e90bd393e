"""The proofs in Coq of sequences, restrictions and covers: they compile without axioms, and can be applied."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

COQC = shutil.which("coqc")
FORMAL = Path(__file__).parents[2] / "formal"
CLOSED = "Closed under the global context\n"
QUIET = ["-w", "-notation-overridden,-ambiguous-paths"]
#: The files, each after those it imports, with their theorems.
THEOREMS = {
    "sequence": [
        "lipschitz_composition",
        "lipschitz_sum",
        "lipschitz_residual",
        "lipschitz_fan_out",
        "proved_lipschitz",
    ],
    "cover": ["cover"],
    "pieces": ["closed_segments", "flat_of_weights", "divided_lipschitz"],
    "polyhedra": ["polyhedral_closed"],
    "restriction": ["restriction_lipschitz"],
}
#: What `restriction` imports besides.
IMPORTED = ["field_ring", "condition"]

#: The ReLU of one rational number by its two halves; and a step, whose halves cover too but are not both closed.
APPLIED = r"""
From mathcomp Require Import all_ssreflect all_algebra.
From Sdpcert Require Import sequence cover pieces polyhedra.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition relu (x : 'cV[rat]_1) : 'cV[rat]_1 := if x 0 0 <= 0 then 0 else x.
Definition step (x : 'cV[rat]_1) : 'cV[rat]_1 := if x 0 0 <= 0 then 0 else const_mx 1.
Definition below : set rat_realFieldType 1 := fun x => x 0 0 <= 0.
Definition above : set rat_realFieldType 1 := fun x => - x 0 0 <= 0.
Definition strictly_above : set rat_realFieldType 1 := fun x => 0 < x 0 0.

Lemma closed_half (h : 'cV[rat]_1 -> rat) : affine h -> closed_on_segments (fun x => h x <= 0).
Proof.
move=> affine_h x y s s_on hs none.
apply: (polyhedral_closed (Cut 0 (Whole _ 1) affine_h) s_on (conj I hs)) => t [t_on [_ ht] last].
by apply: (none t); split=> // q q_on hq; apply: last.
Qed.

Lemma closed_below : closed_on_segments below.
Proof. by apply: (@closed_half (fun x => x 0 0)) => x y t; rewrite !mxE. Qed.

Lemma closed_above : closed_on_segments above.
Proof. by apply: (@closed_half (fun x => - x 0 0)) => x y t; rewrite !mxE opprD -mulrN opprD. Qed.

Theorem relu_lipschitz : lipschitz_on (fun=> True) 1 relu.
Proof.
apply: (@cover _ _ _ 1 relu _ [:: below; above]) => //=.
- by split; [apply: closed_below | split=> //; apply: closed_above].
- move=> x _; rewrite /either /below /above oppr_le0.
  by have [le|/ltW ge] := leP (x 0 0) 0; [left | right; left].
split; first by exists 1 => // x y; rewrite /below /relu => -> ->; rewrite subrr norm2_0 mul1r norm2_ge0.
split=> //; exists 1 => // x y; rewrite /above !oppr_le0 => x_ge0 y_ge0.
have here (z : 'cV[rat]_1) : 0 <= z 0 0 -> relu z = z.
  rewrite /relu le_eqVlt => /predU1P[z0|/lt_geF->//]; rewrite -z0 lexx.
  by apply/colP => i; rewrite ord1 mxE.
by rewrite !here // mul1r.
Qed.

Theorem closed_is_needed : ~ closed_on_segments strictly_above.
Proof.
move=> closed_strictly; suff /(_ (const_mx 1) 0 I I) : lipschitz_on (fun=> True) 0 step.
  rewrite mul0r /step !mxE lexx => /norm2_eq0/colP/(_ 0).
  by rewrite !mxE.
apply: (@cover _ _ _ 0 step _ [:: below; strictly_above]) => //=.
- by split; [apply: closed_below | split].
- move=> x _; rewrite /either /below /strictly_above.
  by have [le|gt] := leP (x 0 0) 0; [left | right; left].
split; first by exists 0 => // x y; rewrite /below /step => -> ->; rewrite subrr norm2_0 mul0r.
by split=> //; exists 0 => // x y; rewrite /strictly_above /step => /lt_geF-> /lt_geF->; rewrite subrr norm2_0 mul0r.
Qed.

Print Assumptions relu_lipschitz.
Print Assumptions closed_is_needed.
"""


def has_mathcomp() -> bool:
    """Whether Coq is here, with the library that the proofs are written on."""
    if COQC is None:
        return False
    where = subprocess.run([COQC, "-where"], capture_output=True, text=True, check=True).stdout.strip()
    return (Path(where) / "user-contrib" / "mathcomp" / "algebra").is_dir()


@pytest.mark.skipif(not has_mathcomp(), reason="needs coqc and mathcomp's algebra")
@pytest.mark.slow
def test_the_proofs_compile_without_axioms_and_their_theorems_can_be_applied(tmp_path: Path) -> None:
    def compiled(name: str) -> str:
        command = [COQC or "", *QUIET, "-Q", ".", "Sdpcert", f"{name}.v"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        return run.stdout

    for name in IMPORTED:
        shutil.copy(FORMAL / f"{name}.v", tmp_path)
        compiled(name)
    for name, theorems in THEOREMS.items():
        shutil.copy(FORMAL / f"{name}.v", tmp_path)
        assert compiled(name) == CLOSED * len(theorems)
    (tmp_path / "applied.v").write_text(APPLIED)
    assert compiled("applied") == CLOSED * 2


@pytest.mark.parametrize("name", THEOREMS)
def test_each_file_prints_the_assumptions_of_its_theorems_and_admits_nothing(name: str) -> None:
    text = (FORMAL / f"{name}.v").read_text()
    assert re.findall(r"^Print Assumptions (\w+)\.$", text, re.MULTILINE) == THEOREMS[name]
    assert set(re.findall(r"^Theorem (\w+)", text, re.MULTILINE)) <= set(THEOREMS[name])
    assert not re.search(r"\b(Admitted|Abort|admit|Axioms?|Parameters?|Conjecture|Hypothes[ie]s)\b", text)
