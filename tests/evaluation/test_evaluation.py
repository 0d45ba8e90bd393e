"""Saved evaluations without torch: directed rounding of radii, and files that notice every change."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.arithmetic.norms import matrix_norm_up
from sdpcert.evaluation.file import document_bytes, encode
from sdpcert.evaluation.rows import compute
from sdpcert.evaluation.saved import load_evaluation
from sdpcert.network.affine import Dense
from sdpcert.robustness.from_logits import (
    ErrorBound,
    curvature_bounds,
    curved_radii,
    linear_radii,
    pair_constants,
    surely_wrong,
)

Array = np.ndarray


def test_nothing_of_torch_is_imported() -> None:
    code = "import sys, sdpcert.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_radii_are_never_above_the_exact_quotient() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((200, 5)) * 10.0 ** rng.integers(-3, 4, (200, 1))
    labels, missed = logits.argmax(1), np.full(200, 1e-13)
    constants = pair_constants(1.3, None, 5)
    for spread in (0.0, 1e-3):
        radii = linear_radii(logits, labels, constants, missed, spread)
        for k, y in enumerate(labels):
            margins = [Fraction(logits[k, y]) - Fraction(logits[k, j]) for j in range(5) if j != y]
            # sqrt(2) (1.3 r + e + s r) <= margin, squared.
            rest = Fraction(radii[k]) * (Fraction(1.3) + Fraction(spread)) + Fraction(missed[k])
            assert 2 * rest**2 < min(margins) ** 2 or radii[k] == 0
            loose = 1.0001 * (math.sqrt(2) * (1.3 + spread)) * radii[k] + 2e-13
            assert loose >= float(min(margins))


def test_ties_wrong_classes_and_numbers_that_are_not_finite_have_radius_zero() -> None:
    logits = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [np.nan, 0.0, 0.0], [2.0, 1.0, 0.0]])
    radii = linear_radii(logits, np.zeros(4, int), pair_constants(1.0, None, 3), np.zeros(4))
    assert radii[:3].tolist() == [0.0, 0.0, 0.0] and 0.70710 < radii[3] < math.sqrt(0.5)


def test_the_nearest_class_may_rank_last() -> None:
    """CRC and LLN look at the greatest logits only; here the class of rank 100 is the nearest."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((100, 40)) * 0.01
    rows[0] = 0.0
    rows[77] = 50.0  # a low logit that rises steeply
    logits = np.linspace(1.0, 0.5, 100)[None].copy()
    logits[0, 0], logits[0, 77] = 2.0, -5.0
    assert (logits[0] > logits[0, 77]).sum() == 99
    constants = pair_constants(1.0, rows, 100)
    radius = float(linear_radii(logits, np.array([0]), constants, np.zeros(1))[0])
    nearest = 7.0 / np.linalg.norm(rows[77])
    assert radius == pytest.approx(nearest, rel=1e-9) and radius < nearest
    without = np.delete(np.arange(100), 77)
    assert linear_radii(logits[:, without], np.array([0]), constants[np.ix_(without, without)], np.zeros(1))[0] > radius


def test_pair_constants_and_norms_round_up() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((6, 9)).astype(np.float32).astype(float)
    constants = pair_constants(0.7, rows, 6)
    for y in range(6):
        for j in range(6):
            exact = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(rows[y], rows[j])) * Fraction(0.7) ** 2
            assert Fraction(constants[y, j]) ** 2 >= exact
            assert constants[y, j] <= math.sqrt(exact) * (1 + 1e-12)
    assert np.all(pair_constants(2.0, None, 3)[~np.eye(3, dtype=bool)] ** 2 >= 8)
    for shape in ((4, 7), (30, 30), (1, 5)):
        matrix = rng.standard_normal(shape)
        norm = float(np.linalg.norm(matrix, 2))
        assert norm <= matrix_norm_up(matrix) <= norm * 1.06
    assert matrix_norm_up(np.zeros((2, 2))) == 0


