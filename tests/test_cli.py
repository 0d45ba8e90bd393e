"""The command line: exit codes, one line on stderr for bad input, JSON, files that are whole or absent."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

NETWORKS = Path(__file__).parents[1] / "examples" / "networks"
MLP = NETWORKS / "digits_mlp.npz"


def run(*arguments: str | Path, folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sdpcert.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    result = run("certify", MLP, folder=folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "proved in exact arithmetic" in result.stdout
    return folder / "digits_mlp.cert.json"


def test_check_proves_and_binds(certificate: Path, tmp_path: Path) -> None:
    result = run("check", certificate, "--network", MLP, folder=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("proved: ")
    other = run("check", certificate, "--network", NETWORKS / "digits_mlp.onnx", folder=tmp_path)
    assert other.returncode == 1
    assert "other weights" in other.stdout


def test_altered_certificate_is_rejected(certificate: Path, tmp_path: Path) -> None:
    document = json.loads(certificate.read_text())
    upper = float.fromhex(document["upper"])
    document["upper"] = (upper * (1 - 1e-9)).hex()
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(document))
    assert run("check", altered, folder=tmp_path).returncode == 1


def test_json_has_the_attributes(tmp_path: Path) -> None:
    result = run("certify", MLP, "--json", "--rows", "3", "-o", tmp_path / "c.json", folder=tmp_path)
    values = json.loads(result.stdout)
    for key in ("upper", "lower", "sdp_lower", "gap", "status", "method", "solver", "seconds", "iterations"):
        assert key in values
    assert values["lower"] <= values["upper"]
    assert values["gap"] <= 1e-6
    assert Path(values["certificate"]).is_file()


def test_bounds_is_a_ladder(tmp_path: Path) -> None:
    result = run("bounds", MLP, "--json", folder=tmp_path)
    values = json.loads(result.stdout)
    ladder = [values["lower"], *(b["upper"] for b in values["bounds"])]
    assert ladder == sorted(ladder)
    assert "attained" in run("bounds", MLP, folder=tmp_path).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("certify", "missing.onnx"),
        ("certify", "."),
        ("certify", "empty.npz"),
        ("certify", "garbage.onnx"),
        ("certify", "pickle.pt"),
        ("certify", MLP, "--rows", "99"),
        ("certify", MLP, "--rows", "a,b"),
        ("certify", MLP, "--method", "magic"),
        ("certify", MLP, "--method", "by-construction"),
        ("certify", MLP, "--solver", "magic"),
        ("certify", MLP, "--tol", "-1"),
        ("certify", MLP, "--tol", "zero"),
        ("certify", MLP, "--device", "nonsense"),
        ("certify", MLP, "-o", "no/such/folder/c.json"),
        ("certify", MLP, "--frobnicate"),
        ("certify",),
        ("check", "missing.json"),
        ("explode",),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str | Path, ...], tmp_path: Path) -> None:
    (tmp_path / "empty.npz").touch()
    (tmp_path / "garbage.onnx").write_bytes(os.urandom(2000))
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04")
    before = sorted(tmp_path.rglob("*"))
    result = run(*arguments, folder=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_garbage_certificate_is_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"format": "sdpcert-certificate", "version": 1')
    result = run("check", "c.json", folder=tmp_path)
    assert result.returncode == 1
    assert len(result.stdout.strip().splitlines()) == 1


def test_no_arguments_says_what_to_try(tmp_path: Path) -> None:
    result = run(folder=tmp_path)
    assert result.returncode == 0
    assert "sdpcert certify" in result.stdout


@pytest.mark.parametrize("verb", ["certify", "check", "bounds"])
def test_help_has_an_example(verb: str, tmp_path: Path) -> None:
    result = run(verb, "--help", folder=tmp_path)
    assert result.returncode == 0
    assert "Example: sdpcert" in result.stdout


def test_import_is_light(tmp_path: Path) -> None:
    heavy = "('torch', 'cvxpy', 'sympy', 'matplotlib', 'onnx')"
    code = f"import sys, sdpcert; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout.strip() == "[]"


def test_interrupt_proves_the_best_point_so_far(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sizes = (40, 300, 300, 300, 10)
    weights = {
        f"weight_{k}": generator.standard_normal((b, a)) / np.sqrt(a)
        for k, (a, b) in enumerate(itertools.pairwise(sizes))
    }
    np.savez(tmp_path / "large.npz", **weights)  # type: ignore[arg-type]
    command = [sys.executable, "-m", "sdpcert.cli", "certify", "large.npz", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    time.sleep(4.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    if process.returncode == 2:  # the signal came before the solver had a point
        assert len(err.strip().splitlines()) == 1
    else:
        values = json.loads(out)
        assert values["status"] == "proved"
        assert values["lower"] <= values["upper"]


def test_convolutional_network_over_frequencies(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    network = NETWORKS / "digits_cnn.onnx"
    result = run("certify", network, "--form", "frequency", "-o", tmp_path / "c.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "embedded in a torus of 5 x 5 cells" in result.stdout and "bounded together" in result.stdout
    checked = run("check", tmp_path / "c.json", "--network", network, folder=tmp_path)
    assert checked.returncode == 0 and "proved in exact integer arithmetic" in checked.stdout
    other = run("check", tmp_path / "c.json", "--network", NETWORKS / "digits_mlp.onnx", folder=tmp_path)
    assert other.returncode == 1
    composed = run("certify", network, "--form", "frequency", "--head", "composed", "--json", folder=tmp_path)
    together = float.fromhex(json.loads((tmp_path / "c.json").read_text())["upper"])
    assert json.loads(composed.stdout)["upper"] >= together
    refused = run("certify", MLP, "--form", "frequency", folder=tmp_path)
    assert refused.returncode == 2 and "needs an image" in refused.stderr and refused.stderr.count("\n") == 1


def test_layers_are_listed_and_proved(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for arguments, code, text in (
        (["layers"], 0, "sandwich-network"),
        (["layers", "check", "frobenius", "--json"], 0, '"ok": true'),
        (["layers", "check", "nonsense"], 2, "unknown family"),
    ):
        result = run(*arguments, folder=tmp_path)
        assert result.returncode == code
        assert text in result.stdout + result.stderr
