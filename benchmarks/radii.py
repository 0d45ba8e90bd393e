"""How robust networks are: proved radii of inputs, by which means, in what time, and what an attack leaves.

    python -m benchmarks.radii [PART ...] [--images N] [--time-limit S] [--processes K] [--keep] ...

The parts are `PARTS` below, all of them by default: "mnist" (mnist_fc_256x2, test images x / 255, l2, without a box),
"digits" (the shipped dense and convolutional network, their whole test set), "cifar" (oval21_cifar_base_kw, images from
0 to 1, normalised on the way), "trained" (a sandwich network of `sdpcert train` and a plain one of the same size on the
digits). Networks and images are those of `../shared` beside the repository; parts whose files are not there say so and
are left out. A part's results are written to `OUTPUT/radii_PART.json` after every input, and `--keep` goes on where a
file ends, so that a run may be made in pieces.

For every input that the network has right:

- `construction`: the radius by one constant of the whole network, by construction of its layers or as the product of
  their norms, times the root of two ("trained" only);
- `constants`: the radius by a constant for each pair of classes on all inputs;
- `relaxation`: the largest of the radii on which one backward pass through lines proves the class (CROWN);
- `undivided`: the same by everything that proves bounds on the whole region, nothing divided, all radii in one limit;
- `proved`: the same with branch and bound, each radius from the least within the time limit, until one is not proved;
  `seconds` says how long each took, and the file of the last one is checked by the stand-alone checker;
- `attacked`: the distance of the nearest input of another class that the attack found.

BLAS has one thread; `--processes` measure as many inputs at a time.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from benchmarks.regions import OVAL, SHARED, Source, check
from sdpcert.network import Network
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.network.differences import pairs_of_classes, with_differences
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from sdpcert.report import percent_down, percent_up, seconds
from sdpcert.robustness.by_constants import radius_by_constants
from sdpcert.robustness.constants import constants_of, seconds_of
from sdpcert.robustness.enclosure import Enclosure
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.needed import Needed
from sdpcert.robustness.normalisation import Normalisation
from sdpcert.running.executors import Here
from sdpcert.running.tasks import Task, outcomes

Array = np.ndarray
RESULTS = Path(__file__).parent / "results"
SHIPPED = Path(__file__).parents[1] / "examples" / "networks"
#: Estimated seconds above which constants of pairs are left out.
MOST_SECONDS = 3000.0
#: The part of the digits that the shipped networks were not trained on: see tools/train_digits.py.
TEST_SHARE, SPLIT_SEED = 0.25, 0


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, its test inputs (n, *input_shape) with labels, and the radii that are asked for."""

    name: str
    network: Network
    inputs: Array
    labels: Array
    radii: tuple[float, ...]
    time_limit: float
    normalisation: tuple[Any, Any] | None = None
    construction: bool = False

    @cached_property
    def whole(self) -> Network:
        """The network of the inputs as they are stored."""
        before = Normalisation.of(self.normalisation, self.network.input_shape)
        return self.network if before is None else before.before(self.network)

    @property
    def form(self) -> StackedForm:
        """Its stacked form with the differences of its outputs."""
        return with_differences(self.whole)

    @cached_property
    def points(self) -> Array:
        """The inputs, flat."""
        return np.asarray(self.inputs, dtype=float).reshape(len(self.inputs), -1)


# ---------------------------------------------------------------- the subjects


def mnist(source: Source) -> Iterator[Subject]:
    network = source.load("mnist_fc_256x2")
    pictures, labels = source.test_images("mnist")
    inputs = pictures.reshape(len(pictures), *network.input_shape)
    yield Subject("mnist_fc_256x2", network, inputs, labels, source.radii or (0.1, 0.2, 0.3, 0.5), 60.0)


