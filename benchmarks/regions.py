"""Local and exact constants: what is proved on balls and boxes, what two inputs attain there, and what that costs.

    python -m benchmarks.regions [PART ...] [--networks FOLDER] [--data FOLDER] [--time-limit S] [--processes K] ...

The parts are `PARTS` below, all of them by default: "exact" (small networks with published constants), "digits" (64 and
96 neurons), "mnist" (balls around test images), "images" (convolutional and residual networks of CIFAR-10), "acas"
(the input box of ACAS Xu), "chain" (a published local benchmark), "smooth" (sigmoid and tanh), "sorting" (MaxMin,
GroupSort and max pooling, beside the enumeration of all linear pieces). Networks and images are those of
`../shared` beside the repository; parts whose files are not there say so and are left out. A part's results are written
to `OUTPUT/regions_PART.json` after every case, and `--keep` goes on where a file ends.

Every case is certified with `exact=True` under a time limit, which bounds the search; `--undivided` leaves out the
branch and bound. The file is saved, measured, and checked by the stand-alone checker in a process of its own. BLAS has
one thread; `--processes` divide pieces.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from sdpcert.network import Network
from sdpcert.network.activations import leaky_relu
from sdpcert.regions import Ball, Box, Region
from sdpcert.report import rounded_down, rounded_up, seconds
from sdpcert.running.executors import Here

Array = np.ndarray
SHARED = Path(__file__).parents[2] / "shared"
RESULTS = Path(__file__).parent / "results"
#: The folder of the stand-alone checker, which runs by itself.
CHECKER = Path(sdpcert.__file__).parent / "check"
#: Exact constants that were published for the twenty networks `absolute_value_relu_*` of ExLipBaB, and for its iris.
ABSOLUTE_VALUE = (
    1.2413605265794627, 1.0132462130014432, 1.394113802729269, 1.4222400839381222, 1.108953194180276,
    1.0253532365164328, 1.597172033142249, 1.5174101382462266, 1.1836813659435557, 0.9190077644007674,
    1.0307095688330985, 1.0288798917655695, 1.0487124646097885, 0.9902642075662339, 1.0758018000891523,
    1.0225255380306448, 1.0058372567490192, 1.0014888910446786, 1.045035776482385, 1.4231353638590234,
)  # fmt: skip
IRIS = 11.634355134114875
#: Of the published local benchmark: centre, half-widths of its boxes, |J| at the centre, best log10(bound / |J|).
CHAIN_CENTER = (0.4, 1.8, -0.5, -1.3, 0.9)
CHAIN_HALF_WIDTHS = (5.0, 1.0, 0.2, 0.04, 0.008, 0.0016, 0.00032)
CHAIN_ATTAINED = 0.00153859184
CHAIN_PUBLISHED = (9.07, 8.79, 7.74, 0.77, 0.14, 0.16, 0.0)
#: Mean and standard deviation of the channels that the two networks of CIFAR-10 read.
OVAL = ((0.485, 0.456, 0.406), (0.225, 0.225, 0.225))
RESNET = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


@dataclass(frozen=True)
class Case:
    """One bound: a network, a region of its inputs (None: all), and what else is known of the constant."""

    name: str
    network: Network
    region: Region | None
    time_limit: float
    rows: list[int] | None = None
    where: str = "all inputs"
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where networks and images are, and how many images and which radii are asked for."""

    networks: Path
    data: Path
    images: int
    radii: tuple[float, ...]

    def load(self, name: str) -> Network:
        """A network of the folder `onnx`; raises FileNotFoundError."""
        file = self.networks / f"onnx/{name}.onnx"
        if not file.is_file():
            raise FileNotFoundError(file)
        return sdpcert.load(file)

    def test_images(self, name: str) -> tuple[Array, Array]:
        """The first test images (count, channels, height, width) from 0 to 1, and their labels."""
        from sdpcert.training.packs import read_packs

        if not self.data.is_dir():
            raise FileNotFoundError(self.data)
        _, test = read_packs(name, self.data, None, 10)
        images = np.asarray(test.images[: self.images], dtype=float) / 255
        images = images[:, None] if images.ndim == 3 else images
        return (images.transpose(0, 3, 1, 2) if images.shape[-1] == 3 else images), test.labels[: self.images]


