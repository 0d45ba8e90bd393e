"""The folder of a sweep as tables and pages read it: the files of its index, and the items that have none."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX, ITEMS = "index.jsonl", "items"
#: The kind of table that is made of files of radii.
RADII = "radii"


@dataclass(frozen=True)
class Gathered:
    """The files that paths stand for, what a reader has to know of those that are left out, and whether there was a
    folder of a sweep among the paths.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    swept: bool


def gathered(paths: Sequence[str | os.PathLike[str]], kind: str | None = None) -> Gathered:
    """Every folder of a sweep replaced by the files of its items, in the order of the index.

    Files of radii where `kind` is "radii" or there are no others, else certificates. Raises ValueError with one line
    for an index that cannot be read, or a sweep without a file.
    """
    files: list[Path] = []
    notes: list[str] = []
    swept = False
    for path in map(Path, paths):
        if not (path / INDEX).is_file():
            files.append(path)
            continue
        swept, lines = True, _lines(path / INDEX)
        does = {line["do"] for line in lines if line["file"] is not None}
        chosen = RADII if kind == RADII or does == {RADII} else "certify"
        files += [path / ITEMS / line["file"] for line in lines if line["file"] is not None and line["do"] == chosen]
        notes += _notes(path, lines, chosen)
    if swept and not files:
        raise ValueError(f"{paths[0]}: no item of the sweep has {'radii' if kind == RADII else 'a certificate'}")
    return Gathered(tuple(files), tuple(notes), swept)


def _lines(index: Path) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in index.read_text(encoding="utf-8").splitlines()]
        for line in found:
            _ = line["do"], line["state"], line["file"] is None or os.path.basename(line["file"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{index}: is no index of a sweep ({error}); sdpcert sweep DIR --index makes it again"
        ) from None
    return found


def _notes(path: Path, lines: list[dict[str, Any]], chosen: str) -> list[str]:
    without = Counter(line["state"] for line in lines if line["file"] is None)
    others = sum(line["file"] is not None and line["do"] != chosen for line in lines)
    notes = []
    if without:
        states = ", ".join(f"{count} {state}" for state, count in sorted(without.items()))
        notes.append(f"Of the {len(lines)} items of the sweep {path}, {without.total()} have no proof: {states}.")
    if others:
        what = "files of radii, which have a table of their own" if chosen != RADII else "certificates"
        notes.append(f"The sweep {path} has {others} {what} as well.")
    return notes
