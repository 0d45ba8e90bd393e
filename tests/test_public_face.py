"""What a user sees of the package: names that stay what they are, lazy packages, errors with one base."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType

import pytest

import sdpcert
from sdpcert import errors
from sdpcert.running import choices
from sdpcert.solvers import SOLVERS

PACKAGE = Path(sdpcert.__file__).parent
#: A function and a package of one name: `sdpcert.certify` and `sdpcert.check` are the functions.
BOTH = {"certify", "check"}


def in_a_new_process(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def submodules() -> list[str]:
    """All but programs, which run when they are imported."""
    names = [module.name for module in pkgutil.walk_packages(sdpcert.__path__, "sdpcert.")]
    return [name for name in names if not name.endswith("__main__")]


def public_functions(module: ModuleType) -> set[str]:
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    return {name for name in names if inspect.isroutine(getattr(module, name))}


# ---------------------------------------------------------------- names


def test_names_are_what_they_were_after_every_submodule_was_imported() -> None:
    for extra in ("torch", "sympy", "matplotlib", "pydantic"):
        pytest.importorskip(extra)
    in_a_new_process(
        "import importlib, sdpcert\n"
        "before = {name: getattr(sdpcert, name) for name in sdpcert.__all__}\n"
        f"for name in {submodules()}:\n"
        "    importlib.import_module(name)\n"
        "changed = [name for name, value in before.items() if getattr(sdpcert, name) is not value]\n"
        "assert not changed, changed\n"
    )


def test_no_submodule_has_the_name_of_a_public_function() -> None:
    for extra in ("torch", "sympy", "matplotlib", "pydantic"):
        pytest.importorskip(extra)
    top = public_functions(sdpcert) - BOTH
    taken = []
    for name in submodules():
        package, _, own = name.rpartition(".")
        if own in BOTH:
            continue
        if own in top or own in public_functions(importlib.import_module(package)):
            taken.append(name)
    assert taken == []


def test_packages_load_when_they_are_asked_for() -> None:
    for extra in ("torch", "sympy", "matplotlib", "pydantic"):
        pytest.importorskip(extra)
    libraries = ("torch", "cvxpy", "sympy", "matplotlib", "onnx")
    program = (
        f"import sys, sdpcert\nassert not [m for m in {libraries} if m in sys.modules]\n"
        "for name in ('layers', 'training', 'symbolic', 'report', 'network', 'solvers', 'derivations', 'evaluation'):\n"
        "    assert name in dir(sdpcert)\n"
        "    assert getattr(sdpcert, name).__name__ == f'sdpcert.{name}'\n"
        "assert set(sdpcert.__all__) <= set(dir(sdpcert))\n"
        "print(sdpcert.evaluation.evaluate.__name__, sdpcert.evaluation.recertify.__name__)\n"
    )
    assert in_a_new_process(program) == "evaluate recertify"


def test_evaluations_are_read_without_torch() -> None:
    in_a_new_process("import sys, sdpcert\nsdpcert.evaluation.load_evaluation\nassert 'torch' not in sys.modules\n")


@pytest.mark.parametrize(
    ("missing", "asked", "says"),
    [
        ("torch", "sdpcert.layers", "sdpcert.layers needs torch: pip install 'sdpcert[torch]'"),
        (
            "torch",
            "sdpcert.evaluation.evaluate",
            "sdpcert.evaluation.evaluate needs torch: pip install 'sdpcert[train]'",
        ),
        ("torch", "sdpcert.training", "sdpcert.training needs torch: pip install 'sdpcert[train]'"),
        ("pydantic", "sdpcert.training", "sdpcert.training needs pydantic: pip install 'sdpcert[train]'"),
    ],
)
def test_a_missing_extra_is_one_line(missing: str, asked: str, says: str) -> None:
    if missing == "pydantic":
        pytest.importorskip("torch")
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\nimport sdpcert\n"
        f"try:\n    {asked}\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    assert in_a_new_process(program) == says


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    for module in (sdpcert, sdpcert.evaluation):
        assert not hasattr(module, "no_such_name")


def test_nothing_below_the_command_line_imports_the_face() -> None:
    """`sdpcert/__init__.py` imports nearly everything, so whatever imports it back closes a circle."""
    allowed = {PACKAGE / "cli.py", *(PACKAGE / "verbs").glob("*.py")}
    found = []
    for file in set(PACKAGE.rglob("*.py")) - allowed:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import() if any(name.name == "sdpcert" for name in node.names):
                    found.append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
                case ast.ImportFrom(module="sdpcert"):
                    found.append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []


def test_choices_are_types_and_lists_of_the_same_names() -> None:
    assert set(SOLVERS) == set(typing.get_args(choices.SolverName))
    for kind, names in (("Method", choices.METHODS), ("Form", choices.FORMS), ("Head", choices.HEADS)):
        assert typing.get_args(getattr(choices, kind)) == names


# ---------------------------------------------------------------- errors


def error_classes() -> list[type]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BaseException)]


def test_errors_have_one_base_and_keep_their_builtin_ones() -> None:
    wanted = {
        "SolverError": RuntimeError,
        "UnsupportedModel": ValueError,
        "BoundContradiction": ArithmeticError,
        "EvaluationRejected": ValueError,
        "AlgebraError": ValueError,
        "KernelError": ValueError,
    }
    for kind in error_classes():
        if kind is not errors.Interrupted:
            assert issubclass(kind, errors.SdpcertError), kind
        assert issubclass(kind, wanted.get(kind.__name__, BaseException)), kind
        assert kind.__doc__
    assert issubclass(errors.Interrupted, KeyboardInterrupt) and not issubclass(errors.Interrupted, Exception)


def test_errors_that_cross_files_live_in_one() -> None:
    """The checkers' own are in `check`, which imports nothing of this package."""
    pattern = re.compile(r"^class ([A-Za-z]\w*)\((?:\w+, *)*\w*(?:Error|Exception|Interrupt|Warning)\)", re.MULTILINE)
    found = {}
    for file in PACKAGE.rglob("*.py"):
        names = pattern.findall(file.read_text())
        if names and file.parent.name != "check":
            found[file.relative_to(PACKAGE).as_posix()] = names
    assert list(found) == ["errors.py"]


def test_errors_are_found_where_they_were() -> None:
    from sdpcert import certify, evaluation, readers, solvers  # noqa: F401

    assert sdpcert.SolverError is solvers.SolverError is errors.SolverError
    assert sdpcert.UnsupportedModel is readers.UnsupportedModel is errors.UnsupportedModel
    assert sdpcert.BoundContradiction is errors.BoundContradiction
    assert evaluation.EvaluationRejected is errors.EvaluationRejected


def test_an_interrupt_is_carried_between_processes() -> None:
    again = pickle.loads(pickle.dumps(sdpcert.Interrupted("stopped", [1])))
    assert again.args == ("stopped",) and again.certificate == again.result == [1]
