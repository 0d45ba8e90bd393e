"""A saved evaluation against the run and the data: whatever a forger changes, and computes again, is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdpcert import cli
from sdpcert.evaluation.adversarial import FILE, moved
from sdpcert.evaluation.again import recertify
from sdpcert.evaluation.attack import AttackSettings
from sdpcert.evaluation.file import decode, document_bytes, encode
from sdpcert.evaluation.rows import compute
from sdpcert.evaluation.saved import STATEMENTS, EvaluationRejected, load_evaluation
from sdpcert.evaluation.trained import evaluate
from sdpcert.training import train

pytest.importorskip("sklearn")
Array = np.ndarray
Path_ = tuple[Any, ...]
#: Arrays whose small changes are within the rounding of another machine are changed by more than that.
SHARE = {"logits": 1e-6, "from_centre": 1e-3, "attacked": 1e-3, "margins": 1e-6, "steepest": 1e-6}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders of two small networks on the digits, evaluated with an attack: a head of rows, and an MLP head."""
    made = {}
    for head in ("normalized", "mlp"):
        folder = tmp_path_factory.mktemp(head)
        config = {
            "data": {"name": "digits", "normalisation": "centre"},
            "model": {"architecture": "dense", "family": "aol", "hidden": [8], "features": 12, "head": head},
            "optimiser": {"name": "adam", "learning_rate": 0.02},
            "training": {"epochs": 3, "batch": 240, "threads": 1},
        }
        if head == "normalized":
            del config["model"]["features"]  # type: ignore[attr-defined]
        train(config, folder, progress=False)
        attack = AttackSettings(steps=8, restarts=1)
        evaluate(folder, [0.05, 0.2], ("by-construction", "sdp"), attack=attack, count=60, progress=False)
        recertify(folder)
        made[head] = folder
    return made


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every leaf of a JSON document; an encoded array is one, and so is an empty list or table."""
    if isinstance(value, dict) and set(value) != {"type", "shape", "data"} and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for k, inner in enumerate(value):
            yield from leaves(inner, (*path, k))
    else:
        yield path, value


def others(path: Path_, value: Any) -> list[Any]:
    """Values of the same kind that differ from this one, and some of another kind."""
    if isinstance(value, dict) and value:
        kind = value["type"]
        array = np.array(decode(value, [None] * len(value["shape"]), kind))
        finite = np.flatnonzero(np.isfinite(array.ravel()))
        up, down = array.copy(), array.copy()
        up.ravel()[finite[0]] += 1 if kind == "<i4" else SHARE.get(path[-1], 1e-6) * (1 + abs(up.ravel()[finite[0]]))
        down.ravel()[finite[-1]] -= (
            1 if kind == "<i4" else SHARE.get(path[-1], 1e-6) * (1 + abs(down.ravel()[finite[-1]]))
        )
        return [encode(up, kind), encode(down, kind), None, "x"]
    if isinstance(value, str):
        try:
            number = float.fromhex(value) if value.startswith(("0x", "-0x")) else None
        except ValueError:
            number = None
        if number is not None:
            return [(number * 0.5).hex(), (number * 2 + 1e-9).hex(), 1, None]
        return [value + "x", 0, None, [value]]
    if isinstance(value, bool) or value is None:
        return [1, "x", [0]]
    if isinstance(value, (int, float)):
        return [value + 1, value / 2 - 1, float(value) + 0.5, str(value), None, True]
    return [[1], {"x": 1}, None, "x"]


def replaced(document: Any, path: Path_, value: Any) -> Any:
    made = json.loads(json.dumps(document))
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def is_statement(path: Path_) -> bool:
    """Whether `STATEMENTS` lists the field; the hash of the points is in it, and is compared."""
    if path[-1] == "points_sha256":
        return False
    for name in STATEMENTS:
        pattern = [p for part in name.split(".") for p in part.replace("[]", ".[]").replace("{}", ".{}").split(".")]
        if len(path) >= len(pattern) and all(
            p == k or (p == "[]" and isinstance(k, int)) or (p == "{}" and isinstance(k, str))
            for p, k in zip(pattern, path)
        ):
            return True
    return False


def forge(folder: Path, document: dict[str, Any]) -> None:
    """Write the document with rows, accuracy and hash as they follow from it, where they do."""
    with suppress(Exception):  # what does not fit together is written as it is
        computed = compute(document)
        document = {**document, "clean": computed.clean, "rows": [dict(vars(row)) for row in computed.rows]}
    (folder / "evaluation.json").write_bytes(document_bytes(document))


@pytest.mark.parametrize("head", ["normalized", pytest.param("mlp", marks=pytest.mark.slow)])
def test_every_field_is_compared_or_is_a_stated_statement(
    head: str, evaluated: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(evaluated[head], folder)
    document = json.loads((folder / "evaluation.json").read_text())
    forge(folder, document)
    recertify(folder)
    # What the weights and the images give is the same each time.
    module = __import__("sdpcert.evaluation.again", fromlist=["fill_samples"])
    fill, known = module.fill_samples, {}

    def once(made: dict[str, Any], *arguments: Any) -> None:
        if made["level"] not in known:
            fill(made, *arguments)
            known[made["level"]] = {key: made[key] for key in ("samples", "head", "errors")}
        made.update(json.loads(json.dumps(known[made["level"]])))

    monkeypatch.setattr(module, "fill_samples", once)
    accepted, tried, lines = [], 0, set()
    for path, value in leaves(document):
        if head == "mlp" and path[:2] != ("samples", "head") and path[0] not in ("head", "errors"):
            continue  # nothing else depends on the head
        for other in others(path, value)[: 2 if head == "mlp" else 3]:
            made = replaced(document, path, other)
            if path[0] in ("rows", "clean", "format"):
                (folder / "evaluation.json").write_bytes(document_bytes(made) if path[0] != "format" else b"{}")
            else:
                forge(folder, made)
            tried += 1
            try:
                recertify(folder)
                accepted.append((path, other))
            except ValueError as error:
                lines.add(str(error).count("\n"))
    assert lines == {0}
    wrong = [
        (path, str(other)[:60])
        for path, other in accepted
        # Radii are the question that the rows answer, and a hash is made anew with the file.
        if not (is_statement(path) or path[0] in ("radii", "sha256"))
    ]
    assert not wrong and tried > (15 if head == "mlp" else 200)


def test_a_setting_that_is_newer_than_the_evaluation_has_its_default(
    evaluated: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(evaluated["normalized"], folder)
    document = json.loads((folder / "evaluation.json").read_text())
    settings = document["model"]["settings"]
    assert settings.pop("activation") == "maxmin"  # its default
    forge(folder, document)
    recertify(folder)
    settings["activation"] = "abs"
    forge(folder, document)
    with pytest.raises(ValueError, match="another model"):
        recertify(folder)
    settings["activation"] = "none at all"
    forge(folder, document)
    with pytest.raises(ValueError, match="settings that no model has"):
        recertify(folder)


def test_forged_labels_are_rejected_with_code_1(
    evaluated: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that the network gives make it right on every image."""
    folder = tmp_path / "run"
    shutil.copytree(evaluated["normalized"], folder)
    document = json.loads((folder / "evaluation.json").read_text())
    found = load_evaluation(folder)
    assert found.correct < found.samples
    document["samples"]["labels"] = encode(found.logits.argmax(1), "<i4")
    document["attack"] = document["samples"].pop("attacked") and None
    forge(folder, document)
    assert load_evaluation(folder).clean_accuracy == 1.0  # the file alone cannot know
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", str(folder), "--again"])
    assert ended.value.code == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "label of sample" in shown.err