def test_curved_radii_are_roots_from_below() -> None:
    rng = np.random.default_rng(3)
    inward, outward = rng.standard_normal((8, 4)), rng.standard_normal((3, 8))
    curvatures = curvature_bounds(inward, outward, 1.5)
    for y in range(3):
        for j in range(3):
            weights = np.maximum(outward[j] - outward[y], 0)
            exact = 1.5 / 4 * np.linalg.eigvalsh(inward.T @ np.diag(weights) @ inward)[-1]
            assert curvatures[y, j] >= exact
    margins, steepest = rng.random((50, 3)), rng.random((50, 3)) + 0.1
    labels = rng.integers(0, 3, 50)
    radii = curved_radii(margins, steepest, curvatures, labels, np.full(50, 1e-9), 0.5)
    for k, y in enumerate(labels):
        reach = Fraction(radii[k]) * Fraction(0.5) + Fraction(1e-9)
        for j in set(range(3)) - {int(y)}:
            left = Fraction(margins[k, j]) - Fraction(steepest[k, j]) * reach
            assert left - Fraction(curvatures[y, j]) / 2 * reach**2 > 0
    assert curved_radii(-margins, steepest, curvatures, labels, np.zeros(50), 0.5).max() == 0


def test_surely_wrong_needs_more_than_the_error() -> None:
    logits = np.array([[0.0, 1e-9], [0.0, 1.0], [1.0, 0.0]])
    assert surely_wrong(logits, np.zeros(3, int), np.full(3, 1e-8)).tolist() == [False, True, False]


def network(seed: int) -> sdpcert.Network:
    rng = np.random.default_rng(seed)
    return sdpcert.Network.mlp([rng.standard_normal((5, 3)), rng.standard_normal((3, 5))])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of a small network and of a difference of its outputs."""
    folder, net = tmp_path_factory.mktemp("proved"), network(4)
    weights = [n.layer.weight for n in net.nodes if isinstance(n.layer, Dense)]
    pair = sdpcert.Network.mlp([weights[0], np.array([[1.0, 0.0, -1.0]]) @ weights[1]])
    sdpcert.certify(net, "neuron").save(folder / "sdp.json")
    sdpcert.certify(pair, "neuron").save(folder / "pair-0-2.json")
    return folder


def folder_with_evaluation(folder: Path, certificates: Path, level: str = "R") -> dict[str, Any]:
    """An evaluation of a small network with bounds and an attack; the file's document."""
    shutil.copytree(certificates, folder / "certificates")
    net = network(4)
    rng = np.random.default_rng(5)
    inputs = rng.random((20, 3))
    logits = net(inputs)
    labels = logits.argmax(1)
    labels[3] = (labels[3] + 1) % 3

    def certificate(name: str, pair: list[int] | None = None) -> dict[str, Any]:
        path = folder / "certificates" / name
        made = sdpcert.check(path)
        assert made.upper is not None and made.lower is not None
        return {
            "file": f"certificates/{name}",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "pair": pair,
            "upper": made.upper.hex(),
            "lower": made.lower.hex(),
        }

    document: dict[str, Any] = {
        "model": {"weights_sha256": "0" * 64},
        "data": {"name": "none", "count": 20, "classes": 3},
        "level": level,
        "radii": [0.01, 0.1],
        "bounds": [
            {"name": "sdp", "certificates": [certificate("sdp.json")], "seconds": 1.5},
            {"name": "pairwise", "certificates": [certificate("pair-0-2.json", [0, 2])], "seconds": 1.5},
        ],
        "errors": {
            "float64": {"offset": (1e-14).hex(), "slope": (1e-14).hex()},
            "float32": {"offset": (1e-6).hex(), "slope": (1e-6).hex()},
        },
        "head": {"kind": "none"},
        "left_out": {"by-construction": "not known"},
        "notes": [],
        "attack": {"steps": 3},
        "samples": {
            "labels": encode(labels, "<i4"),
            "logits": encode(logits),
            "from_centre": encode(np.linalg.norm(inputs, axis=1)),
            "attacked": encode(np.full(20, np.inf)),
        },
        "seed": 7,
        "seconds": 2.25,
        "command": "none",
        "versions": {"sdpcert": sdpcert.__version__},
    }
    computed = compute(document)
    document |= {"clean": computed.clean, "rows": [vars(r).copy() for r in computed.rows]}
    (folder / "evaluation.json").write_bytes(document_bytes(document))
    return document


