"""Tables and pages over the folder of a sweep: every certificate proved again, and what has none is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.errors import NotVerified
from sdpcert.report import make_report, make_table
from sdpcert.report.sweep_folder import gathered


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a sweep leaves it: certificates of two networks by two methods, radii, and two items without."""
    folder = tmp_path_factory.mktemp("swept") / "out"
    (folder / "items").mkdir(parents=True)
    random, lines = np.random.default_rng(0), []
    for name in ("a", "b"):
        net = sdpcert.Network.mlp([random.standard_normal((4, 3)), random.standard_normal((2, 4))])
        net = replace(net, source=f"{name}.npz")
        for method in ("product", "layer"):
            file = f"{name}--{method}.cert.json"
            sdpcert.certify(net, method, effort=0).save(folder / "items" / file)
            lines.append({"do": "certify", "state": "proved", "file": file})
    sdpcert.radii(net, np.zeros((1, 3)), [0], attack=False).save(folder / "items" / "a.radii.json")
    lines.append({"do": "radii", "state": "proved", "file": "a.radii.json"})
    lines += [{"do": "certify", "state": state, "file": None} for state in ("failed", "out of time")]
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_a_folder_stands_for_its_files(swept: Path) -> None:
    assert [path.name for path in gathered([swept]).files] == [
        f"{name}--{method}.cert.json" for name in "ab" for method in ("product", "layer")
    ]
    assert [path.name for path in gathered([swept], "radii").files] == ["a.radii.json"]
    other = swept / "items" / "a--layer.cert.json"
    assert gathered([other]).files == (other,) and not gathered([other]).swept


def test_a_table_says_which_items_have_no_row(swept: Path) -> None:
    table = make_table([swept])
    assert len(table.rows) == 2 and {"product", "layer"} <= {column.name for column in table.columns}
    without, others = table.notes[-2:]
    assert without == f"Of the 7 items of the sweep {swept}, 2 have no proof: 1 failed, 1 out of time."
    assert others == f"The sweep {swept} has 1 files of radii, which have a table of their own as well."
    assert table.command == f"sdpcert table {swept} --kind ladder"
    assert len(make_table([swept], "radii").files) == 1


def test_a_page_on_many_networks(swept: Path) -> None:
    report = make_report([swept], swept / "page.html")
    assert report.title == "Lipschitz bounds of 2 networks"
    assert len(report.figures[0].data.rows) == 4 and len(report.evidence[0].facts) == 4
    assert {series.name for series in report.figures[0].series} == {"product", "layer"}
    assert all(value >= 1 for series in report.figures[0].series for value in series.y)
    assert any("2 have no proof" in note for note in report.notes)


def test_what_does_not_verify_makes_no_table(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    text = (swept / "items" / "a--layer.cert.json").read_text(encoding="utf-8")
    (tmp_path / "items" / "x.cert.json").write_text(text.replace('"upper": "0x1', '"upper": "0x0'), encoding="utf-8")
    line = {"do": "certify", "state": "proved", "file": "x.cert.json"}
    (tmp_path / "index.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(NotVerified):
        make_table([tmp_path])


@pytest.mark.parametrize(
    ("text", "said"),
    [("half a li", "is no index of a sweep"), ("[]\n", "is no index of a sweep"), ("", "no item of the sweep has")],
)
def test_an_index_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "index.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as refused:
        make_table([tmp_path])
    assert "\n" not in str(refused.value)
