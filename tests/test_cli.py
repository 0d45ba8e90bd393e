"""The command line: exit codes, one line on stderr for bad input, JSON, files that are whole or absent."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sdpcert import cli
from sdpcert.verbs.options import numbers

NETWORKS = Path(__file__).parents[1] / "examples" / "networks"
MLP = NETWORKS / "digits_mlp.npz"


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command line in this process, which has loaded everything already."""
    texts = [str(argument) for argument in arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(texts)
        except SystemExit as ended:
            code = int(str(ended.code))
    return subprocess.CompletedProcess(texts, code, out.getvalue(), err.getvalue())


def run_apart(*arguments: str | Path, folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
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
        ("certify", MLP, "--rows", "0,0"),
        ("certify", MLP, "--seed", "-1"),
        ("certify", MLP, "--method", "magic"),
        ("certify", MLP, "--method", "by-construction"),
        ("certify", MLP, "--solver", "magic"),
        ("certify", MLP, "--tol", "-1"),
        ("certify", MLP, "--tol", "zero"),
        ("certify", MLP, "--device", "nonsense"),
        ("certify", MLP, "-o", "no/such/folder/c.json"),
        ("certify", MLP, "-o", "folder"),
        ("certify", MLP, "-o", "link.json"),
        ("certify", MLP, "-o", "pipe"),
        ("check", "folder"),
        ("table", "folder"),
        ("derive", "nothing.py"),
        ("derive", "spectral", "--latex", "pipe/folder"),
        ("certify", MLP, "--frobnicate"),
        ("certify",),
        ("check", "missing.json"),
        ("explode",),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str | Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty.npz").touch()
    (tmp_path / "garbage.onnx").write_bytes(os.urandom(2000))
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04")
    (tmp_path / "nothing.py").write_text("derivation = []")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.json").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed.out + printed.err
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert "Traceback" not in printed.err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link.json").is_symlink()


def test_a_device_is_one_that_certifies(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for device in ("meta", "mps"):
        result = run("certify", MLP, "--device", device, folder=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"sdpcert: device '{device}' is not supported: use cpu or cuda\n"


@pytest.mark.parametrize("scale", [1e-160, 1e100, 1e200])
def test_beyond_the_range_of_float64_nothing_is_proved(tmp_path: Path, scale: float) -> None:
    rng = np.random.default_rng(0)
    shapes = ((4, 3), (4, 4), (2, 4))
    weights = {f"weight_{k}": scale * rng.standard_normal(shape) for k, shape in enumerate(shapes)}
    np.savez(tmp_path / "extreme.npz", **weights)  # type: ignore[arg-type]
    result = run("certify", "extreme.npz", "--json", folder=tmp_path)
    assert (result.returncode, result.stderr) == (1, "")
    values = json.loads(result.stdout, parse_constant=lambda text: pytest.fail(text))
    assert values["status"] == "unproved" and "rescale the layers" in " ".join(values["notes"])
    assert values["upper"] is None
    bound = values["sdp_lower"]  # null beyond the range
    assert values["lower"] <= bound if scale < 1e200 else bound is None


def test_a_name_that_the_locale_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "nétwork.npz").write_bytes(MLP.read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = run_apart("certify", "nétwork.npz", folder=tmp_path, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert r"n\xe9twork.cert.json" in result.stdout


def test_full_standard_output_is_named(certificate: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "sdpcert.cli", "check", str(certificate)]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr == "sdpcert: cannot write the results: No space left on device\n"


@pytest.mark.parametrize("verb", [("layers",), ("layers", "check", "aol"), ("train",), ("evaluate", "run")])
def test_without_torch_the_extra_is_named(verb: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    result = run_apart(*verb, folder=tmp_path, env=environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert "torch: pip install 'sdpcert[t" in result.stderr and result.stderr.count("\n") == 1


def test_without_safetensors_no_run_is_begun(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['safetensors'] = None\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    result = run_apart("train", "digits", "-o", "run", folder=tmp_path, env=environment)
    assert result.returncode == 2
    assert result.stderr == "sdpcert: training needs safetensors: pip install 'sdpcert[train]'\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("notes", "code"), [((), 0), (("interrupted: the attack did not end",), 1)])
def test_an_interrupted_evaluation_is_code_1_in_json_too(
    notes: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recertify = pytest.importorskip("sdpcert.evaluation.again")
    result = SimpleNamespace(summary=lambda: {"notes": list(notes)}, notes=notes)
    monkeypatch.setattr(recertify, "recertify", lambda *arguments: result)
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", "run", "--again", "--json"])
    assert ended.value.code == code
    printed = json.loads(capsys.readouterr().out)
    assert printed["notes"] == list(notes) and printed["again"] is True


def test_radii_are_read_as_numbers_or_fractions() -> None:
    assert numbers("0.5, 36/255", "--radii", "0.5") == [0.5, 36 / 255]
    assert numbers("1e999,1e100000000", "--radii", "0.5") == [np.inf, np.inf]  # refused by evaluate, and at once
    for text in ("", "x", "1/", "1/0", "1/2/3", "1,,2"):
        with pytest.raises(ValueError, match="write numbers separated by commas"):
            numbers(text, "--radii", "0.5")
    with pytest.raises(ValueError, match="--radius '1,2': write a number, as in 8/255"):
        numbers("1,2", "--radius", "8/255", 1)


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


def test_results_are_listed_in_plain_text(tmp_path: Path) -> None:
    result = run("derive", folder=tmp_path)
    assert result.returncode == 0 and "condition" in result.stdout and "$" not in result.stdout


def test_a_file_of_derivations_that_exits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "leaves.py"
    path.write_text("raise SystemExit(3)\n")
    result = run("derive", path, folder=tmp_path)
    assert result.returncode == 2 and result.stderr == f"sdpcert: {path}: SystemExit: 3\n" and not result.stdout


def test_a_gap_is_rounded_up(tmp_path: Path) -> None:
    shown = run("certify", MLP, folder=tmp_path).stdout.splitlines()
    exact = json.loads(run("certify", MLP, "--json", folder=tmp_path).stdout)["gap"]
    assert next(float(line.split()[1]) for line in shown if line.startswith("gap")) >= exact


def test_an_assumed_activation_is_a_line_of_the_output(certificate: Path, tmp_path: Path) -> None:
    said = "as the model's file does not state it: activation relu"
    for words in (("certify", MLP, "--method", "product"), ("bounds", MLP), ("check", certificate, "--network", MLP)):
        shown = run(*words, folder=tmp_path).stdout
        assert sum(said in line for line in shown.splitlines()) == 1, words
        assert said not in run(*words, "--activation", "relu", folder=tmp_path).stdout
    assert json.loads(certificate.read_text())["assumptions"] == ["activation relu"]
