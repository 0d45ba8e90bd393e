"""The checker as a program: loose files in an empty folder, any certificate, and the Python that it needs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sdpcert
from sdpcert.check import CheckResult, Rejected, check, check_document, checker, document_of
from sdpcert.check.verdict import main
from tests.check import covers
from tests.check.radii_example import example
from tests.check.version3 import FOLDER, as_version_3, kept, with_claim

SOURCE = Path(checker.__file__).parent
#: Files of floating point, which need NumPy.
FLOATING = re.compile("floating|rounding")
FILES = sorted(SOURCE.glob("*.py"))
#: Programs of loose files: a file, or the folder.
PROGRAMS = ["checker.py", ""]
PYTHONS = sorted(Path.home().glob(".pyenv/versions/*/bin/python"))


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files in an empty folder, whose name is no name of a package."""
    folder = tmp_path_factory.mktemp("loose") / "the files, 1.0"
    folder.mkdir()
    for file in FILES:
        shutil.copy(file, folder)
    return folder


def run(*command: Any, python: str | Path = sys.executable, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [str(python), *map(str, command)], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


# ---------------------------------------------------------------- loose files


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["residual-tanh", "convolutional-head", "orthogonal-maxmin"])
def test_loose_files_prove_every_version_with_the_standard_library(
    loose: Path, program: str, name: str, tmp_path: Path
) -> None:
    new = tmp_path / "3.json"
    new.write_text(json.dumps(as_version_3(kept(name))), encoding="utf-8")
    for file in (FOLDER / f"{name}.json", new):
        code, out, err = run("-I", "-S", "-O", "-W", "error", loose / program, file)
        assert (code, err) == (0, "") and out.count("\n") == 1
        assert out.startswith("proved: |f(x)-f(x')| <= ") and "proved in exact integer arithmetic" in out


@pytest.mark.parametrize("program", PROGRAMS)
def test_loose_files_prove_a_cover_with_the_standard_library(loose: Path, program: str, tmp_path: Path) -> None:
    """One rectifier, active and not; flat where x <= 0 meets the box in a point."""
    net = covers.chain([([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0])])
    pieces = [
        covers.piece(covers.split(1, 0)),
        covers.piece(covers.flat(1), parent=0, side="below"),
        covers.piece(covers.condition(2 + 1e-9, []), parent=0, side="above"),
    ]
    (tmp_path / "good.json").write_text(json.dumps(covers.file(net, covers.box([0, 0], [1, 1]), pieces, 1.5)))
    (tmp_path / "bad.json").write_text(json.dumps(covers.file(net, covers.box([-1, 0], [1, 1]), pieces, 1.5)))
    code, out, err = run("-I", "-S", "-O", "-W", "error", loose / program, tmp_path / "good.json")
    assert (code, err) == (0, "") and "for all inputs x, x' in the box (" in out and "; 3 pieces; " in out
    code, out, err = run("-I", "-S", "-O", "-W", "error", loose / program, tmp_path / "bad.json")
    assert (code, err) == (1, "") and out.startswith("rejected: tree: pieces[1]: end: ")


@pytest.mark.parametrize("program", PROGRAMS)
def test_loose_files_prove_radii_with_the_standard_library(loose: Path, program: str, tmp_path: Path) -> None:
    file, bad = tmp_path / "radii.json", example()
    file.write_text(json.dumps(bad), encoding="utf-8")
    code, out, err = run("-I", "-S", "-O", "-W", "error", loose / program, file)
    assert (code, err) == (0, "") and out == f"proved: {check(file).reason}\n"
    assert out.startswith("proved: 4 of 6 inputs right; certified at radius 0.0: 4")
    file.write_text(json.dumps(bad | {"norm": "linf"}), encoding="utf-8")
    code, out, err = run("-I", "-S", "-O", "-W", "error", loose / program, file)
    assert (code, err) == (1, "") and out.startswith("rejected: claim is not")


