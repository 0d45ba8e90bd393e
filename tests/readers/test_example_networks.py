"""The networks that come with the package: found in a clone and in a wheel, and fit for the inputs beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from sdpcert.readers.examples import EXAMPLES, example_inputs, example_network, load_example
from sdpcert.readers.labelled import load_labelled

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "networks"
INSTALLED = "sdpcert/readers/networks"


def files() -> list[Path]:
    return [*map(example_network, EXAMPLES), example_inputs()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_classifies_the_inputs_beside_it(name: str) -> None:
    if example_network(name).suffix == ".onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    network = load_example(name)
    assert network.source == example_network(name).name
    assert "assumed" not in network.details
    inputs, labels = load_labelled(example_inputs(), network.input_shape, 10)
    outputs = network(inputs.reshape(-1, *network.input_shape)).reshape(-1, 10)
    assert len(labels) == 20
    assert np.sum(outputs.argmax(1) == labels) >= 18


def test_the_inputs_are_the_first_images_that_training_left_out() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.model_selection import train_test_split

    pixels, labels = datasets.load_digits(return_X_y=True)
    _, images, _, classes = train_test_split(pixels / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    inputs, found = load_labelled(example_inputs(), (64,), 10)
    assert np.array_equal(inputs, images[:20]) and np.array_equal(found, classes[:20])


def test_another_name_lists_the_examples() -> None:
    with pytest.raises(ValueError, match="unknown example 'mnist'; examples: digits_mlp, digits_cnn, digits_residual"):
        example_network("mnist")


def test_an_installation_finds_its_own_files_and_says_if_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = example_network("digits_mlp")
    monkeypatch.setattr(resources, "files", lambda package: tmp_path / package)
    with pytest.raises(FileNotFoundError, match="lacks its example files"):
        example_network("digits_mlp")
    (tmp_path / INSTALLED).mkdir(parents=True)
    shutil.copy(found, tmp_path / INSTALLED)
    assert example_network("digits_mlp") == tmp_path / INSTALLED / "digits_mlp.npz"


def test_the_wheel_is_told_to_hold_every_file() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    included = build["wheel"]["force-include"]
    for file in files():
        assert included[f"examples/networks/{file.name}"] == f"{INSTALLED}/{file.name}"
    assert all((ROOT / source).is_file() for source in included)
    assert not any(pattern.startswith("/examples") for pattern in build["sdist"]["exclude"])


@pytest.mark.slow
def test_a_wheel_from_the_sdist_certifies_an_example(tmp_path: Path) -> None:
    """Needs the network, as every installation does: pip fetches the build back end."""
    backend, unpacked, site = tmp_path / "backend", tmp_path / "unpacked", tmp_path / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", backend, "hatchling>=1.25"], check=True)
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    clone = tmp_path / "clone"
    for name in tracked.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)

    def made(kind: str, folder: Path) -> Path:
        program = f"import sys, hatchling.build as b; print(b.build_{kind}(sys.argv[1]))"
        environment = {**os.environ, "PYTHONPATH": str(backend)}
        command = [sys.executable, "-c", program, str(tmp_path)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        return tmp_path / done.stdout.splitlines()[-1]

    with tarfile.open(made("sdist", clone)) as archive:
        archive.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    assert not (folder / ".ci").exists() and (folder / "tests").is_dir()
    with zipfile.ZipFile(made("wheel", folder)) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert {f"{INSTALLED}/{file.name}" for file in files()} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"sdpcert"}
    assert [name for name in names if name.endswith("LICENSE.digits")]
    command = [sys.executable, "-m", "sdpcert.cli", "certify", "--example", "digits_mlp"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "digits_mlp.npz: 64 inputs" in done.stdout and (tmp_path / "digits_mlp.cert.json").is_file()
