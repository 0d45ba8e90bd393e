"""What other tools state stands beside what is proved, marked, and nothing but a record is taken for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.report import make_report, make_table

GOOD = {"tool": "t", "network": "n", "bound": 2.5, "seconds": 1, "claim": "all inputs"}


@pytest.fixture
def others(tmp_path: Path) -> Path:
    (tmp_path / "others.json").write_text(json.dumps([GOOD, {"tool": "v", "network": "n", "result": "unsat"}]))
    return tmp_path / "others.json"


def test_rows_of_others_are_marked(tmp_path: Path, others: Path) -> None:
    network = sdpcert.Network.mlp([np.array([[1.0, 2.0]])])
    sdpcert.certify(network).save(tmp_path / "ours.cert.json")
    table = make_table([tmp_path / "ours.cert.json", others])
    rows = [{c.name: cell.text for c, cell in zip(table.columns, row, strict=True)} for row in table.rows]
    assert table.kind == "tools" and [row["standing"] for row in rows] == ["proved", "stated", "stated"]
    assert [row["upper"] for row in rows[1:]] == ["2.5", ""] and rows[2]["result"] == "unsat"
    assert rows[0]["upper"].startswith("2.236") and rows[1]["lower"] == ""
    assert any("not checked" in note for note in table.notes)
    assert [file["verdict"] for file in table.files][1] == "stated by others, not proved"


def test_they_stand_in_no_other_table_and_on_no_page(tmp_path: Path, others: Path) -> None:
    with pytest.raises(ValueError, match="states results of another tool"):
        make_table([others], kind="ladder")
    with pytest.raises(ValueError, match="states results of other tools"):
        make_report([others])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bound": None}, "has to state a bound"),
        ({"result": "unsat"}, "one of the two"),
        ({"bound": "2"}, "no finite number"),
        ({"bound": float("nan")}, "no finite number"),
        ({"bound": -1.0}, "no finite number"),
        ({"bound": 10**400}, "no finite number"),
        ({"seconds": True}, "no finite number"),
        ({"network": ""}, "has no network"),
        ({"claim": "two\nlines"}, "in one line"),
        ({"upper": 2.0}, "has the key 'upper'"),
    ],
)
def test_bad_records_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(ValueError, match=said):
        make_table([path])