@pytest.mark.parametrize("program", PROGRAMS)
def test_loose_files_reject_and_refuse(loose: Path, program: str, tmp_path: Path) -> None:
    bad = as_version_3(kept("convolutional-head"))
    bad["tree"]["parts"][0]["multipliers"]["rho"] = (0.0).hex()
    (tmp_path / "bad.json").write_text(json.dumps(bad), encoding="utf-8")
    (tmp_path / "no.json").write_text("{", encoding="utf-8")
    code, out, err = run("-I", "-S", "-O", loose / program, tmp_path / "bad.json")
    assert (code, err) == (1, "") and out.startswith("rejected: tree.parts[0]: ") and out.count("\n") == 1
    good = FOLDER / "residual-tanh.json"
    for arguments in ((), (good, good), ("--help",), (tmp_path / "none.json",), (tmp_path,), (tmp_path / "no.json",)):
        code, out, err = run("-I", "-S", "-O", loose / program, *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_floating_point_needs_numpy_and_says_so(loose: Path, program: str) -> None:
    file = FOLDER / "many-channels.json"
    code, out, err = run("-I", loose / program, file)
    assert (code, err) == (0, "") and "floating-point Cholesky with rigorous error bounds" in out
    code, out, err = run("-I", "-S", loose / program, file)
    assert (code, err) == (1, "") and out.count("\n") == 1 and "install numpy" in out


def test_the_folder_is_the_program_as_a_package_too(tmp_path: Path) -> None:
    good = FOLDER / "convolutional-head.json"
    code, out, err = run("-m", "sdpcert.check", good, PYTHONPATH=str(SOURCE.parent.parent))
    assert (code, err) == (0, "") and out.startswith("proved: ")
    shutil.copytree(SOURCE, tmp_path / "renamed", ignore=shutil.ignore_patterns("__pycache__"))
    code, out, err = run("-m", "renamed", good, PYTHONPATH=str(tmp_path))
    assert (code, err) == (0, "") and out.startswith("proved: ")
    code, out, err = run("-c", "import checker; print(checker.main([]))", PYTHONPATH=str(tmp_path / "renamed"))
    assert (code, out) == (0, "2\n") and err.startswith("usage: ")


def test_the_command_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dense-relu", "circular-pooled"):
        assert main([str(FOLDER / f"{name}.json")]) == 0
        assert capsys.readouterr().out == f"proved: {check(FOLDER / f'{name}.json').reason}\n"


# ---------------------------------------------------------------- the Python that is needed


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parents[1].name)
def test_other_pythons_prove_or_say_what_is_needed(loose: Path, program: str, python: Path) -> None:
    version = tuple(int(k) for k in python.parents[1].name.split(".")[:2])
    code, out, err = run(loose / program, FOLDER / "convolutional-head.json", python=python)
    if version >= (3, 10):
        assert (code, err) == (0, "") and out.startswith("proved: ")
    else:
        assert (code, out, err) == (2, "", "checker.py needs Python 3.10 or later\n")


def test_an_old_python_is_told_before_anything_else_is_read(loose: Path) -> None:
    for name in ("checker.py", "__main__.py"):
        program = (
            f"import runpy, sys; sys.path.insert(0, {str(loose)!r}); sys.version_info = (3, 9, 18, 'final', 0); "
            f"sys.argv[1:] = ['x']; runpy.run_path({str(loose / name)!r}, run_name='__main__')"
        )
        assert run("-c", program) == (2, "", "checker.py needs Python 3.10 or later\n")


# ---------------------------------------------------------------- what the files are made of


#: Further files that divide: a factor that is found in floating point needs no trust, and fractions are exact.
DIVIDING = ("torus_integers.py", "definite.py", "elementary.py", "functions.py", "saturating.py")


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
        assert not (isinstance(node, ast.ImportFrom) and node.level > 1)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_source_rules(file: Path) -> None:
    """The standard library alone but for floating point, no assert, and in integers no arithmetic that could round."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    allowed = {*sys.stdlib_module_names, *(["numpy"] if FLOATING.search(file.name) else [])}
    assert imports(tree) - {"checker"} <= allowed
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert)
        if not FLOATING.search(file.name) and file.name not in DIVIDING:
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))


# ---------------------------------------------------------------- from Python


class Made:
    """What a certificate in memory is for the checker."""

    def __init__(self, document: Any) -> None:
        self.stated = document

    def document(self) -> Any:
        if isinstance(self.stated, str):
            raise ValueError(self.stated)
        return self.stated


def test_a_certificate_is_a_path_or_has_a_document(tmp_path: Path) -> None:
    document = with_claim(as_version_3(kept("dense-relu")))
    assert sdpcert.check(Made(document)) == check_document(document)
    assert check(str(FOLDER / "dense-relu.json")) == check(FOLDER / "dense-relu.json")
    assert check(Made("nothing was proved")) == CheckResult(False, None, "nothing was proved")
    with pytest.raises(Rejected, match="nothing was proved"):
        document_of(Made("nothing was proved"))
    for wrong in (None, 5, b"c.json", {}, document, Made, ["c.json"]):
        with pytest.raises(TypeError, match="the path of a certificate file or a Certificate, not"):
            check(wrong)  # type: ignore[arg-type]
    assert not check(tmp_path / "none.json").ok


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("dense-relu", {None: "exact", True: "exact", False: "exact"}),
        ("circular-pooled", {None: "exact", True: "exact", False: "floating-point"}),
        ("convolutional-head", {None: "exact", True: "exact", False: "floating-point"}),
        ("many-channels", {None: "floating-point", True: None, False: "floating-point"}),
    ],
)
def test_the_arithmetic_may_be_chosen(name: str, levels: dict[bool | None, str | None]) -> None:
    for document in (kept(name), as_version_3(kept(name))):
        for exact, level in levels.items():
            result = check_document(document, exact)
            assert (result.ok, result.level) == (level is not None, level)
            assert level is not None or "too large to be proved in integers" in result.reason


def test_the_result_is_plain() -> None:
    result = CheckResult(False, None, "why")
    assert (result.sha256, result.lower, result.level) == ("", None, None)
