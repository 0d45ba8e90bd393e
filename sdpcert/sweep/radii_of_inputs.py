"""Items that prove radii: within which the inputs of a file keep their class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.network.graph import Network
from sdpcert.readers.labelled import load_labelled
from sdpcert.robustness import radii
from sdpcert.running import arguments
from sdpcert.sweep.kind import READING, Kind, Result
from sdpcert.sweep.option import FlagOrText, Indices, Integer, Number, Numbers, Text

#: Options that are no keywords of `sdpcert.radii` themselves.
OTHERS = ("inputs", "index", "mean", "std")


class RadiiOfInputs(Kind):
    """One file of radii an item; the options are the keywords of `sdpcert.radii`.

    `index` is a text such as "0-9,12": the inputs of one item. `mean` and `std` are its `normalisation`.
    """

    name = "radii"
    ending = ".radii.json"
    options = {
        "inputs": Text(),
        "index": Text(),
        "norm": Text("l2"),
        "within": Numbers(count=2),
        "radii": Numbers(),
        "level": Text("R"),
        "mean": Numbers(),
        "std": Numbers(),
        "time_limit": Number(60.0),
        "nodes": Integer(),
        "attack": FlagOrText(True),
        "constants": FlagOrText("auto"),
        "seed": Integer(0),
        "activation": Text(),
        "orientation": Text(),
    }

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse what `sdpcert.radii` would refuse whatever the network and the inputs."""
        if "inputs" not in options:
            raise ValueError("radii need inputs, a .npz file with the arrays inputs and labels")
        if Path(options["inputs"]).suffix.lower() != ".npz":
            raise ValueError(f"inputs of radii are a .npz file with inputs and labels, not {options['inputs']}")
        arguments.choice(options.get("norm", "l2"), "norm", ("l2", "linf"))
        arguments.choice(options.get("level", "R"), "level", ("R", "F"))
        arguments.limit(options.get("time_limit", 60.0), "time_limit")
        arguments.integer(options.get("nodes", 1), "nodes", 1)
        arguments.integer(options.get("seed", 0), "seed", 0, arguments.LARGEST_SEED)
        if min(options.get("radii", [0.0])) < 0:
            raise ValueError("every entry of radii must be a number that is not negative")
        if isinstance(options.get("constants"), str) and options["constants"] != "auto":
            raise ValueError("constants is true, false or 'auto'")
        if options.get("attack", True) not in (True, False, "strong"):
            raise ValueError("attack is true, false or 'strong'")
        within = options.get("within", (0.0, 1.0))
        if within[0] > within[1]:
            raise ValueError(f"within wants the lower end first, not {within}")

    def grouped(self, indices: list[int], each: int | None) -> list[Any]:
        """Texts such as "0-9": so many inputs an item, or all of them in one."""
        step = len(indices) if each is None else each
        if step < 1:
            raise ValueError(f"each is the number of inputs of one item, 1 or more, not {each}")
        return [_as_ranges(indices[k : k + step]) for k in range(0, len(indices), step)]

    def do(self, network: Network, options: Mapping[str, Any], base: Path) -> Result:
        """The radii of an item's inputs."""
        inputs, labels = load_labelled(
            base / options["inputs"], network.input_shape, int(np.prod(network.output_shape))
        )
        index = Indices().values(options["index"].split(",")) if "index" in options else list(range(len(inputs)))
        if max(index) >= len(inputs):
            raise ValueError(f"{options['inputs']}: has no input {max(index)}; there are inputs 0 to {len(inputs) - 1}")
        asked = {name: value for name, value in options.items() if name not in (*OTHERS, *READING)}
        if "within" in asked:
            asked["within"] = tuple(asked["within"])
        if "mean" in options or "std" in options:
            asked["normalisation"] = tuple(_one_or_more(options.get(k, [d])) for k, d in (("mean", 0.0), ("std", 1.0)))
        made = radii(network, inputs[index], labels[index], **asked)
        facts = {
            "inputs": len(made.radius),
            "correct": int(made.correct.sum()),
            "rows": [[row.radius, row.certified] for row in made.rows],
            "median_radius": float(np.sort(made.radius)[(len(made.radius) - 1) // 2]),
            "level": made.level,
            "notes": list(made.notes),
        }
        return Result("proved", facts, made.save)


def _one_or_more(values: list[float]) -> float | list[float]:
    return values[0] if len(values) == 1 else values


def _as_ranges(indices: list[int]) -> str:
    """Numbers in their order, runs of successive ones as first-last."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1][1:] = [index]
        else:
            runs.append([index])
    return ",".join("-".join(map(str, run)) for run in runs)
