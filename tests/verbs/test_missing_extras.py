"""Every verb without the packages that it may need: one line that names the extra, or it works without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sdpcert.readers.examples import example_inputs, example_network
from sdpcert.running.extras import EXTRAS

#: Runs commands, given as JSON, one after the other in a process without some packages; tells code and stderr of each.
PROGRAM = """
import contextlib, io, json, sys
hidden, commands = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(hidden))
from sdpcert import cli
for words in commands:
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main(words)
    except SystemExit as ended:
        sys.__stdout__.write(json.dumps([ended.code, err.getvalue(), out.getvalue()]) + "\\n")
"""
WORKS = ""
#: What can be missing; some versions of typer bring pydantic along.
PACKAGES = [package for package in EXTRAS if package != "pydantic"]
TRAINING = "needs torch: pip install 'sdpcert[train]'"
#: Commands, and what they say where the package is installed without any extra; nothing where they work.
CORE = {
    "certify --example digits_mlp --method product -o c.json": WORKS,
    "certify --example digits_cnn": "needs the package onnx: pip install 'sdpcert[onnx]'",
    "certify x.safetensors": "needs safetensors: pip install 'sdpcert[safetensors]'",
    "certify --example digits_mlp --device cuda": "device 'cuda' needs torch: pip install 'sdpcert[torch]'",
    "check c.json": WORKS,
    "check c.json --network ONNX": "needs the package onnx: pip install 'sdpcert[onnx]'",
    "bounds --example digits_mlp": WORKS,
    "layers": "needs torch: pip install 'sdpcert[torch]'",
    "layers --example digits_mlp": WORKS,
    "layers check aol": "needs torch: pip install 'sdpcert[torch]'",
    "derive": WORKS,
    "derive aol": WORKS,
    "derive bjorck": "a proof with polynomials needs sympy: pip install 'sdpcert[symbolic]'",
    "train": TRAINING,
    "train digits": TRAINING,
    "evaluate --example digits_mlp --radii 0.01 --count 1 --no-attack -o r.json": WORKS,
    "evaluate run": TRAINING,
    "evaluate run --again": TRAINING,
    "evaluate run --data INPUTS": TRAINING,
    "table c.json": WORKS,
    "table r.json": WORKS,
    "report c.json": "pip install 'sdpcert[report]'",
    "export c.json --coq c.v": WORKS,
}
#: What more works with some packages, or what is then said.
WITH: dict[tuple[str, ...], dict[str, str]] = {
    ("onnx", "onnxruntime", "safetensors"): {
        "certify --example digits_residual --method product -o d.json": WORKS,
        "certify x.safetensors --method product -o s.json": WORKS,
        "layers": "needs torch: pip install 'sdpcert[torch]'",
    },
    ("safetensors",): {
        "certify x.safetensors --method product -o s.json": WORKS,
        "certify --example digits_cnn": "needs the package onnx: pip install 'sdpcert[onnx]'",
    },
    ("torch", "sympy"): {
        "layers": WORKS,
        "layers check spectral": WORKS,
        "derive spectral": WORKS,
        "train": "training needs safetensors: pip install 'sdpcert[train]'",
        "evaluate run": "evaluating a run needs safetensors: pip install 'sdpcert[train]'",
        "check r.json --network run": "a run's network needs safetensors: pip install 'sdpcert[train]'",
    },
    ("matplotlib", "PIL"): {"report c.json": "reports need jinja2: pip install 'sdpcert[report]'"},
    ("matplotlib", "PIL", "jinja2"): {"report c.json": WORKS, "report r.json": WORKS},
}


def said(hidden: list[str], commands: list[str], folder: Path) -> list[tuple[int, str, str]]:
    """Exit code, stderr and stdout of each command, in one process that lacks some packages."""
    names = {"ONNX": str(example_network("digits_mlp").with_suffix(".onnx")), "INPUTS": str(example_inputs())}
    words = [[names.get(word, word) for word in command.split()] for command in commands]
    command = [sys.executable, "-c", PROGRAM, json.dumps([hidden, words])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]  # type: ignore[misc]


def compare(expected: dict[str, str], hidden: list[str], folder: Path) -> None:
    found = said(hidden, list(expected), folder)
    assert len(found) == len(expected)
    for (command, says), (code, stderr, stdout) in zip(expected.items(), found, strict=True):
        if says == WORKS:
            assert code == 0, (command, stderr)
        else:
            assert (code, stdout) == (2, ""), (command, stderr, stdout)
            assert says in stderr and stderr.count("\n") == 1, (command, stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights in a safetensors file, and one that looks like a run."""
    folder = tmp_path_factory.mktemp("extras")
    with np.load(example_network("digits_mlp")) as arrays:
        (folder / "x.safetensors").write_bytes(_safetensors(dict(arrays)))
    (folder / "run").mkdir()
    return folder


def _safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    """The format by hand, so that the package is not needed: the length of the header, the header, the numbers."""
    header, numbers = {}, b""
    for name, array in arrays.items():
        data = array.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(numbers), len(numbers) + len(data)]}
        numbers += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def test_with_the_core_alone_every_verb_works_or_names_its_extra(folder: Path) -> None:
    compare(CORE, PACKAGES, folder)


@pytest.mark.slow
@pytest.mark.parametrize("installed", WITH, ids="+".join)
def test_with_some_extras_more_works_and_the_next_one_is_named(installed: tuple[str, ...], folder: Path) -> None:
    for package in installed:
        pytest.importorskip(package)
    first = {command: says for command, says in CORE.items() if command.endswith((" -o c.json", " -o r.json"))}
    compare(first | WITH[installed], [package for package in PACKAGES if package not in installed], folder)