def leaky_chain(seed: int = 10126, hidden: int = 29, width: int = 128, inputs: int = 5, outputs: int = 2) -> Network:
    """The network of the local benchmark of ECLipsE-Gen-Local: 30 affine layers with leaky ReLU 0.01 between them.

    NumPy's legacy generator draws, layer by layer and the last one included: the layer's spectral norm, uniform in
    [2, 2.5]; its weights, normal and then scaled to that norm; its biases, normal. The Jacobian at `CHAIN_CENTER` has
    the published norm 0.0015385918, which no other order of the draws or number of layers gives.
    """
    random = np.random.RandomState(seed)
    sizes = [inputs, *[width] * hidden, outputs]
    weights, biases = [], []
    for before, size in pairwise(sizes):
        norm = random.uniform(2, 2.5)
        weight = random.randn(size, before)
        weights.append(weight / np.linalg.norm(weight, 2) * norm)
        biases.append(random.randn(size))
    return Network.mlp(weights, biases, leaky_relu(0.01))


# ---------------------------------------------------------------- the cases


def _stored(path: Path, key: str) -> Network:
    """An ExLipBaB network: weights in one file, biases in the one beside it."""
    from scipy.io import loadmat

    weights = [np.asarray(w, float) for w in loadmat(f"{path}_weights.mat")[key].ravel()]
    biases = next(value for name, value in loadmat(f"{path}_biases.mat").items() if not name.startswith("_"))
    return Network.mlp(weights, [np.asarray(b, float).ravel() for b in biases.ravel()])


def exact(source: Source) -> Iterator[Case]:
    folder = source.networks / "exlipbab"
    yield Case("iris", _stored(folder / "iris_4x6x6x3_relu", "weights"), None, 120, facts={"published": IRIS})
    for number, constant in enumerate(ABSOLUTE_VALUE):
        network = _stored(folder / f"absolute_value_relu_{number:02}", "W")
        yield Case(f"absolute value {number:02}", network, None, 60, facts={"published": constant})


def digits(source: Source) -> Iterator[Case]:
    from benchmarks.reference_values import cases

    for name, network, rows, _ in cases(source.networks):
        if name.startswith("fnn"):
            limit = 120 if name.startswith("fnn2") else 600 if name == "fnn3 seed 0" else 300
            yield Case(f"{name}, row 7", network, None, limit, rows)


def mnist(source: Source) -> Iterator[Case]:
    network = source.load("mnist_fc_256x2")
    images, labels = source.test_images("mnist")
    for number, image in enumerate(images):
        facts = {"image": number, "label": int(labels[number])}
        for radius in source.radii or (0.02, 0.05, 0.1, 0.2, 0.3):
            yield _ball(f"image {number}", network, image, radius, 30, "pixels from 0 to 1", facts)


def _ball(
    name: str, network: Network, center: Array, radius: float, limit: float, unit: str, facts: dict[str, Any]
) -> Case:
    center = center.reshape(network.input_shape)
    where = f"ball of radius {radius:g}, {unit}"
    return Case(f"{name}, radius {radius:g}", network, Ball(center, radius), limit, None, where, facts)


def images(source: Source) -> Iterator[Case]:
    pictures, labels = source.test_images("cifar10")
    for name, (mean, deviation) in (("oval21_cifar_base_kw", OVAL), ("cifar10_resnet_2b", RESNET)):
        network = source.load(name)
        read = (pictures - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1))
        for number, image in enumerate(read):
            facts = {"image": number, "label": int(labels[number])}
            for radius in source.radii or (0.01, 0.03, 0.1, 0.3):
                yield _ball(f"{name}, image {number}", network, image, radius, 120, "normalised pixels", facts)


def acas(source: Source) -> Iterator[Case]:
    """Its input box, and boxes of a tenth and a hundredth of the width around the middle of that."""
    network = source.load("acasxu_1_1")
    low, high = np.array([-0.328, *[-0.5] * 4]), np.array([0.680, *[0.5] * 4])
    for share in (0.01, 0.1, 1.0):
        middle, half = (low + high) / 2, (high - low) / 2 * share
        box = Box(low, high) if share == 1 else Box(middle - half, middle + half)
        where = f"{share:g} of the box of its inputs, as the network reads them"
        yield Case(f"acasxu_1_1, {share:g} of the box", network, box, 600, None, where)


