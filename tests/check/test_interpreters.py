"""The checkers under other interpreters: Python 3.10 and later, with the standard library alone.

Interpreters are looked for on the path and where pyenv keeps them; those that are not there are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import sdpcert
from sdpcert.certify import certify
from sdpcert.readers.examples import load_example

CHECK = Path(sdpcert.__file__).parent / "check"
PROOFS = CHECK.parent / "derivations" / "proofs"
#: The oldest decides every day, the others among the slow tests.
VERSIONS = ["3.10", *(pytest.param(version, marks=pytest.mark.slow) for version in ("3.11", "3.12", "3.13", "3.14"))]


def interpreter(version: str) -> str:
    """A Python of this version that runs; skips the test if there is none."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in filter(None, [*map(str, installed), shutil.which(f"python{version}")]):
        said = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(said, capture_output=True, text=True).stdout.strip() == version:
            return candidate
    pytest.skip(f"no Python {version} here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checker's files, copied alone, beside a certificate of a shipped network and one with a smaller bound."""
    folder = tmp_path_factory.mktemp("apart")
    shutil.copytree(CHECK, folder / "checker", ignore=shutil.ignore_patterns("__pycache__"))
    certificate = certify(load_example("digits_mlp"), method="product", effort=0)
    certificate.save(folder / "good.json")
    text = (folder / "good.json").read_text()
    claimed = f'"{certificate.upper.hex()}"'
    assert claimed in text
    (folder / "bad.json").write_text(text.replace(claimed, f'"{(certificate.upper / 2).hex()}"'))
    return folder


def run(python: str, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """With -S: no package beside the standard library; nothing of this environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [python, "-S", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_is_decided_with_the_standard_library(version: str, folder: Path) -> None:
    python = interpreter(version)
    good = run(python, folder, "-m", "checker", "good.json")
    assert good.returncode == 0, good.stdout + good.stderr
    bad = run(python, folder, "-m", "checker", "bad.json")
    assert bad.returncode == 1 and "Traceback" not in bad.stderr, bad.stdout + bad.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proof_is_decided_with_the_standard_library(version: str, folder: Path) -> None:
    python = interpreter(version)
    good = run(python, folder, CHECK / "proof_checker.py", PROOFS / "spectral.proof.json")
    assert good.returncode == 0, good.stdout + good.stderr
