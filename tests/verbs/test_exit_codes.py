"""Exit codes of what reads saved files: 2 for what cannot be read, 1 for what was read and does not hold."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

import sdpcert
from sdpcert import cli
from sdpcert.check import proof_checker, verdict

MLP = Path(__file__).parents[2] / "examples" / "networks" / "digits_mlp.npz"
#: What cannot be read as JSON.
UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "text": b"not a certificate",
    "binary": b"\x80\x04\x95\x00\xff",
    "truncated": b'{"format": "sdpcert-certificate", "version": 1',
    "deep": b"[" * 200_000,
}
#: JSON that proves nothing.
REJECTED = {
    "list": b"[]",
    "other": b'{"format": "another"}',
    "twice": b'{"format": "sdpcert-certificate", "format": "sdpcert-certificate"}',
    "infinite": b'{"format": "sdpcert-certificate", "upper": Infinity}',
}


def code_of(*words: str | Path) -> tuple[int, str, str]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(list(map(str, words)))
        except SystemExit as ended:
            code = int(str(ended.code))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codes") / "mlp.cert.json"
    sdpcert.certify(sdpcert.load(MLP), "product").save(path)
    return path


@pytest.fixture
def altered(certificate: Path, tmp_path: Path) -> Path:
    document = json.loads(certificate.read_text())
    document["upper"] = (float.fromhex(document["upper"]) / 2).hex()
    path = tmp_path / "altered.cert.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_bad_input(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("c.json")
    file.write_bytes(UNREADABLE[kind])
    asked = (
        ("check", file),
        ("check", file, "--network", MLP),
        ("table", file),
        ("report", file),
        ("export", file, "--coq", "c.v"),
    )
    for words in asked:
        code, out, err = code_of(*words)
        assert (code, out) == (2, ""), words
        assert "c.json" in err and err.count("\n") == 1, words
    assert verdict.main(["c.json"]) == 2
    assert proof_checker.main(["c.json"]) == 2
    assert sdpcert.check(file).ok is False
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize("kind", REJECTED)
def test_what_proves_nothing_is_rejected(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(REJECTED[kind])
    code, out, err = code_of("check", file)
    assert code == 1 and out.startswith("rejected: ") and (out.count("\n"), err) == (1, "")
    assert verdict.main([str(file)]) == proof_checker.main([str(file)]) == 1


def test_every_verb_says_1_of_an_altered_certificate(
    altered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("check", altered), ("table", altered), ("report", altered), ("export", altered, "--coq", "c.v")):
        assert code_of(*words)[0] == 1, words
    code, out, err = code_of("table", altered, "--json")
    assert code == 1 and json.loads(out)["exit_code"] == 1
    assert err == f"sdpcert: {json.loads(out)['error']['message']}\n"
    assert [path.name for path in tmp_path.iterdir()] == [altered.name]
