"""`sdpcert derive -o`: a file that the checker proves, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdpcert import cli
from sdpcert.check import check, proof_checker

RULE = """
from sdpcert.symbolic import Derivation, Layer, Part, identity, indices, matrix, rule, total
W = matrix("W", "n", "m")
i, j = indices("i j")
gram = W.T @ W
T = rule("T", "m", i, total(abs(gram[i, j]), j))
layer = Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T, multipliers={factor} * T**-1)
derivation = Derivation(title="mine", source="me", statement="", parts=[Part(layer.claim("mine"), layer=layer)])
"""


def command(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


def derived(folder: Path, factor: int) -> tuple[int, Path]:
    (folder / "mine.py").write_text(RULE.format(factor=factor))
    output = folder / "mine.proof.json"
    return command(["derive", str(folder / "mine.py"), "-o", str(output)]), output


def test_a_proved_result_is_written_and_proved_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = derived(tmp_path, 2)
    assert code == 0
    (theorem,) = proof_checker.check_proof(proof_checker.read_proof(output))
    assert "-2*W*T^-1" in str(theorem)
    result = check(output)
    assert result.ok
    assert result.level == "exact"
    assert "mine" in result.reason
    assert command(["check", str(output)]) == 0
    assert "1 theorems" not in capsys.readouterr().out


def test_what_is_open_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = derived(tmp_path, 1)
    assert code == 1
    assert not output.exists()
    assert "is not written" in capsys.readouterr().err


def test_a_changed_file_is_rejected(tmp_path: Path) -> None:
    _, output = derived(tmp_path, 2)
    output.write_text(output.read_text().replace('"-2*W*T^-1"', '"-3*W*T^-1"'))
    assert not check(output).ok
    assert command(["check", str(output)]) == 1
