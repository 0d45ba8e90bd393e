"""A file of radii: many inputs of one classifier, each with a proved radius, and how many are certified at which."""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import constants, cover, entries, needed, network
from .differences import Differences
from .entries import Entry, Setting
from .margins import Evaluation
from .part import EXACT, FLOATING
from .radii_claim import NORMS, Counts, Meaning, Normalisation, Row
from .reading import Rejected, constant, integer, items, little_endian, members, real, text, within
from .region import read_ends

FORMAT = "sdpcert-radii"
KEYS = (
    "format version claim norm level network normalisation within errors constants inputs data_sha256 radii rows "
    "information"
)
#: Inputs, radii of the table, and numbers of all centers and attacked points.
MAX_COUNT, MAX_RADII, MAX_NUMBERS = 10**6, 10**4, 10**9


@dataclass(frozen=True)
class Radii:
    """The content of a file of radii, checked for form.

    Args:
        setting: what all inputs have in common.
        entries: the inputs in their order.
        meaning: what the words of the file depend on; counts and rows are those of the entries.
    """

    setting: Setting
    entries: tuple[Entry, ...]
    meaning: Meaning

    @property
    def sha256(self) -> str:
        """The hash of the network."""
        return self.setting.differences.network.sha256

    @property
    def rows(self) -> tuple[Row, ...]:
        """For each radius of the table how many inputs are certified."""
        return self.meaning.rows

    @property
    def work(self) -> int:
        """About how many multiplications a proof in integers takes."""
        points = sum(1 + (entry.attack is not None) for entry in self.entries)
        weights = sum(block.rows * block.columns for block in self.setting.differences.network.blocks)
        conditions = sum(pair.work for pair in self.setting.constants.values())
        return points * weights + conditions + sum(entry.work for entry in self.entries)

    def prove(self, exact: bool | None) -> str:
        """Prove all claims and return the arithmetic, `EXACT` if all was proved in integers; raise `Rejected`.

        `exact` asks for integers (True) or floating point (False); None takes integers if all of it is little work.
        """
        exact = self.work <= cover.MAX_WORK if exact is None else exact
        evaluation = Evaluation(self.setting.differences, exact)
        levels = [pair.prove(exact) for pair in self.setting.constants.values()]
        levels += [entry.prove(self.setting, evaluation) for entry in self.entries]
        return EXACT if all(level == EXACT for level in levels) and evaluation.all_exact else FLOATING

    def statement(self, level: str) -> str:
        """What a proved file says, in one line."""
        uncertain = self.setting.differences.network.uncertain
        of = "every network with weights and biases within the stated radii" if uncertain else "the stated weights"
        how = "exact integer arithmetic" if level == EXACT else "floating point with rigorous error bounds"
        return self.meaning.proved([f"{of}, the stated activations", f"proved in {how}"])


# ---------------------------------------------------------------- reading


def claim_of(document: Any) -> str:
    """The claim in words that a document has to have, which may have any yet; raise `Rejected` if it has no meaning."""
    return _read(document)[1].claim()


def read_radii(document: Any) -> Radii:
    """Return the content of a file of radii that is already parsed from JSON; raise `Rejected` if anything is wrong."""
    setting, meaning, listed = _read(document)
    found = tuple(entries.read(one, f"inputs[{k}]", setting) for k, one in enumerate(listed))
    content = Radii(setting, found, meaning)
    if meaning.data_sha256 != hash_of_data(found, setting.inputs):
        raise Rejected("data_sha256 is not the hash of the inputs and labels")
    _check_rows(content)
    constant(document["claim"], "claim", meaning.claim())
    return content


def _read(document: Any) -> tuple[Setting, Meaning, list[Any]]:
    """Return all but the entries, which are still encoded; of them only counts are taken."""
    form, version, claim, norm, level, *rest = members(document, "the file", KEYS)
    graph, normalisation, box, errors, pairs, listed, data, radii, rows, information = rest
    constant(form, "format", FORMAT)
    integer(version, "version", 1, 1)
    text(claim, "claim")
    if text(norm, "norm") not in NORMS:
        raise Rejected(f"norm is none of {', '.join(map(repr, NORMS))}")
    if text(level, "level") not in ("R", "F"):
        raise Rejected("level is neither 'R' nor 'F'")
    if (errors is None) != (level == "R"):
        raise Rejected("errors is not null at level R, or null at level F")
    if type(information) is not dict:
        raise Rejected("information is not an object")
    differences = Differences.of(network.read(graph, "network"))
    inputs = differences.network.inputs
    setting = Setting(
        differences,
        norm,
        _read_box(box, inputs),
        None if errors is None else needed.read(errors, "errors", inputs),
        constants.read(pairs, "constants", differences),
    )
    counts = _read_counts(listed, inputs)
    meaning = Meaning(
        counts,
        inputs,
        differences.classes,
        norm,
        _read_normalisation(normalisation, inputs),
        setting.box,
        setting.errors,
        _read_rows(radii, rows),
        differences.network.sha256,
        text(data, "data_sha256"),
    )
    return setting, meaning, listed


