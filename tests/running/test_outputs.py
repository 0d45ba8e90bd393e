"""Outputs never replace what the command reads, whatever name is used for it; and they are whole or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert import cli
from sdpcert.running import outputs

NETWORKS = Path(__file__).parents[2] / "examples" / "networks"
MLP = NETWORKS / "digits_mlp.npz"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outputs") / "a.json"
    rng = np.random.default_rng(0)
    network = sdpcert.Network.mlp([rng.standard_normal((4, 3)), rng.standard_normal((2, 4))])
    sdpcert.certify(network).save(path)
    return path


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, words)))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def plain(path: Path) -> Path:
    return path


def relative(path: Path) -> Path:
    return Path(os.path.relpath(path))


def dotted(path: Path) -> Path:
    return path.parent / "." / ".." / path.parent.name / path.name


def hard_link(path: Path) -> Path:
    os.link(path, path.parent / "linked")
    return path.parent / "linked"


def symbolic_link(path: Path) -> Path:
    (path.parent / "pointer").symlink_to(path.name)
    return path.parent / "pointer"


def linked_folder(path: Path) -> Path:
    (path.parent.parent / "elsewhere").symlink_to(path.parent, target_is_directory=True)
    return path.parent.parent / "elsewhere" / path.name


NAMES = [plain, relative, dotted, hard_link, symbolic_link, linked_folder]


@pytest.mark.parametrize("named", NAMES)
@pytest.mark.parametrize("verb", ["certify", "table", "report", "second file"])
def test_an_output_that_is_an_input_is_refused(
    verb: str,
    named: Callable[[Path], Path],
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    read = place / ("net.npz" if verb == "certify" else "a.json")
    shutil.copy(MLP if verb == "certify" else certificate, read)
    shutil.copy(certificate, place / "b.json")
    name = named(read)
    before = hashes(place)
    if verb == "second file":
        code = run("table", place / "b.json", read, "-o", name)
    else:
        code = run(verb, read, "-o", name)
    shown = capsys.readouterr()
    assert code == 2 and shown.out == "" and shown.err.count("\n") == 1
    assert "the command reads that file" in shown.err and str(name) in shown.err
    assert hashes(place) == before


def test_figures_never_replace_a_certificate(
    certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert run("report", certificate, "-o", tmp_path / "first.html", "--figures", tmp_path / "made") == 0
    figure = next((tmp_path / "made").iterdir()).name
    (tmp_path / "figures").mkdir()
    shutil.copy(certificate, tmp_path / "figures" / figure)
    before = hashes(tmp_path)
    capsys.readouterr()
    words = ("report", tmp_path / "figures" / figure, "-o", tmp_path / "page.html", "--figures", tmp_path / "figures")
    assert run(*words) == 2
    assert "the command reads that file" in capsys.readouterr().err and hashes(tmp_path) == before


def test_a_derivation_is_not_replaced_by_its_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(__file__).parents[2] / "examples" / "derivations" / "row_norms.py"
    shutil.copy(source, tmp_path / "mine.py")
    os.link(tmp_path / "mine.py", tmp_path / "mine.tex")
    assert run("derive", tmp_path / "mine.py", "--latex", tmp_path, "--no-numbers") == 2
    assert "the command reads that file" in capsys.readouterr().err
    assert (tmp_path / "mine.tex").read_bytes() == source.read_bytes()


def test_external_data_of_a_model_are_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(NETWORKS / "digits_mlp.onnx")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    before = hashes(tmp_path)
    assert run("certify", tmp_path / "m.onnx", "-o", tmp_path / "weights.bin") == 2
    assert "the command reads that file" in capsys.readouterr().err and hashes(tmp_path) == before


def test_runs_and_their_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run may go on from its own configuration; one of the user's in the run's folder is not written over."""
    pytest.importorskip("torch")
    pytest.importorskip("pydantic")
    pytest.importorskip("sklearn")
    text = 'preset = "digits"  # mine\n[model]\nhidden = [8]\n[training]\nepochs = 1\n'
    for name in ("config.toml", "log.csv"):
        place = tmp_path / name.replace(".", "-")
        place.mkdir()
        (place / name).write_text(text)
        assert run("train", place / name, "-o", place) == 2
        assert "the command reads that file" in capsys.readouterr().err
        assert hashes(place) == {name: hashlib.sha256(text.encode()).hexdigest()}
    (tmp_path / "mine.toml").write_text(text)
    assert run("train", tmp_path / "mine.toml", "-o", tmp_path / "run") == 0
    resolved = (tmp_path / "run" / "config.toml").read_bytes()
    for path in (tmp_path / "run").iterdir():
        if path.name != "config.toml":
            path.unlink()
    assert run("train", tmp_path / "run" / "config.toml", "-o", tmp_path / "run") == 0
    assert (tmp_path / "run" / "config.toml").read_bytes() == resolved
    capsys.readouterr()
    run("evaluate", tmp_path / "run", "--no-attack", "--count", "10", "--radii", "0.1")
    before = hashes(tmp_path)
    for read in ("evaluation.json", "certificates/by-construction.json", "model.safetensors"):
        capsys.readouterr()
        assert run("table", tmp_path / "run", "-o", tmp_path / "run" / read) == 2
        assert "the command reads that file" in capsys.readouterr().err
    assert hashes(tmp_path) == before


def test_a_program_may_replace_what_it_has_read(certificate: Path, tmp_path: Path) -> None:
    """It knows what it does: only commands keep account of what they read."""
    path = tmp_path / "c.json"
    shutil.copy(certificate, path)
    assert sdpcert.check(path).ok
    sdpcert.certify(sdpcert.load(MLP), "product").save(path)
    assert sdpcert.check(path).ok
    with outputs.command():
        outputs.reads(path)
        with pytest.raises(ValueError, match="the command reads that file"):
            outputs.write_whole(path, "x")
    outputs.write_whole(path, "x")