def digits(source: Source) -> Iterator[Subject]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        pixels.astype(float), labels, test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=labels
    )
    inputs, labels = (np.asarray(part)[: source.images] for part in (parts[1], parts[3]))
    for name, scale in (("digits_mlp", 1.0), ("digits_cnn", 1 / 16)):
        network = sdpcert.load(SHIPPED / f"{name}.onnx")
        radii = tuple(scale * r for r in (source.radii or (0.5, 1.0, 2.0, 4.0)))
        yield Subject(name, network, (scale * inputs).reshape(-1, *network.input_shape), labels, radii, 5.0)


def cifar(source: Source) -> Iterator[Subject]:
    name = "oval21_cifar_base_kw"
    network = source.load(name)
    pictures, labels = source.test_images("cifar10")
    yield Subject(name, network, pictures, labels, source.radii or (0.01, 0.03, 0.1, 0.2), 60.0, OVAL)


def trained(source: Source) -> Iterator[Subject]:
    import torch

    from benchmarks.certified_accuracy import config, plain
    from sdpcert.training import load_data, load_run, train

    torch.set_num_threads(1)
    data, settings = load_data("digits", None), config("digits", None, quick=False)
    inputs = data.test.images[: source.images].astype(float) / data.description.levels
    labels, radii = data.test.labels[: source.images].astype(int), source.radii or (0.25, 0.5, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        module = load_run(train(settings, Path(folder) / "run", progress=False)).module
    sandwich = sdpcert.from_torch(module, data.description.input_shape)
    for name, network in (("sandwich", sandwich), ("plain", plain(data, settings))):
        yield Subject(f"{name} 64-64-64-10", network, inputs, labels, radii, 10.0, construction=True)


PARTS: dict[str, Callable[[Source], Iterator[Subject]]] = {
    made.__name__: made for made in (mnist, digits, cifar, trained)
}


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Settings:
    """What is asked of every input; a time limit here replaces the subject's own."""

    time_limit: float | None
    check_limit: float
    attack: bool


@dataclass
class Constants:
    """The constants of a subject: those of the pairs by their classes, and one of the whole network."""

    pairs: dict[str, float] = field(default_factory=dict)
    whole: float | None = None
    seconds: float = 0.0

    def missing(self, subject: Subject) -> list[tuple[int, int]]:
        """The pairs of classes without a constant."""
        return [
            (y, j) for y, j in pairs_of_classes(math.prod(subject.network.output_shape)) if f"{y},{j}" not in self.pairs
        ]

    def prove(self, subject: Subject, executor: Executor) -> Iterator[None]:
        """Prove those that are missing, one after the other."""
        if subject.construction and self.whole is None:
            self.whole = _by_construction(subject.network)
        started = time.perf_counter()
        missing = self.missing(subject)
        if seconds_of(subject.form, len(missing)) > MOST_SECONDS:
            return
        for (y, j), found in constants_of(subject.form, missing, executor):
            self.pairs[f"{y},{j}"] = math.inf if found is None else found.upper
            self.seconds, started = self.seconds + time.perf_counter() - started, time.perf_counter()
            yield

    def rates(self, label: int, classes: int) -> Array:
        """How fast a label's margins may fall, by the pairs."""
        rates = np.full(classes, np.inf)
        rates[label] = 0.0
        for name, upper in self.pairs.items():
            pair = [int(c) for c in name.split(",")]
            if label in pair:
                rates[sum(pair) - label] = upper
        return rates


def _by_construction(network: Network) -> float:
    """A proved constant that needs no solver."""
    method = "by-construction" if isinstance(network, ConstructedNetwork) else "product"
    certificate = sdpcert.certify(network, method)
    assert certificate.status == "proved", certificate.notes
    return certificate.upper


def relaxed(subject: Subject, center: Array, label: int) -> float:
    """The largest of the radii on which one backward pass through lines proves the label."""
    margins, proved = Margins(subject.form, label), 0.0
    for radius in subject.radii:
        state, _ = tighten(State.of(subject.form, Ball(center, radius)), Effort(0))
        if not np.all(margins.bounds(state, margins.others) > 0):
            break
        proved = radius
    return proved


def measure(subject: Subject, number: int, constants: Constants, settings: Settings) -> dict[str, Any]:
    """A row: what is proved of one input by which means, and what it takes."""
    center, label = subject.points[number], int(subject.labels[number])
    row: dict[str, Any] = {"network": subject.name, "image": number, "label": label}
    margins = Enclosure(subject.form).margins(center[None], np.array([label]))[0][0]
    row["right"] = bool(np.all(margins > 0))
    if not row["right"]:
        return row
    needed, classes = Needed.of(None, "l2", center), len(margins)
    row["constants"] = radius_by_constants(margins, constants.rates(label, classes), needed)
    if constants.whole is not None:
        rates = np.full(classes, math.sqrt(2) * constants.whole * (1 + 2.0**-50))
        rates[label] = 0.0
        row["construction"] = radius_by_constants(margins, rates, needed)
    started = time.perf_counter()
    row["relaxation"], row["relaxation_seconds"] = relaxed(subject, center, label), time.perf_counter() - started

    def proved(radii: Iterable[float], **asked: Any) -> sdpcert.Radii:
        return sdpcert.radii(
            subject.whole,
            subject.inputs[number : number + 1],
            [label],
            radii=list(radii),
            constants=False,
            **asked,
        )

    limit, last, took = settings.time_limit or subject.time_limit, None, {}
    found = proved(subject.radii, nodes=1, time_limit=limit, attack=settings.attack)
    row["undivided"], row["undivided_seconds"] = float(found.radius[0]), found.seconds
    distance = float(found.distance[0])
    row["attacked"] = distance if distance < math.inf else None
    for radius in subject.radii:
        if distance <= radius:
            break
        found = proved([radius], time_limit=limit, attack=False)
        took[f"{radius:g}"] = found.seconds
        if not found.radius[0] >= radius:
            break
        last = found
    row |= {"proved": 0.0 if last is None else float(last.radius[0]), "seconds": took, "time_limit": limit}
    if last is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "radii.json"
            last.save(file)
            row |= {"bytes": file.stat().st_size} | check(file, settings.check_limit)
    return row


def measured(
    subject: Subject, numbers: list[int], constants: Constants, settings: Settings, executor: Executor
) -> Iterator[dict[str, Any]]:
    """The rows of some inputs as they come."""
    tasks = (Task(number, (subject, number, constants, settings)) for number in numbers)
    yield from (outcome.result for outcome in outcomes(executor, measure, tasks))


def summary(subject: Subject, rows: list[dict[str, Any]]) -> str:
    """The share of inputs at every radius, for people."""
    mine = [r for r in rows if r["network"] == subject.name]
    right, lines = [r for r in mine if r["right"]], []
    for radius in subject.radii:
        shares = [f"{name} {shown(mine, name, radius)}" for name in ("constants", "relaxation", "undivided", "proved")]
        took = [r["seconds"][f"{radius:g}"] for r in right if f"{radius:g}" in r["seconds"]]
        times = f", median {seconds(statistics.median(took))}" if took else ""
        left = percent_up(sum(r["attacked"] is None or r["attacked"] > radius for r in right) / len(mine))
        lines.append(f"  {radius:g}: {', '.join(shares)}, an attack leaves {left} %{times}")
    return "\n".join([f"{subject.name}, {len(mine)} inputs, {len(right)} right", *lines])


def shown(rows: list[dict[str, Any]], name: str, radius: float) -> str:
    """The share of all inputs that are proved by some means."""
    return f"{percent_down(sum(r['right'] and r[name] >= radius for r in rows) / len(rows))} %"


def run(
    part: str, source: Source, settings: Settings, executor: Executor, output: Path, keep: bool, machine: Any
) -> None:
    """All inputs of a part, each written as soon as it is measured."""
    target = output / f"radii_{part}.json"
    made: dict[str, Any] = {"machine": machine, "subjects": {}, "rows": []}
    if keep and target.is_file():
        made = json.loads(target.read_text()) | {"machine": machine}

    def write() -> None:
        made["rows"].sort(key=lambda row: (list(made["subjects"]).index(row["network"]), row["image"]))
        output.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(made, indent=1) + "\n")

    try:
        for subject in PARTS[part](source):
            facts = made["subjects"].get(subject.name)
            if facts is not None and facts["sha256"] != subject.form.sha256:
                raise typer.BadParameter(f"{target} has results of another {subject.name}; leave out --keep")
            stated = {"sha256": subject.form.sha256, "radii": list(subject.radii)}
            constants = Constants() if facts is None else Constants(facts["pairs"], facts["whole"], facts["seconds"])
            made["subjects"][subject.name] = stated | vars(constants)
            for _ in constants.prove(subject, executor):
                made["subjects"][subject.name] = stated | vars(constants)
                write()
            there = {row["image"] for row in made["rows"] if row["network"] == subject.name}
            missing = [k for k in range(len(subject.inputs)) if k not in there]
            for row in measured(subject, missing, constants, settings, executor):
                made["rows"] = [*made["rows"], row]
                write()
                print(line(row), flush=True)
            print(summary(subject, made["rows"]), flush=True)
    except FileNotFoundError as error:
        print(f"{part}: left out, there is no {error.filename or error}")


