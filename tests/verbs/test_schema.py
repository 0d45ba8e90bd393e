"""Real output of every verb against the schema that is packaged: success, failure, unproved and interrupted."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import cli
from sdpcert.robustness import Radii
from sdpcert.sweep import doing

jsonschema = pytest.importorskip("jsonschema")
SCHEMA: dict[str, Any] = json.loads(resources.files("sdpcert.verbs").joinpath("output.schema.json").read_text())
RUN = """
[data]
name = "digits"
[model]
architecture = "dense"
family = "sandwich"
hidden = [16]
[loss]
name = "cross-entropy"
[optimiser]
name = "adam"
learning_rate = 0.02
[training]
epochs = 1
batch = 128
threads = 1
"""


def closed(node: Any) -> Any:
    """The schema, in which no object has keys that are not described."""
    if isinstance(node, list):
        return [closed(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    described = "properties" in node or "allOf" in node
    if node.get("type") == "object" and described and "additionalProperties" not in node:
        made["unevaluatedProperties"] = False
    return made


VALIDATORS = {
    name: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": closed(SCHEMA["$defs"])})
    for name in SCHEMA["$defs"]
}


def asked(*words: str | Path, code: int = 0) -> Any:
    """The object that a command prints, on a line of its own."""
    out, err, ended_with = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([*map(str, words), "--json"])
        except SystemExit as ended:
            ended_with = int(str(ended.code))
    assert ended_with == code, err.getvalue()
    assert out.getvalue().count("\n") == 1
    assert "e+308" not in out.getvalue()
    return json.loads(out.getvalue(), parse_constant=lambda name: pytest.fail(name))


def fits(name: str, printed: Any) -> Any:
    """What was printed, after it was found to be of that kind, and of no other."""
    jsonschema.Draft202012Validator(SCHEMA).validate(printed)
    VALIDATORS[name].validate(printed)
    return printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small network, data and a saved certificate, in which the commands run."""
    made = tmp_path_factory.mktemp("schema")
    random = np.random.default_rng(0)
    shapes = ((5, 3), (3, 5))
    weights = {f"weight_{k}": random.standard_normal(shape) for k, shape in enumerate(shapes)}
    stated = {"activation": "relu", "orientation": "out_in"}
    np.savez(made / "tiny.npz", **weights, **stated)  # type: ignore[arg-type]
    np.savez(made / "huge.npz", **{k: 1e200 * w for k, w in weights.items()}, **stated)  # type: ignore[arg-type]
    np.savez(made / "data.npz", inputs=random.random((3, 3), dtype=np.float32), labels=np.array([0, 1, 2]))
    np.save(made / "point.npy", random.random(3))
    (made / "run.toml").write_text(RUN)
    sdpcert.certify(sdpcert.load(made / "tiny.npz")).save(made / "saved.cert.json")
    with contextlib.chdir(made):
        yield made


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_bounds(folder: Path) -> None:
    assert fits("certify", asked("certify", "tiny.npz"))["output_rows"] is None
    assert fits("certify", asked("certify", "tiny.npz", "--output-rows", "0,2"))["output_rows"] == [0, 2]
    assert fits("certify", asked("certify", "tiny.npz", "--output-pair", "0,2"))["output_pair"] == [0, 2]
    near = ("--around", "point.npy", "--radius", "3/10", "--norm", "linf", "--exact")
    assert fits("certify", asked("certify", "tiny.npz", *near))["open"] == 0
    fits("certify", asked("certify", "tiny.npz", "--box", "0", "1", "--nodes", "2"))
    unproved = fits("certify", asked("certify", "huge.npz", code=1))
    assert unproved["upper"] is None and unproved["certificate"] is None
    assert len(fits("bounds", asked("bounds", "tiny.npz"))["bounds"]) == 3
    fits("layers_of_model", asked("layers", "tiny.npz"))


def test_answers_to_properties(folder: Path) -> None:
    declared = [f"(declare-const {kind}_{k} Real)" for kind in "XY" for k in range(3)]
    box = [f"(assert (and (>= X_{k} 0) (<= X_{k} 0.1)))" for k in range(3)]
    for name, end in (("safe", -1e6), ("unsafe", 1e6)):
        Path(f"{name}.vnnlib").write_text("\n".join([*declared, *box, f"(assert (<= Y_0 {end}))"]))
    safe = fits("certify_property", asked("certify", "tiny.npz", "--property", "safe.vnnlib"))
    assert safe["result"] == "holds" and safe["answer"]["proofs"] == ["safe.radii.json"]
    words = ("--counterexample", "found.txt")
    unsafe = fits("certify", asked("certify", "tiny.npz", "--vnnlib", "unsafe.vnnlib", *words, code=1))
    assert unsafe["vnncomp"] == "sat" and len(unsafe["answer"]["inputs"]) == 3 and unsafe["upper"] > 0
    assert fits("failure", asked("certify", "tiny.npz", "--property", "none.vnnlib", code=2))["exit_code"] == 2


def test_saved_files(folder: Path) -> None:
    assert fits("check", asked("check", "saved.cert.json"))["ok"] is True
    assert fits("check", asked("check", "saved.cert.json", "--network", "huge.npz", code=1))["ok"] is False
    assert fits("table", asked("table", "saved.cert.json"))["table"]["kind"] == "ladder"
    assert fits("table", asked("table", "saved.cert.json", "-o", "ladder.md"))["written"] == ["ladder.md"]
    assert fits("export", asked("export", "saved.cert.json", "--coq", "tiny.v"))["written"] == ["tiny.v"]


