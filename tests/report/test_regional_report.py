"""Bounds on regions in figures, tables and pages: true between the radii too, and regions are never mixed up."""

from __future__ import annotations

import dataclasses
import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdpcert
from sdpcert import Ball, Box
from sdpcert.check import CheckResult
from sdpcert.regions.region import AllInputs, Region
from sdpcert.report import make_report, make_table, write_figures, write_report
from sdpcert.report.drawing import VARIABLES, inline_svg
from sdpcert.report.figure import Figure
from sdpcert.report.figures import local_bounds
from sdpcert.report.records import Record, by_network, same_network, where
from sdpcert.report.regional import MOST_LINES, Local, Moment, against_radius, branch_and_bound, branching_gap
from tests.report.conftest import mlp

CENTER = np.array([0.1, 0.2])


def record(region: Region, upper: float = 2.0, lower: float = 1.0, kind: str = "cover", **stated: Any) -> Record:
    """A record as it is after its certificate was proved; the pieces are as many as `stated["pieces"]`, or 3."""
    pieces = [{"end": {"kind": "split"}}, *({"end": {"kind": "condition"}} for _ in range(stated.get("pieces", 3)))]
    document = {
        "version": 3,
        "region": region.document() | {"coordinates": "input", "size": 2},
        "tree": {"kind": kind, "pieces": pieces},
        "information": {"source": "net.onnx", "method": "neuron", "output_rows": None, **stated},
    }
    verdict = CheckResult(True, upper, "proved", "hash" if kind == "cover" else "other", lower, "exact")
    return Record(Path(f"{upper}.json"), verdict, document, "", "")


# ---------------------------------------------------------------- against the radius

certificates = st.lists(
    st.builds(Local, st.sampled_from([0.01, 0.1, 0.2, 0.5, 3.0]), st.floats(5, 50), st.floats(0, 4)), min_size=2
)


@given(certificates)
def test_the_curves_are_proved_between_the_radii_too(points: list[Local]) -> None:
    figure = against_radius(points, "ball")
    upper, lower = figure.series[:2]
    assert list(upper.x) == list(lower.x) == sorted(upper.x)
    for (x, u, a), (next_x, next_u, next_a) in pairwise(zip(upper.x, upper.y, lower.y, strict=True)):
        assert u <= next_u and a <= next_a  # the constant grows with the region
        if x < next_x:
            inside = (x + next_x) / 2
            assert u == next_u == min(p.upper for p in points if p.radius >= inside)
            assert a == next_a == max(p.lower for p in points if p.radius <= inside)
    for series, best in ((upper, min), (lower, max)):
        assert [series.x[k] for k in series.marked] == sorted({p.radius for p in points})
        for k in series.marked:
            same = [getattr(p, "upper" if best is min else "lower") for p in points if p.radius == series.x[k]]
            assert best(series.y[k], best(same)) == series.y[k]
    assert len(figure.data.rows) == len(points)


def drawn_well(figure: Figure) -> None:
    drawing = inline_svg(figure)
    ElementTree.fromstring(drawing)
    assert "nan" not in drawing and "inf" not in drawing
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawing))
    assert colours <= {f"var({v})" for v in VARIABLES.values()} | {"none"}


