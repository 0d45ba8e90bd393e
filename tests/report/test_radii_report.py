"""Files of radii in figures, tables and pages: no curve above what is proved, or below what was attacked."""

from __future__ import annotations

import json
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
from sdpcert.certificate.document import sealed
from sdpcert.check import CheckResult
from sdpcert.errors import NotVerified
from sdpcert.report import make_report, make_table, write_report, write_table
from sdpcert.report.drawing import VARIABLES, inline_svg, write_figures
from sdpcert.report.figure import Figure, Series
from sdpcert.report.pictures import COLUMNS, image_shape, pixels_of
from sdpcert.report.radii_figures import MOST_PLACES, certified_accuracy, histogram, least_robust
from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.records import read
from sdpcert.robustness.regions_of_radii import Norm
from sdpcert.running.encoding import encode
from tests.report.test_page import Page

Entry = tuple[bool, float, float | None]
ROWS = (0.0, 0.1, 0.3)


class Stated(RadiiFile):
    """A file whose network is not there: every attack reaches class 1."""

    def class_beside(self, label: int, point: np.ndarray) -> int:
        return 1


def file_of(entries: list[Entry], attacked: bool = True, inputs: int = 64, **stated: Any) -> RadiiFile:
    """A file as it is after it was proved: whether each input is right, its radius, and the distance of its attack."""
    rng = np.random.default_rng(0)
    rows = []
    for radius in ROWS:
        left = [right and (far is None or far > radius) for right, _, far in entries]
        certified = sum(right and own >= radius for right, own, _ in entries)
        rows.append({"radius": radius.hex(), "certified": certified, "attacked": sum(left) if attacked else None})
    document = {
        "norm": "l2",
        "level": "R",
        "network": {"inputs": inputs},
        "normalisation": None,
        "within": None,
        "inputs": [
            {
                "center": encode(rng.random(inputs)),
                "label": 7,
                "correct": right,
                "radius": float(own).hex(),
                "attack": None
                if far is None or not attacked
                else {"point": encode(rng.random(inputs)), "distance": float(far).hex()},
            }
            for right, own, far in entries
        ],
        "rows": rows,
        "information": {"model": "nets/a_b.onnx", "seconds": 3.0, **stated},
    }
    return Stated(Path("a_b.radii.json"), CheckResult(True, None, "proved"), document, "", "")


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Inputs that are wrong, or right with an attack beyond their radius, or with none."""
    found: list[Entry] = []
    for right in draw(st.lists(st.booleans(), min_size=1, max_size=30)):
        radius = draw(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.7])) if right else 0.0
        beyond = draw(st.none() | st.floats(0.01, 2)) if right else None
        found.append((right, radius, None if beyond is None else radius + beyond))
    return found


def level_at(series: Series, radius: float) -> tuple[float, float]:
    """The least and the largest value of a step curve at a radius."""
    values = [y for x, y in zip(series.x, series.y, strict=True) if x == radius]
    for (x, y), (next_x, next_y) in pairwise(zip(series.x, series.y, strict=True)):
        if x < radius < next_x:
            assert y == next_y
            values.append(y)
    return min(values), max(values)


@given(entries())
def test_the_curves_are_true_at_every_radius(given_entries: list[Entry]) -> None:
    file = file_of(given_entries)
    figure = certified_accuracy(file)
    if not any(right for right, *_ in given_entries):
        assert figure == "Certified accuracy: no input is right."
        return
    assert isinstance(figure, Figure) and figure.shaded
    certified, left = figure.series
    assert list(certified.x) == list(left.x) == sorted(certified.x)
    assert all(low <= high for low, high in zip(certified.y, left.y, strict=True))
    count = len(given_entries)
    places = {x for x in certified.x if x > 0} | {(a + b) / 2 for a, b in pairwise(certified.x)}
    for radius in places:
        share = 100 * sum(right and own >= radius for right, own, _ in given_entries) / count
        open_share = 100 * sum(right and (far is None or far > radius) for right, _, far in given_entries) / count
        assert level_at(certified, radius)[1] == pytest.approx(share)
        assert level_at(left, radius)[0] == pytest.approx(open_share)


def test_curves_of_many_inputs_are_thinned_to_the_safe_side() -> None:
    rng = np.random.default_rng(1)
    radii = rng.random(3000)
    file = file_of([(True, r, r + d) for r, d in zip(radii, rng.random(3000), strict=True)], inputs=2)
    figure = certified_accuracy(file)
    assert isinstance(figure, Figure)
    certified, left = figure.series
    assert len(certified.x) <= 2 * MOST_PLACES + 3
    for radius in rng.random(200):
        assert level_at(certified, float(radius))[1] <= 100 * np.mean(file.radius >= radius) + 1e-9
        assert level_at(left, float(radius))[0] >= 100 * np.mean(file.distance > radius) - 1e-9


@given(entries())
def test_the_histogram_counts_every_input_once(given_entries: list[Entry]) -> None:
    figure = histogram(file_of(given_entries))
    right = [entry for entry in given_entries if entry[0]]
    if not any(own > 0 for _, own, _ in right):
        assert figure == "Histogram: no input has a radius."
        return
    assert isinstance(figure, Figure)
    for column, count in ((1, len(right)), (2, sum(far is not None for *_, far in right))):
        if count:
            assert sum(int(row[column]) for row in figure.data.rows) == count
    for series in figure.series:
        assert list(series.x) == sorted(series.x) and (series.y[0], series.y[-1]) == (0.0, 0.0)


def test_the_images_are_those_with_the_smallest_radii() -> None:
    file = file_of(
        [(False, 0.0, None), *((True, 0.1 * k, 0.1 * k + 0.05) for k in range(9, 0, -1)), (True, 0.02, None)]
    )
    figure = least_robust(file)
    assert isinstance(figure, Figure)
    (name, shown), (attack, reached) = figure.pictures
    assert (name, attack) == ("input", "attack") and len(shown) == len(reached) == COLUMNS
    assert [row[0] for row in figure.data.rows] == ["10", "9", "8", "7", "6", "5"]
    assert reached[0].pixels is None and figure.data.rows[0][3:] == ("", "")  # the attack found nothing there
    assert [picture.above for picture in reached[1:]] == ["1"] * 5
    assert all(float(p.below) <= file.radius[int(row[0])] for p, row in zip(shown, figure.data.rows, strict=True))
    for picture in (*shown, *reached[1:]):
        assert picture.pixels is not None and picture.pixels.shape == (8, 8)
        assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1
    assert isinstance(least_robust(file_of([(True, 0.1, None)], inputs=63)), str)
    assert isinstance(least_robust(file_of([(False, 0.0, None)])), str)
    without = least_robust(file_of([(True, 0.1, None)], attacked=False))
    assert isinstance(without, Figure) and len(without.pictures) == 1


@pytest.mark.parametrize(
    ("inputs", "stated", "shape"),
    [
        (64, None, (8, 8)),
        (784, None, (28, 28)),
        (3072, None, (3, 32, 32)),
        (100, None, None),
        (64, [64], (8, 8)),
        (64, [1, 8, 8], (8, 8)),
        (35, [5, 7], (5, 7)),
        (75, [3, 5, 5], (3, 5, 5)),
        (64, [4, 4, 4], None),
        (16, [1, 1, 4, 4], (4, 4)),
        (784, [784, 1], (28, 28)),
        (784, [1, 784], (28, 28)),
        (100, [1, 100], None),
        (784, [3, 3], (28, 28)),
        (784, ["a", 28], (28, 28)),
        (784, [True, 784], (28, 28)),
        (6, [-2, -3], None),
    ],
)
def test_which_inputs_are_images(inputs: int, stated: list[Any] | None, shape: tuple[int, ...] | None) -> None:
    assert image_shape(inputs, stated) == shape


def test_colours_come_last_and_one_scale_serves_all() -> None:
    points = [np.arange(75.0), np.full(75, 37.0)]
    first, second = pixels_of(points, (3, 5, 5))
    assert first.shape == (5, 5, 3) and first[0, 1, 0] == 1 / 74 and first[0, 0, 1] == 25 / 74
    assert np.all(second == 0.5)
    assert np.all(pixels_of([np.ones(4)], (2, 2))[0] == 0)  # a single grey


def test_every_figure_is_drawn_well(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    many = [(k % 9 > 0, 0.01 * k * (k % 9 > 0), 0.01 * k + 0.1 if k % 9 and k % 5 else None) for k in range(40)]
    for file in (file_of(many), file_of(many, attacked=False, inputs=3072)):
        figures = [
            figure for make in (certified_accuracy, histogram, least_robust) if isinstance(figure := make(file), Figure)
        ]
        assert [figure.key for figure in figures] == ["accuracy", "radii", "smallest"]
        for figure in figures:
            drawing = inline_svg(figure)
            root = ElementTree.fromstring(drawing)
            width, height = map(float, root.attrib["viewBox"].split()[2:])
            for name, most in (("x", width), ("y", height)):
                assert all(
                    -1 <= float(value) <= most + 1 for value in re.findall(rf'<text [^>]* {name}="([^"]*)"', drawing)
                )
            colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawing))
            assert colours <= {f"var({v})" for v in VARIABLES.values()} | {"none"}
            assert re.findall(r"https?://|@import|font:", drawing) == []
            assert all(
                link.startswith(("data:image/png;base64,", "#")) for link in re.findall(r'href="([^"]*)"', drawing)
            )
            assert figure.data.rows and all(len(row) == len(figure.data.headers) for row in figure.data.rows)
    first, second = (write_figures(figures[2:], tmp_path / str(k), "pdf") for k in range(2))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


# ---------------------------------------------------------------- from the network to the page


@pytest.fixture(scope="module")
def network() -> sdpcert.Network:
    """A small network that reads 8 by 8 pixels, with a name that every format has to escape."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise((64, 6, 3))]
    found = sdpcert.Network.mlp(weights, [0.1 * rng.standard_normal(len(w)) for w in weights])
    return sdpcert.Network(found.input_shape, found.nodes, found.output, "nets/a_b&c%100#{x}|y$.onnx")


