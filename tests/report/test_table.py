"""Tables: rounding, columns by name, escaping, LaTeX that compiles, the same bytes, refusals."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sdpcert
from sdpcert.report import percent_down, percent_up, rounded_down, rounded_up, write_table
from sdpcert.report.columns import KINDS
from sdpcert.report.formats import FORMATS
from sdpcert.report.records import NotVerified
from sdpcert.report.rounding import radius_text
from sdpcert.report.table import make_table

METHODS = ("neuron", "layer", "product")


@pytest.fixture
def files(proved: Path) -> list[Path]:
    return [proved / f"{name}.cert.json" for name in (*METHODS, "conv")]


def as_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(x for x in text.splitlines(True) if not x.startswith("#")))))


def test_percentages_are_rounded_in_their_direction() -> None:
    assert percent_down(0.9512) == "95.12" and percent_up(0.9512) == "95.12"
    assert percent_down(2 / 3) == "66.66" and percent_up(2 / 3) == "66.67"
    assert percent_down(1.0) == "100.00" and percent_down(0.0) == "0.00"


def test_a_chosen_number_is_the_decimal_that_stands_for_it() -> None:
    assert [radius_text(x) for x in (0.3, 0.05, 2.0, 8 / 255, 1e-9)] == ["0.3", "0.05", "2", "0.0313725", "1e-09"]


def test_the_ladder_has_one_row_a_network_and_the_methods_as_columns(files: list[Path]) -> None:
    rows = as_rows(write_table(files, form="csv"))
    assert [r["network"] for r in rows] == ["a_b&c%100#{x}|y$", "conv"]
    uppers = [sdpcert.check(f).upper for f in files]
    for method, upper in zip(METHODS, uppers):
        assert upper is not None and float(rows[0][method]) >= upper
        assert float(rows[0][method]) <= upper * (1 + 1e-6)
    assert float(rows[0]["lower"]) <= float(rows[0]["neuron"]) <= float(rows[0]["layer"]) <= float(rows[0]["product"])
    assert rows[1]["layer"] == "" and rows[1]["neuron"] != ""


def test_methods_as_rows_and_full_precision_in_json(files: list[Path]) -> None:
    table = json.loads(write_table(files, "bounds", form="json"))
    assert [r["method"]["value"] for r in table["rows"]] == ["neuron", "layer", "product", "neuron"]
    for row, file in zip(table["rows"], files):
        verdict = sdpcert.check(file)
        assert row["upper"]["value"] == verdict.upper and row["lower"]["value"] == verdict.lower
        assert row["upper"]["text"] == rounded_up(row["upper"]["value"], 7)
        assert row["lower"]["text"] == rounded_down(row["lower"]["value"], 7)
    assert {c["name"]: c["rounding"] for c in table["columns"]}["lower"] == "down"
    assert table["files"][0]["network_sha256"] == sdpcert.check(files[0]).sha256


@pytest.mark.parametrize("form", list(FORMATS))
def test_every_format_states_level_command_and_versions(files: list[Path], form: str) -> None:
    text = write_table(files[:3], "solvers", form=form).replace(r"\allowbreak{}", "").replace("-{}", "-")
    assert "Execution level R: real arithmetic" in text
    assert "sdpcert table" in text and "--kind solvers" in text
    assert f"sdpcert {sdpcert.__version__}" in text and "NumPy" in text
    assert "rounded up" in text


def test_columns_by_name(files: list[Path]) -> None:
    rows = as_rows(write_table(files, "bounds", "network, upper", "csv"))
    assert list(rows[0]) == ["network", "lower", "upper"]  # an attained value stands beside every bound
    with pytest.raises(ValueError, match="no column 'wrong' in tables of kind bounds; there are network, file,"):
        write_table(files, "bounds", "network,wrong", "csv")
    for kind, wrong in (("wrong", "no kind 'wrong' of table; there are ladder, bounds, regions, families"),):
        with pytest.raises(ValueError, match=wrong):
            write_table(files, kind)
    with pytest.raises(ValueError, match="no format 'html' of tables; there are latex, markdown, csv, json"):
        write_table(files, form="html")
    for kind, described in KINDS.items():
        assert set(described.default) <= {c.name for c in described.columns}, kind


def test_the_same_bytes_and_no_times(files: list[Path], tmp_path: Path) -> None:
    for form in FORMATS:
        assert write_table(files, "bounds", form=form) == write_table(files, "bounds", form=form)
    changed = []
    for file in files[:3]:
        network = json.loads(file.read_text())
        network["information"] |= {"seconds": 99.0, "solve_seconds": 98.0, "proof_seconds": 97.0}
        from sdpcert.certificate.document import sealed, write_document

        changed.append(tmp_path / file.name)
        write_document(sealed(network), changed[-1])
    before, after = (make_table(f, "bounds", times=False, command="c") for f in (files[:3], changed))
    for form in ("latex", "markdown", "csv"):
        assert FORMATS[form](before) == FORMATS[form](after)
    assert "seconds" not in FORMATS["csv"](before) and "98" in write_table(changed, "bounds", form="csv")


def test_families_against_the_optimum(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from sdpcert.layers import AOLLinear

    torch.manual_seed(0)
    module = torch.nn.Sequential(AOLLinear(5, 6), torch.nn.ReLU(), AOLLinear(6, 4))
    network = sdpcert.from_torch(module, (5,))
    files = []
    for method in ("by-construction", "neuron"):
        files.append(tmp_path / f"{method}.json")
        sdpcert.certify(network, method).save(files[-1])
    (row,) = json.loads(write_table(files, "families", form="json"))["rows"]
    built, optimum, excess = (row[k]["value"] for k in ("by-construction", "neuron", "excess"))
    assert built <= 1 and optimum <= built and excess * 100 <= float(row["excess"]["text"]) + 1e-9
    assert excess == pytest.approx(built / optimum - 1, abs=1e-6)


def test_accuracy_of_a_run(run_folder: Path) -> None:
    table = json.loads(write_table([run_folder], form="json"))
    assert table["kind"] == "accuracy" and len(table["rows"]) == 4
    row = table["rows"][0]
    assert row["run"]["value"] == "small run" and row["bound"]["value"] == "sdp" and row["level"]["value"] == "R"
    assert row["accuracy"]["value"] <= row["accuracy_under_attack"]["value"] <= row["clean"]["value"] == 0.95
    assert row["lower"]["value"] <= row["upper"]["value"]
    assert any("Execution level R" in note for note in table["notes"])
    assert "small run" in write_table([run_folder / "evaluation.json"], form="latex")


def test_runs_and_certificates_do_not_mix(files: list[Path], run_folder: Path) -> None:
    with pytest.raises(ValueError, match="a run, but tables of kind ladder are made of certificates"):
        write_table([files[0], run_folder])
    with pytest.raises(ValueError, match="a certificate, but tables of accuracy are made of runs"):
        write_table([files[0], run_folder], "accuracy")
    with pytest.raises(ValueError, match="no such file"):
        write_table([files[0], run_folder / "nothing.json"])


def test_nothing_is_written_where_a_file_is_refused(files: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.cert.json"
    document = json.loads(files[1].read_text())
    document["upper"] = (float.fromhex(document["upper"]) * 0.999).hex()
    broken.write_text(json.dumps(document))
    with pytest.raises(NotVerified, match=r"broken\.cert\.json: upper is less than"):
        write_table([files[0], broken], output=tmp_path / "t.md")
    assert not (tmp_path / "t.md").exists()
    write_table(files, output=tmp_path / "t.md", caption="Of my own")
    assert (tmp_path / "t.md").read_text().count("| conv |") == 1
    assert "Of my own. Every certificate" in (tmp_path / "t.md").read_text()


def test_a_file_without_digest_is_taken_and_named(files: list[Path], tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(files[0].read_text())
    del document["information"]["digest"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert "Without digest, so only their proofs are protected against changes: old.json" in write_table(
        [tmp_path / "old.json"], form="csv"
    )


def test_latex_compiles_as_it_is(files: list[Path], run_folder: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex")
    tables = [write_table(files, kind, form="latex") for kind in ("ladder", "bounds", "solvers", "families")]
    tables.append(write_table([run_folder], form="latex", caption="ünïcode λ & 100 % of $x$_y^~\\"))
    body = "\n".join(tables)
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\\end{document}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "t.log").read_text(errors="replace")
    assert r"\toprule" in body and r"\midrule" in body and r"\bottomrule" in body
