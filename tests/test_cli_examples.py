"""`--example` in place of a file: the networks that come with the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdpcert import cli

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(str(ended.value.code))


def test_an_example_is_certified_and_its_certificate_checked(tmp_path: Path, capsys: Captured) -> None:
    assert run("certify", "--example", "digits_mlp") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("network     digits_mlp.npz: 64 inputs, 32 neurons, 10 outputs")
    assert "note" not in printed.out and printed.err == ""
    text = (tmp_path / "digits_mlp.cert.json").read_text()
    assert str(Path(cli.__file__).parents[1]) not in text  # where sdpcert is installed is nobody's business
    assert run("check", "digits_mlp.cert.json") == 0


def test_an_example_has_a_ladder_of_bounds(capsys: Captured) -> None:
    assert run("bounds", "--example", "digits_mlp", "--json") == 0
    uppers = [bound["upper"] for bound in json.loads(capsys.readouterr().out)["bounds"]]
    assert uppers == sorted(uppers) and len(uppers) == 3


def test_an_example_is_evaluated_on_the_inputs_beside_it(tmp_path: Path, capsys: Captured) -> None:
    arguments = ("--example", "digits_mlp", "--radii", "0.05", "--no-attack", "--count", "3", "--json")
    assert run("evaluate", *arguments) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["network"] == "digits_mlp.npz" and len(values["labels"]) == 3
    assert run("check", "digits_mlp.radii.json") == 0


@pytest.mark.parametrize("verb", ["certify", "bounds", "evaluate"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "a model is missing: give its file, or --example with one of digits_mlp, digits_cnn, digits_residual"),
        (("x.npz", "--example", "digits_mlp"), "x.npz and --example digits_mlp are two models"),
        (("--example", "mnist"), "'mnist' is not one of 'digits_mlp', 'digits_cnn', 'digits_residual'"),
    ],
)
def test_one_model_is_named(verb: str, arguments: tuple[str, ...], says: str, capsys: Captured) -> None:
    assert run(verb, *arguments) == 2
    printed = capsys.readouterr()
    assert says in printed.err and printed.err.count("\n") == 1 and printed.out == ""
