"""One `[[sweep]]` of a plan: its lists, multiplied into items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any, TypeVar

from sdpcert.readers.arrays.files import read_npz
from sdpcert.readers.errors import check_file
from sdpcert.readers.points import KEY, real_numbers
from sdpcert.running import arguments
from sdpcert.sweep.item import Item
from sdpcert.sweep.kind import READING, Kind
from sdpcert.sweep.kinds import KINDS
from sdpcert.sweep.option import ALL, Text, integer

Value = TypeVar("Value")
#: Keys of a block that are no options of an item: what is done, with which files, and how lists are made of them.
KEYS = ("do", "network", "classes", "each")
#: The characters that make a path a pattern.
PATTERN = "*?["
#: Tells the number of outputs of a network with options of reading, or None where it cannot be read.
Outputs = Callable[[str, Mapping[str, Any]], int | None]


def items_of(block: Mapping[str, Any], base: Path, outputs: Outputs) -> Iterator[Item]:
    """The items of a block, network after network; `base` is the folder that its paths are relative to.

    Raises ValueError or TypeError with one sentence for a key that there is not, or a value that is wrong.
    """
    kind = _kind(block)
    networks = _networks(block, base)
    lists = _lists(block, kind, base)
    chosen = [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    for options in chosen:
        kind.check(options)
    classes = _named(integer, block["classes"], "classes") if "classes" in block else None
    if classes is not None and classes < 2:
        raise ValueError(f"classes is the number of outputs, 2 or more, not {classes}")
    for network in networks:
        for options in chosen:
            for one in _pairs_filled_in(options, network, classes, outputs):
                differing = kind.differing(one)
                yield Item(kind.name, network, differing, kind.words(differing))


def _kind(block: Mapping[str, Any]) -> Kind:
    kind = KINDS[arguments.choice(block.get("do", "certify"), "do", KINDS)]
    for name in block:
        if name not in KEYS and name not in kind.options:
            known = ", ".join([*KEYS, *kind.options])
            raise ValueError(f"there is no key {name!r} in a sweep that does {kind.name!r}, but {known}")
    return kind


def _networks(block: Mapping[str, Any], base: Path) -> list[str]:
    """The files of `network`, patterns filled in and sorted; one that matches nothing stands for itself."""
    if "network" not in block:
        raise ValueError('network is missing: files or patterns, as in network = ["nets/*.onnx"]')
    found: list[str] = []
    for stated in _named(Text().values, block["network"], "network"):
        found += _matching(stated, base) or [stated]
    return list(dict.fromkeys(found))


def _matching(stated: str, base: Path) -> list[str]:
    if not any(character in stated for character in PATTERN):
        return []
    path = Path(stated)
    start = Path(path.anchor) if path.is_absolute() else base
    try:
        files = [found for found in start.glob(str(path.relative_to(path.anchor))) if found.is_file()]
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"network: the pattern {stated!r} cannot be used: {error}") from None
    return sorted((found if path.is_absolute() else found.relative_to(base)).as_posix() for found in files)


def _lists(block: Mapping[str, Any], kind: Kind, base: Path) -> dict[str, list[Any]]:
    """The values of every option that the block states, in the order in which they multiply."""
    lists = {name: _named(kind.options[name].values, block[name], name) for name in kind.options if name in block}
    if "output_pair" in lists and "output_rows" in lists:
        raise ValueError("output_rows and output_pair exclude each other: a pair is one output; write two sweeps")
    each = _named(integer, block["each"], "each") if "each" in block else None
    if "inputs" in lists:
        if len(lists["inputs"]) > 1:
            raise ValueError("inputs is one file; write a sweep for each file")
        indices = _indices(lists.get("index"), lists["inputs"][0], base)
        if indices:
            lists["index"] = kind.grouped(indices, each)
    elif each is not None:
        raise ValueError("each counts inputs; give inputs too")
    return {name: lists[name] for name in kind.options if name in lists}


def _indices(stated: list[int] | None, name: str, base: Path) -> list[int]:
    """The inputs that are meant: those stated, or all of the file; none of a `.npy` file, which has one point."""
    path = base / name
    check_file(path, f"inputs {name}")
    try:
        if path.suffix.lower() == ".npy":
            if stated is not None:
                raise ValueError("a .npy file holds one point; leave index out")
            return []
        if path.suffix.lower() != ".npz":
            raise ValueError("it is neither .npy nor .npz")
        contents = read_npz(path)
        if KEY not in contents:
            raise ValueError(f"it has no array {KEY!r}")
        values = real_numbers(contents[KEY], f"its array {KEY!r}")
    except ValueError as error:
        raise ValueError(f"inputs {name}: {error}") from None
    count = len(values) if values.ndim > 1 else 1
    beyond = [index for index in stated or () if index >= count]
    if beyond:
        raise ValueError(f"inputs {name}: has no input {beyond[0]}; there are inputs 0 to {count - 1}")
    return list(range(count)) if stated is None else stated


def _pairs_filled_in(
    options: dict[str, Any], network: str, classes: int | None, outputs: Outputs
) -> Iterator[dict[str, Any]]:
    """The options, once for each pair of classes where they say all pairs; as they are where there is none."""
    if options.get("output_pair") != ALL:
        yield options
        return
    reading = {name: options[name] for name in READING if name in options}
    count = classes or outputs(network, reading)
    if count is None or count < 2:
        yield options
        return
    for pair in combinations(range(count), 2):
        yield options | {"output_pair": list(pair)}


def _named(read: Callable[[Any], Value], stated: Any, name: str) -> Value:
    """What a reader makes of a value; its ValueError gets the name of the key."""
    try:
        return read(stated)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
