"""Items that certify: a bound on the Lipschitz constant, for all inputs or around one of a file's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.certify import certify
from sdpcert.certify.request import Request
from sdpcert.network.graph import Network
from sdpcert.readers.points import load_point
from sdpcert.regions.around import region_around
from sdpcert.regions.region import Ball, Region
from sdpcert.running import arguments
from sdpcert.sweep.kind import READING, Kind, Result
from sdpcert.sweep.option import ALL, Flag, Indices, Integer, Integers, Number, Numbers, Pairs, Text

#: Options that say which region; all others but those of reading are keywords of `sdpcert.certify`.
REGION = ("inputs", "index", "radius", "norm", "within")


class Certify(Kind):
    """One certificate an item; the options are the keywords of `sdpcert.certify`, and those of regions."""

    name = "certify"
    ending = ".cert.json"
    options = {
        "method": Text("auto"),
        "solver": Text("native"),
        "output_rows": Integers(),
        "output_pair": Pairs(),
        "inputs": Text(),
        "index": Indices(),
        "norm": Text("l2"),
        "within": Numbers(count=2),
        "radius": Number(),
        "tol": Number(1e-6),
        "form": Text("auto"),
        "head": Text("joint"),
        "exact": Flag(False),
        "nodes": Integer(),
        "time_limit": Number(),
        "memory_limit": Number(),
        "effort": Number(1.0),
        "seed": Integer(0),
        "activation": Text(),
        "orientation": Text(),
    }

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse what `sdpcert.certify` would refuse whatever the network, and half a region."""
        given = [name for name in REGION if name in options]
        if given and "inputs" not in options:
            raise ValueError(f"{given[0]} needs inputs, the file of the points that regions are around")
        if given and "radius" not in options:
            raise ValueError("inputs needs radius, the radius of the regions around its points")
        if "radius" in options and not options["radius"] > 0:
            raise ValueError(f"radius must be positive, not {options['radius']!r}")
        arguments.choice(options.get("norm", "l2"), "norm", ("l2", "linf"))
        within = options.get("within", (0.0, 1.0))
        if within[0] > within[1]:
            raise ValueError(f"within wants the lower end first, not {within}")
        asked = _keywords(options)
        if asked.get("output_pair") == ALL:
            asked["output_pair"] = (0, 1)
        stated = {"method": "auto", "solver": "native", "tol": 1e-6, "output_rows": None, "device": "cpu"}
        stated |= {"form": "auto", "head": "joint", "time_limit": None, "memory_limit": None, "seed": 0}
        stated |= {"progress": None, "effort": 1.0, "region": Ball(np.zeros(1), 1.0) if given else None}
        Request.of(**stated | asked)

    def do(self, network: Network, options: Mapping[str, Any], base: Path) -> Result:
        """The certificate of a network."""
        if options.get("output_pair") == ALL:
            raise ValueError(
                f"{network.source} has {np.prod(network.output_shape)} outputs now, and had no pair before"
            )
        made = certify(network, region=_region(network, options, base), **_keywords(options))
        facts = made.summary()
        kept = ("upper", "lower", "sdp_lower", "gap", "method", "solver_status", "level", "notes", "sha256")
        return Result(made.status, {name: facts[name] for name in kept}, made.save)


def _keywords(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in (*REGION, *READING)}


def _region(network: Network, options: Mapping[str, Any], base: Path) -> Region | None:
    if "inputs" not in options:
        return None
    size = int(np.prod(network.input_shape))
    point = load_point(base / options["inputs"], size, options.get("index"))
    within = options.get("within")
    return region_around(
        point, options["radius"], options.get("norm", "l2"), None if within is None else (within[0], within[1])
    )