def chain(source: Source) -> Iterator[Case]:
    network, center = leaky_chain(), np.array(CHAIN_CENTER)
    for half, published in zip(reversed(CHAIN_HALF_WIDTHS), reversed(CHAIN_PUBLISHED), strict=True):
        facts = {"half_width": half, "published_log10": published, "jacobian": CHAIN_ATTAINED}
        box = Box(center - half, center + half)
        yield Case(f"30 x 128, half-width {half:g}", network, box, 300, None, f"box of half-width {half:g}", facts)


def smooth(source: Source) -> Iterator[Case]:
    docking = source.load("arch_docking")
    low, high = np.array([70, 70, -0.28, -0.28]), np.array([106, 106, 0.28, 0.28])
    yield Case("arch_docking, initial set", docking, Box(low, high), 300, None, "box of the initial set")
    middle = (low + high) / 2
    for radius in source.radii or (0.01, 0.1, 1.0):
        yield _ball("arch_docking", docking, middle, radius, 60, "around the middle of the initial set", {})
        where = f"box of half-width {radius:g}"
        yield Case(f"arch_docking, {where}", docking, Box(middle - radius, middle + radius), 60, None, where)
    sigmoid = source.load("eran_sigmoid_6x200")
    pictures, labels = source.test_images("mnist")
    for number, image in enumerate(pictures):
        facts, name = {"image": number, "label": int(labels[number])}, f"eran_sigmoid_6x200, image {number}"
        for radius in source.radii or (0.02, 0.1, 0.3):
            yield _ball(name, sigmoid, image, radius, 120, "pixels from 0 to 1", facts)
        for half in (0.001, 0.01):
            where, center = f"box of half-width {half:g}", image.reshape(sigmoid.input_shape)
            yield Case(f"{name}, {where}", sigmoid, Box(center - half, center + half), 120, None, where, facts)


def sorting(source: Source) -> Iterator[Case]:
    """Random small networks with their exact constants, and the trained MaxMin networks if they are there."""
    from scipy.io import loadmat

    from tests.oracles.enumeration import exact_constant
    from tests.oracles.networks import random_network

    for kind in ("maxmin", "group sort 3", "group sort 4", "max pool 2", "max pool 3"):
        for seed in range(6):
            network = random_network(seed, kind=kind)
            constant = exact_constant(network)
            facts = {"enumerated": float(constant), "cells": constant.cells, "inputs": network.inputs}
            yield Case(f"{kind}, seed {seed}", network.network(), None, 60, facts=facts)
    trained = source.networks / "maxmin"
    for name in ("2fc_16", "5fc_32"):
        weights = [np.asarray(w, float) for w in loadmat(trained / f"weights_l2_{name}.mat")["W"].ravel()]
        network = Network.mlp(weights, activation="maxmin")
        yield Case(f"maxmin {name}", network, None, 300)
        pictures, _ = source.test_images("mnist")
        for number, image in enumerate(pictures):
            for radius in source.radii or (0.1, 0.3):
                where = "pixels from 0 to 1"
                yield _ball(f"maxmin {name}, image {number}", network, image, radius, 60, where, {"image": number})


PARTS: dict[str, Callable[[Source], Iterator[Case]]] = {
    made.__name__: made for made in (exact, digits, mnist, images, acas, chain, smooth, sorting)
}


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Settings:
    """What is asked of every case; a time limit here replaces the case's own."""

    tol: float
    time_limit: float | None
    nodes: int | None
    undivided: bool
    check_limit: float


def measure(case: Case, settings: Settings, executor: Executor, folder: Path) -> dict[str, Any]:
    """A row: the bound, the attained value, and what finding, storing and checking them costs."""
    limit = settings.time_limit or case.time_limit
    row: dict[str, Any] = {"name": case.name, "where": case.where, "time_limit": limit} | case.facts
    row |= {"inputs": int(np.prod(case.network.input_shape)), "neurons": case.network.stacked.neurons}
    started = time.perf_counter()
    certificate = sdpcert.certify(
        case.network,
        tol=settings.tol,
        output_rows=case.rows,
        region=case.region,
        exact=not settings.undivided,
        nodes=settings.nodes,
        time_limit=limit,
        executor=executor,
    )
    row |= {"seconds": time.perf_counter() - started, "status": certificate.status}
    row |= {"solver_status": certificate.solver_status, "attained": certificate.lower}
    if certificate.status != "proved":
        return row | {"notes": list(certificate.notes)}
    upper = certificate.upper
    row |= {"upper": upper, "gap": (upper - certificate.lower) / upper if upper else 0.0, "level": certificate.level}
    row |= {"nodes": certificate.information.get("nodes"), "pieces": certificate.information.get("pieces")}
    row |= {"open": certificate.information.get("open"), "history": certificate.information.get("history")}
    file = folder / "certificate.json"
    certificate.save(file)
    return row | {"bytes": file.stat().st_size} | check(file, settings.check_limit)