def test_an_evaluation_comes_back(tmp_path: Path, certificates: Path) -> None:
    folder_with_evaluation(tmp_path, certificates)
    found = load_evaluation(tmp_path)
    assert [b.name for b in found.bounds] == ["sdp", "pairwise"] and len(found.rows) == 4
    sdp, pairwise = found.bounds
    assert pairwise.missing == ((0, 1), (1, 2)) and np.all(pairwise.radii >= sdp.radii)
    assert found.row("sdp", 0.01).certified <= found.correct == 19
    assert found.clean_accuracy == 0.95
    assert json.loads(json.dumps(found.summary()))["left_out"] == {"by-construction": "not known"}
    with pytest.raises(KeyError):
        found.row("sdp", 0.5)


def test_level_f_is_never_above_level_r(tmp_path: Path, certificates: Path) -> None:
    for level in ("R", "F"):
        (tmp_path / level).mkdir()
        folder_with_evaluation(tmp_path / level, certificates, level)
    real, single = (load_evaluation(tmp_path / level) for level in ("R", "F"))
    for one, other in zip(real.bounds, single.bounds):
        assert np.all(other.radii <= one.radii) and np.any(other.radii < one.radii)


def test_every_changed_digit_is_noticed(tmp_path: Path, certificates: Path) -> None:
    folder_with_evaluation(tmp_path, certificates)
    path = tmp_path / "evaluation.json"
    text = path.read_text()
    places = [k for k, letter in enumerate(text) if letter in "0123456789"]
    rng = random.Random(0)
    for k in rng.sample(places, 150):
        other = rng.choice([d for d in "0123456789" if d != text[k]])
        path.write_text(text[:k] + other + text[k + 1 :])
        with pytest.raises(ValueError, match=r"evaluation\.json: "):
            load_evaluation(tmp_path)
    path.write_text(text)
    load_evaluation(tmp_path)


def changed(document: dict[str, Any], *keys: Any, value: Any) -> dict[str, Any]:
    made = json.loads(json.dumps(document))
    inner = made
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return made


@pytest.mark.parametrize(
    ("keys", "value", "text"),
    [
        (("bounds", 0, "certificates", 0, "upper"), (0.5).hex(), "attained value above|states the constant"),
        (("bounds", 0, "certificates", 0, "lower"), (0.0).hex(), "attained value that is not"),
        (("bounds", 0, "certificates", 0, "sha256"), "0" * 64, "another hash"),
        (("bounds", 0, "certificates", 0, "file"), "certificates/../sdp.json", "no file of its folder"),
        (("bounds", 0, "certificates", 0, "file"), "certificates/other.json", "cannot be read"),
        (("bounds", 1, "certificates", 0, "pair"), [2, 0], "do not exist"),
        (("bounds", 1, "certificates", 0, "pair"), None, "do not belong"),
        (("bounds", 1, "name"), "sdp", "do not belong"),
        (("bounds", 0, "name"), "best", "unknown bound"),
        (("rows", 0, "certified"), 20, "rows that differ"),
        (("rows", 3, "attacked_accuracy"), 0.5, "rows that differ"),
        (("rows",), [], "rows that differ"),
        (("clean", "correct"), 20, "clean accuracy"),
        (("level",), "B", "unknown level"),
        (("data", "count"), 19, "holds an array of shape"),
        (("radii", 0), -0.1, "negative"),
        (("radii", 0), 0, "negative"),
        (("errors", "float64", "offset"), (-1.0).hex(), "negative or not finite"),
        (("errors", "float64", "offset"), (1.0).hex(), "rows that differ"),
        (("samples", "attacked"), encode(np.zeros(20)), "adversarial point"),
        (("samples", "labels"), encode(np.full(20, 3), "<i4"), "out of range"),
        (("samples", "logits"), encode(np.full((20, 3), np.nan)), "out of range"),
        (("samples", "logits", "data"), "AAAA", "damaged"),
        (("samples", "logits", "data"), encode(np.zeros(59))["data"], "cut off"),
        (("samples", "logits"), None, "no evaluation that this version can read"),
        (("samples",), {}, "lacks 'labels'"),
    ],
)
def test_files_with_a_new_hash_are_computed_again(
    tmp_path: Path, certificates: Path, keys: tuple[Any, ...], value: Any, text: str
) -> None:
    """Whoever changes a file may also change its hash: then what it states has to follow from the certificates."""
    document = folder_with_evaluation(tmp_path, certificates)
    (tmp_path / "evaluation.json").write_bytes(document_bytes(changed(document, *keys, value=value)))
    with pytest.raises(ValueError, match=text) as error:
        load_evaluation(tmp_path)
    assert "\n" not in str(error.value) and ".json" in str(error.value)


