"""The theorems in Coq, compiled once; tests that ask for them are skipped where Coq or its library is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FORMAL = Path(__file__).parents[2] / "formal"
FILES = ("field_ring", "integers", "condition", "dominance", "network", "checker")

Compile = Callable[[str], subprocess.CompletedProcess[str]]


def _coqc(file: Path, theorems: Path) -> subprocess.CompletedProcess[str]:
    command = ["coqc", "-w", "none", "-Q", str(theorems), "Sdpcert", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=theorems)


@pytest.fixture(scope="session")
def theorems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled files."""
    if shutil.which("coqc") is None:
        pytest.skip("coqc is not installed")
    folder = tmp_path_factory.mktemp("formal")
    probe = folder / "probe.v"
    probe.write_text("From mathcomp Require Import all_ssreflect all_algebra.\n")
    if _coqc(probe, folder).returncode:
        pytest.skip("the Mathematical Components library is not installed")
    for name in FILES:
        shutil.copy(FORMAL / f"{name}.v", folder)
        result = _coqc(folder / f"{name}.v", folder)
        assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def compiled(theorems: Path, tmp_path: Path) -> Compile:
    """What compiles a text that may use the theorems."""

    def compile_text(text: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "text.v"
        file.write_text(text, encoding="utf-8")
        return _coqc(file, theorems)

    return compile_text
