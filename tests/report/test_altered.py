"""A certificate altered by one digit is refused with its name and a reason, wherever the digit stands."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from sdpcert.certificate.document import digest_of, sealed
from sdpcert.report import write_report, write_table
from sdpcert.report.records import NotVerified, read

DIGITS = "0123456789"


def places_of(text: str) -> dict[str, list[int]]:
    """Digits by where they stand: information (nothing in it is proved), the digest, the claim, everything else."""
    begin = text.index('"information": {')
    digest = [m.start(1) for m in re.finditer(r'"digest": "([0-9a-f]{64})', text)][-1]
    claim, end = text.index('"claim"'), text.index('"upper"')
    found: dict[str, list[int]] = {"information": [], "digest": [], "claim": [], "other": []}
    for k, letter in enumerate(text):
        if letter in DIGITS:
            where = "digest" if digest <= k < digest + 64 else "information" if k > begin else "other"
            found["claim" if claim < k < end else where].append(k)
    return found


@pytest.mark.parametrize("name", ["neuron", "conv"])
def test_one_digit(proved: Path, tmp_path: Path, name: str) -> None:
    text = (proved / f"{name}.cert.json").read_text()
    path = tmp_path / "altered.cert.json"
    rng = random.Random(0)
    for where, places in places_of(text).items():
        assert places, where
        for k in rng.sample(places, min(len(places), 25)):
            other = rng.choice([d for d in DIGITS if d != text[k]])
            path.write_text(text[:k] + other + text[k + 1 :])
            # A leading zero is no JSON: then there is no certificate that could be refused.
            with pytest.raises((NotVerified, ValueError), match=r"altered\.cert\.json: .{10}"):
                read(path)
    path.write_text(text)
    read(path)


def test_table_and_report_refuse(proved: Path, tmp_path: Path) -> None:
    """Seconds are no part of any proof: the digest covers them."""
    text = (proved / "neuron.cert.json").read_text()
    seconds = re.search(r'"solve_seconds": \d+\.\d*(\d)', text)
    assert seconds is not None
    k = seconds.start(1)
    path = tmp_path / "altered.cert.json"
    path.write_text(text[:k] + str((int(text[k]) + 1) % 10) + text[k + 1 :])
    for verb in (write_table, write_report):
        with pytest.raises(NotVerified, match=r"altered\.cert\.json: the file disagrees with its digest"):
            verb([path], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[" * 100_000, ValueError),
        ('{"a":' * 100_000, ValueError),
        ("1" * 10_000, ValueError),
        ('{"format": ["sdpcert-evaluation-1"]}', NotVerified),
    ],
)
def test_hostile_json_is_refused(text: str, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(text)
    with pytest.raises(error, match=r"hostile\.json: .{10}"):
        read(path)


def test_a_run_with_an_altered_certificate_is_refused(run_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    path = folder / "certificates" / "sdp.json"
    text = path.read_text()
    k = max(k for k, letter in enumerate(text) if letter in DIGITS)
    path.write_text(text[:k] + str((int(text[k]) + 1) % 10) + text[k + 1 :])
    for verb in (write_table, write_report):
        with pytest.raises(NotVerified, match=r"evaluation\.json: .*sdp\.json"):
            verb([folder], output=tmp_path / "out")


def test_the_digest_counts_numbers_as_written_and_no_spaces(proved: Path) -> None:
    text = (proved / "neuron.cert.json").read_text()
    document = json.loads(text)
    assert digest_of(text) == document["information"]["digest"]
    assert digest_of(json.dumps(document, indent=7, sort_keys=True)) == document["information"]["digest"]
    assert sealed(document) == document
    assert digest_of('{"a": 0.1}') != digest_of('{"a": 0.10}') != digest_of('{"a": 1e-1}')
    for nothing in ("[]", "3", "{"):
        with pytest.raises(ValueError):
            digest_of(nothing)


def test_statements_of_other_types_are_no_traceback(proved: Path, tmp_path: Path) -> None:
    """Whoever writes a file also writes its digest: then a page comes out of it, or one line."""
    document = json.loads((proved / "neuron.cert.json").read_text())
    path, rng = tmp_path / "odd.cert.json", random.Random(0)
    odd = [None, True, -1, 0.5, 1e308, 10**400, "x", "a\nb", [], [0.5], [None], [10**400], {}, {"a": 1}]
    history = document["information"]["history"]
    keys = list(document["information"])
    for _ in range(15):  # some at a time: every page draws its figures
        _odd_page(document["information"] | {key: rng.choice(odd) for key in rng.sample(keys, 4)}, document, path)
    for value in odd[::2]:
        _odd_page({**document["information"], "history": [[value] * 4, *history[1:]]}, document, path)


def _odd_page(information: object, document: dict[str, object], path: Path) -> None:
    path.write_text(json.dumps(sealed({**document, "information": information})))
    try:
        write_report([path], path.parent / "page.html")
        write_table([path])
    except (NotVerified, ValueError) as error:
        assert "\n" not in str(error)  # noqa: PT017 (both ways are good)
