"""A plan: a TOML file that says what is done with which networks, and within which limits.

    [limits]
    seconds = 600

    [[sweep]]
    network = ["nets/*.onnx"]
    method = ["layer", "neuron"]
    output_pair = "all"

A list in place of a value means each of them in turn, and the lists of a `[[sweep]]` multiply. Paths are relative to
the folder of the plan.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpcert.readers import load
from sdpcert.readers.errors import check_file
from sdpcert.running import arguments
from sdpcert.running.outputs import reads
from sdpcert.sweep.block import items_of
from sdpcert.sweep.item import Item
from sdpcert.sweep.option import integer, number


@dataclass(frozen=True)
class Limits:
    """What one item may take before its process is ended: `seconds`, `memory` (bytes); None is no limit.

    `attempts` is how often an item is tried that died, or was ended for time or memory. Nothing of it is part of what
    an item is: a plan with more of it does what is missing.
    """

    seconds: float | None = None
    memory: int | None = None
    attempts: int = 2

    @staticmethod
    def of(stated: Any) -> Limits:
        """The limits of a plan; raises ValueError with one sentence."""
        if not isinstance(stated, dict):
            raise ValueError("limits is a table: write [limits], and its keys below")
        known = {"seconds": number, "memory_gib": number, "attempts": integer}
        found: dict[str, Any] = {}
        for name, value in stated.items():
            if name not in known:
                raise ValueError(f"there is no key {name!r} in limits, but {', '.join(known)}")
            try:
                found[name] = known[name](value)
            except ValueError as error:
                raise ValueError(f"limits: {name} {error}") from None
            if not found[name] > 0:
                raise ValueError(f"limits: {name} must be positive, not {value!r}")
        memory = found.get("memory_gib")
        return Limits(
            found.get("seconds"),
            None if memory is None else int(memory * 2**30),
            found.get("attempts", Limits.attempts),
        )


@dataclass(frozen=True)
class Plan:
    """The items of a plan, each once and in their order, and its limits; paths are relative to `base`."""

    path: Path
    base: Path
    items: tuple[Item, ...]
    limits: Limits

    def share(self, which: int, count: int) -> tuple[Item, ...]:
        """Every `count`-th item from the `which`-th on (from 1): the shares of all are the whole."""
        if not 1 <= which <= count:
            raise ValueError(f"a share is one of 1 to {count}, not {which}")
        return self.items[which - 1 :: count]


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan.

    A network that is missing or refused is no mistake of the plan: its items fail when they are done. Raises ValueError
    with one line that names the file for everything else.
    """
    path = arguments.path(path, "the plan")
    check_file(path, str(path))
    reads(path)
    try:
        return _read(path)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _read(path: Path) -> Plan:
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    for name in stated:
        if name not in ("sweep", "limits"):
            raise ValueError(f"there is no key {name!r} at the top of a plan, but [limits] and [[sweep]]")
    blocks = stated.get("sweep")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks) or not blocks:
        raise ValueError("has no [[sweep]]: write one, with network = [...] below it")
    limits = Limits.of(stated.get("limits", {}))
    base = path.absolute().parent
    items: dict[str, Item] = {}
    outputs = _outputs_of(base)
    for place, block in enumerate(blocks, start=1):
        where = f"sweep {place}: " if len(blocks) > 1 else ""
        try:
            items.update((item.key, item) for item in items_of(block, base, outputs))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}{error}") from None
    return Plan(path, base, tuple(items.values()), limits)


def _outputs_of(base: Path) -> Callable[[str, Mapping[str, Any]], int | None]:
    """Counts the outputs of networks in a folder, each of which is read once; None where that is not possible."""
    known: dict[str, int | None] = {}

    def outputs(network: str, reading: Mapping[str, Any]) -> int | None:
        name = f"{network} {sorted(reading.items())}"
        if name not in known:
            try:
                known[name] = math.prod(load(base / network, **reading).output_shape)
            except (ValueError, ImportError, MemoryError):  # its items say why
                known[name] = None
        return known[name]

    return outputs
