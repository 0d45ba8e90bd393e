"""What one item does, as a function of plain data that any machine can call which reads and writes the same files."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.errors import ItemEnded, UnsupportedModel
from sdpcert.network.graph import Network
from sdpcert.readers import load
from sdpcert.sweep.beside import ask
from sdpcert.sweep.folder import Folder, digest_of
from sdpcert.sweep.item import Item
from sdpcert.sweep.kind import READING
from sdpcert.sweep.kinds import KINDS
from sdpcert.sweep.plan import Limits
from sdpcert.sweep.record import Record, State
from sdpcert.version import __version__

#: What a process says when it dies of memory that it does not get (C++, Rust, OpenBLAS).
_OUT_OF_MEMORY = ("bad_alloc", "emory alloc", "MemoryError", "out of memory")


@dataclass(frozen=True)
class Order:
    """An item, where its paths begin, and where its files go; `attempt` counts from 1."""

    item: Item
    base: Path
    folder: Path
    limits: Limits
    attempt: int

    def plain(self) -> dict[str, Any]:
        """The order for `do`, as plain JSON."""
        return {
            "item": self.item.document(),
            "base": str(self.base),
            "folder": str(self.folder),
            "attempt": self.attempt,
        }


def attend(order: Order) -> Record:
    """Do an item in a process beside this one, and write its record, whatever becomes of it."""
    start = time.monotonic()
    try:
        record = Record.of(ask(do, order.plain(), order.limits.seconds, order.limits.memory))
    except ItemEnded as error:
        record = lost(order, _state(error), _message(error, order.limits), time.monotonic() - start)
    Folder(order.folder).keep(record)
    return record


def lost(order: Order, state: State, message: str, seconds: float = 0.0) -> Record:
    """The record of an item whose process cannot write one."""
    document = order.item.document()
    return _with_versions(
        Record(document, state, read_by(order.item, order.base), None, None, seconds, order.attempt, message)
    )


def read_by(item: Item, base: Path) -> dict[str, str | None]:
    """The files that an item reads, with their sha256."""
    return {name: digest_of(base / name) for name in item.files}


def do(order: Mapping[str, Any]) -> str:
    """Do an item, write its certificate or file of radii, and return its record's text."""
    stated, base, folder = order["item"], Path(order["base"]), Folder(Path(order["folder"]))
    item = Item(stated["do"], stated["network"], stated["options"])
    start = time.monotonic()
    read = read_by(item, base)
    record = Record(stated, State.FAILED, read, attempts=order["attempt"])
    try:
        record = _done(record, item, base, folder)
    except UnsupportedModel as error:
        record = replace(record, state=State.REFUSED, message=_line(error, base))
    except MemoryError:
        record = replace(record, state=State.OUT_OF_MEMORY, message="asked for more memory than there is for an item")
    except Exception as error:
        kind = "" if isinstance(error, ValueError | ImportError) else f"{type(error).__name__}: "
        record = replace(record, message=f"{kind}{_line(error, base)}")
    return _with_versions(replace(record, seconds=time.monotonic() - start)).text()


def _done(record: Record, item: Item, base: Path, folder: Folder) -> Record:
    kind = KINDS[item.do]
    reading = tuple((name, item.options[name]) for name in READING if name in item.options)
    network = _network(str(base / item.network), record.read[item.network], reading)
    result = kind.do(replace(network, source=item.network), item.options, base)
    facts = dict(result.facts)
    record = replace(
        record, state=State(result.state), upper=facts.pop("upper", None), lower=facts.pop("lower", None), facts=facts
    )
    if record.state is not State.PROVED:
        return replace(record, message="; ".join(facts.get("notes", [])))
    path = folder.items / f"{record.key}{kind.ending}"
    result.save(path)
    data = path.read_bytes()
    return replace(record, file=path.name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@lru_cache(maxsize=2)
def _network(path: str, digest: str | None, reading: tuple[tuple[str, str], ...]) -> Network:
    """A network, read once for the items that follow each other; `digest` is part of what is asked for."""
    return load(path, **dict(reading))


def _with_versions(record: Record) -> Record:
    versions = {"sdpcert": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return replace(record, versions=versions, host=platform.node())


def _state(error: ItemEnded) -> State:
    if error.out_of_time:
        return State.OUT_OF_TIME
    return State.OUT_OF_MEMORY if any(words in str(error) for words in _OUT_OF_MEMORY) else State.DIED


def _message(error: ItemEnded, limits: Limits) -> str:
    if error.out_of_time:
        return f"ended after {limits.seconds:g} s, the limit of the plan"
    return f"its process died: {error}"


def _line(error: BaseException, base: Path) -> str:
    """What an error says, with paths as the plan has them."""
    return " ".join(str(error).split()).replace(f"{base}{os.sep}", "")[:500]
