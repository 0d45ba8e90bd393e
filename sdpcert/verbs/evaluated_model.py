"""`sdpcert evaluate MODEL --data X.npz`: the options of models, what they call, and what is printed."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import sdpcert
from sdpcert.errors import CommandInterrupted, Interrupted
from sdpcert.readers.examples import ExampleName, example_inputs
from sdpcert.readers.labelled import load_labelled
from sdpcert.report import percent_down, percent_up, radius_text, seconds
from sdpcert.running import choices
from sdpcert.running.executors import executor
from sdpcert.running.outputs import check_output
from sdpcert.verbs import options, regions
from sdpcert.verbs.json_output import print_object

#: Seconds for one input, unless told otherwise.
TIME_LIMIT = 60.0
LEVELS = {"R": "R (real arithmetic)", "F": "F (float32, sums in any order)"}
#: What is said of the coordinates that radii are in.
AS_THEY_ARE = "the inputs as they are; a model that wants (x - mean) / std needs --mean and --std"
NORMALISED = "(x - mean) / std, which is part of the network of the claim; radii are those of x"
#: Ranges of inputs that images usually have.
RANGES = ((0.0, 1.0), (0.0, 255.0))


@dataclass(frozen=True)
class ModelOptions:
    """The options that only an evaluation of a model has, None where they were not given."""

    norm: regions.NormName | None = None
    within: str | None = None
    mean: str | None = None
    std: str | None = None
    constants: bool | None = None
    jobs: int | None = None
    output: Path | None = None
    activation: str | None = None
    orientation: str | None = None
    example: ExampleName | None = None

    @property
    def given(self) -> list[str]:
        """The names of those that were given."""
        return [f"--{'no-' * (value is False)}{name}" for name, value in vars(self).items() if value is not None]

    def normalisation(self) -> tuple[list[float], list[float]] | None:
        """Means and deviations, as many of each; ValueError with one line for anything else."""
        if self.mean is None and self.std is None:
            return None
        if self.mean is None or self.std is None:
            lone, other = ("--mean", "--std") if self.std is None else ("--std", "--mean")
            raise ValueError(f"{lone} needs {other}: the model reads (x - M) / S")
        mean, std = (
            options.numbers(text, name, "0.1307 or 0.49,0.48,0.45")
            for text, name in ((self.mean, "--mean"), (self.std, "--std"))
        )
        if len(mean) != len(std):
            raise ValueError(f"--mean has {len(mean)} numbers and --std {len(std)}; give one a channel in both")
        if not all(map(math.isfinite, mean)):
            raise ValueError(f"--mean wants finite numbers, not {self.mean}")
        if not all(0 < s < math.inf for s in std):
            raise ValueError(f"--std wants positive finite numbers, not {self.std}")
        return mean, std

    def box(self) -> sdpcert.Box | None:
        """The range that no input leaves."""
        ends = regions.chosen_within(self.within)
        return None if ends is None else sdpcert.Box(*ends)


def evaluate_model(
    subject: Path | None,
    asked: ModelOptions,
    radii: list[float] | None,
    level: choices.Level,
    attack: choices.Attack,
    count: int | None,
    data: Path | None,
    time_limit: float | None,
    seed: int,
    as_json: bool,
) -> int:
    """Prove radii of the inputs in `data`, save and print them, and return the exit code."""
    normalisation, within = asked.normalisation(), asked.box()
    if radii is not None and not all(0 <= r < math.inf for r in radii):
        raise ValueError(f"--radii wants finite numbers that are not negative, not {','.join(map(str, radii))}")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"--time-limit wants a positive number of seconds, not {time_limit:g}")
    model = options.network_path(subject, asked.example)
    network = _network(subject, asked)
    if data is None and asked.example is not None:
        data = example_inputs()
    if data is None:
        raise ValueError("a model needs --data X.npz, with arrays `inputs` (n, ...) and `labels` (n,)")
    classes = math.prod(network.output_shape)
    inputs, labels = load_labelled(data, network.input_shape, classes, count)
    output = asked.output or Path(f"{model.resolve().name if model.is_dir() else model.stem}.radii.json")
    check_output(output)
    interrupted = ""
    with executor(asked.jobs or 1) as workers:
        try:
            result = sdpcert.radii(
                network,
                inputs,
                labels,
                norm=asked.norm or "l2",
                within=within,
                radii=radii,
                normalisation=normalisation,
                level=level,
                time_limit=TIME_LIMIT if time_limit is None else time_limit,
                attack="strong" if attack == "strong" else attack == "quick",
                constants="auto" if asked.constants is None else asked.constants,
                executor=workers,
                seed=seed,
                progress=sys.stderr.isatty(),
            )
        except Interrupted as error:
            result = error.result
            interrupted = result.notes[-1] if result.notes else "interrupted"
    result.save(output)
    if as_json:
        found = _summary(result, network.source, output, within, normalisation)
        print_object("evaluate", {"subject": "model", "interrupted": interrupted or None} | found)
    else:
        _print(result, network, data, within, normalisation is not None)
        advice = _advice(result, within, radii is not None, normalisation is not None)
        if model.is_dir():
            advice.append(
                f"bounds that a run's layers have by construction are not used here: sdpcert evaluate {model}"
            )
        for line in (*result.notes, *advice):
            print(f"note      {line}")
        print(f"radii     {output}    (prove them again: sdpcert check {output})")
    if interrupted:
        raise CommandInterrupted(f"{interrupted}; {output} has what was proved")
    return 0


def _network(subject: Path | None, asked: ModelOptions) -> sdpcert.Network:
    """The network of a model file, of an example, or of a run's folder."""
    given = options.array_options(asked.activation, asked.orientation)
    if subject is not None and subject.is_dir():
        return options.network_of_run(subject, given)
    return options.network_of(subject, asked.example, given)