def line(row: dict[str, Any]) -> str:
    """The row for people."""
    name = f"{row['network']}, image {row['image']}"
    if not row["right"]:
        return f"{name}: wrong"
    means = [f"{key} {row[key]:.4g}" for key in ("construction", "constants", "relaxation", "undivided") if key in row]
    attacked = "none found" if row["attacked"] is None else f"{row['attacked']:.4g}"
    checked = {True: "checked", False: "REJECTED", None: "not checked"}[row.get("checked")]
    took = ", ".join(f"{radius}: {seconds(spent)}" for radius, spent in row["seconds"].items())
    return f"{name}: proved {row['proved']:.4g}, {', '.join(means)}, attack {attacked}; {took}; {checked}"


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(PARTS)}; all by default")] = None,
    networks: Annotated[Path, typer.Option(help="folder of networks")] = SHARED / "networks",
    data: Annotated[Path, typer.Option(help="folder of image packs")] = SHARED / "data",
    images: Annotated[int, typer.Option(min=1, help="first test inputs of every network")] = 1000,
    radii: Annotated[str, typer.Option(help="with commas; each part has its own")] = "",
    time_limit: Annotated[float | None, typer.Option(help="seconds for every radius; each part has its own")] = None,
    check_limit: Annotated[float, typer.Option(help="seconds for the checker of every file; 0: it is not run")] = 300.0,
    attack: Annotated[bool, typer.Option(help="look for inputs of another class")] = True,
    processes: Annotated[int, typer.Option(min=1, help="that divide pieces")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="keep the rows that the result files have")] = False,
    output: Annotated[Path, typer.Option(help="folder for the results")] = RESULTS,
) -> None:
    """Measure, print a line an input, and write the numbers."""
    chosen = parts or list(PARTS)
    if unknown := [part for part in chosen if part not in PARTS]:
        raise typer.BadParameter(f"no part {unknown[0]}; there are {', '.join(PARTS)}")
    source = Source(networks, data, images, tuple(sorted(float(r) for r in radii.split(",") if r)))
    settings = Settings(time_limit, check_limit, attack)
    machine = {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
    machine |= {"processes": processes, "blas_threads": 1, "load_before": os.getloadavg()[0]}
    machine |= {"sdpcert": sdpcert.__version__}
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, fresh) if processes > 1 else Here() as executor:
        for part in chosen:
            run(part, source, settings, executor, output, keep, machine)


if __name__ == "__main__":
    typer.run(main)
