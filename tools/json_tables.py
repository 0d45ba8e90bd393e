"""The tables of docs/json.md: the keys of every object that `--json` prints, from the schema that is packaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from sdpcert.report.formats import markdown_rows
from tools.documents import ROOT

SCHEMA = ROOT / "sdpcert" / "verbs" / "output.schema.json"
#: Parts of the schema that are no objects of their own; rows and claims have tables all the same.
SHARED = ("attributes", "row_keys")


def tables() -> dict[str, Callable[[], str]]:
    """For each kind of object its table by name, made when it is called."""
    kinds = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    shown = {name: kind for name, kind in kinds.items() if "properties" in kind and name not in SHARED}
    return {f"json_{name}": partial(_keys, kind) for name, kind in shown.items()}


def _keys(kind: dict[str, Any]) -> str:
    """Keys, types and meanings; a key that may be missing says so."""
    rows = []
    for name, value in kind["properties"].items():
        if name not in ("schema", "verb"):
            may = "" if name in kind["required"] else "; may be missing"
            rows.append((f"`{name}`", _type(value), value.get("description", "") + may))
    return markdown_rows(("key", "type", "what it is"), rows, (False,) * 3)


def _type(value: dict[str, Any]) -> str:
    if "const" in value or "enum" in value:
        return ", ".join(json.dumps(choice) for choice in value.get("enum", [value.get("const")]))
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    named = value["type"] if isinstance(value["type"], list) else [value["type"]]
    inner = value.get("items", {})
    of = f" of {_type(inner)}" if named[0] == "array" and ("type" in inner or "$ref" in inner) else ""
    return " or ".join([named[0] + of, *named[1:]])
