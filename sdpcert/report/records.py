"""Saved certificates, radii and evaluations, proved again as they are read: what does not verify makes no row."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sdpcert.certificate.document import digest_of
from sdpcert.certificate.saved import region_of
from sdpcert.check import CheckResult, Part, Rejected, Unreadable, check_document, document_of, read_content
from sdpcert.check.condition import StackedCondition
from sdpcert.errors import EvaluationRejected, NotVerified
from sdpcert.regions.region import AllInputs, Region
from sdpcert.report.radii_file import FORMAT as RADII
from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.regional import Moment
from sdpcert.report.rounding import radius_text
from sdpcert.report.stated import StatedFile, read_stated
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

    @cached_property
    def region(self) -> Region:
        """Where the bound holds."""
        return region_of(self.document) if self._kind else AllInputs()

    @property
    def _kind(self) -> str:
        """The kind of the tree; files before version 3 have none, whatever else stands in them."""
        return self.document["tree"]["kind"] if self.document["version"] >= 3 else ""

    @property
    def on_region(self) -> bool:
        """Whether preactivations were bounded: on a region, or on all inputs divided into pieces."""
        return self._kind in ("restriction", "cover")

    @property
    def pieces(self) -> int | None:
        """The pieces with a condition of their own that the bound is the largest of; None off regions."""
        if not self.on_region:
            return None
        return sum(piece["end"]["kind"] == "condition" for piece in self.document["tree"]["pieces"])

    @property
    def looked_at(self) -> int | None:
        """All pieces of the file, those divided further and those without inputs among them; None off regions."""
        return len(self.document["tree"]["pieces"]) if self.on_region else None

    @property
    def divided(self) -> bool:
        """Whether the bound is the largest one of several pieces."""
        return self._kind == "cover"

    @property
    def history(self) -> list[Moment]:
        """The lines of a branch and bound's log that the run states; empty if there are none that can be read."""
        lines = self.stated("history", list) or []
        try:
            read = [Moment(float(s), float(u), float(a), int(o), int(n)) for s, u, a, o, n in lines]
        except (TypeError, ValueError, OverflowError):
            return []
        return [m for m in read if m.seconds >= 0 and 0 <= m.lower <= m.upper < math.inf]

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
        """`(upper - sdp_lower) / upper`; of several pieces `(upper - lower) / upper`."""
        if self.upper == 0:
            return 0.0
        below = self.lower if self.divided else self.sdp_lower
        return None if below is None else (self.upper - below) / self.upper

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
    def output_pair(self) -> list[int] | None:
        """The two outputs whose difference was certified, None if it was none."""
        return self.stated("output_pair", list)

    @property
    def source(self) -> str:
        """The file or module that the network came from, as the run states it."""
        return self.stated("source", str) or "network"

    @property
    def name(self) -> str:
        """A short name of the network: the source's file name without ending, and its outputs if not all."""
        name = Path(self.source.replace("\\", "/")).name
        for ending in (".onnx", ".npz", ".mat", ".safetensors"):
            name = name.removesuffix(ending)
        rows, pair = self.output_rows, self.output_pair
        outputs = "" if rows is None else f" rows {','.join(map(str, rows))}"
        return (name or "network") + (outputs if pair is None else f" outputs {' - '.join(map(str, pair))}")

    @property
    def sizes(self) -> tuple[int | None, int, int | None]:
        """Inputs, neurons of the certified form, and outputs; None if the parts do not say."""
        if self.on_region:
            return self.tree.inputs, self.stated("neurons", int) or 0, self.tree.outputs
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


#: What a file is read as.
Read = Record | Run | RadiiFile | StatedFile


def read(path: str | os.PathLike[str]) -> Read:
    """Read a certificate, a file of radii, an evaluation or a run's folder and prove it again, or what others state.

    Raises `NotVerified` if it does not verify, ValueError if there is no such file or it cannot be read as JSON.
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
    stated = _format_of(data)
    if stated == EVALUATION or path.name == "evaluation.json":
        return _read_run(path, file_hash)
    others = read_stated(path) if not stated else None
    if others is not None:
        return others
    reads(path)
    verdict = _verdict(path)
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
    if stated == RADII:
        return RadiiFile(path, verdict, document, file_hash, digest)
    return Record(path, verdict, document, file_hash, digest)


def _verdict(path: Path) -> CheckResult:
    """The checker's verdict on a file; ValueError with one line if it is no JSON."""
    try:
        return check_document(document_of(path))
    except Unreadable as error:
        raise ValueError(f"{path}: {error}") from None
    except Rejected as error:
        return CheckResult(False, None, str(error))


def _integer(text: str) -> int:
    """An integer of a file; ValueError for one that no program wrote, and that no float64 holds either."""
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"states an integer of {len(text)} digits")
    return int(text)


def read_all(paths: Sequence[str | os.PathLike[str]], progress: Callable[[str], None] | None = None) -> list[Read]:
    """Read files in the order given; raises as `read` does for the first one that does not verify.

    `progress` is told which file is proved again.
    """
    done: list[Read] = []
    for number, path in enumerate(paths, 1):
        if progress is not None:
            progress(f"proving again, file {number} of {len(paths)}: {Path(path).name}")
        done.append(read(path))
    return done


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
    except (EvaluationRejected, ArithmeticError) as error:
        message = " ".join(str(error).split())
        raise NotVerified(message if str(path) in message else f"{path}: {message}") from None


def same_network(left: Record, right: Record) -> bool:
    """Whether two certificates are about one network: equal hashes, or the same source and outputs where the forms
    differ (over frequencies and unrolled, in parts and whole).
    """
    if left.verdict.sha256 == right.verdict.sha256:
        return True
    both = (left, right)
    if all(r.on_region for r in both) or all(isinstance(r.tree, StackedCondition) for r in both):
        return False
    outputs = left.output_rows == right.output_rows and left.output_pair == right.output_pair
    return left.source == right.source and outputs and left.source not in _NAMELESS


def same_region(left: Record, right: Record) -> bool:
    """Whether two certificates are about the same inputs."""
    return left.region.document() == right.region.document()


_NAMELESS = {"", "network", "stacked form"}


def where(record: Record) -> str:
    """The inputs that a bound holds for, in words."""
    region = record.region
    if not region.bounded:
        return region.shape
    what = "half-width" if region.shape == "box" else "radius"
    return f"the {region.shape} of {what} {radius_text(region.size)} that the file states"


def by_network(records: Sequence[Record]) -> list[list[Record]]:
    """The records, put together by network and region, in the order of their first appearance."""
    groups: list[list[Record]] = []
    for record in records:
        for group in groups:
            if same_network(group[0], record) and same_region(group[0], record):
                group.append(record)
                break
        else:
            groups.append([record])
    return groups
