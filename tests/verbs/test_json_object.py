"""One object of `--json` for each command: plain numbers, and errors as data."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from sdpcert import cli
from sdpcert.errors import CommandInterrupted
from sdpcert.verbs import json_output

MLP = Path(__file__).parents[2] / "examples" / "networks" / "digits_mlp.npz"


def test_numbers_that_json_lacks_are_null() -> None:
    values = {"a": [math.inf, -math.inf, math.nan, sys.float_info.max], "b": (1.5, Path("x/y")), 3: {"c": None}}
    assert json_output.plain(values) == {"a": [None] * 4, "b": [1.5, "x/y"], "3": {"c": None}}


@pytest.mark.parametrize(
    ("words", "verb", "kind"),
    [
        (["certify", "missing.onnx", "--json"], "certify", "ValueError"),
        (["--json", "check"], "check", None),
        (["bounds", "--json", str(MLP), "--rows", "99"], "bounds", "ValueError"),
        (["layers", "check", "nonsense", "--json"], "layers check", "ValueError"),
        (["explode", "--json"], "explode", None),
        (["--json"], None, None),
        (["derive", "nonsense", "--json"], "derive", "NotADerivation"),
    ],
)
def test_an_error_is_an_object_and_a_line(
    words: list[str],
    verb: str | None,
    kind: str | None,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    assert (ended.value.code, printed["exit_code"], printed["schema"], printed["verb"]) == (2, 2, 1, verb)
    assert shown.err == f"sdpcert: {printed['error']['message']}\n"
    assert kind in (None, printed["error"]["type"])


def test_json_after_the_options_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["check", "--", "--json"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("printed_before", "objects"), [(False, 1), (True, 1)])
def test_an_interrupted_command_has_one_object(
    printed_before: bool, objects: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        if printed_before:
            json_output.print_object("certify", {"interrupted": "after one"})
            raise CommandInterrupted("interrupted after one")
        raise KeyboardInterrupt

    monkeypatch.setattr("sdpcert.certify", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["certify", str(MLP), "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 130 and len(lines) == objects
    printed = json.loads(lines[0])
    assert printed["interrupted" if printed_before else "error"]
