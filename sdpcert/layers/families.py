"""All families: a new one is a file, and a line here."""

from __future__ import annotations

import runpy
from pathlib import Path

from sdpcert.layers import (
    aoc,
    aol,
    bcop,
    bjorck,
    block_reflector,
    cayley,
    cholesky,
    cpl,
    exponential,
    general_residual,
    gershgorin,
    linear_residual,
    sandwich,
    sandwich_network,
    sll,
    spectral,
)
from sdpcert.layers.family import Family

FAMILIES: tuple[Family, ...] = (
    spectral.FAMILY,
    aol.FAMILY,
    cpl.FAMILY,
    sll.FAMILY,
    sll.LINEAR,
    gershgorin.PERRON,
    gershgorin.OSTROWSKI,
    gershgorin.BLOCK,
    gershgorin.MAXIMUM,
    gershgorin.FROBENIUS,
    gershgorin.RESIDUAL_AOL,
    cayley.FAMILY,
    exponential.ROTATION,
    exponential.SOC,
    bjorck.FAMILY,
    bcop.FAMILY,
    aoc.FAMILY,
    block_reflector.FAMILY,
    cholesky.FAMILY,
    linear_residual.FAMILY,
    sandwich.FAMILY,
    sandwich_network.FAMILY,
    general_residual.FAMILY,
)


def family(name: str) -> Family:
    """The family of that name, or the `FAMILY` of a Python file; raises ValueError with the names that are known."""
    if name.endswith(".py"):
        return _of_file(Path(name))
    for known in FAMILIES:
        if known.name == name:
            return known
    known_names = ", ".join(f.name for f in FAMILIES)
    raise ValueError(f"unknown family {name!r}; known: {known_names}; or give a Python file that defines FAMILY")


def _of_file(path: Path) -> Family:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        found = runpy.run_path(str(path)).get("FAMILY")
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Family):
        raise ValueError(
            f"{path} defines no FAMILY: give it FAMILY = sdpcert.layers.Family(name, source, description, dense)"
        )
    return found
