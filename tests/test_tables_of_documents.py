"""Measured tables of README.md and docs/ are what the raw results give, rounded so that they stay true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import benchmark_tables
from tools.benchmark_tables import tables
from tools.documents import MARKED, ROOT, Table, documents, filled
from tools.make_tables import fill, reader

READ = reader(ROOT)
PAGES = documents()
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MEASURED = re.compile(r"^\|.*\d\.\d\d.*$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_tables_are_what_the_raw_results_give(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text, tables(READ)) == text, "run: python -m tools.make_tables --only-documents"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_measured_table_is_typed_by_hand(page: Path) -> None:
    text = MARKED.sub("", FENCED.sub("", page.read_text(encoding="utf-8")))
    assert not MEASURED.findall(text), "put it between markers, and make it in tools/benchmark_tables.py"


def test_every_table_is_in_a_document() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {found["name"] for found in MARKED.finditer(text)} == set(tables(READ))


def test_an_altered_digit_is_found() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    altered = text.replace("36.4822296 |", "36.4822295 |", 1)
    assert altered != text
    assert filled(altered, tables(READ)) == text


def test_markers_that_are_wrong_are_named() -> None:
    with pytest.raises(ValueError, match="there is no table 'speed'; there are reference_values, "):
        filled("<!-- table: speed -->\n<!-- end table -->\n", tables(READ))
    with pytest.raises(ValueError, match="the table 'solvers' has no end"):
        filled("<!-- table: solvers -->\n\n| a |\n|---|\n", tables(READ))


def test_a_document_keeps_what_is_outside_the_markers() -> None:
    text = "before\n\n<!-- table: one -->\nold\n<!-- end table -->\n\nafter <!-- a comment -->\n"
    made = filled(text, {"one": Table(("a_b", "n"), [("x|y", "1.5 s"), ("`c_d`", "")]).markdown})
    table = "| a\\_b | n |\n|---|---:|\n| x\\|y | 1.5 s |\n| `c_d` |  |"
    assert made == f"before\n\n<!-- table: one -->\n\n{table}\n\n<!-- end table -->\n\nafter <!-- a comment -->\n"


def cells(table: Table, column: str) -> list[str]:
    return [row[table.header.index(column)] for row in table.rows]


def test_bounds_are_rounded_up_and_attained_values_down() -> None:
    made, rows = benchmark_tables.reference_values(READ), READ("reference_values")["rows"]
    for name, method in (("neuron, proved", "neuron"), ("layer", "layer"), ("product", "product")):
        assert all(float(c) >= r[method]["upper"] for c, r in zip(cells(made, name), rows, strict=True)), name
    assert all(float(c) >= r["neuron"]["gap"] for c, r in zip(cells(made, "gap"), rows, strict=True))
    assert all(float(c) <= r["neuron"]["lower"] for c, r in zip(cells(made, "attained"), rows, strict=True))
    made, networks = benchmark_tables.convolutional_networks(READ), READ("convolutional_networks")["networks"]
    for name in ("joint", "composed", "layer", "product"):
        found = zip(cells(made, name), networks.values(), strict=True)
        assert all(float(c) >= r[name]["upper"] and r[name]["status"] == "proved" for c, r in found), name
    found = zip(cells(made, "attained"), networks.values(), strict=True)
    assert all(float(c) <= r["attained"] for c, r in found)


def test_certified_accuracies_are_rounded_down_and_attacked_ones_up() -> None:
    made = benchmark_tables.certified_accuracy(READ)
    rows = [r for result in READ("certified_accuracy")["results"] for r in result["rows"]]
    for radius in ("0.5", "1.0"):
        for cell, row in zip(cells(made, f"certified {radius}"), rows, strict=True):
            assert float(cell.removesuffix(" %")) <= 100 * row["certified"][radius] + 1e-12
        for cell, row in zip(cells(made, f"under attack {radius}"), rows, strict=True):
            assert not cell or float(cell.removesuffix(" %")) >= 100 * row["attacked"][radius] - 1e-12


def test_proved_radii_are_counted_of_all_inputs_and_rounded_down() -> None:
    """Two of three inputs are right; an attack leaves both at the first radius and one at the second."""
    common = {"network": "net", "right": True, "constants": 0.1, "relaxation": 0.1, "undivided": 0.2}
    rows = [
        common | {"proved": 0.2, "attacked": None, "seconds": {"0.1": 1.0, "0.2": 4.0}},
        common | {"proved": 0.1, "undivided": 0.0, "attacked": 0.15, "seconds": {"0.1": 3.0}},
        {"network": "net", "right": False},
    ]
    result = {"subjects": {"net": {"radii": [0.1, 0.2]}}, "rows": rows}
    made = benchmark_tables.radii(lambda name: {"radii_some": result}[name], ["some"])
    assert cells(made, "constants") == ["66.66 %", "0.00 %"]
    assert cells(made, "undivided") == ["33.33 %", "33.33 %"]
    assert cells(made, "all together") == ["66.66 %", "33.33 %"]
    assert cells(made, "under attack") == ["66.67 %", "33.34 %"]
    assert cells(made, "median time") == ["2.0 s", "4.0 s"]
    assert cells(made, "construction") == ["", ""]


def test_what_went_wrong_in_an_opponent_comes_from_the_results() -> None:
    """The limit of memory is 17.65 GiB, which the raw result calls 18; points that prove nothing are no times."""
    made = benchmark_tables.solvers(READ)
    rows = {row[0]: dict(zip(made.header, row, strict=True)) for row in made.rows}
    assert rows["784-100x2-10"]["Clarabel"] == "over 17.6 GiB"
    assert rows["784-100x5-10"]["SCS"] == "over 170 s, busy"
    assert rows["16-16x64-16"]["Clarabel"].endswith(", infeasible point")
    assert rows["16-16x32-16"]["SDPA"].endswith(" above")


def test_the_command_fills_a_folder_from_the_results_in_it(tmp_path: Path) -> None:
    shipped = json.loads((ROOT / "benchmarks" / "results" / "shipped.json").read_text(encoding="utf-8"))
    shipped["accuracy"]["rows"][0]["accuracy"]["text"] = "12.34"
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "shipped.json").write_text(json.dumps(shipped))
    written = {path.relative_to(tmp_path).as_posix() for path in fill(tmp_path)}
    assert {"README.md", "docs/shipped.md", "docs/layers.md"} <= written
    assert "| 12.34 % |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| 12.34 |" in (tmp_path / "docs" / "shipped.md").read_text(encoding="utf-8")


def test_a_missing_result_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"benchmarks/results/speed\.json does not exist: make it with"):
        reader(tmp_path)("speed")
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "tools.make_tables", "--only-documents", "--folder", str(tmp_path / "file")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("make_tables: ")
    assert done.stderr.count("\n") == 1
