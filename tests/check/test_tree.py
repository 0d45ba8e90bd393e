"""Version 3: every leaf of a claim tree counts, and hostile trees are rejected with one line."""

from __future__ import annotations

import base64
import copy
import json
import math
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdpcert.check import CheckResult, check, check_document, read_content
from tests.check.version3 import as_version_3, kept, product_up, sequence, with_claim

Path_ = tuple[str | int, ...]
NAMES = ["wide-input", "low-parts", "circular-pooled", "convolutional-head", "orthogonal-maxmin"]


def made(name: str) -> dict[str, Any]:
    return as_version_3(kept(name), nested=True)


def verdict(document: Any) -> CheckResult:
    result = check_document(document)
    assert result.reason and "\n" not in result.reason and "could not be finished" not in result.reason
    assert (result.upper is not None) == (result.level is not None) == result.ok
    return result


def pack(values: Any, kind: str = "<f8") -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, dtype=kind).tobytes())).decode()


def unpack(text: str, kind: str = "<f8") -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind).copy()


# ---------------------------------------------------------------- every leaf


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths of everything inside a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def get(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


def changed(document: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    get(result, path[:-1])[path[-1]] = value
    return result


def without(document: dict[str, Any], path: Path_) -> dict[str, Any]:
    result = copy.deepcopy(document)
    del get(result, path[:-1])[path[-1]]
    return result


def text_of(path: Path_) -> str:
    return ".".join(map(str, path))


INTEGERS = r"\.(scaling|start|factor|layout|offsets)$"


def other_values(path: Path_, value: Any) -> Iterator[Any]:
    """Values of the same type as one in a document."""
    name = text_of(path)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -value - 1)
    elif isinstance(value, str) and re.fullmatch(r"-?0x[01]\.[0-9a-f]+p[+-][0-9]+", value):
        number = float.fromhex(value)
        yield from (x.hex() for x in (math.nextafter(number, math.inf), math.nextafter(number, -math.inf)))
        yield from (x.hex() for x in (2 * number + 1, number / 2 - 1e-9, -number - 1))
    elif isinstance(value, str) and len(value) >= 12 and value.startswith("eJ"):
        kind = "<i8" if re.search(INTEGERS, name) and ".input_factor.weights" not in name else "<f8"
        numbers = unpack(value, kind)
        if numbers.size:
            yield from (pack(numbers[1:], kind), pack(np.append(numbers, numbers[:1]), kind))
            for position in {0, numbers.size // 2, numbers.size - 1}:
                for difference in (1, -1) if kind == "<i8" else (0.25, -0.25):
                    more = numbers.copy()
                    more[position] += difference
                    yield pack(more, kind)
    elif isinstance(value, str):
        yield from (value + "x", value[:-1], "")


#: What a change of the same type may leave proved: what is said for people or not proved (the two points, and a lower
#: bound below the upper one); numbers with room, which a proof never uses up wholly; and how a part reads the one
#: before it, in scales that are large enough: that says which network it is, and is compared with a network.
FREE = [
    r"information\..*",
    r"attained\.(lower|x|x_prime)",
    r"tree.*\.activation",
    r"tree.*\.proof\.level",
    r"tree.*\.proof\.(precision|scaling|start|factor|input_factor\.(scaling|weights))",
    r"tree.*\.multipliers\.(rho|lambda\.\d+)",
    r"tree.*\.claim\.(upper|metric)",
    r"tree.*\.joints\.\d+\.(layout|scale)",
]
#: What may be replaced by a value of another type: there is no attained value, every weight of a norm is one.
NULL = [r"attained", r"tree.*\.claim\.metric"]


def matches(patterns: list[str], path: Path_) -> bool:
    return any(re.fullmatch(pattern, text_of(path)) for pattern in patterns)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_leaf_is_rejected_or_one_of_the_exceptions(name: str) -> None:
    document = made(name)
    assert verdict(document).ok
    rejected = 0
    for path in places(document):
        if path[0] == "information":
            continue
        for value in other_values(path, get(document, path)):
            result = verdict(changed(document, path, value))
            rejected += not result.ok
            assert not result.ok or matches(FREE, path), (text_of(path), value)
    assert rejected >= 100


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_another_type_or_a_missing_one_is_rejected(name: str) -> None:
    document = made(name)
    for path in places(document):
        if path[0] == "information" and len(path) > 1:
            continue
        old = get(document, path)
        for value in (None, True, 1.5, 7, "x", [], {}, [[]], {"a": 1}):
            if type(value) is type(old) and (value == old or not isinstance(old, list | dict)):
                continue  # a leaf of the same type is for the test above
            if path == ("information",) and isinstance(value, dict):
                continue
            result = verdict(changed(document, path, value))
            assert not result.ok or (value is None and matches(NULL, path)), (text_of(path), value)
        assert not verdict(without(document, path)).ok or "low" in path, text_of(path)
        if isinstance(old, dict):
            assert not verdict(changed(document, (*path, "note"), 1)).ok or path == ("information",), text_of(path)
    assert not verdict({**document, "note": 1}).ok


def test_information_is_free() -> None:
    document = made("wide-input")
    assert verdict({**document, "information": {"note": [None, {"x": 1}]}}).ok


def test_a_bound_may_be_stated_larger_but_not_smaller() -> None:
    document = made("convolutional-head")
    upper = float.fromhex(document["upper"])
    larger = with_claim({**document, "upper": (2 * upper).hex()})
    result = verdict(larger)
    assert result.ok and result.upper == 2 * upper and "2.92938465170" in result.reason
    assert "claim" in verdict({**document, "upper": (2 * upper).hex()}).reason
    smaller = with_claim({**document, "upper": math.nextafter(upper, 0).hex(), "attained": None})
    assert "less than the bound of the tree" in verdict(smaller).reason
    tree = changed(document, ("tree", "claim", "upper"), product_up(document["tree"]["parts"]))
    less = math.nextafter(float.fromhex(tree["tree"]["claim"]["upper"]), 0)
    assert verdict(tree).ok
    assert "product of the parts" in verdict(changed(tree, ("tree", "claim", "upper"), less.hex())).reason


# ---------------------------------------------------------------- trees


def test_what_is_read_of_a_tree() -> None:
    content = read_content(made("orthogonal-maxmin"))
    assert content.tree.inputs == content.tree.outputs == 4 and not content.tree.embedded
    leaves = list(content.tree.leaves())
    assert len(leaves) == 7 and [leaf.name for leaf in leaves[:3]] == [
        "tree.parts[0]",
        "tree.parts[1].parts[0]",
        "tree.parts[1].parts[1]",
    ]
    head = read_content(made("convolutional-head"))
    assert head.tree.embedded and head.tree.inputs == 4 * 16 and head.tree.outputs == 3


def test_a_wrong_proof_says_in_which_part() -> None:
    document = made("orthogonal-maxmin")
    path = ("tree", "parts", 1, "parts", 2, "multipliers", "rho")
    result = verdict(changed(document, path, (1e-3).hex()))
    assert not result.ok and result.reason.startswith("tree.parts[1].parts[2]: ")


@pytest.mark.parametrize("kind", ["union", "Condition", "", "x" * 100_000, "\n\x1b[2J"])
def test_unknown_kinds_are_rejected_by_name(kind: str) -> None:
    for path in (("tree", "kind"), ("tree", "parts", 1, "kind")):
        result = verdict(changed(made("convolutional-head"), path, kind))
        assert (
            not result.ok
            and "unknown kind" in result.reason
            and kind[:10].isprintable() == (kind[:10] in result.reason)
        )
        assert len(result.reason) < 200 and result.reason.isascii()


def nest(part: dict[str, Any], joint: dict[str, Any], depth: int) -> dict[str, Any]:
    """Sequences one inside the other, of one part from 4 to 4 entries many times over."""
    tree = part
    for _ in range(depth):
        tree = sequence(product_up([part, tree]), [part, tree], [joint])
    return tree


def of_tree(tree: dict[str, Any], like: str = "orthogonal-maxmin") -> dict[str, Any]:
    return with_claim({**made(like), "tree": tree, "upper": tree["claim"]["upper"], "attained": None})


def test_depth_and_number_of_parts_are_bounded() -> None:
    whole = kept("orthogonal-maxmin")
    parts = as_version_3(whole)["tree"]["parts"]
    part, joint = parts[0], as_version_3(whole)["tree"]["joints"][0]
    assert part["claim"]["inputs"] == part["claim"]["outputs"] == 4
    assert verdict(of_tree(nest(part, joint, 9))).ok
    assert "more than 10 parts one inside the other" in verdict(of_tree(nest(part, joint, 10))).reason
    long = sequence((2.0).hex(), [part] * 500, [joint] * 499)
    twice = sequence((4.0).hex(), [long, long], [joint])
    start = time.monotonic()
    assert "more than 1000 parts" in verdict(of_tree(twice)).reason
    too_long = sequence((2.0).hex(), [part] * 1001, [joint] * 1000)
    assert "tree.parts does not have 2 to 1000 entries" in verdict(of_tree(too_long)).reason
    assert time.monotonic() - start < 20


def test_very_deep_trees_end_with_one_line(tmp_path: Path) -> None:
    for depth in (500, 50_000):
        text = '{"kind": "sequence", "claim": 0, "joints": [], "parts": [' * depth + "]}" * depth
        document = json.dumps({**made("wide-input"), "tree": "TREE"}).replace('"TREE"', text)
        (tmp_path / "deep.json").write_text(document, encoding="utf-8")
        result = check(tmp_path / "deep.json")
        assert not result.ok and "\n" not in result.reason


def test_a_part_on_a_torus_reads_an_image_and_zeros_around_it() -> None:
    document = made("convolutional-head")
    front, head = document["tree"]["parts"]
    inner = sequence(product_up([front, head]), [front, head], document["tree"]["joints"])
    assert read_content(changed(document, ("tree",), inner)).tree.embedded
    metric = unpack(front["claim"]["metric"])
    inputs, outputs = front["claim"]["inputs"], front["claim"]["outputs"]
    layout = np.where((np.arange(inputs) < outputs) & (np.arange(inputs) % 3 == 0), np.arange(inputs), -1)
    zero, scale = layout < 0, np.full(inputs, 2 / np.sqrt(np.min(metric)))
    cases = [
        (layout, scale, ""),
        (layout, np.where(zero, 1e-3, scale), ""),  # what is zero has no scale
        (np.where(zero, 0, layout), scale, "index twice"),
        (np.where(zero, -2, layout), scale, "out of range"),
        (layout, 0.1 * scale, "scale too small"),
        (np.where(zero, -1, layout + outputs), scale, "index beyond"),
    ]
    for places, scales, reason in cases:
        joint = {"layout": pack(places, "<i8"), "scale": pack(scales)}
        tree = sequence(product_up([front, inner]), [front, inner], [joint])
        result = verdict(of_tree(tree, "convolutional-head"))
        assert result.ok == (not reason)
        assert reason in result.reason


def test_a_stacked_part_reads_no_zeros() -> None:
    document = made("convolutional-head")
    layout = unpack(document["tree"]["joints"][0]["layout"], "<i8").copy()
    layout[0] = -1
    path = ("tree", "joints", 0, "layout")
    assert "out of range" in verdict(changed(document, path, pack(layout, "<i8"))).reason


def test_a_joint_of_a_huge_torus_is_not_unpacked() -> None:
    document = made("convolutional-head")
    front = copy.deepcopy(document["tree"]["parts"][0])
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    tree = sequence(product_up([front, front]), [front, front], [{"layout": bomb, "scale": bomb}])
    start = time.monotonic()
    assert not verdict(of_tree(tree)).ok
    assert time.monotonic() - start < 5


def test_the_norm_of_an_output_that_nothing_reads_is_plain() -> None:
    """A metric below one bounds a norm that is smaller than the plain one."""
    document = made("circular-pooled")
    metric = unpack(document["tree"]["claim"]["metric"])
    assert np.all(metric == 1)
    for least, ok in ((1.0, True), (math.nextafter(1.0, 0.0), False), (0.5, False)):
        metric[0] = least
        result = verdict(changed(document, ("tree", "claim", "metric"), pack(metric)))
        assert result.ok == ok
        assert ok or "below 1" in result.reason
    front = made("convolutional-head")["tree"]["parts"][0]
    assert np.min(unpack(front["claim"]["metric"])) < 1
    document = {**made("convolutional-head"), "tree": front, "attained": None, "upper": front["claim"]["upper"]}
    assert "below 1" in verdict(with_claim(changed(document, ("region", "size"), 64))).reason


def test_a_part_reads_no_more_than_was_bounded_before_it() -> None:
    document = made("convolutional-head")
    joint = document["tree"]["joints"][0]
    scale, layout = unpack(joint["scale"]), unpack(joint["layout"], "<i8")
    cases = [
        ("scale", pack(scale * 0.999), "scale too small"),
        ("scale", pack(-scale), "out of range"),
        ("scale", pack(scale * 0), "out of range"),
        ("layout", pack(layout * 0, "<i8"), "index twice"),
        ("layout", pack(np.append(layout[:-1], 32), "<i8"), "beyond the output"),
        ("layout", pack(np.append(layout[:-1], -1), "<i8"), "out of range"),
        ("layout", pack(np.append(layout[:-1], 2**62), "<i8"), "out of range"),
    ]
    for key, value, reason in cases:
        assert reason in verdict(changed(document, ("tree", "joints", 0, key), value)).reason
    assert verdict(changed(document, ("tree", "joints", 0, "scale"), pack(scale * 2))).ok
    null = verdict(changed(document, ("tree", "parts", 0, "claim", "metric"), None))
    assert not null.ok


def test_the_metric_of_a_stacked_form_or_a_sequence_is_null() -> None:
    ones = pack(np.ones(4))
    document = made("orthogonal-maxmin")
    for path in (("tree",), ("tree", "parts", 0), ("tree", "parts", 1)):
        result = verdict(changed(document, (*path, "claim", "metric"), ones))
        assert not result.ok and "metric" in result.reason


# ---------------------------------------------------------------- the head of the file


def test_the_claim_is_the_one_that_follows_from_the_rest() -> None:
    document = made("wide-input")
    for claim in (document["claim"] + " ", document["claim"].replace("For all", "For some"), "", "x"):
        assert "claim" in verdict({**document, "claim": claim}).reason


def test_assumptions_are_lines_that_the_reason_repeats() -> None:
    document = made("wide-input")
    good = ["the input lies in the file's first output", "ä" * 1000]
    result = verdict({**document, "assumptions": good})
    assert result.ok and good[0] in result.reason and "stated and not proved" in result.reason
    assert result.reason.isascii()
    assert verdict({**document, "assumptions": ["x"] * 10}).ok
    for bad in (["x"] * 11, ["x" * 1001], ["a\nb"], ["a\x1b[2J"], ["a\u202eb"], ["\ud800"], [""], [1], [None], "x", {}):
        assert not verdict({**document, "assumptions": bad}).ok


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("norm",), "linf"),
        (("region", "kind"), "ball"),
        (("region", "coordinates"), "torus"),
        (("region", "size"), 10**40),
        (("region", "size"), 0),
        (("tree", "claim", "norm"), "linf"),
        (("tree", "claim", "region"), {"kind": "all", "size": 1}),
        (("tree", "claim", "inputs"), 10**30),
        (("tree", "form"), "torus"),
        (("tree", "form"), "dense"),
        (("version",), 4),
        (("version",), 0),
        (("version",), 3.0),
        (("version",), "3"),
        (("format",), "sdpcert-evaluation-1"),
    ],
)
def test_other_heads_are_rejected(path: Path_, value: Any) -> None:
    assert not verdict(changed(made("wide-input"), path, value)).ok


def test_the_same_object_twice_in_a_document_is_no_cycle_for_the_checker() -> None:
    """A document need not come from a file: one that contains itself ends too."""
    document = made("convolutional-head")
    document["tree"]["parts"][1] = document["tree"]
    result = check_document(document)
    assert not result.ok


def test_duplicate_keys_in_a_tree_are_rejected(tmp_path: Path) -> None:
    text = json.dumps(made("convolutional-head"))
    for key in ("kind", "form", "upper", "layout"):
        (tmp_path / "c.json").write_text(text.replace(f'"{key}":', f'"{key}": "x", "{key}":', 1), encoding="utf-8")
        assert "occurs twice" in check(tmp_path / "c.json").reason
