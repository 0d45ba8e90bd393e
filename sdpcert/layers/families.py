"""All families: a new one is a file, and a line here."""

from __future__ import annotations

from sdpcert.layers import (
    aoc,
    aol,
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
    bjorck.BJORCK,
    bjorck.BCOP,
    aoc.FAMILY,
    block_reflector.FAMILY,
    cholesky.FAMILY,
    linear_residual.FAMILY,
    sandwich.FAMILY,
    sandwich_network.FAMILY,
    general_residual.FAMILY,
)


def family(name: str) -> Family:
    """The family of that name; raises ValueError with the names that are known."""
    for known in FAMILIES:
        if known.name == name:
            return known
    raise ValueError(f"unknown family {name!r}; known: {', '.join(f.name for f in FAMILIES)}")
