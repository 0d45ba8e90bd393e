"""The three stated bounds of an evaluation: what they are constants of, and their certificates.

"by-construction" is the constant of everything before the head that the layers know in closed form, "sdp" that of the
whole network with one multiplier per neuron, "pairwise" that of `f_y - f_j` for every pair of classes: the network with
the row `e_y - e_j` after it, solved and proved for each pair.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sdpcert.errors import ProcessEnded
from sdpcert.evaluation.apart import can_go_apart, certify_and_save
from sdpcert.evaluation.file import CERTIFICATES
from sdpcert.network.affine import Dense
from sdpcert.network.graph import Network
from sdpcert.running.choices import Method
from sdpcert.running.executors import WORKERS, executor
from sdpcert.running.tasks import Task, outcomes
from sdpcert.solvers.effort import estimate
from sdpcert.torch_modules.reader import from_torch

Array = np.ndarray
#: Inputs and neurons above which no semidefinite program of the unrolled network is solved.
LARGEST = 5000
#: Told the bound's name and the share that is done.
Report = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class Subject:
    """What a certificate is about: a network, and the pair of classes where it is a difference of two logits."""

    name: str
    network: Network
    pair: tuple[int, int] | None = None


@dataclass(eq=False)
class Proved:
    """A bound's certificates as they go into the file; `finished` is False where it was interrupted."""

    name: str
    entries: list[dict[str, Any]]
    seconds: float = 0.0
    finished: bool = True


def networks_of(module: nn.Sequential, input_shape: Sequence[int]) -> tuple[Network, Network]:
    """The network of everything before the child `head`, and the whole one."""
    before = nn.Sequential(*[part for name, part in module.named_children() if name != "head"])
    whole = from_torch(module.cpu(), input_shape)
    return (from_torch(before, input_shape) if hasattr(module, "head") else whole), whole


def difference(network: Network, y: int, j: int) -> Network:
    """The network `f_y - f_j`: an exact row of 1 and -1 after the outputs."""
    row = np.zeros((1, int(np.prod(network.output_shape))))
    row[0, y], row[0, j] = 1.0, -1.0
    return network.followed_by(Dense(row), f"{network.source}, output {y} - output {j}")


def pairs_of(classes: int) -> list[tuple[int, int]]:
    """All pairs of different classes."""
    return list(itertools.combinations(range(classes), 2))


def subjects(name: str, before: Network, whole: Network, pairs: Sequence[tuple[int, int]]) -> Iterator[Subject]:
    """What the certificates of a bound are about."""
    if name == "pairwise":
        yield from (Subject(f"pair-{y}-{j}", difference(whole, y, j), (y, j)) for y, j in pairs)
    else:
        yield Subject(name, before if name == "by-construction" else whole)


def reason_against(network: Network, certificates: int, seconds: float) -> str | None:
    """Why so many semidefinite programs of a network are not solved; None where they are."""
    size = network.neurons + int(np.prod(network.input_shape))
    if size > LARGEST:
        return f"{size} inputs and neurons: more than the {LARGEST} up to which the program is solved"
    effort = estimate(network.stacked.reduced(), "neuron").seconds * certificates
    if effort > seconds:
        what = "one program" if certificates == 1 else f"{certificates} programs"
        return f"{what} would take about {effort:.0f} s, above the limit of {seconds:.0f} s"
    return None


def prove(name: str, work: Sequence[Subject], folder: Path, seed: int, tol: float, report: Report) -> Proved:
    """Prove and save the certificates of a bound; interrupted, those that are finished are kept.

    Raises ValueError if one cannot be proved, and `BoundContradiction` if an attained value is above it.
    """
    method: Method = "by-construction" if name == "by-construction" else "neuron"
    done, started = Proved(name, []), time.perf_counter()
    (folder / CERTIFICATES).mkdir(exist_ok=True)
    report(name, 0.0)
    several = len(work) > 1 and can_go_apart(work[0].network.stacked)

    def tasks() -> Iterator[Task[Subject]]:
        for subject in work:
            if done.finished:
                net = subject.network.stacked if several else subject.network
                yield Task(
                    subject, (net, method, tol, seed, (folder / CERTIFICATES / f"{subject.name}.json").resolve())
                )

    try:
        with executor(WORKERS if several else 1) as workers:
            for outcome in outcomes(workers, certify_and_save, tasks(), finish=True):
                if isinstance(outcome.error, ProcessEnded):
                    raise ValueError(f"the bound {outcome.key.name} could not be proved: {outcome.error}")
                summary = outcome.result
                if summary["status"] != "proved":
                    raise ValueError(f"the bound {outcome.key.name} could not be proved")
                done.entries.append(_entry(outcome.key, summary, folder))
                report(name, len(done.entries) / len(work))
                done.finished &= summary["solver_status"] != "interrupted"
    except KeyboardInterrupt:
        done.finished = False
    done.entries.sort(key=lambda entry: entry["pair"] or [])
    done.seconds = time.perf_counter() - started
    return done


def _entry(subject: Subject, summary: dict[str, Any], folder: Path) -> dict[str, Any]:
    name = f"{CERTIFICATES}/{subject.name}.json"
    return {
        "file": name,
        "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        "pair": None if subject.pair is None else list(subject.pair),
        "upper": float(summary["upper"]).hex(),
        "lower": float(summary["lower"]).hex(),
    }
