"""Saved certificates and evaluations, proved again as they are read: what does not verify is an error, never a row."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sdpcert.certificate.document import digest_of
from sdpcert.check import CheckResult, Part, check, read_content
from sdpcert.check.condition import StackedCondition
from sdpcert.errors import NotVerified
from sdpcert.running.outputs import reads

#: The execution level of every certificate, as its format states it.
REAL_ARITHMETIC = "R"
EVALUATION = "sdpcert-evaluation-1"
#: Most characters of an integer: 2^63 has 19 digits.
LONGEST_INTEGER = 20


@dataclass(frozen=True, eq=False)
class Record:
    """One certificate file that was just proved again.

    `upper` is what the checker proved; `lower` is the attained value that the file states. Everything under
    `information` is what the run that wrote the file said, protected by `digest` (empty in files without one) against
    accidental changes.
    """

    path: Path
    verdict: CheckResult
    document: dict[str, Any] = field(repr=False)
    file_hash: str
    digest: str

    @cached_property
    def tree(self) -> Part:
        """The claim tree that was proved."""
        return read_content(self.document).tree

    @property
    def information(self) -> dict[str, Any]:
        """What is not part of the claim."""
        return self.document["information"]

    def stated(self, key: str, kind: type | tuple[type, ...]) -> Any:
        """An entry of `information` if it has the type, else None."""
        value = self.information.get(key)
        return value if isinstance(value, kind) and not isinstance(value, bool) else None

    @property
    def upper(self) -> float:
        """The proved bound."""
        assert self.verdict.upper is not None
        return self.verdict.upper

    @property
    def lower(self) -> float | None:
        """The attained value, None if the file has none."""
        return self.verdict.lower

    @property
    def sdp_lower(self) -> float | None:
        """The dual bound on the optimum of the condition that the run states, None if it states none."""
        value = self.stated("sdp_lower", (int, float))
        return None if value is None or not 0 < value <= self.upper else float(value)

    @property
    def gap(self) -> float | None:
        """`(upper - sdp_lower) / upper`."""
        if self.upper == 0:
            return 0.0
        return None if self.sdp_lower is None else (self.upper - self.sdp_lower) / self.upper

    @property
    def method(self) -> str:
        """The method that the run states."""
        return self.stated("method", str) or "unknown"

    @property
    def proof(self) -> str | None:
        """The arithmetic in which the proof was verified here: "exact" or "floating-point"."""
        return self.verdict.level

    @property
    def output_rows(self) -> list[int] | None:
        """The outputs that were certified, None for all."""
        return self.stated("output_rows", list)

    @property
    def source(self) -> str:
        """The file or module that the network came from, as the run states it."""
        return self.stated("source", str) or "network"

    @property
    def name(self) -> str:
        """A short name of the network: the source's file name without ending, and the outputs if not all."""
        name = Path(self.source.replace("\\", "/")).name
        for ending in (".onnx", ".npz", ".mat", ".safetensors"):
            name = name.removesuffix(ending)
        rows = self.output_rows
        return (name or "network") + ("" if rows is None else f" rows {','.join(map(str, rows))}")

    @property
    def sizes(self) -> tuple[int | None, int, int | None]:
        """Inputs, neurons of the certified form, and outputs; None if the parts do not say."""
        *_, last = self.tree.leaves()
        outputs = last.outputs if isinstance(last, StackedCondition) else None
        if isinstance(self.tree, StackedCondition):
            return self.tree.inputs, sum(self.tree.content.sizes[1:-1]), outputs
        return None, self.stated("neurons", int) or 0, outputs

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the programs that wrote the certificate."""
        stated = self.stated("versions", dict) or {}
        return {str(k): str(v) for k, v in stated.items()}


@dataclass(frozen=True, eq=False)
class Run:
    """One evaluation file that was just proved again; `evaluation` is what `sdpcert.evaluation` read."""

    path: Path
    evaluation: Any = field(repr=False)
    file_hash: str

    @property
    def name(self) -> str:
        """A short name: the folder of the file."""
        return self.path.resolve().parent.name or self.path.stem

    @property
    def rows(self) -> list[Any]:
        """One row per radius and bound."""
        return list(self.evaluation.rows)

    def part(self, section: str, key: str) -> str | None:
        """A text of the evaluation's model or data, None if it has none."""
        value = getattr(self.evaluation, section).get(key)
        return value if isinstance(value, str) else None

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the programs that wrote the evaluation."""
        stated = self.evaluation.document.get("versions")
        return {str(k): str(v) for k, v in stated.items()} if isinstance(stated, dict) else {}


def read(path: str | os.PathLike[str]) -> Record | Run:
    """Read a certificate, an evaluation or a run's folder and prove it again.

    Raises `NotVerified` if it does not verify, ValueError if there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "evaluation.json"
        if not path.exists():
            raise ValueError(f"{path}: no such file; sdpcert evaluate writes it into the folder of a run")
    if not path.is_file():
        raise ValueError(f"{path}: {'is no regular file' if path.exists() else 'no such file'}")
    data = path.read_bytes()
    file_hash = hashlib.sha256(data).hexdigest()
    if _format_of(data) == EVALUATION or path.name == "evaluation.json":
        return _read_run(path, file_hash)
    reads(path)
    verdict = check(path)
    if not verdict.ok:
        raise NotVerified(f"{path}: {verdict.reason}")
    if path.read_bytes() != data:
        raise NotVerified(f"{path}: the file changed while it was read")
    try:
        document = json.loads(data, parse_int=_integer)
    except ValueError as error:
        raise NotVerified(f"{path}: {error}") from None
    digest = document["information"].get("digest", "")
    if digest != "" and digest != digest_of(data.decode("utf-8")):
        raise NotVerified(f"{path}: the file disagrees with its digest: it was altered after it was written")
    return Record(path, verdict, document, file_hash, digest)


def _integer(text: str) -> int:
    """An integer of a file; ValueError for one that no program wrote, and that no float64 holds either."""
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"states an integer of {len(text)} digits")
    return int(text)


def read_all(paths: Iterable[str | os.PathLike[str]]) -> list[Record | Run]:
    """Read files in the order given; raises as `read` does for the first one that does not verify."""
    return [read(path) for path in paths]


def _format_of(data: bytes) -> str:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    stated = document.get("format") if isinstance(document, dict) else None
    return stated if isinstance(stated, str) else ""


def _read_run(path: Path, file_hash: str) -> Run:
    from sdpcert.evaluation.saved import load_evaluation

    try:
        return Run(path, load_evaluation(path), file_hash)
    except (ValueError, ArithmeticError) as error:
        message = " ".join(str(error).split())
        raise NotVerified(message if str(path) in message else f"{path}: {message}") from None


def same_network(left: Record, right: Record) -> bool:
    """Whether two certificates are about one network: equal hashes, or the same source and outputs where the forms
    differ (over frequencies and unrolled, in parts and whole).
    """
    if left.verdict.sha256 == right.verdict.sha256:
        return True
    both = (left, right)
    if all(isinstance(r.tree, StackedCondition) for r in both):
        return False
    return left.source == right.source and left.output_rows == right.output_rows and left.source not in _NAMELESS


_NAMELESS = {"", "network", "stacked form"}


def by_network(records: Sequence[Record]) -> list[list[Record]]:
    """The records, put together by network, in the order of their first appearance."""
    groups: list[list[Record]] = []
    for record in records:
        for group in groups:
            if same_network(group[0], record):
                group.append(record)
                break
        else:
            groups.append([record])
    return groups
