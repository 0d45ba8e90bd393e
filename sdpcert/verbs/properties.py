"""`--vnnlib` and `--property`: a question about outputs on boxes of inputs, its answer, and the files that show it."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from sdpcert.certificate.document import write_document
from sdpcert.network.graph import Network
from sdpcert.readers.vnnlib import Property, read_property
from sdpcert.report import seconds
from sdpcert.robustness.deciding import check_sizes, decide
from sdpcert.robustness.decision import Decision, counterexample_text
from sdpcert.running.outputs import check_output, whole_file
from sdpcert.verbs.regions import ChosenRegion

VnnlibFile = Annotated[
    Path | None,
    typer.Option("--vnnlib", metavar="P", help="bound on the input box of a VNN-LIB file, and answer its question"),
]
PropertyFile = Annotated[
    Path | None,
    typer.Option("--property", metavar="P", help="answer the question of a VNN-LIB file alone, without a bound"),
]
CounterexampleFile = Annotated[
    Path | None,
    typer.Option("--counterexample", metavar="FILE", help="write a counterexample to P there, as VNN-COMP has them"),
]
#: Seconds for an answer where neither --time-limit nor --nodes ends the search.
USUAL_LIMIT = 300.0
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class PropertyOptions:
    """The options of a property, as they were given; ValueError with one line if they contradict each other."""

    vnnlib: Path | None = None
    alone: Path | None = None
    counterexample: Path | None = None
    output: Path | None = None
    _read: list[Property] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.vnnlib is not None and self.alone is not None:
            raise ValueError("--vnnlib and --property both name a property; --property gives its answer alone")
        if self.counterexample is not None and self.file is None:
            raise ValueError("--counterexample needs --vnnlib P or --property P, the property that it is one of")

    @property
    def file(self) -> Path | None:
        """The file of the property, if there is one."""
        return self.vnnlib or self.alone

    @property
    def asked(self) -> Property | None:
        """The property, read once."""
        if self.file is not None and not self._read:
            self._read.append(read_property(self.file))
        return self._read[0] if self._read else None

    def proof(self, number: int, count: int) -> Path:
        """The file of one of `count` proofs, numbered from 1."""
        assert self.file is not None
        if self.alone is not None and self.output is not None:
            path = self.output
        else:
            name = self.file.name.removesuffix(".gz").removesuffix(".vnnlib")
            path = Path(f"{name}.radii.json")
        if count == 1:
            return path
        start = path.name.removesuffix(".json").removesuffix(".radii")
        return path.with_name(f"{start}-{number}{path.name.removeprefix(start)}")

    def check_outputs(self) -> None:
        """Raise ValueError with one line if a file cannot be written."""
        check_output(self.proof(1, 1))
        if self.counterexample is not None:
            check_output(self.counterexample)

    def region(self, network: Network) -> ChosenRegion:
        """The box of the property, the least one around all of its boxes if there are several.

        Raises ValueError, with one line that names the file, if it does not fit the network.
        """
        assert self.asked is not None
        check_sizes(network, self.asked)
        try:
            box = self.asked.hull
        except ValueError as error:
            raise ValueError(f"{self.asked.source}: {error}") from None
        count = len(self.asked.cases)
        around = "" if count == 1 else f"the least box around the {count} boxes of "
        words = f"on {around or 'the box of '}{self.file}"
        return ChosenRegion(box, words, {"kind": "box", "radius": None, "norm": None, "vnnlib": str(self.file)})


@dataclass(frozen=True)
class Answer:
    """The answer to a property, with the files that were written."""

    decision: Decision
    proofs: tuple[Path, ...] = ()
    counterexample: Path | None = None

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt ended the search."""
        return any(line.endswith(INTERRUPTED) for line in self.decision.missing)

    def summary(self) -> dict[str, Any]:
        """What `--json` says of it."""
        decision = self.decision
        found = decision.counterexample
        shown = {
            "property": decision.asked.source,
            "boxes": len(decision.asked.cases),
            "seconds": decision.seconds,
            "pieces": decision.nodes,
            "missing": decision.missing,
            "inputs": None if found is None else [float(x) for x in found.inputs],
            "outputs": None if found is None else found.outputs,
            "counterexample": self.counterexample,
            "proofs": self.proofs,
        }
        return {"result": decision.word, "vnncomp": decision.vnncomp, "answer": shown}

    def print(self) -> None:
        """What people read."""
        decision = self.decision
        asked, took = decision.asked, seconds(decision.seconds)
        pieces = f"{decision.nodes} piece{'' if decision.nodes == 1 else 's'}"
        many = f"{len(asked.cases)} boxes" if len(asked.cases) > 1 else "the box"
        if decision.word == "holds":
            said = f"no input of {many} has unsafe outputs ({pieces} looked at, {took})"
        elif decision.word == "violated":
            said = f"an input of the box has unsafe outputs, evaluated in real arithmetic ({took})"
        else:
            said = f"neither proved nor refuted ({pieces} looked at, {took})"
        print(f"property    {asked.source}: {decision.word} (VNN-COMP: {decision.vnncomp})")
        print(f"            {said}")
        for line in decision.missing:
            print(f"missing     {line}")
        for note in asked.notes:
            print(f"note        {note}")
        if decision.counterexample is not None:
            where = f"is in {self.counterexample}" if self.counterexample else "can be written: --counterexample FILE"
            print(f"            the input {where}")
        for path in self.proofs:
            print(f"proof       {path}    (prove it again: sdpcert check {path})")


def answered(
    options: PropertyOptions,
    network: Network,
    time_limit: float,
    nodes: int | None,
    seed: int,
    executor: Executor,
    report: Callable[[Any], None],
) -> Answer:
    """Decide the property and write what shows the answer."""
    assert options.asked is not None
    limit = USUAL_LIMIT if math.isinf(time_limit) and nodes is None else time_limit
    decision = decide(
        network, options.asked, time_limit=limit, nodes=nodes, executor=executor, seed=seed, report=report
    )
    proofs = tuple(options.proof(k, len(decision.proofs)) for k in range(1, len(decision.proofs) + 1))
    for path, document in zip(proofs, decision.proofs, strict=True):
        write_document(dict(document), path)
    if decision.counterexample is None or options.counterexample is None:
        return Answer(decision, proofs)
    with whole_file(options.counterexample) as file:
        file.write(counterexample_text(decision.counterexample).encode("ascii"))
    return Answer(decision, proofs, options.counterexample)