@pytest.fixture(scope="module")
def saved(network: sdpcert.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The radii of four inputs, one of them wrong, in both norms."""
    folder = tmp_path_factory.mktemp("radii")
    inputs = np.random.default_rng(1).random((4, 64))
    labels = network(inputs).argmax(axis=1)
    labels[2] = (labels[2] + 1) % 3
    tables: dict[Norm, list[float]] = {"l2": [0.01, 1 / 10, 0.3], "linf": [1 / 255]}
    for norm, radii in tables.items():
        result = sdpcert.radii(network, inputs, labels, norm=norm, within=(0, 1), radii=radii, time_limit=1)
        result.save(folder / f"{norm}.radii.json")
    return folder


def test_what_is_read_is_what_was_proved(saved: Path, network: sdpcert.Network) -> None:
    file = read(saved / "l2.radii.json")
    assert isinstance(file, RadiiFile)
    result = sdpcert.Radii.load(saved / "l2.radii.json")
    assert file.radius.tolist() == result.radius.tolist() and file.correct.tolist() == result.correct.tolist()
    assert file.distance[2] == 0 and file.distance[file.correct].tolist() == result.distance[result.correct].tolist()
    assert (file.name, file.norm, file.level, file.within) == ("a_b&c%100#{x}|y$", "l2", "R", "[0, 1]")
    assert np.array_equal(file.center(1), result.inputs[1]) and file.clean == 0.75
    for k in np.flatnonzero(np.isfinite(result.distance)):
        point = file.point(int(k))
        assert point is not None
        outputs = network(point[None])[0]
        outputs[file.labels[k]] = -np.inf
        assert file.class_beside(int(file.labels[k]), point) == outputs.argmax()


def test_a_table_of_radii(saved: Path) -> None:
    made = make_table([saved / "l2.radii.json", saved / "linf.radii.json"])
    assert made.kind == "radii"
    rows = [{c.name: cell for c, cell in zip(made.columns, row, strict=True)} for row in made.rows]
    assert [row["norm"].text for row in rows] == ["l2"] * 3 + ["linf"]
    assert [row["radius"].text for row in rows] == ["0.01", "0.1", "0.3", "0.00392156"]
    assert all(row["accuracy"].value <= row["accuracy_under_attack"].value for row in rows)
    assert all(float(row["median"].text) <= row["median"].value for row in rows)
    assert "seconds" in rows[0] and "seconds" not in [
        c.name for c in make_table([saved / "l2.radii.json"], times=False).columns
    ]
    text = write_table([saved / "l2.radii.json"], columns="network,radius,certified,under_attack,clean", form="latex")
    assert r"a\_b\&c\%100\#\{x\}" in text and "75.00" in text
    assert "nothing is normalised before it" in " ".join(made.notes) and "Execution level R" in " ".join(made.notes)
    for form in ("markdown", "csv", "json"):
        assert write_table([saved / "l2.radii.json"], form=form, times=False)


def test_files_of_different_kinds_do_not_mix(saved: Path, run_folder: Path, proved: Path, tmp_path: Path) -> None:
    radii, certificate = saved / "l2.radii.json", proved / "neuron.cert.json"
    for files, kind, says in (
        ([radii, certificate], None, "a file of radii, but tables of kind ladder are made of certificates"),
        ([radii, run_folder], "radii", "a run, but tables of radii are made of files of radii"),
        ([certificate], "radii", "a certificate, but tables of radii are made of files of radii"),
        ([radii], "accuracy", "a file of radii, but tables of accuracy are made of runs"),
    ):
        with pytest.raises(ValueError, match=says):
            make_table(files, kind)
    for files, says in (
        ([radii, certificate], "a report is about one file of radii at a time"),
        ([certificate, radii], "a file of radii; it needs a report of its own"),
    ):
        with pytest.raises(ValueError, match=says):
            make_report(files, tmp_path / "p.html")


def test_an_altered_file_makes_no_row(saved: Path, tmp_path: Path) -> None:
    document = json.loads((saved / "l2.radii.json").read_text())
    document["information"]["seconds"] = 0.5
    path = tmp_path / "altered.radii.json"
    path.write_text(json.dumps(document))
    with pytest.raises(NotVerified, match="disagrees with its digest"):
        write_table([path])
    document["inputs"][0]["radius"] = (2 * float.fromhex(document["inputs"][0]["radius"])).hex()
    path.write_text(json.dumps(sealed(document)))
    for write in (write_table, write_report):
        with pytest.raises(NotVerified, match=r"altered\.radii\.json: "):
            write([path], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_strange_information_is_no_traceback(saved: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    document = json.loads((saved / "l2.radii.json").read_text())
    strange = {"seconds": "long", "model": 3, "notes": [1, "<b>"], "input_shape": ["a"], "version": [], "attack": 5}
    for information in (strange, {"seconds": -1, "model": "<script>", "notes": "x"}, {}):
        path = tmp_path / "strange.radii.json"
        path.write_text(json.dumps(sealed(document | {"information": information})))
        (page,) = write_report([path], tmp_path / "p.html")
        assert "<script>" not in page.read_text(encoding="utf-8") and "<b>" not in page.read_text(encoding="utf-8")
        write_table([path], form="latex")


def test_a_page_on_radii(saved: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    files = [saved / "l2.radii.json"]
    paths = write_report(files, tmp_path / "page.html", tmp_path / "figures", times=False)
    assert [path.name for path in paths] == ["page.html", "accuracy.pdf", "radii.pdf", "smallest.pdf"]
    again = write_report(files, tmp_path / "page.html", tmp_path / "again", times=False)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    text = paths[0].read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.tags.count("h1") == 1 and len(page.ids) == len(set(page.ids))
    assert "3 of 4 inputs have the right class" in text and "inputs within [0, 1]" in text
    verdict = sdpcert.check(files[0])
    assert verdict.sha256 in text and "Proved</span>" in text and "sdpcert check" in text
    for link in page.links:
        assert (
            link[1:] in page.ids if link.startswith("#") else link.startswith("data:image/png") or "radii.json" in link
        )
    assert "img-src data:" in text and re.findall(r"https?://|@import|url\((?!#)", text) == []


def test_a_page_without_an_input_that_is_right(network: sdpcert.Network, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    inputs = np.random.default_rng(1).random((2, 64))
    labels = (network(inputs).argmax(axis=1) + 1) % 3
    sdpcert.radii(network, inputs, labels, attack=False).save(tmp_path / "none.radii.json")
    (page, *figures) = write_report([tmp_path / "none.radii.json"], tmp_path / "page.html", None, times=False)
    text = page.read_text(encoding="utf-8")
    assert figures == [] and "None of 2 inputs has the right class for certain, so none has a radius." in text