def _summary(
    result: sdpcert.Radii,
    source: str,
    output: Path,
    within: sdpcert.Box | None,
    normalisation: tuple[list[float], list[float]] | None,
) -> dict[str, Any]:
    """The attributes as plain values; a distance that is none is null."""
    return {
        "network": source,
        "radii": str(output),
        "norm": result.norm,
        "level": result.level,
        "within": None if within is None else [float(within.low[0]), float(within.high[0])],
        "normalisation": None if normalisation is None else dict(zip(("mean", "std"), normalisation, strict=True)),
        "radius": result.radius.tolist(),
        "correct": result.correct.tolist(),
        "distance": [d if math.isfinite(d) else None for d in result.distance.tolist()],
        "labels": result.labels.tolist(),
        "rows": [row.summary() for row in result.rows],
        "median_radius": statistics.median_low(result.radius.tolist()),
        "attack": result.stated["information"]["attack"],
        "seconds": result.seconds,
        "notes": list(result.notes),
    }


def _print(
    result: sdpcert.Radii, network: sdpcert.Network, data: Path, within: sdpcert.Box | None, normalised: bool
) -> None:
    total, right = len(result.labels), int(np.sum(result.correct))
    sizes = [math.prod(shape) for shape in (network.input_shape, network.output_shape)]
    box = "" if within is None else f", inputs within [{within.low[0]:g}, {within.high[0]:g}]"
    print(f"network   {network.source}: {sizes[0]} inputs, {sizes[1]} classes")
    print(f"data      {data}: {total} {'input' if total == 1 else 'inputs'}, {right} of them right")
    print(f"claim     radii in the norm {result.norm}, level {LEVELS[result.level]}{box}")
    print(f"read      {NORMALISED if normalised else AS_THEY_ARE}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("radius")
    attacked = any(row.attacked is not None for row in result.rows)
    for header in ("certified", "under attack") if attacked else ("certified",):
        table.add_column(header, justify="right")
    for row in result.rows:
        share = "" if row.attacked_accuracy is None else f"{row.attacked}  {percent_up(row.attacked_accuracy)} %"
        left = (share,) if attacked else ()
        table.add_row(radius_text(row.radius), f"{row.certified}  {percent_down(row.accuracy)} %", *left)
    Console(width=max(Console().width, 100)).print(table)
    median = statistics.median_low(result.radius.tolist())
    print(f"median    {radius_text(median)}    at least half of the inputs have this radius; that of wrong ones is 0")
    print(f"time      {seconds(result.seconds)}, {seconds(result.seconds / total)} an input")


def _advice(result: sdpcert.Radii, within: sdpcert.Box | None, asked: bool, normalised: bool) -> list[str]:
    """What may be amiss, or give larger radii; `asked` says whether certain radii were asked for."""
    least, most = float(np.min(result.inputs)), float(np.max(result.inputs))
    right, total = int(np.sum(result.correct)), len(result.correct)
    found = []
    if 2 * right < total:
        first = "--mean and --std" if normalised else "whether the model wants normalised inputs (--mean, --std)"
        found.append(
            f"only {right} of {total} inputs are right, and wrong ones have no radius: check {first}, the scale of the "
            "inputs, and the order of the classes"
        )
    found += ["only the radii asked for were tried: without --radii the largest ones are looked for"] if asked else []
    if within is not None:
        return found
    for low, high in RANGES:
        if low <= least <= most <= high:
            bytes_read = "" if high == 1 or normalised else "; a model of pixels from 0 to 1 needs --mean 0 --std 255"
            found.append(
                f"all inputs lie in {low:g} to {high:g}: if none can leave it, --within {low:g},{high:g} allows for "
                f"no others and may give larger radii{bytes_read}"
            )
            break
    return found