def test_sweeps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doing, "ask", lambda function, question, seconds, memory: function(question))  # in this process
    Path("plan.toml").write_text('[[sweep]]\nnetwork = ["tiny.npz", "huge.npz"]\nmethod = ["product"]\n')
    assert len(fits("sweep_items", asked("sweep", "plan.toml", "--dry-run"))["items"]) == 2
    made = fits("sweep", asked("sweep", "plan.toml", "-o", "swept", "--jobs", "1", code=1))
    assert made["items"] == 2 and made["states"]["proved"] == 1
    assert fits("sweep", asked("sweep", "swept", "--index"))["items"] == 2
    fits("sweep_job", asked("sweep", "plan.toml", "-o", "swept", "--slurm", "2"))


def test_reports(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = ("--figures", "figures", "--figure-format", "svg")
    assert len(fits("report", asked("report", "saved.cert.json", *figures))["written"]) > 1


def test_radii(folder: Path) -> None:
    words = ("evaluate", "tiny.npz", "--data", "data.npz", "--radii", "0.01,1", "--time-limit", "1", "--no-constants")
    printed = fits("evaluate_model", asked(*words, "-o", "tiny.radii.json"))
    assert [row["radius"] for row in printed["rows"]] == [0.01, 1.0]
    silent = fits("evaluate_model", asked(*words, "--no-attack", "-o", "silent.radii.json"))
    assert silent["rows"][0]["under_attack"] is None
    checked = fits("check", asked("check", "tiny.radii.json"))
    assert [r["under_attack"] for r in checked["radii"]] == [r["under_attack"] for r in printed["rows"]]


def test_runs(folder: Path) -> None:
    pytest.importorskip("sdpcert.training")
    assert "digits" in {preset["name"] for preset in fits("train_presets", asked("train"))["presets"]}
    first = fits("train", asked("train", "run.toml", "-o", "run"))
    again = fits("train", asked("train", "run.toml", "-o", "run"))
    assert (first["finished_before"], again["finished_before"], again["epochs"]) == (False, True, 1)
    assert first["finished"] and first["reached"] == again["reached"]
    fits("evaluate_run", asked("evaluate", "run", "--count", "3"))
    fits("evaluate_run", asked("evaluate", "run", "--again"))


def test_families(folder: Path) -> None:
    pytest.importorskip("torch")
    assert len(fits("layers", asked("layers"))["families"]) > 10


def test_derivations(folder: Path) -> None:
    pytest.importorskip("sympy")
    fits("derive_library", asked("derive"))
    printed = fits("derive", asked("derive", "spectral", "--no-numbers", "-o", "spectral.proof.json"))
    assert printed["written"] == ["spectral.proof.json"]
    counterexample = printed["results"][0]["wrong_versions"][0]["counterexample"]
    assert len(counterexample["inputs"]) == len(counterexample["inputs_as_floats"]) == 2
    fits("check", asked("check", "spectral.proof.json"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("certify", "missing.onnx"), 2),
        (("certify", "tiny.npz", "--method", "magic"), 2),
        (("bounds",), 2),
        (("check", "tiny.npz"), 2),
        (("layers", "missing.onnx"), 2),
        (("evaluate", "nowhere"), 2),
        (("derive", "nonsense"), 2),
        (("train", "nonsense"), 2),
        (("table", "tiny.npz"), 2),
        (("report", "missing.json"), 2),
        (("export", "saved.cert.json", "--coq", "no/such.v"), 2),
        (("explode",), 2),
    ],
)
def test_failures(words: tuple[str, ...], code: int, folder: Path) -> None:
    assert fits("failure", asked(*words, code=code))["exit_code"] == code


def test_interrupted_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    stands = sdpcert.Certificate.load("saved.cert.json")

    def something(*arguments: Any, **options: Any) -> Any:
        raise sdpcert.Interrupted("interrupted", stands)

    with monkeypatch.context() as patched:
        patched.setattr(sdpcert, "certify", nothing)
        assert fits("failure", asked("certify", "tiny.npz", code=130))["exit_code"] == 130
        patched.setattr(sdpcert, "certify", something)
        assert "bound 1 of 3" in fits("bounds", asked("bounds", "tiny.npz", code=130))["interrupted"]


def test_interrupted_radii(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("evaluate", "tiny.npz", "--data", "data.npz", "--radii", "0.01", "--no-attack", "--no-constants")
    asked(*words, "-o", "before.radii.json")
    stands = Radii.load("before.radii.json")

    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise sdpcert.Interrupted("interrupted", stands)

    monkeypatch.setattr(sdpcert, "radii", interrupted)
    printed = fits("evaluate_model", asked(*words, "-o", "after.radii.json", code=130))
    assert printed["interrupted"] and printed["radii"] == "after.radii.json"


def test_an_interrupted_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = pytest.importorskip("sdpcert.training")

    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise training.TrainingInterrupted("stopped at step 3")

    monkeypatch.setattr(training, "train", interrupted)
    printed = fits("train", asked("train", "run.toml", "-o", "other", code=130))
    assert printed["interrupted"] == "stopped at step 3" and not printed["finished"]


def test_an_interrupt_during_the_import_is_an_object(folder: Path) -> None:
    """The program ends in its first second, before there is a command line that could say so."""
    code = (
        "import os, signal, sys\nsys.argv = ['sdpcert', 'check', 'x', '--json']\n"
        "from sdpcert.running import starting\nos.kill(os.getpid(), signal.SIGTERM)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 130 and done.stderr == "sdpcert: interrupted before there was a result\n"
    assert fits("failure", json.loads(done.stdout))["exit_code"] == 130