def hash_of_data(listed: tuple[Entry, ...], inputs: int) -> str:
    """The hash of centers and labels."""
    digest = hashlib.sha256(b"sdpcert-data-1" + struct.pack("<2q", len(listed), inputs))
    for entry in listed:
        digest.update(little_endian(entry.center))
    digest.update(little_endian(array("q", [entry.label for entry in listed])))
    return digest.hexdigest()


def _read_box(value: Any, inputs: int) -> tuple[array[float], array[float]] | None:
    if value is None:
        return None
    low, high = members(value, "within", "low high")
    return read_ends(low, high, "within", inputs)


def _read_normalisation(value: Any, inputs: int) -> Normalisation | None:
    if value is None:
        return None
    found = []
    for key, numbers in zip(("mean", "std"), members(value, "normalisation", "mean std"), strict=True):
        listed = enumerate(items(numbers, f"normalisation.{key}", 1, inputs))
        found.append(array("d", [real(number, f"normalisation.{key}[{k}]") for k, number in listed]))
    mean, std = found
    if len(mean) != len(std) or inputs % len(mean):
        raise Rejected("normalisation has not as many means as standard deviations, which divide the inputs")
    if min(std) <= 0:
        raise Rejected("normalisation.std has a value that is not above zero")
    return Normalisation(mean, std)


def _read_counts(value: Any, inputs: int) -> Counts:
    """The number of entries, and of those that claim this and that; limits their numbers before any is unpacked."""
    listed = items(value, "inputs", 1, MAX_COUNT)
    found = [members(one, f"inputs[{k}]", "correct attack", closed=False) for k, one in enumerate(listed)]
    if (len(listed) + sum(attack is not None for _, attack in found)) * inputs > MAX_NUMBERS:
        raise Rejected(f"the inputs and attacked points have more than {MAX_NUMBERS} numbers")
    rights = [correct for correct, _ in found]
    return Counts(len(listed), sum(right is True for right in rights), sum(right is None for right in rights))


def _read_rows(radii: Any, rows: Any) -> tuple[Row, ...]:
    listed = [real(number, f"radii[{k}]", 0.0) for k, number in enumerate(items(radii, "radii", 0, MAX_RADII))]
    if not all(a < b for a, b in pairwise(listed)):
        raise Rejected("radii do not ascend")
    found = []
    for k, (wanted, row) in enumerate(zip(listed, items(rows, "rows", len(listed), len(listed)), strict=True)):
        name = f"rows[{k}]"
        radius, certified, attacked = members(row, name, "radius certified attacked")
        if real(radius, f"{name}.radius", 0.0) != wanted:
            raise Rejected(f"{name}.radius is not radii[{k}]")
        if attacked is not None:
            attacked = integer(attacked, f"{name}.attacked", 0, MAX_COUNT)
        found.append(Row(wanted, integer(certified, f"{name}.certified", 0, MAX_COUNT), attacked))
    return tuple(found)


def _check_rows(content: Radii) -> None:
    """Check that the table says what the entries say; without any attack it may say nothing of attacks."""
    right = [entry for entry in content.entries if entry.correct]
    certified = sorted(entry.radius for entry in right)
    attacked = sorted(entry.attack.distance for entry in right if entry.attack is not None)
    silent = not attacked and all(row.attacked is None for row in content.rows)
    for k, row in enumerate(content.rows):
        with within(f"rows[{k}]"):
            if row.certified != len(certified) - bisect_left(certified, row.radius):
                raise Rejected("certified is not the number of correct inputs with at least that radius")
            if not silent and row.attacked != len(right) - bisect_right(attacked, row.radius):
                raise Rejected("attacked is not the number of correct inputs without an attack within that radius")