def test_missing_and_damaged_files_give_one_line(tmp_path: Path, certificates: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        load_evaluation(tmp_path)
    folder_with_evaluation(tmp_path, certificates)
    path, certificate = tmp_path / "evaluation.json", tmp_path / "certificates" / "sdp.json"
    whole = path.read_bytes()
    for data in (b"", whole[:200], whole[:-3], b"[1]", b"\xff\xfe", b'{"format": "other"}', b"[" * 100_000):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"evaluation\.json: ") as error:
            load_evaluation(tmp_path)
        assert "\n" not in str(error.value)
    path.write_bytes(whole)
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match="other weights"):
        load_evaluation(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    certificate.write_bytes(certificate.read_bytes().replace(b'"precision": 5', b'"precision": 4'))
    with pytest.raises(ValueError, match="hash"):
        load_evaluation(tmp_path)
    certificate.unlink()
    with pytest.raises(ValueError, match=r"sdp\.json: cannot be read"):
        load_evaluation(tmp_path)


def test_certificates_that_are_rejected(tmp_path: Path, certificates: Path) -> None:
    document = folder_with_evaluation(tmp_path, certificates)
    certificate = tmp_path / "certificates" / "sdp.json"
    table = json.loads(certificate.read_text())
    multipliers = table["tree"]["multipliers"]
    multipliers["rho"] = (float.fromhex(multipliers["rho"]) * 0.9).hex()
    certificate.write_text(json.dumps(table))
    sha256 = hashlib.sha256(certificate.read_bytes()).hexdigest()
    made = changed(document, "bounds", 0, "certificates", 0, "sha256", value=sha256)
    (tmp_path / "evaluation.json").write_bytes(document_bytes(made))
    with pytest.raises(ValueError, match="which is rejected"):
        load_evaluation(tmp_path)


def test_many_certificates_are_proved_side_by_side(tmp_path: Path) -> None:
    from sdpcert.evaluation.apart import check_all

    paths = []
    for seed in range(4):
        paths.append(tmp_path / f"{seed}.json")
        sdpcert.certify(network(seed), "layer").save(paths[-1])
    paths.append(tmp_path / "missing.json")
    results = check_all(paths)
    assert [r.ok for r in results] == [True] * 4 + [False]
    alone = [sdpcert.check(path) for path in paths]
    assert [(r.upper, r.lower, r.sha256) for r in results] == [(r.upper, r.lower, r.sha256) for r in alone]


def test_error_bounds_round_up() -> None:
    bound = ErrorBound(0.1, 0.2)
    assert Fraction(float(bound.at(np.array([0.3]))[0])) >= Fraction(0.1) + Fraction(0.2) * Fraction(0.3)