def check(file: Path, limit: float) -> dict[str, Any]:
    """What the stand-alone checker says of a file, and how long it takes to."""
    if limit <= 0:
        return {"checked": None, "check_limit": 0.0}
    started = time.perf_counter()
    command = [sys.executable, str(CHECKER), str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"checked": None, "check_limit": limit}
    said = (done.stdout + done.stderr).strip()
    return {"checked": done.returncode == 0, "check_seconds": time.perf_counter() - started, "said": said[:300]}


def line(row: dict[str, Any]) -> str:
    """The row for people."""
    if "upper" not in row:
        return f"{row['name']:44} {row['status']} after {seconds(row['seconds'])}: {'; '.join(row['notes'])[:60]}"
    known = next((f", {name} {row[name]:.10g}" for name in ("published", "enumerated") if name in row), "")
    if "published_log10" in row:
        found = np.log10(row["upper"] / row["jacobian"])
        known = f", log10 of upper / |J| {found:.3f}, published {row['published_log10']:g}"
    checked = {True: "checked in", False: "REJECTED after", None: "not checked within"}[row["checked"]]
    return (
        f"{row['name']:44} {rounded_up(row['upper'], 8)}, attained {rounded_down(row['attained'], 8)}, "
        f"gap {row['gap']:.1e}, {row['nodes']} nodes, {row['pieces']} pieces, {seconds(row['seconds'])}, "
        f"{row['bytes'] / 1e6:.2f} MB, {checked} {seconds(row.get('check_seconds', row.get('check_limit', 0)))}{known}"
    )


def run(
    part: str, source: Source, settings: Settings, executor: Executor, output: Path, keep: bool, machine: Any
) -> None:
    """All cases of a part, each written as soon as it is measured."""
    target = output / f"regions_{part}.json"
    rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"] if keep and target.is_file() else []
    there = {row["name"] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for case in PARTS[part](source):
                if case.name in there:
                    continue
                rows.append(measure(case, settings, executor, Path(folder)))
                print(line(rows[-1]), flush=True)
                output.mkdir(parents=True, exist_ok=True)
                target.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
        except FileNotFoundError as error:
            print(f"{part}: left out, there is no {error.filename or error}")


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(PARTS)}; all by default")] = None,
    networks: Annotated[Path, typer.Option(help="folder of networks")] = SHARED / "networks",
    data: Annotated[Path, typer.Option(help="folder of image packs")] = SHARED / "data",
    images: Annotated[int, typer.Option(min=1, help="first test images of every network")] = 3,
    radii: Annotated[str, typer.Option(help="of all balls, with commas; each part has its own")] = "",
    tol: Annotated[float, typer.Option(help="relative gap asked for")] = 1e-6,
    time_limit: Annotated[float | None, typer.Option(help="seconds for every case; each has its own")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="pieces that are looked at, at most")] = None,
    undivided: Annotated[bool, typer.Option("--undivided", help="no branch and bound")] = False,
    check_limit: Annotated[float, typer.Option(help="seconds for the checker of every file; 0: it is not run")] = 600.0,
    processes: Annotated[int, typer.Option(min=1, help="that divide pieces")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="keep the rows that the result files have")] = False,
    output: Annotated[Path, typer.Option(help="folder for the results")] = RESULTS,
) -> None:
    """Measure, print a line a case, and write the numbers."""
    chosen = parts or list(PARTS)
    if unknown := [part for part in chosen if part not in PARTS]:
        raise typer.BadParameter(f"no part {unknown[0]}; there are {', '.join(PARTS)}")
    source = Source(networks, data, images, tuple(float(r) for r in radii.split(",") if r))
    settings = Settings(tol, time_limit, nodes, undivided, check_limit)
    machine = {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
    machine |= {"processes": processes, "blas_threads": 1, "load_before": os.getloadavg()[0], "tol": tol}
    machine |= {"nodes": nodes, "undivided": undivided, "sdpcert": sdpcert.__version__}
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, fresh) if processes > 1 else Here() as executor:
        for part in chosen:
            run(part, source, settings, executor, output, keep, machine)


if __name__ == "__main__":
    typer.run(main)
