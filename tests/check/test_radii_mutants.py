"""Files of radii altered at every leaf: what is accepted nevertheless is still true."""

from __future__ import annotations

import copy
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdpcert.check import check, check_document, radii_file
from tests.check.covers import Document, hashed, pack, unpack
from tests.check.radii_example import example, untrue
from tests.check.radii_files import completed, with_claim

Path_ = tuple[Any, ...]
#: Leaves beside those of pieces of which another value may be as true: what is accepted is compared with samples.
FREE = ("radius", "distance", "point", "multipliers", "rho", "exponent", "name")


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """All values in a document that are neither objects nor lists, with their places."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key != "information":
                yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for k, one in enumerate(value):
            yield from leaves(one, (*path, k))
    else:
        yield path, value


def nodes(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The places of all values in a document, but for those in `information`."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in children:
        if key != "information":
            yield from nodes(one, (*path, key))


def within_pieces(path: Path_) -> bool:
    """Whether a place is within a piece; what they hold is tested with covers."""
    return "pieces" in path[:-2]


def replaced(document: Document, path: Path_, value: Any) -> Document:
    """A copy with another value at a place."""
    changed = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def others(value: Any, rng: np.random.Generator) -> list[Any]:
    """Other values for a leaf, of the same form."""
    if value is None:
        return [{}]
    if isinstance(value, bool):
        return [not value, None]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if value.startswith(("0x", "-0x")):
        number = float.fromhex(value)
        return [x.hex() for x in (number + 1e-3, 1.1 * number + 1e-9, math.nextafter(number, -1.0), -number - 1.0)]
    try:
        numbers = unpack(value)
    except (ValueError, zlib.error):  # a word
        return [value + "x", value[:-1]]
    if not len(numbers):
        return [pack([0.5])]
    place = int(rng.integers(len(numbers)))
    found = []
    for step in (1e-3, -1e-3, 1.0):
        other = numbers.copy()
        other[place] += step
        found.append(pack(other))
    return [*found, pack(numbers[:-1])]


def altered(kinds: list[tuple[str, str]], each: int, seed: int, share: float) -> Counter[tuple[str, bool]]:
    """Alter leaves, one at a time, with all that follows from them made anew or left; what is accepted has to be true.

    `share` of the leaves of pieces are looked at, and all others.
    """
    rng = np.random.default_rng(seed)
    found: Counter[tuple[str, bool]] = Counter()
    for norm, level in kinds:
        document = example(norm, level)
        for path, value in leaves(document):
            if "pieces" in path and rng.random() > share:
                continue
            key = next(k for k in reversed(path) if isinstance(k, str))
            choices = others(value, rng)
            for choice in rng.permutation(len(choices))[:each]:
                plain = replaced(document, path, choices[choice])
                again = None if "pieces" in path else anew(plain, path)
                for changed in [plain] if again in (None, plain) else [plain, again]:
                    result = check_document(changed, bool(rng.integers(2)))
                    assert "could not be finished" not in result.reason and "\n" not in result.reason
                    found[key, result.ok] += 1
                    if result.ok:
                        assert changed is again or key in FREE or "pieces" in path, (path, "is accepted")
                        assert untrue(changed) is None, (path, untrue(changed))
    return found


def anew(plain: Document, path: Path_) -> Document | None:
    """The document with hashes, rows and claim that follow from the rest; None if these say nothing."""
    if path[0] in ("claim", "data_sha256") or path[-1] == "sha256":
        return None
    changed = copy.deepcopy(plain)
    try:
        hashed(changed["network"])
        return with_claim(changed) if path[0] == "rows" else completed(changed)
    except (ValueError, KeyError, IndexError, TypeError):  # such as an array of another length
        return None


def test_no_altered_leaf_makes_a_file_say_what_is_not_true() -> None:
    found = altered([("l2", "R")], 1, 0, 0.05)
    for key in ("label", "center", "correct", "classes", "certified", "attacked", "norm", "level", "weights", "bias"):
        assert found[key, False], key
    assert found["radius", True]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [("l2", "F"), ("linf", "R")])
def test_no_altered_leaf_of_any_kind_makes_a_file_say_what_is_not_true(kind: tuple[str, str]) -> None:
    found = altered([kind], 2, 1, 0.4)
    for key in ("label", "center", "correct", "classes", "certified", "offset", "mean", "weights", "values"):
        assert found[key, False] or (kind[1] == "R" and key in ("offset", "mean")), key


def test_values_of_other_types_are_rejected() -> None:
    document = example("l2", "F")
    every = [path for path in nodes(document) if path and path[-1] != "name" and not within_pieces(path)]
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(every))[:60]:
        path = every[number]
        for value in (None, [], {}, 7, 10**400, 0.5, "x", True, {"kind": "all"}, "AAAA"):
            changed = replaced(document, path, value)
            if changed == document:
                continue
            result = check_document(changed, True)
            assert not result.ok and "could not be finished" not in result.reason, (path, value, result.reason)


def test_keys_are_known_and_none_is_missing() -> None:
    document = example("l2", "F")
    for path in nodes(document):
        at: Any = document
        for key in path:
            at = at[key]
        if not isinstance(at, dict):
            continue
        if within_pieces(path):
            continue
        more = replaced({"top": document}, ("top", *path, "more"), None)["top"]
        assert "has the unknown key 'more'" in check_document(more, True).reason, path
        for key in at:
            fewer = copy.deepcopy({"top": document})
            here: Any = fewer
            for one in ("top", *path):
                here = here[one]
            del here[key]
            result = check_document(fewer["top"], True)
            assert not result.ok and "could not be finished" not in result.reason, (path, key)


def test_truncated_files_are_unreadable(tmp_path: Path) -> None:
    text = json.dumps(example())
    path = tmp_path / "radii.json"
    for k in range(0, len(text), len(text) // 40):
        path.write_text(text[:k], encoding="utf-8")
        result = check(path)
        assert not result.ok and result.reason.startswith("not JSON" if k else "empty")
    path.write_text(text.replace('"norm"', '"level": "R", "norm"', 1), encoding="utf-8")
    assert check(path).reason == "the key 'level' occurs twice in one object"


def test_what_would_be_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    document = example()
    bomb = pack(np.zeros(10**6))
    for path in (
        ("inputs", 0, "center"),
        ("inputs", 0, "attack", "point"),
        ("within", "low"),
        ("constants", 0, "multipliers", 0),
    ):
        result = check_document(replaced(document, path, bomb), True)
        assert not result.ok and "does not hold" in result.reason
    many = replaced(document, ("inputs",), document["inputs"] * 200_000)
    assert check_document(many).reason == "inputs does not have 1 to 1000000 entries"
    monkeypatch.setattr(radii_file, "MAX_NUMBERS", 13)
    assert check_document(document).reason == "the inputs and attacked points have more than 13 numbers"