@pytest.mark.parametrize("overall", [None, 312.4])
@pytest.mark.parametrize("lowest", [0.0, 0.7])
def test_local_bounds_are_drawn(overall: float | None, lowest: float, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [Local(0.05, 0.7412, lowest, 9, "a.json"), Local(0.3, 21.0, 8.681, None, "b.json")]
    figure = against_radius(points, "box", overall)
    drawn_well(figure)
    assert figure.y.log == (lowest > 0) and ("for all inputs" in [s.name for s in figure.series]) == bool(overall)
    assert figure.data.rows[0][:2] == ("0.05", "0.7412")
    assert write_figures([figure], tmp_path, "pdf")[0].read_bytes().startswith(b"%PDF")


def test_only_regions_around_one_point_make_a_curve() -> None:
    small, large = (record(Ball(CENTER, r), 1 + r) for r in (0.1, 0.2))
    figure = local_bounds([large, small, record(AllInputs(), 9.0)])
    assert figure is not None
    assert [list(s.y) for s in figure.series if s.name == "for all inputs"] == [[9.0, 9.0]]
    assert figure.data.rows[0][-1] == small.path.name and figure.data.rows[0][-2] == "3"
    other = record(Ball(CENTER + 1, 0.3))
    cut = record(Ball(CENTER, 0.3, Box(np.zeros(2), np.ones(2))))
    cube = record(Box(CENTER - 0.3, CENTER + 0.3))
    for strange in (other, cut, cube):
        assert local_bounds([small, strange]) is None
    assert local_bounds([small, small]) is None and local_bounds([small]) is None


def test_boxes_make_a_curve_if_one_is_inside_of_the_other() -> None:
    small, large, beside = (record(Box(np.array(a), np.array(b))) for a, b in ((-1, 1), (-2, 1), (0.0, 9.0)))
    for made in (small, large, beside):
        made.__dict__["tree"] = dataclasses.make_dataclass("Tree", ["inputs", "outputs"])(2, 1)
    figure = local_bounds([small, large])
    assert figure is not None and figure.x.title == "half-width of the box"
    assert local_bounds([small, beside]) is None


# ---------------------------------------------------------------- branch and bound


def log(count: int) -> list[Moment]:
    return [Moment(0.1 * k, 9.6 + 1 / (k + 1), min(9.5 + 0.01 * k, 9.6), count - k, 2 * k + 1) for k in range(count)]


def test_a_long_log_is_thinned_and_keeps_its_ends() -> None:
    for count in (2, 3, MOST_LINES, MOST_LINES + 1, 10 * MOST_LINES + 7):
        history = log(count)
        figure = branch_and_bound(history)
        assert figure is not None and len(figure.data.rows) <= MOST_LINES + 1
        upper = figure.series[0]
        assert (upper.x[0], upper.y[0]) == (history[0].seconds, history[0].upper)
        assert (upper.x[-1], upper.y[-1]) == (history[-1].seconds, history[-1].upper)
    assert branch_and_bound(log(1)) is None and branch_and_bound([]) is None and branching_gap([]) is None


@pytest.mark.parametrize("times", [True, False])
def test_a_search_is_drawn(times: bool) -> None:
    pytest.importorskip("matplotlib")
    for history in (log(100), [Moment(0.0, 300.0, 0.0, 1, 1), Moment(1e4, 1.0, 1.0, 0, 9)]):
        for figure in (branch_and_bound(history, times), branching_gap(history, times)):
            if figure is not None:
                drawn_well(figure)
                assert (figure.x.label == "time") == times
                assert not times or figure.x.unit == "s"


@pytest.mark.parametrize(
    "history",
    [
        None,
        5,
        "x",
        [1],
        [[1, 2, 3, 4]],
        [[0, "x", 0, 0, 0]],
        [[0, 2, 1, 1e400, 1]],
        [[0, math.nan, 0, 0, 0]],
        [[-1] * 5],
    ],
)
def test_a_strange_history_is_no_figure(history: Any) -> None:
    assert branch_and_bound(record(AllInputs(), history=history).history) is None


# ---------------------------------------------------------------- regions are not mixed up


def test_certificates_on_different_regions_share_no_row() -> None:
    ball, other = record(Ball(CENTER, 0.1)), record(Ball(CENTER, 0.2))
    assert same_network(ball, other) and len(by_network([ball, other, record(Ball(CENTER, 0.1))])) == 2
    pair = record(Ball(CENTER, 0.1), kind="restriction", output_pair=[3, 7])
    assert not same_network(ball, pair) and pair.name == "net outputs 3 - 7"


def test_inputs_in_words_are_not_more_than_the_region() -> None:
    assert where(record(AllInputs())) == "all inputs"
    assert where(record(Ball(CENTER, 2 / 3))).startswith("the ball of radius 0.666666 that")
    assert where(record(Box(np.array(0.0), np.ones(2)))).startswith("the box of half-width 0.5 that")


def test_the_gap_of_several_pieces_is_to_what_is_attained() -> None:
    assert record(AllInputs(), 2.0, 1.5, sdp_lower=None).gap == 0.25
    assert record(AllInputs(), 2.0, 1.5, "restriction", sdp_lower=1.75).gap == 0.125


# ---------------------------------------------------------------- from the network to the page


@pytest.fixture(scope="module")
def regional(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Certificates of one network: two divided balls around one point, a ball that is not divided, all inputs."""
    folder, network, center = tmp_path_factory.mktemp("regional"), mlp(), np.full(6, 0.3)
    options: list[dict[str, Any]] = [
        {"region": Ball(center, 0.5), "nodes": 3},
        {"region": Ball(center, 2.0), "nodes": 3},
        {"region": Ball(center, 1.0)},
        {},
    ]
    paths = [folder / f"{k}.cert.json" for k in range(len(options))]
    for path, keywords in zip(paths, options, strict=True):
        sdpcert.certify(network, **keywords).save(path)
    return paths


def test_a_table_of_regions(regional: list[Path]) -> None:
    made = make_table(regional)
    assert made.kind == "regions" and [c.name for c in made.columns][:3] == ["network", "region", "radius"]
    rows = [{c.name: cell for c, cell in zip(made.columns, row, strict=True)} for row in made.rows]
    assert [row["radius"].text for row in rows] == ["0.5", "2", "1", ""]
    assert all(row["lower"].value <= row["upper"].value for row in rows)
    assert rows[0]["upper"].value <= rows[1]["upper"].value <= rows[3]["upper"].value * (1 + 1e-6)
    assert "on the regions named" in " ".join(made.notes) and "largest half-width" in " ".join(made.notes)
    ladder = make_table(regional, "ladder")
    assert len(ladder.rows) == len(regional)  # every region is another claim


def test_a_page_on_a_region(regional: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    report = make_report(regional)
    assert "for all x, x′ in the ball of radius 0.5 that the file states" in report.lead and "inputs" in report.lead
    keys = [figure.key for figure in report.figures]
    assert keys[:2] == ["ladder", "local"] and len(report.figures[0].categories) <= 3
    whole = make_report(regional[::-1])
    assert "for all inputs, proved" in whole.lead and "local" in [figure.key for figure in whole.figures]
    paths = write_report(regional, tmp_path / "page.html", tmp_path / "figures", times=False)
    again = write_report(regional, tmp_path / "page.html", tmp_path / "again", times=False)
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
