"""The help: every verb on one line of 80 columns, `-h` everywhere, choices that are refused and completed by name."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from sdpcert import cli
from sdpcert.network.activations import BY_NAME
from sdpcert.report.columns import KINDS
from sdpcert.report.formats import FORMATS
from sdpcert.running import choices
from sdpcert.verbs import completion

VERBS = ("certify", "check", "bounds", "evaluate", "sweep", "layers", "derive", "train", "table", "report", "export")
ROOT = Path(__file__).parents[2]


def shown(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(list(words))
        except SystemExit as ended:
            code = int(str(ended.code))
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)])
def test_the_root_shows_every_verb_on_a_line(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = shown(*words)
    assert code == 0 and err == "" and max(map(len, out.splitlines())) <= 80
    commands = out.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert {line.split()[0] for line in commands} >= set(VERBS)
    assert all(line.startswith("  ") and line[2] != " " and line.endswith(".") for line in commands), "one line each"
    assert all(len(line.split()) > 2 and not line.endswith("...") for line in commands)


@pytest.mark.parametrize("verb", [*VERBS, "layers check"])
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    long, short = shown(*verb.split(), "--help"), shown(*verb.split(), "-h")
    assert long == short and long[0] == 0 and "Example: sdpcert" in long[1]


@pytest.mark.parametrize(
    ("words", "there_are"),
    [
        (("report", "x.json", "--figure-format", "bmp"), "'pdf', 'svg', 'png'"),
        (("table", "x.json", "--kind", "magic"), "'ladder', 'bounds'"),
        (("table", "x.json", "--format", "html"), "'markdown', 'latex', 'csv', 'json'"),
        (("bounds", "x.npz", "--orientation", "up"), "'out_in', 'in_out'"),
        (("certify", "x.npz", "--activation", "relo"), "'relu', 'relu6'"),
        (("evaluate", "run", "--pairs", "some"), "'auto', 'all', 'none'"),
    ],
)
def test_a_wrong_choice_is_refused_with_the_list(words: tuple[str, ...], there_are: str) -> None:
    code, out, err = shown(*words)
    assert (code, out) == (2, "") and there_are in err and err.count("\n") == 1 and "Value error" not in err


def test_a_seed_is_in_range() -> None:
    code, _, err = shown("bounds", "x.npz", "--seed", str(2**63))
    assert code == 2 and "--seed" in err and "range" in err
    assert "9223372036854775807" not in shown("certify", "-h")[1]


def test_the_choices_are_what_there_is() -> None:
    assert {*BY_NAME, "maxmin"} == set(get_args(choices.ActivationName))
    assert tuple(KINDS) == get_args(choices.TableKind)
    assert set(FORMATS) == set(get_args(choices.TableFormat))


def test_the_names_that_are_completed_are_those_of_the_libraries() -> None:
    layers, training = pytest.importorskip("sdpcert.layers"), pytest.importorskip("sdpcert.training")
    library = pytest.importorskip("sdpcert.derivations.library")
    assert completion.families() == ["all", *(family.name for family in layers.FAMILIES)]
    assert completion.presets() == sorted(training.preset_names())
    assert set(completion.derivations()) == {"all", *library.names()}


def asked(line: str) -> dict[str, str]:
    """The environment in which bash asks what to complete at the end of a line."""
    return {"_SDPCERT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("sdpcert ex", ["export"]),
        ("sdpcert report x.json --figure-format ", ["pdf", "svg", "png"]),
        ("sdpcert certify x.npz --orientation i", ["in_out"]),
        ("sdpcert layers check resid", ["residual-aol"]),
        ("sdpcert train dig", ["digits"]),
        ("sdpcert evaluate run --bounds sdp,p", ["sdp,pairwise"]),
    ],
)
def test_values_are_completed(line: str, values: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in asked(line).items():
        monkeypatch.setenv(name, value)
    code, out, err = shown()
    assert (code, out.split(), err) == (0, values, "")


def test_completion_imports_no_library() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "sdpcert.cli"]
    environment = os.environ | asked("sdpcert derive eclipse")
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=ROOT, check=True)
    imported = {row.split("|")[-1].strip() for row in result.stderr.splitlines()}
    assert result.stdout.split() == ["eclipse_fast"] and "numpy" in imported
    assert not {"torch", "sympy", "cvxpy", "matplotlib", "onnx"} & imported


def test_bounds_that_are_there_are_not_completed_again() -> None:
    assert completion.bounds_of_runs("sdp,") == ["sdp,by-construction", "sdp,pairwise"]