def test_adversarial_points_are_proved(evaluated: dict[str, Path], tmp_path: Path) -> None:
    """A nearer distance, another point, a missing file, a point of the right class: each is named."""
    folder = tmp_path / "run"
    shutil.copytree(evaluated["normalized"], folder)
    document = json.loads((folder / "evaluation.json").read_text())
    distances = np.array(load_evaluation(folder).distances)
    points = np.load(folder / FILE)
    assert len(points) == moved(distances).sum() > 0
    first = int(np.flatnonzero(moved(distances))[0])

    def points_written(changed: Array) -> dict[str, Any]:
        import hashlib

        np.save(folder / FILE, changed)
        digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
        return replaced(document, ("attack", "points_sha256"), digest)

    far = distances.copy()
    far[first] *= 1.5
    forge(folder, replaced(document, ("samples", "attacked"), encode(far)))
    with pytest.raises(EvaluationRejected, match=f"sample {first} is at another distance"):
        recertify(folder)
    none = distances.copy()
    none[first] = 0.0  # wrong without any change
    forge(folder, {**replaced(points_written(points[1:]), ("samples", "attacked"), encode(none))})
    with pytest.raises(ValueError, match=r"within the radius|not for certain of a wrong class"):
        recertify(folder)
    near = points.copy()
    near[0] = near[0] * 0.999
    forge(folder, points_written(near))
    with pytest.raises(EvaluationRejected, match="another distance"):
        recertify(folder)
    forge(folder, points_written(points[:-1]))
    with pytest.raises(EvaluationRejected, match="other points"):
        recertify(folder)
    forge(folder, points_written(points))
    recertify(folder)
    (folder / FILE).unlink()
    with pytest.raises(ValueError, match=r"adversarial\.npy: cannot be read"):
        recertify(folder)


def test_without_the_data_it_says_what_was_not_compared(
    evaluated: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*arguments: Any) -> None:
        raise ValueError("data.root: /nowhere is no folder")

    monkeypatch.setattr("sdpcert.evaluation.trained.load_data", missing)
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", str(evaluated["normalized"]), "--again"])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert "were not compared with the data" in shown and "--data" in shown and shown.count("\n") == 1
