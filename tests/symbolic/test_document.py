"""LaTeX of results compiles by itself; files are written whole or not at all; bad input is answered in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdpcert.symbolic import derive
from sdpcert.symbolic.document import NoTexEngine, document, escaped, pdf
from sdpcert.symbolic.library import load

FILES = Path(__file__).parents[2] / "examples" / "derivations"
ENGINE = any(shutil.which(name) for name in ("pdflatex", "lualatex", "xelatex", "tectonic"))


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "sdpcert.cli", *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )


def results():
    return [derive(load(str(FILES / name))[0]) for name in ("column_norms.py", "row_norms.py")]


def test_latex_has_theorems_proofs_and_witnesses():
    source = document(results(), versions="0")
    assert source.count("\\begin{theorem}") == source.count("\\end{theorem}") == 2
    assert source.count("\\begin{proof}") == 1
    assert "\\emph{Refuted}" in source
    assert "\\bibitem{s1}" in source
    assert "\\cite{s1}" in source
    assert source.count("{") == source.count("}")


@pytest.mark.skipif(not ENGINE, reason="no TeX engine")
def test_documents_compile(tmp_path):
    path = tmp_path / "document.pdf"
    pdf(document(results()), path)
    assert path.read_bytes().startswith(b"%PDF")
    assert [p.name for p in tmp_path.iterdir()] == ["document.pdf"]


@pytest.mark.skipif(not ENGINE, reason="no TeX engine")
def test_broken_latex_is_reported_and_leaves_nothing(tmp_path):
    with pytest.raises(NoTexEngine, match="failed"):
        pdf("\\documentclass{article}\\begin{document}\\undefined", tmp_path / "broken.pdf")
    assert not list(tmp_path.iterdir())


def test_without_an_engine_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoTexEngine, match="no TeX engine found"):
        pdf("", tmp_path / "none.pdf")


def test_special_characters():
    assert escaped("50% of A & B_1, $x_1$ >= 0") == "50\\% of A \\& B\\_1, $x_1$ $\\ge$ 0"


def test_notebooks_get_text_and_formulas():
    result = results()[1]
    assert "refuted" in result._repr_markdown_()
    assert repr(result) == result.text()
    claim = result.derivation.parts[0].claim
    assert claim.show.matrix._repr_latex_().startswith("$\\begin{pmatrix}")


def test_command_line(tmp_path):
    done = run("derive", FILES / "column_norms.py", "--latex", tmp_path / "paper", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["status"] == "proved"
    assert (tmp_path / "paper" / "column_norms.tex").read_text().startswith("\\documentclass")
    refuted = run("derive", FILES / "row_norms.py")
    assert refuted.returncode == 1
    assert "inputs 0 and (1)" in refuted.stdout
    for arguments in (("derive", "nothing"), ("derive", tmp_path / "none.py"), ("derive", "sll", "--latex", __file__)):
        wrong = run(*arguments)
        assert wrong.returncode == 2
        assert wrong.stderr.count("\n") == 1
        assert "Traceback" not in wrong.stderr
