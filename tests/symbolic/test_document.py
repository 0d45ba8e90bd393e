"""LaTeX of results compiles by itself; files are written whole or not at all; bad input is answered in one line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdpcert.derivations.library import load
from sdpcert.symbolic import derive
from sdpcert.symbolic.document import NoTexEngine, document, pdf
from sdpcert.symbolic.sources import cited, papers_of
from sdpcert.symbolic.theorems import escaped

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
    assert source.count("\\begin{theorem}") == source.count("\\end{theorem}") == 1
    assert source.count("\\begin{claim}") == source.count("\\end{claim}") == 1
    assert source.count("\\begin{proof}") == 1
    assert "A counterexample" in source
    assert ": refuted]" in source
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
def test_warnings_need_not_be_utf8(tmp_path):
    """pdflatex prints a letter of an overfull line as the byte of its T1 font: 0xDC for Ü."""
    body = "\\hbox to 3cm{Über die Abgrenzung der Eigenwerte einer Matrix, Über die Abgrenzung}"
    start = document(results()[:1]).split("\\begin{document}")[0]
    pdf(f"{start}\\begin{{document}}{body}\\end{{document}}", tmp_path / "document.pdf")
    assert (tmp_path / "document.pdf").exists()


@pytest.mark.skipif(not ENGINE, reason="no TeX engine")
def test_broken_latex_is_reported_and_leaves_nothing(tmp_path):
    with pytest.raises(NoTexEngine, match="failed"):
        pdf("\\documentclass{article}\\begin{document}\\undefined", tmp_path / "broken.pdf")
    assert not list(tmp_path.iterdir())


def test_an_engine_s_complaint_names_the_result(monkeypatch, tmp_path):
    """An engine that stops at a line: the message says in which section, and at which words."""
    source = r"A \nosuchcommand counterexample".join(document(results()).rsplit("A counterexample", 1))
    line = next(k for k, text in enumerate(source.splitlines(), 1) if "nosuchcommand" in text)
    log = f"! Undefined control sequence.\nl.{line} ... A \\nosuchcommand\n                  counterexample"
    monkeypatch.setattr(shutil, "which", lambda name: name)
    failed = subprocess.CompletedProcess([], 1, stdout=log, stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(NoTexEngine) as raised:
        pdf(source, tmp_path / "broken.pdf")
    message = str(raised.value)
    assert "in Row norms instead of row sums, at '... A \\\\nosuchcommand'" in message
    assert message.endswith("Undefined control sequence.")
    assert "\n" not in message


def test_without_an_engine_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoTexEngine, match="no TeX engine found"):
        pdf("", tmp_path / "none.pdf")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex")
@pytest.mark.parametrize("name", ["cayley", "residual", "gershgorin", "shift_invariant"])
def test_no_formula_overflows_or_is_set_small(name, tmp_path):
    """Wide block matrices and long sums fit: nothing sticks out, nothing is shrunk by more than a tenth."""
    source = document([derive(d, numbers=False) for d in load(name)])
    told = source.replace("\\resizebox{0.98", "\\typeout{SHRUNK \\the\\wd\\formulabox}\\resizebox{0.98", 1)
    assert told != source
    (tmp_path / "d.tex").write_text(told)
    for _ in range(2):
        run = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="replace",
        )
    assert run.returncode == 0
    log = (tmp_path / "d.log").read_text(errors="replace")
    assert not [w for w in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log) if float(w) > 10]
    assert "undefined references" not in log
    assert not [w for w in re.findall(r"SHRUNK ([\d.]+)pt", log) if float(w) > 500]  # the line has 455 points


def test_nothing_is_said_twice():
    """A step that states the claim ends the proof; what is checked stands once a section."""
    source = document([derive(d, numbers=False) for d in load("gershgorin")[:2]])
    for proof in re.findall(r"\\begin{proof}(.*?)\\end{proof}", source, re.DOTALL):
        assert proof.count("The claim holds") == 1
    assert source.count("Checked:") == source.count("\\section{") == 2


def test_wrong_versions_are_not_stated_as_if_they_were_true():
    (sll,) = load("sll")
    source = document([derive(sll, numbers=False)])
    for control in re.findall(r"\\begin{control}(.*?)\\end{control}", source, re.DOTALL):
        assert "\\emph{not}" in control
        assert "A counterexample" in control


def test_sources_become_references():
    source = "A, B: One, ICML 2020, Theorem 3; C: Two, Journal 5, 2001 (the factor $Q$); D: Three"
    assert papers_of(source) == [
        ("A, B: One, ICML 2020", "Theorem 3"),
        ("C: Two, Journal 5, 2001", "the factor $Q$"),
        ("D: Three", ""),
    ]
    assert cited(source, ["D: Three", "A, B: One, ICML 2020"]) == ["\\cite[Theorem 3]{s2}", "\\cite{s1}"]


def test_a_paper_is_listed_once():
    results = [derive(load(name)[0], numbers=False) for name in ("orthogonal", "sll")]
    source = document(results)
    assert source.count("\\bibitem{") == 1
    assert source.count("A Unified Algebraic Perspective") == 1


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
    assert json.loads(done.stdout)["results"][0]["status"] == "proved"
    assert (tmp_path / "paper" / "column_norms.tex").read_text().startswith("\\documentclass")
    refuted = run("derive", FILES / "row_norms.py")
    assert refuted.returncode == 1
    assert "inputs 0 and (1)" in refuted.stdout
    for arguments in (("derive", "nothing"), ("derive", tmp_path / "none.py"), ("derive", "sll", "--latex", __file__)):
        wrong = run(*arguments)
        assert wrong.returncode == 2
        assert wrong.stderr.count("\n") == 1
        assert "Traceback" not in wrong.stderr
