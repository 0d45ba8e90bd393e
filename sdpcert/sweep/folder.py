"""The folder of a sweep: a file and a record for every item, each written whole, and an index made of the records.

    DIR/index.jsonl                 one line an item
    DIR/items/KEY.cert.json         the certificate (or KEY.radii.json), which is proved again by `sdpcert check`
    DIR/items/KEY.record.json       what became of the item

The certificate is written before its record, so what a record says is there. Whatever a program that was killed leaves
behind is a temporary file, or a certificate without a record; the next start removes the one and does the other again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdpcert.running.outputs import write_whole
from sdpcert.sweep.item import DIGITS, Item
from sdpcert.sweep.record import Record, State
from sdpcert.version import __version__

INDEX, ITEMS, RECORD = "index.jsonl", "items", ".record.json"
#: The names of `write_whole`'s temporary files.
_TEMPORARY = re.compile(rf"\.(?P<key>.+-[0-9a-f]{{{DIGITS}}})\.(?:cert|radii|record)\.json\..+")


@dataclass(frozen=True)
class Folder:
    """A sweep's folder; `make` creates it."""

    path: Path

    @property
    def items(self) -> Path:
        """Where the items' files are."""
        return self.path / ITEMS

    @property
    def index(self) -> Path:
        """The index."""
        return self.path / INDEX

    def make(self) -> None:
        """Create the folder; raises ValueError with one line if that is not possible, or it is something else."""
        try:
            if (
                self.path.is_dir()
                and not self.items.is_dir()
                and any(not _ours(name) for name in os.listdir(self.path))
            ):
                raise ValueError(f"{self.path}: is a folder with other files; name one that is new, empty or a sweep's")
            self.items.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{self.path}: cannot be a sweep's folder: {error.strerror}") from None

    def file(self, item: Item, ending: str) -> Path:
        """Where an item's certificate or file of radii is."""
        return self.items / f"{item.key}{ending}"

    def record(self, key: str) -> Record | None:
        """The record of an item; None if there is none that can be read."""
        try:
            return Record.of((self.items / f"{key}{RECORD}").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def records(self) -> Iterator[Record]:
        """All records, in the order of their names."""
        names = sorted(os.listdir(self.items)) if self.items.is_dir() else []
        for name in names:
            if name.endswith(RECORD) and not name.startswith("."):
                found = self.record(name.removesuffix(RECORD))
                if found is not None:
                    yield found

    def keep(self, record: Record) -> None:
        """Write a record, except over that of a proof of the same item with the same files."""
        before = self.record(record.key)
        if before is not None and before.state is State.PROVED and record.state is not State.PROVED:
            if before.read == record.read and self._has_file(before):
                return
        write_whole(self.items / f"{record.key}{RECORD}", record.text())

    def is_done(self, item: Item, read: dict[str, str | None]) -> bool:
        """Whether an item has an answer about files with these hashes: a proof that is there, or, from this version
        of the program, that there is none.
        """
        record = self.record(item.key)
        if record is None or not record.state.final or record.read != read:
            return False
        if record.state is State.PROVED:
            return self._has_file(record)
        return record.versions.get("sdpcert") == __version__

    def clean(self, items: Iterable[Item]) -> None:
        """Remove the temporary files of these items, which a program that was killed left behind."""
        keys = {item.key for item in items}
        for name in os.listdir(self.items):
            found = _TEMPORARY.fullmatch(name)
            if found is not None and found["key"] in keys:
                with suppress(OSError):
                    os.unlink(self.items / name)

    def write_index(self) -> list[Record]:
        """Make the index of the records that are there, and return them."""
        records = list(self.records())
        write_whole(self.index, "".join(record.line() for record in records))
        return records

    def _has_file(self, record: Record) -> bool:
        try:
            return os.path.getsize(self.items / str(record.file)) == record.bytes
        except OSError:
            return False


def digest_of(path: Path) -> str | None:
    """The sha256 of a file, with the file of external tensors that an ONNX file may have beside it; None if there is
    no file.
    """
    found = hashlib.sha256()
    try:
        for one in (path, path.with_name(f"{path.name}.data")):
            if one == path or one.is_file():
                with open(one, "rb") as file:
                    while block := file.read(2**20):
                        found.update(block)
    except (OSError, ValueError):
        return None
    return found.hexdigest()


def _ours(name: str) -> bool:
    return name in (INDEX, ITEMS) or name.startswith(".")
