"""Every result of the library is proved, every wrong version of it refuted, every number agrees."""

import subprocess
import sys
from pathlib import Path

import pytest

from sdpcert.derivations.library import NotADerivation, load, names
from sdpcert.symbolic import derive
from sdpcert.symbolic.derivation import PROVED, REFUTED

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", names())
def test_result_of_the_library(name):
    for derivation in load(name):
        result = derive(derivation)
        assert result.status == PROVED, result.text()
        assert result.controls, f"{name}: no wrong version"
        for control in result.controls:
            assert control.status == REFUTED
            assert control.witness is not None
            assert control.witness.holds(control.part.claim)
        assert all(n.agrees for n in result.numbers)
        assert result.numbers
        for part in result.parts:
            assert part.check is not None
            assert part.check.instances >= 8
            assert part.check.mutants + part.check.ill_typed > 0
        assert derivation.statement
        assert derivation.source


def test_the_order_names_files_that_exist():
    from sdpcert import derivations

    files = {path.stem for path in (ROOT / "sdpcert" / "derivations").glob("*.py")}
    assert set(derivations.ORDER) == files - {"__init__", "library"} == set(names())


def test_everything_that_was_asked_for_is_there():
    asked = {
        "condition", "spectral", "cpl", "orthogonal", "aol", "sll", "gershgorin", "residual", "multi_layer", "aol_bias",
        "sandwich_layer", "sandwich_network", "sandwich_completeness", "eclipse_fast", "maxmin", "group_sort",
        "householder", "last_layer", "mlp_head", "projection_pooling", "soc_truncation", "cayley", "zero_padding",
        "shift_invariant", "nonnegative", "averaged", "gradient_step", "monotone_equilibrium", "invertible_residual",
        "retraction", "state_space", "block_reflector", "lot", "lipschitz_equilibrium", "contracting_recurrent",
    }  # fmt: skip
    assert asked <= set(names())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", "defines no `derivation`"),
        ("x =", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("derivation = 3", "neither a Derivation"),
        ("raise SystemError('no')", "SystemError"),
    ],
)
def test_files_that_hold_no_derivation(tmp_path, content, message):
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(NotADerivation, match=message):
        load(str(path))


def test_missing_names_and_files(tmp_path):
    with pytest.raises(NotADerivation, match="there are"):
        load("nothing")
    with pytest.raises(NotADerivation, match="no such file"):
        load(str(tmp_path / "nothing.py"))


def test_importing_the_kernel_imports_nothing_heavy():
    code = (
        "import sys, sdpcert.symbolic; heavy = {'torch', 'cvxpy', 'sympy', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_file_may_import_files_beside_it(tmp_path):
    (tmp_path / "weights_beside.py").write_text('from sdpcert.symbolic import matrix\n\nW = matrix("W", "n", "m")\n')
    path = tmp_path / "mine.py"
    path.write_text(
        "from weights_beside import W\n\nfrom sdpcert.symbolic import Claim, positive\n\n"
        'derivation = Claim("square", positive(W.T @ W))\n'
    )
    before = list(sys.path)
    (derivation,) = load(str(path))
    assert derivation.name == "mine"
    assert sys.path == before
    path.write_text("import weights_elsewhere\n")
    with pytest.raises(NotADerivation, match="No module named 'weights_elsewhere'"):
        load(str(path))
    assert sys.path == before
