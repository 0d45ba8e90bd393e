"""Figures: what they show agrees with the certificate, and drawings have paper size and the same bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.certificate.evidence.factor_evidence import FactorEvidence
from sdpcert.certify.slack import slack_of
from sdpcert.check import read_content
from sdpcert.check.condition import StackedCondition
from sdpcert.report.accuracy import accuracy
from sdpcert.report.drawing import VARIABLES, inline_svg, write_figures
from sdpcert.report.figure import Axis, tick_labels, ticks
from sdpcert.report.figures import figures_of
from sdpcert.report.matrices import spectra, stacked_matrix
from sdpcert.report.records import Record, Run, read
from tests.report.conftest import mlp


def record(path: Path) -> Record:
    found = read(path)
    assert isinstance(found, Record)
    return found


def test_slack_adds_up_to_the_difference_of_the_squares() -> None:
    for method in ("neuron", "layer", "product"):
        made = sdpcert.certify(mlp(), method)
        slack = made.information["slack"]
        assert slack["total"] == pytest.approx(made.upper**2 - made.lower**2, rel=1e-5)
        terms = [*slack["neurons"], *slack["reading"]]
        assert len(terms) == 2 + 3 and min(terms) >= 0
        assert sum(terms) + slack["rest"] == pytest.approx(slack["total"], rel=1e-12)
        assert abs(slack["rest"]) < 1e-4 * slack["total"]


def test_slack_of_a_network_with_smooth_slopes_and_neurons_without_effect() -> None:
    rng = np.random.default_rng(3)
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in ((7, 9), (9, 9), (9, 2))]
    weights[1][4] = 0.0  # a constant neuron
    biases = [rng.standard_normal(len(w)) for w in weights]
    network = sdpcert.Network.mlp(weights, biases, activation="tanh")
    made = sdpcert.certify(network, "neuron")
    assert made.form is not None and made.proof is not None and made.form.neurons == 17
    slack = slack_of(network.stacked, made.form, made.proof, made.attained)
    assert slack is not None and sum(slack["neurons"]) >= 0
    assert slack["total"] == pytest.approx(made.upper**2 - made.lower**2, rel=1e-4)


def test_spectrum_is_that_of_the_proof(proved: Path) -> None:
    document = json.loads((proved / "neuron.cert.json").read_text())
    condition = read_content(document).tree
    assert isinstance(condition, StackedCondition)
    matrix = stacked_matrix(condition.content)
    made = sdpcert.certify(mlp(), "neuron")
    assert made.proof is not None and isinstance(made.proof.evidence, FactorEvidence)
    factor = np.array(made.proof.evidence.integers(), dtype=float) * 2.0**-made.proof.evidence.precision
    assert np.abs(factor @ factor.T - matrix).max() < 1e-12
    found, left_out = spectra(document)
    assert left_out == "" and found[0].values[0] > -1e-12 and found[0].values[0] < 1e-6
    over_frequencies, _ = spectra(json.loads((proved / "conv.cert.json").read_text()))
    assert len(over_frequencies) == 10 + 1  # ten frequencies of a torus of 4 by 4, and the head
    assert min(s.values[0] for s in over_frequencies) > -1e-12


def test_every_figure_is_drawn_well(proved: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made, missing = figures_of([record(proved / f"{m}.cert.json") for m in ("neuron", "layer", "product")])
    assert [f.key for f in made] == ["ladder", "slack", "multipliers", "convergence", "gap", "spectrum"]
    assert missing == []
    for figure in made:
        drawing = inline_svg(figure)
        root = ElementTree.fromstring(drawing)
        assert root.attrib["role"] == "img" and len(root.attrib["aria-labelledby"].split()) == 2
        assert "nan" not in drawing and "inf" not in drawing
        assert figure.data.rows and all(len(r) == len(figure.data.headers) for r in figure.data.rows)
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for name, most in (("x", width), ("y", height)):
            for value in re.findall(rf' {name}="([^"]*)"', drawing):
                assert -1 <= float(value) <= most + 1
        # Every colour is a variable of the page, which serves light and dark; every name is unique in the page.
        assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawing)) <= {f"var({v})" for v in VARIABLES.values()} | {
            "none"
        }
        assert all(name.startswith(f"{figure.key}-") for name in re.findall(r'id="([^"]*)"', drawing))
        assert re.findall(r"https?://|@import|font:", drawing) == []
    frequencies, missing = figures_of([record(proved / "conv.cert.json")])
    assert "slack" not in [f.key for f in frequencies] and "Slack by layer" in missing[0]


def test_paper_size_and_the_same_bytes(proved: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made, _ = figures_of([record(proved / "neuron.cert.json")])
    made = [f for f in made if f.key in ("ladder", "convergence")]
    for kind in ("pdf", "svg", "png"):
        first, second = (write_figures(made, tmp_path / f"{kind}{k}", kind) for k in range(2))
        assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]
    box = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ", (tmp_path / "pdf0" / "ladder.pdf").read_bytes())
    assert box is not None and float(box[1]) == pytest.approx(8.5 / 2.54 * 72, abs=0.1)
    with pytest.raises(ValueError, match="no format 'gif' of figures; there are pdf, svg, png"):
        write_figures(made, tmp_path, "gif")
    (tmp_path / "taken" / "ladder.pdf").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"cannot write .*ladder\.pdf: Is a directory"):
        write_figures(made, tmp_path / "taken", "pdf")


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1, False) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    for low, high in ((1e-12, 2.0), (0.9, 1.1), (3.1, 3.2), (5, 60), (1e-300, 1e300)):
        found = ticks(low, high, True)
        assert 2 <= len(found) <= 8 and all(low <= t <= high for t in found)
    assert tick_labels([1e-8, 1e-4, 1.0], True) == ["10⁻⁸", "10⁻⁴", "10⁰"]
    assert Axis("time", "s").title == "time [s]"


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, sdpcert.report, sdpcert.report.run\n"
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'jinja2', 'torch', 'cvxpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(("absent", "call"), [("matplotlib", "figures=Path('f')"), ("jinja2", "")])
def test_a_missing_extra_is_one_line(proved: Path, tmp_path: Path, absent: str, call: str) -> None:
    code = (
        f"import sys; sys.modules[{absent!r}] = None\n"
        "from pathlib import Path\nfrom sdpcert.report import write_report\n"
        f"try:\n    write_report([Path({str(proved / 'neuron.cert.json')!r})], {call})\n"
        "except ValueError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert f"need {absent}: pip install 'sdpcert[report]'" in result.stdout and result.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_curve_of_certified_accuracy_is_never_above_the_rows(run_folder: Path) -> None:
    found = read(run_folder)
    assert isinstance(found, Run)
    figure = accuracy(found)
    assert figure is not None
    for bound in found.evaluation.bounds:
        (series,) = [s for s in figure.series if s.name == bound.name]
        assert list(series.x) == sorted(series.x) and list(series.y) == sorted(series.y, reverse=True)
        for row in (r for r in found.rows if r.bound == bound.name):
            here = [k for k, x in enumerate(series.x) if x < row.radius][-1]
            assert series.y[here] == pytest.approx(100 * row.accuracy)
    assert {s.mark for s in figure.series} == {"step", "points"}
